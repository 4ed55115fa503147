//! `antiphon new`: a starter pipeline from what two binaries say of themselves.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(
    _: singer_runtime::context::Context,
    _: Option<std::path::PathBuf>,
    _: Arguments,
) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
