//! Values from the text that the server prints to JSON, straight into the record's buffer.

use singer_core::value::time::parse_time;
use singer_core::value::{is_integer, is_number, write_string};

use super::binary::{Malformed, write_json, write_special};
use super::{DecimalFormat, Formats, Tally, Type, times};

/// Appends one value that is not null.
pub(crate) fn write(
    out: &mut Vec<u8>,
    text: &str,
    column: &Type,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    match column {
        Type::Boolean => match text {
            "t" | "true" => out.extend_from_slice(b"true"),
            "f" | "false" => out.extend_from_slice(b"false"),
            _ => return Err(Malformed),
        },
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => {
            if !is_integer(text) {
                return Err(Malformed);
            }
            out.extend_from_slice(text.as_bytes());
        }
        Type::Float4 | Type::Float8 => return write_number(out, text, formats, tally),
        Type::Numeric { .. } if formats.decimal == DecimalFormat::Number => {
            return write_number(out, text, formats, tally);
        }
        Type::Numeric { .. } => {
            if is_number(text) {
                write_string(out, text);
            } else {
                return write_not_finite(out, text, formats, tally);
            }
        }
        Type::Char { .. } if formats.trim_char => write_string(out, text.trim_end_matches(' ')),
        Type::Text { .. } | Type::Char { .. } | Type::Inet | Type::Opaque => {
            write_string(out, text);
        }
        Type::Bytes => formats.binary.write(out, &bytes_of(text)?),
        Type::Date => times::write_text_date(out, text, formats, tally),
        Type::Time | Type::TimeTz => {
            let (micros, offset) = parse_time(text).ok_or(Malformed)?;
            times::write_time(out, micros, offset);
        }
        Type::Timestamp | Type::TimestampTz => {
            times::write_text_timestamp(out, text, formats, tally);
        }
        Type::Uuid => write_string(out, text),
        Type::Json | Type::Jsonb => write_json(out, text.as_bytes(), tally),
        Type::Array(array) => return super::array::write_text(out, text, array, formats, tally),
    }
    Ok(())
}

fn write_number(
    out: &mut Vec<u8>,
    text: &str,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    if is_number(text) {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    write_not_finite(out, text, formats, tally)
}

fn write_not_finite(
    out: &mut Vec<u8>,
    text: &str,
    formats: &Formats,
    tally: &mut Tally,
) -> Result<(), Malformed> {
    match text {
        "NaN" | "Infinity" | "-Infinity" => {
            write_special(out, text, formats, tally);
            Ok(())
        }
        _ => Err(Malformed),
    }
}

/// The bytes of `\x00ff`, as PostgreSQL prints them, or `00ff`, as Redshift does.
fn bytes_of(text: &str) -> Result<Vec<u8>, Malformed> {
    let digits = text.strip_prefix("\\x").unwrap_or(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(Malformed);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(Malformed);
    digits
        .chunks_exact(2)
        .map(|pair| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Array, SpecialValues};

    fn written(text: &str, column: &Type, formats: &Formats) -> Result<String, Malformed> {
        let mut out = Vec::new();
        write(&mut out, text, column, formats, &mut Tally::default())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn plain(text: &str, column: &Type) -> Result<String, Malformed> {
        written(text, column, &Formats::default())
    }

    proptest! {
        #[test]
        fn any_text_is_a_value_or_malformed_and_never_a_panic(text in "\\PC{0,30}|[-0-9{}\",:.TNaflst \\\\]{0,30}") {
            let element = Type::Numeric { scale: None };
            let array = Type::Array(Box::new(Array { element, delimiter: b',', dimensions: 1 }));
            for column in [
                Type::Boolean, Type::Int8, Type::Float8, Type::Numeric { scale: None },
                Type::Text { length: None }, Type::Bytes, Type::Date, Type::Time, Type::TimeTz,
                Type::Timestamp, Type::Uuid, Type::Json, array,
            ] {
                if let Ok(json) = plain(&text, &column) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{column:?}: {json}");
                }
            }
        }
    }

    #[test]
    fn digits_are_kept_as_they_came() {
        let numeric = Type::Numeric { scale: Some(4) };
        for text in [
            "0.1000",
            "-12345678901234567890123456789.5000",
            "9223372036854775808",
        ] {
            assert_eq!(plain(text, &numeric).unwrap(), text);
        }
        assert_eq!(plain("1e+20", &Type::Float8).unwrap(), "1e+20");
        assert_eq!(
            plain("9223372036854775807", &Type::Int8).unwrap(),
            "9223372036854775807"
        );
    }

    #[test]
    fn special_numbers_follow_the_setting() {
        let formats = Formats {
            special: SpecialValues::Text,
            ..Formats::default()
        };
        assert_eq!(plain("NaN", &Type::Float8).unwrap(), "null");
        assert_eq!(
            written("-Infinity", &Type::Float4, &formats).unwrap(),
            "\"-Infinity\""
        );
        assert_eq!(plain("12abc", &Type::Float8), Err(Malformed));
    }

    #[test]
    fn redshift_types_arrive_as_they_are_printed() {
        assert_eq!(plain("t", &Type::Boolean).unwrap(), "true");
        assert_eq!(plain("00FF", &Type::Bytes).unwrap(), "\"00ff\"");
        assert_eq!(plain("\\x00ff", &Type::Bytes).unwrap(), "\"00ff\"");
        assert_eq!(
            plain("12:30:01.5", &Type::Time).unwrap(),
            "\"12:30:01.500000\""
        );
        assert_eq!(
            plain("12:30:01+02", &Type::TimeTz).unwrap(),
            "\"12:30:01+02:00\""
        );
        assert_eq!(
            plain("{\"a\":[1,null]}", &Type::Json).unwrap(),
            "{\"a\":[1,null]}"
        );
        assert_eq!(
            plain("ab  ", &Type::Char { length: Some(4) }).unwrap(),
            "\"ab  \""
        );
    }
}
