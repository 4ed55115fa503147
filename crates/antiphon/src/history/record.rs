//! Stores a run that has ended. The order is the promise: a crash between any two steps leaves the work
//! folder, and [`super::recover`] does the steps again.

use std::io::{ErrorKind, Write};
use std::path::Path;

use bytes::Bytes;
use singer_core::{Error, Result};
use singer_runtime::exit;
use tokio::io::AsyncReadExt;

use super::{Summary, index, keys, work};
use crate::rejects::Counter;
use crate::session::Session;

/// Stores the log, the rejects, the summary, the index; then removes the work folder.
pub(super) async fn record(session: &Session, summary: &Summary, folder: &Path) -> Result<()> {
    let bytes = to_bytes(summary)?;
    // Whoever recovers the folder knows by this how the run ended. On a full disk it is missing, and
    // what is stored now is all the more wanted.
    if let Err(error) = keep(folder, &bytes) {
        tracing::debug!(run = summary.run, error = %error, "cannot keep the summary in the work folder");
    }
    let stored = store(session, summary, bytes, folder, &[keys::LOG, keys::REJECTS]).await;
    if stored.is_err() {
        work::give_up(folder);
        return stored;
    }
    if let Err(error) = crate::rejects::settle_replay(session, summary).await {
        let error = exit::summary_line(&error.into());
        tracing::warn!(
            pipeline = summary.pipeline,
            error,
            "the rejects that were replayed stay open"
        );
    }
    Ok(())
}

/// Leaves a run that has ended in its work folder.
pub(super) fn set_aside(summary: &Summary, folder: &Path) -> Result<()> {
    let kept = to_bytes(summary).and_then(|bytes| {
        keep(folder, &bytes).map_err(|error| {
            Error::internal(format!("cannot write into `{}`", folder.display())).with_source(error)
        })
    });
    work::give_up(folder);
    kept
}

/// The summary that a run left in its work folder, if it came to its end.
pub(super) fn kept(folder: &Path) -> Option<Summary> {
    serde_json::from_slice(&std::fs::read(folder.join(keys::SUMMARY)).ok()?).ok()
}

fn keep(folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = folder.join("summary.json.new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, folder.join(keys::SUMMARY))
}

/// Stores these files of a work folder and what became of the run, then removes the folder.
pub(super) async fn store(
    session: &Session,
    summary: &Summary,
    bytes: Bytes,
    folder: &Path,
    files: &[&str],
) -> Result<()> {
    let (pipeline, run) = (summary.pipeline.as_str(), summary.run.as_str());
    for name in files {
        put_file(session, pipeline, run, &folder.join(name), name).await?;
    }
    let rejects = folder.join(keys::REJECTS);
    let open = match files.contains(&keys::REJECTS) {
        true => Some(count_lines(&rejects).await),
        false => None,
    };
    let key = keys::of_run(pipeline, run, keys::SUMMARY);
    session.store.put(&key, bytes).await?;
    index::add(session, summary, open).await?;
    if let Err(error) = work::remove(folder) {
        // Everything is stored; the next run tries again.
        tracing::warn!(pipeline, run, error = %error, "cannot remove the work folder `{}`", folder.display());
    }
    Ok(())
}

/// Puts a file of a run, unless it is missing or empty.
async fn put_file(
    session: &Session,
    pipeline: &str,
    run: &str,
    file: &Path,
    name: &str,
) -> Result<()> {
    let length = match tokio::fs::metadata(file).await {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => {
            return Err(
                Error::internal(format!("cannot read `{}`", file.display())).with_source(error)
            );
        }
    };
    if length == 0 {
        return Ok(());
    }
    let key = keys::of_run(pipeline, run, name);
    session.store.put_file(&key, file).await
}

/// A summary as it is stored.
pub(super) fn to_bytes(summary: &Summary) -> Result<Bytes> {
    let mut bytes = serde_json::to_vec_pretty(summary)
        .map_err(|error| Error::internal("cannot write a summary").with_source(error))?;
    bytes.push(b'\n');
    Ok(Bytes::from(bytes))
}

/// The lines of a file; none if it is not there.
pub(super) async fn count_lines(file: &Path) -> u64 {
    let Ok(mut file) = tokio::fs::File::open(file).await else {
        return 0;
    };
    let mut piece = vec![0; 1 << 16];
    let mut counter = Counter::default();
    while let Ok(length @ 1..) = file.read(&mut piece).await {
        counter.push(piece.get(..length).unwrap_or_default());
    }
    counter.lines()
}
