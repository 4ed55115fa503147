//! What passes: records and bytes of each stream, and the fingerprint of its SCHEMA.
//!
//! A RECORD is looked at only as far as its stream: nothing in here says whether a message is good,
//! and whatever is no message is nobody's record. Of a key that stands twice in one message the first
//! counts.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use singer_core::line::{self, Line};
use singer_core::scan::{self, Fields, ValueKind};
use singer_core::schema::fingerprint;
use singer_runtime::report::Stream;

/// A line of which so much has come without its end is looked at, so that it need not be held.
const LOOK_AFTER: usize = 256 * 1024;
/// What is held of a line at most: no target takes a longer one.
const MOST_HELD: usize = 100 * 1024 * 1024;

/// Counts the messages in a sequence of blocks.
#[derive(Debug, Default)]
pub(super) struct Tally {
    streams: Vec<Counted>,
    by_name: HashMap<String, usize>,
    /// The stream of the last record as its message has it, still escaped: the next is most likely of it.
    last: Option<(Vec<u8>, usize)>,
    begun: Begun,
    /// The first line has passed.
    is_past_first: bool,
    fields: Fields,
}

/// The line whose end has not come.
#[derive(Debug, Default)]
struct Begun {
    bytes: Vec<u8>,
    length: u64,
    /// It is a record of this stream: its bytes are not held.
    stream: Option<usize>,
}

#[derive(Debug, Default)]
struct Counted {
    name: String,
    records: u64,
    bytes: u64,
    batches: u64,
    /// Of the text of the SCHEMA: some taps repeat it all the time.
    schema_hash: Option<u64>,
    schema: Option<String>,
}

impl Tally {
    /// Takes a block in.
    pub(super) fn take(&mut self, block: &[u8]) {
        let mut rest = block;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (piece, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.begun.length == 0 {
                self.line(piece, 1);
            } else {
                self.begin(piece);
                self.end_begun(1);
            }
        }
        if !rest.is_empty() {
            self.begin(rest);
        }
    }

    /// Nothing follows: the last line may have no end.
    pub(super) fn end(&mut self) {
        if self.begun.length > 0 {
            self.end_begun(0);
        }
    }

    /// What was counted so far, as a report has it.
    pub(super) fn streams(&self) -> impl Iterator<Item = Stream> {
        self.streams.iter().map(|counted| Stream {
            stream: counted.name.clone(),
            records: counted.records,
            bytes: counted.bytes,
            batches: counted.batches,
            schema: counted.schema.clone(),
            ..Stream::default()
        })
    }

    fn begin(&mut self, piece: &[u8]) {
        self.begun.length += piece.len() as u64;
        if self.begun.stream.is_some() {
            return;
        }
        let room = MOST_HELD.saturating_sub(self.begun.bytes.len());
        let before = self.begun.bytes.len();
        self.begun
            .bytes
            .extend_from_slice(&piece[..piece.len().min(room)]);
        if before < LOOK_AFTER && self.begun.bytes.len() >= LOOK_AFTER {
            let bytes = std::mem::take(&mut self.begun.bytes);
            self.begun.stream = record_stream(self.without_mark(&bytes)).map(|it| self.raw(it));
            if self.begun.stream.is_none() {
                self.begun.bytes = bytes;
            }
        }
    }

    fn end_begun(&mut self, line_end: u64) {
        let mut begun = std::mem::take(&mut self.begun);
        match begun.stream {
            Some(stream) => {
                self.is_past_first = true;
                self.record(stream, begun.length + line_end);
            }
            None => self.line(&begun.bytes, line_end),
        }
        // The next half of a line goes to the same memory, unless this one was of a rare size.
        if begun.bytes.capacity() <= 2 * LOOK_AFTER {
            begun.bytes.clear();
            self.begun.bytes = begun.bytes;
        }
    }

    /// The first line may have a byte order mark before it.
    fn without_mark<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.is_past_first => rest,
            _ => line,
        }
    }

    fn line(&mut self, line: &[u8], line_end: u64) {
        let length = line.len() as u64 + line_end;
        let line = self.without_mark(line);
        self.is_past_first = true;
        if let Some(stream) = record_stream(line) {
            let stream = self.raw(stream);
            self.record(stream, length);
            return;
        }
        let mut fields = std::mem::take(&mut self.fields);
        match line::parse(line, &mut fields, |_| None) {
            Ok(Line::Record(record)) => {
                let stream = self.named(&record.stream);
                self.record(stream, length);
            }
            Ok(Line::Batch { stream, .. }) => {
                let stream = self.named(&stream);
                self.streams[stream].batches += 1;
            }
            Ok(Line::Schema { stream, schema, .. }) => {
                let stream = self.named(&stream);
                self.streams[stream].note_schema(schema);
            }
            // States and versions are not counted, and garbage is for the target to refuse.
            Ok(_) | Err(_) => {}
        }
        self.fields = fields;
    }

    fn record(&mut self, stream: usize, length: u64) {
        let counted = &mut self.streams[stream];
        counted.records += 1;
        counted.bytes += length;
    }

    /// A stream by its name as the message has it.
    fn raw(&mut self, raw: &[u8]) -> usize {
        if let Some((last, stream)) = &self.last
            && last == raw
        {
            return *stream;
        }
        let stream = self.named(&scan::unescape_lossy(raw));
        self.last = Some((raw.to_vec(), stream));
        stream
    }

    fn named(&mut self, name: &str) -> usize {
        if let Some(stream) = self.by_name.get(name) {
            return *stream;
        }
        self.streams.push(Counted {
            name: name.to_owned(),
            ..Counted::default()
        });
        self.by_name.insert(name.to_owned(), self.streams.len() - 1);
        self.streams.len() - 1
    }
}

impl Counted {
    fn note_schema(&mut self, schema: &str) {
        let mut hasher = DefaultHasher::new();
        schema.hash(&mut hasher);
        let hash = hasher.finish();
        if self.schema_hash != Some(hash) {
            self.schema_hash = Some(hash);
            self.schema = fingerprint(schema);
        }
    }
}

/// The stream, still escaped, of a RECORD whose `type` and `stream` stand before everything that is nested, as
/// nearly every tap writes them. `None` says that only a whole look can tell.
fn record_stream(line: &[u8]) -> Option<&[u8]> {
    let (mut is_record, mut stream) = (false, None);
    let mut at = scan::skip_space(line, 0);
    if line.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        at = scan::skip_space(line, at + 1);
        let (key, end) = plain_string(line, at)?;
        at = scan::skip_space(line, end);
        if line.get(at) != Some(&b':') {
            return None;
        }
        at = scan::skip_space(line, at + 1);
        let end = match key {
            b"type" => {
                let (kind, end) = plain_string(line, at)?;
                is_record = kind.eq_ignore_ascii_case(b"RECORD");
                if !is_record {
                    return None;
                }
                end
            }
            _ if matches!(line.get(at), Some(b'{' | b'[')) => return None,
            _ => {
                let value = scan::scan_value(line, at, 1).ok()?;
                if key == b"stream" {
                    if value.kind != ValueKind::String {
                        return None;
                    }
                    stream = line.get(value.start + 1..value.end - 1);
                }
                value.end
            }
        };
        if let (true, Some(stream)) = (is_record, stream) {
            return Some(stream);
        }
        at = scan::skip_space(line, end);
        if line.get(at) != Some(&b',') {
            return None;
        }
    }
}

/// A string without escapes, and where it ends.
fn plain_string(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = line.get(at..)?.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', rest)?;
    (rest[end] == b'"').then_some((&rest[..end], at + end + 2))
}

#[cfg(test)]
mod tests;
