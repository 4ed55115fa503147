//! `antiphon run` end to end: real processes, with shell scripts as foreign taps and targets.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

mod deaths;
mod ends;
mod faults;
mod project;
mod secrets;
mod ways;
mod words;
