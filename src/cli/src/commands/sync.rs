//! `walkeep sync STORE`: what one store of two lacks, copied from the other.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::args::StoreArgs;
use crate::failure::{CORRUPT, Usage};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct Row {
    copied: u64,
    copied_bytes: u64,
    conflicts_total: u64,
    conflicts: Vec<Conflict>,
}

#[derive(Serialize)]
struct Conflict {
    object: String,
    why: String,
}

pub(super) async fn run(args: &SyncArgs, json: bool) -> anyhow::Result<ExitCode> {
    let url = &args.store.store;
    let Some(copies) = url.open_copies()? else {
        let why =
            "STORE is one place; `walkeep sync` is for mirror:?… and tiered:?…, see `walkeep sync --help`";
        return Err(Usage(why.into()).into());
    };
    let caught_up = copies.catch_up().await;
    let status = copies.status();
    let conflicts = status.conflicts.into_iter();
    let conflicts = conflicts.map(|found| Conflict { object: found.path.to_string(), why: found.why });
    let conflicts = conflicts.collect::<Vec<_>>();
    if let Err(error) = caught_up {
        output::note_beside_failure(format!("copied {} before it failed", objects(status.copied)));
        return Err(error.into());
    }
    if json {
        let (copied, copied_bytes, conflicts_total) =
            (status.copied, status.copied_bytes, status.conflicts_total);
        output::json(&Row { copied, copied_bytes, conflicts_total, conflicts })?;
    } else {
        output::line(format!(
            "copied {} of {}: both stores have everything",
            objects(status.copied),
            output::bytes(status.copied_bytes)
        ));
        if status.conflicts_total > 0 {
            output::line(format!("but {} not copied:", conflict_count(status.conflicts_total)));
        }
        for Conflict { object, why } in conflicts {
            output::line(format!("  {object}: {why}"));
        }
    }
    Ok(if status.conflicts_total > 0 { ExitCode::from(CORRUPT) } else { ExitCode::SUCCESS })
}

fn objects(count: u64) -> String {
    output::count(count, "object")
}

fn conflict_count(count: u64) -> String {
    if count == 1 { "1 object that differs was".into() } else { format!("{count} objects that differ were") }
}
