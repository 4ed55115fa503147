//! Values: from a record's JSON bytes to the JSON bytes of a request. The table is in the README.
//!
//! Nothing is parsed into a tree and nothing is allocated; numbers keep every digit.

use singer_core::scan::{self, ValueKind};
use singer_core::value::time::{self, Fraction};
use singer_core::value::write_escaped;

use crate::config::{DateFormat, Nested};

pub(crate) use number::write_whole;

mod number;
#[cfg(test)]
mod tests;

/// What a Pendo field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// One value.
    One(Scalar),
    /// A list of values.
    List(Scalar),
}

/// What a single value of a Pendo field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A date with time.
    Time,
    /// Not decided yet, or a type that nobody here knows.
    Any,
}

/// How a column's values are converted.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    /// What the field takes.
    pub to: FieldType,
    /// Whether strings may become numbers and booleans.
    pub coerce_strings: bool,
    /// What becomes of objects and arrays in text fields.
    pub nested: Nested,
    /// How dates are sent.
    pub date_format: DateFormat,
}

/// Why a value cannot be converted: what it is, in words that show nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit(pub &'static str);

type Converted = Result<(), Unfit>;

impl Conversion {
    /// Appends the JSON of a value that is not null. On an error something may have been appended.
    pub fn write(&self, kind: ValueKind, json: &[u8], out: &mut Vec<u8>) -> Converted {
        match self.to {
            FieldType::One(scalar) => self.one(scalar, kind, json, out),
            FieldType::List(element) => self.list(element, kind, json, out),
        }
    }

    fn one(&self, to: Scalar, kind: ValueKind, json: &[u8], out: &mut Vec<u8>) -> Converted {
        use ValueKind as From;
        match (to, kind) {
            (_, From::NotFinite) => return Err(Unfit("a number that is not finite")),
            (Scalar::Text | Scalar::Any, From::String)
            | (Scalar::Number | Scalar::Integer | Scalar::Any, From::Integer)
            | (Scalar::Number | Scalar::Any, From::Number)
            | (Scalar::Boolean | Scalar::Any, From::Boolean)
            | (Scalar::Any, From::Array) => out.extend_from_slice(json),

            (Scalar::Text, From::Integer | From::Boolean) => quoted(json, out),
            (Scalar::Text, From::Number) => {
                out.push(b'"');
                number::write_plain(json, out)?;
                out.push(b'"');
            }
            (Scalar::Text | Scalar::Any, From::Object) | (Scalar::Text, From::Array) => {
                self.nested(json, out)?;
            }

            (Scalar::Integer, From::Number) => number::write_whole(json, out)?,
            (Scalar::Integer | Scalar::Number, From::String) => {
                self.number_in_text(to, json, out)?;
            }

            (Scalar::Boolean, From::String | From::Integer) => self.boolean(kind, json, out)?,

            (Scalar::Time, From::String) => self.time(json, out)?,
            (Scalar::Time, From::Integer) if self.date_format == DateFormat::EpochMs => {
                out.extend_from_slice(json);
            }
            (Scalar::Time, From::Integer) => {
                return Err(Unfit("a number, and `date_format` is not `epoch_ms`"));
            }

            (_, From::Null) => return Err(Unfit("a list with a null in it")),
            (_, From::Boolean) => return Err(Unfit("a boolean")),
            (_, From::Number) => return Err(Unfit("a number")),
            (_, From::Array) => return Err(Unfit("an array")),
            (_, From::Object) => return Err(Unfit("an object")),
        }
        Ok(())
    }

    fn list(&self, to: Scalar, kind: ValueKind, json: &[u8], out: &mut Vec<u8>) -> Converted {
        if kind != ValueKind::Array {
            return Err(Unfit("not an array"));
        }
        out.push(b'[');
        let start = out.len();
        let mut result = Ok(());
        let scanned = scan::scan_array(json, 0, 1, |span| {
            if result.is_err() {
                return;
            }
            if out.len() > start {
                out.push(b',');
            }
            result = match span.kind {
                ValueKind::Array | ValueKind::Object => {
                    Err(Unfit("an array with arrays or objects in it"))
                }
                kind => self.one(to, kind, &json[span.start..span.end], out),
            };
        });
        result?;
        scanned.map_err(|_| Unfit("not an array"))?;
        out.push(b']');
        Ok(())
    }

    fn nested(&self, json: &[u8], out: &mut Vec<u8>) -> Converted {
        if self.nested == Nested::Reject {
            return Err(Unfit("an object or array, and `nested` is `reject`"));
        }
        let text = std::str::from_utf8(json).map_err(|_| Unfit("not UTF-8"))?;
        out.push(b'"');
        write_escaped(out, text);
        out.push(b'"');
        Ok(())
    }

    fn number_in_text(&self, to: Scalar, json: &[u8], out: &mut Vec<u8>) -> Converted {
        if !self.coerce_strings {
            return Err(Unfit("text, and `coerce_strings` is off"));
        }
        let text = inside(json).trim_ascii();
        let text = text.strip_prefix(b"+").unwrap_or(text);
        match to {
            Scalar::Integer => number::write_whole(text, out),
            _ => number::write_plain(text, out),
        }
    }

    fn boolean(&self, kind: ValueKind, json: &[u8], out: &mut Vec<u8>) -> Converted {
        if !self.coerce_strings {
            return Err(Unfit(match kind {
                ValueKind::Integer => "a number, and `coerce_strings` is off",
                _ => "text, and `coerce_strings` is off",
            }));
        }
        let text = match kind {
            ValueKind::String => inside(json).trim_ascii(),
            _ => json,
        };
        let word: &[u8] = if text == b"1" || text.eq_ignore_ascii_case(b"true") {
            b"true"
        } else if text == b"0" || text.eq_ignore_ascii_case(b"false") {
            b"false"
        } else {
            return Err(Unfit("neither true nor false"));
        };
        out.extend_from_slice(word);
        Ok(())
    }

    fn time(&self, json: &[u8], out: &mut Vec<u8>) -> Converted {
        const NO_TIME: Unfit = Unfit("text that is no date-time");
        let text = std::str::from_utf8(inside(json)).map_err(|_| NO_TIME)?;
        let micros = time::parse_timestamp(text.trim()).ok_or(NO_TIME)?;
        match self.date_format {
            DateFormat::Iso8601 if is_sent_form(text.as_bytes()) => out.extend_from_slice(json),
            DateFormat::Iso8601 => {
                out.push(b'"');
                if !time::write_timestamp(out, micros, Fraction::AsNeeded) {
                    return Err(Unfit("a date-time outside the years 1 to 9999"));
                }
                out.push(b'"');
            }
            DateFormat::EpochMs => {
                singer_core::value::write_integer(out, micros.div_euclid(1000));
            }
        }
        Ok(())
    }
}

/// Whether a date-time that was read well has the very form in which it is sent: with `T` and `Z`, no
/// fraction or one of six digits that is not zero, and neither a leap second nor 24 o'clock.
fn is_sent_form(text: &[u8]) -> bool {
    let (Some(time), Some(rest)) = (text.get(10..19), text.get(19..)) else {
        return false;
    };
    let fraction = match rest {
        b"Z" => true,
        [b'.', digits @ .., b'Z'] => {
            digits.len() == 6 && digits.iter().all(u8::is_ascii_digit) && digits != b"000000"
        }
        _ => false,
    };
    fraction && time[0] == b'T' && time[7] < b'6' && !time.starts_with(b"T24")
}

/// The bytes of a JSON string between its quotes, still escaped. Numbers, words and dates need no
/// escapes, so an escaped one is simply no number, word or date.
fn inside(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1))
        .unwrap_or_default()
}

fn quoted(json: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(json);
    out.push(b'"');
}
