//! What was asked of the service and cannot be asked twice: inserts without `find_by`, noted on disk before
//! they are asked for.
//!
//! The service has no list of jobs and takes the same rows a second time without a word. So each insert is
//! an entry here, synced before its job is created, and it goes only when a STATE that covers its rows is
//! stored. Rows stand in it as fingerprints, so that no value is on disk. What each crash point leads to
//! stands in the README of this crate.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use singer_core::{Error, Result};

use crate::hash;

#[cfg(test)]
mod tests;

/// How long rows that were inserted are remembered when nobody sends them again: as long as results are kept.
const KEPT: TimeDelta = TimeDelta::days(7);

/// One insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) stream: String,
    pub(crate) module: String,
    /// When it was noted.
    pub(crate) at: DateTime<Utc>,
    /// The fingerprints of its rows in the order of the file.
    pub(crate) rows: Vec<u64>,
    /// The job, if it is known.
    pub(crate) job: Option<String>,
    /// The fingerprints of the rows that were inserted, once that is known.
    pub(crate) added: Option<Vec<u64>>,
    /// Where the batch of this run ends that it belongs to; `None` if an earlier run left it.
    end: Option<u64>,
}

/// What is to be noted of an insert before it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intent<'a> {
    pub(crate) stream: &'a str,
    pub(crate) module: &'a str,
    /// Where its batch ends in the input.
    pub(crate) end: u64,
    pub(crate) rows: &'a [u64],
    pub(crate) at: DateTime<Utc>,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A job is about to be asked for.
    Intent {
        id: u64,
        stream: String,
        module: String,
        /// Seconds since 1970.
        at: i64,
        rows: Hashes,
    },
    /// It has this id.
    Job { id: u64, job: String },
    /// These of its rows were inserted.
    Added { id: u64, rows: Hashes },
    /// It did not happen, or it does not matter any more.
    Gone { id: u64 },
    /// A STATE with this fingerprint covers them; it was printed after this line, or never.
    Covered { ids: Vec<u64>, state: u64 },
    /// The STATE of the last line before was printed.
    Printed {},
}

/// Fingerprints as one text of hexadecimal digits.
#[derive(Debug, Clone)]
struct Hashes(Vec<u64>);

impl Serialize for Hashes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|hash| format!("{hash:016x}")).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hashes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hashes = text.as_bytes().chunks(16).map(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u64::from_str_radix(digits, 16).ok()
        });
        let hashes: Option<Vec<u64>> = hashes.collect();
        let hashes = hashes.ok_or_else(|| serde::de::Error::custom("no fingerprints"))?;
        Ok(Self(hashes))
    }
}

/// The journal of one target.
#[derive(Debug)]
pub(crate) struct Journal {
    path: String,
    /// Held as long as the run lives.
    _lock: File,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Open for appending, once it was written anew and as long as every line could be written.
    file: Option<File>,
    entries: Vec<Entry>,
    next: u64,
    /// Whether a STATE was noted that is perhaps not printed yet.
    is_printing: bool,
}

impl Journal {
    /// Opens the journal, or begins one. `stored_state` is the state from which the tap goes on, if the run
    /// knows it: what an earlier run noted before a STATE that was never stored counts again.
    ///
    /// # Errors
    /// Of kind `Config` if another run has it, `Internal` if it cannot be read or written.
    pub(crate) fn open(path: &str, stored_state: Option<&str>, now: DateTime<Utc>) -> Result<Self> {
        let cannot = |error: io::Error| {
            Error::internal(format!("cannot open the journal `{path}`")).with_source(error)
        };
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(format!("{path}.lock"))
            .map_err(cannot)?;
        if lock.try_lock().is_err() {
            return Err(
                Error::config(format!("another run uses the journal `{path}`"))
                    .with_hint("wait for it, or set another `journal_path`"),
            );
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(cannot(error)),
        };
        let mut entries = replay(path, &text, stored_state)?;
        entries.retain(|entry| entry.added.is_none() || now - entry.at < KEPT);
        let next = entries.iter().map(|entry| entry.id + 1).max();
        let journal = Self {
            path: path.to_owned(),
            _lock: lock,
            inner: Mutex::new(Inner {
                file: None,
                entries,
                next: next.unwrap_or(1),
                is_printing: false,
            }),
        };
        journal.rewrite()?;
        Ok(journal)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Entries of a stream of which it is not known which rows were inserted.
    pub(crate) fn unresolved(&self, stream: &str) -> Vec<Entry> {
        let inner = self.inner();
        let entries = inner.entries.iter();
        entries
            .filter(|entry| entry.stream == stream && entry.added.is_none())
            .cloned()
            .collect()
    }

    /// How often each row was inserted by earlier runs, as far as no state covers it.
    pub(crate) fn inserted(&self, stream: &str) -> HashMap<u64, u32> {
        let mut inserted = HashMap::new();
        for entry in &self.inner().entries {
            if entry.stream == stream && entry.end.is_none() {
                for hash in entry.added.iter().flatten() {
                    *inserted.entry(*hash).or_default() += 1;
                }
            }
        }
        inserted
    }

    /// Notes that an insert is about to be asked for; durable when it returns.
    pub(crate) fn intend(&self, intent: Intent<'_>) -> Result<u64> {
        let mut inner = self.inner();
        let id = inner.enter(intent);
        let line = Line::Intent {
            id,
            stream: intent.stream.to_owned(),
            module: intent.module.to_owned(),
            at: intent.at.timestamp(),
            rows: Hashes(intent.rows.to_vec()),
        };
        self.append(&mut inner, &[line])?;
        Ok(id)
    }

    /// Notes which job it became.
    pub(crate) fn job(&self, id: u64, job: &str) -> Result<()> {
        let mut inner = self.inner();
        if let Some(entry) = inner.entry(id) {
            entry.job = Some(job.to_owned());
        }
        let job = job.to_owned();
        self.append(&mut inner, &[Line::Job { id, job }])
    }

    /// Notes which of its rows were inserted.
    pub(crate) fn added(&self, id: u64, rows: Vec<u64>) -> Result<()> {
        if rows.is_empty() {
            return self.gone(id);
        }
        let mut inner = self.inner();
        if let Some(entry) = inner.entry(id) {
            entry.added = Some(rows.clone());
        }
        let rows = Hashes(rows);
        self.append(&mut inner, &[Line::Added { id, rows }])
    }

    /// Notes that it did not happen.
    pub(crate) fn gone(&self, id: u64) -> Result<()> {
        let mut inner = self.inner();
        inner.entries.retain(|entry| entry.id != id);
        self.append(&mut inner, &[Line::Gone { id }])
    }

    /// Notes that rows of a batch of this run are those that earlier runs inserted.
    pub(crate) fn recognize(&self, intent: Intent<'_>) -> Result<()> {
        if intent.rows.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner();
        let id = inner.enter(intent);
        let rows = intent.rows.to_vec();
        if let Some(entry) = inner.entry(id) {
            entry.added = Some(rows.clone());
        }
        // First what is new: a run that dies in between knows rows twice, never too little.
        let mut lines = vec![
            Line::Intent {
                id,
                stream: intent.stream.to_owned(),
                module: intent.module.to_owned(),
                at: intent.at.timestamp(),
                rows: Hashes(rows.clone()),
            },
            Line::Added {
                id,
                rows: Hashes(rows),
            },
        ];
        let mut taken: HashMap<u64, u32> = HashMap::new();
        for hash in intent.rows {
            *taken.entry(*hash).or_default() += 1;
        }
        let before = inner.entries.iter_mut();
        for entry in before.filter(|it| it.stream == intent.stream && it.end.is_none()) {
            let Some(added) = &mut entry.added else {
                continue;
            };
            let count = added.len();
            added.retain(|hash| match taken.get_mut(hash) {
                Some(left @ 1..) => {
                    *left -= 1;
                    false
                }
                _ => true,
            });
            if added.len() != count {
                lines.push(Line::Added {
                    id: entry.id,
                    rows: Hashes(added.clone()),
                });
            }
        }
        inner
            .entries
            .retain(|entry| entry.added.as_ref().is_none_or(|rows| !rows.is_empty()));
        self.append(&mut inner, &lines)
    }

    /// A STATE at this position is about to be printed: what it covers goes, if it really is.
    /// A batch of which it covers the first rows alone stays.
    pub(crate) fn cover(&self, position: u64, state: &str) -> Result<()> {
        let mut inner = self.inner();
        let judged = inner.entries.iter().filter(|entry| entry.added.is_some());
        let ids: Vec<u64> = judged
            .filter(|entry| entry.end.is_some_and(|end| end <= position))
            .map(|entry| entry.id)
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        inner.entries.retain(|entry| !ids.contains(&entry.id));
        let state = hash::of(state.trim().as_bytes());
        inner.is_printing = true;
        self.append(&mut inner, &[Line::Covered { ids, state }])
    }

    /// The STATE that was noted last was printed.
    pub(crate) fn printed(&self) -> Result<()> {
        let mut inner = self.inner();
        if !std::mem::take(&mut inner.is_printing) {
            return Ok(());
        }
        self.append(&mut inner, &[Line::Printed {}])
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, inner: &mut Inner, lines: &[Line]) -> Result<()> {
        let bytes = bytes_of(lines)?;
        let Some(mut file) = inner.file.take() else {
            return Err(self.cannot_write(io::Error::other("an earlier line could not be written")));
        };
        // After a line that is perhaps cut off nothing more is written, so that it stays the last one, which
        // the next run leaves out.
        file.write_all(&bytes)
            .and_then(|()| file.sync_data())
            .map_err(|error| self.cannot_write(error))?;
        inner.file = Some(file);
        Ok(())
    }

    /// Leaves only what still counts.
    fn rewrite(&self) -> Result<()> {
        let mut inner = self.inner();
        let mut lines = Vec::new();
        for entry in &inner.entries {
            lines.push(Line::Intent {
                id: entry.id,
                stream: entry.stream.clone(),
                module: entry.module.clone(),
                at: entry.at.timestamp(),
                rows: Hashes(entry.rows.clone()),
            });
            if let Some(job) = &entry.job {
                lines.push(Line::Job {
                    id: entry.id,
                    job: job.clone(),
                });
            }
            if let Some(added) = &entry.added {
                lines.push(Line::Added {
                    id: entry.id,
                    rows: Hashes(added.clone()),
                });
            }
        }
        let bytes = bytes_of(&lines)?;
        let file = replace(&self.path, &bytes).map_err(|error| self.cannot_write(error))?;
        inner.file = Some(file);
        Ok(())
    }

    fn cannot_write(&self, error: io::Error) -> Error {
        Error::internal(format!("cannot write the journal `{}`", self.path)).with_source(error)
    }
}

impl Inner {
    fn enter(&mut self, intent: Intent<'_>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.entries.push(Entry {
            id,
            stream: intent.stream.to_owned(),
            module: intent.module.to_owned(),
            at: intent.at,
            rows: intent.rows.to_vec(),
            job: None,
            added: None,
            end: Some(intent.end),
        });
        id
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }
}

/// Writes a file beside, and puts it in the place of the old one: a run that dies in between leaves one of
/// the two whole. Returns it open for appending.
fn replace(path: &str, bytes: &[u8]) -> io::Result<File> {
    let beside = format!("{path}.new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = Path::new(path)
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file)
}

fn bytes_of(lines: &[Line]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line)
            .map_err(|error| Error::internal("cannot write JSON").with_source(error))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// What the lines of a journal come to.
fn replay(path: &str, text: &str, stored_state: Option<&str>) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut covered: Vec<(Vec<u64>, u64)> = Vec::new();
    let mut printed = 0;
    // A line that was cut off as the process died was not synced: nothing was asked after it.
    let whole = text
        .rfind('\n')
        .map_or("", |end| text.get(..end).unwrap_or_default());
    for (number, line) in (1..).zip(whole.lines()) {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            Error::config(format!("the journal `{path}` is damaged at line {number}"))
                .with_source(error)
                .with_hint("its lines say which inserts are under way: look in the CRM before the file is removed")
        })?;
        match line {
            Line::Intent {
                id,
                stream,
                module,
                at,
                rows,
            } => {
                entries.retain(|entry| entry.id != id);
                entries.push(Entry {
                    id,
                    stream,
                    module,
                    at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
                    rows: rows.0,
                    job: None,
                    added: None,
                    end: None,
                });
            }
            Line::Job { id, job } => {
                let mut found = entries.iter_mut().filter(|entry| entry.id == id);
                if let Some(entry) = found.next() {
                    entry.job = Some(job);
                }
            }
            Line::Added { id, rows } => {
                let mut found = entries.iter_mut().filter(|entry| entry.id == id);
                if let Some(entry) = found.next() {
                    entry.added = Some(rows.0);
                }
            }
            Line::Gone { id } => entries.retain(|entry| entry.id != id),
            Line::Covered { ids, state } => covered.push((ids, state)),
            Line::Printed {} => printed = covered.len(),
        }
    }
    let stored = stored_state.map(|state| hash::of(state.trim().as_bytes()));
    let safe = match stored {
        // Nobody knows what the tap goes on from: what was printed may have been kept, what was not was not.
        None => printed,
        Some(stored) => covered
            .iter()
            .rposition(|(_, state)| *state == stored)
            .map_or(0, |last| last + 1),
    };
    let gone: Vec<u64> = covered
        .into_iter()
        .take(safe)
        .flat_map(|(ids, _)| ids)
        .collect();
    entries.retain(|entry| {
        !gone.contains(&entry.id) && entry.added.as_ref().is_none_or(|rows| !rows.is_empty())
    });
    Ok(entries)
}
