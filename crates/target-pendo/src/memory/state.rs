//! The state of a memory while it is open: table, journal, and what the journal says in short.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use singer_core::{Error, Result};

use super::files::{journal_path, remove, suspect_path, sync_folder, table_path};
use super::filter::Filter;
use super::hash::hash;
use super::journal::{self, Header, Journal, Kind};
use super::key::Key;
use super::merge::{self, Hashes};
use super::table::{Description, Found, Identity, Table};
use super::{Candidate, Compare, FORGOTTEN, MarksLast, UNKNOWN};

/// Ids of the journal that are kept one by one; beyond it a [`Filter`] takes over.
pub(super) const RECENT: usize = 50_000;
/// Marks of rows that are kept until they go into the journal.
const PENDING_ROWS: usize = 100_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) table: Option<Table>,
    pub(super) journal: Journal,
    /// Entries of the journal by the hash of their key; the newest counts.
    pub(super) recent: HashMap<u64, Recent>,
    /// Keys of the journal that are no longer in `recent`.
    older: Option<Filter>,
    pub(super) journal_entries: usize,
    pub(super) version: Option<i64>,
    pub(super) trusted: bool,
    /// Versions that this run has left behind.
    past: Vec<i64>,
    /// Rises with every version.
    pub(super) epoch: u32,
    pending: Vec<u32>,
    /// Whether the journal has marks that are not on the disk yet.
    unsynced: bool,
    /// Nothing can be written any more: everything is sent and nothing remembered.
    pub(super) broken: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    pub(super) hash: u64,
    pub(super) epoch: u32,
}

/// What is remembered of an id.
pub(super) enum Memo {
    Nothing,
    Row(Found),
    Recent(Recent),
    /// In the journal, and nobody knows with which hash.
    Older,
}

impl State {
    pub(super) fn new(table: Option<Table>, journal: Journal) -> Self {
        Self {
            version: table.as_ref().and_then(|table| table.description.version),
            trusted: table.as_ref().is_none_or(|table| table.description.trusted),
            table,
            journal,
            recent: HashMap::new(),
            older: None,
            journal_entries: 0,
            past: Vec::new(),
            epoch: 0,
            pending: Vec::new(),
            unsynced: false,
            broken: false,
        }
    }

    pub(super) fn screen(
        &mut self,
        candidates: &[Candidate<'_>],
        compare: Compare,
    ) -> io::Result<Vec<bool>> {
        let mut entries = Vec::new();
        let mut noted = Vec::new();
        let mut unchanged = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if let Some(version) = candidate.version
                && self.version != Some(version)
                && !self.past.contains(&version)
            {
                self.write_entries(&mut entries, &mut noted)?;
                self.enter(version)?;
            }
            let tracked = candidate.version.is_some() && candidate.version == self.version;
            let memo = self.find(candidate.key)?;
            let remembered = match &memo {
                Memo::Row(found) => found.hash,
                Memo::Recent(recent) => recent.hash,
                Memo::Nothing | Memo::Older => UNKNOWN,
            };
            let same = compare == Compare::Values
                && remembered != UNKNOWN
                && candidate.hash == Some(remembered);
            unchanged.push(same);
            let stays = same || candidate.hash.is_none();
            let note = match memo {
                Memo::Nothing => None,
                Memo::Row(found) if stays || found.hash == UNKNOWN => {
                    if tracked {
                        self.mark(found.row)?;
                    }
                    None
                }
                Memo::Recent(recent) if recent.hash == FORGOTTEN => None,
                Memo::Recent(recent) if stays || recent.hash == UNKNOWN => {
                    (tracked && recent.epoch != self.epoch).then_some(recent.hash)
                }
                Memo::Row(_) | Memo::Recent(_) | Memo::Older => Some(UNKNOWN),
            };
            if let Some(hash) = note {
                candidate.key.write_entry(hash, &mut entries);
                let key = key_hash(candidate.key);
                noted.push((key, hash));
                // Two spellings of one id may stand in one batch.
                let epoch = self.epoch;
                self.recent.insert(key, Recent { hash, epoch });
            }
        }
        self.write_entries(&mut entries, &mut noted)?;
        Ok(unchanged)
    }

    pub(super) fn append_entries<'a>(
        &mut self,
        keys: impl Iterator<Item = (Key<'a>, u64)>,
    ) -> io::Result<()> {
        let mut entries = Vec::new();
        let mut noted = Vec::new();
        for (key, hash) in keys {
            key.write_entry(hash, &mut entries);
            noted.push((key_hash(key), hash));
        }
        self.write_entries(&mut entries, &mut noted)
    }

    /// Writes entries into the journal, then believes them.
    fn write_entries(
        &mut self,
        entries: &mut Vec<u8>,
        noted: &mut Vec<(u64, u64)>,
    ) -> io::Result<()> {
        if noted.is_empty() {
            return Ok(());
        }
        self.journal.append(Kind::Entries, entries)?;
        self.unsynced = true;
        self.journal_entries += noted.len();
        if self.recent.len() + noted.len() > RECENT {
            let older = self.older.get_or_insert_with(Filter::new);
            for key in self.recent.keys() {
                older.insert(*key);
            }
            self.recent.clear();
        }
        let epoch = self.epoch;
        for (key, hash) in noted.drain(..) {
            self.recent.insert(key, Recent { hash, epoch });
        }
        entries.clear();
        Ok(())
    }

    pub(super) fn find(&mut self, key: Key<'_>) -> io::Result<Memo> {
        if !self.recent.is_empty() || self.older.is_some() {
            let hashed = key_hash(key);
            if let Some(recent) = self.recent.get(&hashed) {
                return Ok(Memo::Recent(*recent));
            }
            if self
                .older
                .as_ref()
                .is_some_and(|older| older.may_have(hashed))
            {
                return Ok(Memo::Older);
            }
        }
        Ok(match &mut self.table {
            Some(table) => table.find(key)?.map_or(Memo::Nothing, Memo::Row),
            None => Memo::Nothing,
        })
    }

    fn mark(&mut self, row: u32) -> io::Result<()> {
        if let Some(table) = &mut self.table
            && !table.marks.has(row)
        {
            table.marks.set(row);
            self.pending.push(row);
            self.unsynced = true;
        }
        if self.pending.len() >= PENDING_ROWS {
            self.write_pending()?;
        }
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let payload = journal::rows_payload(&mut self.pending);
        self.journal.append(Kind::Rows, &payload)
    }

    /// Begins to mark what a new full-table version shows.
    pub(super) fn enter(&mut self, version: i64) -> io::Result<()> {
        self.pending.clear();
        self.journal.append(Kind::Version, &version.to_le_bytes())?;
        self.unsynced = true;
        self.past.extend(self.version);
        self.trusted = trusts_next(self.version, self.trusted);
        self.version = Some(version);
        self.epoch += 1;
        if let Some(table) = &mut self.table {
            table.marks.clear();
        }
        Ok(())
    }

    /// Nothing is to be cleared for the version at hand.
    pub(super) fn distrust(&mut self) -> io::Result<()> {
        self.trusted = false;
        self.journal.append(Kind::Untrusted, &[])
    }

    pub(super) fn sync(&mut self, marks: MarksLast) -> io::Result<()> {
        self.write_pending()?;
        // Without a version there are no marks, and a lost hash only means sending again.
        if self.unsynced && self.version.is_some() && marks == MarksLast::Machine {
            self.journal.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, path: &Path, identity: Identity) -> io::Result<()> {
        if self.journal_entries == 0 {
            return self.write_pending();
        }
        self.merge_from(path, &journal_path(path), identity, Hashes::Keep)
    }

    /// Puts a journal into a new table and begins a new one. Dying at any point leaves either the
    /// old table and journal, or the new table and a journal that is known to be in it.
    pub(super) fn merge_from(
        &mut self,
        path: &Path,
        from: &Path,
        identity: Identity,
        hashes: Hashes,
    ) -> io::Result<()> {
        self.write_pending()?;
        // A merge needs memory of its own, and what it fails to write is not asked for again.
        self.recent = HashMap::new();
        self.older = None;
        let generation = self
            .table
            .as_ref()
            .map_or(0, |table| table.description.generation)
            + 1;
        let description = Description {
            identity,
            generation,
            version: self.version,
            trusted: self.trusted,
        };
        let new = path.with_extension("table-new");
        merge::merge(self.table.as_mut(), from, &new, &description, hashes)?;
        std::fs::rename(&new, table_path(path))?;
        sync_folder(path)?;
        self.table = Some(Table::open(&table_path(path))?);
        let header = Header {
            identity,
            generation,
        };
        self.journal = Journal::create(&journal_path(path), &header)?;
        sync_folder(path)?;
        self.journal_entries = 0;
        self.unsynced = false;
        Ok(())
    }

    /// Goes on without the memory after it could not be read or written, and leaves word that its
    /// hashes are not to be believed any more. Records are sent all the same.
    pub(super) fn give_up(&mut self, path: &Path, error: &io::Error) -> Result<()> {
        self.broken = true;
        tracing::warn!(
            memory = %path.display(), %error,
            "the memory cannot be used; records are sent without it, and again in the next run"
        );
        let aside = match error.kind() {
            io::ErrorKind::InvalidData => Err(io::ErrorKind::InvalidData.into()),
            _ => std::fs::rename(journal_path(path), suspect_path(path)),
        };
        aside
            .or_else(|_: io::Error| {
                remove(&table_path(path))?;
                remove(&journal_path(path))
            })
            .map_err(|error| {
                Error::internal(format!(
                    "cannot put aside the memory `{}`, which is no longer true",
                    path.display()
                ))
                .with_source(error)
                .with_hint("remove its files by hand before the next run")
            })
    }
}

/// Whether marks of a version that begins now are whole. After a time without memory its beginning
/// may have been missed; the version after it is seen from its start.
pub(super) fn trusts_next(version: Option<i64>, trusted: bool) -> bool {
    version.is_some() || trusted
}

pub(super) fn key_hash(key: Key<'_>) -> u64 {
    hash(u64::from(key.tag), key.bytes)
}
