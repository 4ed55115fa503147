//! The journal: an append-only file of what was confirmed since the table was written.
//!
//! It is a row of frames, each with a checksum. Whatever stands before the first broken frame counts;
//! the rest is cut off when the journal is opened again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::hash::hash;
use super::key;
use super::table::{Identity, damaged};

const MAGIC: &[u8; 16] = b"antiphon-journal";
const HEADER_BYTES: usize = 64;
/// Kind, length and checksum before each frame's payload.
const FRAME_HEAD: usize = 13;
/// A frame that claims to be longer is broken.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// What a frame says. Its payload is read with [`Frame::rows`], [`Frame::version`] or as entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys and hashes; a later one counts more than an earlier one.
    Entries = 1,
    /// The full-table version that everything after it belongs to.
    Version = 2,
    /// Rows of the table that the version has shown, as gaps and counts.
    Rows = 3,
    /// Marks of the version may have been lost.
    Untrusted = 4,
}

/// An open journal, ready to be appended to.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

/// What stands at the start of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    /// The table's generation that the journal goes with.
    pub(super) generation: u64,
}

/// Whether a journal was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every frame was whole.
    Whole,
    /// A broken frame begins here.
    BrokenAt(u64),
}

impl Journal {
    /// Writes a new journal beside its place and moves it there.
    pub(super) fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let beside = path.with_extension("journal-new");
        let mut file = File::create(&beside)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&header.identity);
        bytes.extend_from_slice(&header.generation.to_le_bytes());
        bytes.extend_from_slice(&hash(0, &bytes).to_le_bytes());
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        Ok(Self { file })
    }

    /// Opens a journal for appending after `end`, where a broken frame is cut off.
    pub(super) fn open(path: &Path, end: End) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if let End::BrokenAt(length) = end {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    /// Appends a frame; it is with the operating system once this returns, and survives the end of
    /// this process.
    pub(super) fn append(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(FRAME_HEAD + payload.len());
        frame.push(kind as u8);
        frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frame.extend_from_slice(&hash(u64::from(kind as u8), payload).to_le_bytes());
        frame.extend_from_slice(payload);
        self.file.write_all(&frame)
    }

    /// A journal that takes nothing, for the tests of full disks.
    #[cfg(test)]
    pub(super) fn read_only(path: &Path) -> Self {
        Self {
            file: File::open(path).unwrap(),
        }
    }

    /// Returns once everything is on the disk, and survives the end of the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads the header of a journal. An error of kind `InvalidData` means that it is damaged.
pub(super) fn read_header(path: &Path) -> io::Result<Header> {
    header_of(&mut File::open(path)?)
}

/// Calls `each` with the frames of a journal in order, up to its end or the first broken one.
pub(super) fn replay(
    path: &Path,
    mut each: impl FnMut(Kind, &[u8]) -> io::Result<()>,
) -> io::Result<End> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    header_of(&mut file)?;
    let mut at = HEADER_BYTES as u64;
    let mut payload = Vec::new();
    loop {
        let mut head = [0; FRAME_HEAD];
        match read_some(&mut file, &mut head)? {
            0 => return Ok(End::Whole),
            FRAME_HEAD => {}
            _ => return Ok(End::BrokenAt(at)),
        }
        let mut length = [0; 4];
        length.copy_from_slice(&head[1..5]);
        let length = u32::from_le_bytes(length) as usize;
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&head[5..]);
        if length > MAX_FRAME_BYTES {
            return Ok(End::BrokenAt(at));
        }
        payload.resize(length, 0);
        let whole = read_some(&mut file, &mut payload)? == length
            && hash(u64::from(head[0]), &payload) == u64::from_le_bytes(checksum);
        let kind = match head[0] {
            1 => Kind::Entries,
            2 => Kind::Version,
            3 => Kind::Rows,
            4 => Kind::Untrusted,
            _ => return Ok(End::BrokenAt(at)),
        };
        if !whole {
            return Ok(End::BrokenAt(at));
        }
        each(kind, &payload)?;
        at += (FRAME_HEAD + length) as u64;
    }
}

/// The payload of a frame of rows, from rows in any order.
pub(super) fn rows_payload(rows: &mut Vec<u32>) -> Vec<u8> {
    rows.sort_unstable();
    rows.dedup();
    let mut payload = Vec::new();
    let mut end = 0;
    let mut rest = &rows[..];
    while let Some(first) = rest.first() {
        let count = (*first..)
            .zip(rest)
            .take_while(|(wanted, row)| wanted == *row)
            .count();
        // Rows in no order are mostly alone, so the lowest bit says whether a count follows.
        let gap = u64::from(*first - end);
        key::write_number(gap << 1 | u64::from(count > 1), &mut payload);
        if count > 1 {
            key::write_number(count as u64, &mut payload);
        }
        end = first.saturating_add(count as u32);
        rest = &rest[count..];
    }
    rows.clear();
    payload
}

/// The rows of such a payload.
pub(super) fn rows(mut payload: &[u8], mut each: impl FnMut(u32)) -> io::Result<()> {
    let mut end = 0_u64;
    while !payload.is_empty() {
        let gap = key::read_number(&mut payload).ok_or_else(damaged)?;
        let count = match gap & 1 {
            0 => 1,
            _ => key::read_number(&mut payload).ok_or_else(damaged)?,
        };
        let first = end.saturating_add(gap >> 1);
        end = first.saturating_add(count);
        if end > u64::from(u32::MAX) {
            return Err(damaged());
        }
        (first..end).for_each(|row| each(row as u32));
    }
    Ok(())
}

/// The version of a frame that names one.
pub(super) fn version(payload: &[u8]) -> io::Result<i64> {
    let bytes = payload.try_into().map_err(|_| damaged())?;
    Ok(i64::from_le_bytes(bytes))
}

fn header_of(file: &mut impl Read) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    if read_some(file, &mut bytes)? != HEADER_BYTES || &bytes[..16] != MAGIC {
        return Err(damaged());
    }
    let number = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    if number(56) != hash(0, &bytes[..56]) {
        return Err(damaged());
    }
    let mut identity = [0; 32];
    identity.copy_from_slice(&bytes[16..48]);
    Ok(Header {
        identity,
        generation: number(48),
    })
}

/// Reads until the buffer is full or the file ends, and says how much there was.
fn read_some(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::tests::Folder;

    const HEADER: Header = Header {
        identity: [9; 32],
        generation: 4,
    };

    fn frames(path: &Path) -> (Vec<(Kind, Vec<u8>)>, End) {
        let mut frames = Vec::new();
        let end = replay(path, |kind, payload| {
            frames.push((kind, payload.to_vec()));
            Ok(())
        })
        .unwrap();
        (frames, end)
    }

    #[test]
    fn a_cut_journal_keeps_what_stands_before_the_cut_and_goes_on_from_there() {
        let folder = Folder::new();
        let path = folder.path("a.journal");
        let mut journal = Journal::create(&path, &HEADER).unwrap();
        journal.append(Kind::Version, &7_i64.to_le_bytes()).unwrap();
        let before = std::fs::metadata(&path).unwrap().len();
        journal.append(Kind::Entries, b"some entries").unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(read_header(&path).unwrap(), HEADER);
        assert_eq!(frames(&path).1, End::Whole);
        for length in before as usize + 1..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (kept, end) = frames(&path);
            assert_eq!((kept.len(), end), (1, End::BrokenAt(before)));
            let mut journal = Journal::open(&path, end).unwrap();
            journal.append(Kind::Untrusted, b"").unwrap();
            let (kept, end) = frames(&path);
            assert_eq!((kept[1].0, end), (Kind::Untrusted, End::Whole));
        }
        for at in before as usize..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(frames(&path).0.len(), 1, "byte {at}");
        }
        for length in 0..HEADER_BYTES {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read_header(&path).is_err());
        }
    }

    #[test]
    fn rows_are_stored_as_ranges() {
        let mut unordered = vec![5, 1, 2, 3, 9, 2, 70_000];
        let payload = rows_payload(&mut unordered);
        assert_eq!(payload.len(), 7);
        let mut read = Vec::new();
        rows(&payload, |row| read.push(row)).unwrap();
        assert_eq!(read, [1, 2, 3, 5, 9, 70_000]);
    }
}
