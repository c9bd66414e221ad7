//! `walkeep replicate` as a user runs it: a process in the background that can be told to stop, limited, and killed.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use walkeep_sqlite::replication::{LocalStatus, Status, state_directory};

use crate::command::Walkeep;
use crate::replication_scene::{ReplicationScene, SOON};

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    says: PathBuf,
    state: PathBuf,
}

impl Daemon {
    /// Replicates the database of a scene to its store, which must be in a directory.
    #[must_use]
    pub fn start(scene: &ReplicationScene, args: &[&str]) -> Self {
        Self::start_by(&Walkeep::at(&scene.path("")), scene, args)
    }

    /// The same with a command that is prepared.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start_by(walkeep: &Walkeep, scene: &ReplicationScene, args: &[&str]) -> Self {
        let says = scene.path("said");
        let always = ["replicate", "app.db", "store", "-n", "app", "--sync-interval", "0.02"];
        let args = always.iter().chain(args).copied().collect::<Vec<_>>();
        let child = walkeep.clone().with("RUST_LOG", "info").spawn(&args, &says);
        let database = std::fs::canonicalize(scene.path("")).unwrap().join("app.db");
        Self { child, says, state: state_directory(&database) }
    }

    /// Everything that daemons of the scene have said.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.says).unwrap_or_default()
    }

    /// The status that it has written last, if it has yet.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        LocalStatus::read(&self.state).unwrap().filter(|found| found.runs).map(|found| found.status)
    }

    /// Waits for a status that it writes.
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[track_caller]
    pub fn reach(&mut self, wanted: impl Fn(&Status) -> bool) -> Status {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if let Some(status) = status.as_ref().filter(|status| wanted(status)) {
                return status.clone();
            }
            self.assert_runs();
            assert!(begun.elapsed() < SOON, "it does not come to that: {status:#?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails when it has ended.
    ///
    /// # Panics
    ///
    /// When it has.
    #[track_caller]
    pub fn assert_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.said());
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has used so far, in bytes.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// How many files it has open.
    ///
    /// # Panics
    ///
    /// When it has ended.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Sets a limit of the running process, as `prlimit` names it.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub fn limit(&self, limit: &str) {
        let pid = self.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap().success());
    }

    /// Sends it a signal by name.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap().success());
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < SOON, "it does not stop\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it without a chance to clean up (SIGKILL).
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
