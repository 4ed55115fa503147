//! SIGINT and SIGTERM: the first asks for a stop, the second ends the process at once.

use singer_core::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit;
use crate::stop::{Reason, Stop};

/// Listens from now on, in a task of its own. Needs the runtime.
pub fn listen(stop: &Stop) -> Result<()> {
    let listen = |kind| {
        signal(kind).map_err(|error| Error::internal("cannot listen to signals").with_source(error))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            let (reason, code) = tokio::select! {
                _ = interrupt.recv() => (Reason::Interrupt, exit::INTERRUPTED),
                _ = terminate.recv() => (Reason::Terminate, exit::TERMINATED),
            };
            if asked {
                end_at_once(code);
            }
            asked = true;
            tracing::warn!("stopping after what is in flight; once more ends at once");
            stop.request(reason);
        }
    });
    Ok(())
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "whoever asks twice wants no more waiting; nothing unconfirmed is in any STATE"
)]
fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
