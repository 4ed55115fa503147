//! The table: a sorted file of keys and hashes that is written once, then only read.
//!
//! Blocks of about two kilobytes, each with a checksum; behind them an index of the blocks, the
//! marks of the rows that the current full-table version has shown, and a footer. Index and marks
//! are kept in memory: some five bits a row.

use std::fs::File;
use std::io;
use std::path::Path;

use super::hash::hash;
use super::key::{self, Key};

pub(super) use write::Writer;

#[cfg(test)]
mod tests;
mod write;

const MAGIC: &[u8; 16] = b"antiphon-memory1";
const FOOTER_BYTES: usize = 128;
/// Length and checksum before each block.
const BLOCK_HEAD: usize = 12;
/// Blocks kept in memory: four megabytes.
const CACHED_BLOCKS: usize = 2048;

/// To whom the memory belongs: fingerprints of the destination and of the key.
pub(crate) type Identity = [u8; 32];

/// What a table knows about itself beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) identity: Identity,
    /// Rises with every table; the journal that goes with it names it.
    pub(super) generation: u64,
    /// The full-table version that the marks belong to.
    pub(super) version: Option<i64>,
    /// Whether the marks of that version are whole.
    pub(super) trusted: bool,
}

/// An open table.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    pub(super) description: Description,
    rows: u32,
    blocks: Vec<Block>,
    first_keys: Vec<u8>,
    pub(super) marks: Marks,
    /// Blocks that were read last, by their number modulo the length.
    cache: Vec<(Option<usize>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    length: u32,
    first_row: u32,
    /// The bytes of every entry if all have the same, else zero.
    stride: u32,
    key_start: u32,
    key_length: u32,
    tag: u8,
}

/// One bit a row.
#[derive(Debug, Default, Clone)]
pub(super) struct Marks(Vec<u64>);

/// A row that was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) row: u32,
    pub(super) hash: u64,
}

impl Marks {
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(super) fn set(&mut self, row: u32) {
        if let Some(word) = self.0.get_mut(row as usize / 64) {
            *word |= 1 << (row % 64);
        }
    }

    pub(super) fn has(&self, row: u32) -> bool {
        self.0
            .get(row as usize / 64)
            .is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    fn push(&mut self, row: u32, mark: bool) {
        if row.is_multiple_of(64) {
            self.0.push(0);
        }
        if mark {
            self.set(row);
        }
    }
}

pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file is damaged")
}

impl Table {
    /// Opens a table. An error of kind `InvalidData` means that the file is damaged.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let footer_at = size.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
        let mut footer = [0; FOOTER_BYTES];
        read_at(&file, footer_at, &mut footer)?;
        let number = |at: usize| -> u64 {
            let mut word = [0; 8];
            word.copy_from_slice(&footer[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if &footer[112..128] != MAGIC || number(104) != hash(0, &footer[..104]) {
            return Err(damaged());
        }
        let (index_at, index_length, marks_length) = (number(0), number(8), number(16));
        if index_at
            .checked_add(index_length)
            .and_then(|end| end.checked_add(marks_length))
            != Some(footer_at)
        {
            return Err(damaged());
        }
        let mut index = vec![0; index_length as usize];
        read_at(&file, index_at, &mut index)?;
        let mut marks = vec![0; marks_length as usize];
        read_at(&file, index_at + index_length, &mut marks)?;
        if hash(1, &index) != number(88) || hash(2, &marks) != number(96) {
            return Err(damaged());
        }
        let mut identity = [0; 32];
        identity.copy_from_slice(&footer[40..72]);
        let mut table = Self {
            file,
            description: Description {
                identity,
                generation: number(32),
                version: (footer[80] & 1 != 0).then(|| number(72) as i64),
                trusted: footer[80] & 2 != 0,
            },
            rows: number(24) as u32,
            blocks: Vec::new(),
            first_keys: Vec::new(),
            marks: Marks(
                marks
                    .chunks_exact(8)
                    .map(|word| {
                        let mut bytes = [0; 8];
                        bytes.copy_from_slice(word);
                        u64::from_le_bytes(bytes)
                    })
                    .collect(),
            ),
            cache: vec![(None, Vec::new()); CACHED_BLOCKS],
        };
        table.read_index(&index).ok_or_else(damaged)?;
        Ok(table)
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Finds a key.
    pub(super) fn find(&mut self, key: Key<'_>) -> io::Result<Option<Found>> {
        let after = self
            .blocks
            .partition_point(|block| first_key(&self.first_keys, block) <= key);
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let block = self.blocks[number];
        let payload = self.block(number)?;
        if block.stride != 0 {
            return Ok(find_by_stride(payload, block, key));
        }
        let mut rest = payload;
        for row in block.first_row.. {
            match key::read_entry(&mut rest) {
                Some((other, hash)) if other == key => return Ok(Some(Found { row, hash })),
                Some((other, _)) if other < key => {}
                _ => break,
            }
        }
        Ok(None)
    }

    /// Calls `each` with the rows from `from` on that have no mark, until it has seen `limit` of
    /// them. Returns the row to go on from.
    pub(super) fn unmarked(
        &mut self,
        from: u32,
        limit: usize,
        mut each: impl FnMut(Key<'_>),
    ) -> io::Result<u32> {
        let mut found = 0;
        let start = self
            .blocks
            .partition_point(|block| block.first_row <= from)
            .saturating_sub(1);
        for number in start..self.blocks.len() {
            let first = self.blocks[number].first_row;
            let end = self
                .blocks
                .get(number + 1)
                .map_or(self.rows, |next| next.first_row);
            if (first.max(from)..end).all(|row| self.marks.has(row)) {
                continue;
            }
            let payload = self.block(number)?.to_vec();
            let mut rest = &payload[..];
            for row in first..end {
                let (key, _) = key::read_entry(&mut rest).ok_or_else(damaged)?;
                if row < from || self.marks.has(row) {
                    continue;
                }
                if found == limit {
                    return Ok(row);
                }
                found += 1;
                each(key);
            }
        }
        Ok(self.rows)
    }

    /// The rows in order.
    pub(super) fn scan(&mut self) -> Scan<'_> {
        Scan {
            table: self,
            block: 0,
            bytes: Vec::new(),
            at: 0,
            row: 0,
        }
    }

    /// The entries of a block, its checksum proved.
    fn block(&mut self, number: usize) -> io::Result<&[u8]> {
        let slot = number % CACHED_BLOCKS;
        if self.cache[slot].0 != Some(number) {
            // Taken out, so that what was read badly is never found there.
            let mut bytes = std::mem::take(&mut self.cache[slot]).1;
            self.read_block(number, &mut bytes)?;
            self.cache[slot] = (Some(number), bytes);
        }
        Ok(&self.cache[slot].1[BLOCK_HEAD..])
    }

    /// Reads a block whole; its entries begin after [`BLOCK_HEAD`] bytes.
    fn read_block(&self, number: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let block = self.blocks[number];
        bytes.resize(block.length as usize, 0);
        read_at(&self.file, block.offset, bytes)?;
        let (head, payload) = bytes.split_at_checked(BLOCK_HEAD).ok_or_else(damaged)?;
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&head[4..]);
        if u64::from_le_bytes(checksum) != hash(block.offset, payload) {
            return Err(damaged());
        }
        Ok(())
    }

    fn read_index(&mut self, mut index: &[u8]) -> Option<()> {
        let mut offset = MAGIC.len() as u64;
        let mut first_row = 0;
        while !index.is_empty() {
            let length = u32::try_from(key::read_number(&mut index)?).ok()?;
            let rows = u32::try_from(key::read_number(&mut index)?).ok()?;
            let stride = u32::try_from(key::read_number(&mut index)?).ok()?;
            let key = key::read(&mut index)?;
            self.blocks.push(Block {
                offset,
                length,
                first_row,
                stride,
                key_start: u32::try_from(self.first_keys.len()).ok()?,
                key_length: u32::try_from(key.bytes.len()).ok()?,
                tag: key.tag,
            });
            self.first_keys.extend_from_slice(key.bytes);
            offset += u64::from(length);
            first_row += rows;
        }
        (first_row == self.rows).then_some(())
    }
}

fn first_key<'a>(keys: &'a [u8], block: &Block) -> Key<'a> {
    let start = block.key_start as usize;
    Key {
        tag: block.tag,
        bytes: &keys[start..start + block.key_length as usize],
    }
}

/// Entries of one length are all of one tag and can be halved.
fn find_by_stride(payload: &[u8], block: Block, key: Key<'_>) -> Option<Found> {
    if key.tag != block.tag {
        return None;
    }
    let stride = block.stride as usize;
    let entry = |place: usize| {
        let mut entry = &payload[place * stride..(place + 1) * stride];
        key::read_entry(&mut entry)
    };
    let (mut low, mut high) = (0, payload.len() / stride);
    while low < high {
        let middle = (low + high) / 2;
        let (other, hash) = entry(middle)?;
        match other.cmp(&key) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                return Some(Found {
                    row: block.first_row + middle as u32,
                    hash,
                });
            }
        }
    }
    None
}

/// Reads bytes from a place of a file; a file that ends before is damaged.
fn read_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    #[cfg(unix)]
    let read = std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(not(unix))]
    let read = {
        let mut file = file;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))
            .and_then(|_| io::Read::read_exact(&mut file, bytes))
    };
    read.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => error,
    })
}

/// Goes through a table row by row.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    table: &'a mut Table,
    block: usize,
    bytes: Vec<u8>,
    at: usize,
    row: u32,
}

impl Scan<'_> {
    /// The next row: key, hash, whether it has a mark.
    pub(super) fn next(&mut self) -> io::Result<Option<(Key<'_>, u64, bool)>> {
        if self.at == self.bytes.len() {
            if self.block == self.table.blocks.len() {
                return Ok(None);
            }
            self.table.read_block(self.block, &mut self.bytes)?;
            self.block += 1;
            self.at = BLOCK_HEAD;
        }
        let before = &self.bytes[self.at..];
        let mut rest = before;
        let (key, hash) = key::read_entry(&mut rest).ok_or_else(damaged)?;
        self.at += before.len() - rest.len();
        let mark = self.table.marks.has(self.row);
        self.row += 1;
        Ok(Some((key, hash, mark)))
    }
}
