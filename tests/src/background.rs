//! A command that goes on until it is told to stop, as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running command. It is killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    lines: Receiver<String>,
    /// What it has written to stderr so far, as far as it was waited for.
    pub stderr: Vec<String>,
}

impl Background {
    /// Starts a command.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody listens after the end.
                let _ = sender.send(line);
            }
        });
        Self { child, lines, stderr: Vec::new() }
    }

    /// Waits for a line of stderr with this in it; one that was waited for before counts too.
    #[track_caller]
    pub fn says(&mut self, text: &str) -> String {
        if let Some(said) = self.stderr.iter().find(|line| line.contains(text)) {
            return said.clone();
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.stderr.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("it does not say {text:?} ({error}): {:#?}", self.stderr),
            }
        }
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end; the exit code, `None` after a signal.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stderr.extend(self.lines.iter());
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end: {:#?}", self.stderr);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Tells it to stop, and waits for the end.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
