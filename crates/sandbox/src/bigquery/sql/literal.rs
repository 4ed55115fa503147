//! Literals: the tokenizer leaves their escapes to this module.

use sqlparser::ast;

use super::bind::Typed;
use super::cast::{cast, integer};
use super::error::{Result, SqlErrorKind, invalid, unsupported};
use super::kind::Kind;
use crate::bigquery::value::Value;

/// The value of a literal and its type.
pub(super) fn read(value: &ast::Value) -> Result<Typed> {
    use ast::Value as V;
    Ok(match value {
        V::Null => Typed::literal(Value::Null, Kind::Null),
        V::Boolean(flag) => Typed {
            literal: false,
            ..Typed::literal(Value::Bool(*flag), Kind::Bool)
        },
        V::Number(text, _) => number(text)?,
        V::HexStringLiteral(digits) => number(&format!("0x{digits}"))?,
        V::SingleQuotedByteStringLiteral(text)
        | V::DoubleQuotedByteStringLiteral(text)
        | V::TripleSingleQuotedByteStringLiteral(text)
        | V::TripleDoubleQuotedByteStringLiteral(text) => {
            Typed::literal(Value::Bytes(unescape(text, Escapes::Bytes)?), Kind::Bytes)
        }
        other => Typed::literal(Value::String(string(other)?), Kind::String),
    })
}

/// The text of a string literal.
pub(super) fn string(value: &ast::Value) -> Result<String> {
    use ast::Value as V;
    match value {
        V::SingleQuotedString(text)
        | V::DoubleQuotedString(text)
        | V::TripleSingleQuotedString(text)
        | V::TripleDoubleQuotedString(text) => {
            let bytes = unescape(text, Escapes::Text)?;
            String::from_utf8(bytes).map_err(|_| invalid("Syntax error: Illegal escape sequence"))
        }
        V::SingleQuotedRawStringLiteral(text)
        | V::DoubleQuotedRawStringLiteral(text)
        | V::TripleSingleQuotedRawStringLiteral(text)
        | V::TripleDoubleQuotedRawStringLiteral(text) => Ok(text.clone()),
        _ => Err(invalid("Syntax error: Expected string literal")),
    }
}

/// The value of a literal number.
pub(super) fn number(text: &str) -> Result<Typed> {
    let digits = text.trim_start_matches('-');
    let is_float =
        !digits.starts_with("0x") && !digits.starts_with("0X") && digits.contains(['.', 'e', 'E']);
    if is_float {
        let parsed: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
        let number =
            parsed.ok_or_else(|| invalid(format!("Invalid floating point literal: {text}")))?;
        return Ok(Typed::literal(Value::Float64(number), Kind::Float64));
    }
    let number =
        integer(text).ok_or_else(|| invalid(format!("Invalid integer literal: {text}")))?;
    Ok(Typed::literal(Value::Int64(number), Kind::Int64))
}

/// A literal with its type before it, such as `DATE '2026-01-01'`.
pub(super) fn typed(text: &str, kind: &Kind) -> Result<Typed> {
    let value = match kind {
        Kind::Json => Value::Json(super::json::normal(text)?),
        Kind::Date
        | Kind::DateTime
        | Kind::Time
        | Kind::Timestamp
        | Kind::Numeric
        | Kind::BigNumeric => cast(&Value::String(text.to_owned()), &Kind::String, kind).map_err(
            |error| match error.kind {
                SqlErrorKind::Invalid => invalid(format!("Invalid {kind} literal")),
                _ => error,
            },
        )?,
        _ => {
            return Err(invalid(format!(
                "Syntax error: Unexpected string literal after {kind}"
            )));
        }
    };
    Ok(Typed {
        literal: false,
        ..Typed::literal(value, kind.clone())
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Text,
    Bytes,
}

/// Replaces the escapes of a literal by what they stand for.
fn unescape(text: &str, escapes: Escapes) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            push(&mut bytes, next);
            continue;
        }
        let escape = rest.next().ok_or_else(|| illegal('\\'))?;
        match escape {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' | '?' | '"' | '\'' | '`' | '\n' => push(&mut bytes, escape),
            'x' | 'X' => code(&mut bytes, &mut rest, 2, 16, "", escapes)?,
            'u' if escapes == Escapes::Text => code(&mut bytes, &mut rest, 4, 16, "", escapes)?,
            'U' if escapes == Escapes::Text => code(&mut bytes, &mut rest, 8, 16, "", escapes)?,
            '0'..='3' => {
                let first = escape.to_string();
                code(&mut bytes, &mut rest, 2, 8, &first, escapes)?;
            }
            other => return Err(illegal(other)),
        }
    }
    Ok(bytes)
}

fn push(bytes: &mut Vec<u8>, next: char) {
    bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads a code of so many digits; in text it is a code point, otherwise a byte.
fn code(
    bytes: &mut Vec<u8>,
    rest: &mut std::str::Chars<'_>,
    count: usize,
    radix: u32,
    first: &str,
    escapes: Escapes,
) -> Result<()> {
    let digits: String = first.chars().chain(rest.take(count)).collect();
    let number = u32::from_str_radix(&digits, radix).map_err(|_| illegal('x'))?;
    if digits.len() != count + first.len() {
        return Err(illegal('x'));
    }
    match escapes {
        Escapes::Bytes => bytes.push(u8::try_from(number).map_err(|_| illegal('x'))?),
        Escapes::Text => push(bytes, char::from_u32(number).ok_or_else(|| illegal('u'))?),
    }
    Ok(())
}

fn illegal(escape: char) -> super::error::SqlError {
    if escape.is_ascii() {
        return invalid(format!("Syntax error: Illegal escape sequence: \\{escape}"));
    }
    unsupported("an escape of a character outside of ASCII")
}
