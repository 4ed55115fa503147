//! A whole module, under a version that is activated at the end.

use singer_core::Result;
use singer_runtime::tap::Output;

use super::progress::Progress;
use super::{Reading, pages};
use crate::query::Window;

/// Reads a module. There is no bound on the time of changes: a record that is changed meanwhile stays among the
/// rows that the pages are made of.
pub(super) async fn read(reading: &Reading<'_>, out: &mut Output) -> Result<()> {
    let mut progress = Progress::new(reading, None)?;
    pages::read(reading, Window::ALL, &mut progress, out).await?;
    out.finish_version(progress.complete_bookmark()).await
}
