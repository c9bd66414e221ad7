//! `walkeep gc STORE`: drops what retention no longer keeps, and deletes what nothing needs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use walkeep::core::Namespace;
use walkeep::gc::{Collected, GcOptions, GcPlan, Verdict, collect, plan};
use walkeep::{Error, Handles};

use crate::args::StoreArgs;
use crate::failure::{UNAVAILABLE, UNREACHABLE};
use crate::output;
use crate::quantity::parse_duration;
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default all
    #[arg(short, long, value_name = "NS", env = "WALKEEP_NAMESPACE")]
    pub(crate) namespace: Option<Namespace>,
    /// Only say of every object whether it goes, and why
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How old an object must be to go, and what stands in its place: longer than any restore takes
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub(crate) grace: Duration,
}

#[derive(Serialize)]
struct Dry<'a> {
    namespace: &'a Namespace,
    #[serde(flatten)]
    plan: &'a GcPlan,
    bytes: u64,
}

#[derive(Serialize)]
struct Done<'a> {
    namespace: &'a Namespace,
    frontier: u64,
    kept: usize,
    deleted: usize,
    bytes: u64,
    refused: Vec<String>,
}

pub(super) async fn run(args: &GcArgs, json: bool) -> anyhow::Result<ExitCode> {
    let store = Store::open(&args.store.store)?;
    let namespaces = match &args.namespace {
        Some(namespace) => vec![namespace.clone()],
        None => store.bucket.namespaces().await?.0,
    };
    let (options, handles) = (GcOptions { grace: args.grace }, Handles::system());
    let (mut found, mut refused) = (false, 0);
    for namespace in &namespaces {
        let outcome = if args.dry_run {
            plan(&store.bucket, namespace, &options, &handles).await.map(|plan| (plan, None))
        } else {
            let collected = collect(&store.bucket, namespace, &options, &handles).await;
            collected.map(|collected| (collected.plan.clone(), Some(collected)))
        };
        let (plan, collected) = match outcome {
            // Deleted, or somebody else's folder.
            Err(Error::NotFound { .. }) if args.namespace.is_none() => continue,
            outcome => outcome?,
        };
        found = true;
        match &collected {
            None => show_plan(namespace, &plan, json)?,
            Some(collected) => {
                refused += collected.refused.len();
                show_done(namespace, collected, json)?;
            }
        }
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

fn show_plan(namespace: &Namespace, plan: &GcPlan, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&Dry { namespace, plan, bytes: plan.bytes() });
    }
    output::line(format!(
        "{namespace}: every commit from frame {} on would be kept, and {} before it; {} of {} would go, {}",
        plan.frontier,
        output::count(plan.kept.len() as u64, "point"),
        plan.going().count(),
        output::count(plan.verdicts.len() as u64, "object"),
        output::bytes(plan.bytes())
    ));
    for Verdict { path, size, goes, why } in &plan.verdicts {
        let what = if *goes { "go  " } else { "stay" };
        output::line(format!("  {what} {:>10}  {}  {why}", output::bytes(*size), path.name()));
    }
    for name in &plan.expired {
        output::line(format!("  pin {name} has expired"));
    }
    Ok(())
}

fn show_done(namespace: &Namespace, collected: &Collected, json: bool) -> anyhow::Result<()> {
    let Collected { plan, deleted, bytes, refused } = collected;
    let refused = refused.iter().map(|(path, error)| format!("{path}: {error}")).collect::<Vec<_>>();
    if json {
        let (frontier, kept) = (plan.frontier.get(), plan.kept.len());
        return output::json(&Done { namespace, frontier, kept, deleted: *deleted, bytes: *bytes, refused });
    }
    output::line(format!(
        "{namespace}: {} deleted, {}; every commit from frame {} on is kept, and {} before it",
        output::count(*deleted as u64, "object"),
        output::bytes(*bytes),
        plan.frontier,
        output::count(plan.kept.len() as u64, "point")
    ));
    for line in refused {
        output::line(format!("  not deleted: {line}"));
    }
    Ok(())
}
