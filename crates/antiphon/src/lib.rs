//! Runs Singer pipelines, so that a person can leave them alone.
//!
//! A pipeline of `antiphon.toml` is a tap, maps, a target. `run` starts them with real pipes between
//! them; what the target prints becomes numbered versions of the state (`state`), under a lease
//! that only one runner holds (`lock`). What happened is kept (`history`, `rejects`), told to
//! people (`notify`) and shown (`serve`). Everything that is kept goes through `store`, so that
//! a folder, S3 and GCS are the same code.
//!
//! What is absent on purpose: data. No record passes through this program, and no bookmark is
//! understood by it.

mod aws;
mod check;
mod cli;
mod history;
mod live;
mod lock;
mod mask;
mod new;
mod notify;
mod rejects;
mod report;
mod run;
mod schedule;
mod select;
mod serve;
mod session;
mod spec;
mod state;
mod store;
mod tally;

pub use cli::main;
