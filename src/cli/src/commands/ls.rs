//! `walkeep ls STORE`: the namespaces and what of them can be restored.

use serde::Serialize;
use walkeep::core::{FrameNo, Namespace, UnixMillis};
use walkeep::{Bucket, Error, Timeline};

use super::{is_gone, warn_foreign_folders, warn_ignored};
use crate::args::LsArgs;
use crate::output;

#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a Namespace,
    durable_frame_no: Option<FrameNo>,
    restorable_from: Option<String>,
    restorable_to: Option<String>,
    segments: usize,
    bytes: u64,
    /// Whether everything up to the newest segment can be restored.
    whole: bool,
    state: String,
    fork_of: Option<ForkOf<'a>>,
    /// Segments of the namespaces that a fork came from; they are not among the others.
    segments_shared: usize,
}

#[derive(Serialize)]
struct ForkOf<'a> {
    namespace: &'a Namespace,
    frame_no: FrameNo,
}

pub(super) async fn run(args: &LsArgs, json: bool) -> anyhow::Result<()> {
    let store = args.format.open(&args.store.store).await?;
    let (namespaces, mut foreign) = store.bucket.namespaces().await?;
    if !json {
        output::line(format!(
            "{:<24} {:>12} {:<24} {:<24} {:>8} {:>12}  {}",
            "NAMESPACE", "DURABLE", "RESTORABLE FROM", "TO", "SEGMENTS", "BYTES", "STATE"
        ));
    }
    for namespace in &namespaces {
        let timeline = match Timeline::load(&store.bucket, namespace).await {
            // A folder with a fitting name and no manifest: somebody else's.
            Err(Error::NotFound { .. }) => {
                foreign += usize::from(!is_gone(&store.bucket, namespace).await?);
                continue;
            }
            loaded => loaded?,
        };
        warn_ignored(namespace, timeline.ignored(), timeline.unconfirmed().len());
        let (from, to) = reach(&store.bucket, &timeline).await?;
        let row = Row {
            namespace,
            durable_frame_no: timeline.durable_frame_no(),
            restorable_from: from.map(|time| time.to_string()),
            restorable_to: to.map(|time| time.to_string()),
            segments: timeline.own().count(),
            bytes: timeline.own().map(|segment| segment.size).sum(),
            whole: timeline.newest().map(|segment| segment.key.end()) == timeline.durable_frame_no(),
            state: timeline.manifest().life().to_string(),
            fork_of: timeline
                .manifest()
                .parent()
                .map(|parent| ForkOf { namespace: &parent.namespace, frame_no: parent.frame }),
            segments_shared: timeline.segments().len() - timeline.own().count(),
        };
        show(&row, json)?;
    }
    warn_foreign_folders(foreign);
    Ok(())
}

fn show(row: &Row<'_>, json: bool) -> anyhow::Result<()> {
    if !row.whole {
        let namespace = row.namespace;
        output::note(format!(
            "warning: namespace {namespace}: segments are missing; `walkeep verify` says which"
        ));
    }
    if json {
        return output::json(row);
    }
    let dash = || "-".to_string();
    let fork_of = row.fork_of.as_ref();
    let fork_of =
        fork_of.map_or_else(String::new, |of| format!(", fork of {} at {}", of.namespace, of.frame_no));
    output::line(format!(
        "{:<24} {:>12} {:<24} {:<24} {:>8} {:>12}  {}{fork_of}",
        row.namespace,
        row.durable_frame_no.map_or_else(dash, |frame| frame.to_string()),
        row.restorable_from.clone().unwrap_or_else(dash),
        row.restorable_to.clone().unwrap_or_else(dash),
        row.segments,
        output::bytes(row.bytes),
        row.state
    ));
    Ok(())
}

/// The times of the first and the last commit that can be restored. The first one stands in the oldest segment,
/// the last one in a name.
async fn reach(
    bucket: &Bucket,
    timeline: &Timeline,
) -> anyhow::Result<(Option<UnixMillis>, Option<UnixMillis>)> {
    let Some(first) = timeline.restorable().first().map(|range| *range.start()) else {
        return Ok((None, None));
    };
    let to =
        timeline.segments().iter().find(|segment| Some(segment.key.end()) == timeline.durable_frame_no());
    let holding = timeline.segments().iter().filter(|segment| segment.key.includes(first));
    let Some(oldest) = holding.min_by_key(|segment| (segment.key.level(), segment.key.end())) else {
        return Ok((None, to.map(|segment| segment.key.time())));
    };
    let opened = timeline.open(bucket, *oldest).await?;
    let from = opened.commits().first().map(|commit| commit.time);
    Ok((from, to.map(|segment| segment.key.time())))
}
