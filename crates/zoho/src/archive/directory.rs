//! What is looked at before a byte is inflated: the archive's directory, within a bound of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use singer_core::Error;

/// What an archive begins with; one without entries begins with its end.
const BEGIN: &[u8] = b"PK\x03\x04";
/// What the record at an archive's end begins with, and the least length of it.
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
/// The record at the end may be followed by a comment of this length.
const COMMENT_BYTES: u64 = 65_535;

/// What a directory may take: so much for finding it, and for each entry.
const BASE_BYTES: u64 = 1024 * 1024;
const ENTRY_BYTES: u64 = 4 * 1024;

/// A file of which only so much is read as a directory of the entries that are allowed can take, so that
/// millions of entries are noticed before they are in memory.
#[derive(Debug)]
pub(super) struct Metered {
    file: File,
    length: u64,
    left: u64,
    max_entries: usize,
}

impl Metered {
    pub(super) fn new(file: File, max_entries: usize) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            length,
            left: BASE_BYTES.saturating_add(ENTRY_BYTES.saturating_mul(max_entries as u64)),
            max_entries,
        })
    }

    /// The length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The file, once more and without the bound.
    pub(super) fn again(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Read for Metered {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let most = self.max_entries;
            return Err(io::Error::other(Error::protocol(format!(
                "the directory of the archive is longer than {most} entries make it"
            ))));
        };
        self.left = left;
        Ok(read)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What a file that cannot be read as an archive looks like.
pub(super) enum Look {
    /// Like anything else: an error page, nothing at all.
    NoArchive,
    /// Like the beginning of an archive.
    NoEnd,
    /// Like an archive from beginning to end.
    Whole,
}

/// Looks at the beginning and the end.
pub(super) fn look(file: &mut File, length: u64) -> io::Result<Look> {
    let mut begin = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file)
        .take(BEGIN.len() as u64)
        .read_to_end(&mut begin)?;
    if begin.is_empty() || !(BEGIN.starts_with(&begin) || begin == END) {
        return Ok(Look::NoArchive);
    }
    let tail = COMMENT_BYTES + END_BYTES as u64;
    file.seek(SeekFrom::Start(length.saturating_sub(tail)))?;
    let mut end = Vec::new();
    Read::by_ref(file).take(tail).read_to_end(&mut end)?;
    let found = memchr::memmem::rfind(&end, END);
    Ok(match found {
        Some(place) if end.len() - place >= END_BYTES => Look::Whole,
        _ => Look::NoEnd,
    })
}
