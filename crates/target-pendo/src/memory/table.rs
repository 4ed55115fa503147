//! The table: a sorted file of keys and hashes that is written once, then only read.
//!
//! Blocks of about four kilobytes, each with a checksum; behind them an index of the blocks, the
//! marks of the rows that the current full-table version has shown, and a footer. Index and marks
//! are kept in memory: some three bits a row.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::hash::hash;
use super::key::{self, Key};

const MAGIC: &[u8; 16] = b"antiphon-memory1";
const FOOTER_BYTES: usize = 128;
const BLOCK_BYTES: usize = 4000;
/// Length and checksum before each block.
const BLOCK_HEAD: usize = 12;
/// Blocks kept in memory.
const CACHED_BLOCKS: usize = 64;

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
    cache: Vec<Option<(usize, Vec<u8>)>>,
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
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let footer_at = size.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
        let footer = read_at(&mut file, footer_at, FOOTER_BYTES)?;
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
        let index = read_at(&mut file, index_at, index_length as usize)?;
        let marks = read_at(&mut file, index_at + index_length, marks_length as usize)?;
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
            cache: (0..CACHED_BLOCKS).map(|_| None).collect(),
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
            payload: Vec::new(),
            at: 0,
            row: 0,
        }
    }

    /// The entries of a block, its checksum proved.
    fn block(&mut self, number: usize) -> io::Result<&[u8]> {
        let slot = number % CACHED_BLOCKS;
        if !matches!(&self.cache[slot], Some((cached, _)) if *cached == number) {
            let payload = self.read_block(number)?;
            self.cache[slot] = Some((number, payload));
        }
        Ok(self.cache[slot]
            .as_ref()
            .map_or(&[][..], |(_, payload)| payload))
    }

    fn read_block(&mut self, number: usize) -> io::Result<Vec<u8>> {
        let block = self.blocks[number];
        let mut bytes = read_at(&mut self.file, block.offset, block.length as usize)?;
        let head = bytes.get(..BLOCK_HEAD).ok_or_else(damaged)?;
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&head[4..]);
        let payload = bytes.split_off(BLOCK_HEAD);
        if u64::from_le_bytes(checksum) != hash(block.offset, &payload) {
            return Err(damaged());
        }
        Ok(payload)
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

fn read_at(file: &mut File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged(),
            _ => error,
        })?;
    Ok(bytes)
}

/// Goes through a table row by row.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    table: &'a mut Table,
    block: usize,
    payload: Vec<u8>,
    at: usize,
    row: u32,
}

impl Scan<'_> {
    /// The next row: key, hash, whether it has a mark.
    pub(super) fn next(&mut self) -> io::Result<Option<(Key<'_>, u64, bool)>> {
        if self.at == self.payload.len() {
            if self.block == self.table.blocks.len() {
                return Ok(None);
            }
            self.payload = self.table.read_block(self.block)?;
            self.block += 1;
            self.at = 0;
        }
        let before = &self.payload[self.at..];
        let mut rest = before;
        let (key, hash) = key::read_entry(&mut rest).ok_or_else(damaged)?;
        self.at += before.len() - rest.len();
        let mark = self.table.marks.has(self.row);
        self.row += 1;
        Ok(Some((key, hash, mark)))
    }
}

/// Writes a table from rows in order.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    offset: u64,
    block: Vec<u8>,
    rows_of_block: u32,
    stride: Option<usize>,
    first_key: Vec<u8>,
    index: Vec<u8>,
    rows: u32,
    marks: Marks,
}

impl Writer {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(1 << 18, File::create(path)?);
        file.write_all(MAGIC)?;
        Ok(Self {
            file,
            offset: MAGIC.len() as u64,
            block: Vec::with_capacity(BLOCK_BYTES + 100),
            rows_of_block: 0,
            stride: None,
            first_key: Vec::new(),
            index: Vec::new(),
            rows: 0,
            marks: Marks::default(),
        })
    }

    /// Appends a row; its key is greater than all before.
    pub(super) fn push(&mut self, key: Key<'_>, hash: u64, mark: bool) -> io::Result<()> {
        let start = self.block.len();
        if start == 0 {
            self.first_key.clear();
            key.write(&mut self.first_key);
        }
        key.write_entry(hash, &mut self.block);
        let length = self.block.len() - start;
        let same_tag = self.first_key[0] == key.tag;
        self.stride = match self.stride {
            None => Some(length),
            Some(stride) if stride == length && same_tag => Some(stride),
            Some(_) => Some(0),
        };
        self.marks.push(self.rows, mark);
        self.rows += 1;
        self.rows_of_block += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Writes what is left, and returns once the file is on the disk.
    pub(super) fn finish(mut self, description: &Description) -> io::Result<()> {
        self.end_block()?;
        let marks: Vec<u8> = self
            .marks
            .0
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        for number in [
            self.offset,
            self.index.len() as u64,
            marks.len() as u64,
            u64::from(self.rows),
            description.generation,
        ] {
            footer.extend_from_slice(&number.to_le_bytes());
        }
        footer.extend_from_slice(&description.identity);
        footer.extend_from_slice(&description.version.unwrap_or(0).to_le_bytes());
        let flags = u64::from(description.version.is_some()) | u64::from(description.trusted) << 1;
        footer.extend_from_slice(&flags.to_le_bytes());
        footer.extend_from_slice(&hash(1, &self.index).to_le_bytes());
        footer.extend_from_slice(&hash(2, &marks).to_le_bytes());
        footer.extend_from_slice(&hash(0, &footer).to_le_bytes());
        footer.extend_from_slice(MAGIC);
        self.file.write_all(&self.index)?;
        self.file.write_all(&marks)?;
        self.file.write_all(&footer)?;
        self.file.into_inner()?.sync_all()
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = self.block.len() + BLOCK_HEAD;
        self.file
            .write_all(&(self.block.len() as u32).to_le_bytes())?;
        self.file
            .write_all(&hash(self.offset, &self.block).to_le_bytes())?;
        self.file.write_all(&self.block)?;
        key::write_number(length as u64, &mut self.index);
        key::write_number(u64::from(self.rows_of_block), &mut self.index);
        key::write_number(self.stride.unwrap_or(0) as u64, &mut self.index);
        self.index.extend_from_slice(&self.first_key);
        self.offset += length as u64;
        self.block.clear();
        self.rows_of_block = 0;
        self.stride = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::pack;
    use super::*;
    use crate::memory::tests::Folder;

    const DESCRIPTION: Description = Description {
        identity: [7; 32],
        generation: 3,
        version: Some(-5),
        trusted: true,
    };

    fn ids() -> Vec<String> {
        let mut ids: Vec<String> = (0..3000)
            .map(|number| match number % 3 {
                0 => number.to_string(),
                1 => format!("{number:08x}-0000-4000-8000-000000000000"),
                _ => format!("v-{number}@example.org"),
            })
            .collect();
        ids.sort_by_cached_key(|id| {
            let mut bytes = Vec::new();
            (pack(id.as_bytes(), &mut bytes), bytes)
        });
        ids
    }

    fn with_key<T>(id: &str, then: impl FnOnce(Key<'_>) -> T) -> T {
        let mut bytes = Vec::new();
        let tag = pack(id.as_bytes(), &mut bytes);
        then(Key { tag, bytes: &bytes })
    }

    fn write(path: &Path, ids: &[String]) {
        let mut writer = Writer::create(path).unwrap();
        for (row, id) in ids.iter().enumerate() {
            with_key(id, |key| writer.push(key, row as u64, row % 2 == 0)).unwrap();
        }
        writer.finish(&DESCRIPTION).unwrap();
    }

    #[test]
    fn every_row_is_found_again_and_no_other() {
        let folder = Folder::new();
        let path = folder.path("table");
        let ids = ids();
        write(&path, &ids);
        let mut table = Table::open(&path).unwrap();
        assert_eq!(table.description, DESCRIPTION);
        assert_eq!(table.rows() as usize, ids.len());
        for (row, id) in ids.iter().enumerate() {
            let found = with_key(id, |key| table.find(key)).unwrap();
            assert_eq!(
                found,
                Some(Found {
                    row: row as u32,
                    hash: row as u64
                })
            );
            assert_eq!(table.marks.has(row as u32), row % 2 == 0);
        }
        for absent in [
            "",
            "9999999",
            "00000000-0000-4000-8000-000000000000",
            "zz",
            "v-",
        ] {
            assert_eq!(
                with_key(absent, |key| table.find(key)).unwrap(),
                None,
                "{absent}"
            );
        }
    }

    #[test]
    fn rows_without_mark_come_in_portions() {
        let folder = Folder::new();
        let path = folder.path("table");
        let ids = ids();
        write(&path, &ids);
        let mut table = Table::open(&path).unwrap();
        let mut seen = Vec::new();
        let mut from = 0;
        while from < table.rows() {
            from = table
                .unmarked(from, 400, |key| {
                    let mut text = Vec::new();
                    key.unpack(&mut text);
                    seen.push(String::from_utf8(text).unwrap());
                })
                .unwrap();
        }
        let wanted: Vec<String> = ids.iter().skip(1).step_by(2).cloned().collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let folder = Folder::new();
        let path = folder.path("table");
        let ids: Vec<String> = ids().into_iter().take(300).collect();
        write(&path, &ids);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let Ok(mut table) = Table::open(&path) else {
                continue;
            };
            let all = || -> io::Result<u32> {
                let mut scan = table.scan();
                let mut rows = 0;
                while let Some((key, hash, _)) = scan.next()? {
                    let mut text = Vec::new();
                    key.unpack(&mut text);
                    assert_eq!(text, ids[hash as usize].as_bytes(), "byte {at}");
                    rows += 1;
                }
                Ok(rows)
            };
            // A block whose damage hits only what is stored twice reads well; nothing reads wrongly.
            if let Ok(rows) = { all }() {
                assert_eq!(rows as usize, ids.len(), "byte {at}");
            }
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Table::open(&path).is_err(), "cut to {length}");
        }
    }
}
