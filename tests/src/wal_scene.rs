//! What tests of SQLite's log stand on: a database in WAL mode, an application in a process of its own, and
//! connections of ours that change nothing.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;

use crate::app::App;
use crate::database::sql;
use crate::wal_file::WalFiles;

/// A database in a folder of its own.
#[derive(Debug)]
pub struct WalScene {
    root: TempDir,
}

/// The result of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// Whether somebody was in the way of it.
    pub busy: i64,
    /// Frames in the log.
    pub log: i64,
    /// Frames that are in the database file.
    pub done: i64,
}

impl WalScene {
    /// With a table of 20 rows of about a page each.
    #[must_use]
    pub fn new(pragmas: &str) -> Self {
        let scene = Self { root: tempfile::tempdir().unwrap() };
        let table = "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)";
        sql(&scene.db(), &format!("{pragmas}; {table}; {}", write(20)));
        scene
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.root.path().join("app.db")
    }

    /// An application that has the database open and leaves checkpoints to others.
    #[must_use]
    pub fn app(&self) -> App {
        let mut app = self.app_unread();
        app.run("PRAGMA wal_autocheckpoint = 0; PRAGMA busy_timeout = 0; SELECT count(*) FROM t");
        app
    }

    /// An application that has not looked at the database yet.
    #[must_use]
    pub fn app_unread(&self) -> App {
        App::start(&self.db())
    }

    /// The files, while somebody has them open.
    #[must_use]
    pub fn files(&self) -> WalFiles {
        WalFiles::open(&self.db())
    }

    /// A connection of this process that does not checkpoint, not even when it closes.
    #[must_use]
    pub fn ours(&self) -> Connection {
        let ours = self.ours_unread();
        let frames: i64 = ours.query_row("PRAGMA wal_autocheckpoint = 0", [], |row| row.get(0)).unwrap();
        assert_eq!(frames, 0);
        ours
    }

    /// One that has not looked at the database yet.
    #[must_use]
    pub fn ours_unread(&self) -> Connection {
        let ours = Connection::open(self.db()).unwrap();
        ours.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        ours.busy_timeout(Duration::ZERO).unwrap();
        ours
    }
}

/// A transaction that adds rows of about a page each.
#[must_use]
pub fn write(rows: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t SELECT NULL, randomblob(3000) FROM n;"
    )
    .replace('\n', " ")
}

/// Begins a read transaction: from here on the connection holds a read mark.
pub fn hold(ours: &Connection) {
    ours.execute_batch("BEGIN").unwrap();
    ours.query_row("PRAGMA user_version", [], |_| Ok(())).unwrap();
}

/// Ends it.
pub fn release(ours: &Connection) {
    ours.execute_batch("COMMIT").unwrap();
}

/// Runs a checkpoint on a connection of ours.
#[must_use]
pub fn checkpoint(ours: &Connection, mode: &str) -> Checkpointed {
    let row =
        |row: &rusqlite::Row<'_>| Ok(Checkpointed { busy: row.get(0)?, log: row.get(1)?, done: row.get(2)? });
    ours.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], row).unwrap()
}

/// Runs one in an application.
pub fn checkpoint_by(app: &mut App, mode: &str) -> Checkpointed {
    let row = app.run(&format!("PRAGMA wal_checkpoint({mode})"));
    let numbers = row.split('|').map(|number| number.parse().unwrap()).collect::<Vec<i64>>();
    Checkpointed { busy: numbers[0], log: numbers[1], done: numbers[2] }
}
