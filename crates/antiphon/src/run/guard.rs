//! The leader of a run's process group: it ends the stages when the runner dies.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: singer_runtime::context::Context, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
