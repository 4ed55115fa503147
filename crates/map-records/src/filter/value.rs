//! Records as the engine's values, and back to JSON, with every digit of their numbers.

use bytes::Bytes;
use jaq_json::{Map, Num, Val};
use singer_core::scan::{MAX_DEPTH, ValueKind, find_escape, skip_space, unescape_lossy};
use singer_core::value::{write_escaped, write_integer};

/// Why a value cannot be written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotJson {
    /// `nan` or an infinite number.
    NotFinite,
    /// Bytes that are no text.
    Bytes,
    /// A key of an object that is no text.
    Key,
    /// Nested more deeply than any reader accepts.
    Deep,
}

impl NotJson {
    /// What it is called in errors.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NotFinite => "yields a number that is not finite",
            Self::Bytes => "yields bytes that are no text",
            Self::Key => "yields an object with a key that is no text",
            Self::Deep => "yields a value that is nested too deeply",
        }
    }
}

/// A record as a value. `fields` is how many fields it most likely has.
///
/// The record was scanned before, so that nothing is looked at twice. Texts are slices of one copy of the
/// record, and numbers keep their text where a float would not.
pub(crate) fn read(record: &str, fields: usize) -> Option<Val> {
    let mut reader = Reader {
        text: record,
        bytes: Bytes::copy_from_slice(record.as_bytes()),
        at: 0,
    };
    reader.value(fields)
}

/// An object of some of a record's fields: their names, and where their values begin.
pub(crate) fn read_fields<'a>(
    record: &str,
    fields: impl Iterator<Item = (&'a Val, usize)>,
) -> Option<Val> {
    let mut reader = Reader {
        text: record,
        bytes: Bytes::copy_from_slice(record.as_bytes()),
        at: 0,
    };
    let mut object = Map::default();
    for (name, at) in fields {
        reader.at = at;
        object.insert(name.clone(), reader.value(0)?);
    }
    Some(Val::obj(object))
}

struct Reader<'a> {
    text: &'a str,
    bytes: Bytes,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, members: usize) -> Option<Val> {
        self.at = skip_space(self.text.as_bytes(), self.at);
        match *self.text.as_bytes().get(self.at)? {
            b'"' => self.text().map(Val::utf8_str),
            b'{' => self.object(members),
            b'[' => self.array(),
            b't' => self.word("true", Val::Bool(true)),
            b'f' => self.word("false", Val::Bool(false)),
            b'n' => self.word("null", Val::Null),
            b'N' => self.word("NaN", Val::Num(Num::Float(f64::NAN))),
            b'I' => self.word("Infinity", Val::Num(Num::Float(f64::INFINITY))),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Val) -> Option<Val> {
        self.at += word.len();
        Some(value)
    }

    /// A text, from its opening quote.
    fn text(&mut self) -> Option<Bytes> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut end = find_escape(bytes, start)?;
        if bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Some(self.bytes.slice(start..end));
        }
        while *bytes.get(end)? != b'"' {
            // What is escaped takes one more byte, whatever it is.
            end = find_escape(bytes, end + 2)?;
        }
        self.at = end + 1;
        let text = unescape_lossy(bytes.get(start..end)?);
        Some(Bytes::from(text.into_owned().into_bytes()))
    }

    fn object(&mut self, members: usize) -> Option<Val> {
        let mut object = Map::with_capacity_and_hasher(members, Default::default());
        self.at += 1;
        loop {
            self.at = skip_space(self.text.as_bytes(), self.at);
            match *self.text.as_bytes().get(self.at)? {
                b'}' => {
                    self.at += 1;
                    return Some(Val::obj(object));
                }
                b'"' => {
                    let key = self.text().map(Val::utf8_str)?;
                    self.at = skip_space(self.text.as_bytes(), self.at) + 1;
                    let value = self.value(0)?;
                    object.insert(key, value);
                }
                _ => self.at += 1,
            }
        }
    }

    fn array(&mut self) -> Option<Val> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.at = skip_space(self.text.as_bytes(), self.at);
            match *self.text.as_bytes().get(self.at)? {
                b']' => {
                    self.at += 1;
                    return Some(items.into_iter().collect());
                }
                b',' => self.at += 1,
                _ => items.push(self.value(0)?),
            }
        }
    }

    fn number(&mut self) -> Option<Val> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|byte| !is_part(byte));
        let text = rest.get(..length.unwrap_or(rest.len()))?;
        if text.is_empty() || text == "-" {
            // A minus before a word.
            self.at += "-Infinity".len();
            return Some(Val::Num(Num::Float(f64::NEG_INFINITY)));
        }
        self.at += text.len();
        let is_whole = !text.contains(['.', 'e', 'E']) && text != "-0";
        let whole = is_whole.then(|| Num::from_str_radix(text, 10)).flatten();
        Some(Val::Num(
            whole.unwrap_or_else(|| Num::Dec(text.to_owned().into())),
        ))
    }
}

/// The kind of a value.
pub(crate) fn kind(value: &Val) -> ValueKind {
    match value {
        Val::Null => ValueKind::Null,
        Val::Bool(_) => ValueKind::Boolean,
        Val::Num(Num::Int(_) | Num::BigInt(_)) => ValueKind::Integer,
        Val::Num(Num::Float(number)) if !number.is_finite() => ValueKind::NotFinite,
        Val::Num(Num::Float(number)) if is_small_whole(*number) => ValueKind::Integer,
        Val::Num(_) => ValueKind::Number,
        Val::BStr(_) | Val::TStr(_) => ValueKind::String,
        Val::Arr(_) => ValueKind::Array,
        Val::Obj(_) => ValueKind::Object,
    }
}

/// Appends a value as JSON.
pub(crate) fn write(out: &mut Vec<u8>, value: &Val, depth: u32) -> Result<(), NotJson> {
    if depth > MAX_DEPTH {
        return Err(NotJson::Deep);
    }
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(out, number)?,
        Val::BStr(_) => return Err(NotJson::Bytes),
        Val::TStr(text) => write_text(out, text)?,
        Val::Arr(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                let Val::TStr(key) = key else {
                    return Err(NotJson::Key);
                };
                write_text(out, key)?;
                out.push(b':');
                write(out, value, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// Gives up a value that could not be written. What is nested without bounds must not be taken apart by calls within
/// calls, so that it is left where it is; anything else must not be, since there is one for each record.
pub(crate) fn let_go(value: Val) {
    if is_deep(&value, 0) {
        std::mem::forget(value);
    }
}

/// Whether a value is nested more deeply than any reader accepts. Looks no deeper than that.
pub(crate) fn is_deep(value: &Val, depth: u32) -> bool {
    if depth > MAX_DEPTH {
        return true;
    }
    match value {
        Val::Arr(items) => items.iter().any(|item| is_deep(item, depth + 1)),
        Val::Obj(members) => (members.iter())
            .any(|(key, value)| is_deep(key, depth + 1) || is_deep(value, depth + 1)),
        _ => false,
    }
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), NotJson> {
    let text = std::str::from_utf8(text).map_err(|_| NotJson::Bytes)?;
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, number: &Num) -> Result<(), NotJson> {
    match number {
        Num::Int(number) => write_integer(out, *number as i64),
        Num::BigInt(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Num::Dec(text) => out.extend_from_slice(text.as_bytes()),
        Num::Float(number) if !number.is_finite() => return Err(NotJson::NotFinite),
        // The sum of whole numbers is whole, also where jq counts in floats.
        Num::Float(number) if is_small_whole(*number) => write_integer(out, *number as i64),
        Num::Float(number) => {
            serde_json::to_writer(&mut *out, number).map_err(|_| NotJson::NotFinite)?;
        }
    }
    Ok(())
}

/// Whether a float is a whole number that it holds exactly.
fn is_small_whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
}
