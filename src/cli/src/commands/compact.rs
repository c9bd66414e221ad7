//! `walkeep compact STORE`: stored segments merged into fewer, or what that would be.

use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use walkeep::Handles;
use walkeep::backends::os::OsDirectory;
use walkeep::compact::{
    Budget, CompactOptions, CompactionPlan, Compactor, Identity, LogReduction, Outcome, Strategy, Tiered,
};
use walkeep::core::Namespace;

use super::only_namespace;
use crate::args::NamespaceArgs;
use crate::output;
use crate::quantity::parse_size;

/// What `walkeep compact --help` says below its options.
pub(crate) const NOTES: &str = "\
Nothing is deleted: what was merged stays until it is collected, and every restore point stays what it was. It may run
beside a writer, restores and other compactions; one that is stopped leaves nothing behind.

Strategies: `tiered` merges what is of one minute, hour or day that is over, and many small segments; and everything into
an image of the whole database when that makes up for itself in one restore. `log-reduction` keeps the sizes of segments
doubling. `identity` merges everything into one.";

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) from: NamespaceArgs,
    /// What to merge
    #[arg(long, value_enum, default_value_t = StrategyArg::Tiered)]
    strategy: StrategyArg,
    /// Only say what would be merged first: inputs, output, bytes and requests
    #[arg(long)]
    dry_run: bool,
    /// How much page data to hold in memory: bytes, or with K, M or G; at least 8M. Indexes come on top
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_memory)]
    memory: usize,
    /// How much of one core to take, in percent; by default as much as there is
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cpu: Option<u32>,
    /// How much to read and write a second: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    bytes_per_second: Option<u64>,
    /// How many requests to make a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrategyArg {
    Tiered,
    LogReduction,
    Identity,
}

impl StrategyArg {
    fn strategy(self) -> &'static dyn Strategy {
        match self {
            Self::Tiered => &Tiered,
            Self::LogReduction => &LogReduction,
            Self::Identity => &Identity,
        }
    }
}

/// What would be done, for machines.
#[derive(Serialize)]
struct PlanDocument<'a> {
    namespace: &'a Namespace,
    dry_run: bool,
    plans: &'a [CompactionPlan],
}

/// What was done, for machines.
#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    dry_run: bool,
    compactions: Vec<Row<'a>>,
    /// Of the whole command, listings included.
    requests: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    plan: &'a CompactionPlan,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<u32>,
}

pub(super) async fn run(args: &CompactArgs, json: bool) -> anyhow::Result<()> {
    let store = args.from.format.open(&args.from.store.store).await?;
    let namespace = only_namespace(&store.bucket, args.from.namespace.as_ref()).await?;
    let compactor = Compactor::new(&store.bucket, &namespace, options(args)?)?;
    let strategy = args.strategy.strategy();
    if args.dry_run {
        let planned = compactor.plan(strategy).await?;
        return show_plans(&namespace, &planned.plans, json);
    }
    let told = |plan: &CompactionPlan| {
        if !json {
            output::note(format!("merging {} into {}", inputs(plan), plan.output()));
        }
    };
    let done = compactor.compact(strategy, &told).await?.done;
    if json {
        let compactions = done.iter().map(|(plan, outcome)| Row::new(plan, *outcome)).collect();
        let requests = store.requests().total();
        return output::json(&Document { namespace: &namespace, dry_run: false, compactions, requests });
    }
    for (plan, outcome) in &done {
        output::line(format!("{}  {}, from {}", plan.output(), said(*outcome), inputs(plan)));
    }
    if done.is_empty() {
        output::line(format!("{namespace}: nothing to compact"));
    }
    Ok(())
}

fn options(args: &CompactArgs) -> anyhow::Result<CompactOptions> {
    let spool = std::env::temp_dir();
    let spool =
        OsDirectory::open(&spool).with_context(|| format!("open the directory {}", spool.display()))?;
    let budget = Budget {
        cpu_percent: args.cpu,
        bytes_per_second: args.bytes_per_second,
        requests_per_second: args.requests_per_second,
    };
    let options = CompactOptions::new(Arc::new(spool), Handles::system());
    Ok(CompactOptions { memory_bytes: args.memory, budget, ..options })
}

impl<'a> Row<'a> {
    const fn new(plan: &'a CompactionPlan, outcome: Outcome) -> Self {
        let (outcome, bytes_out, images) = match outcome {
            Outcome::Stored { bytes, images } => ("stored", Some(bytes), Some(images)),
            Outcome::Found => ("found", None, None),
            Outcome::NothingVisible => ("nothing_visible", None, None),
        };
        Self { plan, outcome, bytes_out, images }
    }
}

fn said(outcome: Outcome) -> String {
    match outcome {
        Outcome::Stored { bytes, images } => {
            format!("{} with {}", output::bytes(bytes), output::count(u64::from(images), "page"))
        }
        Outcome::Found => "stored by another compaction".into(),
        Outcome::NothingVisible => "not stored (nothing of it is visible at its end)".into(),
    }
}

fn inputs(plan: &CompactionPlan) -> String {
    let count = output::count(plan.inputs().len() as u64, "segment");
    format!("{count} ({})", output::bytes(plan.bytes_in()))
}

fn show_plans(namespace: &Namespace, plans: &[CompactionPlan], json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&PlanDocument { namespace, dry_run: true, plans });
    }
    if plans.is_empty() {
        output::line(format!("{namespace}: nothing to compact"));
    }
    for plan in plans {
        let (bytes, requests) = (output::bytes(plan.bytes_in()), output::count(plan.requests(), "request"));
        output::line(format!("{}  from {bytes}, with about {requests}: {}", plan.output(), plan.why()));
        for input in plan.inputs() {
            output::line(format!("  {}  {}", input.key, output::bytes(input.size)));
        }
    }
    Ok(())
}

fn parse_memory(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    let least = CompactOptions::MEMORY_MIN;
    usize::try_from(bytes).ok().filter(|bytes| *bytes >= least).ok_or_else(|| "it must be at least 8M".into())
}

fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it must be at least 1 byte".into()),
        bytes => Ok(bytes),
    }
}
