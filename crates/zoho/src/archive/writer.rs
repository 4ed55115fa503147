//! A ZIP archive with one file in it, zipped in memory while the file's bytes come, so that whoever cuts
//! a long table knows at any moment how long the archive would be.
//!
//! Sizes and checksum stand in the header before the file and not behind it, as readers that stream want it.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use singer_core::{Error, Result};

/// Bytes that are collected before they are zipped, since zipping row by row costs a call each.
const BLOCK_BYTES: usize = 32 * 1024;

/// What the output grows by when it is full.
const GROWTH_BYTES: usize = 64 * 1024;

/// What is still within the compressor, zipped, is never more: 16,384 symbols of at most 31 bits, and what
/// a block begins and ends with.
const HELD_BYTES: usize = 96 * 1024;

/// A header before the file, an entry of the directory, the end: their lengths without the name.
const HEADER_BYTES: usize = 30;
const ENTRY_BYTES: usize = 46;
const END_BYTES: usize = 22;

/// Where checksum and sizes stand in the header.
const CHECKSUM_AT: usize = 14;

/// The lowest version of ZIP that knows deflate.
const VERSION: u16 = 20;
const DEFLATE: u16 = 8;

/// The name is UTF-8.
const UTF8: u16 = 1 << 11;

/// The first day that an archive can name: the clock is nobody's business here.
const DATE: u16 = (1 << 5) | 1;

/// An archive in the making.
pub struct Writer {
    out: Vec<u8>,
    /// Where the archive begins in `out`.
    begin: usize,
    name: String,
    compress: Compress,
    checksum: Crc,
    block: Vec<u8>,
    unzipped: u64,
}

impl std::fmt::Debug for Writer {
    /// Without the bytes, which are rows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("name", &self.name)
            .field("unzipped", &self.unzipped)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Begins an archive behind what stands in `out`, and the one file in it. `level` is that of deflate,
    /// from 1 (fast) to 9 (short).
    ///
    /// # Errors
    /// Of kind `Internal` for a name that is empty or longer than an archive can hold.
    pub fn start(out: Vec<u8>, entry_name: &str, level: u32) -> Result<Self> {
        let Some(name_length) = u16::try_from(entry_name.len()).ok().filter(|it| *it > 0) else {
            return Err(Error::internal(
                "a file in an archive needs a name of 1 to 65,535 bytes",
            ));
        };
        let mut writer = Self {
            begin: out.len(),
            out,
            name: entry_name.to_owned(),
            compress: Compress::new(Compression::new(level.clamp(1, 9)), false),
            checksum: Crc::new(),
            block: Vec::with_capacity(BLOCK_BYTES),
            unzipped: 0,
        };
        writer.out.extend_from_slice(b"PK\x03\x04");
        writer.common(name_length, 0, 0, 0);
        writer.out.extend_from_slice(entry_name.as_bytes());
        Ok(writer)
    }

    /// Appends bytes to the file.
    ///
    /// # Errors
    /// Of kind `Internal` beyond 4 GiB, which is more than an archive of this kind can hold.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.unzipped += bytes.len() as u64;
        if u32::try_from(self.unzipped).is_err() {
            return Err(Error::internal(
                "the file in the archive would be longer than 4 GiB",
            ));
        }
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            self.press();
        }
        if bytes.len() > BLOCK_BYTES {
            self.checksum.update(bytes);
            deflate(&mut self.compress, bytes, &mut self.out);
        } else {
            self.block.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Bytes of the file so far.
    pub fn unzipped_len(&self) -> u64 {
        self.unzipped
    }

    /// How long the archive is at most if `more` bytes are written and it is finished then.
    pub fn compressed_len_upper_bound(&self, more: usize) -> usize {
        let waiting = self.block.len() + more;
        // Deflate at its fastest spends up to nine bits on a byte.
        let zipped = waiting + waiting / 8;
        let end = ENTRY_BYTES + self.name.len() + END_BYTES;
        (self.out.len() - self.begin) + HELD_BYTES + zipped + end
    }

    /// Ends the file and the archive, and returns what stood before it and it.
    ///
    /// # Errors
    /// Of kind `Internal` if the archive is longer than 4 GiB.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.press();
        while !finish(&mut self.compress, &mut self.out) {}
        let directory = (self.out.len() - self.begin) as u64;
        let header = (HEADER_BYTES + self.name.len()) as u64;
        let sizes = (
            u32::try_from(directory - header),
            u32::try_from(self.unzipped),
            u32::try_from(directory),
        );
        let (Ok(zipped), Ok(unzipped), Ok(directory)) = sizes else {
            return Err(Error::internal("the archive is longer than 4 GiB"));
        };
        let checksum = self.checksum.sum();
        let patch = [checksum, zipped, unzipped].map(u32::to_le_bytes).concat();
        let at = self.begin + CHECKSUM_AT;
        let place = self.out.get_mut(at..at + patch.len());
        (place.expect("the header was written first")).copy_from_slice(&patch);
        self.end(directory, checksum, zipped, unzipped);
        Ok(self.out)
    }

    /// Appends the directory of one entry and the end of the archive.
    fn end(&mut self, directory: u32, checksum: u32, zipped: u32, unzipped: u32) {
        let name_length = u16::try_from(self.name.len()).unwrap_or(u16::MAX);
        self.out.extend_from_slice(b"PK\x01\x02");
        self.out.extend_from_slice(&VERSION.to_le_bytes());
        self.common(name_length, checksum, zipped, unzipped);
        // No comment, the first disk, no attributes, at the beginning of the archive.
        self.out.extend_from_slice(&[0; 14]);
        self.out.extend_from_slice(self.name.as_bytes());
        let length = (ENTRY_BYTES + self.name.len()) as u32;
        self.out
            .extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        self.out.extend_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(&directory.to_le_bytes());
        self.out.extend_from_slice(&[0; 2]);
    }

    /// What the header and the entry of the directory have in common, from the version on.
    fn common(&mut self, name_length: u16, checksum: u32, zipped: u32, unzipped: u32) {
        for short in [VERSION, UTF8, DEFLATE, 0, DATE] {
            self.out.extend_from_slice(&short.to_le_bytes());
        }
        for long in [checksum, zipped, unzipped] {
            self.out.extend_from_slice(&long.to_le_bytes());
        }
        // No extra field.
        self.out.extend_from_slice(&name_length.to_le_bytes());
        self.out.extend_from_slice(&[0; 2]);
    }

    /// Zips what was collected.
    fn press(&mut self) {
        self.checksum.update(&self.block);
        deflate(&mut self.compress, &self.block, &mut self.out);
        self.block.clear();
    }
}

/// Zips bytes to the last one; some of what comes of them may stay within the compressor.
fn deflate(compress: &mut Compress, bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let before = compress.total_in();
        step(compress, rest, out, FlushCompress::None);
        let taken = usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX);
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Gets some of the rest out of the compressor; whether that was all.
fn finish(compress: &mut Compress, out: &mut Vec<u8>) -> bool {
    step(compress, &[], out, FlushCompress::Finish) == Status::StreamEnd
}

fn step(compress: &mut Compress, bytes: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> Status {
    if out.len() == out.capacity() {
        out.reserve(GROWTH_BYTES);
    }
    (compress.compress_vec(bytes, out, flush)).expect("deflating in memory has no way to fail")
}
