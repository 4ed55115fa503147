//! `antiphon tally`: a stage that counts the records that pass through it, for pipelines of foreign taps
//! and targets. Bytes go on as they came; counts go to the report file as those of our own stages do.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: singer_runtime::context::Context, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
