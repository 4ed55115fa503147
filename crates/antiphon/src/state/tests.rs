//! Versions over a folder.
