//! The bytes of one entry, inflated within the bounds and compared with what the directory says of them.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use singer_core::{Error, Result};

use super::{Bounds, cut_off};

/// What the directory says of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) size: u64,
    pub(super) checksum: u32,
}

/// The zipped bytes, by the method by which they were zipped.
pub(super) enum Body {
    Stored(Take<File>),
    /// In a box, since its state is large.
    Deflated(Box<DeflateDecoder<BufReader<Take<File>>>>),
}

impl Body {
    pub(super) fn deflated(bytes: BufReader<Take<File>>) -> Self {
        Self::Deflated(Box::new(DeflateDecoder::new(bytes)))
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(bytes) => bytes.read(out),
            Self::Deflated(bytes) => bytes.read(out),
        }
    }

    /// How many zipped bytes went into the `unzipped` ones that came out so far.
    fn zipped(&self, unzipped: u64) -> u64 {
        match self {
            Self::Stored(_) => unzipped,
            Self::Deflated(bytes) => bytes.total_in(),
        }
    }
}

/// Reads an entry. Its end comes only after length and checksum turned out right; after an error there is
/// no end at all.
pub(super) struct Entry {
    body: Body,
    expected: Expected,
    bounds: Bounds,
    unzipped: u64,
    checksum: Crc,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    Reading,
    Complete,
    Failed,
}

impl Entry {
    pub(super) fn new(body: Body, expected: Expected, bounds: Bounds) -> Self {
        Self {
            body,
            expected,
            bounds,
            unzipped: 0,
            checksum: Crc::new(),
            progress: Progress::Reading,
        }
    }

    /// Accounts for bytes that came out; none means the end.
    fn check(&mut self, bytes: &[u8]) -> Result<()> {
        self.unzipped += bytes.len() as u64;
        let size = self.expected.size;
        if self.unzipped > size {
            return Err(Error::protocol(format!(
                "the archive is damaged: its file has more than the {size} bytes of the directory"
            )));
        }
        let zipped = self.body.zipped(self.unzipped);
        self.bounds.check(self.unzipped, zipped)?;
        self.checksum.update(bytes);
        if !bytes.is_empty() {
            return Ok(());
        }
        if self.unzipped < size {
            return Err(cut_off());
        }
        if self.checksum.sum() != self.expected.checksum {
            return Err(Error::protocol(
                "the archive is damaged: its checksum does not match",
            ));
        }
        self.progress = Progress::Complete;
        Ok(())
    }
}

impl Read for Entry {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.progress {
            Progress::Complete => return Ok(0),
            Progress::Failed => return Err(io::Error::other(cannot_go_on())),
            Progress::Reading if out.is_empty() => return Ok(0),
            Progress::Reading => {}
        }
        let read = match self.body.read(out) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.progress = Progress::Failed;
                return Err(broken(error));
            }
        };
        let checked = self.check(out.get(..read).unwrap_or_default());
        if let Err(error) = checked {
            self.progress = Progress::Failed;
            return Err(io::Error::other(error));
        }
        Ok(read)
    }
}

/// What an error of reading or inflating means.
fn broken(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            let ours = Error::protocol("the archive is damaged: its bytes cannot be inflated");
            io::Error::other(ours.with_source(error))
        }
        ErrorKind::UnexpectedEof => io::Error::other(cut_off()),
        _ => error,
    }
}

fn cannot_go_on() -> Error {
    Error::protocol("the archive cannot be read any more")
}
