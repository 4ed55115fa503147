//! Printing a STATE: first everything it covers is on disk, then the state file, then stdout.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Target;
use super::shared::Shared;
use super::state_file::StateFile;
use crate::blocking::blocking;
use crate::stdio::StateOut;

/// While a run goes on, states are printed no more often than this: each costs a sync of the disk.
const EVERY: Duration = Duration::from_millis(200);

/// Where states go.
pub(crate) struct Outlet {
    sinks: Arc<Mutex<Sinks>>,
    /// When the next state may be printed.
    next: Instant,
}

struct Sinks {
    out: StateOut<Box<dyn Write + Send>>,
    file: Option<StateFile>,
}

impl Outlet {
    pub(crate) fn new(out: Box<dyn Write + Send>, file: Option<StateFile>) -> Self {
        Self {
            sinks: Arc::new(Mutex::new(Sinks {
                out: StateOut::new(out),
                file,
            })),
            next: Instant::now(),
        }
    }

    /// When the next state may be printed.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Prints a state that is safe. The future is independent of this outlet.
    pub(crate) fn publish<T: Target>(
        &mut self,
        target: &Arc<T>,
        shared: &Arc<Shared>,
        (position, state): (u64, Box<str>),
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        self.next = Instant::now() + EVERY;
        let (sinks, target, shared) = (
            Arc::clone(&self.sinks),
            Arc::clone(target),
            Arc::clone(shared),
        );
        async move {
            blocking(move || shared.rejects().sync()).await?;
            target.sync(position, &state).await?;
            blocking(move || {
                let mut sinks = sinks.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(file) = &sinks.file {
                    file.store(&state)?;
                }
                sinks.out.print(state.as_bytes())
            })
            .await?;
            target.printed().await
        }
    }
}
