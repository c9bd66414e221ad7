//! The `walkeep` command, as a user runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::background::Background;

/// The `walkeep` binary, built once for each test program. `WALKEEP_BIN` names one that is built already.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("WALKEEP_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Cargo names the path of a binary to the tests of its own package only. So it is asked to build the command with
/// the profile and the target directory of this test program, and to say where it is.
fn build() -> PathBuf {
    // {target}/[{triple}/]{profile}/deps/{this program}
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().and_then(Path::parent).unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let target = folder.parent().unwrap();
    let marked = |folder: &Path| folder.join("CACHEDIR.TAG").exists();
    let target = if marked(target) { target } else { target.parent().unwrap() };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo says to the tests of a package: build scripts of dependencies that look at it would run again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    // All of the workspace, so that dependencies keep the features that they have been built with.
    let built = command
        .args(["build", "--quiet", "--workspace", "--bin", "walkeep", "--message-format=json"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let messages = String::from_utf8(built.stdout).unwrap();
    let executable =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
            let named = message["target"]["name"] == "walkeep";
            message["executable"].as_str().filter(|_| named).map(PathBuf::from)
        });
    executable.unwrap_or_else(|| {
        panic!("cargo did not build walkeep: {}\n{messages}", String::from_utf8_lossy(&built.stderr))
    })
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The arguments, for messages.
    pub args: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    fn new(output: Output, args: &[&str]) -> Self {
        Self {
            args: args.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless the command ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        // What is damaged (4) or late (9) is shown all the same.
        if ![0, 4, 9].contains(&code) {
            assert_eq!(self.stdout, "", "a failure writes no data: {self:#?}");
        }
        self
    }

    /// Fails unless stderr says all of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr does not say {text:?}: {self:#?}");
        }
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The JSON documents on stdout, one a line.
    #[track_caller]
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The one JSON document on stderr that says why the command failed, checked for its form.
    #[track_caller]
    #[must_use]
    pub fn json_error(&self) -> Value {
        let error: Value =
            serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        for field in ["kind", "message", "hint"] {
            assert!(error[field].is_string(), "no {field}: {self:#?}");
        }
        assert_eq!(error["exit_code"].as_i64(), self.code.map(i64::from), "{self:#?}");
        error
    }
}

/// `walkeep`, run in a directory.
#[derive(Clone, Debug)]
pub struct Walkeep {
    directory: PathBuf,
    variables: Vec<(String, String)>,
    shell_first: Option<String>,
}

impl Walkeep {
    /// The command in a directory: relative paths are relative to it.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), variables: Vec::new(), shell_first: None }
    }

    /// With an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_string(), value.into()));
        self
    }

    /// Under limits: a line of shell that is run before, such as `ulimit -f 8`.
    #[must_use]
    pub fn after(mut self, shell: &str) -> Self {
        self.shell_first = Some(shell.to_string());
        self
    }

    /// Runs the command.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran::new(output, args)
    }

    /// Runs the command while the reader of its stdout goes away.
    #[must_use]
    pub fn run_unread(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        Ran::new(child.wait_with_output().unwrap(), args)
    }

    /// Starts the command in the background. What it says goes to a file.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(&self, args: &[&str], says: &Path) -> Child {
        let says = File::options().create(true).append(true).open(says).unwrap();
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(says).spawn().unwrap()
    }

    /// Starts the command, which goes on until a signal ends it. What it writes goes to files in its directory.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Running {
        let log = |name: &str| self.directory.join(name);
        let (stdout, stderr) = (log("running.stdout"), log("running.stderr"));
        let mut command = self.command(args);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let child = command.spawn().unwrap();
        Running { child, args: args.join(" "), stdout, stderr }
    }

    /// Starts the command, which goes on until it is told to stop, and listens to it.
    #[must_use]
    pub fn background(&self, args: &[&str]) -> Background {
        Background::start(self.command(args))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.shell_first {
            None => Command::new(binary()),
            Some(first) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{first} && exec \"$0\" \"$@\"")]).arg(binary());
                shell
            }
        };
        command.args(args).current_dir(&self.directory).env("TZ", "UTC");
        for name in ["WALKEEP_STORE", "WALKEEP_NAMESPACE", "RUST_LOG"] {
            command.env_remove(name);
        }
        // Who runs the tests may have credentials of their own.
        for (name, _) in std::env::vars_os() {
            if ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the command, which must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Ran {
        self.run(args).expect(0)
    }

    /// Captures a database into `./store`; the durable frame.
    #[track_caller]
    pub fn replicate(&self, database: &str) -> u64 {
        let ran = self.ok(&["replicate", database, "store", "--once", "--json"]);
        ran.json()["durable_frame_no"].as_u64().unwrap()
    }

    /// Restores a namespace of `./store` at a frame, and gives the bytes.
    #[track_caller]
    #[must_use]
    pub fn restored(&self, namespace: &str, frame: u64) -> Vec<u8> {
        let frame = frame.to_string();
        let out = self.directory.join("restored.tmp");
        self.ok(&["restore", "store", "-n", namespace, "--frame", &frame, "-o", "restored.tmp", "--force"]);
        let bytes = std::fs::read(&out).unwrap();
        std::fs::remove_file(out).unwrap();
        bytes
    }
}

/// How long a test waits for what must happen soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that goes on until a signal ends it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    args: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until something holds; the command must go on meanwhile.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            assert!(
                begin.elapsed() < PATIENCE,
                "not within {PATIENCE:?}: {what}: {self:?} {}",
                self.stderr()
            );
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before: {what}: {ended:?} {}", self.stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends it a signal, such as `TERM`.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn end(mut self) -> Ran {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on: {self:?} {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        };
        Ran { args: self.args.clone(), code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
