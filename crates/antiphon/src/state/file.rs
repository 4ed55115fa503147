//! States that come from files.
