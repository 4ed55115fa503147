//! The rejects file: one JSON line for each record that was not taken, on disk before a STATE that
//! covers it is printed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use singer_core::value::write_string;
use singer_core::{Error, Result};

use crate::clock::Clock;

/// Lines are handed to the system in pieces of about this size, whole lines only.
const WRITE_BYTES: usize = 64 * 1024;

/// One record that was not taken.
#[derive(Debug)]
pub struct Reject<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The key as JSON.
    pub key: &'a [u8],
    /// The record as JSON.
    pub record: &'a [u8],
    /// Words for people, without any value.
    pub reason: &'a str,
    /// A word for programs.
    pub code: Option<&'a str>,
    /// The line of the input; none for what did not come from one.
    pub line: Option<u64>,
    /// How often it was tried before this run.
    pub attempts: u32,
}

/// The file, made when the first record is refused.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    run_id: String,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    /// Whole lines that the system does not have yet.
    lines: Vec<u8>,
    /// Whether the system has lines that may not be on disk yet.
    is_dirty: bool,
    /// Whether lines may be lost: a sync that succeeds after one that failed proves nothing, and what
    /// is added behind a torn line would make the file unreadable.
    has_failed: bool,
}

impl Rejects {
    /// Makes nothing yet.
    pub fn new(path: PathBuf, run_id: &str, clock: Clock) -> Self {
        Self {
            path,
            run_id: run_id.to_owned(),
            clock,
            state: Mutex::default(),
        }
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub fn append(&self, reject: &Reject<'_>) -> Result<()> {
        let at = self.clock.timestamp();
        let mut state = self.lock();
        write_line(&mut state.lines, reject, &at, &self.run_id);
        if state.lines.len() >= WRITE_BYTES {
            self.hand_over(&mut state)?;
        }
        Ok(())
    }

    /// Returns once everything that was added is on disk. Others may add meanwhile.
    ///
    /// # Errors
    /// If the file cannot be made, written or synced.
    pub fn sync(&self) -> Result<()> {
        let mut state = self.lock();
        self.hand_over(&mut state)?;
        if !std::mem::take(&mut state.is_dirty) {
            return Ok(());
        }
        let file = state.file.clone();
        drop(state);
        file.map_or(Ok(()), |file| file.sync_data())
            .map_err(|error| {
                self.lock().has_failed = true;
                self.failed(error)
            })
    }

    fn hand_over(&self, state: &mut State) -> Result<()> {
        if state.has_failed {
            return Err(self.failed(io::Error::other("an earlier write to it failed")));
        }
        if state.lines.is_empty() {
            return Ok(());
        }
        self.write(state).map_err(|error| {
            state.has_failed = true;
            self.failed(error)
        })?;
        state.lines.clear();
        state.is_dirty = true;
        Ok(())
    }

    /// Writes the lines into the file that has the name now: a replay by another process may have
    /// put a new one in its place, and then has taken over what the old one held.
    fn write(&self, state: &mut State) -> io::Result<()> {
        loop {
            let file = match &state.file {
                Some(file) => Arc::clone(file),
                None => Arc::new(open(&self.path)?),
            };
            let _held = Held::new(&file);
            if has_name(&file, &self.path) {
                (&*file).write_all(&state.lines)?;
                state.file = Some(Arc::clone(&file));
                return Ok(());
            }
            state.file = None;
        }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::internal(format!(
            "cannot write the rejects file `{}`",
            self.path.display()
        ))
        .with_source(error)
        .with_hint("`rejects_path` in the config says where it is")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock on a rejects file while it is held: of those that add lines and of a replay that renews the
/// file, one at a time is at it. A file system without locks does without.
pub(crate) struct Held<'a>(&'a File);

impl<'a> Held<'a> {
    /// Waits for the lock.
    pub(crate) fn new(file: &'a File) -> Self {
        drop(file.lock());
        Self(file)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

/// Whether this file is still the one with this name.
fn has_name(file: &File, path: &Path) -> bool {
    let identity = |found: Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => identity(open) == identity(named),
        _ => false,
    }
}

/// Opens the file for more lines. A last line without its end is what a killed run left behind; no
/// STATE covered it, and it would make the file unreadable, so it is cut off.
fn open(path: &Path) -> io::Result<File> {
    let existed = path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    cut_torn_line(&mut file)?;
    if !existed && let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn cut_torn_line(file: &mut File) -> io::Result<()> {
    // Another handle, as the lock borrows it while this one is read.
    let handle = file.try_clone()?;
    let _held = Held::new(&handle);
    let length = file.metadata()?.len();
    let whole = end_of_last_line(file, length)?;
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(())
}

fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut piece = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn write_line(out: &mut Vec<u8>, reject: &Reject<'_>, at: &str, run_id: &str) {
    out.extend_from_slice(b"{\"stream\":");
    write_string(out, reject.stream);
    out.extend_from_slice(b",\"key\":");
    out.extend_from_slice(reject.key);
    out.extend_from_slice(b",\"record\":");
    out.extend_from_slice(reject.record);
    out.extend_from_slice(b",\"reason\":");
    write_string(out, reject.reason);
    out.extend_from_slice(b",\"code\":");
    match reject.code {
        Some(code) => write_string(out, code),
        None => out.extend_from_slice(b"null"),
    }
    let line = (reject.line).map_or_else(|| "null".to_owned(), |line| line.to_string());
    let attempts = u64::from(reject.attempts) + 1;
    out.extend_from_slice(format!(",\"line\":{line},\"attempts\":{attempts},\"at\":").as_bytes());
    write_string(out, at);
    out.extend_from_slice(b",\"run_id\":");
    write_string(out, run_id);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::target::tests::Folder;

    fn rejects(path: PathBuf) -> Rejects {
        Rejects::new(path, "run-1", Clock::fixed(DateTime::UNIX_EPOCH))
    }

    fn reject(line: u64) -> Reject<'static> {
        Reject {
            stream: "a\"b",
            key: br#"{"id":1}"#,
            record: br#"{"id":1,"x":"NaN"}"#,
            reason: "property `x` must be number, found string",
            code: None,
            line: Some(line),
            attempts: 0,
        }
    }

    #[test]
    fn a_reject_is_one_line_of_the_contracts_shape() {
        let folder = Folder::new("reject-line");
        let rejects = rejects(folder.path("r.jsonl"));
        assert!(!rejects.path().exists());
        rejects.sync().unwrap();
        assert!(!rejects.path().exists(), "no file before the first reject");
        rejects.append(&reject(42)).unwrap();
        rejects.sync().unwrap();
        let coded = Reject {
            code: Some("E1"),
            attempts: 3,
            ..reject(43)
        };
        rejects.append(&coded).unwrap();
        rejects.sync().unwrap();
        let text = std::fs::read_to_string(rejects.path()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            serde_json::json!({"stream": "a\"b", "key": {"id": 1}, "record": {"id": 1, "x": "NaN"},
                "reason": "property `x` must be number, found string", "code": null, "line": 42,
                "attempts": 1, "at": "1970-01-01T00:00:00.000000Z", "run_id": "run-1"})
        );
        assert_eq!(
            (&lines[1]["code"], &lines[1]["attempts"]),
            (&"E1".into(), &4.into())
        );
    }

    #[test]
    fn what_was_there_stays_and_a_torn_last_line_goes() {
        let folder = Folder::new("reject-torn");
        let path = folder.path("r.jsonl");
        std::fs::write(&path, format!("{{}}\n{}", "x".repeat(10_000))).unwrap();
        let rejects = rejects(path.clone());
        rejects.append(&reject(1)).unwrap();
        rejects.sync().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("{}\n{\"stream\""));
    }

    #[test]
    fn a_file_that_was_replaced_meanwhile_gets_no_more_lines_but_its_successor_does() {
        let folder = Folder::new("reject-replaced");
        let path = folder.path("r.jsonl");
        let rejects = rejects(path.clone());
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        rejects.append(&reject(1)).unwrap();
        rejects.sync().unwrap();
        std::fs::write(folder.path("new"), "{}\n").unwrap();
        std::fs::rename(folder.path("new"), &path).unwrap();
        rejects.append(&reject(2)).unwrap();
        rejects.sync().unwrap();
        assert_eq!(lines(), 2);
        std::fs::remove_file(&path).unwrap();
        rejects.append(&reject(3)).unwrap();
        rejects.sync().unwrap();
        assert_eq!(lines(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error_that_names_it_and_stays_one() {
        let folder = Folder::new("reject-wrong");
        let rejects = rejects(folder.path("no/r.jsonl"));
        rejects.append(&reject(1)).unwrap();
        let error = rejects.sync().unwrap_err();
        assert!(error.message().contains("no/r.jsonl"), "{error}");
        std::fs::create_dir(folder.path("no")).unwrap();
        assert!(
            rejects.sync().is_err(),
            "nobody may take the lines for safe"
        );
    }
}
