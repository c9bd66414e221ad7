//! Delivering commits: a line each, written or handed to a command, and acknowledged then.

use std::io::{self, ErrorKind, Write as _};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;
use futures::TryStreamExt;
use serde::Serialize;
use walkeep::core::{CommitKind, FrameNo, Namespace, PageNo, UnixMillis};
use walkeep::followers::{Change, Followers};
use walkeep_sqlite::rows::{RowChanges, hexadecimal};

use super::ChangesArgs;
use super::rows::Rows;
use crate::args::NAMESPACE_VARIABLE;
use crate::failure::CommandFailed;
use crate::output;

/// A commit, as a line.
#[derive(Serialize)]
struct Line<'a> {
    namespace: &'a Namespace,
    frame_no: FrameNo,
    first_frame: FrameNo,
    frames: u64,
    time: String,
    time_ms: UnixMillis,
    kind: CommitKind,
    pages: u32,
    page_size: u32,
    changed: Vec<PageNo>,
    /// Of the same pages, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<String>>,
    /// What the transaction did to tables and rows.
    #[serde(flatten)]
    rows: Option<RowChanges>,
}

/// Where commits go, and how far this has come.
pub(super) struct Delivery<'a> {
    pub(super) args: &'a ChangesArgs,
    pub(super) namespace: &'a Namespace,
    pub(super) followers: &'a Followers,
    /// Works out rows, if they are wanted.
    pub(super) rows: Option<Rows>,
    /// The last commit that was delivered.
    pub(super) read: Option<FrameNo>,
}

impl Delivery<'_> {
    /// Delivers commits, oldest first, and acknowledges them.
    pub(super) async fn deliver(&mut self, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            let line = self.line(change).await?;
            match &self.args.exec {
                None => output::line(line),
                Some(command) => {
                    hand_over(command, line, self.namespace, change.commit.frame_no).await?;
                    self.acknowledge(change.commit.frame_no).await?;
                }
            }
            self.read = Some(change.commit.frame_no);
        }
        if self.args.exec.is_none()
            && let Some(read) = self.read
        {
            self.acknowledge(read).await?;
        }
        Ok(())
    }

    async fn acknowledge(&self, frame: FrameNo) -> anyhow::Result<()> {
        if self.args.ack {
            self.followers.ack(self.namespace, &self.args.group, &self.args.member, frame).await?;
        }
        Ok(())
    }

    async fn line(&mut self, change: &Change) -> anyhow::Result<String> {
        let images = match self.args.images {
            true => {
                let images: Vec<_> = change.images().try_collect().await?;
                Some(images.iter().map(|(_, image)| hexadecimal(image)).collect())
            }
            false => None,
        };
        let rows = match &mut self.rows {
            Some(rows) => Some(rows.of(change).await?),
            None => None,
        };
        let commit = &change.commit;
        Ok(serde_json::to_string(&Line {
            namespace: self.namespace,
            frame_no: commit.frame_no,
            first_frame: change.first_frame,
            frames: change.frames(),
            time: commit.time.to_string(),
            time_ms: commit.time,
            kind: commit.kind,
            pages: commit.size_after.get(),
            page_size: change.page_size().bytes_u32(),
            changed: change.pages().collect(),
            images,
            rows,
        })?)
    }
}

/// Runs a command with a line on its standard input.
async fn hand_over(command: &str, line: String, namespace: &Namespace, frame: FrameNo) -> anyhow::Result<()> {
    let (shell, namespace) = (command.to_string(), namespace.to_string());
    let ran = tokio::task::spawn_blocking(move || execute(&shell, &line, &namespace, frame)).await?;
    let status = ran.with_context(|| format!("run the command {command:?}"))?;
    if status.success() {
        return Ok(());
    }
    Err(CommandFailed(format!("the command {command:?} ended with {status} for frame {frame}")).into())
}

fn execute(command: &str, line: &str, namespace: &str, frame: FrameNo) -> io::Result<ExitStatus> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env(NAMESPACE_VARIABLE, namespace)
        .env("WALKEEP_FRAME", frame.to_string())
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(format!("{line}\n").as_bytes()) {
            // It need not read what it does not want.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    child.wait()
}
