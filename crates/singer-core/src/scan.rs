//! A strict JSON scanner: it validates every byte, builds nothing, and yields spans.
//!
//! One pass over a line finds the envelope and the fields of the record. Strings are stepped over
//! eight bytes at a time. Numbers keep their text, whatever their size.

use std::fmt;

pub use escape::{Escape, EscapeError, escape, unescape_lossy};

mod escape;

/// Nesting deeper than this is refused, so that hostile input cannot exhaust the stack.
pub const MAX_DEPTH: u32 = 128;

/// What a [`ScanError`] says of such a text.
pub const TOO_DEEP: &str = "nested too deeply";

/// The type of a JSON value, as its bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ValueKind {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Boolean,
    /// A number without fraction and exponent.
    Integer,
    /// A number with fraction or exponent.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
    /// `NaN`, `Infinity` or `-Infinity`, or an array or object that holds one: not JSON, but Python
    /// taps write them. No schema accepts it.
    NotFinite,
}

/// Where and why a text is not JSON. It never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanError {
    /// Offset in bytes from the start of the text.
    pub at: usize,
    /// What was expected or found.
    pub what: &'static str,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at + 1)
    }
}

impl std::error::Error for ScanError {}

/// One field of a record: where its value lies, and of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field {
    /// Start of the value, from the start of the record.
    pub start: u32,
    /// End of the value; zero if the record has no such property.
    pub end: u32,
    /// Kind of the value.
    pub kind: ValueKind,
}

impl Field {
    /// Whether the record has the property at all (a null counts as present).
    pub fn is_present(self) -> bool {
        self.end != 0
    }
}

/// The properties of a stream in a fixed order, so that a record becomes an array of spans.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    names: Vec<Box<str>>,
    by_name: std::collections::HashMap<Box<str>, u32>,
}

impl Layout {
    /// A layout of these property names, in this order.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        let by_name = (0..)
            .zip(&names)
            .map(|(index, name)| (name.clone(), index))
            .collect();
        Self { names, by_name }
    }

    /// How many properties there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a property.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// All names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The index of a property.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|index| *index as usize)
    }

    /// The index of a property by the raw bytes between the quotes of a key. `hint` is where it is
    /// looked for first, since records of one tap repeat one order.
    fn find(&self, raw: &[u8], hint: usize) -> Option<usize> {
        if self
            .names
            .get(hint)
            .is_some_and(|name| name.as_bytes() == raw)
        {
            return Some(hint);
        }
        self.index(&unescape_lossy(raw))
    }
}

/// The fields of one record in a [`Layout`]'s order; reused from record to record.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    fields: Vec<Field>,
    /// The first property that the layout does not know, as a span of its key.
    extra: Option<(u32, u32)>,
    /// The first property that came twice, by its index.
    repeated: Option<usize>,
}

impl Fields {
    /// The fields in the layout's order.
    pub fn as_slice(&self) -> &[Field] {
        &self.fields
    }

    /// Span of the key (without quotes, still escaped) of the first property the layout lacks.
    pub fn extra(&self) -> Option<(u32, u32)> {
        self.extra
    }

    /// The first property of the layout that the record has twice, by its index.
    pub fn repeated(&self) -> Option<usize> {
        self.repeated
    }

    /// Scans the object at the start of `bytes[at..]`, which becomes the record's start, and returns
    /// its end. Of a key that comes twice the last one counts.
    pub fn scan(&mut self, bytes: &[u8], at: usize, layout: &Layout) -> Result<usize, ScanError> {
        self.fields.clear();
        self.fields.resize(layout.len(), Field::default());
        self.extra = None;
        self.repeated = None;
        let mut hint = 0;
        scan_object(bytes, at, 1, |key, value| {
            match layout.find(&bytes[key.0..key.1], hint) {
                Some(index) => {
                    hint = index + 1;
                    if self.fields[index].is_present() {
                        self.repeated = self.repeated.or(Some(index));
                    }
                    self.fields[index] = Field {
                        start: (value.start - at) as u32,
                        end: (value.end - at) as u32,
                        kind: value.kind,
                    };
                }
                None => {
                    if self.extra.is_none() {
                        self.extra = Some(((key.0 - at) as u32, (key.1 - at) as u32));
                    }
                }
            }
        })
    }
}

/// A value found by the scanner: where it lies and of what kind it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Kind of the value.
    pub kind: ValueKind,
}

/// Skips white space.
pub fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Scans the object that starts at `at` and calls `field` with the span of each key (without its
/// quotes) and value. Returns the end of the object.
pub fn scan_object(
    bytes: &[u8],
    at: usize,
    depth: u32,
    mut field: impl FnMut((usize, usize), Span),
) -> Result<usize, ScanError> {
    if bytes.get(at) != Some(&b'{') {
        return Err(ScanError {
            at,
            what: "an object was expected",
        });
    }
    if depth > MAX_DEPTH {
        return Err(ScanError { at, what: TOO_DEEP });
    }
    let mut at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    loop {
        if bytes.get(at) != Some(&b'"') {
            return Err(ScanError {
                at,
                what: "a key in quotes was expected",
            });
        }
        let key_end = scan_string(bytes, at)?;
        let key = (at + 1, key_end - 1);
        at = skip_space(bytes, key_end);
        if bytes.get(at) != Some(&b':') {
            return Err(ScanError {
                at,
                what: "a colon was expected",
            });
        }
        let value = scan_value(bytes, skip_space(bytes, at + 1), depth)?;
        field(key, value);
        at = skip_space(bytes, value.end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b'}') => return Ok(at + 1),
            None => {
                return Err(ScanError {
                    at,
                    what: "the text ends inside an object",
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
}

/// Scans the array that starts at `at` and calls `item` with the span of each element. Returns the
/// end of the array.
pub fn scan_array(
    bytes: &[u8],
    at: usize,
    depth: u32,
    mut item: impl FnMut(Span),
) -> Result<usize, ScanError> {
    if bytes.get(at) != Some(&b'[') {
        return Err(ScanError {
            at,
            what: "an array was expected",
        });
    }
    if depth > MAX_DEPTH {
        return Err(ScanError { at, what: TOO_DEEP });
    }
    let mut at = skip_space(bytes, at + 1);
    if bytes.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        let value = scan_value(bytes, at, depth)?;
        item(value);
        at = skip_space(bytes, value.end);
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(b']') => return Ok(at + 1),
            None => {
                return Err(ScanError {
                    at,
                    what: "the text ends inside an array",
                });
            }
            Some(_) => {
                return Err(ScanError {
                    at,
                    what: "a comma or `]` was expected",
                });
            }
        }
    }
}

/// Scans one value of any kind that starts at `at` (no white space before it).
pub fn scan_value(bytes: &[u8], at: usize, depth: u32) -> Result<Span, ScanError> {
    let (end, kind) = match bytes.get(at) {
        Some(b'"') => (scan_string(bytes, at)?, ValueKind::String),
        Some(b'-' | b'0'..=b'9') => scan_number(bytes, at)?,
        Some(b'n') => (literal(bytes, at, b"null")?, ValueKind::Null),
        Some(b't') => (literal(bytes, at, b"true")?, ValueKind::Boolean),
        Some(b'f') => (literal(bytes, at, b"false")?, ValueKind::Boolean),
        Some(b'{') => {
            let mut kind = ValueKind::Object;
            let end = scan_object(bytes, at, depth + 1, |_, value| {
                if value.kind == ValueKind::NotFinite {
                    kind = ValueKind::NotFinite;
                }
            })?;
            (end, kind)
        }
        Some(b'[') => {
            let mut kind = ValueKind::Array;
            let end = scan_array(bytes, at, depth + 1, |value| {
                if value.kind == ValueKind::NotFinite {
                    kind = ValueKind::NotFinite;
                }
            })?;
            (end, kind)
        }
        Some(b'N') => (literal(bytes, at, b"NaN")?, ValueKind::NotFinite),
        Some(b'I') => (literal(bytes, at, b"Infinity")?, ValueKind::NotFinite),
        None => {
            return Err(ScanError {
                at,
                what: "the text ends where a value was expected",
            });
        }
        Some(_) => {
            return Err(ScanError {
                at,
                what: "a value was expected",
            });
        }
    };
    Ok(Span {
        start: at,
        end,
        kind,
    })
}

fn literal(bytes: &[u8], at: usize, word: &'static [u8]) -> Result<usize, ScanError> {
    if bytes[at..].starts_with(word) {
        Ok(at + word.len())
    } else {
        Err(ScanError {
            at,
            what: "an unknown word",
        })
    }
}

/// Scans a string from its opening quote; returns one past the closing quote.
fn scan_string(bytes: &[u8], open: usize) -> Result<usize, ScanError> {
    let mut at = open + 1;
    loop {
        at = find_escape(bytes, at).unwrap_or(bytes.len());
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = scan_escape(bytes, at)?,
            // What needs an escape and is neither of these is a control character.
            Some(_) => {
                return Err(ScanError {
                    at,
                    what: "a bare control character in a string",
                });
            }
            None => {
                return Err(ScanError {
                    at,
                    what: "the text ends inside a string",
                });
            }
        }
    }
}

/// The first byte from `at` on that a JSON string cannot hold as it is; eight bytes at a time, and in a long
/// string many.
pub fn find_escape(bytes: &[u8], mut at: usize) -> Option<usize> {
    let long = at + 24;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes
        .get(at..at + 8)
        .and_then(|chunk| chunk.try_into().ok())
    {
        let word = u64::from_le_bytes(chunk);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let found = found & HIGHS;
        if found != 0 {
            // Only the lowest mark is exact, and it is the one that is looked at.
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
        if at == long {
            at = skip_clean(bytes, at);
        }
    }
    bytes
        .get(at..)?
        .iter()
        .position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\')
        .map(|offset| at + offset)
}

/// Steps over blocks that hold nothing that needs an escape; the compiler makes wide instructions of it.
fn skip_clean(bytes: &[u8], mut at: usize) -> usize {
    const BLOCK: usize = 32;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        let marks = block.iter().fold(0, |marks, byte| {
            marks | u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\')
        });
        if marks != 0 {
            break;
        }
        at += BLOCK;
    }
    at
}

fn scan_escape(bytes: &[u8], at: usize) -> Result<usize, ScanError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u')
            if bytes
                .get(at + 2..at + 6)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
        {
            Ok(at + 6)
        }
        None => Err(ScanError {
            at,
            what: "the text ends inside a string",
        }),
        Some(_) => Err(ScanError {
            at,
            what: "an unknown escape in a string",
        }),
    }
}

fn scan_number(bytes: &[u8], start: usize) -> Result<(usize, ValueKind), ScanError> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
        if bytes.get(at) == Some(&b'I') {
            return Ok((literal(bytes, at, b"Infinity")?, ValueKind::NotFinite));
        }
    }
    let digits = skip_digits(bytes, at);
    if digits == at {
        return Err(ScanError {
            at,
            what: "a digit was expected",
        });
    }
    if bytes[at] == b'0' && digits > at + 1 {
        return Err(ScanError {
            at,
            what: "a number with a leading zero",
        });
    }
    at = digits;
    let mut kind = ValueKind::Integer;
    if bytes.get(at) == Some(&b'.') {
        kind = ValueKind::Number;
        let digits = skip_digits(bytes, at + 1);
        if digits == at + 1 {
            return Err(ScanError {
                at,
                what: "a digit was expected",
            });
        }
        at = digits;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        kind = ValueKind::Number;
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let digits = skip_digits(bytes, at);
        if digits == at {
            return Err(ScanError {
                at,
                what: "a digit was expected",
            });
        }
        at = digits;
    }
    Ok((at, kind))
}

fn skip_digits(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Result<ValueKind, ScanError> {
        let bytes = text.as_bytes();
        let value = scan_value(bytes, skip_space(bytes, 0), 0)?;
        let end = skip_space(bytes, value.end);
        if end == bytes.len() {
            Ok(value.kind)
        } else {
            Err(ScanError {
                at: end,
                what: "more",
            })
        }
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json() {
        let texts = [
            "null",
            "true",
            "-0",
            "0",
            "01",
            "1.",
            "1.5e",
            "1.5e+7",
            "-",
            "\"\"",
            "\"a\\u00e9\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[]",
            "[1,]",
            "[1, 2 ]",
            "{}",
            "{\"a\":1,}",
            "{\"a\" : [ {} ] }",
            "{a:1}",
            "\"tab\tinside\"",
            "nul",
            "\"open",
            "{\"a\":1",
            "[1",
            "1 2",
            "",
            "\u{7f}",
            "\"\u{7f}é😀\"",
            "123456789012345678901234567890",
            "\"0123456789abcdef\\\"0123456789\"",
        ];
        for text in texts {
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            assert_eq!(whole(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn not_finite_numbers_are_seen_and_named() {
        assert_eq!(whole("NaN"), Ok(ValueKind::NotFinite));
        assert_eq!(whole("-Infinity"), Ok(ValueKind::NotFinite));
        assert_eq!(whole(r#"[{"a":[-Infinity]}]"#), Ok(ValueKind::NotFinite));
        assert_eq!(whole(r#"["NaN"]"#), Ok(ValueKind::Array));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(whole(&deep).unwrap_err().what, "nested too deeply");
    }

    #[test]
    fn fields_are_found_in_any_order_and_the_last_of_a_key_counts() {
        let layout = Layout::new(["a", "b", "é"]);
        let record = br#"{"b": 1, "x": [1], "\u00e9": "y", "b": 2.5}"#;
        let mut fields = Fields::default();
        assert_eq!(fields.scan(record, 0, &layout), Ok(record.len()));
        assert!(!fields.as_slice()[0].is_present());
        let b = fields.as_slice()[1];
        assert_eq!(&record[b.start as usize..b.end as usize], b"2.5");
        assert_eq!(fields.as_slice()[2].kind, ValueKind::String);
        let extra = fields.extra().unwrap();
        assert_eq!(&record[extra.0 as usize..extra.1 as usize], b"x");
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_serde_json_does(text in r#"[\{\}\[\],:"\\u0-9a-f. eE+\-truefalsn]{0,24}"#) {
            // A lone surrogate is the one thing that serde_json refuses and this scanner lets pass.
            prop_assume!(!text.contains("\\ud"));
            let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(whole(&text).is_ok(), expected);
        }

        #[test]
        fn any_string_survives(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(whole(&json), Ok(ValueKind::String));
            let raw = &json.as_bytes()[1..json.len() - 1];
            prop_assert_eq!(unescape_lossy(raw), text);
        }
    }
}
