//! Who is asked where a tenant is: the catalog, and the store about what the catalog does not know.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use walkeep::Handles;
use walkeep::backends::{Memory, Metered};
use walkeep::core::catalog::{NamespaceSettings, NodeId};
use walkeep::core::{Erased, Namespace};
use walkeep_server_example::sql::{Answer, Statement};
use walkeep_server_example::tenants::Found;
use walkeep_server_example::{Cluster, Tenant, Tenants};

type Store = Arc<Metered<Memory>>;

/// A server of its own data directory, with a store and a catalog that others share.
async fn server(root: &Path, name: &str, store: &Store) -> Tenants {
    let node = NodeId::new(name).unwrap();
    let cluster = Cluster::new(&root.join("catalog"), node, Handles::system()).unwrap();
    cluster.join(&format!("http://{name}")).await.unwrap();
    let backend = Erased::shared(Arc::clone(store));
    Tenants::new(&root.join(name), backend, "memory", Some(cluster)).unwrap()
}

/// The tenant, which must be served here; and whether it was created.
fn here(found: Found) -> (Arc<Tenant>, bool) {
    let Found::Here(tenant, created) = found else { panic!("{found:?}") };
    (tenant, created)
}

async fn run(tenant: &Tenant, sql: &str) -> Answer {
    let statement: Statement = serde_json::from_value(json!({ "sql": sql })).unwrap();
    tenant.run(statement).await.unwrap().0
}

/// A server with a tenant of one row, all of which is in the store.
async fn with_tenant(root: &Path, store: &Store, tenant: &Namespace) -> Tenants {
    let server = server(root, "a", store).await;
    let (opened, created) = here(server.create(tenant, NamespaceSettings::default()).await.unwrap());
    assert!(created);
    run(&opened, "CREATE TABLE t (a)").await;
    run(&opened, "INSERT INTO t VALUES (7)").await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_not_asked_about_a_tenant_that_the_catalog_knows_elsewhere() {
    let (root, store) = (tempfile::tempdir().unwrap(), Arc::new(Metered::new(Memory::new())));
    let shop: Namespace = "shop".parse().unwrap();
    let first = with_tenant(root.path(), &store, &shop).await;
    assert!(first.close(Duration::from_secs(60)).await.is_empty());
    let second = server(root.path(), "b", &store).await;
    let before = store.requests();
    for _ in 0..3 {
        let found = second.get(&shop).await.unwrap();
        assert!(matches!(found, Some(Found::Elsewhere(node)) if node.id.as_str() == "a"));
    }
    assert_eq!(store.requests(), before);
    assert!(second.get(&"nobody".parse().unwrap()).await.unwrap().is_none());
    assert_ne!(store.requests(), before, "that there is none, the store says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_catalog_was_wiped_is_served_and_not_created_afresh() {
    for create in [false, true] {
        let (root, store) = (tempfile::tempdir().unwrap(), Arc::new(Metered::new(Memory::new())));
        let shop: Namespace = "shop".parse().unwrap();
        let first = with_tenant(root.path(), &store, &shop).await;
        assert!(first.close(Duration::from_secs(60)).await.is_empty());
        for lost in ["a", "catalog"] {
            fs::remove_dir_all(root.path().join(lost)).unwrap();
        }
        let second = server(root.path(), "b", &store).await;
        let found = match create {
            true => second.create(&shop, NamespaceSettings::default()).await.unwrap(),
            false => second.get(&shop).await.unwrap().unwrap(),
        };
        let (tenant, created) = here(found);
        assert!(!created, "it was there before");
        assert_eq!(run(&tenant, "SELECT a FROM t").await.rows, [[json!(7)]]);
        assert!(second.close(Duration::from_secs(60)).await.is_empty());
    }
}
