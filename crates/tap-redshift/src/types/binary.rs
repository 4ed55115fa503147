//! Values from the binary COPY format of PostgreSQL to JSON, straight into the record's buffer.
//! Whatever the bytes are, nothing here panics.

use singer_core::scan;
use singer_core::value::{write_integer, write_string};

use super::numeric::{Numeric, write_numeric};
use super::{Formats, SpecialValues, Tally, Type, times};

/// The bytes are not a value of the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends one value that is not null.
pub(crate) fn write(
    out: &mut Vec<u8>,
    raw: &[u8],
    column: &Type,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    match column {
        Type::Boolean => match raw {
            [0] => out.extend_from_slice(b"false"),
            [1] => out.extend_from_slice(b"true"),
            _ => return Err(Malformed),
        },
        Type::Int2 => write_integer(out, i64::from(i16::from_be_bytes(sized(raw)?))),
        Type::Int4 => write_integer(out, i64::from(i32::from_be_bytes(sized(raw)?))),
        Type::Int8 => write_integer(out, i64::from_be_bytes(sized(raw)?)),
        Type::Oid => write_integer(out, i64::from(u32::from_be_bytes(sized(raw)?))),
        Type::Float4 => write_float4(out, f32::from_be_bytes(sized(raw)?), formats, tally),
        Type::Float8 => write_float8(out, f64::from_be_bytes(sized(raw)?), formats, tally),
        Type::Numeric { .. } => return write_decimal(out, raw, formats, tally),
        Type::Text { .. } | Type::Inet | Type::Opaque => write_text(out, raw, tally),
        Type::Char { .. } => {
            let trimmed = if formats.trim_char {
                raw.trim_ascii_end()
            } else {
                raw
            };
            write_text(out, trimmed, tally);
        }
        Type::Bytes => formats.binary.write(out, raw),
        Type::Date => {
            times::write_binary_date(out, i32::from_be_bytes(sized(raw)?), formats, tally);
        }
        Type::Time => {
            let micros = time_of_day(raw)?;
            times::write_time(out, micros, None);
        }
        Type::TimeTz => {
            let (time, west) = raw.split_at_checked(8).ok_or(Malformed)?;
            let west = i64::from(i32::from_be_bytes(sized(west)?));
            times::write_time(out, time_of_day(time)?, Some(-west));
        }
        Type::Timestamp | Type::TimestampTz => {
            times::write_binary_timestamp(out, i64::from_be_bytes(sized(raw)?), formats, tally);
        }
        Type::Uuid => write_uuid(out, &sized(raw)?),
        Type::Json => write_json(out, raw, tally),
        Type::Jsonb => match raw {
            [1, json @ ..] => write_json(out, json, tally),
            _ => return Err(Malformed),
        },
        Type::Array(array) if array.element.has_binary_decoder() => {
            return super::array::write_binary(out, raw, array, formats, tally);
        }
        // The server was asked for the text of such a column.
        Type::Array(array) => {
            let text = std::str::from_utf8(raw).map_err(|_| Malformed)?;
            return super::array::write_text(out, text, array, formats, tally);
        }
    }
    Ok(())
}

fn sized<const LENGTH: usize>(raw: &[u8]) -> Result<[u8; LENGTH], Malformed> {
    raw.try_into().map_err(|_| Malformed)
}

fn time_of_day(raw: &[u8]) -> Result<i64, Malformed> {
    let micros = i64::from_be_bytes(sized(raw)?);
    (0..=singer_core::value::time::DAY)
        .contains(&micros)
        .then_some(micros)
        .ok_or(Malformed)
}

fn write_text(out: &mut Vec<u8>, raw: &[u8], tally: &mut Tally) {
    match std::str::from_utf8(raw) {
        Ok(text) => write_string(out, text),
        Err(_) => {
            tally.not_utf8 += 1;
            write_string(out, &String::from_utf8_lossy(raw));
        }
    }
}

/// Appends the shortest text that names exactly this number, as the server itself prints it.
fn write_float8(out: &mut Vec<u8>, number: f64, formats: &Formats, tally: &mut Tally) {
    if number.is_finite() {
        write_shortest(out, &number);
    } else {
        let text = special(number.is_nan(), number > 0.0);
        write_special(out, text, formats, tally);
    }
}

fn write_float4(out: &mut Vec<u8>, number: f32, formats: &Formats, tally: &mut Tally) {
    if number.is_finite() {
        write_shortest(out, &number);
    } else {
        let text = special(number.is_nan(), number > 0.0);
        write_special(out, text, formats, tally);
    }
}

fn write_shortest(out: &mut Vec<u8>, number: &impl serde::Serialize) {
    serde_json::to_writer(&mut *out, number).expect("a finite number is written to memory");
    if out.ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
}

fn special(is_nan: bool, is_positive: bool) -> &'static str {
    match (is_nan, is_positive) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    }
}

/// Appends what becomes of a number that is not finite.
pub(super) fn write_special(out: &mut Vec<u8>, text: &str, formats: &Formats, tally: &mut Tally) {
    tally.not_finite += 1;
    match formats.special {
        SpecialValues::Null => out.extend_from_slice(b"null"),
        SpecialValues::Text => write_string(out, text),
    }
}

fn write_decimal(
    out: &mut Vec<u8>,
    raw: &[u8],
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    let start = out.len();
    let quoted = formats.decimal == super::DecimalFormat::String;
    if quoted {
        out.push(b'"');
    }
    match write_numeric(out, raw)? {
        Numeric::Finite if quoted => out.push(b'"'),
        Numeric::Finite => {}
        Numeric::Special(text) => {
            out.truncate(start);
            write_special(out, text, formats, tally);
        }
    }
    Ok(())
}

fn write_uuid(out: &mut Vec<u8>, uuid: &[u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 38];
    text[0] = b'"';
    text[37] = b'"';
    let mut at = 1;
    for (index, byte) in uuid.iter().enumerate() {
        if let 4 | 6 | 8 | 10 = index {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

/// Appends JSON as JSON, on one line. Text that is none becomes a string.
pub(super) fn write_json(out: &mut Vec<u8>, raw: &[u8], tally: &mut Tally) {
    /// A record and its message are two levels above a value.
    const DEPTH: u32 = 2;
    let json = raw.trim_ascii();
    let whole = scan::scan_value(json, 0, DEPTH)
        .is_ok_and(|span| span.end == json.len() && span.kind != scan::ValueKind::NotFinite);
    if !whole || std::str::from_utf8(json).is_err() {
        tally.not_json += 1;
        write_text(out, raw, tally);
        return;
    }
    let start = out.len();
    out.extend_from_slice(json);
    // A line end can only stand between values: inside a string the scan refuses it.
    if let Some(added) = out.get_mut(start..) {
        for byte in added {
            if let b'\n' | b'\r' = byte {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Array;

    fn all_types() -> Vec<Type> {
        let mut types = vec![
            Type::Boolean,
            Type::Int2,
            Type::Int4,
            Type::Int8,
            Type::Oid,
            Type::Float4,
            Type::Float8,
            Type::Numeric { scale: None },
            Type::Text { length: None },
            Type::Char { length: None },
            Type::Bytes,
            Type::Date,
            Type::Time,
            Type::TimeTz,
            Type::Timestamp,
            Type::TimestampTz,
            Type::Uuid,
            Type::Json,
            Type::Jsonb,
        ];
        let arrays = types.iter().map(|element| {
            Type::Array(Box::new(Array {
                element: element.clone(),
                delimiter: b',',
                dimensions: 1,
            }))
        });
        types.extend(arrays.collect::<Vec<_>>());
        types
    }

    fn written(raw: &[u8], column: &Type) -> Result<String, Malformed> {
        let mut out = Vec::new();
        write(
            &mut out,
            raw,
            column,
            &Formats::default(),
            &mut Tally::default(),
        )?;
        Ok(String::from_utf8(out).unwrap())
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_malformed_and_never_a_panic(
            raw in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            for column in all_types() {
                if let Ok(text) = written(&raw, &column) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{column:?}: {text}");
                }
            }
        }

        #[test]
        fn floats_come_back_to_the_last_bit(number in any::<f64>()) {
            if number.is_finite() {
                let text = written(&number.to_be_bytes(), &Type::Float8).unwrap();
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
            }
        }
    }

    #[test]
    fn values_are_written_as_json() {
        assert_eq!(written(&1.0_f64.to_be_bytes(), &Type::Float8).unwrap(), "1");
        assert_eq!(
            written(&0.1_f32.to_be_bytes(), &Type::Float4).unwrap(),
            "0.1"
        );
        assert_eq!(
            written(&f64::NAN.to_be_bytes(), &Type::Float8).unwrap(),
            "null"
        );
        assert_eq!(
            written(&[0x11; 16], &Type::Uuid).unwrap(),
            r#""11111111-1111-1111-1111-111111111111""#
        );
        assert_eq!(
            written(b"\x01{\"a\": [1,\n2]}", &Type::Jsonb).unwrap(),
            r#"{"a": [1, 2]}"#
        );
        assert_eq!(written(b"{broken", &Type::Json).unwrap(), r#""{broken""#);
        assert_eq!(
            written(b"a\xff", &Type::Text { length: None }).unwrap(),
            "\"a\u{fffd}\""
        );
    }
}
