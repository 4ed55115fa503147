//! What Pendo confirmed: for each id the hash of the values that were last confirmed, so that later
//! runs send only what differs, and know which ids vanished.
//!
//! A sorted table that is only read, and a journal of what came since; when the journal has grown it
//! is merged into a new table. What holds at every moment, also after `kill -9`:
//!
//! * a hash is believed only if Pendo confirmed those very values and nothing else was sent since:
//!   before a record with a remembered hash is sent, the journal says that its hash is unknown;
//! * a record that cannot be remembered is sent, now and in the next run;
//! * an id counts as vanished only if every row of the full-table version was marked here; if marks
//!   may have been lost, nothing is cleared for that version.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Result};

use files::{journal_path, lock, remove, suspect_path, table_path};
use state::{Memo, RECENT, State};

pub(crate) use hash::hash;
pub(crate) use key::{Key, pack};
pub(crate) use table::Identity;

mod files;
mod filter;
mod hash;
mod journal;
mod key;
mod merge;
mod open;
mod state;
mod table;
#[cfg(test)]
pub(crate) mod tests;

/// The hash of values that are not known. No values have it.
pub(crate) const UNKNOWN: u64 = 0;
/// The hash of an id that is to be forgotten. No values have it.
const FORGOTTEN: u64 = u64::MAX;

/// The memory of one stream at one destination. Locked against other processes while it is open.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    identity: Identity,
    marks: MarksLast,
    /// Held for its lock.
    _lock: File,
    state: Mutex<State>,
}

/// A record that is about to be sent, or was refused here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Its id.
    pub(crate) key: Key<'a>,
    /// The hash of its values; `None` if it will not be sent whatever is remembered.
    pub(crate) hash: Option<u64>,
    /// The full-table version that showed it.
    pub(crate) version: Option<i64>,
}

/// What the marks of a full-table version must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarksLast {
    /// The end of this process: nothing is cleared by them.
    Process,
    /// The end of the machine too: a STATE that covers rows must never outlive their marks.
    Machine,
}

/// Whether records with the remembered hash are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// They are.
    Values,
    /// Every record is sent.
    Nothing,
}

/// Ids that vanished, and where the next ones begin.
#[derive(Debug, Default)]
pub(crate) struct Vanished {
    /// The insides of JSON strings, one behind the other.
    pub(crate) ids: Vec<u8>,
    /// Where each id ends.
    pub(crate) ends: Vec<usize>,
    /// To be passed to the next call.
    pub(crate) next: u32,
}

impl Memory {
    /// Opens the memory at `path` (whose extension is replaced) or begins one. A memory of another
    /// identity is begun anew, and so is one that is damaged: everything is sent again then.
    pub(crate) fn open(path: &Path, identity: Identity, marks: MarksLast) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::internal(format!("cannot open the memory `{}`", path.display()))
                .with_source(error)
                .with_hint("`memory_path` must name a folder that this user may write to")
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = lock(path).map_err(failed)??;
        let state = match State::load(path, identity) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(memory = %path.display(), "the memory is damaged; everything is sent again");
                State::begin(path, identity).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            identity,
            marks,
            _lock: lock,
            state: Mutex::new(state),
        })
    }

    /// Says of each record whether it is unchanged, and makes ready to send the others. Fails only
    /// if the memory can be neither written nor put aside.
    pub(crate) fn screen(
        &self,
        candidates: &[Candidate<'_>],
        compare: Compare,
    ) -> Result<Vec<bool>> {
        let mut state = self.state();
        if state.broken {
            return Ok(vec![false; candidates.len()]);
        }
        match state.screen(candidates, compare) {
            Ok(unchanged) => Ok(unchanged),
            Err(error) => {
                state.give_up(&self.path, &error)?;
                Ok(vec![false; candidates.len()])
            }
        }
    }

    /// Remembers values that Pendo confirmed.
    pub(crate) fn confirm<'a>(&self, entries: impl Iterator<Item = (Key<'a>, u64)>) -> Result<()> {
        let mut state = self.state();
        if state.broken {
            return Ok(());
        }
        state
            .append_entries(entries)
            .or_else(|error| state.give_up(&self.path, &error))
    }

    /// Forgets ids that Pendo does not have any more, if they were remembered at all.
    pub(crate) fn forget<'a>(&self, keys: impl Iterator<Item = Key<'a>>) -> Result<()> {
        let mut known = Vec::new();
        {
            let mut state = self.state();
            if state.broken {
                return Ok(());
            }
            for key in keys {
                match state.find(key) {
                    Ok(Memo::Nothing) => {}
                    Ok(_) => known.push((key, FORGOTTEN)),
                    Err(error) => return state.give_up(&self.path, &error),
                }
            }
        }
        self.confirm(known.into_iter())
    }

    /// Tells a memory that a run goes on without it, so that later runs do not believe what it says.
    pub(crate) fn pass_over(path: &Path) -> Result<()> {
        let kept = table_path(path).exists() || journal_path(path).exists();
        if !kept || suspect_path(path).exists() {
            return Ok(());
        }
        let failed = |error: io::Error| {
            Error::internal(format!(
                "cannot put aside the memory `{}`, which this run does not keep",
                path.display()
            ))
            .with_source(error)
            .with_hint("remove its files by hand, or keep the memory on")
        };
        let _lock = lock(path).map_err(failed)??;
        match std::fs::rename(journal_path(path), suspect_path(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                remove(&table_path(path)).map_err(failed)
            }
            renamed => renamed.map_err(failed),
        }
    }

    /// Returns once the marks of the full-table version are on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut state = self.state();
        if state.broken {
            return Ok(());
        }
        state
            .sync(self.marks)
            .or_else(|error| state.give_up(&self.path, &error))
    }

    /// Readies the memory to say which ids the version did not show. `None` if that is not known:
    /// marks were lost, or rows of that version came before the memory was kept.
    pub(crate) fn settle(&self, version: i64, rows: u64) -> Result<Option<()>> {
        let mut state = self.state();
        if rows == 0 && state.version != Some(version) && !state.broken {
            let entered = state.enter(version);
            if let Err(error) = entered {
                state.give_up(&self.path, &error)?;
            }
        }
        if state.broken || !state.trusted || state.version != Some(version) {
            return Ok(None);
        }
        if let Err(error) = state.merge(&self.path, self.identity) {
            state.give_up(&self.path, &error)?;
            return Ok(None);
        }
        Ok(Some(()))
    }

    /// The next ids that the settled version did not show.
    pub(crate) fn vanished(&self, from: u32, limit: usize) -> Result<Vanished> {
        let mut vanished = Vanished::default();
        let mut state = self.state();
        let Some(table) = state.table.as_mut().filter(|table| from < table.rows()) else {
            return Ok(vanished);
        };
        let next = table.unmarked(from, limit, |key| {
            key.unpack(&mut vanished.ids);
            vanished.ends.push(vanished.ids.len());
        });
        vanished.next = next.map_err(|error| {
            Error::internal(format!("cannot read the memory `{}`", self.path.display()))
                .with_source(error)
        })?;
        Ok(vanished)
    }

    /// Makes everything durable, and merges a journal that has grown.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.state();
        if state.broken {
            return Ok(());
        }
        let result = if state.journal_entries > RECENT / 2 {
            state.merge(&self.path, self.identity)
        } else {
            state.sync(self.marks)
        };
        result.or_else(|error| state.give_up(&self.path, &error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in the middle leaves at worst a journal that says less than it could.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
