//! `walkeep fork STORE -n NS NEW`: a namespace of any restore point, at once.

use clap::Args;
use serde::Serialize;
use walkeep::core::{FrameNo, Namespace, PinName, UnixMillis};
use walkeep::{Handles, RestorePoint, find_pin, fork};

use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs, parse_frame};
use crate::output;
use crate::store::Store;
use crate::time_arg::{self, TimeArg};

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The new namespace
    #[arg(value_name = "NEW")]
    pub(crate) new: Namespace,
    /// The namespace to fork; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    #[command(flatten)]
    pub(crate) point: PointArgs,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PointArgs {
    /// The last commit at or before this time: RFC 3339, local time, or relative (-5m)
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    pub(crate) at: Option<TimeArg>,
    /// The commit that ends with this frame
    #[arg(long, value_name = "N", value_parser = parse_frame)]
    pub(crate) frame: Option<FrameNo>,
    /// A pinned restore point
    #[arg(long, value_name = "NAME")]
    pub(crate) pin: Option<PinName>,
    /// The newest commit (the default)
    #[arg(long)]
    pub(crate) latest: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a Namespace,
    parent: &'a Namespace,
    frame_no: Option<FrameNo>,
    time: Option<String>,
    time_ms: Option<UnixMillis>,
}

pub(super) async fn run(args: &ForkArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let parent = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let point = point(&store, &parent, &args.point).await?;
    let made = fork(&store.bucket, &parent, &args.new, point, &Handles::system()).await?;
    let at = made.parent();
    if json {
        return output::json(&Document {
            namespace: &args.new,
            parent: &parent,
            frame_no: at.map(|at| at.frame),
            time: at.map(|at| at.time.to_string()),
            time_ms: at.map(|at| at.time),
        });
    }
    let at = at.map(|at| format!(" at frame {} of {}", at.frame, at.time)).unwrap_or_default();
    output::line(format!("{} is a fork of {parent}{at}", args.new));
    Ok(())
}

/// The restore point that is meant.
pub(super) async fn point(
    store: &Store,
    parent: &Namespace,
    args: &PointArgs,
) -> anyhow::Result<RestorePoint> {
    if let Some(name) = &args.pin {
        let pin = find_pin(&store.bucket, parent, name).await?;
        return Ok(RestorePoint::Frame(pin.frame));
    }
    Ok(match (&args.at, args.frame) {
        (_, Some(frame)) => RestorePoint::Frame(frame),
        (Some(at), None) => {
            if let Some(note) = &at.note {
                output::note(note);
            }
            RestorePoint::Time(at.time)
        }
        (None, None) => RestorePoint::Latest,
    })
}
