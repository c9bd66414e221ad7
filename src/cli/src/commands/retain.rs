//! `walkeep retain STORE -n NS`: which restore points are kept, shown or set.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use walkeep::core::{FrameNo, Namespace, Period, Retention, Tier, UnixMillis};
use walkeep::{Bucket, Timeline, retain};

use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::failure::Usage;
use crate::output;
use crate::quantity::parse_span;
use crate::store::Store;

/// Which restore points are to be kept.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// How long every commit stays a restore point: a number with m, h, d, w or y
    #[arg(long, value_name = "SPAN", value_parser = parse_span, allow_hyphen_values = true)]
    pub(crate) keep_all: Option<Duration>,
    /// How long the last point of each hour is kept, in UTC
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "keep_all", allow_hyphen_values = true)]
    pub(crate) keep_hourly: Option<Duration>,
    /// How long the last point of each day is kept
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "keep_all", allow_hyphen_values = true)]
    pub(crate) keep_daily: Option<Duration>,
    /// How long the last point of each month is kept
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "keep_all", allow_hyphen_values = true)]
    pub(crate) keep_monthly: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct RetainArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Keep every commit from now on; what was dropped before stays so
    #[arg(long, conflicts_with = "keep_all")]
    pub(crate) keep_everything: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    retention: Option<&'a Retention>,
    /// From this frame on every commit is kept.
    frontier: FrameNo,
    /// When the first commit from there on was made.
    frontier_time: Option<String>,
    frontier_time_ms: Option<UnixMillis>,
    /// Points before it that are kept.
    kept: usize,
    pins: usize,
}

pub(super) async fn run(args: &RetainArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let wanted = args.keep.retention()?;
    if wanted.is_some() || args.keep_everything {
        retain(&store.bucket, &namespace, wanted.as_ref()).await?;
    }
    let timeline = Timeline::load(&store.bucket, &namespace).await?;
    let (manifest, since) = (timeline.manifest(), since(&store.bucket, &timeline).await?);
    let document = Document {
        namespace: &namespace,
        retention: manifest.retention(),
        frontier: manifest.frontier(),
        frontier_time: since.map(|time| time.to_string()),
        frontier_time_ms: since,
        kept: manifest.kept().len(),
        pins: manifest.pins().len(),
    };
    if json {
        return output::json(&document);
    }
    let keeps =
        manifest.retention().map_or_else(|| "every commit, for ever".to_string(), Retention::to_string);
    output::line(format!("{namespace} keeps {keeps}"));
    let since = since.map(|time| format!(" ({time})")).unwrap_or_default();
    output::line(format!(
        "  so far: every commit from frame {}{since} on, {} before it, {}",
        document.frontier,
        output::count(document.kept as u64, "point"),
        output::count(document.pins as u64, "pin")
    ));
    if manifest.retention().is_some() {
        output::note("note: `walkeep gc` drops what is older, and frees the space");
    }
    Ok(())
}

/// When the first commit was made from which on every one is kept.
async fn since(bucket: &Bucket, timeline: &Timeline) -> anyhow::Result<Option<UnixMillis>> {
    let frontier = timeline.manifest().frontier();
    let ranges = timeline.restorable();
    let Some(first) = ranges.iter().map(|range| *range.start()).find(|start| *start >= frontier) else {
        return Ok(None);
    };
    let holding = timeline.segments().iter().filter(|segment| segment.key.includes(first));
    let Some(rawest) = holding.min_by_key(|segment| (segment.key.level(), segment.key.end())) else {
        return Ok(None);
    };
    let opened = timeline.open(bucket, *rawest).await?;
    let commit = opened.commits().iter().find(|commit| commit.frame_no >= first);
    Ok(commit.map(|commit| commit.time))
}

impl KeepArgs {
    /// The retention that was given, if one was.
    pub(crate) fn retention(&self) -> Result<Option<Retention>, Usage> {
        let Some(keep_all) = self.keep_all else { return Ok(None) };
        let tiers = [
            (Period::Hour, self.keep_hourly),
            (Period::Day, self.keep_daily),
            (Period::Month, self.keep_monthly),
        ];
        let tier = |(each, span): (Period, Option<Duration>)| {
            Some(Tier { each, for_ms: u64::try_from(span?.as_millis()).unwrap_or(u64::MAX) })
        };
        let tiers = tiers.into_iter().filter_map(tier).collect();
        Retention::new(keep_all, tiers).map(Some).map_err(|error| Usage(error.to_string()))
    }
}
