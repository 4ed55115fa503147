//! Work that waits for a disk or keeps a processor busy, away from the threads that send.

use singer_core::{Error, Result};

/// Does the work on a thread of its own and waits for it. The work goes on if nobody waits any more.
///
/// # Errors
/// The work's, and of kind `Internal` if it panicked or was cut off by the end of the process.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::internal("work on a thread of its own broke off").with_source(error))
        })
}
