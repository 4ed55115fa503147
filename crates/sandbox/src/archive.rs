//! The result of a bulk job: one CSV in a ZIP, and what faults make of it.

use std::borrow::Borrow;
use std::io::{Read, Write};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, FlushCompress};

use crate::faults::ArchiveFault;

/// Text that is squeezed at once.
const CHUNK: usize = 64 << 10;

/// The largest size that the plain form of a ZIP has room for, in megabytes.
const MOST_MEGABYTES: u64 = 4095;

const MEGABYTE: usize = 1 << 20;

/// One file, squeezed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Archive {
    name: String,
    deflated: Vec<u8>,
    crc: u32,
    length: u32,
}

/// Squeezes a file while it is written.
pub(crate) struct Packer {
    name: String,
    encoder: DeflateEncoder<Vec<u8>>,
    crc: Crc,
    pending: String,
}

impl Packer {
    pub(crate) fn new(name: String) -> Packer {
        Packer {
            name,
            encoder: DeflateEncoder::new(Vec::new(), Compression::fast()),
            crc: Crc::new(),
            pending: String::with_capacity(CHUNK * 2),
        }
    }

    /// Adds what the caller appends to the text.
    pub(crate) fn add(&mut self, append: impl FnOnce(&mut String)) {
        append(&mut self.pending);
        if self.pending.len() >= CHUNK {
            self.flush();
        }
    }

    pub(crate) fn finish(mut self) -> Archive {
        self.flush();
        Archive {
            name: self.name,
            crc: self.crc.sum(),
            length: u32::try_from(self.encoder.total_in()).unwrap_or(u32::MAX),
            deflated: self.encoder.finish().expect("memory takes everything"),
        }
    }

    fn flush(&mut self) {
        self.crc.update(self.pending.as_bytes());
        self.encoder
            .write_all(self.pending.as_bytes())
            .expect("memory takes everything");
        self.pending.clear();
    }
}

impl Archive {
    /// How much memory it takes.
    pub(crate) fn size(&self) -> usize {
        self.deflated.len()
    }

    /// The ZIP file.
    pub(crate) fn zip(&self) -> Vec<u8> {
        zip(std::slice::from_ref(self))
    }

    /// The ZIP file as a fault spoils it.
    pub(crate) fn spoiled(&self, fault: ArchiveFault) -> Vec<u8> {
        match fault {
            ArchiveFault::Cut => {
                let mut whole = self.zip();
                whole.truncate(whole.len() / 2);
                whole
            }
            ArchiveFault::Bomb { megabytes } => {
                bomb(&self.name, megabytes.clamp(1, MOST_MEGABYTES)).zip()
            }
            ArchiveFault::Entries { count } => {
                let more = (1..=count).map(|number| {
                    let mut packer = Packer::new(format!("{number}-{}", self.name));
                    packer.add(|text| text.push_str("ROWID\n"));
                    packer.finish()
                });
                let entries: Vec<Archive> = std::iter::once(self.clone()).chain(more).collect();
                zip(&entries)
            }
            ArchiveFault::Cells { row, is_short } => self.with_wrong_row(row, is_short).zip(),
            ArchiveFault::Expired => self.zip(),
        }
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        DeflateDecoder::new(self.deflated.as_slice())
            .read_to_string(&mut text)
            .expect("it was squeezed here");
        text
    }

    /// The same with a cell too many or too few in one row; the header is row 0.
    fn with_wrong_row(&self, row: usize, is_short: bool) -> Archive {
        let text = self.text();
        let mut is_quoted = false;
        let mut rows = 0;
        let mut last_comma = None;
        let mut place = None;
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b',' if !is_quoted => last_comma = Some(at),
                b'\n' if !is_quoted => {
                    if rows == row {
                        place = Some(at);
                        break;
                    }
                    rows += 1;
                }
                _ => {}
            }
        }
        let mut packer = Packer::new(self.name.clone());
        packer.add(|out| match place {
            Some(end) => {
                let end =
                    end - usize::from(text.as_bytes().get(end.wrapping_sub(1)) == Some(&b'\r'));
                let cut = if is_short {
                    last_comma.unwrap_or(end)
                } else {
                    end
                };
                out.push_str(text.get(..cut).unwrap_or_default());
                if !is_short {
                    out.push_str(",surplus");
                }
                out.push_str(text.get(end..).unwrap_or_default());
            }
            None => out.push_str(&text),
        });
        packer.finish()
    }
}

/// A small archive with a file of many megabytes: the same block of commas again and again.
fn bomb(name: &str, megabytes: u64) -> Archive {
    let chunk = ",\n".repeat(MEGABYTE / 2);
    let mut part = Crc::new();
    part.update(chunk.as_bytes());
    // A full flush makes a block that needs nothing of what is before it.
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(MEGABYTE);
    compress
        .compress_vec(chunk.as_bytes(), &mut block, FlushCompress::Full)
        .expect("memory takes everything");
    let mut end = Vec::with_capacity(64);
    Compress::new(Compression::best(), false)
        .compress_vec(&[], &mut end, FlushCompress::Finish)
        .expect("memory takes everything");
    let mut crc = Crc::new();
    let mut deflated = Vec::new();
    for _ in 0..megabytes {
        deflated.extend_from_slice(&block);
        crc.combine(&part);
    }
    deflated.extend_from_slice(&end);
    Archive {
        name: name.to_owned(),
        deflated,
        crc: crc.sum(),
        length: u32::try_from(megabytes << 20).unwrap_or(u32::MAX),
    }
}

/// Writes files as a ZIP: each behind its head, and the directory at the end.
pub(crate) fn zip<Entry: Borrow<Archive>>(entries: &[Entry]) -> Vec<u8> {
    let entries = || entries.iter().map(Borrow::borrow);
    let size: usize = entries().map(|entry| entry.deflated.len() + 256).sum();
    let mut zip = Vec::with_capacity(size);
    let mut directory = Vec::new();
    for entry in entries() {
        let offset = field(zip.len());
        zip.extend_from_slice(b"PK\x03\x04");
        head(&mut zip, entry);
        zip.extend_from_slice(entry.name.as_bytes());
        zip.extend_from_slice(&entry.deflated);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        head(&mut directory, entry);
        // No comment, one disk, no attributes.
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset);
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let count = u16::try_from(entries().count())
        .unwrap_or(u16::MAX)
        .to_le_bytes();
    let begins = field(zip.len());
    zip.extend_from_slice(&directory);
    zip.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    zip.extend_from_slice(&count);
    zip.extend_from_slice(&count);
    zip.extend_from_slice(&field(directory.len()));
    zip.extend_from_slice(&begins);
    zip.extend_from_slice(&[0, 0]);
    zip
}

/// What the head of a file and its line in the directory share: deflated, name in UTF-8, no time.
fn head(out: &mut Vec<u8>, entry: &Archive) {
    out.extend_from_slice(&[0x14, 0x00, 0x00, 0x08, 0x08, 0x00, 0x00, 0x00, 0x21, 0x00]);
    out.extend_from_slice(&entry.crc.to_le_bytes());
    out.extend_from_slice(&field(entry.deflated.len()));
    out.extend_from_slice(&entry.length.to_le_bytes());
    let name = u16::try_from(entry.name.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&name.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
}

fn field(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(text: &str) -> Archive {
        let mut packer = Packer::new("Table-Trips.csv".to_owned());
        packer.add(|out| out.push_str(text));
        packer.finish()
    }

    #[test]
    fn a_zip_has_the_sums_of_its_file() {
        let archive = archive("a,b\n1,2\n");
        assert_eq!(archive.text(), "a,b\n1,2\n");
        let mut crc = Crc::new();
        crc.update(b"a,b\n1,2\n");
        assert_eq!((archive.crc, archive.length), (crc.sum(), 8));
        let zip = archive.zip();
        assert!(zip.starts_with(b"PK\x03\x04"));
        let directory = zip.len() - 22 - 46 - "Table-Trips.csv".len();
        assert!(zip[directory..].starts_with(b"PK\x01\x02"));
        assert_eq!(zip[zip.len() - 6..zip.len() - 2], field(directory));
        assert!(archive.spoiled(ArchiveFault::Cut).len() < zip.len());
    }

    #[test]
    fn a_bomb_is_small_and_has_the_right_sum() {
        let bomb = bomb("x.csv", 3);
        assert!(bomb.deflated.len() < 20_000, "{}", bomb.deflated.len());
        let text = bomb.text();
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        assert_eq!((text.len(), bomb.crc), (3 << 20, crc.sum()));
    }

    #[test]
    fn one_row_gets_a_cell_too_many_or_too_few() {
        let archive = archive("a,b\n1,\"x,\n\"\n3,4\r\n5,6\n");
        let spoiled = |row, is_short| archive.with_wrong_row(row, is_short).text();
        assert_eq!(spoiled(1, false), "a,b\n1,\"x,\n\",surplus\n3,4\r\n5,6\n");
        assert_eq!(spoiled(2, true), "a,b\n1,\"x,\n\"\n3\r\n5,6\n");
        assert_eq!(spoiled(9, true), archive.text());
    }
}
