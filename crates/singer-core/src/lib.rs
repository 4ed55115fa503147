//! The words of the Singer protocol, for people who write a tap or a target in Rust.
//!
//! This crate reads and writes messages, schemas, catalogs and states, and names the ways in which
//! things go wrong. It does no IO, starts no thread and knows no clock: bytes come in, bytes go out.
//! The process around a tap or a target (command line, pipes, state files) is `singer-runtime`.
//!
//! What is absent on purpose: no JSON tree is built for a record. A RECORD line is scanned once;
//! what comes out are spans into its bytes ([`scan::Fields`]).

pub mod catalog;
pub mod error;
pub mod fnv;
pub mod line;
pub mod message;
pub mod nearest;
pub mod number;
pub mod pattern;
pub mod scan;
pub mod schema;
pub mod secret;
pub mod state;
pub mod surroundings;
pub mod validate;
pub mod value;

pub use error::{Error, Kind, Result};
pub use secret::{Secret, SecretSource};
pub use surroundings::Surroundings;
