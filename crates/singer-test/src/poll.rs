//! Waiting for something that tells nobody when it happens: asked again and again until a deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::bin::PATIENCE;

const PAUSE: Duration = Duration::from_millis(2);

/// Waits until a condition holds; fails the test if it never does.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(PATIENCE, condition),
        "waited in vain until {what}"
    );
}

/// Whether a condition comes to hold in time.
pub fn holds_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
