//! `walkeep demo`: a small shop, a mistake, and the way back.
//!
//! Everything is real: SQLite writes the database, the same code as in the other commands stores and restores it,
//! and what is restored is compared byte by byte with copies made at the time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use serde::Serialize;
use walkeep::backends::StoreUrl;
use walkeep::core::{FrameNo, Namespace};
use walkeep_sqlite::Captured;

use super::replicate::capture_into;
use crate::args::{CheckArg, DemoArgs, LogArgs, NamespaceArgs, RestoreArgs, StoreArgs};
use crate::output;
use crate::store::Store;
use crate::store_format::FormatArgs;

/// What the demo came to, for machines.
#[derive(Serialize)]
struct Document {
    frames: Vec<u64>,
    orders_before_mistake: i64,
    orders_after_mistake: i64,
    restored_equal: bool,
    directory: Option<PathBuf>,
}

pub(super) async fn run(args: &DemoArgs, json: bool) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("walkeep-demo-").tempdir()?;
    let path = directory.path().to_path_buf();
    let shop = Shop::new(&path, json)?;
    let outcome = shop.tell().await;
    let directory = if args.keep { Some(directory.keep()) } else { None };
    let mut document = outcome?;
    if let Some(directory) = &directory {
        shop.say(format!("The files are in {}.", directory.display()));
    }
    document.directory = directory;
    if json { output::json(&document) } else { Ok(()) }
}

struct Shop {
    directory: PathBuf,
    namespace: Namespace,
    store: Store,
    json: bool,
}

impl Shop {
    fn new(directory: &Path, json: bool) -> anyhow::Result<Self> {
        let store = Store::create(&StoreUrl::Directory(directory.join("store")))?;
        Ok(Self { directory: directory.to_path_buf(), namespace: Namespace::new("shop")?, store, json })
    }

    async fn tell(&self) -> anyhow::Result<Document> {
        self.say(
            "A shop keeps its orders in a SQLite database, shop.db. Walkeep stores it while it changes.\n",
        );
        let connection = Connection::open(self.path("shop.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, cents INTEGER NOT NULL);",
        )?;
        let first = self.sell(&connection, "Monday", 100).await?;
        let second = self.sell(&connection, "Tuesday", 150).await?;
        self.copy_to("before.copy")?;
        let before = count_orders(&connection)?;

        self.say("\nThen a mistake: a DELETE without its WHERE.\n");
        self.sql("DELETE FROM orders");
        connection.execute_batch("DELETE FROM orders")?;
        let third = self.replicate().await?;
        self.copy_to("latest.copy")?;
        let after = count_orders(&connection)?;
        self.say(format!("   the shop has {after} orders left"));

        self.say("\nThe log lists every state that was stored, newest first:\n");
        self.log().await?;
        self.say(format!("\nThe mistake is frame {}. Back to just before it:\n", third.durable_frame_no));
        self.restore("before.db", Some(second.durable_frame_no)).await?;
        self.prove("before.db", "before.copy", before)?;
        self.say("\nAnd the newest state, mistake and all:\n");
        self.restore("latest.db", None).await?;
        self.prove("latest.db", "latest.copy", after)?;
        self.say(
            "\nBoth restored files are byte for byte what the database was (as copied at the time and checkpointed).\n\
             Every page was checked against the checksums that were stored with it.",
        );
        let frames = [first, second, third].iter().map(|captured| captured.durable_frame_no.get()).collect();
        Ok(Document {
            frames,
            orders_before_mistake: before,
            orders_after_mistake: after,
            restored_equal: true,
            directory: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn say(&self, text: impl std::fmt::Display) {
        if !self.json {
            output::line(text);
        }
    }

    fn command(&self, text: impl std::fmt::Display) {
        self.say(format!("$ walkeep {text}"));
    }

    fn sql(&self, text: &str) {
        self.say(format!("$ sqlite3 shop.db \"{text}\""));
    }

    /// One day of orders, then a capture.
    async fn sell(&self, connection: &Connection, day: &str, orders: u32) -> anyhow::Result<Captured> {
        self.say(format!("{day}: {orders} orders."));
        let transaction = connection.unchecked_transaction()?;
        for order in 0..orders {
            transaction.execute(
                "INSERT INTO orders (customer, cents) VALUES (?1, ?2)",
                (format!("{day} customer {order}"), 100 + 7 * order),
            )?;
        }
        transaction.commit()?;
        self.replicate().await
    }

    async fn replicate(&self) -> anyhow::Result<Captured> {
        self.command("replicate shop.db ./store --once");
        let captured =
            capture_into(&self.store, &self.path("shop.db"), &self.namespace, Duration::from_secs(5)).await?;
        self.say(format!(
            "   stored {} ({}) as frame {}",
            output::count(captured.pages_stored, "changed page"),
            output::bytes(captured.bytes_stored),
            captured.durable_frame_no
        ));
        Ok(captured)
    }

    fn from(&self) -> anyhow::Result<NamespaceArgs> {
        let store = self.path("store").display().to_string().parse().map_err(anyhow::Error::msg)?;
        let format = FormatArgs::default();
        Ok(NamespaceArgs { store: StoreArgs { store }, format, namespace: Some(self.namespace.clone()) })
    }

    async fn log(&self) -> anyhow::Result<()> {
        self.command("log ./store -n shop");
        if self.json {
            return Ok(());
        }
        super::log::run(
            &LogArgs { from: self.from()?, since: None, until: None, limit: None, points: false },
            false,
        )
        .await
    }

    async fn restore(&self, name: &str, frame: Option<FrameNo>) -> anyhow::Result<()> {
        let point = frame.map_or_else(String::new, |frame| format!(" --frame {frame}"));
        self.command(format!("restore ./store -n shop{point} -o {name}"));
        let args = RestoreArgs {
            pin: None,
            from: self.from()?,
            output: None,
            at: None,
            frame,
            dry_run: false,
            force: false,
            integrity_check: CheckArg::Full,
            max_db_size: 1 << 30,
        };
        super::restore::write_quietly(&args, &self.path(name)).await
    }

    /// A copy of the database as it is now: the file with its log, checkpointed in the copy.
    fn copy_to(&self, name: &str) -> anyhow::Result<()> {
        for suffix in ["", "-wal"] {
            let copy = self.path(&format!("{name}{suffix}"));
            std::fs::copy(self.path(&format!("shop.db{suffix}")), copy).context("copy the database")?;
        }
        let copy = Connection::open(self.path(name))?;
        copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn prove(&self, restored: &str, copy: &str, orders: i64) -> anyhow::Result<()> {
        let equal = std::fs::read(self.path(restored))? == std::fs::read(self.path(copy))?;
        ensure!(equal, "{restored} differs from {copy}: this is a defect of Walkeep, please report it");
        let found = count_orders(&Connection::open(self.path(restored))?)?;
        ensure!(found == orders, "{restored} has {found} orders, expected {orders}");
        self.say(format!("   {restored}: {orders} orders, equal to the copy made at the time"));
        Ok(())
    }
}

fn count_orders(connection: &Connection) -> anyhow::Result<i64> {
    Ok(connection.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?)
}
