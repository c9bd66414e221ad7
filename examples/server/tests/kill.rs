//! The server is killed at random, loses its disk now and then, and comes back with everything that it acknowledged.
//!
//! Each tenant is a bank. A transfer is a row with a number of its own; a trigger moves the money in the same
//! transaction. So it can be told which transfers are there, and what the balances must be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use walkeep_tests::handles::SeededRandom;

const TENANTS: [&str; 3] = ["north", "south", "west"];
const CLIENTS: u64 = 2;
const ACCOUNTS: i64 = 10;
const BALANCE: i64 = 1000;

const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS transfers (id INTEGER PRIMARY KEY, source, target, amount, note)",
    "CREATE TRIGGER IF NOT EXISTS transfer AFTER INSERT ON transfers BEGIN
       UPDATE accounts SET balance = balance - new.amount WHERE id = new.source;
       UPDATE accounts SET balance = balance + new.amount WHERE id = new.target;
     END",
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
       INSERT OR IGNORE INTO accounts SELECT i, 1000 FROM n",
];

/// A transfer: source, target, amount.
type Transfer = (i64, i64, i64);

/// What was asked of one tenant, and what was acknowledged.
#[derive(Default)]
struct Books {
    asked: BTreeMap<u64, Transfer>,
    /// By the store.
    stored: BTreeSet<u64>,
    /// By the disk alone.
    local: BTreeSet<u64>,
}

/// A server in a process of its own.
struct Server {
    child: Child,
    address: String,
}

fn spawn(data: &Path, store: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walkeep-server-example"));
    command.arg("--data").arg(data).args(["--store", store, "--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

impl Server {
    fn start(data: &Path, store: &str) -> Self {
        let mut child = spawn(data, store);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        Self { child, address: format!("http://{address}") }
    }

    /// SIGKILL.
    fn kill(mut self) {
        kill(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that failed nothing stays behind.
        let _ = self.child.kill();
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.code().is_none(), "it ended by itself: {status}");
}

/// What came of a statement: `None` when the server went away, or does not know.
async fn sql(
    client: &Client,
    address: &str,
    tenant: &str,
    durability: &str,
    sql: &str,
    params: Value,
) -> Option<Value> {
    let request = client.post(format!("{address}/tenants/{tenant}/sql")).header("Durability", durability);
    let response = request.json(&json!({ "sql": sql, "params": params })).send().await.ok()?;
    let (status, framed) = (response.status(), response.headers().contains_key("Walkeep-Frame"));
    let body: Value = response.json().await.ok()?;
    if status == StatusCode::GATEWAY_TIMEOUT {
        return None;
    }
    assert_eq!(status, StatusCode::OK, "{sql}: {body}");
    assert_eq!(framed, durability == "store");
    Some(body)
}

/// Transfers without end, until the server goes away: what was asked, and what was acknowledged.
async fn load(address: String, tenant: &'static str, numbers: Arc<AtomicU64>, seed: u64) -> Books {
    let (client, random) = (Client::new(), SeededRandom::new(seed));
    let mut books = Books::default();
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let account = || random.below(ACCOUNTS as u64) as i64;
        let transfer = (account(), account(), random.below(50) as i64);
        let durability = if random.below(3) == 0 { "local" } else { "store" };
        let note = "x".repeat(random.below(2000) as usize);
        let params = json!([number, transfer.0, transfer.1, transfer.2, note]);
        books.asked.insert(number, transfer);
        let insert = "INSERT INTO transfers VALUES (?1, ?2, ?3, ?4, ?5)";
        if sql(&client, &address, tenant, durability, insert, params).await.is_none() {
            return books;
        }
        if durability == "store" {
            books.stored.insert(number)
        } else {
            books.local.insert(number)
        };
    }
}

/// Makes the banks, as far as they are not there.
async fn found(server: &Server) {
    let client = Client::new();
    for tenant in TENANTS {
        let request = client.put(format!("{}/tenants/{tenant}", server.address));
        let response = request.header("Durability", "store").send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        for statement in SCHEMA {
            sql(&client, &server.address, tenant, "store", statement, json!([])).await.unwrap();
        }
    }
}

async fn rows(server: &Server, tenant: &str, query: &str) -> Vec<Vec<i64>> {
    let body = sql(&Client::new(), &server.address, tenant, "local", query, json!([])).await.unwrap();
    serde_json::from_value(body["rows"].clone()).unwrap()
}

/// Everything acknowledged is there, nothing else that was not asked for, and the balances follow from the transfers.
async fn check(server: &Server, tenant: &str, books: &mut Books, wiped: bool, what: &str) {
    let mut there = BTreeSet::new();
    let mut balances = vec![BALANCE; ACCOUNTS as usize];
    for row in rows(server, tenant, "SELECT id, source, target, amount FROM transfers").await {
        let [id, source, target, amount] = row[..] else { panic!("{row:?}") };
        assert_eq!(books.asked.get(&(id as u64)), Some(&(source, target, amount)), "{what}: {tenant}, {id}");
        there.insert(id as u64);
        balances[source as usize] -= amount;
        balances[target as usize] += amount;
    }
    let lost = books.stored.difference(&there).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{what}: {tenant} has lost {lost:?}, which were acknowledged by the store");
    if !wiped {
        let lost = books.local.difference(&there).collect::<Vec<_>>();
        assert!(lost.is_empty(), "{what}: {tenant} has lost {lost:?}, which were on its disk");
    }
    books.local.retain(|id| there.contains(id));
    let found = rows(server, tenant, "SELECT balance FROM accounts ORDER BY id").await;
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), balances, "{what}: {tenant}");
    assert_eq!(balances.iter().sum::<i64>(), ACCOUNTS * BALANCE, "{what}: {tenant}");
}

async fn kill_and_check(store: &str, times: u64, seed: u64) {
    // Whoever was first has set the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let random = SeededRandom::new(seed);
    let root = tempfile::tempdir().unwrap();
    let data: PathBuf = root.path().join("data");
    let numbers = Arc::new(AtomicU64::new(1));
    let mut books = TENANTS.map(|tenant| (tenant, Books::default()));
    let mut wipes = 0;
    let server = Server::start(&data, store);
    found(&server).await;
    server.kill();
    for time in 0..times {
        let mut wiped = false;
        // Entirely, in the first third at the latest.
        if time % 4 == 2 || random.below(5) == 0 {
            std::fs::remove_dir_all(&data).unwrap();
            (wiped, wipes) = (true, wipes + 1);
        }
        if random.below(4) == 0 {
            // In the middle of a start, which may be restoring.
            let mut child = spawn(&data, store);
            tokio::time::sleep(Duration::from_millis(random.below(150))).await;
            kill(&mut child);
        }
        let server = Server::start(&data, store);
        let what = format!("seed {seed}, time {time}, {}", if wiped { "wiped" } else { "with its disk" });
        for (tenant, books) in &mut books {
            check(&server, tenant, books, wiped, &what).await;
        }
        let clients = TENANTS.iter().flat_map(|tenant| (0..CLIENTS).map(move |client| (*tenant, client)));
        let loads = clients.map(|(tenant, _)| {
            let load = load(server.address.clone(), tenant, Arc::clone(&numbers), random.next_u64());
            (tenant, tokio::spawn(load))
        });
        let loads = loads.collect::<Vec<_>>();
        tokio::time::sleep(Duration::from_millis(20 + random.below(400))).await;
        server.kill();
        for (of, load) in loads {
            let done = load.await.unwrap();
            let (_, books) = books.iter_mut().find(|(tenant, _)| *tenant == of).unwrap();
            books.asked.extend(done.asked);
            books.stored.extend(done.stored);
            books.local.extend(done.local);
        }
    }
    let server = Server::start(&data, store);
    for (tenant, books) in &mut books {
        check(&server, tenant, books, false, "in the end").await;
    }
    server.kill();
    let stored = books.iter().map(|(_, books)| books.stored.len() as u64).sum::<u64>();
    println!(
        "{times} times killed, {wipes} times without its disk, {stored} transfers acknowledged by the store"
    );
    assert!(wipes > 0 && stored > 2 * times, "{wipes} wipes, {stored} transfers");
}

async fn on_a_directory(times: u64, seed: u64) {
    let root = tempfile::tempdir().unwrap();
    kill_and_check(root.path().join("store").to_str().unwrap(), times, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_a_directory_it_comes_back_with_everything_acknowledged() {
    on_a_directory(15, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the long form"]
async fn killed_100_times_on_a_directory_it_comes_back_with_everything_acknowledged() {
    on_a_directory(100, 2).await;
}

#[cfg(feature = "s3-tests")]
mod s3 {
    //! On the server that `tests/with-s3` names, whose credentials go the way that a user's go.

    use walkeep::backends::os::SystemRandom;
    use walkeep::core::Random;

    use super::*;

    async fn on_s3(times: u64, seed: u64) {
        let variable = |name: &str| {
            let name = format!("WALKEEP_TEST_S3_{name}");
            std::env::var(&name)
                .unwrap_or_else(|_| panic!("{name} is not set: run `tests/with-s3 cargo test ...`"))
        };
        let keys = [("AWS_ACCESS_KEY_ID", "ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "SECRET_KEY")];
        if std::env::var(keys[0].0).as_deref() != Ok(variable(keys[0].1).as_str()) {
            // In a process of its own: an environment is not changed while threads read it.
            let test = std::thread::current().name().unwrap().to_string();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", &test, "--include-ignored", "--nocapture"]);
            let status = command.envs(keys.map(|(key, name)| (key, variable(name)))).status().unwrap();
            assert!(status.success(), "{status}");
            return;
        }
        let mut run = [0; 8];
        SystemRandom.fill(&mut run).unwrap();
        let prefix = format!("server-{:016x}", u64::from_le_bytes(run));
        let (bucket, endpoint) = (variable("BUCKET"), variable("ENDPOINT"));
        let store = format!("s3://{bucket}/{prefix}?endpoint={endpoint}&allow_http=true");
        kill_and_check(&store, times, seed).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn killed_on_s3_it_comes_back_with_everything_acknowledged() {
        on_s3(10, 3).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "the long form"]
    async fn killed_100_times_on_s3_it_comes_back_with_everything_acknowledged() {
        on_s3(100, 4).await;
    }
}
