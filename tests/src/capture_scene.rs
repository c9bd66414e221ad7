//! What tests of captures stand on: a database, and a store that it is captured to without a trace.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::app::App;
use crate::command::Walkeep;
use crate::database::{assert_same, beside, expected_bytes, number, sql};
use crate::footprint::footprint;

/// A folder `db` with `app.db`, and a store beside it.
#[derive(Debug)]
pub struct Scene {
    root: TempDir,
    /// The command, run in the folder that has both.
    pub walkeep: Walkeep,
}

impl Scene {
    /// With no database yet.
    #[expect(clippy::new_without_default, reason = "it makes folders")]
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("db")).unwrap();
        let walkeep = Walkeep::at(root.path());
        Self { root, walkeep }
    }

    /// With a table of 50 rows.
    #[must_use]
    pub fn with_rows(pragmas: &str) -> Self {
        let scene = Self::new();
        sql(&scene.db(), &format!("{pragmas}; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)"));
        sql(&scene.db(), &insert(50));
        scene
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.path("db/app.db")
    }

    /// Starts an application on the database.
    #[must_use]
    pub fn app(&self) -> App {
        App::start(&self.db())
    }

    /// Captures, and fails if anything of the database or in its folder changed.
    #[track_caller]
    pub fn capture(&self) -> u64 {
        let before = footprint(&self.path("db"));
        let frame = self.walkeep.replicate("db/app.db");
        assert_eq!(before, footprint(&self.path("db")), "the capture left a trace");
        frame
    }

    /// Captures without a trace, and fails unless the restored file is the database.
    #[track_caller]
    pub fn capture_is_exact(&self) -> u64 {
        let expected = expected_bytes(&self.db());
        let frame = self.capture();
        assert_same(&self.walkeep.restored("app", frame), &expected, "the restored database");
        frame
    }

    /// What a query gives on the restored database.
    #[must_use]
    pub fn query_restored(&self, frame: u64, query: &str) -> i64 {
        let path = self.path("query.db");
        fs::write(&path, self.walkeep.restored("app", frame)).unwrap();
        let found = number(&path, query);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&path, suffix));
        }
        found
    }
}

/// SQL that adds rows of 300 random bytes, on one line.
#[must_use]
pub fn insert(rows: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO t (b) SELECT randomblob(300) FROM n;"
    )
}

/// A database in WAL mode, and an application that has it open.
#[must_use]
pub fn live() -> (Scene, App) {
    let scene = Scene::with_rows("PRAGMA journal_mode = wal");
    let mut app = scene.app();
    app.run("PRAGMA wal_autocheckpoint = 0");
    (scene, app)
}
