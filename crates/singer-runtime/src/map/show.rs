//! `--test` and `--sample`: records before and after, for the eyes of the person who writes the config.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map as Members, Value, json};
use singer_core::line::{self, Line};
use singer_core::scan::{self, Fields};
use singer_core::{Error, Result};

use super::{Map, Outputs, SchemaMessage};
use crate::cli::Show;
use crate::context::Context;
use crate::exit::Ended;
use crate::stdio;
use crate::stop::Stop;
use crate::target::read::{Blocks, Lines, MAX_LINE_BYTES};

/// Values longer than this are cut.
const LONGEST_VALUE: usize = 300;

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    Yes,
    No,
}

impl Color {
    /// Colours are for terminals, unless somebody wants none.
    fn of(context: &Context) -> Self {
        if stdio::stdout_is_terminal() && context.variable("NO_COLOR").is_none() {
            return Self::Yes;
        }
        Self::No
    }

    fn paint(self, text: &str, color: &str) -> String {
        match self {
            Self::Yes => format!("{color}{text}{PLAIN}"),
            Self::No => text.to_owned(),
        }
    }
}

/// Shows what becomes of records instead of passing them on.
pub(super) async fn run<M: Map>(
    map: &M,
    wanted: Show,
    input: Option<&Path>,
    context: &Context,
) -> anyhow::Result<Ended> {
    let mut sample = Sample {
        map,
        worker: map.worker(),
        streams: HashMap::new(),
        color: Color::of(context),
        has_failed: false,
    };
    match wanted {
        Show::Test(text) => sample.test(&text)?,
        Show::Sample(count) => sample.input(input, count, context.stop()).await?,
    }
    Ok(match sample.has_failed {
        false => Ended::Done,
        true => Ended::WithRejects,
    })
}

struct Sample<'m, M: Map> {
    map: &'m M,
    worker: M::Worker,
    streams: HashMap<String, M::Stream>,
    color: Color,
    has_failed: bool,
}

impl<M: Map> Sample<'_, M> {
    /// Shows one record, or one RECORD message, of which no SCHEMA is known.
    fn test(&mut self, text: &str) -> anyhow::Result<()> {
        let wrong = |what: &str| Error::config(format!("`--test` {what}"));
        let text = text.trim();
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err(wrong("takes a JSON object: a record, or a RECORD message").into());
        };
        let mut fields = Fields::default();
        let (stream, record) = if object.contains_key("type") && object.contains_key("record") {
            match line::parse(text.as_bytes(), &mut fields, |_| None) {
                Ok(Line::Record(record)) => (record.stream.into_owned(), record.record),
                _ => return Err(wrong("has a message that is no RECORD message").into()),
            }
        } else {
            (self.only_stream()?, text)
        };
        if !self.map.changes(&stream) {
            stdio::print(format!("{stream}: passes as it is\n").as_bytes())?;
            return Ok(());
        }
        let properties: Members<String, Value> = fields_of(record)
            .into_iter()
            .map(|(name, _)| (name, json!({})))
            .collect();
        let schema = json!({"type": "object", "properties": properties}).to_string();
        let message = SchemaMessage {
            schema: &schema,
            key_properties: None,
            bookmark_properties: None,
        };
        let opened = self.map.open(&stream, message)?;
        self.streams.insert(stream.clone(), opened.stream);
        self.show(&stream, record, &stream)?;
        Ok(())
    }

    fn only_stream(&self) -> Result<String> {
        let streams = self.map.streams();
        match &streams[..] {
            [only] if !only.contains(['*', '?']) => Ok(only.clone()),
            _ => Err(
                Error::config("`--test` does not say which stream the record is of").with_hint(
                    r#"give a whole message: {"type": "RECORD", "stream": "…", "record": {…}}"#,
                ),
            ),
        }
    }

    async fn input(&mut self, path: Option<&Path>, count: u64, stop: &Stop) -> anyhow::Result<()> {
        let mut blocks = Blocks::start(stdio::input(path)?)?;
        let mut lines = Lines::new(MAX_LINE_BYTES);
        let mut left = count;
        loop {
            let block = tokio::select! {
                block = blocks.next() => block,
                () = stop.wait() => return Err(Error::interrupted().into()),
            };
            let Some(block) = block else {
                break;
            };
            let block = block
                .map_err(|error| Error::internal("cannot read the input").with_source(error))?;
            let mut at = 0;
            while let Some((number, line)) = lines.next(&block, &mut at)? {
                left -= u64::from(self.line(line, number)?);
                if left == 0 {
                    return Ok(());
                }
            }
        }
        if let Some((number, line)) = lines.last() {
            self.line(line, number)?;
        }
        Ok(())
    }

    /// Takes a line of the input; tells whether something was shown.
    fn line(&mut self, line: &[u8], number: u64) -> anyhow::Result<bool> {
        let place = format!("line {number}");
        let parsed = line::parse(line, &mut Fields::default(), |_| None)
            .map_err(|error| error.at(&place))?;
        match parsed {
            Line::Schema {
                stream,
                schema,
                key_properties,
                bookmark_properties,
            } if self.map.changes(&stream) => {
                let message = SchemaMessage {
                    schema,
                    key_properties,
                    bookmark_properties,
                };
                let opened = self.map.open(&stream, message);
                let opened = opened.map_err(|error| error.at(place))?;
                self.streams.insert(stream.into_owned(), opened.stream);
                Ok(false)
            }
            Line::Record(record) if self.map.changes(&record.stream) => {
                if !self.streams.contains_key(&*record.stream) {
                    return Err(super::work::before_schema(&record.stream).at(place).into());
                }
                let heading = format!("{}, {place}", record.stream);
                self.show(&record.stream, record.record, &heading)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn show(&mut self, stream: &str, record: &str, heading: &str) -> Result<()> {
        let Some(known) = self.streams.get(stream) else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let mut out = Outputs::new(&mut bytes, b"", b"");
        let result = M::apply(&mut self.worker, known, record, Instant::now(), &mut out);
        let records: Vec<&str> = match std::str::from_utf8(&bytes) {
            Ok(text) => text.lines().collect(),
            Err(_) => Vec::new(),
        };
        let mut text = self.color.paint(heading, BOLD);
        text.push('\n');
        match result {
            Err(failure) => {
                self.has_failed = true;
                text.push_str(&self.color.paint(&format!("! {}", failure.reason), RED));
                text.push('\n');
                for hint in failure.hints {
                    text.push_str(&format!("  {hint}\n"));
                }
            }
            Ok(()) if records.is_empty() => {
                text.push_str(&difference(record, "{}", self.color));
                text.push_str("  no record comes out\n");
            }
            Ok(()) => {
                for (index, after) in records.iter().enumerate() {
                    if records.len() > 1 {
                        text.push_str(&format!("  record {} of {}\n", index + 1, records.len()));
                    }
                    text.push_str(&difference(record, after, self.color));
                }
            }
        }
        text.push('\n');
        stdio::print(text.as_bytes())
    }
}

/// Two records field by field.
fn difference(before: &str, after: &str, color: Color) -> String {
    let (before, after) = (fields_of(before), fields_of(after));
    let find = |fields: &[(String, String)], name: &str| {
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let mut text = String::new();
    let mut put = |sign: &str, name: &str, value: &str, paint: Option<&str>| {
        let line = format!("{sign} {name}: {}", cut(value));
        match paint {
            Some(paint) => text.push_str(&color.paint(&line, paint)),
            None => text.push_str(&line),
        }
        text.push('\n');
    };
    for (name, old) in &before {
        match find(&after, name) {
            Some(new) if new == *old => put(" ", name, old, None),
            Some(new) => {
                put("-", name, old, Some(RED));
                put("+", name, &new, Some(GREEN));
            }
            None => put("-", name, old, Some(RED)),
        }
    }
    for (name, new) in &after {
        if find(&before, name).is_none() {
            put("+", name, new, Some(GREEN));
        }
    }
    text
}

/// The fields of a record with their values as JSON.
fn fields_of(record: &str) -> Vec<(String, String)> {
    let bytes = record.as_bytes();
    let mut fields = Vec::new();
    let scanned = scan::scan_object(bytes, 0, 0, |name, value| {
        let name = scan::unescape_lossy(&bytes[name.0..name.1]).into_owned();
        let value = String::from_utf8_lossy(&bytes[value.start..value.end]).into_owned();
        fields.push((name, value));
    });
    debug_assert!(scanned.is_ok(), "records are JSON objects");
    fields
}

fn cut(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    value.chars().take(LONGEST_VALUE).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_compared_field_by_field() {
        let text = difference(
            r#"{"id": 1, "email": "A@X", "test": true}"#,
            r#"{"id":1,"email":"a@x","score":7}"#,
            Color::No,
        );
        assert_eq!(
            text,
            "  id: 1\n- email: \"A@X\"\n+ email: \"a@x\"\n- test: true\n+ score: 7\n"
        );
        let text = difference(r#"{"a":1}"#, r#"{"a":2}"#, Color::Yes);
        assert_eq!(
            text,
            "\u{1b}[31m- a: 1\u{1b}[0m\n\u{1b}[32m+ a: 2\u{1b}[0m\n"
        );
    }
}
