//! Writing a table: rows in order, then what a reader needs to find them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{BLOCK_HEAD, Description, FOOTER_BYTES, MAGIC, Marks};
use crate::memory::hash::hash;
use crate::memory::key::{self, Key};

/// A block ends with the entry that reaches this. Smaller blocks are quicker to look into, and take
/// more memory for their index.
const BLOCK_BYTES: usize = 2000;

/// Writes a table from rows in order.
#[derive(Debug)]
pub(in crate::memory) struct Writer {
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
    pub(in crate::memory) fn create(path: &Path) -> io::Result<Self> {
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
    pub(in crate::memory) fn push(
        &mut self,
        key: Key<'_>,
        hash: u64,
        mark: bool,
    ) -> io::Result<()> {
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
    pub(in crate::memory) fn finish(mut self, description: &Description) -> io::Result<()> {
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
