//! The lines of a rejects file: read one by one, taken apart as far as they are of our shape. A foreign
//! target may have written anything, and a killed one half a line.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use singer_core::{Result, pattern};

use super::Chosen;
use crate::history::keys;
use crate::session::Session;
use crate::store::Pieces;

/// A rejected record, as far as its line says; see the contract, section 5.
#[derive(Debug, Deserialize)]
pub(super) struct Reject<'a> {
    #[serde(borrow)]
    pub(super) stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) record: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read_words")]
    pub(super) reason: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "read_words")]
    pub(super) code: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "read_count")]
    pub(super) attempts: Option<u64>,
    #[serde(borrow, default, deserialize_with = "read_words")]
    pub(super) at: Option<Cow<'a, str>>,
}

/// A text, or a number or the like as it is written: foreign targets give codes as numbers. What has
/// parts tells nothing, and must not make the record unreadable.
fn read_words<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    let Some(raw) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(None);
    };
    Ok(match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get())
            .ok()
            .map(Cow::Owned),
        Some(b'{' | b'[') | None => None,
        Some(_) => Some(Cow::Borrowed(raw.get())),
    })
}

/// A count, if it is one.
fn read_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(read_words(deserializer)?.and_then(|words| words.parse().ok()))
}

impl<'a> Reject<'a> {
    /// Takes a line apart; `None` if it is no JSON object with texts where texts are due.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Whether a target can be given it: a stream and an object.
    pub(super) fn is_replayable(&self) -> bool {
        self.stream.is_some()
            && self
                .record
                .is_some_and(|record| record.get().starts_with('{'))
    }

    /// When it was refused.
    pub(super) fn at(&self) -> Option<DateTime<Utc>> {
        let at = DateTime::parse_from_rfc3339(self.at.as_deref()?).ok()?;
        Some(at.to_utc())
    }
}

/// The lines of a run's rejects.
pub(crate) struct Lines {
    pieces: Pieces,
    buffer: BytesMut,
    /// Up to here the buffer has no line end.
    searched: usize,
}

impl Lines {
    /// Opens a file of a run; `None` if there is none.
    pub(crate) async fn open(
        session: &Session,
        pipeline: &str,
        run: &str,
        name: &str,
    ) -> Result<Option<Self>> {
        let key = keys::of_run(pipeline, run, name);
        let pieces = session.store.read(&key).await?;
        Ok(pieces.map(Self::new))
    }

    fn new(pieces: Pieces) -> Self {
        Self {
            pieces,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line without its end; blank lines are passed over. The last one may lack its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unsearched) {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line.freeze()));
                }
                continue;
            }
            self.searched = self.buffer.len();
            match self.pieces.try_next().await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => {
                    self.searched = 0;
                    let rest = self.buffer.split();
                    let is_line = !rest.trim_ascii().is_empty();
                    return Ok(is_line.then(|| rest.freeze()));
                }
            }
        }
    }
}

/// Which lines of a file are meant.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    stream: Option<String>,
    /// Refused before this time.
    before: Option<DateTime<Utc>>,
    lines: Which,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Which {
    #[default]
    All,
    Replayable,
}

impl Filter {
    /// All that are chosen.
    pub(super) fn chosen(chosen: &Chosen) -> Self {
        Self {
            stream: chosen.stream.clone(),
            ..Self::default()
        }
    }

    /// Of those, what a target can be given.
    pub(super) fn replayable(stream: Option<String>) -> Self {
        Self {
            stream,
            lines: Which::Replayable,
            ..Self::default()
        }
    }

    /// Of those, what was refused before a time.
    pub(super) fn before(self, before: Option<DateTime<Utc>>) -> Self {
        Self { before, ..self }
    }

    /// Whether a line is meant. One that cannot be read is, unless something is asked of what it says;
    /// `run_at` is when its run started, for those that do not say when they were refused.
    pub(super) fn takes(&self, line: &[u8], run_at: Option<DateTime<Utc>>) -> bool {
        let reject = Reject::parse(line);
        let stream = reject.as_ref().and_then(|reject| reject.stream.as_deref());
        let at = reject.as_ref().and_then(Reject::at).or(run_at);
        let is_stream = |glob: &String| stream.is_some_and(|name| pattern::is_match(glob, name));
        self.stream.as_ref().is_none_or(is_stream)
            && self
                .before
                .is_none_or(|before| at.is_some_and(|at| at < before))
            && (self.lines == Which::All
                || reject.as_ref().is_some_and(|reject| reject.is_replayable()))
    }
}

/// Counts the lines of pieces; blank ones do not count, a last one without an end does.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    lines: u64,
    has_text: bool,
}

impl Counter {
    /// Looks at the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            let is_line = self.has_text || !line.trim_ascii().is_empty();
            self.lines += u64::from(is_line);
            self.has_text = false;
            rest = after.get(1..).unwrap_or_default();
        }
        self.has_text |= !rest.trim_ascii().is_empty();
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> u64 {
        self.lines + u64::from(self.has_text)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[test]
    fn a_code_may_be_a_number_and_nothing_odd_makes_a_record_unreadable() {
        let line = br#"{"stream":"a","record":{"id":1},"reason":["x"],"code":429,"attempts":"x","at":null}"#;
        let reject = Reject::parse(line).unwrap();
        assert!(reject.is_replayable());
        assert_eq!(reject.code.as_deref(), Some("429"));
        assert_eq!(
            (reject.reason, reject.attempts, reject.at),
            (None, None, None)
        );
        let line = br#"{"stream":"a","record":{"id":1},"reason":"no \"such\" id","code":"missing","attempts":3}"#;
        let reject = Reject::parse(line).unwrap();
        assert_eq!(reject.reason.as_deref(), Some("no \"such\" id"));
        assert_eq!(reject.attempts, Some(3));
    }

    fn pieces(pieces: &[&'static str]) -> Pieces {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        stream::iter(pieces).boxed()
    }

    #[tokio::test]
    async fn lines_are_whole_wherever_the_pieces_are_cut() {
        let mut lines = Lines::new(pieces(&[
            "{\"a\"",
            ":1}\n\n",
            " \n{\"b\":2}\n{\"c",
            "\":3}",
        ]));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(found, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
    }

    #[test]
    fn lines_are_counted_wherever_the_pieces_are_cut() {
        let mut counter = Counter::default();
        for piece in ["{}", "\n", "\n  \n{", "}\n{}"] {
            counter.push(piece.as_bytes());
        }
        assert_eq!(counter.lines(), 3);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_meant_only_where_nothing_is_asked_of_it() {
        let torn = b"{\"stream\":\"a\",\"rec";
        assert!(Filter::default().takes(torn, None));
        assert!(!Filter::replayable(None).takes(torn, None));
        let streams = Chosen {
            stream: Some("a*".to_owned()),
            run: None,
        };
        let filter = Filter::chosen(&streams);
        assert!(!filter.takes(torn, None));
        assert!(filter.takes(br#"{"stream":"ab"}"#, None));
        assert!(!filter.takes(br#"{"stream":"b"}"#, None));
        assert!(!Filter::replayable(None).takes(br#"{"stream":"ab"}"#, None));
        assert!(Filter::replayable(None).takes(br#"{"stream":"ab","record":{}}"#, None));
    }

    #[test]
    fn a_line_is_as_old_as_it_says_or_as_its_run() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let filter = Filter::default().before(Some(at("2026-01-02T00:00:00Z")));
        assert!(filter.takes(br#"{"at":"2026-01-01T00:00:00Z"}"#, None));
        assert!(!filter.takes(br#"{"at":"2026-01-03T00:00:00Z"}"#, None));
        assert!(!filter.takes(b"{}", None));
        assert!(filter.takes(b"{}", Some(at("2026-01-01T00:00:00Z"))));
    }
}
