//! `walkeep shrink STORE` and `walkeep catalog shrink`: unused space of sharded redb files, given back to the file system.

use clap::Args;
use serde::Serialize;
use walkeep::backends::StoreUrl;
use walkeep::backends::redb::{RedbLocation, Shrunk};

use crate::args::StoreArgs;
use crate::failure::Usage;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &ShrinkArgs, json: bool) -> anyhow::Result<()> {
    let places = places(&args.store.store);
    if places.is_empty() {
        let why = "STORE has no redb:///path in it; other stores have no unused space: a deleted object's is free at once";
        return Err(Usage(why.into()).into());
    }
    places.iter().try_for_each(|place| show(place, place.open(false)?.shards().compact()?, json))
}

/// The redb stores of a store: itself, or those among the two that it is made of.
fn places(store: &StoreUrl) -> Vec<RedbLocation> {
    match store {
        StoreUrl::Redb(location) => vec![location.clone()],
        pair => pair.sides().into_iter().flatten().flat_map(|(_, side)| places(&side)).collect(),
    }
}

#[derive(Serialize)]
struct Document {
    place: String,
    #[serde(flatten)]
    shrunk: Shrunk,
}

/// Shows what has become of a place.
pub(super) fn show(place: &impl std::fmt::Display, shrunk: Shrunk, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&Document { place: place.to_string(), shrunk });
    }
    let Shrunk { bytes_before, bytes } = shrunk;
    let given = output::bytes(bytes_before.saturating_sub(bytes));
    output::line(format!("{place}: {given} given back, {} left", output::bytes(bytes)));
    Ok(())
}
