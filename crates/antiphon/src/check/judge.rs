//! One message after the other: what it is, whether it may stand here, whether it says what its
//! schema says. A RECORD is scanned once and held against its schema as targets do it.

use std::collections::HashMap;

use serde_json::Value;
use singer_core::line::{self, Line, RecordLine};
use singer_core::scan::{self, Field, Fields, Span, ValueKind, unescape_lossy};
use singer_core::schema::Schema;
use singer_core::validate::{Validator, Violation, kind_name};

use super::audit::{self, Oddity};
use super::bookmarks::Bookmarks;
use super::findings::{Findings, Level, Strictness};
use super::format::{Fit, Format, wanted};
use super::schema;

/// The types of messages as they are written.
const TYPES: [&[u8]; 5] = [
    b"\"RECORD\"",
    b"\"SCHEMA\"",
    b"\"STATE\"",
    b"\"ACTIVATE_VERSION\"",
    b"\"BATCH\"",
];

/// Judges an input line by line.
pub(super) struct Judge {
    strictness: Strictness,
    pub(super) findings: Findings,
    pub(super) streams: Vec<Stream>,
    names: HashMap<String, usize>,
    /// The stream of the last record: the next one is most likely of the same.
    last: usize,
    fields: Fields,
    bookmarks: Bookmarks,
    pub(super) states: u64,
    pub(super) messages: u64,
}

/// What was seen of a stream.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) counts: Counts,
    /// None if no good SCHEMA has come yet.
    schemed: Option<Schemed>,
}

/// Numbers of a stream.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) schemas: u64,
    pub(super) batches: u64,
    /// STATE messages that moved its bookmark.
    pub(super) states: u64,
    pub(super) errors: u64,
    pub(super) warnings: u64,
}

/// A schema made ready to judge records.
struct Schemed {
    schema: Schema,
    validator: Validator,
    keys: Vec<usize>,
    formats: Vec<(usize, Format)>,
}

impl Judge {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self {
            strictness,
            findings: Findings::new(strictness),
            streams: Vec::new(),
            names: HashMap::new(),
            last: 0,
            fields: Fields::default(),
            bookmarks: Bookmarks::default(),
            states: 0,
            messages: 0,
        }
    }

    /// Notes something about the input that is not about one stream.
    pub(super) fn note(&mut self, level: Level, number: u64, message: &str) {
        self.findings.add(level, number, None, message.to_owned());
    }

    /// Takes one line.
    pub(super) fn line(&mut self, text: &[u8], number: u64) {
        self.messages += 1;
        let (streams, names, last) = (&self.streams, &self.names, self.last);
        let mut fields = std::mem::take(&mut self.fields);
        let parsed = line::parse(text, &mut fields, |name| {
            let stream = &streams[find(streams, names, last, name)?];
            stream.schemed.as_ref().map(|known| known.schema.layout())
        });
        match parsed {
            Ok(Line::Record(record)) => self.record(&record, &fields, text, number),
            Ok(other) => {
                self.other(&other, number);
                self.whole_line(text, number);
            }
            Err(error) => {
                let mut message = error.message().to_owned();
                if let Some(cause) = std::error::Error::source(&error) {
                    message = format!("{message}: {cause}");
                }
                if !error.hints().is_empty() {
                    message = format!("{message}; it is cut off");
                }
                self.findings.add(Level::Error, number, None, message);
            }
        }
        self.fields = fields;
    }

    /// The input has ended: what can only be said of all of it.
    pub(super) fn end(&mut self) {
        if self.messages == 0 {
            self.note(Level::Warning, 0, "no message came in");
        }
        let unknown: Vec<(u64, bool, String)> = self
            .bookmarks
            .seen()
            .filter(|(id, _)| self.stream_of_bookmark(id).is_none())
            .map(|(id, seen)| (seen.line, seen.has_changed, id.clone()))
            .collect();
        for (line, has_changed, id) in unknown {
            // Bookmarks of streams that are not selected are carried along, as they should be.
            let level = if has_changed {
                Level::Warning
            } else {
                Level::Note
            };
            let message = format!("the state has a bookmark of `{id}`, a stream without SCHEMA");
            self.findings.add(level, line, None, message);
        }
    }

    fn other(&mut self, message: &Line<'_>, number: u64) {
        match message {
            Line::Schema {
                stream,
                schema,
                key_properties,
                bookmark_properties,
            } => {
                let index = self.stream(stream);
                self.streams[index].counts.schemas += 1;
                let read = Schema::new(schema, *key_properties, *bookmark_properties);
                match read {
                    Ok(read) => {
                        for (level, message) in schema::faults(&read, *key_properties) {
                            self.add(level, number, index, message);
                        }
                        self.streams[index].schemed = Some(Schemed::new(read));
                    }
                    Err(error) => {
                        self.add(Level::Error, number, index, error.message().to_owned());
                    }
                }
            }
            Line::State { value } => self.state(value, number),
            Line::ActivateVersion { stream, .. } => {
                let index = self.stream(stream);
                if self.streams[index].counts.schemas == 0 {
                    let message = "ACTIVATE_VERSION before its SCHEMA".to_owned();
                    self.add(Level::Warning, number, index, message);
                }
            }
            Line::Batch {
                stream,
                encoding,
                manifest,
                ..
            } => {
                let index = self.stream(stream);
                self.streams[index].counts.batches += 1;
                if self.streams[index].counts.schemas == 0 {
                    let message = "a BATCH before its SCHEMA".to_owned();
                    self.add(Level::Error, number, index, message);
                }
                if let Some(message) = batch_fault(encoding, manifest) {
                    self.add(Level::Error, number, index, message.to_owned());
                }
            }
            Line::Reject(_) => {
                let message = "the message has no `type`: a line of a rejects file".to_owned();
                self.findings.add(Level::Error, number, None, message);
            }
            Line::Unknown { .. } => {
                let message = "a message of an unknown type".to_owned();
                self.findings.add(Level::Error, number, None, message);
            }
            Line::Record(_) => {}
        }
    }

    fn state(&mut self, value: &str, number: u64) {
        self.states += 1;
        let judged = self.bookmarks.take(value, number);
        for (level, id, message) in judged.faults {
            match id.as_deref().map(|id| self.stream_of_bookmark(id)) {
                Some(Some(stream)) => self.add(level, number, stream, message),
                _ => self.findings.add(level, number, id.as_deref(), message),
            }
        }
        for id in judged.moved {
            if let Some(stream) = self.stream_of_bookmark(&id) {
                self.streams[stream].counts.states += 1;
            }
        }
    }

    /// The stream with a SCHEMA that a bookmark is of: ids of databases have more before the name.
    fn stream_of_bookmark(&self, id: &str) -> Option<usize> {
        if let Some(stream) = self.names.get(id) {
            return Some(*stream);
        }
        self.streams.iter().position(|stream| {
            id.strip_suffix(stream.name.as_str())
                .is_some_and(|before| before.ends_with(['.', '-', '_', '/', ':']))
        })
    }

    fn record(&mut self, record: &RecordLine<'_>, fields: &Fields, text: &[u8], number: u64) {
        let index = self.stream(&record.stream);
        self.last = index;
        self.streams[index].counts.records += 1;
        if record.scanned {
            let known = self.streams[index].schemed.take();
            if let Some(known) = &known {
                self.judge(index, known, record.record.as_bytes(), fields, number);
            }
            self.streams[index].schemed = known;
        } else {
            let message = if self.streams[index].counts.schemas == 0 {
                "a record before its SCHEMA"
            } else {
                "a record whose SCHEMA cannot be used"
            };
            self.add(Level::Error, number, index, message.to_owned());
        }
        let time = record.time_extracted.as_deref();
        if time.is_some_and(|time| Format::DateTime.judge(time) != Fit::Fits) {
            let message = "`time_extracted` is not a time with an offset from UTC".to_owned();
            self.add(Level::Warning, number, index, message);
        }
        let start = record.record.as_ptr() as usize - text.as_ptr() as usize;
        let span = Span {
            start,
            end: start + record.record.len(),
            kind: ValueKind::Object,
        };
        let members = audit::envelope(text, span).unwrap_or_default();
        self.envelope(&members, text, number, Some(index));
    }

    /// Holds a record against its schema.
    fn judge(
        &mut self,
        stream: usize,
        known: &Schemed,
        record: &[u8],
        fields: &Fields,
        number: u64,
    ) {
        let all = fields.as_slice();
        let name = |index: usize| known.schema.layout().name(index);
        let mut is_good = true;
        for key in known.keys.iter().copied() {
            let what = match all[key] {
                field if !field.is_present() => "lacks its key",
                field if field.kind == ValueKind::Null => "has null as its key",
                _ => continue,
            };
            is_good = false;
            let message = format!("a record {what} `{}`", name(key));
            self.add(Level::Error, number, stream, message);
        }
        if is_good && let Err(violation) = known.validator.check(record, fields) {
            let message = told(&known.schema, all, &violation);
            self.add(Level::Error, number, stream, message);
        }
        for (index, format) in known.formats.iter().copied() {
            let field = all[index];
            if field.kind != ValueKind::String || !field.is_present() {
                continue;
            }
            let text = unescape_lossy(&record[field.start as usize + 1..field.end as usize - 1]);
            let wanted = known.schema.properties()[index].format.as_deref();
            let wanted = wanted.unwrap_or_default();
            match format.judge(&text) {
                Fit::Fits => {}
                Fit::Nearly(why) => {
                    let message = format!("`{}` is not quite a {wanted}: {why}", name(index));
                    self.add(Level::Warning, number, stream, message);
                }
                Fit::Not => {
                    let message = format!(
                        "`{}` is a string that is no {wanted}, as the schema wants",
                        name(index)
                    );
                    self.add(Level::Error, number, stream, message);
                }
            }
        }
        if let Some(index) = fields.repeated() {
            let message = format!("a record has the key `{}` twice", name(index));
            self.add(Level::Warning, number, stream, message);
        }
        if fields.extra().is_some() {
            self.extras(stream, known, record, number);
        }
        for (index, field) in all.iter().enumerate() {
            self.inside(stream, (record, *field), name(index), number);
        }
    }

    /// What is odd inside a property that the schema lists.
    fn inside(&mut self, stream: usize, (record, field): (&[u8], Field), name: &str, number: u64) {
        let is_number = matches!(field.kind, ValueKind::Integer | ValueKind::Number);
        let has_parts = matches!(field.kind, ValueKind::Object | ValueKind::Array);
        let is_judged = has_parts || (is_number && self.strictness == Strictness::Strict);
        if !field.is_present() || !is_judged {
            return;
        }
        let span = Span {
            start: field.start as usize,
            end: field.end as usize,
            kind: field.kind,
        };
        self.walk(Some(stream), record, span, name, number);
    }

    /// Properties that the schema does not list: they are warned of, and looked into.
    fn extras(&mut self, stream: usize, known: &Schemed, record: &[u8], number: u64) {
        let mut extras = Vec::new();
        // It was scanned before, so that it cannot fail here.
        let _scanned = scan::scan_object(record, 0, 0, |key, value| {
            let name = unescape_lossy(&record[key.0..key.1]);
            if known.schema.layout().index(&name).is_none() {
                extras.push((name, value));
            }
        });
        if let Some(name) = audit::twice(extras.iter().map(|(name, _)| name)) {
            let message = format!("a record has the key `{name}` twice");
            self.add(Level::Warning, number, stream, message);
        }
        for (name, value) in extras {
            let message = format!("`{name}` is not in the schema; targets drop it, or fail");
            self.add(Level::Warning, number, stream, message);
            self.walk(Some(stream), record, value, &name, number);
        }
    }

    fn walk(&mut self, stream: Option<usize>, text: &[u8], value: Span, name: &str, number: u64) {
        let mut found = Vec::new();
        audit::walk(text, value, &mut |oddity| found.push(oddity));
        for oddity in found {
            let (level, message) = match oddity {
                Oddity::Twice(key) => (
                    Level::Warning,
                    format!("`{name}` has an object with the key `{key}` twice"),
                ),
                Oddity::NotFinite => (
                    Level::Error,
                    format!("`{name}` holds a number that is not finite, which is not JSON"),
                ),
                Oddity::Lost if self.strictness == Strictness::Strict => (
                    Level::Note,
                    format!("`{name}` has numbers with more digits than many JSON readers keep"),
                ),
                Oddity::Lost => continue,
            };
            match stream {
                Some(stream) => self.add(level, number, stream, message),
                None => self.findings.add(level, number, None, message),
            }
        }
    }

    /// A message that is no RECORD: its keys at every depth.
    fn whole_line(&mut self, text: &[u8], number: u64) {
        let mut members = Vec::new();
        let start = scan::skip_space(text, 0);
        // It was scanned before, so that it cannot fail here.
        let _scanned = scan::scan_object(text, start, 0, |key, value| {
            members.push((&text[key.0..key.1], value));
        });
        self.envelope(&members, text, number, None);
        for (key, value) in members {
            self.walk(None, text, value, &unescape_lossy(key), number);
        }
    }

    /// The outermost keys of a message, and how its type is spelled.
    fn envelope(
        &mut self,
        members: &[(&[u8], Span)],
        text: &[u8],
        number: u64,
        stream: Option<usize>,
    ) {
        let mut add = |message: String| match stream {
            Some(stream) => self.add(Level::Warning, number, stream, message),
            None => self.findings.add(Level::Warning, number, None, message),
        };
        if let Some(name) = audit::twice(members.iter().map(|(name, _)| name)) {
            let name = unescape_lossy(name);
            add(format!("the message has the key `{name}` twice"));
        }
        let kind = members.iter().rfind(|(name, _)| *name == b"type");
        let is_small = kind.is_some_and(|(_, span)| {
            let word = &text[span.start..span.end];
            let is_it = |kind: &&[u8]| word.eq_ignore_ascii_case(kind) && word != *kind;
            TYPES.iter().any(is_it)
        });
        if is_small {
            add("`type` is not in capitals, which most targets refuse".to_owned());
        }
    }

    fn add(&mut self, level: Level, line: u64, stream: usize, message: String) {
        let counts = &mut self.streams[stream].counts;
        match self.findings.level(level) {
            Level::Error => counts.errors += 1,
            Level::Warning => counts.warnings += 1,
            Level::Note => {}
        }
        let name = &self.streams[stream].name;
        self.findings.add(level, line, Some(name), message);
    }

    /// The stream of this name, new if need be.
    fn stream(&mut self, name: &str) -> usize {
        if let Some(index) = find(&self.streams, &self.names, self.last, name) {
            return index;
        }
        self.streams.push(Stream {
            name: name.to_owned(),
            counts: Counts::default(),
            schemed: None,
        });
        let index = self.streams.len() - 1;
        self.names.insert(name.to_owned(), index);
        index
    }
}

impl Schemed {
    fn new(schema: Schema) -> Self {
        let place = |name: &String| schema.layout().index(name);
        let formats = schema.properties().iter().enumerate();
        Self {
            keys: schema.key_properties().iter().filter_map(place).collect(),
            formats: formats
                .filter_map(|(index, property)| {
                    let format = Format::named(property.format.as_deref()?)?;
                    // Alternatives may admit any string beside the format.
                    let is_own = property.schema.get("format").is_some();
                    is_own.then_some((index, format))
                })
                .collect(),
            validator: Validator::new(&schema),
            schema,
        }
    }
}

fn find(
    streams: &[Stream],
    names: &HashMap<String, usize>,
    last: usize,
    name: &str,
) -> Option<usize> {
    if streams.get(last).is_some_and(|stream| stream.name == name) {
        return Some(last);
    }
    names.get(name).copied()
}

/// A violation in words: names and types, never a value.
fn told(schema: &Schema, fields: &[Field], violation: &Violation) -> String {
    if let [name] = violation.path()
        && let Some(index) = schema.layout().index(name)
        && violation.what().contains(", found ")
    {
        let property = &schema.properties()[index];
        return format!(
            "`{name}` is {}, the schema wants {}",
            kind_name(fields[index].kind),
            wanted(property.types, property.format.as_deref())
        );
    }
    format!("`{}` {}", violation.path().join("."), violation.what())
}

/// What is wrong with the parts of a BATCH message.
fn batch_fault(encoding: &str, manifest: &str) -> Option<&'static str> {
    let encoding: Value = serde_json::from_str(encoding).ok()?;
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let format = encoding.get("format").and_then(Value::as_str);
    if !encoding.is_object() {
        return Some("`encoding` of the BATCH message is not an object");
    }
    if !matches!(format, Some("jsonl" | "parquet" | "arrow")) {
        return Some("`encoding` of the BATCH message has no known `format`");
    }
    match encoding.get("compression") {
        None | Some(Value::Null) => {}
        Some(Value::String(word)) if matches!(word.as_str(), "" | "none" | "gzip") => {}
        Some(_) => return Some("`compression` of the BATCH message is neither `gzip` nor `none`"),
    }
    match manifest.as_array() {
        None => Some("`manifest` of the BATCH message is not a list"),
        Some(urls) if urls.iter().all(Value::is_string) => None,
        Some(_) => Some("`manifest` of the BATCH message lists what is not a URL"),
    }
}
