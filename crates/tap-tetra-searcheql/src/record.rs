//! A file as a record: what the search tells of it and what was retrieved, as the selected fields of the plan.
//! Numbers are copied digit by digit; nothing is made a tree.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use singer_core::scan::{Span, ValueKind, scan_value, skip_space};
use singer_core::value::time::{Fraction, parse_timestamp, write_timestamp};
use singer_core::value::write_string;
use singer_core::{Error, Result};
use singer_runtime::tap::Plan;

use crate::config::{Retrieve, Stream, TypeConflict};
use crate::files::Saved;
use crate::model::{FILE_ID, INDEXED_AT};
use crate::shape::{Misfit, Path, Shape, each_item, each_member, kind_at};

/// What a stream of files has beside what the search tells.
pub(crate) const FILE_PATH: &str = "_sdc_file_path";
pub(crate) const FILE_SHA256: &str = "_sdc_file_sha256";
pub(crate) const FILE_SIZE: &str = "_sdc_file_size";

/// Between the names of flattened members.
const SEPARATOR: &str = "__";

/// Fields that are times, whatever form the index has them in.
const TIMES: [&str; 2] = [INDEXED_AT, "createdAt"];

/// What some programs begin a text with.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A document that was scanned: JSON from its first byte to its last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    bytes: &'a [u8],
    span: Span,
}

impl<'a> Document<'a> {
    /// Scans a text; nothing if it is not JSON and UTF-8.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        std::str::from_utf8(bytes).ok()?;
        let span = scan_value(bytes, skip_space(bytes, 0), 0).ok()?;
        (skip_space(bytes, span.end) == bytes.len()).then_some(Self { bytes, span })
    }

    /// The scanned text again, kept apart from its place.
    fn of(bytes: &'a [u8], span: Span) -> Self {
        Self { bytes, span }
    }

    /// Whether it is an object.
    pub(crate) fn is_object(&self) -> bool {
        kind_at(self.bytes, self.span) == ValueKind::Object
    }
}

/// A document with its text.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    span: Span,
}

impl Text {
    /// Scans a text, once for all; nothing if it is no document.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Option<Self> {
        if bytes.starts_with(BOM) {
            bytes.drain(..BOM.len());
        }
        let span = Document::parse(&bytes)?.span;
        Some(Self { bytes, span })
    }

    /// The document.
    pub(crate) fn document(&self) -> Document<'_> {
        Document::of(&self.bytes, self.span)
    }
}

/// A field of a record, where its value lies.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    /// Its name.
    pub(crate) name: String,
    /// The text around the value.
    pub(crate) bytes: &'a [u8],
    /// The value.
    pub(crate) span: Span,
}

/// The fields of a file: of the search's answer, then of the document, flattened if that is wanted.
///
/// # Errors
/// Of kind `Rejected` if two of them have one name.
pub(crate) fn fields<'a>(
    stream: &Stream,
    source: Document<'a>,
    document: Option<Document<'a>>,
) -> Result<Vec<Field<'a>>> {
    let mut fields = Vec::new();
    let own = stream.json_field.as_deref().filter(|_| document.is_some());
    each_member(source.bytes, source.span, |name, span| {
        if Some(name) != own && is_wanted(stream, name) {
            add(stream, &mut fields, name.to_owned(), source.bytes, span);
        }
    });
    let of_search = fields.len();
    match (document, own) {
        (Some(document), Some(name)) => add(
            stream,
            &mut fields,
            name.to_owned(),
            document.bytes,
            document.span,
        ),
        (Some(document), None) => each_member(document.bytes, document.span, |name, span| {
            // The search knows better which file this is.
            if name != FILE_ID && name != INDEXED_AT {
                add(stream, &mut fields, name.to_owned(), document.bytes, span);
            }
        }),
        (None, _) => {}
    }
    let mut names = HashSet::new();
    let mut twice = fields
        .iter()
        .filter(|field| !names.insert(field.name.as_str()));
    match twice.next().map(|field| field.name.clone()) {
        None => Ok(fields),
        Some(name) => Err(Error::rejected(format!("two fields of a file have the name `{name}`")).with_hint(
            if of_search < fields.len() && !stream.flatten {
                "`\"json_as\": \"field\"` keeps a document's members apart from those of the search; or `source` names the fields to read"
            } else {
                "`\"flatten\": false` keeps members of objects apart"
            },
        )),
    }
}

/// Whether a member of the search's answer is one that the config asks for: what retrieval needs to know is asked for
/// beside it.
fn is_wanted(stream: &Stream, name: &str) -> bool {
    let Some(source) = &stream.source else {
        return true;
    };
    name == FILE_ID
        || name == INDEXED_AT
        || source.iter().any(|field| {
            let head = field.split('.').next().unwrap_or(field);
            head == name || head.contains('*')
        })
}

fn add<'a>(
    stream: &Stream,
    fields: &mut Vec<Field<'a>>,
    name: String,
    bytes: &'a [u8],
    span: Span,
) {
    let is_object = kind_at(bytes, span) == ValueKind::Object;
    if !stream.flatten || !is_object || stream.opaque.contains(&name) {
        fields.push(Field { name, bytes, span });
        return;
    }
    each_member(bytes, span, |member, span| {
        add(
            stream,
            fields,
            format!("{name}{SEPARATOR}{member}"),
            bytes,
            span,
        );
    });
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It fits.
    Fits,
    /// It fits since the schema was widened; the new one is to be written first.
    Widened,
    /// It does not fit, and is to become a reject; why.
    Misfit(String),
}

/// Writes files as records of one stream.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: String,
    opaque: Vec<String>,
    type_conflict: TypeConflict,
    /// Every field that is known, selected or not.
    known: Shape,
    /// The fields that are written, in order.
    selected: Vec<String>,
    is_selected: HashSet<String>,
    /// Fields that are texts, or have such inside, whatever type their values are of.
    mixed: HashSet<String>,
    /// The schema around the properties.
    around: Map<String, Value>,
    has_file: bool,
}

impl Writer {
    /// For the selected fields of a plan.
    pub(crate) fn new(stream: &Stream, plan: &Plan) -> Self {
        let schema = plan.entry.get("schema").cloned().unwrap_or_default();
        let mut around = plan.schema.as_object().cloned().unwrap_or_default();
        around.shift_remove("properties");
        let mut known = Shape::object();
        for (name, schema) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            known.add(name, Shape::of_schema(schema));
        }
        let mixed = known.members().filter(|(_, shape)| shape.has_mixed());
        Self {
            stream: plan.id.clone(),
            opaque: stream.opaque.clone(),
            type_conflict: stream.type_conflict,
            mixed: mixed.map(|(name, _)| name.to_owned()).collect(),
            known,
            is_selected: plan.fields.iter().cloned().collect(),
            selected: plan.fields.clone(),
            around,
            has_file: stream.retrieve == Retrieve::File,
        }
    }

    /// Compares a file's fields with the schema, and widens it where the config allows that.
    ///
    /// # Errors
    /// Of kind `Rejected` for a value of another type, if that ends the stream.
    pub(crate) fn fit(&mut self, fields: &[Field<'_>]) -> Result<Fit> {
        let mut misfits = Vec::new();
        for field in fields {
            match self.known.member(&field.name) {
                Some(_) if TIMES.contains(&field.name.as_str()) => {}
                Some(shape) if self.is_selected.contains(&field.name) => {
                    shape.check(
                        field.bytes,
                        field.span,
                        &mut Path::of(&field.name),
                        &mut misfits,
                    );
                }
                Some(_) => {}
                None if kind_at(field.bytes, field.span) == ValueKind::Null => {}
                None => misfits.push(Misfit::New(field.name.clone())),
            }
        }
        if misfits.is_empty() {
            return Ok(Fit::Fits);
        }
        let conflict = misfits.iter().find_map(|misfit| match misfit {
            Misfit::Conflict {
                path,
                wanted,
                found,
            } => Some(format!(
                "the field `{path}` holds {found} where the schema has {wanted}"
            )),
            _ => None,
        });
        match (conflict, self.type_conflict) {
            (Some(what), TypeConflict::Error) => {
                return Err(Error::rejected(format!("{what} in the stream `{}`", self.stream)).with_hint(
                    "`type_conflict` makes such a field a text, or such a file a reject; or discover anew, as IDS versions differ (`ids_versions`)",
                ));
            }
            (Some(what), TypeConflict::Reject) => return Ok(Fit::Misfit(what)),
            _ => {}
        }
        self.tell(&misfits);
        for field in fields {
            self.grow(field);
        }
        Ok(Fit::Widened)
    }

    /// The schema as it is now.
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> = (self.selected.iter())
            .filter_map(|name| Some((name.clone(), self.known.member(name)?.schema()?)))
            .map(|(name, schema)| {
                let schema = if name == FILE_ID {
                    serde_json::json!({"type": "string"})
                } else {
                    schema
                };
                (name, schema)
            })
            .collect();
        let mut schema = self.around.clone();
        schema.insert("properties".to_owned(), properties.into());
        schema.into()
    }

    /// Appends the record. Selected fields that the file does not have are null, so that an update clears them.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        file_id: &str,
        fields: &[Field<'_>],
        saved: Option<&Saved>,
    ) {
        let by_name: HashMap<&str, &Field<'_>> = (fields.iter())
            .map(|field| (field.name.as_str(), field))
            .collect();
        let mut is_first = true;
        out.push(b'{');
        for name in &self.selected {
            if self.has_file && is_of_file(name) {
                continue;
            }
            write_name(out, name, &mut is_first);
            match by_name.get(name.as_str()) {
                _ if name == FILE_ID => write_string(out, file_id),
                None => out.extend_from_slice(b"null"),
                Some(field) if TIMES.contains(&name.as_str()) => write_time(out, field),
                Some(field) => {
                    // Most fields are written as they are.
                    let shape = (self.known.member(name)).filter(|_| self.mixed.contains(name));
                    write_value(out, field.bytes, field.span, shape);
                }
            }
        }
        if self.has_file {
            write_saved(out, saved, &mut is_first);
        }
        out.push(b'}');
    }

    fn grow(&mut self, field: &Field<'_>) {
        let is_known = self.known.member(&field.name).is_some();
        if is_known && !self.is_selected.contains(&field.name)
            || TIMES.contains(&field.name.as_str())
        {
            return;
        }
        if !is_known {
            if kind_at(field.bytes, field.span) == ValueKind::Null {
                return;
            }
            self.is_selected.insert(field.name.clone());
            self.selected.push(field.name.clone());
        }
        let shape = self.known.member_mut(&field.name);
        shape.grow(
            field.bytes,
            field.span,
            &mut Path::of(&field.name),
            &self.opaque,
        );
        if shape.has_mixed() {
            self.mixed.insert(field.name.clone());
        }
    }

    fn tell(&self, misfits: &[Misfit]) {
        let names = |wanted: fn(&Misfit) -> Option<&String>| {
            let mut names: Vec<&str> = misfits
                .iter()
                .filter_map(wanted)
                .map(String::as_str)
                .collect();
            names.dedup();
            names.truncate(50);
            names.join(", ")
        };
        let new = names(|misfit| match misfit {
            Misfit::New(path) => Some(path),
            _ => None,
        });
        let changed = names(|misfit| match misfit {
            Misfit::Wider(path) | Misfit::Conflict { path, .. } => Some(path),
            Misfit::New(_) => None,
        });
        if !new.is_empty() {
            tracing::info!(
                stream = self.stream,
                fields = new,
                "new fields are taken; the schema is written anew"
            );
        }
        if !changed.is_empty() {
            tracing::warn!(
                stream = self.stream,
                fields = changed,
                "fields have a wider type from here on; the schema is written anew"
            );
        }
    }
}

/// Whether a field is one that this tap adds for a file.
pub(crate) fn is_of_file(name: &str) -> bool {
    [FILE_PATH, FILE_SHA256, FILE_SIZE].contains(&name)
}

fn write_saved(out: &mut Vec<u8>, saved: Option<&Saved>, is_first: &mut bool) {
    write_name(out, FILE_PATH, is_first);
    match saved {
        None => out.extend_from_slice(b"null"),
        Some(saved) => write_string(out, &saved.path),
    }
    write_name(out, FILE_SHA256, is_first);
    match saved {
        None => out.extend_from_slice(b"null"),
        Some(saved) => write_string(out, &saved.sha256),
    }
    write_name(out, FILE_SIZE, is_first);
    match saved {
        None => out.extend_from_slice(b"null"),
        Some(saved) => out.extend_from_slice(saved.size.to_string().as_bytes()),
    }
}

fn write_name(out: &mut Vec<u8>, name: &str, is_first: &mut bool) {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
    write_string(out, name);
    out.push(b':');
}

/// A time as RFC 3339: what has no offset is UTC, a number is milliseconds.
fn write_time(out: &mut Vec<u8>, field: &Field<'_>) {
    let raw = field
        .bytes
        .get(field.span.start..field.span.end)
        .unwrap_or_default();
    let micros = match kind_at(field.bytes, field.span) {
        ValueKind::String => {
            let text: Option<String> = serde_json::from_slice(raw).ok();
            text.and_then(|text| parse_timestamp(&text))
        }
        ValueKind::Integer => std::str::from_utf8(raw)
            .ok()
            .and_then(|digits| digits.parse::<i64>().ok()?.checked_mul(1000)),
        _ => None,
    };
    let before = out.len();
    out.push(b'"');
    let is_written = micros.is_some_and(|micros| write_timestamp(out, micros, Fraction::AsNeeded));
    if is_written {
        out.push(b'"');
    } else {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

/// Writes a value without white space; where the shape says that values are texts, as a text.
fn write_value(out: &mut Vec<u8>, bytes: &[u8], span: Span, shape: Option<&Shape>) {
    let kind = kind_at(bytes, span);
    match (kind, shape) {
        (ValueKind::Null, _) => out.extend_from_slice(b"null"),
        (kind, Some(shape)) if shape.is_mixed() && kind != ValueKind::String => {
            let mut text = Vec::new();
            write_compact(
                &mut text,
                bytes.get(span.start..span.end).unwrap_or_default(),
            );
            write_string(out, &String::from_utf8_lossy(&text));
        }
        (ValueKind::Object, Some(shape)) => {
            out.push(b'{');
            let mut is_first = true;
            each_member(bytes, span, |name, value| {
                write_name(out, name, &mut is_first);
                write_value(out, bytes, value, shape.member(name));
            });
            out.push(b'}');
        }
        (ValueKind::Array, Some(shape)) if shape.items().is_some() => {
            out.push(b'[');
            let mut is_first = true;
            each_item(bytes, span, |item| {
                if !std::mem::take(&mut is_first) {
                    out.push(b',');
                }
                write_value(out, bytes, item, shape.items());
            });
            out.push(b']');
        }
        _ => write_compact(out, bytes.get(span.start..span.end).unwrap_or_default()),
    }
}

/// Copies scanned JSON without white space; what is not finite becomes null.
pub(crate) fn write_compact(out: &mut Vec<u8>, bytes: &[u8]) {
    // Most documents are written by programs, without anything of that.
    if !b" \t\r\nNI".iter().any(|byte| bytes.contains(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = string_end(bytes, at);
                out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
                at = end;
            }
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'N' => {
                out.extend_from_slice(b"null");
                at += "NaN".len();
            }
            b'-' if bytes.get(at + 1) == Some(&b'I') => at += 1,
            b'I' => {
                out.extend_from_slice(b"null");
                at += "Infinity".len();
            }
            byte => {
                out.push(*byte);
                at += 1;
            }
        }
    }
}

/// One past the quote that ends the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 2,
            b'"' => return end + 1,
            _ => end += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
