//! JSON: its normal text, paths into it, and the JSON text of other values.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::calendar::{date_text, date_time_text, time_text};
use super::error::{Result, invalid, unsupported};
use super::kind::{Field, Kind};
use crate::bigquery::value::Value;

/// JSON text without white space between its tokens.
pub(super) fn normal(text: &str) -> Result<String> {
    let json = parse(text)?;
    Ok(json.to_string())
}

fn parse(text: &str) -> Result<Json> {
    let json = serde_json::from_str(text)
        .map_err(|_| invalid("Invalid input to PARSE_JSON: syntax error while parsing value"))?;
    check_numbers(&json, text)?;
    Ok(json)
}

/// Numbers that a float does not hold are refused by the service; which ones exactly is its secret.
fn check_numbers(json: &Json, text: &str) -> Result<()> {
    let digits = |run: &str| run.bytes().filter(u8::is_ascii_digit).count();
    let is_number_part = |letter: char| letter.is_ascii_digit() || ".eE+-".contains(letter);
    let long = match json {
        Json::Number(_) => digits(text) > 15,
        Json::Array(_) | Json::Object(_) => {
            let mut quoted = false;
            let mut escaped = false;
            let bare: String = text
                .chars()
                .filter(|letter| {
                    let was = quoted;
                    if *letter == '"' && !escaped {
                        quoted = !quoted;
                    }
                    escaped = quoted && *letter == '\\' && !escaped;
                    !was && !quoted
                })
                .collect();
            let mut runs = bare.split(|letter| !is_number_part(letter));
            runs.any(|run| run.contains(['.', 'e', 'E']) && digits(run) > 15 || digits(run) > 19)
        }
        _ => false,
    };
    match json {
        Json::Number(number) if number.is_i64() || number.is_u64() => Ok(()),
        _ if long => Err(unsupported("JSON with numbers of so many digits")),
        _ => Ok(()),
    }
}

/// The keys and places of a path such as `$.a."b c"[0]`.
fn steps(path: &str) -> Result<Vec<String>> {
    let bad = || invalid(format!("Invalid JSONPath: {path}"));
    let mut rest = path.strip_prefix('$').ok_or_else(bad)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(quoted) = rest.strip_prefix(".\"") {
            quoted.split_once('"').ok_or_else(bad)?
        } else if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            name.split_at(end)
        } else if let Some(place) = rest.strip_prefix('[') {
            place.split_once(']').ok_or_else(bad)?
        } else {
            return Err(bad());
        };
        if step.is_empty() || step.contains(['\\', '*', '\'']) {
            return Err(unsupported("this JSON path"));
        }
        steps.push(step.to_owned());
        rest = after;
    }
    Ok(steps)
}

fn find(text: &str, path: &str) -> Result<Option<Json>> {
    let steps = steps(path)?;
    let Ok(mut json) = serde_json::from_str::<Json>(text) else {
        return Ok(None);
    };
    for step in steps {
        let inner = match &mut json {
            Json::Object(fields) => fields.get_mut(&step).map(Json::take),
            Json::Array(values) => {
                let place = step.parse::<usize>().ok();
                place
                    .and_then(|place| values.get_mut(place))
                    .map(Json::take)
            }
            _ => None,
        };
        match inner {
            Some(inner) => json = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(json))
}

fn text_and_path<'v>(arguments: &'v [Cow<'_, Value>]) -> (&'v str, &'v str) {
    let text = |place: usize| match arguments.get(place).map(Cow::as_ref) {
        Some(Value::String(text) | Value::Json(text)) => text.as_str(),
        _ => "$",
    };
    (text(0), text(1))
}

/// JSON_VALUE: a scalar as text; NULL for all else.
pub(super) fn scalar(arguments: &[Cow<'_, Value>]) -> Result<Value> {
    let (text, path) = text_and_path(arguments);
    Ok(match find(text, path)? {
        Some(Json::String(text)) => Value::String(text),
        Some(Json::Number(number)) => Value::String(number.to_string()),
        Some(Json::Bool(flag)) => Value::String(flag.to_string()),
        _ => Value::Null,
    })
}

/// JSON_QUERY: what is at the path, as JSON text.
pub(super) fn part(arguments: &[Cow<'_, Value>]) -> Result<Value> {
    let (text, path) = text_and_path(arguments);
    let as_json = matches!(arguments.first().map(Cow::as_ref), Some(Value::Json(_)));
    Ok(match find(text, path)? {
        Some(json) if as_json => Value::Json(json.to_string()),
        Some(Json::Null) | None => Value::Null,
        Some(json) => Value::String(json.to_string()),
    })
}

/// The text that TO_JSON_STRING gives for a value.
pub(super) fn text_of(value: &Value, kind: &Kind) -> Result<String> {
    let quoted = |text: &str| Json::String(text.to_owned()).to_string();
    // 2^53: beyond it a reader of JSON would round.
    let is_safe = |number: i64| number.unsigned_abs() <= 1 << 53;
    Ok(match value {
        Value::Null if matches!(kind, Kind::Array(_)) => "[]".to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int64(number) if is_safe(*number) => number.to_string(),
        Value::Int64(number) => format!("\"{number}\""),
        Value::Float64(number) if number.is_finite() => super::cast::float_text(*number),
        Value::Float64(number) => quoted(&super::cast::float_text(*number)),
        Value::Numeric(_) => return Err(unsupported("TO_JSON_STRING of NUMERIC")),
        Value::String(text) if text.chars().all(is_plain) => quoted(text),
        Value::String(_) => return Err(unsupported("TO_JSON_STRING of such characters")),
        Value::Bytes(bytes) => quoted(&crate::bigquery::base64::encode(bytes)),
        Value::Timestamp(micros) => format!("\"{}Z\"", date_time_text(*micros, 'T')),
        Value::Date(days) => format!("\"{}\"", date_text(i64::from(*days))),
        Value::Time(micros) => format!("\"{}\"", time_text(*micros)),
        Value::DateTime(micros) => format!("\"{}\"", date_time_text(*micros, 'T')),
        Value::Json(text) => text.clone(),
        Value::Array(values) => {
            let element = match kind {
                Kind::Array(element) => element,
                other => other,
            };
            let texts: Vec<String> = values
                .iter()
                .map(|value| text_of(value, element))
                .collect::<Result<_>>()?;
            format!("[{}]", texts.join(","))
        }
        Value::Struct(values) => {
            let fields: &[Field] = match kind {
                Kind::Struct(fields) => fields,
                _ => &[],
            };
            let mut texts = Vec::new();
            for (value, field) in values.iter().zip(fields) {
                let name = field.name.as_deref().unwrap_or_default();
                texts.push(format!("{}:{}", quoted(name), text_of(value, &field.kind)?));
            }
            format!("{{{}}}", texts.join(","))
        }
    })
}

/// Characters that every writer of JSON leaves as they are or escapes alike.
fn is_plain(letter: char) -> bool {
    let escaped_by_some = [
        '\u{2028}', '\u{2029}', '\u{7f}', '<', '>', '&', '\u{8}', '\u{c}',
    ];
    !escaped_by_some.contains(&letter) && (letter >= ' ' || "\n\r\t".contains(letter))
}
