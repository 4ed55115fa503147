//! The tap as a program: over a platform of a few lines whose answers a test can bend.

mod deletions;
mod faults;
mod kit;
mod reading;
mod retrieving;
mod suite;
