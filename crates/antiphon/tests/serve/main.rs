//! `antiphon serve` end to end: by plain HTTP, and in a real browser.

mod access;
mod browser;
mod pages;
mod project;
