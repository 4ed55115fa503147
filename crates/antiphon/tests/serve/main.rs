//! `antiphon serve` end to end: by plain HTTP, and in a real browser.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

mod access;
mod browser;
mod pages;
mod project;
