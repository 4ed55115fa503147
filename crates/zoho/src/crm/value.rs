//! Reading metadata that may lack any key and have any type: ids as texts or numbers, switches as words.

use serde_json::Value;

/// A text, or a number as text; nothing if it is empty or something else.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, also as text.
pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    match value.get(key)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A switch, also as text.
pub(super) fn flag(value: &Value, key: &str) -> Option<bool> {
    match value.get(key)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The API name of something that is given as a text or as an object with one.
pub(super) fn name(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        object @ Value::Object(_) => text(object, "api_name"),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}
