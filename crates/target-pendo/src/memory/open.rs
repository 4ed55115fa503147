//! Opening a memory: whatever the last run left there becomes a state that says nothing wrong.

use std::io;
use std::path::Path;

use super::files::{journal_path, remove, suspect_path, sync_folder, table_path};
use super::journal::{self, End, Header, Journal, Kind};
use super::key;
use super::merge::Hashes;
use super::state::{RECENT, Recent, State, key_hash, trusts_next};
use super::table::{Identity, Table};

impl State {
    /// An empty memory, whatever stood there.
    pub(super) fn begin(path: &Path, identity: Identity) -> io::Result<Self> {
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

    /// Reads what is there. An error of kind `InvalidData` means that it is damaged.
    pub(super) fn load(path: &Path, identity: Identity) -> io::Result<Self> {
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
}
