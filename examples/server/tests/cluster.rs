//! Two servers share a catalog and a store: a tenant moves between them, and is taken over from one that is killed, and
//! nothing that was acknowledged is missing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(90);

/// A server in a process of its own, at an address that it keeps.
struct Node {
    child: Option<Child>,
    name: &'static str,
    address: String,
}

impl Node {
    fn new(name: &'static str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { child: None, name, address: format!("127.0.0.1:{port}") }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(&mut self, root: &Path) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walkeep-server-example"));
        command.arg("--data").arg(root.join(self.name)).arg("--store").arg(root.join("store"));
        command.arg("--catalog").arg(root.join("catalog")).args([
            "--node",
            self.name,
            "--listen",
            &self.address,
        ]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("listening on {}", self.address));
        self.child = Some(child);
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }
}

async fn sql(
    client: &Client,
    url: &str,
    headers: &[(&str, &str)],
    sql: &str,
    params: Value,
) -> Option<Response> {
    let request =
        client.post(format!("{url}/tenants/shop/sql")).json(&json!({ "sql": sql, "params": params }));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.ok()
}

/// Runs a statement wherever the tenant is served, for as long as it takes.
async fn run(client: &Client, url: &mut String, statement: &str, params: Value) -> Value {
    let (begun, home) = (Instant::now(), url.clone());
    loop {
        assert!(begun.elapsed() < SOON, "{statement}: nobody serves it");
        let Some(response) = sql(client, url, &[("Durability", "store")], statement, params.clone()).await
        else {
            // It was named by another one, which may know better by now.
            url.clone_from(&home);
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        match status {
            StatusCode::OK => return body,
            StatusCode::MISDIRECTED_REQUEST => *url = body["address"].as_str().unwrap().to_string(),
            // Being moved; or fenced, so that the outcome is not known.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT => {}
            other => panic!("{statement}: {other}: {body}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Inserts numbers until told to stop, and returns those that were acknowledged by the store.
async fn write(mut url: String, done: Arc<AtomicBool>, first: u64) -> BTreeSet<u64> {
    let (client, mut acknowledged) = (Client::new(), BTreeSet::new());
    let mut number = first;
    while !done.load(Ordering::SeqCst) {
        run(&client, &mut url, "INSERT OR IGNORE INTO t VALUES (?1)", json!([number])).await;
        acknowledged.insert(number);
        number += 1;
    }
    acknowledged
}

async fn numbers(client: &Client, url: &mut String) -> BTreeSet<u64> {
    let body = run(client, url, "SELECT a FROM t", json!([])).await;
    let rows: Vec<Vec<u64>> = serde_json::from_value(body["rows"].clone()).unwrap();
    rows.into_iter().flatten().collect()
}

async fn move_to(client: &Client, from: &Node, to: &Node) {
    let request = client.post(format!("{}/tenants/shop/move", from.url())).json(&json!({ "node": to.name }));
    let response = request.send().await.unwrap();
    let (status, body) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!((status, body["address"].as_str()), (StatusCode::OK, Some(to.url().as_str())), "{body}");
}

/// What a replica on a server that does not serve the tenant answers: how many rows, at which frame.
async fn replicated(client: &Client, node: &Node) -> Option<(u64, u64)> {
    let response =
        sql(client, &node.url(), &[("Read", "replica")], "SELECT count(*) FROM t", json!([])).await?;
    let frame = response.headers().get("Walkeep-Frame")?.to_str().ok()?.parse().ok()?;
    let body: Value = response.json().await.ok()?;
    Some((body["rows"][0][0].as_u64()?, frame))
}

async fn reaches(client: &Client, node: &Node, rows: u64) {
    let begun = Instant::now();
    loop {
        let found = replicated(client, node).await;
        if found.is_some_and(|(count, frame)| count == rows && frame > 0) {
            return;
        }
        assert!(begun.elapsed() < SOON, "the replica on {} has {found:?} and not {rows}", node.name);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_between_running_servers_and_nothing_acknowledged_is_missing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (root, client) = (tempfile::tempdir().unwrap(), Client::new());
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    a.start(root.path());
    b.start(root.path());
    let created =
        client.put(format!("{}/tenants/shop", a.url())).header("Durability", "store").send().await.unwrap();
    assert_eq!(created.status(), StatusCode::CREATED);
    let elsewhere = client.put(format!("{}/tenants/shop", b.url())).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::MISDIRECTED_REQUEST);
    let mut url = b.url();
    run(&client, &mut url, "CREATE TABLE t (a INTEGER PRIMARY KEY)", json!([])).await;
    assert_eq!(url, a.url(), "the answer says whom to ask");

    let done = Arc::new(AtomicBool::new(false));
    let writers = [(a.url(), 1), (b.url(), 1_000_000)];
    let writers = writers.map(|(url, first)| tokio::spawn(write(url, Arc::clone(&done), first)));
    for (from, to) in [(&a, &b), (&b, &a), (&a, &b)] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        move_to(&client, from, to).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(acknowledged.len() > 10, "{acknowledged:?}");
    let there = numbers(&client, &mut url).await;
    assert_eq!(url, b.url());
    assert_eq!(acknowledged.difference(&there).collect::<Vec<_>>(), Vec::<&u64>::new());

    // A read replica on the server that does not serve it follows the log.
    reaches(&client, &a, there.len() as u64).await;
    run(&client, &mut url, "INSERT INTO t VALUES (?1)", json!([5_000_000])).await;
    reaches(&client, &a, there.len() as u64 + 1).await;
    let refused = sql(&client, &a.url(), &[("Read", "replica")], "DELETE FROM t", json!([])).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);

    // Nobody takes it from a server that is up; from one that was killed the other does.
    b.kill();
    let mut url = a.url();
    let taken = numbers(&client, &mut url).await;
    assert_eq!((taken.len(), url), (there.len() + 1, a.url()));

    // The old one is up again, with old files: it says who serves it, and gets it back with everything.
    b.start(root.path());
    let mut url = b.url();
    run(&client, &mut url, "INSERT INTO t VALUES (?1)", json!([6_000_000])).await;
    assert_eq!(url, a.url());
    move_to(&client, &a, &b).await;
    assert_eq!(numbers(&client, &mut url).await.len(), there.len() + 2);
    assert_eq!(url, b.url());

    let refused = client.post(format!("{}/tenants/shop/move", b.url())).json(&json!({ "node": "c" }));
    assert_eq!(refused.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let nodes: Value = client.get(format!("{}/nodes", a.url())).send().await.unwrap().json().await.unwrap();
    assert_eq!((nodes[0]["status"].as_str(), nodes[1]["node"].as_str()), (Some("up"), Some("b")), "{nodes}");
}
