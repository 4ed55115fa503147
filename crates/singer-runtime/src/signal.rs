//! SIGINT, SIGTERM and SIGHUP: the first asks for a stop, the second ends the process at once, unless
//! it is a SIGHUP.

use std::fs;

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
    // Whoever started this process with `nohup` wants it to outlive its terminal.
    let mut hangup = match is_hangup_ignored() {
        true => None,
        false => Some(listen(SignalKind::hangup())?),
    };
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            let (reason, code) = tokio::select! {
                _ = interrupt.recv() => (Reason::Interrupt, exit::INTERRUPTED),
                _ = terminate.recv() => (Reason::Terminate, exit::TERMINATED),
                Some(_) = async { hangup.as_mut()?.recv().await } => (Reason::Hangup, exit::HUNG_UP),
            };
            if asked {
                // A terminal that closes says so more than once: the system does, then the shell.
                if reason == Reason::Hangup {
                    continue;
                }
                end_at_once(code);
            }
            asked = true;
            tracing::warn!("stopping after what is in flight; once more ends at once");
            stop.request(reason);
        }
    });
    Ok(())
}

/// Whether SIGHUP was ignored when this process began. Where the system does not tell, it was not.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Reads the mask of ignored signals; SIGHUP is its lowest bit.
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "whoever asks twice wants no more waiting; nothing unconfirmed is in any STATE"
)]
fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_says_whether_a_hangup_is_ignored() {
        assert!(ignores_hangup(
            "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"
        ));
        assert!(!ignores_hangup("SigBlk:\t1\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}
