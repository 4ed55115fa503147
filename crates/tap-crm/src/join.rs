//! More fields than one bulk job reads: the files of several jobs, joined by the id of their rows.
//!
//! The rows of the first file lead. Those of the others are encoded into a file on disk, with an index of where
//! each lies, so that memory holds two numbers a row. Pages of the jobs need not hold the same rows: what has no
//! partner yet waits for the next page.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use singer_core::{Error, Result};
use singer_runtime::tap::Blocks;

use crate::record::Encoder;
use crate::rows;

/// Rows without a partner that may wait, in bytes.
const MOST_WAITING: usize = 32 << 20;

/// A file of a page, and the fields in it.
pub(crate) struct Part {
    /// The archive; nothing if the job has no such page, or an empty one.
    pub(crate) file: Option<File>,
    /// Its fields.
    pub(crate) wanted: Vec<String>,
}

/// Joins pages one after the other.
#[derive(Debug)]
pub(crate) struct Joiner {
    encoder: Arc<Encoder>,
    /// Rows of the first job that wait for the others: the beginning of their record.
    leading: Waiting,
    /// Rows of each other job that wait for the first.
    following: Vec<Waiting>,
}

/// Rows by id, encoded.
#[derive(Debug, Default)]
struct Waiting {
    rows: HashMap<u64, Vec<u8>>,
    bytes: usize,
}

/// The rows of one file, on disk.
struct Spool {
    file: File,
    index: HashMap<u64, (u64, usize)>,
}

impl Joiner {
    /// For so many jobs.
    pub(crate) fn new(encoder: Arc<Encoder>, jobs: usize) -> Self {
        let following = (1..jobs).map(|_| Waiting::default()).collect();
        Self {
            encoder,
            leading: Waiting::default(),
            following,
        }
    }

    /// Whether no row waits for another, so that the next page can be the first of a later run.
    pub(crate) fn is_even(&self) -> bool {
        self.leading.rows.is_empty() && self.following.iter().all(|waiting| waiting.rows.is_empty())
    }

    /// How many rows of the first job still wait.
    pub(crate) fn waiting(&self) -> usize {
        self.leading.rows.len()
    }

    /// Joins the files of a page, the leading one first. Returns how many rows each of them had.
    ///
    /// # Errors
    /// What is wrong with an archive, a file or a row; of kind `Protocol` if the jobs read different records.
    pub(crate) fn page(
        &mut self,
        mut parts: Vec<Part>,
        folder: &Path,
        blocks: &mut Blocks,
    ) -> Result<Vec<u64>> {
        let following = parts.split_off(1);
        let mut counts = vec![0];
        let mut spools = Vec::new();
        for part in following {
            let (spool, count) = self.spool(part, folder)?;
            counts.push(count);
            spools.push(spool);
        }
        self.late(&mut spools, blocks)?;
        if let Some(part) = parts.pop() {
            counts[0] = self.lead(part, &mut spools, blocks)?;
        }
        for (spool, waiting) in spools.iter_mut().zip(&mut self.following) {
            for id in spool.index.keys().copied().collect::<Vec<_>>() {
                if let Some(row) = spool.take(id)? {
                    waiting.put(id, row)?;
                }
            }
        }
        Ok(counts)
    }

    fn spool(&self, part: Part, folder: &Path) -> Result<(Spool, u64)> {
        let mut spool = Spool {
            file: private_file(folder).map_err(on_disk)?,
            index: HashMap::new(),
        };
        let Some(file) = part.file else {
            return Ok((spool, 0));
        };
        let mut rows = rows::open(file)?;
        let positions = self.encoder.positions(rows.header(), &part.wanted)?;
        let mut writer =
            BufWriter::with_capacity(128 << 10, spool.file.try_clone().map_err(on_disk)?);
        let (mut at, mut count, mut bytes) = (0, 0, Vec::new());
        while let Some(row) = rows.next()? {
            count += 1;
            bytes.clear();
            let id = number(self.encoder.id(row, &positions)?)?;
            self.encoder
                .write_fields(&mut bytes, row, &positions)
                .map_err(|error| error.at(format!("row {count}")))?;
            writer.write_all(&bytes).map_err(on_disk)?;
            spool.index.insert(id, (at, bytes.len()));
            at += bytes.len() as u64;
        }
        writer.flush().map_err(on_disk)?;
        Ok((spool, count))
    }

    /// Rows of earlier pages whose partners have come.
    fn late(&mut self, spools: &mut [Spool], blocks: &mut Blocks) -> Result<()> {
        for id in self.leading.rows.keys().copied().collect::<Vec<_>>() {
            let Some(begin) = self.leading.take(id) else {
                continue;
            };
            self.complete(id, begin, spools, blocks)?;
        }
        Ok(())
    }

    fn lead(&mut self, part: Part, spools: &mut [Spool], blocks: &mut Blocks) -> Result<u64> {
        let Some(file) = part.file else { return Ok(0) };
        let encoder = Arc::clone(&self.encoder);
        let mut rows = rows::open(file)?;
        let positions = encoder.positions(rows.header(), &part.wanted)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let id = encoder.id(row, &positions)?;
            let mut begin = Vec::new();
            encoder.begin(&mut begin, id);
            encoder
                .write_fields(&mut begin, row, &positions)
                .map_err(|error| error.at(format!("row {count}")))?;
            self.complete(number(id)?, begin, spools, blocks)?;
        }
        Ok(count)
    }

    /// Emits a row if all its partners are there, else keeps it.
    fn complete(
        &mut self,
        id: u64,
        mut begin: Vec<u8>,
        spools: &mut [Spool],
        blocks: &mut Blocks,
    ) -> Result<()> {
        let is_there = |(spool, waiting): (&Spool, &Waiting)| {
            waiting.rows.contains_key(&id) || spool.index.contains_key(&id)
        };
        if !spools.iter().zip(&self.following).all(is_there) {
            return self.leading.put(id, begin);
        }
        for (spool, waiting) in spools.iter_mut().zip(&mut self.following) {
            let row = match waiting.take(id) {
                Some(row) => Some(row),
                None => spool.take(id)?,
            };
            begin.extend_from_slice(&row.unwrap_or_default());
        }
        self.encoder.end(&mut begin);
        blocks.record(|bytes| {
            bytes.extend_from_slice(&begin);
            Ok(())
        })?;
        if blocks.is_full() {
            blocks.hand_over()?;
        }
        Ok(())
    }
}

impl Waiting {
    fn put(&mut self, id: u64, row: Vec<u8>) -> Result<()> {
        if self.bytes + row.len() > MOST_WAITING {
            return Err(Error::protocol(
                "the jobs for the parts of the fields read different records",
            )
            .with_hint("select fewer fields, or run at a quieter time"));
        }
        self.bytes += row.len();
        self.rows.insert(id, row);
        Ok(())
    }

    fn take(&mut self, id: u64) -> Option<Vec<u8>> {
        let row = self.rows.remove(&id)?;
        self.bytes -= row.len();
        Some(row)
    }
}

impl Spool {
    fn take(&mut self, id: u64) -> Result<Option<Vec<u8>>> {
        let Some((at, length)) = self.index.remove(&id) else {
            return Ok(None);
        };
        let mut row = vec![0; length];
        self.file.read_exact_at(&mut row, at).map_err(on_disk)?;
        Ok(Some(row))
    }
}

/// Ids have at most 19 digits.
fn number(id: &str) -> Result<u64> {
    id.parse()
        .map_err(|_| Error::rejected("an id has more digits than any that the service gives"))
}

/// A file that nobody else can see.
fn private_file(folder: &Path) -> std::io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".tap-crm-{}-{number}", std::process::id()));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn on_disk(error: std::io::Error) -> Error {
    Error::internal("cannot keep rows on disk while they are joined").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_wait_are_bounded() {
        let mut waiting = Waiting::default();
        waiting.put(1, vec![0; MOST_WAITING]).unwrap();
        assert!(waiting.put(2, vec![0]).is_err());
        assert_eq!(waiting.take(1).map(|row| row.len()), Some(MOST_WAITING));
        assert_eq!(waiting.take(1), None);
        assert!(waiting.put(2, vec![0]).is_ok());
    }

    #[test]
    fn a_spool_gives_each_row_once_and_leaves_no_file() {
        let folder = std::env::temp_dir();
        let mut spool = Spool {
            file: private_file(&folder).unwrap(),
            index: HashMap::from([(7, (1, 2))]),
        };
        spool.file.write_all(b"abcd").unwrap();
        assert_eq!(spool.take(7).unwrap().as_deref(), Some(&b"bc"[..]));
        assert_eq!(spool.take(7).unwrap(), None);
        assert!(number("12345678901234567890123").is_err());
    }
}
