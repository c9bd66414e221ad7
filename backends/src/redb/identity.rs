//! What a shard says about itself, so that a file that was moved, renamed or copied from another set is not taken for a
//! shard of this one.

use redb::{ReadTransaction, TableDefinition, TableError, WriteTransaction};
use walkeep_core::shards::{ShardCount, ShardLayout, ShardNo};
use walkeep_core::{Error, Result};

use super::checked;
use super::failure::Step;

const TABLE: &str = "walkeep_shard";
const KEY: &str = "identity";
const DEFINITION: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(TABLE);

fn content(layout: &ShardLayout, shard: ShardNo) -> String {
    format!("set {} shard {shard} of {}", layout.id, layout.shards)
}

/// Writes it into a new shard.
pub(super) fn write(transaction: &WriteTransaction, layout: &ShardLayout, shard: ShardNo) -> Step<()> {
    let value = checked::wrap(TABLE, KEY.as_bytes(), content(layout, shard).as_bytes());
    transaction.open_table(DEFINITION)?.insert(KEY, &*value)?;
    Ok(())
}

/// Checks that a file is this shard of this set.
pub(super) fn check(
    transaction: &ReadTransaction,
    file: &str,
    layout: &ShardLayout,
    shard: ShardNo,
) -> Step<()> {
    let expected = content(layout, shard);
    let none = || Error::invalid(format!("{file} as {expected}"), "it is no shard of Walkeep's");
    let table = match transaction.open_table(DEFINITION) {
        Err(TableError::TableDoesNotExist(_)) => return Err(none().into()),
        table => table?,
    };
    let value = table.get(KEY)?.ok_or_else(none)?;
    let found = checked::unwrap(file, TABLE, KEY.as_bytes(), value.value())?;
    Ok(same(file, &expected, found)?)
}

fn same(file: &str, expected: &str, found: &[u8]) -> Result<()> {
    if found == expected.as_bytes() {
        return Ok(());
    }
    let found = String::from_utf8_lossy(found);
    Err(Error::invalid(
        format!("{file} as {expected}"),
        format!(
            "it is {found:?}: put the files of each set back into their own directory, under their own names"
        ),
    ))
}

/// The most shards, so that names sort: three digits are enough.
const _: () = assert!(ShardCount::MAX.get() <= 1000);

/// The name of a shard's file.
pub(super) fn file_name(shard: ShardNo) -> String {
    format!("shard-{:03}.redb", shard.0)
}

/// Whether a name is one of a shard's file.
pub(super) fn is_file_name(name: &str) -> bool {
    name.strip_prefix("shard-").is_some_and(|rest| rest.ends_with(".redb"))
}
