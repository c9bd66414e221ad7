//! Opening a set of shards on a directory: what is there is checked first, and nothing that is there is ever replaced by
//! something empty.
//!
//! A new set is made in this order: the layout with the state `creating`; the shards; the layout with the state `ready`. Before
//! the last step nothing can have been stored, so that a creation that was cut short begins again.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use walkeep_core::files::Directory;
use walkeep_core::shards::{ShardCount, ShardLayout, ShardNo, ShardPurpose, ShardSetState};
use walkeep_core::{Error, Random, Result, ShardSetId};

use super::identity;
use super::layout_file;
use super::options::ShardsOptions;
use super::place::Place;
use super::set_lock::SetLock;
use super::shard::Shard;

/// A set that was opened: its layout, its shards in order, and the lock.
pub(super) type Opened = (ShardLayout, Vec<Shard>, SetLock);

/// Opens the set in `directory`, or creates it; `name` is the directory's, for messages.
pub(super) fn open(
    directory: &Arc<dyn Directory>,
    name: &Path,
    random: &dyn Random,
    options: &ShardsOptions,
) -> Result<Opened> {
    if !options.create && layout_file::read(&**directory, name)?.is_none() {
        // Before anything is created, be it only a lock.
        let files = shard_files(&**directory, name)?;
        return Err(if files.is_empty() { nothing_there(name) } else { no_layout(name, &files) });
    }
    let lock = SetLock::take(&**directory, name, options.lock_wait)?;
    let layout = match layout_file::read(&**directory, name)? {
        Some(layout) => layout,
        None => new_layout(&**directory, name, random, options)?,
    };
    check_wanted(name, &layout, options)?;
    let place = |shard| Place {
        directory: Arc::clone(directory),
        path: identity::file_name(shard).into(),
        label: name.join(identity::file_name(shard)).display().to_string(),
        layout,
        cache_bytes: options.cache_of_each(layout.shards),
        check: options.check,
        rows_waiting: options.rows_of_each(layout.shards),
    };
    let files = shard_files(&**directory, name)?;
    let wanted = layout.shards.all().map(identity::file_name).collect::<BTreeSet<_>>();
    if let Some(foreign) = files.difference(&wanted).next() {
        return Err(Error::invalid(
            format!("{} beside {} shards", name.join(foreign).display(), layout.shards),
            "it is no shard of this set: move it to where it belongs; nothing was changed",
        ));
    }
    if layout.state == ShardSetState::Creating {
        return create(directory, name, layout, &files, place, lock);
    }
    if let Some(missing) = wanted.difference(&files).next() {
        return Err(Error::invalid(
            format!("{} without its file {missing}", name.display()),
            "a shard is missing, with all that was stored in it: put it back from a copy; nothing was changed",
        ));
    }
    let shards = layout.shards.all().map(|shard| Shard::open(shard, place(shard))).collect::<Result<_>>()?;
    Ok((layout, shards, lock))
}

/// The names that shards have, of what is in the directory.
fn shard_files(directory: &dyn Directory, name: &Path) -> Result<BTreeSet<String>> {
    let entries = directory.entries(Path::new(""));
    let entries = entries.map_err(|error| Error::io(format!("list {}", name.display()), error))?;
    Ok(entries.into_iter().map(|entry| entry.name).filter(|name| identity::is_file_name(name)).collect())
}

fn nothing_there(name: &Path) -> Error {
    Error::not_found(format!("a set of shards ({}) in {}", layout_file::NAME, name.display()))
}

fn no_layout(name: &Path, files: &BTreeSet<String>) -> Error {
    let first = files.first().map_or("", String::as_str);
    Error::invalid(
        format!("{} with {} files like {first} and no {}", name.display(), files.len(), layout_file::NAME),
        "without its layout a set of shards is not opened: put the file back from a copy, or name an empty \
         directory; nothing was changed",
    )
}

/// Begins a new set.
fn new_layout(
    directory: &dyn Directory,
    name: &Path,
    random: &dyn Random,
    options: &ShardsOptions,
) -> Result<ShardLayout> {
    let files = shard_files(directory, name)?;
    if !files.is_empty() {
        return Err(no_layout(name, &files));
    }
    if !options.create {
        return Err(nothing_there(name));
    }
    let layout = ShardLayout {
        version: ShardLayout::version_if_new(options.purpose),
        id: ShardSetId::random(random)?,
        purpose: options.purpose,
        shards: options.shards.unwrap_or(options.shards_if_new),
        state: ShardSetState::Creating,
    };
    layout_file::replace(directory, name, &layout)?;
    Ok(layout)
}

/// Checks that a set is what the caller wants.
pub(super) fn check_wanted(name: &Path, layout: &ShardLayout, options: &ShardsOptions) -> Result<()> {
    if layout.purpose != options.purpose {
        return Err(Error::invalid(
            format!("{} as a place for {}", name.display(), options.purpose.as_str()),
            format!("it is one for {}: name another directory", layout.purpose.as_str()),
        ));
    }
    match options.shards {
        Some(wanted) if wanted != layout.shards => Err(other_count(name, layout, wanted)),
        _ => Ok(()),
    }
}

fn other_count(name: &Path, layout: &ShardLayout, wanted: ShardCount) -> Error {
    let reshard = match layout.purpose {
        ShardPurpose::Catalog => "`walkeep catalog reshard` makes another number of it",
        ShardPurpose::Segments => "to have another number, create a new store with it and copy all objects",
    };
    Error::invalid(
        format!("{} with {wanted} shards", name.display()),
        format!("it has {}, for ever: name that number or none; {reshard}", layout.shards),
    )
}

/// Makes all shards of a new set, and says that they are there. What is there of them was never finished.
fn create(
    directory: &Arc<dyn Directory>,
    name: &Path,
    layout: ShardLayout,
    files: &BTreeSet<String>,
    place: impl Fn(ShardNo) -> Place,
    lock: SetLock,
) -> Result<Opened> {
    let failed = |what: &str, error: io::Error| Error::io(format!("{what} {}", name.display()), error);
    for file in files {
        match directory.remove_file(Path::new(file)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(&format!("remove the unfinished {file} of"), error));
            }
            _ => {}
        }
    }
    let shards = layout.shards.all().map(|shard| Shard::create(shard, place(shard)));
    let shards = shards.collect::<Result<Vec<_>>>()?;
    directory.sync_directory(Path::new("")).map_err(|error| failed("sync", error))?;
    let layout = ShardLayout { state: ShardSetState::Ready, ..layout };
    layout_file::replace(&**directory, name, &layout)?;
    Ok((layout, shards, lock))
}
