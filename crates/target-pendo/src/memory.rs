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

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use singer_core::{Error, Result};

use filter::Filter;
use journal::{End, Header, Journal, Kind};
use merge::Hashes;
use table::{Description, Found, Table};

pub(crate) use hash::hash;
pub(crate) use key::{Key, pack};
pub(crate) use table::Identity;

mod filter;
mod hash;
mod journal;
mod key;
mod merge;
mod table;
#[cfg(test)]
pub(crate) mod tests;

/// The hash of values that are not known. No values have it.
pub(crate) const UNKNOWN: u64 = 0;
/// The hash of an id that is to be forgotten. No values have it.
const FORGOTTEN: u64 = u64::MAX;

/// Ids of the journal that are kept one by one; beyond it a [`Filter`] takes over.
const RECENT: usize = 100_000;
/// Marks of rows that are kept until they go into the journal.
const PENDING_ROWS: usize = 100_000;

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

#[derive(Debug)]
struct State {
    table: Option<Table>,
    journal: Journal,
    /// Entries of the journal by the hash of their key; the newest counts.
    recent: HashMap<u64, Recent>,
    /// Keys of the journal that are no longer in `recent`.
    older: Option<Filter>,
    journal_entries: usize,
    version: Option<i64>,
    trusted: bool,
    /// Versions that this run has left behind.
    past: Vec<i64>,
    /// Rises with every version.
    epoch: u32,
    pending: Vec<u32>,
    /// Whether the journal has marks that are not on the disk yet.
    unsynced: bool,
    /// Nothing can be written any more: everything is sent and nothing remembered.
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    hash: u64,
    epoch: u32,
}

enum Memo {
    Nothing,
    Row(Found),
    Recent(Recent),
    /// In the journal, and nobody knows with which hash.
    Older,
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

/// Takes the lock that keeps a second run out.
fn lock(path: &Path) -> io::Result<Result<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(Err(Error::config(format!(
            "another run uses the memory `{}`",
            path.display()
        ))
        .with_hint("wait until it has ended, or give this run its own `memory_path`"))),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn table_path(path: &Path) -> PathBuf {
    path.with_extension("table")
}

fn journal_path(path: &Path) -> PathBuf {
    path.with_extension("journal")
}

/// Where a journal goes that could not be written to its end.
fn suspect_path(path: &Path) -> PathBuf {
    path.with_extension("suspect")
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames in a folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

impl State {
    /// An empty memory, whatever stood there.
    fn begin(path: &Path, identity: Identity) -> io::Result<Self> {
        // The table first: no journal is read that belongs to a table which is not there.
        remove(&table_path(path))?;
        remove(&suspect_path(path))?;
        let header = Header {
            identity,
            generation: 0,
        };
        let journal = Journal::create(&journal_path(path), &header)?;
        sync_folder(path)?;
        Ok(Self::new(None, journal))
    }

    fn new(table: Option<Table>, journal: Journal) -> Self {
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

    /// Reads what is there. An error of kind `InvalidData` means that it is damaged.
    fn load(path: &Path, identity: Identity) -> io::Result<Self> {
        let table = match Table::open(&table_path(path)) {
            Ok(table) => Some(table),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let suspect = suspect_path(path);
        let (journal, hashes) = if suspect.exists() {
            (suspect, Hashes::Forget)
        } else {
            (journal_path(path), Hashes::Keep)
        };
        let header = match journal::read_header(&journal) {
            Ok(header) => Some(header),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut owners = header
            .map(|header| header.identity)
            .into_iter()
            .chain(table.as_ref().map(|table| table.description.identity));
        if owners.any(|owner| owner != identity) {
            tracing::info!(
                memory = %path.display(),
                "the memory is of another subscription or key; everything is sent again"
            );
            return Self::begin(path, identity);
        }
        let generation = table
            .as_ref()
            .map_or(0, |table| table.description.generation);
        match header {
            // A suspect one counts also if it is in the table: what is forgotten is in both.
            Some(header)
                if header.generation == generation
                    || (hashes == Hashes::Forget && header.generation < generation) =>
            {
                Self::replay(path, identity, table, &journal, hashes)
            }
            // The table was lost, and without it the journal says too little.
            Some(header) if header.generation > generation => Self::begin(path, identity),
            // The journal is already in the table.
            Some(_) | None => {
                let header = Header {
                    identity,
                    generation,
                };
                remove(&suspect_path(path))?;
                let journal = Journal::create(&journal_path(path), &header)?;
                Ok(Self::new(table, journal))
            }
        }
    }

    fn replay(
        path: &Path,
        identity: Identity,
        mut table: Option<Table>,
        from: &Path,
        hashes: Hashes,
    ) -> io::Result<Self> {
        let mut version = table.as_ref().and_then(|table| table.description.version);
        let mut trusted = table.as_ref().is_none_or(|table| table.description.trusted);
        let mut entries = Vec::new();
        let mut count = 0;
        let mut epoch = 0;
        let end = journal::replay(from, |kind, mut payload| {
            match kind {
                Kind::Entries => {
                    while let Some((key, hash)) = key::read_entry(&mut payload) {
                        count += 1;
                        if count <= RECENT {
                            entries.push((key_hash(key), Recent { hash, epoch }));
                        }
                    }
                }
                Kind::Version => {
                    trusted = trusts_next(version, trusted);
                    version = Some(journal::version(payload)?);
                    epoch += 1;
                    if let Some(table) = &mut table {
                        table.marks.clear();
                    }
                }
                Kind::Rows => {
                    if let Some(table) = &mut table {
                        journal::rows(payload, |row| table.marks.set(row))?;
                    }
                }
                Kind::Untrusted => trusted = false,
            }
            Ok(())
        })?;
        let torn = end != End::Whole;
        if torn {
            tracing::warn!(
                memory = %path.display(),
                "the end of the memory is torn; what stood there is sent again"
            );
        }
        let mut state = Self::new(table, Journal::open(from, end)?);
        state.version = version;
        state.trusted = trusted;
        state.epoch = epoch;
        state.journal_entries = count;
        if torn {
            state.distrust()?;
        }
        if hashes == Hashes::Forget {
            state.version = None;
            state.trusted = false;
        }
        if hashes == Hashes::Forget || count > RECENT {
            state.merge_from(path, from, identity, hashes)?;
            remove(&suspect_path(path))?;
        } else {
            state.recent = entries.into_iter().collect();
        }
        Ok(state)
    }

    fn screen(&mut self, candidates: &[Candidate<'_>], compare: Compare) -> io::Result<Vec<bool>> {
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

    fn append_entries<'a>(&mut self, keys: impl Iterator<Item = (Key<'a>, u64)>) -> io::Result<()> {
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

    fn find(&mut self, key: Key<'_>) -> io::Result<Memo> {
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
    fn enter(&mut self, version: i64) -> io::Result<()> {
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
    fn distrust(&mut self) -> io::Result<()> {
        self.trusted = false;
        self.journal.append(Kind::Untrusted, &[])
    }

    fn sync(&mut self, marks: MarksLast) -> io::Result<()> {
        self.write_pending()?;
        // Without a version there are no marks, and a lost hash only means sending again.
        if self.unsynced && self.version.is_some() && marks == MarksLast::Machine {
            self.journal.sync()?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn merge(&mut self, path: &Path, identity: Identity) -> io::Result<()> {
        if self.journal_entries == 0 {
            return self.write_pending();
        }
        self.merge_from(path, &journal_path(path), identity, Hashes::Keep)
    }

    /// Puts a journal into a new table and begins a new one. Dying at any point leaves either the
    /// old table and journal, or the new table and a journal that is known to be in it.
    fn merge_from(
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
    fn give_up(&mut self, path: &Path, error: &io::Error) -> Result<()> {
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
fn trusts_next(version: Option<i64>, trusted: bool) -> bool {
    version.is_some() || trusted
}

fn key_hash(key: Key<'_>) -> u64 {
    hash(u64::from(key.tag), key.bytes)
}
