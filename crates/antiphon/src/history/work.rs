//! The folders of runs on this machine: `<work>/<pipeline>/<run>/`, each with the identity of the process
//! that runs there, so that what a dead one left is told from what a living one writes.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use singer_core::{Error, Result};

use crate::history::Kind;
use crate::lock;

/// The file that says who runs.
const PROCESS: &str = "process.json";

/// Who runs in a folder, and what for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Runner {
    pid: u32,
    /// What [`lock::process_identity`] says.
    process: Option<String>,
    host: String,
    pub(super) kind: Kind,
}
/// How an id starts: it sorts by time.
const TIME: &str = "%Y%m%dT%H%M%S";

/// A new id: `20260102T030405.678Z-<eight digits of base 16, by chance>`.
pub(super) fn new_run(now: DateTime<Utc>) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Two machines may have equal process ids at the same millisecond; the standard hasher starts with
    // numbers of the system's generator.
    let chance = std::hash::BuildHasher::hash_one(
        &std::hash::RandomState::new(),
        (std::process::id(), number),
    );
    format!(
        "{}Z-{:08x}",
        now.format("%Y%m%dT%H%M%S%.3f"),
        chance & 0xffff_ffff
    )
}

/// When a run started, by its id.
pub(super) fn started_at(run: &str) -> Option<DateTime<Utc>> {
    let (time, rest) = NaiveDateTime::parse_and_remainder(run, TIME).ok()?;
    let time = time.and_utc();
    let Some(digits) = rest.strip_prefix('.').and_then(|rest| rest.get(..3)) else {
        return Some(time);
    };
    let milliseconds = digits.parse().ok()?;
    Some(time + chrono::TimeDelta::milliseconds(milliseconds))
}

/// Where the files of a run are, if there are any.
pub(super) fn folder(work: &Path, pipeline: &str, run: &str) -> PathBuf {
    work.join(pipeline).join(run)
}

/// Makes the folder of a run. It appears with the identity in it or not at all.
pub(super) fn begin(work: &Path, pipeline: &str, run: &str, kind: Kind) -> Result<PathBuf> {
    let folder = folder(work, pipeline, run);
    make(&folder, kind).map_err(|error| cannot_make(&folder, error))?;
    Ok(folder)
}

fn make(folder: &Path, kind: Kind) -> io::Result<()> {
    let parent = folder.parent().unwrap_or(Path::new("."));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    // Logs and configs of a run are its owner's alone.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    let pid = std::process::id();
    let new = parent.join(format!("{NEW}{pid}-{name}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
    let process = lock::process_identity(pid);
    let runner = Runner {
        pid,
        process,
        host: host_name(),
        kind,
    };
    fs::write(new.join(PROCESS), serde_json::to_vec(&runner)?)?;
    let renamed = fs::rename(&new, folder);
    if renamed.is_err() {
        drop(fs::remove_dir_all(&new));
    }
    renamed
}

fn cannot_make(folder: &Path, error: io::Error) -> Error {
    Error::internal(format!(
        "cannot make the work folder `{}`",
        folder.display()
    ))
    .with_source(error)
    .with_hint("`work` in `[store]` says where runs keep their files on this machine")
}

/// What a folder is called until it is whole.
const NEW: &str = ".new-";

/// The runs of a pipeline that have a folder on this machine, the oldest first.
pub(super) fn runs(work: &Path, pipeline: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(work.join(pipeline)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && entry.file_type()?.is_dir()
        {
            runs.push(name);
        }
    }
    runs.sort();
    Ok(runs)
}

/// Who made a folder; `None` if it does not say.
pub(super) fn runner(folder: &Path) -> Option<Runner> {
    serde_json::from_slice(&fs::read(folder.join(PROCESS)).ok()?).ok()
}

/// Whether the process that made a folder lives.
pub(super) fn is_alive(folder: &Path) -> bool {
    runner(folder).is_some_and(|runner| {
        let now = lock::process_identity(runner.pid);
        now.is_some() && now == runner.process
    })
}

/// The machine that a folder was made on.
pub(super) fn host(folder: &Path) -> String {
    runner(folder).map_or_else(host_name, |runner| runner.host)
}

/// The name of this machine.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Removes what was being made, used or removed when a process died.
pub(super) fn sweep(work: &Path, pipeline: &str) {
    let Ok(entries) = fs::read_dir(work.join(pipeline)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_gone = name.starts_with(GONE);
        let is_left = name.starts_with('.') && (is_gone || !is_alive(&entry.path()));
        // One that is just being made has no identity in it yet.
        let is_settled = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SETTLED));
        if is_left && (is_gone || is_settled) {
            // What cannot be removed now may be the next time.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// How old a folder without an identity is before it is taken for one that nobody makes any more.
const SETTLED: Duration = Duration::from_secs(60);

fn is_taken(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == ErrorKind::DirectoryNotEmpty || kind == ErrorKind::AlreadyExists
}

/// A folder of a command, beside those of the runs; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    is_borrowed: bool,
}

impl Scratch {
    /// Makes a folder whose name only one process can have at a time.
    ///
    /// # Errors
    /// Of kind `Transient` if another process has it.
    pub(super) fn make(work: &Path, pipeline: &str, name: &str, kind: Kind) -> Result<Self> {
        let path = work.join(pipeline).join(name);
        for _ in 0..2 {
            let Err(error) = make(&path, kind) else {
                return Ok(Self {
                    path,
                    is_borrowed: false,
                });
            };
            if !is_taken(&error) {
                return Err(cannot_make(&path, error));
            }
            if is_alive(&path) {
                break;
            }
            remove(&path).map_err(|error| cannot_make(&path, error))?;
        }
        Err(Error::transient(format!(
            "another process is at work in `{}`",
            path.display()
        ))
        .with_hint("try again when it has ended"))
    }

    /// The folder that this process has made under a name, if it has.
    pub(crate) fn of_this_process(
        session: &crate::session::Session,
        pipeline: &str,
        name: &str,
    ) -> Option<Self> {
        let path = session.project.store.work.join(pipeline).join(name);
        let is_ours = runner(&path)?.pid == std::process::id();
        is_ours.then_some(Self {
            path,
            is_borrowed: true,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_borrowed {
            // What cannot be removed is swept by a later run.
            drop(remove(&self.path));
        }
    }
}

/// Says that nothing more will be written into a folder, though the process lives.
pub(super) fn give_up(folder: &Path) {
    // Where this fails, the folder waits for the end of the process.
    drop(fs::remove_file(folder.join(PROCESS)));
}

/// Removes the folder of a run. It loses its name first, so that a crash leaves no half of one.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Ok(());
    };
    let mut hidden = std::ffi::OsString::from(GONE);
    hidden.push(name);
    let hidden = parent.join(hidden);
    match fs::rename(folder, &hidden) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    fs::remove_dir_all(&hidden)
}

/// What a folder is called while it is removed.
const GONE: &str = ".gone-";

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn the_id_of_a_run_tells_its_time_and_is_unique() {
        let now = Utc.timestamp_millis_opt(1_700_000_000_123).unwrap();
        let (one, two) = (new_run(now), new_run(now));
        assert_ne!(one, two);
        assert_eq!(started_at(&one), Some(now));
        assert!(new_run(now + chrono::TimeDelta::milliseconds(1)) > one.max(two));
        assert_eq!(
            started_at("20231114T221320Z-1"),
            Utc.timestamp_opt(1_700_000_000, 0).single()
        );
        assert_eq!(started_at("run-1"), None);
    }
}
