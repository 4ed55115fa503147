//! The threads that change records: each takes a piece of the input, whole lines, and hands back what it
//! becomes. Lines that nobody changes are copied as they are, many at once.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use memchr::memchr;
use singer_core::line::{self, Line, RecordLine};
use singer_core::scan::{self, Fields, ValueKind};
use singer_core::value::write_string;
use singer_core::{Error, Result};
use tokio::sync::oneshot;

use super::{Failure, Map, Outputs, Then};

/// The streams whose records are changed, as the SCHEMA messages up to some line say.
pub(super) type Streams<M> = HashMap<Box<str>, Arc<Known<M>>>;

/// A stream whose records are changed.
pub(super) struct Known<M: Map> {
    pub(super) stream: M::Stream,
    /// The key before the change, for rejects.
    pub(super) key_properties: Vec<String>,
}

/// A piece of the input.
pub(super) struct Piece<M: Map> {
    /// One line that began in an earlier block, or nothing.
    pub(super) head: Vec<u8>,
    pub(super) block: Arc<Vec<u8>>,
    /// Whole lines of the block.
    pub(super) range: Range<usize>,
    /// Where its first line stands.
    pub(super) place: Place,
    pub(super) streams: Arc<Streams<M>>,
}

/// Where a line stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The batch file that the lines are from, in words.
    pub(super) file: Option<Arc<str>>,
    pub(super) line: u64,
}

impl Place {
    fn words(&self, line: u64) -> String {
        match &self.file {
            Some(file) => format!("{file}, line {line}"),
            None => format!("line {line}"),
        }
    }
}

/// A piece and where its result goes.
pub(super) type Work<M> = (Piece<M>, oneshot::Sender<Done>);

/// What a piece became.
#[derive(Default)]
pub(super) struct Done {
    pub(super) out: Out,
    pub(super) tallies: Vec<(Box<str>, Tally)>,
    pub(super) refused: Vec<Refused>,
    /// What stops the run; what stands before it was done.
    pub(super) error: Option<Error>,
}

/// The bytes that a piece became.
pub(super) enum Out {
    /// These.
    New(Vec<u8>),
    /// The same as before.
    Same {
        head: Vec<u8>,
        block: Arc<Vec<u8>>,
        range: Range<usize>,
    },
}

impl Default for Out {
    fn default() -> Self {
        Self::New(Vec::new())
    }
}

/// What is counted of a stream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) bytes: u64,
}

/// A record that could not be changed, and did not stop the run.
pub(super) struct Refused {
    pub(super) stream: Box<str>,
    pub(super) line: u64,
    pub(super) place: String,
    pub(super) reason: String,
    /// What goes to the rejects file; nothing if the record passed.
    pub(super) reject: Option<Reject>,
}

/// A record for the rejects file, as it came.
pub(super) struct Reject {
    pub(super) key: Vec<u8>,
    pub(super) record: Vec<u8>,
}

/// Shows since when a thread is at work on one record, to whoever watches over endless work.
#[derive(Debug)]
pub(super) struct Pulse {
    base: Instant,
    /// Microseconds since the base plus one; zero while no record is being changed.
    since: AtomicU64,
    line: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            base: Instant::now(),
            since: AtomicU64::new(0),
            line: AtomicU64::new(0),
        }
    }

    fn begin(&self, started: Instant, line: u64) {
        let since = started.saturating_duration_since(self.base).as_micros() as u64;
        self.line.store(line, Ordering::Relaxed);
        self.since.store(since + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// The line of a record that takes longer than this.
    pub(super) fn stuck(&self, limit: Duration) -> Option<u64> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        let now = self.base.elapsed().as_micros() as u64;
        let is_late = now.saturating_sub(since) > limit.as_micros() as u64;
        is_late.then(|| self.line.load(Ordering::Relaxed))
    }
}

/// One thread's state.
pub(super) struct Worker<M: Map> {
    map: Arc<M>,
    own: M::Worker,
    fields: Fields,
    pulse: Arc<Pulse>,
}

/// What becomes of a line.
enum Fate {
    Same,
    /// What was appended to the output stands for it.
    Changed,
}

/// The result of lines while it is being made.
struct Draft<'a> {
    source: &'a [u8],
    /// What stands before this place of the source is in the output.
    done: usize,
    out: Vec<u8>,
    is_changed: bool,
}

impl<'a> Draft<'a> {
    fn of(source: &'a [u8]) -> Self {
        Self {
            source,
            done: 0,
            out: Vec::new(),
            is_changed: false,
        }
    }

    /// Copies what stays as it is up to this place; nothing if that is done already.
    fn copy_to(&mut self, end: usize) {
        if self.out.capacity() == 0 {
            self.out.reserve(self.source.len() + self.source.len() / 8);
        }
        if let Some(rest) = self.source.get(self.done..end) {
            self.out.extend_from_slice(rest);
            self.done = end;
        }
        self.is_changed = true;
    }

    fn finish(mut self) -> Vec<u8> {
        self.copy_to(self.source.len());
        self.out
    }
}

/// What is noted of a piece beside its bytes.
#[derive(Default)]
struct Notes {
    tallies: Vec<(Box<str>, Tally)>,
    refused: Vec<Refused>,
}

impl Notes {
    fn tally(&mut self, stream: &str) -> &mut Tally {
        // A piece has few streams.
        let known = self.tallies.iter().position(|(name, _)| **name == *stream);
        let index = known.unwrap_or_else(|| {
            self.tallies.push((stream.into(), Tally::default()));
            self.tallies.len() - 1
        });
        &mut self.tallies[index].1
    }
}

impl<M: Map> Worker<M> {
    pub(super) fn new(map: Arc<M>, pulse: Arc<Pulse>) -> Self {
        Self {
            own: map.worker(),
            map,
            fields: Fields::default(),
            pulse,
        }
    }

    /// Works until there are no more pieces.
    pub(super) fn run(mut self, pieces: &Mutex<Receiver<Work<M>>>) {
        loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((piece, reply)) = next else {
                return;
            };
            let done = catch_unwind(AssertUnwindSafe(|| self.piece(piece)));
            let done = done.unwrap_or_else(|_| self.after_panic());
            // Whoever does not listen any more has failed, and says why itself.
            drop(reply.send(done));
        }
    }

    fn after_panic(&mut self) -> Done {
        self.own = self.map.worker();
        self.pulse.end();
        let line = self.pulse.line.load(Ordering::Relaxed);
        Done {
            error: Some(Error::internal(format!(
                "line {line}: the work on this record panicked"
            ))),
            ..Done::default()
        }
    }

    fn piece(&mut self, piece: Piece<M>) -> Done {
        let mut notes = Notes::default();
        let mut number = piece.place.line;
        let mut head = Draft::of(&piece.head);
        let mut error = self.lines(&piece, &mut head, &mut notes, &mut number);
        let mut body = Draft::of(&piece.block[piece.range.clone()]);
        if error.is_none() {
            error = self.lines(&piece, &mut body, &mut notes, &mut number);
        } else {
            body.source = &[];
        }
        let is_changed = head.is_changed || body.is_changed || error.is_some();
        let out = is_changed.then(|| {
            let mut out = head.finish();
            if out.is_empty() {
                return body.finish();
            }
            out.extend_from_slice(&body.finish());
            out
        });
        let out = match out {
            Some(out) => Out::New(out),
            None => Out::Same {
                head: piece.head,
                block: piece.block,
                range: piece.range,
            },
        };
        Done {
            out,
            tallies: notes.tallies,
            refused: notes.refused,
            error,
        }
    }

    /// Goes through lines up to one that cannot be used; what stands before it is done.
    fn lines(
        &mut self,
        piece: &Piece<M>,
        draft: &mut Draft<'_>,
        notes: &mut Notes,
        number: &mut u64,
    ) -> Option<Error> {
        let source = draft.source;
        let mut at = 0;
        while at < source.len() {
            let end = memchr(b'\n', &source[at..]).map_or(source.len(), |end| at + end + 1);
            let mut line = &source[at..end];
            if *number == 1
                && piece.place.file.is_none()
                && let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf")
            {
                draft.copy_to(at);
                draft.done = end - rest.len();
                line = rest;
            }
            let line = line.trim_ascii();
            let fate = if line.is_empty() {
                draft.copy_to(at);
                Ok(Fate::Changed)
            } else {
                self.line(piece, draft, notes, line, *number)
            };
            match fate {
                Ok(Fate::Same) => {}
                Ok(Fate::Changed) => draft.done = end,
                Err(error) => {
                    draft.copy_to(at);
                    draft.source = &source[..at];
                    return Some(error.at(piece.place.words(*number)));
                }
            }
            at = end;
            *number += 1;
        }
        None
    }

    fn line(
        &mut self,
        piece: &Piece<M>,
        draft: &mut Draft<'_>,
        notes: &mut Notes,
        line: &[u8],
        number: u64,
    ) -> Result<Fate> {
        let parsed = line::parse(line, &mut self.fields, |_| None)?;
        let record = match parsed {
            Line::Record(record) => record,
            Line::Reject(_) => {
                return Err(Error::protocol("the message has no `type`")
                    .with_hint("a rejects file is for its target to replay"));
            }
            _ => return Ok(Fate::Same),
        };
        let Some(known) = piece.streams.get(&*record.stream) else {
            if self.map.changes(&record.stream) {
                return Err(before_schema(&record.stream));
            }
            let tally = notes.tally(&record.stream);
            tally.read += 1;
            tally.written += 1;
            tally.bytes += line.len() as u64 + 1;
            return Ok(Fate::Same);
        };
        let at = line.as_ptr() as usize - draft.source.as_ptr() as usize;
        draft.copy_to(at);
        self.record(piece, draft, notes, known, (line, &record), number)?;
        Ok(Fate::Changed)
    }

    fn record(
        &mut self,
        piece: &Piece<M>,
        draft: &mut Draft<'_>,
        notes: &mut Notes,
        known: &Known<M>,
        (line, record): (&[u8], &RecordLine<'_>),
        number: u64,
    ) -> Result<()> {
        let start = record.record.as_ptr() as usize - line.as_ptr() as usize;
        let (before, rest) = line.split_at(start);
        let after = &rest[record.record.len()..];
        let length = draft.out.len();
        let mut out = Outputs::new(&mut draft.out, before, after);
        let started = Instant::now();
        self.pulse.begin(started, number);
        let own = &mut self.own;
        let result = M::apply(own, &known.stream, record.record, started, &mut out);
        self.pulse.end();
        let mut written = out.count();
        if let Err(failure) = result {
            if failure.then != Then::Pass {
                draft.out.truncate(length);
                written = 0;
            }
            let place = piece.place.words(number);
            let refused = refused(known, record, (number, place), failure)?;
            notes.refused.push(refused);
        }
        let bytes = (draft.out.len() - length) as u64;
        let tally = notes.tally(&record.stream);
        tally.read += 1;
        tally.written += written;
        tally.bytes += bytes;
        Ok(())
    }
}

/// The error of a record whose stream has not said what it looks like.
pub(super) fn before_schema(stream: &str) -> Error {
    Error::protocol(format!("a record of stream `{stream}` before its SCHEMA"))
}

fn refused<M: Map>(
    known: &Known<M>,
    record: &RecordLine<'_>,
    (line, place): (u64, String),
    failure: Failure,
) -> Result<Refused> {
    if failure.then == Then::Stop {
        let error = Error::rejected(format!("stream `{}`: {}", record.stream, failure.reason));
        return Err(failure.hints.into_iter().fold(error, Error::with_hint));
    }
    let reject = (failure.then == Then::Reject).then(|| Reject {
        key: key_of(record.record.as_bytes(), &known.key_properties),
        record: record.record.as_bytes().to_vec(),
    });
    Ok(Refused {
        stream: record.stream.as_ref().into(),
        line,
        place,
        reason: failure.reason,
        reject,
    })
}

/// The key of a record as a JSON object.
fn key_of(record: &[u8], names: &[String]) -> Vec<u8> {
    let mut key = b"{".to_vec();
    let scanned = scan::scan_object(record, 0, 0, |name, value| {
        let name = scan::unescape_lossy(&record[name.0..name.1]);
        if value.kind == ValueKind::NotFinite || !names.iter().any(|known| *known == *name) {
            return;
        }
        if key.len() > 1 {
            key.push(b',');
        }
        write_string(&mut key, &name);
        key.push(b':');
        key.extend_from_slice(&record[value.start..value.end]);
    });
    debug_assert!(scanned.is_ok(), "the record was scanned before");
    key.push(b'}');
    key
}
