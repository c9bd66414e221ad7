//! `walkeep replica STORE -o OUT`: look, apply, report, wait; until a signal ends it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use walkeep::core::{Namespace, ReplicaVersion, StateChecksum, UnixMillis};
use walkeep::replica::{Applied, How, JournalMode, Replica, ReplicaOptions, Step};
use walkeep::{Error, Handles};

use super::{only_namespace, open_directory_of, split_output};
use crate::args::ReplicaArgs;
use crate::output;
use crate::signals::Signals;

/// The longest pause while a store is away, unless `--poll` is longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What happened to the replica, for machines.
#[derive(Serialize)]
struct Document<'a> {
    event: &'static str,
    why: Option<String>,
    namespace: &'a Namespace,
    output: &'a Path,
    frame_no: u64,
    time: String,
    time_ms: UnixMillis,
    lag_ms: Option<u64>,
    frames: Option<u64>,
    pages: u32,
    page_size: u32,
    pages_written: u64,
    state_checksum: StateChecksum,
    verified: Option<bool>,
}

/// Where and how it is reported.
struct Report<'a> {
    args: &'a ReplicaArgs,
    namespace: &'a Namespace,
    json: bool,
    handles: Handles,
}

pub(super) async fn run(args: &ReplicaArgs, json: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    tokio::select! {
        biased;
        name = signals.next() => {
            output::note(format!("{name}: stopped; {} stays as it is", args.output.display()));
            Ok(())
        }
        done = keep(args, json) => done,
    }
}

async fn keep(args: &ReplicaArgs, json: bool) -> anyhow::Result<()> {
    let (parent, name) = split_output(&args.output)?;
    let directory = open_directory_of(&args.output, &parent)?;
    let store = args.from.format.open(&args.from.store.store).await?;
    let namespace = only_namespace(&store.bucket, args.from.namespace.as_ref()).await?;
    let handles = Handles::system();
    let options = ReplicaOptions {
        journal_mode: JournalMode::Rollback,
        force: args.force,
        database_bytes_max: args.max_db_size,
        ..ReplicaOptions::default()
    };
    let random = handles.random.clone();
    let replica = Replica::open(&store.bucket, &namespace, directory, name, random, options).await?;
    let report = Report { args, namespace: &namespace, json, handles };
    follow(replica, &report).await
}

/// Looks again and again.
async fn follow(mut replica: Replica, report: &Report<'_>) -> anyhow::Result<()> {
    let (args, mut failures) = (report.args, Failures::default());
    let (mut looked, mut warned) = (false, false);
    loop {
        match replica.step().await {
            Ok(step) => {
                failures.over();
                match &step {
                    Step::Applied(applied) => report.applied(applied)?,
                    Step::UpToDate(version) if !looked => report.up_to_date(version)?,
                    Step::StoreBehind { replica, newest } if !warned => {
                        output::note(format!(
                            "warning: the newest commit of the store is frame {}, and the replica has frame {}: stored \
                             segments are gone; the replica stays as it is",
                            newest.frame_no, replica.frame_no
                        ));
                    }
                    Step::UpToDate(_) | Step::StoreBehind { .. } => {}
                }
                (looked, warned) = (true, matches!(step, Step::StoreBehind { .. }));
                match step {
                    // Another commit may have been stored meanwhile.
                    Step::Applied(_) if args.until_caught_up => {}
                    _ if args.until_caught_up => return Ok(()),
                    _ => tokio::time::sleep(args.poll).await,
                }
            }
            Err(error) if !args.until_caught_up && may_pass(&error, looked) => {
                let pause = failures.next(&error, args.poll);
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether it is worth to look again: the store is away, or a writer is about to say what counts. A namespace that was
/// there and is gone may be on a disk that is not mounted.
fn may_pass(error: &Error, looked: bool) -> bool {
    match error {
        Error::Unavailable { .. } => true,
        Error::NotFound { .. } => looked,
        Error::Unreachable(unreachable) => unreachable.missing.is_none(),
        _ => false,
    }
}

/// Failures in a row that may pass, and what was said of them.
#[derive(Default)]
struct Failures {
    count: u32,
    said: String,
}

impl Failures {
    /// Says what is new about a failure; how long to wait after it.
    fn next(&mut self, error: &Error, poll: Duration) -> Duration {
        let pause = poll.saturating_mul(1 << self.count.min(16)).min(PAUSE_MAX.max(poll));
        self.count += 1;
        let message = error.to_string();
        if message != self.said {
            output::note(format!("warning: {message}; the replica stays as it is, and this goes on trying"));
            self.said = message;
        }
        pause
    }

    fn over(&mut self) {
        if self.count > 0 {
            output::note(format!(
                "the store answers again, after {}",
                output::count(self.count.into(), "failure")
            ));
        }
        *self = Self::default();
    }
}

impl Report<'_> {
    fn applied(&self, applied: &Applied) -> anyhow::Result<()> {
        let version = &applied.version;
        let lag_ms = self.handles.clock.now().get().saturating_sub(version.time.get());
        let (event, why) = match &applied.how {
            How::Updated => ("updated", None),
            How::Seeded(why) => ("seeded", Some(why.to_string())),
        };
        if self.json {
            let frames = applied.before.map(|before| version.frame_no.get().abs_diff(before.frame_no.get()));
            return output::json(&Document {
                why,
                lag_ms: Some(lag_ms),
                frames: frames.filter(|_| applied.how == How::Updated),
                pages_written: applied.pages_written,
                verified: Some(applied.verified),
                ..self.document(event, version)
            });
        }
        let how = match why {
            None => format!("{} changed", output::count(applied.pages_written, "page")),
            Some(why) => format!("made from nothing, since {why}"),
        };
        output::note(format!(
            "{}: frame {} of {}, {} ms ago; {how}",
            self.args.output.display(),
            version.frame_no,
            version.time,
            lag_ms
        ));
        Ok(())
    }

    /// Says what was there already when the command began.
    fn up_to_date(&self, version: &ReplicaVersion) -> anyhow::Result<()> {
        if self.json {
            return output::json(&self.document("up_to_date", version));
        }
        let (path, frame) = (self.args.output.display(), version.frame_no);
        output::note(format!("{path}: up to date, at frame {frame} of {}", version.time));
        Ok(())
    }

    fn document(&self, event: &'static str, version: &ReplicaVersion) -> Document<'_> {
        Document {
            event,
            why: None,
            namespace: self.namespace,
            output: &self.args.output,
            frame_no: version.frame_no.get(),
            time: version.time.to_string(),
            time_ms: version.time,
            lag_ms: None,
            frames: None,
            pages: version.size.get(),
            page_size: version.page_size.bytes_u32(),
            pages_written: 0,
            state_checksum: version.state,
            verified: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_begin_anew() {
        let away = Error::Unavailable { what: "x".into(), source: None };
        let mut failures = Failures::default();
        let mut pauses = |poll: u64| {
            let pauses = (0..9).map(|_| failures.next(&away, Duration::from_secs(poll)).as_secs());
            let pauses = pauses.collect::<Vec<_>>();
            failures.over();
            pauses
        };
        assert_eq!(pauses(1), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pauses(1)[..3], [1, 2, 4]);
        assert_eq!(pauses(300), [300; 9], "never more often than without failures");
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let unreachable = |missing| {
            Error::Unreachable(Box::new(walkeep::core::Unreachable { missing, ..Default::default() }))
        };
        let first = walkeep::core::FrameNo::FIRST;
        for (error, looked, passes) in [
            (Error::Unavailable { what: "x".into(), source: None }, false, true),
            (unreachable(None), false, true),
            (unreachable(Some(first..=first)), true, false),
            (Error::not_found("namespace x"), false, false),
            (Error::not_found("namespace x"), true, true),
            (Error::corrupt("x", 0, "a", "b"), true, false),
            (Error::AlreadyExists { what: "x".into() }, true, false),
        ] {
            assert_eq!(may_pass(&error, looked), passes, "{error}");
        }
    }
}
