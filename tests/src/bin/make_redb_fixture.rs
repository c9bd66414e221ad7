//! Makes `fixtures/redb-v1` and `fixtures/redb-v2`: `cargo run -p walkeep-tests --bin make_redb_fixture -- fixtures/v1/store fixtures/redb-v1 1`, the
//! second a new directory, the last the version of the set.
//!
//! It is run once per version of the sets of shards. The bytes stay as they are for ever; this program says how they came
//! to be. New sets are of a newer version; an older one is begun by its layout, as if its making had been cut short.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a tool for developers: a panic tells enough"
)]

use std::path::Path;

use walkeep::backends::redb::{Redb, RedbConfig, ShardsOptions};
use walkeep::core::shards::{ShardCount, ShardLayout, ShardPurpose, ShardSetState};
use walkeep::core::{Backend, Body, ObjectPath, ShardSetId};
use walkeep_tests::footprint::files;
use walkeep_tests::redb_fixture::{LARGE, large};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(set), Some(version)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        panic!("usage: make_redb_fixture STORE DIRECTORY VERSION")
    };
    let version = version.parse().unwrap();
    let (store, set) = (Path::new(&store), Path::new(&set));
    std::fs::create_dir(set).unwrap();
    let layout = ShardLayout {
        version,
        id: ShardSetId(0x7761_6c6b_6565_7000 + u128::from(version)),
        purpose: ShardPurpose::Segments,
        shards: ShardCount::new(2).unwrap(),
        state: ShardSetState::Creating,
    };
    std::fs::write(set.join("layout.json"), layout.encode().unwrap()).unwrap();
    let open = || Redb::new(RedbConfig::open(set, &ShardsOptions::new(ShardPurpose::Segments)).unwrap());
    let redb = open();
    for file in files(store) {
        let content = std::fs::read(store.join(&file)).unwrap();
        redb.put_new(None, &ObjectPath::new(file).unwrap(), Body::from(content)).await.unwrap();
    }
    // One that is not small, and one that is deleted.
    redb.put_new(None, &ObjectPath::new(LARGE).unwrap(), Body::from(large())).await.unwrap();
    let deleted = ObjectPath::new("namespaces/other/deleted").unwrap();
    redb.put_new(None, &deleted, Body::from(vec![7; 100])).await.unwrap();
    redb.delete(None, &[deleted]).await.unwrap();
    redb.compact().await.unwrap();
    drop(redb);
    // Who opens it needs no lock file.
    std::fs::remove_file(set.join("lock")).unwrap();
}
