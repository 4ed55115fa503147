//! A journal of events on disk, one for each table: lines with a number and a checksum, in segments of some
//! megabytes. A line counts once it is synced; what a crash left half written is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};

use super::event::Event;

/// A segment that is longer is followed by a new one.
const SEGMENT_BYTES: u64 = 4 << 20;

/// How much of a segment is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// No line is longer: a body has at most a megabyte.
const MAX_LINE_BYTES: usize = 4 << 20;

/// The end of the journal of one table.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    file: File,
    /// Bytes of the segment that hold whole lines.
    length: u64,
    /// The number of the next line.
    next: u64,
    /// A write failed and what it left could not be cut off.
    is_broken: bool,
    /// Nobody else writes into this folder while it is locked.
    _lock: File,
}

impl Writer {
    /// Opens the journal in a folder, and makes it if it is not there. Lines are numbered from beyond `position`,
    /// which a state covers, also if the files of then are gone.
    ///
    /// # Errors
    /// Of kind `Config` if another process uses it, `Internal` if a file cannot be used.
    pub(super) fn open(folder: &Path, position: u64) -> Result<Self> {
        let failed = |error| fault(folder, error);
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = options().open(folder.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| {
            Error::config(format!("the journal `{}` is in use", folder.display()))
                .with_source(io::Error::from(error))
                .with_hint(
                    "only one process may listen with the same `journal_path`, project and table",
                )
        })?;
        let last = segments(folder).map_err(failed)?.pop();
        let (path, first) = match last {
            Some(first) => (segment_path(folder, first), first),
            None => (segment_path(folder, position + 1), position + 1),
        };
        let mut file = options().open(&path).map_err(failed)?;
        let (length, count) = whole_lines(&mut file, first).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if length < bytes {
            tracing::warn!(
                journal = %path.display(),
                bytes = bytes - length,
                "what was half written when a process died is cut off; it was never answered"
            );
            file.set_len(length).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        let mut writer = Self {
            folder: folder.to_owned(),
            file,
            length,
            next: first + count,
            is_broken: false,
            _lock: lock,
        };
        if writer.next <= position {
            // The files are older than the state: numbers that it covers are not given out again.
            writer.next = position + 1;
            writer.begin_segment().map_err(failed)?;
        }
        Ok(writer)
    }

    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// Appends lines; they count once [`Writer::sync`] has returned. If it fails, none of them is there.
    ///
    /// # Errors
    /// Of kind `Internal`.
    pub(super) fn append(&mut self, payloads: &[Vec<u8>]) -> Result<()> {
        if self.is_broken {
            return Err(Error::internal(format!(
                "the journal `{}` cannot be written any more",
                self.folder.display()
            )));
        }
        if self.length >= SEGMENT_BYTES {
            self.begin_segment()
                .map_err(|error| fault(&self.folder, error))?;
        }
        let mut lines = Vec::new();
        for (payload, number) in payloads.iter().zip(self.next..) {
            write_line(&mut lines, number, payload);
        }
        if let Err(error) = self.file.write_all(&lines) {
            self.cut();
            return Err(fault(&self.folder, error));
        }
        self.length += lines.len() as u64;
        self.next += payloads.len() as u64;
        Ok(())
    }

    /// Sees to it that the lines survive a crash.
    ///
    /// # Errors
    /// Of kind `Internal`; nothing can be appended after that, as nobody knows what is on disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|error| {
            self.is_broken = true;
            fault(&self.folder, error)
        })
    }

    fn cut(&mut self) {
        let cut = self.file.set_len(self.length);
        let sought = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        self.is_broken = sought.is_err();
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.file = options().open(segment_path(&self.folder, self.next))?;
        self.length = 0;
        sync_folder(&self.folder)
    }
}

/// Removes the segments whose lines are all covered by a state. The last one stays, so that numbers go on.
///
/// # Errors
/// Of kind `Internal`.
pub(super) fn confirm(folder: &Path, position: u64) -> Result<()> {
    let failed = |error| fault(folder, error);
    let segments = segments(folder).map_err(failed)?;
    for pair in segments.windows(2) {
        if let [first, next] = pair
            && *next <= position + 1
        {
            fs::remove_file(segment_path(folder, *first)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Reads a journal from a position on.
#[derive(Debug)]
pub(super) struct Tail {
    folder: PathBuf,
    /// The segment that is read, by its first number, and how far.
    at: Option<(u64, u64)>,
    /// The next line that is wanted.
    next: u64,
}

impl Tail {
    /// Reads the lines after `position`.
    pub(super) fn new(folder: &Path, position: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            at: None,
            next: position + 1,
        }
    }

    /// The next lines up to the number `last`, which are on disk. Empty if there are none.
    ///
    /// # Errors
    /// Of kind `Internal` if a file cannot be read or is damaged.
    pub(super) fn read(&mut self, last: u64) -> Result<Vec<(u64, Event)>> {
        while self.next <= last {
            let (first, offset) = match self.at {
                Some(at) => at,
                None => (self.segment_of_next()?, 0),
            };
            let chunk = self.chunk(first, offset)?;
            let used = memchr::memrchr(b'\n', &chunk).map_or(0, |end| end + 1);
            if used == 0 {
                // The segment ends here, and the line is in the one after it.
                let segments =
                    segments(&self.folder).map_err(|error| fault(&self.folder, error))?;
                let after = segments.into_iter().find(|segment| *segment > first);
                self.at = Some((after.ok_or_else(|| self.damaged(first))?, 0));
                continue;
            }
            let mut read = Vec::new();
            let mut taken = 0;
            for line in chunk
                .get(..used)
                .unwrap_or_default()
                .split_inclusive(|byte| *byte == b'\n')
            {
                // What is behind may be half written, or be cut off again.
                if self.next > last {
                    break;
                }
                let (number, event) = parse_line(line).ok_or_else(|| self.damaged(first))?;
                taken += line.len();
                if number >= self.next {
                    self.next = number + 1;
                    read.push((number, event));
                }
            }
            self.at = Some((first, offset + taken as u64));
            if !read.is_empty() {
                return Ok(read);
            }
        }
        Ok(Vec::new())
    }

    /// The segment that has the next line, or else the first one after it.
    fn segment_of_next(&self) -> Result<u64> {
        let segments = segments(&self.folder).map_err(|error| fault(&self.folder, error))?;
        let before = segments.iter().rev().find(|first| **first <= self.next);
        before.or(segments.first()).copied().ok_or_else(|| {
            Error::internal(format!("the journal `{}` is gone", self.folder.display()))
        })
    }

    /// Bytes of a segment from an offset on, with a whole line at least if there is one.
    fn chunk(&self, first: u64, offset: u64) -> Result<Vec<u8>> {
        let failed = |error| fault(&self.folder, error);
        let mut file = File::open(segment_path(&self.folder, first)).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut chunk = Vec::new();
        let mut most = CHUNK_BYTES;
        loop {
            let rest = (most - chunk.len()) as u64;
            let read = (&mut file)
                .take(rest)
                .read_to_end(&mut chunk)
                .map_err(failed)?;
            let is_end = (read as u64) < rest;
            if is_end || chunk.contains(&b'\n') {
                return Ok(chunk);
            }
            if most >= MAX_LINE_BYTES {
                return Err(self.damaged(first));
            }
            most *= 2;
        }
    }

    fn damaged(&self, first: u64) -> Error {
        Error::internal(format!(
            "the journal `{}` is damaged",
            segment_path(&self.folder, first).display()
        ))
        .with_hint("move it away and sync the table: a pull reads what its events were about")
    }
}

/// The payload of an event: one line.
pub(super) fn payload(event: &Event) -> Result<Vec<u8>> {
    let mut payload = serde_json::to_vec(event)
        .map_err(|error| Error::internal("cannot write an event").with_source(error))?;
    for byte in &mut payload {
        // JSON has line ends between its tokens alone, where any white space will do.
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(payload)
}

/// `checksum number payload`
fn write_line(out: &mut Vec<u8>, number: u64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    let covered = out.len();
    out.extend_from_slice(number.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(payload);
    let checksum = checksum(out.get(covered..).unwrap_or_default());
    let text = format!("{checksum:08x}");
    if let Some(place) = out.get_mut(start..start + 8) {
        place.copy_from_slice(text.as_bytes());
    }
    out.push(b'\n');
}

/// The number and the payload of a line that is whole.
fn split_line(line: &[u8]) -> Option<(u64, &[u8])> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(8)?;
    let covered = rest.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    if checksum(covered) != sum {
        return None;
    }
    let blank = memchr::memchr(b' ', covered)?;
    let (number, payload) = covered.split_at_checked(blank)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, payload.get(1..)?))
}

fn parse_line(line: &[u8]) -> Option<(u64, Event)> {
    let (number, payload) = split_line(line)?;
    Some((number, serde_json::from_slice(payload).ok()?))
}

/// CRC-32 as in ZIP, a nibble at a time: events are few.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

/// How many bytes of a segment are whole lines, numbered from `first` on, and how many lines.
fn whole_lines(file: &mut File, first: u64) -> io::Result<(u64, u64)> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let (mut length, mut count) = (0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match split_line(line) {
            Some((number, _)) if number == first + count => {
                length += line.len() as u64;
                count += 1;
            }
            _ => break,
        }
    }
    Ok((length, count))
}

/// The segments by their first numbers, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".events"));
        segments.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    segments.sort_unstable();
    Ok(segments)
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.events"))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn fault(folder: &Path, error: io::Error) -> Error {
    Error::internal(format!("cannot use the journal `{}`", folder.display())).with_source(error)
}

#[cfg(test)]
mod tests;
