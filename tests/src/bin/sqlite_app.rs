//! An application that uses SQLite, in a process of its own: POSIX locks are those of a process, so a test that
//! wants a second user of a database needs one.
//!
//! `sqlite_app DB` runs SQL from stdin, one line at a time, and answers each with one line on stdout: `ok` and the
//! columns of the last row joined by `|`, or `error` and why. `sqlite_app DB transfers` and `sqlite_app DB churn`
//! work at full speed until stdin ends, and then say how much they did.
#![allow(clippy::unwrap_used, clippy::missing_docs_in_private_items, reason = "test code")]

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection};
use walkeep_tests::database::ACCOUNTS;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let path = args.next().unwrap();
    let mode = args.next().unwrap_or_default();
    let done = match mode.to_str().unwrap() {
        "" => return converse(Path::new(&path)),
        "transfers" => transfers(Path::new(&path)),
        "churn" => churn(Path::new(&path)),
        other => panic!("unknown mode {other}"),
    };
    say(&format!("ok {done}"));
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection
}

fn converse(path: &Path) {
    let connection = open(path);
    for line in std::io::stdin().lock().lines() {
        match run(&connection, &line.unwrap()) {
            Ok(row) => say(&format!("ok {row}")),
            Err(error) => say(&format!("error {error}")),
        }
    }
}

/// Runs all statements of a line; the last row of the last one that had any.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<String> {
    let mut last = String::new();
    let mut batch = Batch::new(connection, sql);
    while let Some(mut statement) = batch.next()? {
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let texts = (0..columns).map(|at| row.get_ref(at).map(text)).collect::<Result<Vec<_>, _>>()?;
            last = texts.join("|");
        }
    }
    Ok(last)
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// What stdin says to one that works on its own.
#[derive(Default)]
struct Orders {
    over: AtomicBool,
    paused: AtomicBool,
    /// Whether it stands still because of that.
    still: AtomicBool,
}

const MOMENT: Duration = Duration::from_millis(1);

impl Orders {
    /// Listens until stdin ends. `pause` and `go` are answered once they are done.
    fn listen() -> Arc<Self> {
        let orders = Arc::new(Self::default());
        let listening = Arc::clone(&orders);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let pause = line.unwrap() == "pause";
                listening.paused.store(pause, Ordering::SeqCst);
                while listening.still.load(Ordering::SeqCst) != pause {
                    std::thread::sleep(MOMENT);
                }
                say("ok");
            }
            listening.over.store(true, Ordering::SeqCst);
            listening.paused.store(false, Ordering::SeqCst);
        });
        orders
    }

    /// Waits while there is a pause; whether to work then.
    fn work(&self) -> bool {
        while self.paused.load(Ordering::SeqCst) {
            self.still.store(true, Ordering::SeqCst);
            std::thread::sleep(MOMENT);
        }
        self.still.store(false, Ordering::SeqCst);
        !self.over.load(Ordering::SeqCst)
    }
}

/// One transfer between two accounts, in several statements: half of it would break the sum.
fn transfer(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let (from, to, amount) = (number * 7919 % ACCOUNTS, (number * 104_729 + 1) % ACCOUNTS, number % 97);
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let take = "UPDATE accounts SET balance = balance - ?2, note = randomblob(40 + ?2) WHERE id = ?1";
    let give = "UPDATE accounts SET balance = balance + ?2, note = randomblob(140 - ?2) WHERE id = ?1";
    connection.execute(take, (from, amount))?;
    connection.execute(give, (to, amount))?;
    connection.execute("UPDATE done SET transfers = transfers + 1", ())?;
    connection.execute_batch("COMMIT")
}

fn transfers(path: &Path) -> i64 {
    let orders = Orders::listen();
    let connection = open(path);
    let mut number = 0;
    while orders.work() {
        transfer(&connection, number).unwrap();
        number += 1;
    }
    number
}

/// Opens, writes, sometimes checkpoints, closes: the `-shm` comes and goes.
fn churn(path: &Path) -> i64 {
    let orders = Orders::listen();
    let mut number = 0;
    while orders.work() {
        let connection = open(path);
        for _ in 0..=number % 3 {
            transfer(&connection, number).unwrap();
            number += 1;
        }
        let how = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"].get(usize::try_from(number % 9).unwrap());
        if let Some(how) = how {
            // Whether it got through does not matter.
            let _ = connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
        }
        drop(connection);
        std::thread::sleep(Duration::from_millis(number.unsigned_abs() % 4));
    }
    number
}
