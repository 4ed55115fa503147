//! What unfinished runs leave behind: which batches were on their way when a run died, so that the next
//! one can tell those that arrived from those that did not.
//!
//! Only rows that are appended need it; rows with a key find themselves. A batch is entered, on disk,
//! before the one request that makes its rows visible, with the name by which BigQuery knows that
//! request. Before a STATE is printed that covers it, it is marked with the hash of that STATE, and taken
//! out before the next one. A run that meets the same rows again
//! (by their hash) asks BigQuery for that name instead of appending them once more.
//!
//! | killed | the journal has | the next run |
//! | --- | --- | --- |
//! | before the entry | nothing | appends the rows, whose time had not come |
//! | between entry and request | the batch | asks, hears that nobody knows the name, appends under the same name |
//! | between request and STATE | the batch | asks, hears that it is done, counts the rows |
//! | after it was marked, before the STATE is in the `--state-file` | the batch | finds another STATE there: as above |
//! | after that | the batch, with the mark of the STATE that is there | forgets it |
//!
//! A run without a `--state-file` cannot know whether the STATE of a mark was printed, and forgets what is
//! marked: killed in that moment, rows are appended again, at least once.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use singer_core::{Error, Result};

use crate::hex;

/// Entries of earlier runs that are kept at most.
const MOST_INHERITED: usize = 10_000;

/// A longer journal is not of our making.
const MOST_BYTES: u64 = 16 << 20;

/// A batch on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The hash of its rows and their destination.
    pub hash: String,
    /// The name by which BigQuery knows what makes them visible.
    pub name: String,
    /// The hash of the STATE that covers it, once that was to be printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<String>,
}

/// The journal of one stream.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Held for as long as the run goes on, so that no other run takes the entries for those of the dead.
    _lock: File,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    /// Entries of earlier runs, by hash.
    inherited: HashMap<String, Vec<String>>,
    /// Entries of this run, with the number of their batch.
    own: Vec<(u64, Entry)>,
}

impl Journal {
    /// Opens the journal of a stream; `None` if another run has it. `state` is the one that stands in the
    /// `--state-file`, if the run has one.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn open(
        folder: &Path,
        stream: &str,
        identity: &str,
        state: Option<&str>,
    ) -> Result<Option<Self>> {
        let wrong = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| {
                Error::internal(format!("cannot write the journal `{path}`"))
                    .with_source(error)
                    .with_hint("`journal_path` says where it lies")
            }
        };
        fs::create_dir_all(folder).map_err(wrong(folder))?;
        let name = file_name(stream, identity);
        let lock_path = folder.join(format!("{name}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(wrong(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(wrong(&lock_path)(error)),
        }
        let path = folder.join(format!("{name}.jsonl"));
        let inherited = read(&path, state).map_err(wrong(&path))?;
        Ok(Some(Self {
            path,
            inner: Mutex::new(Inner {
                inherited,
                ..Inner::default()
            }),
            _lock: lock,
        }))
    }

    /// The name under which an earlier run sent rows of this hash, if it did. It is given out once.
    pub fn inherit(&self, hash: &str) -> Option<String> {
        let mut inner = self.lock();
        let names = inner.inherited.get_mut(hash)?;
        let name = names.pop();
        if names.is_empty() {
            inner.inherited.remove(hash);
        }
        name
    }

    /// Enters a batch; it is on disk when this returns.
    pub fn enter(&self, number: u64, entry: Entry) -> Result<()> {
        let mut inner = self.lock();
        inner.own.push((number, entry));
        let (_, entry) = inner.own.last().expect("it was pushed just now");
        let mut line = serde_json::to_vec(entry)
            .map_err(|error| Error::internal("cannot write the journal").with_source(error))?;
        line.push(b'\n');
        let result = match &mut inner.file {
            Some(file) => file.write_all(&line).and_then(|()| file.sync_data()),
            None => return self.rewrite(&mut inner),
        };
        result.map_err(|error| self.failed(error))
    }

    /// Whether this run has entered a batch under this name.
    pub fn has_own(&self, name: &str) -> bool {
        self.lock().own.iter().any(|(_, entry)| entry.name == name)
    }

    /// A STATE is to be printed that covers all batches with a lower number. The one before was printed.
    pub fn cover(&self, position: u64, state: &str) -> Result<()> {
        let mut inner = self.lock();
        if inner.own.is_empty() {
            return Ok(());
        }
        inner.own.retain(|(_, entry)| entry.covered_by.is_none());
        let mark = hash_of(state);
        for (number, entry) in &mut inner.own {
            if *number < position {
                entry.covered_by = Some(mark.clone());
            }
        }
        self.rewrite(&mut inner)
    }

    /// The run has ended well: nothing is on its way any more.
    pub fn finish(&self) -> Result<()> {
        let mut inner = self.lock();
        *inner = Inner::default();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes all entries anew, beside the old file, and puts them in its place.
    fn rewrite(&self, inner: &mut Inner) -> Result<()> {
        let inherited = inner.inherited.iter().flat_map(|(hash, names)| {
            names.iter().map(|name| Entry {
                hash: hash.clone(),
                name: name.clone(),
                covered_by: None,
            })
        });
        let own = inner.own.iter().map(|(_, entry)| entry.clone());
        let mut text = Vec::new();
        for entry in inherited.chain(own) {
            serde_json::to_writer(&mut text, &entry)
                .map_err(|error| Error::internal("cannot write the journal").with_source(error))?;
            text.push(b'\n');
        }
        let beside = self.path.with_extension("new");
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&beside, &self.path)?;
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        });
        inner.file = Some(written.map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::internal(format!(
            "cannot write the journal `{}`",
            self.path.display()
        ))
        .with_source(error)
        .with_hint("`journal_path` says where it lies")
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_name(stream: &str, identity: &str) -> String {
    let plain: String = stream
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(80)
        .collect();
    let hash = ring::digest::digest(&ring::digest::SHA256, identity.as_bytes());
    let hash = hex(hash.as_ref().get(..8).unwrap_or_default());
    format!("{plain}-{hash}")
}

fn hash_of(state: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, state.trim().as_bytes());
    hex(hash.as_ref().get(..16).unwrap_or_default())
}

/// The entries of a file that `state` does not cover. A last line that was cut off was never acted on, and
/// does not count.
fn read(path: &Path, state: Option<&str>) -> std::io::Result<HashMap<String, Vec<String>>> {
    let mut entries: HashMap<String, Vec<String>> = HashMap::new();
    let text = match fs::metadata(path) {
        Ok(metadata) if metadata.len() <= MOST_BYTES => fs::read(path)?,
        Ok(_) => {
            return Err(std::io::Error::other(
                "it is larger than any journal of this program",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(entries),
        Err(error) => return Err(error),
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    for line in lines
        .filter(|line| line.ends_with(b"\n"))
        .take(MOST_INHERITED)
    {
        if let Ok(entry) = serde_json::from_slice::<Entry>(line) {
            let is_covered = match (&entry.covered_by, state) {
                (Some(mark), Some(state)) => *mark == hash_of(state),
                (Some(_), None) => true,
                (None, _) => false,
            };
            if is_covered {
                continue;
            }
            entries.entry(entry.hash).or_default().push(entry.name);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!(
            "target-bigquery-journal-{}-{name}",
            std::process::id()
        ));
        drop(fs::remove_dir_all(&folder));
        folder
    }

    fn open(folder: &Path) -> Journal {
        Journal::open(folder, "s", "p.d.s", None).unwrap().unwrap()
    }

    fn entry(hash: &str, name: &str) -> Entry {
        Entry {
            hash: hash.to_owned(),
            name: name.to_owned(),
            covered_by: None,
        }
    }

    #[test]
    fn what_a_dead_run_had_on_its_way_is_inherited_once() {
        let folder = folder("dead");
        let journal = open(&folder);
        journal.enter(0, entry("a", "one")).unwrap();
        journal.enter(5, entry("a", "two")).unwrap();
        journal.enter(9, entry("b", "three")).unwrap();
        drop(journal);
        let journal = open(&folder);
        assert!(journal.inherit("a").is_some() && journal.inherit("a").is_some());
        assert_eq!(journal.inherit("a"), None);
        assert_eq!(journal.inherit("b").as_deref(), Some("three"));
        assert_eq!(journal.inherit("c"), None);
    }

    #[test]
    fn what_a_state_covers_is_no_longer_on_its_way() {
        let folder = folder("covered");
        let journal = open(&folder);
        journal.enter(0, entry("a", "one")).unwrap();
        journal.enter(5, entry("b", "two")).unwrap();
        journal.cover(5, "{}").unwrap();
        journal.enter(7, entry("c", "three")).unwrap();
        drop(journal);
        let journal = open(&folder);
        assert_eq!(journal.inherit("a"), None);
        assert_eq!(journal.inherit("b").as_deref(), Some("two"));
        assert_eq!(journal.inherit("c").as_deref(), Some("three"));
    }

    #[test]
    fn a_mark_counts_only_if_its_state_was_stored() {
        let folder = folder("mark");
        let with = |state| {
            Journal::open(&folder, "s", "p.d.s", state)
                .unwrap()
                .unwrap()
        };
        let journal = with(Some(""));
        journal.enter(0, entry("a", "one")).unwrap();
        journal.cover(1, "{\"n\": 1}").unwrap();
        journal.enter(1, entry("b", "two")).unwrap();
        drop(journal);
        // It died before the state was in its file.
        let journal = with(Some("{\"n\": 0}"));
        assert_eq!(journal.inherit("a").as_deref(), Some("one"));
        drop(journal);
        // It died after that.
        let journal = with(Some("{\"n\": 1}\n"));
        assert_eq!(journal.inherit("a"), None);
        assert_eq!(journal.inherit("b").as_deref(), Some("two"));
        // With the next state nothing marks it any more.
        journal.enter(5, entry("c", "three")).unwrap();
        journal.cover(6, "{\"n\": 2}").unwrap();
        journal.enter(6, entry("d", "four")).unwrap();
        journal.cover(6, "{\"n\": 3}").unwrap();
        drop(journal);
        assert_eq!(with(Some("{\"n\": 2}")).inherit("c"), None);
    }

    #[test]
    fn entries_of_the_dead_outlive_a_second_death() {
        let folder = folder("twice");
        let journal = open(&folder);
        journal.enter(0, entry("a", "one")).unwrap();
        drop(journal);
        let journal = open(&folder);
        journal.enter(0, entry("b", "two")).unwrap();
        journal.cover(1, "{}").unwrap();
        drop(journal);
        assert_eq!(open(&folder).inherit("a").as_deref(), Some("one"));
    }

    #[test]
    fn a_run_that_ends_well_leaves_nothing() {
        let folder = folder("well");
        let journal = open(&folder);
        journal.enter(0, entry("a", "one")).unwrap();
        journal.finish().unwrap();
        drop(journal);
        assert_eq!(open(&folder).inherit("a"), None);
    }

    #[test]
    fn a_cut_line_does_not_count_and_two_runs_do_not_share() {
        let folder = folder("cut");
        let journal = open(&folder);
        journal.enter(0, entry("a", "one")).unwrap();
        assert!(
            Journal::open(&folder, "s", "p.d.s", None)
                .unwrap()
                .is_none()
        );
        assert!(
            Journal::open(&folder, "s", "p.d.other", None)
                .unwrap()
                .is_some()
        );
        let path = journal.path.clone();
        drop(journal);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"hash\":\"b\",\"na");
        fs::write(&path, text).unwrap();
        let journal = open(&folder);
        assert_eq!(journal.inherit("b"), None);
        assert_eq!(journal.inherit("a").as_deref(), Some("one"));
    }
}
