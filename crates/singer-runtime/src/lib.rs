//! The process around a Singer tap or target.
//!
//! A connector implements [`tap::Tap`] or [`target::Target`] and hands the type to [`tap::main`] or
//! [`target::main`]. Everything that is the same for all connectors is here: command line, config,
//! secrets, stdin and stdout, catalogs, states, batches, rejects, signals, logs, metrics, exit codes.
//! A connector never prints and never reads the command line.

pub mod clock;
pub mod context;
pub mod exit;
pub mod log;
pub mod setting;
pub mod signal;
pub mod stdio;
pub mod stop;
pub mod tap;
pub mod target;

mod about;
mod cli;
mod config;
mod monitor;
mod process;
mod program;
mod secret;
