//! `antiphon state`: look at the versions of a state, and go back.

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: crate::session::Session, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
