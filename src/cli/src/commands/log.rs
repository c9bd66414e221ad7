//! `walkeep log STORE -n NS`: the restore points, newest first.

use futures::TryStreamExt;
use serde::Serialize;
use walkeep::core::{CommitKind, FrameNo, Manifest, StateChecksum, UnixMillis};
use walkeep::{LoggedCommit, Timeline, history};

use super::{only_namespace, warn_ignored};
use crate::args::LogArgs;
use crate::output;
use crate::time_arg::TimeArg;

#[derive(Serialize)]
struct Row {
    frame_no: u64,
    time: String,
    time_ms: UnixMillis,
    frames: u64,
    pages: u32,
    kind: CommitKind,
    state_checksum: Option<StateChecksum>,
    segment: String,
    /// With `--points`: why it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

pub(super) async fn run(args: &LogArgs, json: bool) -> anyhow::Result<()> {
    let store = args.from.format.open(&args.from.store.store).await?;
    let namespace = only_namespace(&store.bucket, args.from.namespace.as_ref()).await?;
    for time in [&args.since, &args.until].into_iter().flatten() {
        if let Some(note) = &time.note {
            output::note(note);
        }
    }
    let timeline = Timeline::load(&store.bucket, &namespace).await?;
    warn_ignored(&namespace, timeline.ignored(), timeline.unconfirmed().len());
    if !json {
        output::line(format!("{:>12}  {:<24} {:>10} {:>10}  KIND", "FRAME", "TIME", "CHANGED", "PAGES"));
    }
    let mut commits = history(&store.bucket, &timeline);
    let mut left = args.limit.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(logged) = commits.try_next().await? else { break };
        if before(&logged, args.since.as_ref()) {
            // Times fall along the log: nothing that follows is newer.
            break;
        }
        if !behind(&logged, args.until.as_ref()) {
            let name = store.bucket.segment_name(&namespace, &logged.segment);
            let why = args.points.then(|| why_kept(timeline.manifest(), logged.commit.frame_no));
            show(&logged, name, why, json)?;
            left -= 1;
        }
    }
    Ok(())
}

fn before(logged: &LoggedCommit, since: Option<&TimeArg>) -> bool {
    since.is_some_and(|since| logged.commit.time < since.time)
}

fn behind(logged: &LoggedCommit, until: Option<&TimeArg>) -> bool {
    until.is_some_and(|until| logged.commit.time > until.time)
}

/// Why a restore point is kept.
fn why_kept(manifest: &Manifest, frame: FrameNo) -> String {
    let pins = manifest.pins().iter().filter(|(_, pin)| pin.frame == frame);
    let mut why = pins.map(|(name, _)| format!("pin {name}")).collect::<Vec<_>>();
    if frame >= manifest.frontier() {
        why.insert(0, "every commit".to_string());
    } else if manifest.kept().iter().any(|kept| kept.frame == frame) {
        why.insert(0, "retention".to_string());
    }
    why.join(", ")
}

fn show(logged: &LoggedCommit, segment: String, why: Option<String>, json: bool) -> anyhow::Result<()> {
    let LoggedCommit { commit, frames, .. } = logged;
    if json {
        return output::json(&Row {
            frame_no: commit.frame_no.get(),
            time: commit.time.to_string(),
            time_ms: commit.time,
            frames: *frames,
            pages: commit.size_after.get(),
            kind: commit.kind,
            state_checksum: commit.state,
            segment,
            kept: why,
        });
    }
    let kind = match commit.kind {
        CommitKind::Transaction => "transaction",
        CommitKind::Snapshot => "snapshot",
        CommitKind::Discontinuous => "after a gap",
    };
    output::line(format!(
        "{:>12}  {:<24} {:>10} {:>10}  {kind}{}",
        commit.frame_no,
        commit.time.to_string(),
        frames,
        commit.size_after,
        why.map(|why| format!(", kept: {why}")).unwrap_or_default()
    ));
    Ok(())
}
