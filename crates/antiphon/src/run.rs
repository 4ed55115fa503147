//! Runs a pipeline: stages, pipes, states, signals, blame, retries.

pub(crate) mod guard;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: crate::session::Session, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}

use crate::history::{Kind, Summary};
use crate::session::Session;
use crate::spec::Pipeline;

/// How one run differs from the usual.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) select: Vec<String>,
    /// For [`Kind::Replay`]: the file of rejects that the target alone reads.
    pub(crate) replay: Option<std::path::PathBuf>,
}

/// What came of the wish to run.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ran; the summary is recorded and notices are sent.
    Ran(Box<Summary>),
    /// Another run holds the lease: nothing was done.
    Busy(crate::lock::Holder),
}

/// Runs a pipeline once: takes the lease, recovers what a dead run left, runs the stages with their
/// retries, records, prunes, releases, notifies. An error means that no run took place.
pub(crate) async fn once(
    session: &Session,
    pipeline: &Pipeline,
    options: &Options,
) -> singer_core::Result<Ended> {
    let _ = (session, pipeline, options);
    Err(singer_core::Error::internal("not there yet"))
}
