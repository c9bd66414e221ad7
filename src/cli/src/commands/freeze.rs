//! `walkeep freeze STORE -n NS` and `walkeep thaw STORE -n NS`: read only, and back.

use clap::Args;
use serde::Serialize;
use walkeep::core::Namespace;
use walkeep::{Freeze, Handles, freeze, thaw};

use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::output;
use crate::store::Store;

#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
}

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    state: &'a str,
    changed: bool,
}

/// Makes a namespace read only, or writable.
pub(super) async fn run(args: &FreezeArgs, frozen: bool, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let (state, came) = match frozen {
        true => ("frozen", freeze(&store.bucket, &namespace, &Handles::system()).await?),
        false => ("active", thaw(&store.bucket, &namespace).await?),
    };
    let changed = came == Freeze::Changed;
    if json {
        return output::json(&Document { namespace: &namespace, state, changed });
    }
    let already = if changed { "" } else { " already" };
    let meaning = if frozen { "read only" } else { "writable" };
    output::line(format!("{namespace} is {meaning}{already}"));
    Ok(())
}
