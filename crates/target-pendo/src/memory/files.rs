//! The files of a memory: where they are, who may use them, how changes of them last.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};

/// Takes the lock that keeps a second run out.
pub(super) fn lock(path: &Path) -> io::Result<Result<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(Err(Error::transient(format!(
            "another run uses the memory `{}`",
            path.display()
        ))
        .with_hint("run again when it has ended, or give this run its own `memory_path`"))),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// The sorted table.
pub(super) fn table_path(path: &Path) -> PathBuf {
    path.with_extension("table")
}

/// What came since.
pub(super) fn journal_path(path: &Path) -> PathBuf {
    path.with_extension("journal")
}

/// Where a journal goes that could not be written to its end.
pub(super) fn suspect_path(path: &Path) -> PathBuf {
    path.with_extension("suspect")
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
