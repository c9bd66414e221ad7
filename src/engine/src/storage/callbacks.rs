//! Telling the owners of segments what became of them: one after the other, whatever each does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;
use walkeep_core::storage::OnStored;
use walkeep_core::{FrameNo, Namespace, Result};

/// The callbacks of one namespace. Each begins when the one before has ended; a panic ends that one alone.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    last: Option<JoinHandle<()>>,
}

impl Callbacks {
    /// Calls back, in its turn.
    pub(super) fn call(&mut self, on_stored: OnStored, outcome: Result<FrameNo>) {
        let before = self.last.take();
        self.last = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // An error is a panic, which was that callback's own.
                let _ = before.await;
            }
            on_stored(outcome).await;
        }));
    }

    /// The last of them, to wait for.
    pub(super) fn take(&mut self) -> Option<JoinHandle<()>> {
        self.last.take()
    }
}

/// The callbacks of all namespaces of a storage that has no queues.
#[derive(Debug, Default)]
pub(super) struct CallbacksByNamespace(Mutex<BTreeMap<Namespace, Callbacks>>);

impl CallbacksByNamespace {
    /// Calls back, in the namespace's turn.
    pub(super) fn call(&self, namespace: &Namespace, on_stored: OnStored, outcome: Result<FrameNo>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(namespace.clone()).or_default().call(on_stored, outcome);
    }
}
