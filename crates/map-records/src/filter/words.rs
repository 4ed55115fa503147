//! What a filter failed with, in words without the values that the engine puts into its own.

use jaq_json::Val;
use singer_core::scan::{self, ValueKind};
use singer_core::validate::kind_name;

type Failure = jaq_core::Error<Val>;

/// The words for a failure. A text that stands in the filter itself is no value of a record.
pub(super) fn of(failure: Failure, code: &str) -> String {
    let value = failure.into_val();
    let text = match &value {
        Val::TStr(text) => String::from_utf8_lossy(text).into_owned(),
        _ => return "it raised an error that is no text".to_owned(),
    };
    if code.contains(&format!("\"{text}\"")) {
        return text;
    }
    engine_words(&text, code)
        .unwrap_or_else(|| "it raised an error whose text may hold values of the record".to_owned())
}

/// The engine's own messages, with kinds in the place of values.
fn engine_words(text: &str, code: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("cannot index ") {
        let (kind, rest) = value(rest)?;
        let index = rest.strip_prefix(" with ")?;
        let name = index.trim_matches('"');
        if code.contains(name) && index.starts_with('"') {
            return Some(format!("cannot index {kind} with `{name}`"));
        }
        return Some(format!("cannot index {kind} with {}", value(index)?.0));
    }
    if let Some(rest) = text.strip_prefix("cannot use ") {
        let (kind, rest) = value(rest)?;
        return Some(format!("cannot use {kind}{rest}"));
    }
    if let Some(rest) = text.strip_prefix("cannot calculate ") {
        let (left, rest) = value(rest)?;
        let (operator, right) = rest.trim_start().split_once(' ')?;
        return Some(format!(
            "cannot calculate {left} {operator} {}",
            value(right)?.0
        ));
    }
    if let Some(rest) = text.strip_prefix("cannot parse ") {
        let (kind, rest) = value(rest)?;
        let format = rest.strip_prefix(" as ")?.split(':').next()?;
        return Some(format!("cannot parse {kind} as {format}"));
    }
    if text.starts_with("invalid path expression") {
        return Some("a place to change was expected, and a value was found".to_owned());
    }
    if text == "cannot parse as number" || text == "cannot parse as boolean" {
        return Some(text.to_owned());
    }
    if text.ends_with(" has no length") {
        return Some("a boolean has no length".to_owned());
    }
    if text.starts_with("invalid regex") {
        return Some("invalid regular expression".to_owned());
    }
    if text == "split input and separator must be strings" {
        return Some(text.to_owned());
    }
    None
}

/// The kind of the value at the start of a text, and what follows it.
fn value(text: &str) -> Option<(&'static str, &str)> {
    let found = scan::scan_value(text.as_bytes(), 0, 0).ok()?;
    let kind = match found.kind {
        // The two sorts of numbers are one to people who write filters.
        ValueKind::Integer => "number",
        kind => kind_name(kind),
    };
    Some((kind, text.get(found.end..)?))
}
