//! One line of a Singer stream, from its bytes.
//!
//! A RECORD line is walked once: the envelope and the record's fields come out of the same pass when
//! the stream's name stands before the record, as every known tap writes it; otherwise the record is
//! walked a second time. Key order, white space and the case of `type` are free.

use std::borrow::Cow;

use crate::scan::{self, Fields, Layout, ScanError, Span, ValueKind};
use crate::{Error, Result};

/// A line of a Singer stream or of a rejects file. Everything borrows from the line's bytes.
#[derive(Debug)]
pub enum Line<'a> {
    /// A SCHEMA message. Its parts are JSON still to be read: see [`crate::schema::Schema::new`].
    Schema {
        /// The stream.
        stream: Cow<'a, str>,
        /// The JSON schema.
        schema: &'a str,
        /// `key_properties` as JSON; `None` if it is missing.
        key_properties: Option<&'a str>,
        /// `bookmark_properties` as JSON; `None` if it is missing.
        bookmark_properties: Option<&'a str>,
    },
    /// A RECORD message, its fields already in the caller's [`Fields`] if the stream has a layout.
    Record(RecordLine<'a>),
    /// A STATE message: the value, byte for byte.
    State {
        /// The value as JSON text.
        value: &'a str,
    },
    /// An ACTIVATE_VERSION message.
    ActivateVersion {
        /// The stream.
        stream: Cow<'a, str>,
        /// The version whose rows are the table from now on.
        version: i64,
    },
    /// A BATCH message.
    Batch {
        /// The stream.
        stream: Cow<'a, str>,
        /// `encoding` as JSON.
        encoding: &'a str,
        /// `manifest` as JSON.
        manifest: &'a str,
        /// The version of a full table.
        version: Option<i64>,
    },
    /// A line of a rejects file: a record to try again.
    Reject(RejectLine<'a>),
    /// A message of a type that nobody here knows; to be warned about once and passed over.
    Unknown {
        /// The type as it was written.
        kind: Cow<'a, str>,
    },
}

/// A RECORD message.
#[derive(Debug)]
pub struct RecordLine<'a> {
    /// The stream.
    pub stream: Cow<'a, str>,
    /// The record: a JSON object.
    pub record: &'a str,
    /// The version of the full table that the record belongs to.
    pub version: Option<i64>,
    /// When the tap read it, RFC 3339.
    pub time_extracted: Option<Cow<'a, str>>,
    /// Whether the stream had a layout, so that the caller's [`Fields`] hold this record.
    pub scanned: bool,
}

/// A line of a rejects file.
#[derive(Debug)]
pub struct RejectLine<'a> {
    /// The stream.
    pub stream: Cow<'a, str>,
    /// The record: a JSON object.
    pub record: &'a str,
    /// The key as a JSON object, empty or null if the stream has none.
    pub key: &'a str,
    /// How often it was tried before.
    pub attempts: u64,
}

/// The spans of an envelope's known keys.
#[derive(Default)]
struct Envelope {
    kind: Option<Span>,
    stream: Option<Span>,
    record: Option<Span>,
    schema: Option<Span>,
    key_properties: Option<Span>,
    bookmark_properties: Option<Span>,
    value: Option<Span>,
    version: Option<Span>,
    time_extracted: Option<Span>,
    encoding: Option<Span>,
    manifest: Option<Span>,
    reason: Option<Span>,
    key: Option<Span>,
    attempts: Option<Span>,
}

impl Envelope {
    fn slot(&mut self, key: &[u8]) -> Option<&mut Option<Span>> {
        Some(match key {
            b"type" => &mut self.kind,
            b"stream" => &mut self.stream,
            b"record" => &mut self.record,
            b"schema" => &mut self.schema,
            b"key_properties" => &mut self.key_properties,
            b"bookmark_properties" => &mut self.bookmark_properties,
            b"value" => &mut self.value,
            b"version" => &mut self.version,
            b"time_extracted" => &mut self.time_extracted,
            b"encoding" => &mut self.encoding,
            b"manifest" => &mut self.manifest,
            b"reason" => &mut self.reason,
            b"key" => &mut self.key,
            b"attempts" => &mut self.attempts,
            _ => return None,
        })
    }
}

/// Reads one line. `layout` names the known properties of a stream; the fields of a RECORD of such a
/// stream are left in `fields`.
///
/// An error is of kind [`crate::Kind::Protocol`] and says what is wrong at which byte, never what
/// stands there: a line may hold secrets.
pub fn parse<'a, 'l>(
    line: &'a [u8],
    fields: &mut Fields,
    layout: impl Fn(&str) -> Option<&'l Layout>,
) -> Result<Line<'a>> {
    let text = std::str::from_utf8(line).map_err(|error| {
        Error::protocol(format!("not UTF-8 at byte {}", error.valid_up_to() + 1))
    })?;
    let mut scanned = None;
    let envelope = scan_envelope(line, fields, &layout, &mut scanned)
        .map_err(|error| not_json(line, error))?;
    let part = |span: Span| -> &'a str { text.get(span.start..span.end).unwrap_or_default() };

    let Some(kind) = envelope.kind else {
        // A line of a rejects file has a reason instead of a type.
        if let (Some(record), Some(_), Some(stream)) =
            (envelope.record, envelope.reason, envelope.stream)
        {
            return Ok(Line::Reject(RejectLine {
                stream: string(line, stream, "stream")?,
                record: part(object(line, record, "record")?),
                key: envelope.key.map_or("null", part),
                attempts: envelope
                    .attempts
                    .and_then(|span| part(span).parse().ok())
                    .unwrap_or(0),
            }));
        }
        return Err(Error::protocol("the message has no `type`"));
    };
    let kind = string(line, kind, "type")?;
    let stream = || match envelope.stream {
        Some(span) => string(line, span, "stream"),
        None => Err(Error::protocol(format!(
            "the {} message has no `stream`",
            shout(&kind)
        ))),
    };
    let needed = |span: Option<Span>, name: &str| {
        span.ok_or_else(|| Error::protocol(format!("the {} message has no `{name}`", shout(&kind))))
    };

    if kind.eq_ignore_ascii_case("RECORD") {
        let stream = stream()?;
        let record = object(line, needed(envelope.record, "record")?, "record")?;
        // A `stream` that comes again behind the record may name another layout.
        let mut scanned = scanned == Some(record.start)
            && envelope
                .stream
                .is_some_and(|stream| stream.start < record.start);
        if !scanned && let Some(layout) = layout(&stream) {
            fields
                .scan(line, record.start, layout)
                .map_err(|error| not_json(line, error))?;
            scanned = true;
        }
        Ok(Line::Record(RecordLine {
            stream,
            record: part(record),
            version: version(&envelope, part)?,
            time_extracted: match envelope.time_extracted {
                Some(span) if span.kind == ValueKind::String => {
                    Some(string(line, span, "time_extracted")?)
                }
                _ => None,
            },
            scanned,
        }))
    } else if kind.eq_ignore_ascii_case("STATE") {
        Ok(Line::State {
            value: part(needed(envelope.value, "value")?),
        })
    } else if kind.eq_ignore_ascii_case("SCHEMA") {
        Ok(Line::Schema {
            stream: stream()?,
            schema: part(object(line, needed(envelope.schema, "schema")?, "schema")?),
            key_properties: envelope.key_properties.map(part),
            bookmark_properties: envelope.bookmark_properties.map(part),
        })
    } else if kind.eq_ignore_ascii_case("ACTIVATE_VERSION") {
        let version = version(&envelope, part)?
            .ok_or_else(|| Error::protocol("the ACTIVATE_VERSION message has no `version`"))?;
        Ok(Line::ActivateVersion {
            stream: stream()?,
            version,
        })
    } else if kind.eq_ignore_ascii_case("BATCH") {
        Ok(Line::Batch {
            stream: stream()?,
            encoding: part(needed(envelope.encoding, "encoding")?),
            manifest: part(needed(envelope.manifest, "manifest")?),
            version: version(&envelope, part)?,
        })
    } else {
        Ok(Line::Unknown { kind })
    }
}

/// Walks the envelope; a record whose stream is known by then is walked into `fields` at once and
/// its start noted in `scanned`.
fn scan_envelope<'l>(
    line: &[u8],
    fields: &mut Fields,
    layout: &impl Fn(&str) -> Option<&'l Layout>,
    scanned: &mut Option<usize>,
) -> Result<Envelope, ScanError> {
    let mut envelope = Envelope::default();
    let start = scan::skip_space(line, 0);
    let mut end_of_object = start;
    // The generic object walk hands out a value after it was walked; here the record must be walked
    // differently, so the loop over the outermost keys stands here.
    if line.get(start) != Some(&b'{') {
        return Err(ScanError {
            at: start,
            what: "an object was expected",
        });
    }
    let mut at = scan::skip_space(line, start + 1);
    if line.get(at) == Some(&b'}') {
        end_of_object = at + 1;
    }
    while end_of_object == start {
        let key = scan::scan_value(line, at, 0)?;
        if key.kind != ValueKind::String {
            return Err(ScanError {
                at,
                what: "a key in quotes was expected",
            });
        }
        at = scan::skip_space(line, key.end);
        if line.get(at) != Some(&b':') {
            return Err(ScanError {
                at,
                what: "a colon was expected",
            });
        }
        at = scan::skip_space(line, at + 1);
        let name = &line[key.start + 1..key.end - 1];
        let known = if name == b"record" && line.get(at) == Some(&b'{') {
            envelope
                .stream
                .filter(|stream| stream.kind == ValueKind::String)
                .and_then(|stream| {
                    layout(&scan::unescape_lossy(
                        &line[stream.start + 1..stream.end - 1],
                    ))
                })
        } else {
            None
        };
        let value = match known {
            Some(layout) => {
                *scanned = Some(at);
                Span {
                    start: at,
                    end: fields.scan(line, at, layout)?,
                    kind: ValueKind::Object,
                }
            }
            None => scan::scan_value(line, at, 1)?,
        };
        if let Some(slot) = envelope.slot(name) {
            *slot = Some(value);
        }
        at = scan::skip_space(line, value.end);
        match line.get(at) {
            Some(b',') => at = scan::skip_space(line, at + 1),
            Some(b'}') => end_of_object = at + 1,
            None => {
                return Err(ScanError {
                    at,
                    what: "the line ends inside the message",
                });
            }
            Some(_) => {
                return Err(ScanError {
                    at,
                    what: "a comma or `}` was expected",
                });
            }
        }
    }
    let rest = scan::skip_space(line, end_of_object);
    if rest != line.len() {
        return Err(ScanError {
            at: rest,
            what: "more text after the message",
        });
    }
    Ok(envelope)
}

fn not_json(line: &[u8], error: ScanError) -> Error {
    let cut = error.at >= line.len();
    let error = Error::protocol("the line is not a JSON message").with_source(error);
    if cut {
        error.with_hint("the line is cut off: the tap may have died while it wrote")
    } else {
        error
    }
}

fn string<'a>(line: &'a [u8], span: Span, name: &str) -> Result<Cow<'a, str>> {
    if span.kind == ValueKind::String {
        Ok(scan::unescape_lossy(&line[span.start + 1..span.end - 1]))
    } else {
        Err(Error::protocol(format!(
            "`{name}` of the message is not a string"
        )))
    }
}

/// An object by its first byte: one that holds a `NaN` is an object here still.
fn object(line: &[u8], span: Span, name: &str) -> Result<Span> {
    if line.get(span.start) == Some(&b'{') {
        Ok(span)
    } else {
        Err(Error::protocol(format!(
            "`{name}` of the message is not an object"
        )))
    }
}

fn version<'a>(envelope: &Envelope, part: impl Fn(Span) -> &'a str) -> Result<Option<i64>> {
    match envelope.version {
        Some(span) if span.kind != ValueKind::Null => part(span)
            .parse()
            .map(Some)
            .map_err(|_| Error::protocol("`version` of the message is not a 64-bit integer")),
        _ => Ok(None),
    }
}

fn shout(kind: &str) -> String {
    kind.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        let layout = Layout::new(["id", "n"]);
        let mut fields = Fields::default();
        match parse(line.as_bytes(), &mut fields, |stream| {
            (stream == "s").then_some(&layout)
        }) {
            Ok(Line::Record(record)) => {
                let field = |index: usize| {
                    let field = fields.as_slice()[index];
                    record
                        .record
                        .get(field.start as usize..field.end as usize)
                        .unwrap()
                        .to_owned()
                };
                if record.scanned {
                    format!("{}|{}", field(0), field(1))
                } else {
                    "-".to_owned()
                }
            }
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn a_record_is_scanned_whatever_the_order_of_the_envelope() {
        let wanted = r#"1|"x""#;
        assert_eq!(
            read(r#"{"type":"RECORD","stream":"s","record":{"id":1,"n":"x"},"version":7}"#),
            wanted
        );
        assert_eq!(
            read(r#"{ "record" : {"n":"x","id":1} , "stream":"s", "type" : "record" }"#),
            wanted
        );
        assert_eq!(
            read("{\"type\":\"RECORD\",\"stream\":\"s\",\"record\":{\"id\":1,\"n\":\"x\"}}\r"),
            wanted
        );
        assert_eq!(
            read(r#"{"type":"RECORD","stream":"other","record":{"id":1}}"#),
            "-"
        );
    }

    #[test]
    fn a_record_that_comes_twice_counts_the_last_time() {
        let line =
            r#"{"type":"RECORD","stream":"s","record":{"id":1,"n":2},"record":{"id":3,"n":4}}"#;
        assert_eq!(read(line), "3|4");
    }

    #[test]
    fn a_stream_that_comes_twice_counts_the_last_time() {
        assert_eq!(
            read(r#"{"type":"RECORD","stream":"s","record":{"id":1},"stream":"other"}"#),
            "-"
        );
        assert_eq!(
            read(r#"{"type":"RECORD","stream":"other","stream":"s","record":{"id":1,"n":NaN}}"#),
            "1|NaN"
        );
        assert_eq!(
            read(r#"{"type":"RECORD","record":{"id":1,"n":NaN},"stream":"s"}"#),
            "1|NaN"
        );
    }

    #[test]
    fn state_keeps_its_bytes() {
        let line = r#"{"type":"STATE","value":{"a": 1.10, "b":12345678901234567890123}}"#;
        let mut fields = Fields::default();
        match parse(line.as_bytes(), &mut fields, |_| None).unwrap() {
            Line::State { value } => {
                assert_eq!(value, r#"{"a": 1.10, "b":12345678901234567890123}"#);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn broken_lines_say_what_and_where_and_never_quote() {
        for (line, wanted) in [
            ("Traceback", "an object was expected at byte 1"),
            (
                r#"{"type":"RECORD","stream":"s","record":{"id":1,"n":"secr"#,
                "the text ends inside a string",
            ),
            (r#"{"type":"RECORD","stream":"s"}"#, "has no `record`"),
            (r#"{"stream":"s"}"#, "has no `type`"),
            (r#"{"type":"STATE"}"#, "has no `value`"),
            (
                r#"{"type":"RECORD","stream":"s","record":[]}"#,
                "not an object",
            ),
            (
                r#"{"type":"RECORD","stream":7,"record":{}}"#,
                "not a string",
            ),
            (
                r#"{"type":"STATE","value":{}} x"#,
                "more text after the message",
            ),
        ] {
            let error = read(line);
            assert!(error.contains(wanted), "{error}");
            assert!(!error.contains("secr"), "{error}");
        }
    }
}
