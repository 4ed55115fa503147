//! Rejected records: collected with each run, listed, replayed, cleared.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: crate::session::Session, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}

/// The name of the file of rejects in a run's work folder.
pub(crate) const FILE: &str = "rejects.jsonl";
