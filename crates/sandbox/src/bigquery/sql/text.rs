//! Functions of STRING and BYTES.

use std::borrow::Cow;

use super::error::{Result, invalid};
use crate::bigquery::base64;
use crate::bigquery::value::Value;

type Values<'v> = [Cow<'v, Value>];

pub(super) fn string<'v>(values: &'v Values<'_>, place: usize) -> &'v str {
    match values.get(place).map(Cow::as_ref) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

pub(super) fn number(values: &Values<'_>, place: usize) -> Option<i64> {
    match values.get(place).map(Cow::as_ref) {
        Some(Value::Int64(number)) => Some(*number),
        _ => None,
    }
}

fn int(count: usize) -> Value {
    Value::Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

pub(super) fn concat(values: &Values<'_>) -> Result<Value> {
    let mut text = String::new();
    let mut bytes = Vec::new();
    let mut list = Vec::new();
    for value in values {
        match value.as_ref() {
            Value::String(part) => text.push_str(part),
            Value::Bytes(part) => bytes.extend_from_slice(part),
            Value::Array(part) => list.extend_from_slice(part),
            _ => {}
        }
    }
    Ok(match values.first().map(Cow::as_ref) {
        Some(Value::Bytes(_)) => Value::Bytes(bytes),
        Some(Value::Array(_)) => Value::Array(list),
        _ => Value::String(text),
    })
}

pub(super) fn length(values: &Values<'_>) -> Result<Value> {
    Ok(match values[0].as_ref() {
        Value::Bytes(bytes) => int(bytes.len()),
        _ => int(string(values, 0).chars().count()),
    })
}

pub(super) fn byte_length(values: &Values<'_>) -> Result<Value> {
    Ok(match values[0].as_ref() {
        Value::Bytes(bytes) => int(bytes.len()),
        _ => int(string(values, 0).len()),
    })
}

pub(super) fn position(values: &Values<'_>) -> Result<Value> {
    let (text, wanted) = (string(values, 0), string(values, 1));
    let before = text.find(wanted).and_then(|place| text.get(..place));
    Ok(Value::Int64(before.map_or(0, |before| {
        i64::try_from(before.chars().count()).map_or(0, |count| count + 1)
    })))
}

/// SUBSTR: a place counts from one, or from the end if it is negative.
pub(super) fn substring(values: &Values<'_>) -> Result<Value> {
    let place = number(values, 1).unwrap_or(1);
    let count = if values.len() > 2 {
        number(values, 2)
    } else {
        None
    };
    if count.is_some_and(|count| count < 0) {
        return Err(invalid("Third argument in SUBSTR() cannot be negative"));
    }
    let count = count.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    let start = |length: usize| {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let start = if place > 0 {
            place - 1
        } else if place < 0 {
            (length + place).max(0)
        } else {
            0
        };
        usize::try_from(start).unwrap_or(usize::MAX)
    };
    Ok(match values[0].as_ref() {
        Value::Bytes(bytes) => Value::Bytes(
            bytes
                .iter()
                .skip(start(bytes.len()))
                .take(count)
                .copied()
                .collect(),
        ),
        _ => {
            let text = string(values, 0);
            Value::String(
                text.chars()
                    .skip(start(text.chars().count()))
                    .take(count)
                    .collect(),
            )
        }
    })
}

pub(super) fn left(values: &Values<'_>) -> Result<Value> {
    let count = count(values, 1, "LEFT")?;
    Ok(Value::String(
        string(values, 0).chars().take(count).collect(),
    ))
}

pub(super) fn right(values: &Values<'_>) -> Result<Value> {
    let count = count(values, 1, "RIGHT")?;
    let text = string(values, 0);
    let skipped = text.chars().count().saturating_sub(count);
    Ok(Value::String(text.chars().skip(skipped).collect()))
}

fn count(values: &Values<'_>, place: usize, name: &str) -> Result<usize> {
    let count = number(values, place).and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| invalid(format!("Second argument in {name}() cannot be negative")))
}

pub(super) fn repeat(values: &Values<'_>) -> Result<Value> {
    let count = count(values, 1, "REPEAT")?;
    let text = string(values, 0);
    if text.len().saturating_mul(count) > 1 << 20 {
        return Err(invalid(
            "Output of REPEAT exceeds max allowed output size of 1MB",
        ));
    }
    Ok(Value::String(text.repeat(count)))
}

pub(super) fn starts_with(values: &Values<'_>) -> Result<Value> {
    Ok(Value::Bool(
        string(values, 0).starts_with(string(values, 1)),
    ))
}

pub(super) fn ends_with(values: &Values<'_>) -> Result<Value> {
    Ok(Value::Bool(string(values, 0).ends_with(string(values, 1))))
}

pub(super) fn lower(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(string(values, 0).to_lowercase()))
}

pub(super) fn upper(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(string(values, 0).to_uppercase()))
}

pub(super) fn reverse(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(string(values, 0).chars().rev().collect()))
}

pub(super) fn replace(values: &Values<'_>) -> Result<Value> {
    let (text, from, to) = (string(values, 0), string(values, 1), string(values, 2));
    if from.is_empty() {
        return Ok(Value::String(text.to_owned()));
    }
    Ok(Value::String(text.replace(from, to)))
}

fn is_trimmed(values: &Values<'_>) -> impl Fn(char) -> bool {
    let given = (values.len() > 1).then(|| string(values, 1));
    move |letter| match given {
        Some(letters) => letters.contains(letter),
        None => letter.is_whitespace(),
    }
}

pub(super) fn trim(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(
        string(values, 0)
            .trim_matches(is_trimmed(values))
            .to_owned(),
    ))
}

pub(super) fn trim_start(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(
        string(values, 0)
            .trim_start_matches(is_trimmed(values))
            .to_owned(),
    ))
}

pub(super) fn trim_end(values: &Values<'_>) -> Result<Value> {
    Ok(Value::String(
        string(values, 0)
            .trim_end_matches(is_trimmed(values))
            .to_owned(),
    ))
}

pub(super) fn split(values: &Values<'_>) -> Result<Value> {
    let text = string(values, 0);
    let separator = if values.len() > 1 {
        string(values, 1)
    } else {
        ","
    };
    let part = |part: &str| Value::String(part.to_owned());
    Ok(Value::Array(if text.is_empty() {
        vec![part("")]
    } else if separator.is_empty() {
        text.chars()
            .map(|letter| Value::String(letter.to_string()))
            .collect()
    } else {
        text.split(separator).map(part).collect()
    }))
}

/// LIKE: `%` for any letters, `_` for one, `\` before a letter that means itself.
pub(super) fn like(values: &Values<'_>) -> Result<Value> {
    enum Step {
        Any,
        One,
        Letter(char),
    }
    let mut steps = Vec::new();
    let mut pattern = string(values, 1).chars();
    while let Some(letter) = pattern.next() {
        steps.push(match letter {
            '%' => Step::Any,
            '_' => Step::One,
            '\\' => match pattern.next() {
                Some(next) => Step::Letter(next),
                None => return Err(invalid("LIKE pattern ends with a backslash")),
            },
            other => Step::Letter(other),
        });
    }
    let text: Vec<char> = string(values, 0).chars().collect();
    // The places of the text that the steps so far may have come to.
    let mut places = vec![false; text.len() + 1];
    places[0] = true;
    for step in &steps {
        let mut next = vec![false; places.len()];
        let mut open = false;
        for (place, reached) in places.iter().enumerate() {
            match step {
                Step::Any => {
                    open |= *reached;
                    next[place] = open;
                }
                Step::One if *reached && place < text.len() => next[place + 1] = true,
                Step::Letter(letter) if *reached && text.get(place) == Some(letter) => {
                    next[place + 1] = true;
                }
                _ => {}
            }
        }
        places = next;
    }
    Ok(Value::Bool(places.last() == Some(&true)))
}

pub(super) fn to_hex(values: &Values<'_>) -> Result<Value> {
    let Value::Bytes(bytes) = values[0].as_ref() else {
        return Ok(Value::Null);
    };
    Ok(Value::String(
        bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

pub(super) fn to_base64(values: &Values<'_>) -> Result<Value> {
    match values[0].as_ref() {
        Value::Bytes(bytes) => Ok(Value::String(base64::encode(bytes))),
        _ => Ok(Value::Null),
    }
}

pub(super) fn array_length(values: &Values<'_>) -> Result<Value> {
    Ok(match values[0].as_ref() {
        Value::Array(list) => int(list.len()),
        _ => Value::Null,
    })
}

pub(super) fn array_reverse(values: &Values<'_>) -> Result<Value> {
    Ok(match values[0].as_ref() {
        Value::Array(list) => Value::Array(list.iter().rev().cloned().collect()),
        _ => Value::Null,
    })
}

/// ARRAY_TO_STRING: NULLs are left out unless there is a text for them.
pub(super) fn array_to_string(values: &Values<'_>) -> Result<Value> {
    let Value::Array(list) = values[0].as_ref() else {
        return Ok(Value::Null);
    };
    let parts: Vec<&str> = list
        .iter()
        .filter_map(|value| match value {
            Value::String(text) => Some(text.as_str()),
            _ if values.len() > 2 => Some(string(values, 2)),
            _ => None,
        })
        .collect();
    Ok(Value::String(parts.join(string(values, 1))))
}
