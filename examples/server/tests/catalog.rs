//! A server's catalog survives the loss of the machine: it is copied into the store while the server runs and when it stops.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use walkeep_tests::command::Walkeep;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);

struct Machine {
    root: PathBuf,
    address: String,
    client: Client,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    fn new(root: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { root: root.to_path_buf(), address: format!("127.0.0.1:{port}"), client: Client::new() }
    }

    fn command(&self, interval: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walkeep-server-example"));
        command.current_dir(&self.root).args(["--data", "data", "--store", "store", "--catalog", "catalog"]);
        command.args(["--node", "a", "--listen", &self.address, "--catalog-copy-interval", interval]);
        command
    }

    fn start(&self, interval: &str) -> Running {
        let mut child = self.command(interval).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), format!("listening on {}", self.address));
        Running(child)
    }

    /// Starts a server that must refuse; what it says.
    fn refused(&self) -> String {
        let mut child = self.command("60").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut says = String::new();
        child.stderr.take().unwrap().read_to_string(&mut says).unwrap();
        assert!(!child.wait().unwrap().success(), "{says}");
        says
    }

    /// A new tenant with one row, which is in the store when this returns.
    async fn create(&self, tenant: &str, quota: u64) {
        let url = format!("http://{}/tenants/{tenant}", self.address);
        let created =
            self.client.put(&url).json(&json!({ "quota": { "bytes": quota } })).send().await.unwrap();
        assert_eq!(created.status(), StatusCode::CREATED);
        self.sql(tenant, "CREATE TABLE t (a)").await;
        self.sql(tenant, &format!("INSERT INTO t VALUES ('{tenant}')")).await;
    }

    async fn sql(&self, tenant: &str, statement: &str) -> Value {
        let url = format!("http://{}/tenants/{tenant}/sql", self.address);
        let request = self.client.post(url).json(&json!({ "sql": statement })).header("Durability", "store");
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{statement}: {body}");
        body["rows"].clone()
    }

    /// The files of the copies in the store, with what changes with each.
    fn copies(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) =
            (Vec::new(), vec![self.root.join("store/namespaces/__catalog/copies")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }

    /// Whether the newest copy has a tenant. A restoring would claim the copies; what it would do is asked of a copy of the store.
    fn has_copy_of(&self, tenant: &str) -> bool {
        let elsewhere = tempfile::tempdir().unwrap();
        copy_all(&self.root.join("store"), &elsewhere.path().join("store"));
        let walkeep = Walkeep::at(elsewhere.path());
        let restored = walkeep.run(&["catalog", "restore", "store", "--catalog", "catalog"]);
        restored.code == Some(0)
            && walkeep.run(&["catalog", "show", tenant, "--catalog", "catalog"]).code == Some(0)
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn lose(&self) {
        for lost in ["data", "catalog"] {
            fs::remove_dir_all(self.root.join(lost)).unwrap();
        }
    }

    fn restore(&self) {
        let walkeep = Walkeep::at(&self.root);
        walkeep.ok(&["catalog", "restore", "store", "--catalog", "catalog"]);
    }

    /// The quota of a tenant, by the catalog, while no server has it.
    fn quota(&self, tenant: &str) -> Option<u64> {
        let walkeep = Walkeep::at(&self.root);
        let shown = walkeep.ok(&["catalog", "show", tenant, "--catalog", "catalog", "--json"]).json();
        shown["settings"]["quota"]["bytes"].as_u64()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test copies a store as a user would, with no handle")]
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            // One that was removed meanwhile was replaced by a newer one.
            let _ = fs::copy(entry.path(), to);
        }
    }
}

fn stop(mut server: Running) -> ExitStatus {
    let told = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert!(told.success());
    server.0.wait().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_there_again_after_the_machine_and_its_catalog_are_lost() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path());
    let server = machine.start("0.2");
    machine.create("shop", 50_000_000).await;
    machine.create("wiki", 60_000_000).await;
    machine.until("the tenants are copied", || machine.has_copy_of("wiki"));
    // Signs of life alone change nothing that is copied.
    let copies = machine.copies();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(machine.copies(), copies);
    drop(server);
    machine.lose();

    // A new catalog would not know whose tenants these are, and what they may take.
    let says = machine.refused();
    assert!(says.contains("walkeep catalog restore"), "{says}");
    machine.restore();
    assert_eq!((machine.quota("shop"), machine.quota("wiki")), (Some(50_000_000), Some(60_000_000)));
    let server = machine.start("3600");
    for tenant in ["shop", "wiki"] {
        assert_eq!(machine.sql(tenant, "SELECT a FROM t").await, json!([[tenant]]));
    }

    // What changes between two copies is copied when the server is told to stop.
    machine.create("late", 70_000_000).await;
    assert!(!machine.has_copy_of("late"));
    assert!(stop(server).success());
    machine.lose();
    machine.restore();
    assert_eq!(machine.quota("late"), Some(70_000_000));
    let _server = machine.start("3600");
    assert_eq!(machine.sql("late", "SELECT a FROM t").await, json!([["late"]]));
}
