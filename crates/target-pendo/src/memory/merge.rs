//! Puts a journal into the table: sorts it in portions of bounded size, then merges these with the
//! rows of the old table into a new one.

use std::io;
use std::path::{Path, PathBuf};

use super::journal::{self, Kind};
use super::key::{self, Key};
use super::table::{Description, Scan, Table, Writer};
use super::{FORGOTTEN, UNKNOWN};

/// Bytes of entries that are sorted at once.
const PORTION_BYTES: usize = 8 << 20;

/// Whether hashes can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashes {
    /// Yes.
    Keep,
    /// No: only the ids are kept, and every record is sent again.
    Forget,
}

/// Writes a new table to `to` from the old one and a journal. The marks of the old table count; an
/// entry of the journal counts as marked if it belongs to the described version.
pub(super) fn merge(
    old: Option<&mut Table>,
    journal: &Path,
    to: &Path,
    description: &Description,
    hashes: Hashes,
) -> io::Result<()> {
    let mut runs = Runs::new(to, *description);
    let result = runs.read(journal).and_then(|()| {
        let mut tables = runs.open()?;
        let mut cursors: Vec<Cursor<'_>> = Vec::new();
        for table in old.into_iter().chain(&mut tables) {
            cursors.push(Cursor::new(table.scan())?);
        }
        write(&mut cursors, to, description, hashes)
    });
    runs.remove();
    result
}

/// Merges cursors, of which later ones are newer.
fn write(
    cursors: &mut Vec<Cursor<'_>>,
    to: &Path,
    description: &Description,
    hashes: Hashes,
) -> io::Result<()> {
    let mut writer = Writer::create(to)?;
    cursors.retain(|cursor| !cursor.ended);
    let mut key = Vec::new();
    while let Some(least) = cursors.iter().map(Cursor::key).min() {
        key.clear();
        key.extend_from_slice(least.bytes);
        let least = Key {
            tag: least.tag,
            bytes: &key,
        };
        let mut hash = UNKNOWN;
        let mut mark = false;
        let mut ended = false;
        for cursor in cursors.iter_mut() {
            if cursor.key() == least {
                hash = cursor.hash;
                mark |= cursor.mark;
                cursor.advance()?;
                ended |= cursor.ended;
            }
        }
        if hash != FORGOTTEN {
            let hash = match hashes {
                Hashes::Keep => hash,
                Hashes::Forget => UNKNOWN,
            };
            writer.push(least, hash, mark)?;
        }
        if ended {
            cursors.retain(|cursor| !cursor.ended);
        }
    }
    writer.finish(description)
}

/// Sorted parts of the journal, each a table of its own.
struct Runs {
    beside: PathBuf,
    description: Description,
    count: usize,
    version: Option<i64>,
    /// The entries of the portion, one behind the other, and where each lies.
    bytes: Vec<u8>,
    entries: Vec<(u32, bool)>,
}

impl Runs {
    fn new(beside: &Path, description: Description) -> Self {
        Self {
            beside: beside.to_owned(),
            description,
            count: 0,
            version: None,
            bytes: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn read(&mut self, journal: &Path) -> io::Result<()> {
        // A broken end was cut off or told before; what stands before it counts.
        journal::replay(journal, |kind, mut payload| {
            match kind {
                Kind::Version => self.version = Some(journal::version(payload)?),
                Kind::Entries => {
                    let mark = self.version.is_some() && self.version == self.description.version;
                    loop {
                        let before = payload;
                        if key::read_entry(&mut payload).is_none() {
                            break;
                        }
                        self.entries.push((self.bytes.len() as u32, mark));
                        let length = before.len() - payload.len();
                        self.bytes.extend_from_slice(&before[..length]);
                    }
                }
                Kind::Rows | Kind::Untrusted => {}
            }
            if self.bytes.len() >= PORTION_BYTES {
                self.write_run()?;
            }
            Ok(())
        })?;
        self.write_run()
    }

    fn write_run(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        let entry = |at: u32| {
            key::read_entry(&mut &bytes[at as usize..]).expect("these bytes were read before")
        };
        // The sort is stable, so of equal keys the last is the newest.
        self.entries
            .sort_by(|(one, _), (other, _)| entry(*one).0.cmp(&entry(*other).0));
        let mut writer = Writer::create(&self.path(self.count))?;
        for same in self
            .entries
            .chunk_by(|(one, _), (other, _)| entry(*one).0 == entry(*other).0)
        {
            let Some((newest, _)) = same.last() else {
                continue;
            };
            let (key, hash) = entry(*newest);
            writer.push(key, hash, same.iter().any(|(_, mark)| *mark))?;
        }
        writer.finish(&self.description)?;
        self.count += 1;
        self.entries.clear();
        self.bytes = bytes;
        self.bytes.clear();
        Ok(())
    }

    fn open(&self) -> io::Result<Vec<Table>> {
        (0..self.count)
            .map(|run| Table::open(&self.path(run)))
            .collect()
    }

    fn remove(&self) {
        for run in 0..=self.count {
            // One that is not there needs no removal, and one that stays is overwritten next time.
            let _stays = std::fs::remove_file(self.path(run));
        }
    }

    fn path(&self, run: usize) -> PathBuf {
        self.beside.with_extension(format!("run{run}"))
    }
}

/// The next row of a table, kept in hand.
struct Cursor<'a> {
    scan: Scan<'a>,
    tag: u8,
    bytes: Vec<u8>,
    hash: u64,
    mark: bool,
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn new(scan: Scan<'a>) -> io::Result<Self> {
        let mut cursor = Self {
            scan,
            tag: 0,
            bytes: Vec::new(),
            hash: 0,
            mark: false,
            ended: false,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn key(&self) -> Key<'_> {
        Key {
            tag: self.tag,
            bytes: &self.bytes,
        }
    }

    fn advance(&mut self) -> io::Result<()> {
        match self.scan.next()? {
            Some((key, hash, mark)) => {
                self.tag = key.tag;
                self.bytes.clear();
                self.bytes.extend_from_slice(key.bytes);
                self.hash = hash;
                self.mark = mark;
            }
            None => self.ended = true,
        }
        Ok(())
    }
}
