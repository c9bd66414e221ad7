//! What the server answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use walkeep::backends::memory::Memory;
use walkeep::core::{Erased, FrameNo, PageSize, Storage};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::{Bucket, DATABASE_BYTES_MAX, Error, Handles, RestorePoint, View};
use walkeep_server_example::routes::Server as Served;
use walkeep_server_example::{Tenants, router};
use walkeep_tests::flaky::{Fault, Flaky};
use walkeep_tests::sick::{Ailment, Sick};

const LONG: Duration = Duration::from_secs(60);

/// A server in this process, on a store that can be made to hang.
struct Server {
    root: TempDir,
    store: Arc<Sick<Memory>>,
    tenants: Arc<Tenants>,
    address: String,
    client: Client,
}

struct Answer {
    status: StatusCode,
    frame: Option<u64>,
    body: Value,
}

impl Server {
    async fn start(timeout: Duration) -> Self {
        let store = Arc::new(Sick::over(Arc::new(Memory::new()), Duration::ZERO));
        Self::with(store, timeout).await
    }

    /// A new disk, and a store that is there.
    async fn with(store: Arc<Sick<Memory>>, timeout: Duration) -> Self {
        // Whoever was first has set the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        let tenants =
            Arc::new(Tenants::new(&data, Erased::shared(Arc::clone(&store)), "memory", None).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = router(Served { tenants: Arc::clone(&tenants), replicas: None, timeout });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { root, store, tenants, address, client: Client::new() }
    }

    fn data(&self) -> std::path::PathBuf {
        self.root.path().join("data")
    }

    async fn ask(&self, method: Method, path: &str, durability: Option<&str>, body: &str) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.address));
        if let Some(durability) = durability {
            request = request.header("Durability", durability);
        }
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let frame = response.headers().get("Walkeep-Frame").map(|frame| frame.to_str().unwrap().parse());
        let (status, frame) = (response.status(), frame.transpose().unwrap());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| text.into());
        Answer { status, frame, body }
    }

    async fn put(&self, tenant: &str) -> StatusCode {
        self.ask(Method::PUT, &format!("/tenants/{tenant}"), None, "").await.status
    }

    async fn sql(&self, tenant: &str, durability: Option<&str>, sql: &str, params: Value) -> Answer {
        let body = json!({ "sql": sql, "params": params }).to_string();
        self.ask(Method::POST, &format!("/tenants/{tenant}/sql"), durability, &body).await
    }

    async fn ok(&self, tenant: &str, sql: &str, params: Value) -> Value {
        let answer = self.sql(tenant, None, sql, params).await;
        assert_eq!(answer.status, StatusCode::OK, "{sql}: {}", answer.body);
        assert_eq!(answer.frame, None, "nobody asked for it");
        answer.body
    }
}

fn is_there(data: &Path, name: &str) -> bool {
    data.join(name).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_as_they_went() {
    let server = Server::start(LONG).await;
    assert_eq!(server.put("acme").await, StatusCode::CREATED);
    assert_eq!(server.put("acme").await, StatusCode::OK);
    server.ok("acme", "CREATE TABLE t (a, b, c, d, e)", json!([])).await;
    let insert = "INSERT INTO t VALUES (?1, ?2, ?3, ?4, x'0102')";
    assert_eq!(
        server.ok("acme", insert, json!([1, "zwei", 3.5, null])).await,
        json!({ "columns": [], "rows": [], "changes": 1 })
    );
    assert_eq!(
        server.ok("acme", "SELECT * FROM t WHERE a = ?1", json!([true])).await,
        json!({ "columns": ["a", "b", "c", "d", "e"], "rows": [[1, "zwei", 3.5, null, [1, 2]]], "changes": 0 })
    );
    let returning = server.ok("acme", "UPDATE t SET a = 2 RETURNING a", json!([])).await;
    assert_eq!(returning, json!({ "columns": ["a"], "rows": [[2]], "changes": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_stored_can_be_restored_by_its_frame() {
    let server = Server::start(LONG).await;
    server.put("acme").await;
    server.ok("acme", "CREATE TABLE t (a)", json!([])).await;
    let mut last = 0;
    for row in 1..=3 {
        let answer = server.sql("acme", Some("store"), "INSERT INTO t VALUES (?1)", json!([row])).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let frame = answer.frame.unwrap();
        assert!(frame > last);
        last = frame;
    }
    let bucket = Bucket::new(Arc::clone(&server.store), None).unwrap();
    let point = RestorePoint::Frame(FrameNo::new(last).unwrap());
    View::open(&bucket, &"acme".parse().unwrap(), point, DATABASE_BYTES_MAX).await.unwrap();
    // A new disk.
    let again = Server::with(Arc::clone(&server.store), LONG).await;
    assert!(server.tenants.close(LONG).await.is_empty());
    assert_eq!(again.ok("acme", "SELECT a FROM t", json!([])).await["rows"], json!([[1], [2], [3]]));
    assert!(is_there(&again.data(), "acme.db"));
    // It goes on from there.
    let answer = again.sql("acme", Some("store"), "INSERT INTO t VALUES (4)", json!([])).await;
    assert!(answer.frame.unwrap() > last, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_nowhere_is_not_found_and_not_made() {
    let server = Server::start(LONG).await;
    let answer = server.sql("nobody", None, "SELECT 1", json!([])).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!is_there(&server.data(), "nobody.db"));
    // Of a tenant that lost its disk before anything was stored there is a namespace, and nothing in it.
    let other =
        AsyncStorage::new(Arc::clone(&server.store), StorageOptions::default(), Handles::system()).unwrap();
    other.open(&"empty".parse().unwrap(), PageSize::DEFAULT, None).await.unwrap();
    let answer = server.sql("empty", None, "SELECT 1", json!([])).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    assert_eq!(server.put("empty").await, StatusCode::CREATED);
    for name in ["..", "%2e%2e%2fevil", ".hidden", "__walkeep", "a%20b"] {
        assert_ne!(server.put(name).await, StatusCode::CREATED, "{name}");
    }
    assert_eq!(server.put("__walkeep").await, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_restored_and_not_made_anew() {
    let server = Server::start(LONG).await;
    server.put("acme").await;
    server.ok("acme", "CREATE TABLE t (a)", json!([])).await;
    assert!(server.tenants.close(LONG).await.is_empty(), "everything is stored when it ends");
    let again = Server::with(Arc::clone(&server.store), LONG).await;
    assert_eq!(again.put("acme").await, StatusCode::OK, "it was there");
    assert_eq!(again.ok("acme", "SELECT count(*) FROM t", json!([])).await["rows"], json!([[0]]));
    // While the store does not say whether there is one, none is made.
    let third = Server::with(Arc::clone(&server.store), LONG).await;
    server.store.ail("acme", Some(Ailment::Refused));
    assert_eq!(third.put("acme").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!is_there(&third.data(), "acme.db"));
}

/// A server that was killed while it opened a namespace, and lost its disk: the newest commit cannot be told before
/// another opening has settled that. The tenant was once taken for one that is nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_was_cut_short_hides_no_tenant() {
    let server = Server::start(LONG).await;
    server.put("acme").await;
    server.ok("acme", "CREATE TABLE t (a)", json!([])).await;
    assert!(server.tenants.close(LONG).await.is_empty());
    // The claim is made, and never confirmed.
    let flaky = Arc::new(Flaky::over(Arc::clone(&server.store)));
    let killed = AsyncStorage::new(Arc::clone(&flaky), StorageOptions::default(), Handles::system()).unwrap();
    flaky.after(1, Fault::Refuse);
    killed.open(&"acme".parse().unwrap(), PageSize::DEFAULT, None).await.unwrap_err();
    let bucket = Bucket::new(Arc::clone(&server.store), None).unwrap();
    let latest = RestorePoint::Latest;
    let unsettled = View::open(&bucket, &"acme".parse().unwrap(), latest, DATABASE_BYTES_MAX).await;
    assert!(matches!(unsettled, Err(Error::Unreachable(_))), "{unsettled:?}");

    let again = Server::with(Arc::clone(&server.store), LONG).await;
    assert_eq!(again.put("acme").await, StatusCode::OK, "it was there");
    let answer = again.sql("acme", Some("store"), "INSERT INTO t VALUES (1)", json!([])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_is_unknown() {
    let server = Server::start(Duration::from_millis(200)).await;
    server.put("acme").await;
    let created = server.sql("acme", Some("store"), "CREATE TABLE t (a)", json!([])).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.body);
    server.store.ail("acme", Some(Ailment::Hangs));
    let answer = server.sql("acme", Some("store"), "INSERT INTO t VALUES (1)", json!([])).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((answer.frame, &answer.body["outcome"]), (None, &json!("unknown")));
    assert!(answer.body["error"].as_str().unwrap().contains("may or may not"), "{}", answer.body);
    // Nobody else waits for it: neither reads nor local writes.
    assert_eq!(server.ok("acme", "SELECT a FROM t", json!([])).await["rows"], json!([[1]]));
    server.ok("acme", "INSERT INTO t VALUES (2)", json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_fenced_is_served_no_more() {
    let server = Server::start(LONG).await;
    server.put("acme").await;
    let created = server.sql("acme", Some("store"), "CREATE TABLE t (a)", json!([])).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.body);
    let other =
        AsyncStorage::new(Arc::clone(&server.store), StorageOptions::default(), Handles::system()).unwrap();
    other.open(&"acme".parse().unwrap(), PageSize::DEFAULT, None).await.unwrap();
    let answer = server.sql("acme", Some("store"), "INSERT INTO t VALUES (1)", json!([])).await;
    assert_eq!((answer.status, &answer.body["outcome"]), (StatusCode::CONFLICT, &json!("unknown")));
    let answer = server.sql("acme", None, "INSERT INTO t VALUES (2)", json!([])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body["error"].as_str().unwrap().contains("taken over"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_keep_to_their_database_and_to_one_transaction() {
    let server = Server::start(LONG).await;
    server.put("acme").await;
    server.put("rival").await;
    server.ok("acme", "CREATE TABLE t (a)", json!([])).await;
    let rival = server.data().join("rival.db");
    for sql in [
        format!("ATTACH '{}' AS rival", rival.display()),
        format!("VACUUM INTO '{}'", server.root.path().join("copy.db").display()),
        "BEGIN".into(),
        "SAVEPOINT s".into(),
        "PRAGMA journal_mode = delete".into(),
        "PRAGMA wal_autocheckpoint = 1".into(),
        "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)".into(),
        "INSERT INTO t VALUES (?1, ?2)".into(),
        "  ".into(),
        "nonsense".into(),
    ] {
        let answer = server.sql("acme", None, &sql, json!([])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{sql}: {}", answer.body);
        assert!(
            answer.body["error"].is_string() && answer.body["outcome"].is_null(),
            "{sql}: {}",
            answer.body
        );
    }
    for params in [json!([[1]]), json!([18_446_744_073_709_551_615_u64]), json!([]), json!([1, 2])] {
        let answer = server.sql("acme", None, "INSERT INTO t VALUES (?1)", params.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{params}: {}", answer.body);
    }
    let answer = server.sql("acme", Some("perhaps"), "INSERT INTO t VALUES (1)", json!([])).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    for body in ["{}", "{", r#"{"sql": "SELECT 1", "parameters": []}"#] {
        let answer = server.ask(Method::POST, "/tenants/acme/sql", None, body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
        assert!(answer.body["error"].is_string(), "{body}: {}", answer.body);
    }
    assert_eq!(server.ok("acme", "SELECT count(*) FROM t", json!([])).await["rows"], json!([[0]]));
}
