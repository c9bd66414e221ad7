//! Proofs in a store: the newest counts, and one that is damaged counts for nothing.

use walkeep_core::{
    Body, ByteRange, Clock, Error, LogId, Namespace, Nonce, Proof, Random, Result, UnixMillis,
};

use crate::bucket::Bucket;
use crate::manifests::NEWEST_PAGE;

/// The newest proof about a log that can be read, if there is one. Damaged ones, and those of another log, are skipped:
/// without them more is read, that is all.
///
/// # Errors
///
/// `Invalid` for a proof of a newer version of Walkeep; `Unavailable`.
pub(crate) async fn newest(bucket: &Bucket, namespace: &Namespace, log_id: LogId) -> Result<Option<Proof>> {
    let Some(folder) = bucket.layout().proofs(namespace) else { return Ok(None) };
    for object in bucket.list(&folder, None, NEWEST_PAGE).await? {
        let read = bucket.get(&object.path, ByteRange::Bounded(0..Proof::LEN_MAX)).await;
        let proof = read.and_then(|bytes| Proof::decode(object.path.as_str(), &bytes));
        match proof {
            Ok(proof) if proof.log_id == log_id => return Ok(Some(proof)),
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error @ Error::Corrupt(_)) => {
                tracing::warn!(%namespace, %error, "a proof is damaged and is not used");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Writes a proof down.
///
/// # Errors
///
/// `Invalid` where the layout has no place for one; those of the store.
pub(crate) async fn record(
    bucket: &Bucket,
    namespace: &Namespace,
    proof: &Proof,
    random: &dyn Random,
) -> Result<()> {
    let path = bucket.layout().proof(namespace, proof.at, Nonce::random(random)?).ok_or_else(|| {
        Error::invalid(format!("a proof about namespace {namespace}"), "a bucket of libsql-wal is only read")
    })?;
    bucket.put_new(&path, Body::from(proof.encode()?)).await
}

/// What to build the next proof on: the last one, or nothing, at this time.
pub(crate) fn next(last: Option<Proof>, log_id: LogId, clock: &dyn Clock) -> Proof {
    let now = clock.now();
    match last {
        // A clock that went back must not make a new proof sort behind the last one.
        Some(mut last) => {
            last.at = now.max(UnixMillis(last.at.get().saturating_add(1)));
            last
        }
        None => Proof::new(log_id, now),
    }
}
