//! Test kit of this workspace: runs its binaries, reads what they print, compares it with goldens,
//! and holds the suites that every tap and every target must pass. For tests only: everything here
//! panics where something is not as it should be, because that is how a test fails.
//!
//! * [`bin`]: a binary, built once, run with an environment of its own, killed at a chosen moment.
//! * [`pipe`]: `tap | target` with a hand on what flows between them.
//! * [`stream`], [`fit`]: Singer messages as plain values, and whether records fit their schemas.
//! * [`golden`]: cases in folders, with the expected stdout, stderr and exit code.
//! * [`tap`], [`target`]: the conformance suites.
//! * [`database`], [`pendo`], [`bigquery`], [`bqemulator`], [`zoho`], [`crm`], [`tetra`], [`moto`], [`mail`], [`folder`]: what the
//!   programs under test talk to and work in.
//! * [`server`]: an HTTP server that answers what a test says.
//! * [`python`]: the environments of foreign programs.

mod capture;
mod suite;

pub mod bigquery;
pub mod bin;
pub mod bqemulator;
pub mod crm;
pub mod database;
pub mod fit;
pub mod folder;
pub mod golden;
pub mod mail;
pub mod moto;
pub mod pendo;
pub mod pipe;
pub mod poll;
pub mod python;
pub mod runtime;
pub mod server;
pub mod stream;
pub mod tap;
pub mod target;
pub mod tetra;
pub mod zoho;
