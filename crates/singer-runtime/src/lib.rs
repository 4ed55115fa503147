//! The process around a Singer tap or target.
//!
//! A connector implements [`tap::Tap`] or [`target::Target`] and hands the type to [`tap::main`] or
//! [`target::main`]; a stage between the two implements [`map::Map`]. Everything that is the same for all
//! of them is here: command line, config, secrets, stdin and stdout, catalogs, states, batches, rejects, signals, logs, metrics, exit codes.
//! A connector never prints and never reads the command line.
//!
//! # Writing a tap
//!
//! 1. A serde struct for the config, and its table of keys: [`setting::Settings`]. The table gives the
//!    checks, `--about`, the flags and the environment names, so the struct needs no defaults.
//! 2. A type with the four methods of [`tap::Tap`]. `read` appends records to a [`tap::Output`] and
//!    calls [`tap::Output::checkpoint`] when [`tap::Output::checkpoint_due`] says so.
//! 3. `fn main() -> std::process::ExitCode { singer_runtime::tap::main::<MyTap>() }`
//!
//! `examples/tap-countries.rs` is a whole one. Catalogs, selection, states, SCHEMA messages, signals
//! and exit codes are then as every other tap of this workspace has them.
//!
//! # What an error becomes
//!
//! The outermost [`singer_core::Error`] of a chain decides ([`exit::code`]); errors of the kinds
//! `Auth` and `Config` end the run, others only their stream. What an error says is shown to people:
//! it names things and never quotes values.

pub mod amount;
pub mod blocking;
pub mod clock;
pub mod command;
pub mod context;
pub mod exit;
pub mod log;
pub mod map;
pub mod rejects;
pub mod report;
pub mod rows;
pub mod setting;
pub mod signal;
pub mod stdio;
pub mod stop;
pub mod tap;
pub mod target;

mod about;
mod batch_files;
mod cli;
mod config;
mod monitor;
mod process;
mod program;
mod secret;
