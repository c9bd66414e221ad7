//! `walkeep segments STORE -n NS`: the stored segments, newest first.

use serde::Serialize;
use walkeep::core::{Epoch, FrameNo, UnixMillis};
use walkeep::{StoredSegment, Timeline};

use super::{only_namespace, warn_ignored};
use crate::args::NamespaceArgs;
use crate::output;

#[derive(Serialize)]
struct Row {
    key: String,
    epoch: Epoch,
    start: FrameNo,
    end: FrameNo,
    time: String,
    time_ms: UnixMillis,
    level: u8,
    bytes: u64,
    /// The namespace that stores it: of a fork, what it shares is stored with those that it came from.
    stored_in: String,
    /// Its name there.
    object: String,
}

pub(super) async fn run(args: &NamespaceArgs, json: bool) -> anyhow::Result<()> {
    let store = args.format.open(&args.store.store).await?;
    let namespace = only_namespace(&store.bucket, args.namespace.as_ref()).await?;
    let timeline = Timeline::load(&store.bucket, &namespace).await?;
    warn_ignored(&namespace, timeline.ignored(), timeline.unconfirmed().len());
    if !json {
        output::line(format!("{:<76} {:>10} {:>10} {:>12}", "KEY", "START", "END", "BYTES"));
    }
    for stored in timeline.segments() {
        let StoredSegment { key, size, .. } = stored;
        let place = timeline.place_of(stored);
        let name = store.bucket.segment_name(&namespace, key);
        if json {
            output::json(&Row {
                key: name,
                epoch: key.epoch(),
                start: key.start(),
                end: key.end(),
                time: key.time().to_string(),
                time_ms: key.time(),
                level: key.level(),
                bytes: *size,
                stored_in: place.to_string(),
                object: store.bucket.segment_name(place, &stored.object()),
            })?;
        } else {
            let (start, end) = (key.start(), key.end());
            let place = if stored.is_inherited() { format!("  of {place}") } else { String::new() };
            output::line(format!("{name:<76} {start:>10} {end:>10} {:>12}{place}", output::bytes(*size)));
        }
    }
    Ok(())
}
