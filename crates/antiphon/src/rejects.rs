//! Rejected records: collected with each run, listed, replayed, cleared.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: crate::session::Session, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}

/// The name of the file of rejects in a run's work folder.
pub(crate) const FILE: &str = "rejects.jsonl";
/// What became of a run's rejects that were replayed: kept until retention removes the run.
pub(crate) const REPLAYED: &str = "rejects.replayed.jsonl";
/// What became of a run's rejects that a person cleared.
pub(crate) const CLEARED: &str = "rejects.cleared.jsonl";
