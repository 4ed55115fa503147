//! CAST: a value of one type as one of another, exactly or not at all.

use super::calendar::{
    self, DAY, date_text, date_time_text, parse_date, parse_date_time, parse_time, parse_timestamp,
    time_text,
};
use super::decimal::{Decimal, fit};
use super::error::{Result, SqlError, invalid, unsupported};
use super::kind::Kind;
use crate::bigquery::table::{Column, Mode, Type};
use crate::bigquery::value::Value;

/// Whether there is a CAST from one type to the other.
pub(super) fn castable(from: &Kind, to: &Kind) -> bool {
    use Kind::{
        Array, BigNumeric, Bool, Bytes, Date, DateTime, Float64, Int64, Null, Numeric, String,
        Struct, Time, Timestamp,
    };
    match (from, to) {
        (Null, _) => true,
        (left, right) if left.same(right) => true,
        (Array(from), Array(to)) => castable(from, to),
        (Struct(from), Struct(to)) => {
            let mut pairs = from.iter().zip(to);
            from.len() == to.len() && pairs.all(|(f, t)| castable(&f.kind, &t.kind))
        }
        (
            Int64 | Float64 | Numeric | BigNumeric,
            Int64 | Float64 | Numeric | BigNumeric | String,
        )
        | (Int64, Bool)
        | (Bool, Int64 | String)
        | (
            String,
            Bool | Int64 | Float64 | Numeric | BigNumeric | Bytes | Date | DateTime | Time
            | Timestamp,
        )
        | (Bytes | Time, String)
        | (Date, String | DateTime | Timestamp)
        | (DateTime | Timestamp, String | Date | DateTime | Time | Timestamp) => true,
        _ => false,
    }
}

/// Turns a value into one of another type.
pub(super) fn cast(value: &Value, from: &Kind, to: &Kind) -> Result<Value> {
    if from.same(to) {
        return Ok(value.clone());
    }
    match (value, to) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Array(values), Kind::Array(element)) => {
            let Kind::Array(from) = from else {
                return Ok(Value::Array(values.clone()));
            };
            let values = values.iter().map(|value| cast(value, from, element));
            Ok(Value::Array(values.collect::<Result<_>>()?))
        }
        (Value::Struct(values), Kind::Struct(fields)) => {
            let Kind::Struct(from) = from else {
                return Err(mismatch(from, to));
            };
            let values = values.iter().zip(from.iter().zip(fields));
            let values = values.map(|(value, (from, to))| cast(value, &from.kind, &to.kind));
            Ok(Value::Struct(values.collect::<Result<_>>()?))
        }
        (_, Kind::String) => Ok(Value::String(text(value)?)),
        (Value::String(text), _) => from_text(text, to),
        (_, kind) if kind.is_decimal() => Ok(Value::Numeric(fit(&decimal(value)?, kind)?)),
        (_, Kind::Float64) => Ok(Value::Float64(float(value))),
        (Value::Bool(flag), Kind::Int64) => Ok(Value::Int64(i64::from(*flag))),
        (Value::Int64(number), Kind::Bool) => Ok(Value::Bool(*number != 0)),
        (Value::Float64(number), Kind::Int64) => float_to_int(*number),
        (Value::Numeric(text), Kind::Int64) => Decimal::stored(text)
            .to_i64()
            .map(Value::Int64)
            .ok_or_else(|| invalid(format!("int64 out of range: {text}"))),
        _ => cast_time(value, to).ok_or_else(|| mismatch(from, to)),
    }
}

fn cast_time(value: &Value, to: &Kind) -> Option<Value> {
    let micros = match value {
        Value::Date(days) => i64::from(*days) * DAY,
        Value::DateTime(micros) | Value::Timestamp(micros) => *micros,
        _ => return None,
    };
    Some(match to {
        Kind::Date => date(micros.div_euclid(DAY)),
        Kind::DateTime => Value::DateTime(micros),
        Kind::Timestamp => Value::Timestamp(micros),
        Kind::Time => Value::Time(micros.rem_euclid(DAY)),
        _ => return None,
    })
}

fn mismatch(from: &Kind, to: &Kind) -> SqlError {
    invalid(format!("Invalid cast from {from} to {to}"))
}

/// A date, whose days were checked to be in the calendar.
pub(super) fn date(days: i64) -> Value {
    Value::Date(i32::try_from(days).unwrap_or_default())
}

/// The number of a value of a numeric type.
pub(super) fn decimal(value: &Value) -> Result<Decimal> {
    match value {
        Value::Numeric(text) => Ok(Decimal::stored(text)),
        Value::Int64(number) => Ok(Decimal::stored(&number.to_string())),
        Value::Float64(number) => Decimal::from_float(*number).ok_or_else(|| {
            invalid(format!(
                "Illegal conversion of non-finite floating point number to numeric: {number}"
            ))
        }),
        _ => Err(unsupported("this conversion to NUMERIC")),
    }
}

/// The float next to a value of a numeric type.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Int64(number) => *number as f64,
        Value::Float64(number) => *number,
        Value::Numeric(text) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

fn float_to_int(number: f64) -> Result<Value> {
    let rounded = number.round();
    // 2^63 itself is a float, and too large.
    let whole = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    if whole.contains(&rounded) {
        return Ok(Value::Int64(rounded as i64));
    }
    Err(invalid(format!(
        "Illegal conversion of floating point number to int64: {number}"
    )))
}

/// The text of a value, as CAST to STRING writes it.
pub(super) fn text(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float64(number) => float_text(*number),
        Value::Numeric(text) | Value::String(text) => text.clone(),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone())
            .map_err(|_| invalid("Invalid cast of bytes to UTF8 string"))?,
        Value::Timestamp(micros) => format!("{}+00", date_time_text(*micros, ' ')),
        Value::Date(days) => date_text(i64::from(*days)),
        Value::Time(micros) => time_text(*micros),
        Value::DateTime(micros) => date_time_text(*micros, ' '),
        Value::Null | Value::Json(_) | Value::Array(_) | Value::Struct(_) => {
            return Err(unsupported("the text of this type"));
        }
    })
}

/// The shorter of 15 and 17 significant digits that gives the same float again.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let short = format!("{number:.14e}");
    let (precision, scientific) = if short.parse() == Ok(number) {
        (15, short)
    } else {
        (17, format!("{number:.16e}"))
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..precision).contains(&exponent) {
        return Decimal::stored(&scientific).text();
    }
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn from_text(text: &str, to: &Kind) -> Result<Value> {
    let bad = |what: &str| invalid(format!("{what}: {text}"));
    match to {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(bad("Bad bool value")),
        },
        Kind::Int64 => integer(text)
            .map(Value::Int64)
            .ok_or_else(|| bad("Bad int64 value")),
        Kind::Float64 => parse_float(text)
            .map(Value::Float64)
            .ok_or_else(|| bad("Bad double value")),
        Kind::Numeric | Kind::BigNumeric => {
            let number = Decimal::parse(text.trim())
                .ok_or_else(|| invalid(format!("Invalid {to} value: {text}")))?;
            Ok(Value::Numeric(fit(&number, to).map_err(|_| {
                invalid(format!("Invalid {to} value: {text}"))
            })?))
        }
        Kind::Bytes => Ok(Value::Bytes(text.as_bytes().to_vec())),
        Kind::Date => match parse_date(text) {
            Some(days) => Ok(date(days)),
            // The service takes some of these; which ones is written nowhere.
            None if parse_timestamp(text)?.is_some() => {
                Err(unsupported("a DATE from text with a time"))
            }
            None => Err(invalid(format!("Invalid date: '{text}'"))),
        },
        Kind::DateTime => parse_date_time(text)
            .map(Value::DateTime)
            .ok_or_else(|| invalid(format!("Invalid datetime string \"{text}\""))),
        Kind::Time => parse_time(text)
            .map(Value::Time)
            .ok_or_else(|| invalid(format!("Invalid time string \"{text}\""))),
        Kind::Timestamp => match parse_timestamp(text)? {
            Some(micros) => Ok(Value::Timestamp(calendar::check_micros(
                micros,
                "Timestamp",
            )?)),
            None => Err(invalid(format!("Invalid timestamp: '{text}'"))),
        },
        _ => Err(mismatch(&Kind::String, to)),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = text.trim();
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let known = matches!(
        unsigned.to_ascii_lowercase().as_str(),
        "inf" | "infinity" | "nan"
    );
    let number =
        known || unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    plain.parse().ok().filter(|_| number)
}

/// An integer in decimal or, after `0x`, in hexadecimal digits.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16).ok(),
        None if digits.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("{sign}{digits}").parse().ok()
        }
        None => None,
    }
}

/// Holds a value to the limits of a column: NOT NULL, lengths, precision and scale.
pub(super) fn constrain(value: Value, column: &Column) -> Result<Value> {
    match (value, &column.kind) {
        (Value::Null, _) if column.mode == Mode::Repeated => Ok(Value::Array(Vec::new())),
        (Value::Null, _) if column.mode == Mode::Required => Err(invalid(format!(
            "Required field {} cannot be null",
            column.name
        ))),
        (Value::Array(values), _) => {
            let element = Column {
                mode: Mode::Nullable,
                ..column.clone()
            };
            if values.contains(&Value::Null) {
                return Err(invalid(format!(
                    "Array cannot have a null element; error in writing field {}",
                    column.name
                )));
            }
            let values = values.into_iter().map(|value| constrain(value, &element));
            Ok(Value::Array(values.collect::<Result<_>>()?))
        }
        (Value::Struct(values), Type::Struct(fields)) => {
            let values = values.into_iter().zip(fields);
            let values = values.map(|(value, field)| constrain(value, field));
            Ok(Value::Struct(values.collect::<Result<_>>()?))
        }
        (Value::Numeric(text), kind) => constrain_number(text, kind, column),
        (value, _) => {
            let length = match &value {
                Value::String(text) => text.chars().count(),
                Value::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            match column.max_length {
                Some(limit) if length as u64 > limit => Err(invalid(format!(
                    "Field {}: {}({limit}) has maximum length {limit} but got a value with length {length}",
                    column.name,
                    Kind::of_column(column)
                ))),
                _ => Ok(value),
            }
        }
    }
}

fn constrain_number(text: String, kind: &Type, column: &Column) -> Result<Value> {
    let Some((precision, scale)) = column.digits else {
        return Ok(Value::Numeric(text));
    };
    let rounded = Decimal::stored(&text).round(scale as usize);
    if rounded.whole_digits() > precision.saturating_sub(scale) as usize {
        let name = if *kind == Type::BigNumeric {
            "BIGNUMERIC"
        } else {
            "NUMERIC"
        };
        return Err(invalid(format!(
            "Field {}: {name}({precision}, {scale}) has precision {precision} and scale {scale} but got a value that is not in range",
            column.name
        )));
    }
    Ok(Value::Numeric(rounded.text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_with_the_digits_they_need() {
        for (number, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "1e+20"),
            (-1.5e-7, "-1.5e-07"),
            (123_456.75, "123456.75"),
            (0.0001, "0.0001"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn numbers_round_half_away_from_zero() {
        let int = |value: &Value, kind| cast(value, &kind, &Kind::Int64);
        assert_eq!(
            int(&Value::Float64(2.5), Kind::Float64),
            Ok(Value::Int64(3))
        );
        assert_eq!(
            int(&Value::Float64(-2.5), Kind::Float64),
            Ok(Value::Int64(-3))
        );
        assert!(int(&Value::Float64(9.3e18), Kind::Float64).is_err());
        assert_eq!(
            int(&Value::String("0x1F".into()), Kind::String),
            Ok(Value::Int64(31))
        );
        assert!(int(&Value::String("1.0".into()), Kind::String).is_err());
    }
}
