//! A second process that uses a database: `src/bin/sqlite_app.rs`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running application.
#[derive(Debug)]
pub struct App {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl App {
    /// Starts an application that has opened `database` and waits for SQL.
    #[must_use]
    pub fn start(database: &Path) -> Self {
        Self::start_in_mode(database, &[])
    }

    /// Starts one that makes transfers between accounts as fast as it can.
    #[must_use]
    pub fn transfers(database: &Path) -> Self {
        Self::start_in_mode(database, &["transfers"])
    }

    /// Starts one that opens, writes and closes again and again.
    #[must_use]
    pub fn churn(database: &Path) -> Self {
        Self::start_in_mode(database, &["churn"])
    }

    /// Starts an application with the SQLite of Python, which is another build than ours.
    #[must_use]
    pub fn python(database: &Path) -> Self {
        Self::start_command(python().arg(database))
    }

    /// Starts one with the SQLite of Python that makes transfers as fast as it can.
    #[must_use]
    pub fn python_transfers(database: &Path) -> Self {
        Self::start_command(python().arg(database).arg("transfers"))
    }

    fn start_in_mode(database: &Path, mode: &[&str]) -> Self {
        // Cargo builds the binaries of a package before its tests, one folder above them.
        let exe = std::env::current_exe().unwrap();
        let exe = exe.parent().and_then(Path::parent).unwrap().join("sqlite_app");
        Self::start_command(Command::new(&exe).arg(database).args(mode))
    }

    fn start_command(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Runs a line of SQL; the last row, its columns joined by `|`.
    pub fn run(&mut self, sql: &str) -> String {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs a line of SQL that may fail.
    pub fn try_run(&mut self, sql: &str) -> Result<String, String> {
        assert!(!sql.contains('\n'), "one line: {sql}");
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{sql}").unwrap();
        stdin.flush().unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        match line.trim_end().split_once(' ') {
            Some(("ok", row)) => Ok(row.to_string()),
            Some(("error", why)) => Err(why.to_string()),
            _ if line.trim_end() == "ok" => Ok(String::new()),
            _ => panic!("the application ended: {line:?}"),
        }
    }

    /// Lets one that works on its own stand still between two transactions, until [`App::go_on`].
    pub fn pause(&mut self) {
        self.run("pause");
    }

    /// Lets it work again.
    pub fn go_on(&mut self) {
        self.run("go");
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it close its database and end.
    pub fn close(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends one that works on its own; how much it did.
    #[must_use]
    pub fn finish(mut self) -> u64 {
        drop(self.stdin.take());
        let done = self.answer().unwrap().parse().unwrap();
        assert!(self.child.wait().unwrap().success());
        done
    }

    /// Ends it without a chance to clean up (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite_app.py"));
    command
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
