//! Processes that write one namespace, and take it over from each other: `src/bin/store_writer.rs`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// More than a writer can say between being taken over and noticing it.
const LINES_UNTIL_END: usize = 2000;

/// A commit that a writer was told is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its first frame.
    pub start: u64,
    /// The state checksum at its end.
    pub state: String,
    /// Who stored it.
    pub token: String,
}

/// All that was acknowledged, by the last frame.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the last frame of each commit.
    pub commits: BTreeMap<u64, Acknowledged>,
}

impl Ledger {
    /// Notes an acknowledgement. No frame may be acknowledged twice.
    ///
    /// # Panics
    ///
    /// When one is.
    fn note(&mut self, token: &str, start: u64, end: u64, state: &str) {
        let new = Acknowledged { start, state: state.to_string(), token: token.to_string() };
        if let Some((next_end, next)) = self.commits.range(start..).next() {
            assert!(next.start > end, "frames {start} to {end} of {new:?}: {next_end} is of {next:?}");
        }
        self.commits.insert(end, new);
    }
}

/// A running writer.
#[derive(Debug)]
pub struct StoreWriter {
    token: String,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl StoreWriter {
    /// Starts one on a store.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(store: &str, variables: &[(&str, &str)], token: &str) -> Self {
        // Cargo builds the binaries of a package before its tests, one folder above them.
        let exe = std::env::current_exe().unwrap();
        let exe = exe.parent().and_then(Path::parent).unwrap().join("store_writer");
        let mut child = Command::new(&exe)
            .args([store, "shop", token])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", exe.display()));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { token: token.to_string(), child, stdout }
    }

    /// Waits for its next line, and notes what it says; `false` when there is none, since it has ended.
    ///
    /// # Panics
    ///
    /// When it says something else than it should.
    pub fn next(&mut self, ledger: &mut Ledger) -> bool {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => false,
            // It may have been killed in the middle of a line, which is then not said.
            _ if !line.ends_with('\n') => false,
            ["open", _, _] => true,
            ["ack", start, end, state] => {
                ledger.note(&self.token, start.parse().unwrap(), end.parse().unwrap(), state);
                true
            }
            _ => panic!("{}: {line:?}", self.token),
        }
    }

    /// Waits for so many lines; `false` when it ends before.
    pub fn take(&mut self, lines: usize, ledger: &mut Ledger) -> bool {
        (0..lines).all(|_| self.next(ledger))
    }

    /// Waits for its end; its exit code.
    ///
    /// # Panics
    ///
    /// When a signal ended it, or it does not end.
    pub fn end(mut self, ledger: &mut Ledger) -> i32 {
        let ended = (0..LINES_UNTIL_END).any(|_| !self.next(ledger));
        assert!(ended, "{} goes on writing", self.token);
        self.child.wait().unwrap().code().unwrap()
    }

    /// Lets it stop after what it is doing; its exit code.
    pub fn stop(mut self, ledger: &mut Ledger) -> i32 {
        drop(self.child.stdin.take());
        self.end(ledger)
    }

    /// Ends it without a chance to do anything (SIGKILL). What it said before counts.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(mut self, ledger: &mut Ledger) {
        self.child.kill().unwrap();
        while self.next(ledger) {}
        self.child.wait().unwrap();
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
