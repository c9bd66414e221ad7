//! Deleting a namespace that is open here.

use walkeep_core::{Backend, Error, Namespace, Result};

use super::AsyncStorage;
use super::queue::Phase;
use crate::family::{Removed, remove};

impl<B: Backend> AsyncStorage<B> {
    /// Deletes a namespace, for good, as [`remove`](crate::remove) does, and closes it here: subscriptions end, and who waits
    /// for a segment of it is told that it is not stored (`Invalid`), or that this is not known. The namespace may be opened
    /// again, as a new one.
    ///
    /// A storage of another process hears of it when it stores the next segment, and closes the namespace then.
    ///
    /// # Errors
    ///
    /// As [`remove`](crate::remove): it may be deleted in part, stays open here, and doing it again goes on.
    ///
    /// # Cancel safety
    ///
    /// As after an error.
    pub async fn remove(&self, namespace: &Namespace, config: Option<&B::Config>) -> Result<Removed> {
        let opening = self.shared.state().queues.get(namespace).map(|queue| queue.opening);
        let removed = remove(&self.bucket(config)?, namespace, &self.shared.handles).await?;
        let mut state = self.shared.state();
        // One that was opened meanwhile is of a new log.
        let queue = state.queues.get_mut(namespace).filter(|queue| Some(queue.opening) == opening);
        if let Some(queue) = queue.filter(|queue| queue.phase != Phase::Closed) {
            let freed = queue.memory_bytes();
            let in_turn =
                Error::Unknown { what: format!("storing a segment of {namespace}, which was deleted") };
            queue.close(
                &in_turn,
                Error::invalid(format!("storing in namespace {namespace}"), "it was deleted"),
            );
            state.memory_bytes -= freed;
        }
        Ok(removed)
    }
}
