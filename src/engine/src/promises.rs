//! What a user wants kept: the retention of a namespace, and pins.
//!
//! Both are fields of its manifest, published on top of whatever others publish meanwhile. Invariant: only a point that
//! is promised can be pinned, and it is judged by the very manifest that the pin is added to: so nothing that a collection
//! has dropped is promised again.

use walkeep_core::manifest::Pin;
use walkeep_core::{Error, Manifest, Namespace, PinName, RestorePoint, Result, Retention, UnixMillis};

use crate::bucket::Bucket;
use crate::family::publish;
use crate::find;
use crate::manifests;
use crate::writer::Handles;

/// Sets the retention of a namespace; `None` keeps everything from now on. What was dropped before stays so. Returns its
/// manifest. Nothing is dropped by this call: [`collect`](crate::gc::collect) does that.
///
/// # Errors
///
/// `NotFound`; `Invalid` for a bucket of libsql-wal; `Unavailable`, also while a writer is just opening the namespace.
pub async fn retain(
    bucket: &Bucket,
    namespace: &Namespace,
    retention: Option<&Retention>,
) -> Result<Manifest> {
    refuse_libsql(bucket)?;
    manifests::present(bucket, namespace).await?;
    publish(bucket, namespace, |newest| match newest.retention() == retention {
        true => Ok(None),
        false => newest.with_retention(retention.cloned()).map(Some),
    })
    .await
}

/// Gives a restore point a name, under which it is kept until it is unpinned, or until `expires`.
///
/// # Errors
///
/// `AlreadyExists` when the name is taken; `Unreachable` when there is no such point; `NotFound`; `Invalid` for a time
/// that is over, or when retention has dropped the point meanwhile; `Unavailable`.
///
/// # Cancel safety
///
/// A cancelled call may have pinned.
pub async fn pin(
    bucket: &Bucket,
    namespace: &Namespace,
    name: &PinName,
    point: RestorePoint,
    expires: Option<UnixMillis>,
    handles: &Handles,
) -> Result<Pin> {
    refuse_libsql(bucket)?;
    let created = handles.clock.now();
    if let Some(expires) = expires.filter(|expires| *expires <= created) {
        let why = format!("it is over: it is {created} now");
        return Err(Error::invalid(format!("a pin that expires at {expires}"), why));
    }
    let (_, frame, time) = find::commit(bucket, namespace, point).await?;
    let pin = Pin { frame, time, created, expires };
    let next = |newest: &Manifest| match newest.pins().get(name) {
        // Ours, by an attempt whose reply was lost.
        Some(found) if *found == pin => Ok(None),
        _ => newest.with_pin(name.clone(), pin).map(Some),
    };
    publish(bucket, namespace, next).await.map(|_| pin)
}

/// Takes a name away. Returns what it stood for.
///
/// # Errors
///
/// `NotFound` for an unknown namespace or name; `Unavailable`.
pub async fn unpin(bucket: &Bucket, namespace: &Namespace, name: &PinName) -> Result<Pin> {
    refuse_libsql(bucket)?;
    let found = find_pin(bucket, namespace, name).await?;
    let next = |newest: &Manifest| match newest.pins().get(name) {
        Some(pin) if *pin == found => newest.without_pin(name).map(Some),
        _ => Ok(None),
    };
    publish(bucket, namespace, next).await.map(|_| found)
}

/// What a name stands for.
///
/// # Errors
///
/// `NotFound` for an unknown namespace or name; `Corrupt`, `Unavailable`.
pub async fn find_pin(bucket: &Bucket, namespace: &Namespace, name: &PinName) -> Result<Pin> {
    let manifest = manifests::present(bucket, namespace).await?;
    let pin = manifest.pins().get(name).copied();
    pin.ok_or_else(|| Error::not_found(format!("pin {name} in namespace {namespace}")))
}

fn refuse_libsql(bucket: &Bucket) -> Result<()> {
    if bucket.is_libsql() {
        return Err(Error::invalid("pins and retention", "a bucket of libsql-wal is only read"));
    }
    Ok(())
}
