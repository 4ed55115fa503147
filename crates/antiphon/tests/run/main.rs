//! `antiphon run` end to end: real processes, with shell scripts as foreign taps and targets.

mod deaths;
mod ends;
mod faults;
mod project;
mod secrets;
mod ways;
mod words;
