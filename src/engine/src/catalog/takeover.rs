//! A namespace given to a node, in the catalog and in the store.
//!
//! In this order: the assignment, so that others see who is about to write; the opening, which claims an epoch and fences
//! the writer before; and the epoch into the assignment. Cut short anywhere, taking over again puts it right. What keeps the
//! node before from writing is the store alone.

use std::sync::Arc;

use walkeep_core::catalog::{Assignment, Generation, NodeId};
use walkeep_core::{Catalog, Error, Namespace, PageSize, Result};

use super::blocking;
use crate::bucket::Bucket;
use crate::manifests;
use crate::writer::{Handles, Writer};

/// A namespace that was taken over.
#[derive(Debug)]
pub struct TakenOver {
    /// Its assignment, confirmed with the writer's epoch.
    pub assignment: Assignment,
    /// Its one writer.
    pub writer: Writer,
}

/// Makes a node the writer of a namespace. The writer before is fenced: its next call of the store says so.
///
/// With `over`, only if the generation of the assignment is still that one. `page_size` is for a namespace that is new and
/// whose settings say none.
///
/// Of two nodes that take one namespace over at the same time, one may fence the other although it loses the assignment:
/// the winner is then told by the store, looks at the assignment, sees that it is still its own, and takes over again.
///
/// # Errors
///
/// `NotFound` when the catalog has no such namespace or node; `Fenced` when another node has taken the namespace
/// meanwhile, in the catalog or in the store; `Invalid` when the store has another log of this name than the catalog
/// knows (nothing was claimed), or as [`Catalog::assign`]; as [`Writer::open`].
///
/// # Cancel safety
///
/// A cancelled call may have assigned the namespace, and fenced the writer before.
pub async fn take_over(
    catalog: &Arc<dyn Catalog>,
    bucket: &Bucket,
    namespace: &Namespace,
    node: &NodeId,
    over: Option<Generation>,
    page_size: PageSize,
    handles: &Handles,
) -> Result<TakenOver> {
    let name = namespace.clone();
    let record = blocking::on(catalog, move |catalog| catalog.namespace(&name)).await?;
    // Before anybody is fenced: is it this catalog's store?
    let present = manifests::newest(bucket, namespace).await?.filter(|newest| newest.life().is_there());
    match &present {
        Some(newest) => record.refuse_other_log(newest.log_id())?,
        None if record.log_id.is_some() => {
            let what = format!("namespace {namespace}, whose log the catalog knows, in {}", bucket.name());
            return Err(Error::not_found(what));
        }
        None => {}
    }
    let (name, to) = (namespace.clone(), node.clone());
    let assigned = blocking::on(catalog, move |catalog| catalog.assign(&name, &to, over)).await?;
    let page_size = record.settings.page_size.unwrap_or(page_size);
    let writer = Writer::open(bucket, namespace, page_size, handles).await?;
    let (name, generation) = (namespace.clone(), assigned.generation);
    let (epoch, log_id) = (writer.epoch(), writer.log_id());
    let confirm = blocking::on(catalog, move |catalog| catalog.confirm(&name, generation, epoch, log_id));
    let assignment = confirm.await?;
    Ok(TakenOver { assignment, writer })
}
