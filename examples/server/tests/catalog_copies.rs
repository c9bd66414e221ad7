//! Copies of the catalog on a timer: what becomes of them while the store is away, and while nothing changes.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use walkeep::backends::faulty::Faulty;
use walkeep::backends::redb::RedbCatalog;
use walkeep::backends::{Memory, Metered};
use walkeep::core::catalog::{Catalog, NamespaceSettings, NodeId};
use walkeep::core::shards::ShardCount;
use walkeep::core::{Namespace, ObjectPath};
use walkeep::{Bucket, Handles};
use walkeep_server_example::{CatalogCopies, Cluster};
use walkeep_tests::away::set_away;

const INTERVAL: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(60);

type Store = Arc<Faulty<Metered<Memory>>>;

struct Scene {
    _root: TempDir,
    store: Store,
    bucket: Bucket,
    cluster: Cluster,
    copies: Arc<CatalogCopies>,
}

/// A server that takes part in a new catalog, which is copied for the first time.
async fn scene() -> Scene {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(Faulty::new(Metered::new(Memory::new()), Default::default(), 0).unwrap());
    let bucket = Bucket::new(Arc::clone(&store), None).unwrap();
    let (handles, node) = (Handles::system(), NodeId::new("a").unwrap());
    let cluster = Cluster::new(&root.path().join("catalog"), node, handles.clone()).unwrap();
    let copies = Arc::new(CatalogCopies::begin(&cluster, &bucket, &handles).await.unwrap());
    cluster.join("http://a").await.unwrap();
    Scene { _root: root, store, bucket, cluster, copies }
}

impl Scene {
    fn objects(&self) -> Vec<ObjectPath> {
        self.store.inner().inner().objects().into_keys().collect()
    }

    /// The tenants of a catalog that is restored from the copies. It claims them: nothing is copied any more afterwards.
    async fn restored(&self) -> Vec<String> {
        let handles = Handles::system();
        let (clock, random) = (Arc::clone(&handles.clock), &*handles.random);
        let catalog: Arc<dyn Catalog> =
            Arc::new(RedbCatalog::in_memory(ShardCount::ONE, clock, random).unwrap());
        walkeep::catalog::restore(&self.bucket, &catalog, &handles).await.unwrap();
        let found = catalog.namespaces("", None, 99).unwrap();
        found.into_iter().map(|record| record.namespace.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_away_gets_the_copies_when_it_is_back() {
    let scene = scene().await;
    let copies = Arc::clone(&scene.copies);
    let copying = tokio::spawn(async move { copies.keep_up(INTERVAL).await });
    set_away(&scene.store, true);
    let shop: Namespace = "shop".parse().unwrap();
    scene.cluster.take(&shop, Some(NamespaceSettings::default())).await.unwrap();
    let before = scene.objects();
    let failed = || scene.store.happened().values().sum::<u64>();
    let begun = tokio::time::Instant::now();
    while failed() < 3 {
        assert!(begun.elapsed() < SOON, "nobody tries to copy it");
        tokio::time::sleep(INTERVAL).await;
    }
    assert_eq!(scene.objects(), before);
    set_away(&scene.store, false);
    while scene.objects() == before {
        assert!(begun.elapsed() < SOON, "it is not copied");
        tokio::time::sleep(INTERVAL).await;
    }
    copying.abort();
    drop(copying.await);
    scene.copies.copy().await.unwrap();
    assert_eq!(scene.restored().await, ["shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_asked_nothing_while_nothing_changes_and_the_last_change_is_copied_at_the_end() {
    let scene = scene().await;
    assert!(scene.copies.copy().await.unwrap(), "the server is in the catalog since");
    let requests = || scene.store.inner().requests();
    let before = requests();
    for _ in 0..3 {
        // A sign of life is no change.
        scene.cluster.beat(Vec::new()).await.unwrap();
        assert!(!scene.copies.copy().await.unwrap());
    }
    scene.copies.end().await;
    assert_eq!(requests(), before);
    let shop: Namespace = "shop".parse().unwrap();
    scene.cluster.take(&shop, Some(NamespaceSettings::default())).await.unwrap();
    scene.copies.end().await;
    assert_eq!(scene.restored().await, ["shop"]);
}
