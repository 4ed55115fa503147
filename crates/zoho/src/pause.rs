//! Waiting that a stop request ends.

use std::future::Future;
use std::time::Duration;

use singer_core::{Error, Result, Surroundings};

/// Waits up to this are sat out even after a stop request: what is in flight then may still be finished.
pub(crate) const SHORT: Duration = Duration::from_secs(5);

/// Waits this long.
///
/// # Errors
/// Of kind `Interrupted` if the wait is a long one and somebody asks for a stop, or did so before.
pub(crate) async fn rest(surroundings: &dyn Surroundings, wait: Duration) -> Result<()> {
    if wait <= SHORT {
        tokio::time::sleep(wait).await;
        return Ok(());
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => Ok(()),
        () = stopped(surroundings) => Err(Error::interrupted()),
    }
}

/// Waits for something that may take long.
///
/// # Errors
/// Of kind `Interrupted` if it takes long and somebody asks for a stop, or did so before.
pub(crate) async fn until<T>(
    surroundings: &dyn Surroundings,
    wait: impl Future<Output = T>,
) -> Result<T> {
    let stop = async {
        tokio::time::sleep(SHORT).await;
        stopped(surroundings).await;
    };
    tokio::select! {
        biased;
        value = wait => Ok(value),
        () = stop => Err(Error::interrupted()),
    }
}

async fn stopped(surroundings: &dyn Surroundings) {
    if !surroundings.stop_requested() {
        surroundings.stopped().await;
    }
}
