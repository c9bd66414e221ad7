//! Work that blocks, done where that is allowed.

use walkeep_core::{Error, Result};

/// Does file I/O on a thread that may block. It goes on when the caller is cancelled.
///
/// # Errors
///
/// Its own; `Unknown` when it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::Unknown { what: format!("file I/O did not finish: {error}") }),
    }
}
