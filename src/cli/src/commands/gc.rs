//! `walkeep gc STORE`: drops what retention no longer keeps, and deletes what nothing needs.
//!
//! A namespace that fails does not keep the others from being collected; the command fails then all the same.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use walkeep::core::manifest::KeptPoint;
use walkeep::core::{FrameNo, Manifest, Namespace, PinName};
use walkeep::gc::{Collected, GcOptions, GcPlan, Verdict, collect, plan};
use walkeep::{Bucket, Error, Handles, newest_manifest};

use super::{is_gone, warn_foreign_folders};
use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::failure::{UNAVAILABLE, UNREACHABLE};
use crate::output;
use crate::quantity::{parse_duration, parse_span};
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default all
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    /// Only say of every object whether it goes, and why
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How old an object must be to go, and what stands in its place: longer than any restore takes
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_grace, allow_hyphen_values = true)]
    pub(crate) grace: Duration,
}

/// What becomes of restore points besides what the plan says.
#[derive(Serialize)]
struct Changes {
    /// From this frame on every commit was kept before.
    frontier_before: FrameNo,
    /// The points before it that were kept, and are not any more.
    dropped: Vec<KeptPoint>,
}

#[derive(Serialize)]
struct Dry<'a> {
    namespace: &'a Namespace,
    #[serde(flatten)]
    changes: &'a Changes,
    #[serde(flatten)]
    plan: &'a GcPlan,
    bytes: u64,
}

#[derive(Serialize)]
struct Done<'a> {
    namespace: &'a Namespace,
    #[serde(flatten)]
    changes: &'a Changes,
    frontier: FrameNo,
    kept: usize,
    expired: &'a [PinName],
    deleted: usize,
    leftovers: u64,
    bytes: u64,
    refused: Vec<String>,
}

pub(super) async fn run(args: &GcArgs, json: bool) -> anyhow::Result<ExitCode> {
    let store = Store::open(&args.store.store)?;
    let (namespaces, mut foreign) = match &args.namespace {
        Some(namespace) => (vec![namespace.clone()], 0),
        None => store.bucket.namespaces().await?,
    };
    let (mut found, mut refused, mut failed) = (false, 0, Vec::new());
    for namespace in &namespaces {
        match one(&store.bucket, namespace, args, json).await {
            // Deleted, or somebody else's folder.
            Err(error) if args.namespace.is_none() && is_not_found(&error) => {
                foreign += usize::from(!is_gone(&store.bucket, namespace).await?);
                continue;
            }
            Err(error) => failed.push((namespace, error)),
            Ok(count) => refused += count,
        }
        found = true;
    }
    warn_foreign_folders(foreign);
    let mut failed = failed.into_iter();
    let first = failed.next();
    for (namespace, error) in failed {
        output::note_beside_failure(format!("namespace {namespace} was not collected either: {error:#}"));
    }
    if let Some((namespace, error)) = first {
        return Err(error).with_context(|| format!("collect namespace {namespace}"));
    }
    if !found {
        output::note("the store has no namespaces");
        return Ok(ExitCode::from(UNREACHABLE));
    }
    if refused > 0 {
        let objects = output::count(refused as u64, "object");
        output::note(format!("{objects} could not be deleted: see above; a later run tries again"));
        return Ok(ExitCode::from(UNAVAILABLE));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::NotFound { .. }))
}

/// Collects one namespace, or says what that would do. Returns how many objects the store did not delete.
async fn one(bucket: &Bucket, namespace: &Namespace, args: &GcArgs, json: bool) -> anyhow::Result<usize> {
    let (options, handles) = (GcOptions { grace: args.grace }, Handles::system());
    let before = newest_manifest(bucket, namespace).await?;
    let before = before.ok_or_else(|| Error::not_found(format!("namespace {namespace}")))?;
    if args.dry_run {
        let plan = plan(bucket, namespace, &options, &handles).await?;
        show_plan(namespace, &Changes::new(&before, &plan), &plan, json)?;
        return Ok(0);
    }
    let collected = collect(bucket, namespace, &options, &handles).await?;
    show_done(namespace, &Changes::new(&before, &collected.plan), &collected, json)?;
    Ok(collected.refused.len())
}

impl Changes {
    fn new(before: &Manifest, plan: &GcPlan) -> Self {
        let stays = |point: &&KeptPoint| plan.kept.iter().any(|kept| kept.frame == point.frame);
        Self {
            frontier_before: before.frontier(),
            dropped: before.kept().iter().filter(|point| !stays(point)).copied().collect(),
        }
    }

    fn show(&self, plan: &GcPlan) {
        if self.frontier_before != plan.frontier {
            let before = self.frontier_before;
            output::line(format!("  before, every commit from frame {before} on was kept"));
        }
        for point in &self.dropped {
            output::line(format!("  no longer kept: frame {} of {}", point.frame, point.time));
        }
        for name in &plan.expired {
            output::line(format!("  pin {name} has expired"));
        }
        if let Some(hold) = &plan.held_by {
            output::line(format!("  more would be dropped, but {hold}"));
        }
        for group in &plan.evicted {
            output::line(format!(
                "  group {group} of followers is past its cap: commits that it needs are dropped"
            ));
        }
    }
}

fn show_plan(namespace: &Namespace, changes: &Changes, plan: &GcPlan, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&Dry { namespace, changes, plan, bytes: plan.bytes() });
    }
    output::line(format!(
        "{namespace}: every commit from frame {} on would be kept, and {} before it; {} of {} would go, {}",
        plan.frontier,
        output::count(plan.kept.len() as u64, "point"),
        plan.going().count(),
        output::count(plan.verdicts.len() as u64, "object"),
        output::bytes(plan.bytes())
    ));
    changes.show(plan);
    for Verdict { path, size, goes, why } in &plan.verdicts {
        let what = if *goes { "go  " } else { "stay" };
        output::line(format!("  {what} {:>10}  {path}  {why}", output::bytes(*size)));
    }
    if plan.leftovers.count > 0 {
        let (count, bytes) = (plan.leftovers.count, output::bytes(plan.leftovers.bytes));
        output::line(format!(
            "  go   {bytes:>10}  {} of uploads that never ended",
            output::count(count, "file")
        ));
    }
    Ok(())
}

fn show_done(
    namespace: &Namespace,
    changes: &Changes,
    collected: &Collected,
    json: bool,
) -> anyhow::Result<()> {
    let Collected { plan, deleted, bytes, refused } = collected;
    let leftovers = plan.leftovers.count;
    let refused = refused.iter().map(|(path, error)| format!("{path}: {error}")).collect::<Vec<_>>();
    if json {
        return output::json(&Done {
            namespace,
            changes,
            frontier: plan.frontier,
            kept: plan.kept.len(),
            expired: &plan.expired,
            deleted: *deleted,
            leftovers,
            bytes: *bytes,
            refused,
        });
    }
    output::line(format!(
        "{namespace}: {} deleted, {}; every commit from frame {} on is kept, and {} before it",
        output::count(*deleted as u64, "object"),
        output::bytes(*bytes),
        plan.frontier,
        output::count(plan.kept.len() as u64, "point")
    ));
    changes.show(plan);
    if leftovers > 0 {
        let files = output::count(leftovers, "file");
        output::line(format!("  and {files} of uploads that never ended"));
    }
    for line in refused {
        output::line(format!("  not deleted: {line}"));
    }
    Ok(())
}

/// A span, or a shorter time; it may be nothing where nobody else uses the store.
fn parse_grace(text: &str) -> Result<Duration, String> {
    parse_span(text).or_else(|why| parse_duration(text).map_err(|_| why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_long_short_or_nothing() {
        for (text, seconds) in [("2d", 172_800), ("1h", 3600), ("30s", 30), ("0s", 0), ("0", 0)] {
            assert_eq!(parse_grace(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert!(parse_grace("-1h").unwrap_err().contains("24h"));
    }
}
