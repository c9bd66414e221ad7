//! `walkeep pin`, `unpin` and `pins`: restore points with names, which are kept.

use clap::Args;
use serde::Serialize;
use walkeep::core::manifest::Pin;
use walkeep::core::{FrameNo, Namespace, PinName, UnixMillis};
use walkeep::{Handles, Timeline, pin, unpin};

use super::fork::{PointArgs, point};
use super::only_namespace;
use crate::args::{NAMESPACE_VARIABLE, StoreArgs};
use crate::output;
use crate::quantity::parse_span;
use crate::store::Store;
use crate::time_arg;

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The pin
    #[arg(value_name = "NAME")]
    pub(crate) name: PinName,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
    #[command(flatten)]
    pub(crate) point: PointArgs,
    /// Until when it holds: a time, or a span from now such as 30d; by default until it is unpinned
    #[arg(long, value_name = "TIME", value_parser = parse_expiry, allow_hyphen_values = true)]
    pub(crate) expires: Option<UnixMillis>,
}

#[derive(Debug, Args)]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The pin
    #[arg(value_name = "NAME")]
    pub(crate) name: PinName,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
}

#[derive(Debug, Args)]
pub(crate) struct PinsArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The namespace; by default the only one of the store
    #[arg(short, long, value_name = "NS", env = NAMESPACE_VARIABLE)]
    pub(crate) namespace: Option<Namespace>,
}

#[derive(Serialize)]
struct Row<'a> {
    namespace: &'a Namespace,
    name: &'a PinName,
    frame_no: FrameNo,
    time: String,
    time_ms: UnixMillis,
    created: String,
    created_ms: UnixMillis,
    expires: Option<String>,
    expires_ms: Option<UnixMillis>,
    expired: bool,
}

impl<'a> Row<'a> {
    fn new(namespace: &'a Namespace, name: &'a PinName, pin: Pin) -> Self {
        Self {
            namespace,
            name,
            frame_no: pin.frame,
            time: pin.time.to_string(),
            time_ms: pin.time,
            created: pin.created.to_string(),
            created_ms: pin.created,
            expires: pin.expires.map(|time| time.to_string()),
            expires_ms: pin.expires,
            expired: pin.is_expired(Handles::system().clock.now()),
        }
    }
}

fn parse_expiry(text: &str) -> Result<UnixMillis, String> {
    if let Ok(span) = parse_span(text) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(UnixMillis(Handles::system().clock.now().get().saturating_add(millis)));
    }
    time_arg::parse(text).map(|time| time.time)
}

/// Gives a restore point a name.
pub(super) async fn run(args: &PinArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let point = point(&store, &namespace, &args.point).await?;
    let made = pin(&store.bucket, &namespace, &args.name, point, args.expires, &Handles::system()).await?;
    show(&namespace, &args.name, made, json)
}

/// Takes a name away.
pub(super) async fn run_unpin(args: &UnpinArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let gone = unpin(&store.bucket, &namespace, &args.name).await?;
    if json {
        return output::json(&Row::new(&namespace, &args.name, gone));
    }
    output::line(format!("{}: frame {} is no longer pinned", args.name, gone.frame));
    Ok(())
}

/// Lists the names.
pub(super) async fn run_list(args: &PinsArgs, json: bool) -> anyhow::Result<()> {
    let store = Store::open(&args.store.store)?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let timeline = Timeline::load(&store.bucket, &namespace).await?;
    if timeline.manifest().pins().is_empty() {
        output::note(format!("{namespace} has no pins"));
    }
    for (name, pin) in timeline.manifest().pins() {
        show(&namespace, name, *pin, json)?;
    }
    Ok(())
}

fn show(namespace: &Namespace, name: &PinName, pin: Pin, json: bool) -> anyhow::Result<()> {
    let row = Row::new(namespace, name, pin);
    if json {
        return output::json(&row);
    }
    let until = match pin.expires {
        None => "until it is unpinned".to_string(),
        Some(expires) if row.expired => format!("expired at {expires}: the next `walkeep gc` drops it"),
        Some(expires) => format!("until {expires}"),
    };
    output::line(format!("{name}: frame {} of {}, {until}", pin.frame, pin.time));
    Ok(())
}
