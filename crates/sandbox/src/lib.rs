//! sandbox

pub mod source;
