//! What differs between two states, path by path.

use serde::Serialize;
use serde_json::value::RawValue;
use singer_core::{Error, Result};

use super::file::{Entries, compact};

/// What is shown of a value on a line.
const SHOWN: usize = 200;

/// A difference at one path.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Change {
    /// The keys from the top.
    pub(crate) path: Vec<String>,
    pub(crate) kind: ChangeKind,
    /// The value as JSON, if there was one.
    pub(crate) before: Option<Box<RawValue>>,
    pub(crate) after: Option<Box<RawValue>>,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    Added,
    Removed,
    Changed,
}

impl Change {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let path = if self.path.is_empty() {
            "(all)".to_owned()
        } else {
            self.path.join(".")
        };
        let value = |value: &Option<Box<RawValue>>| value.as_deref().map(shown).unwrap_or_default();
        let (before, after) = (value(&self.before), value(&self.after));
        match self.kind {
            ChangeKind::Added => format!("+ {path}: {after}\n"),
            ChangeKind::Removed => format!("- {path}: {before}\n"),
            ChangeKind::Changed => format!("  {path}: {before} -> {after}\n"),
        }
    }
}

fn shown(value: &RawValue) -> String {
    let text = compact(value.get());
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// The differences, in the order of the newer state; numbers are compared by their digits.
pub(crate) fn changes(before: &str, after: &str) -> Result<Vec<Change>> {
    let raw = |text: &str| {
        RawValue::from_string(text.trim().to_owned())
            .map_err(|_| Error::config("a state is not JSON"))
    };
    let mut found = Vec::new();
    compare(&mut Vec::new(), &raw(before)?, &raw(after)?, &mut found);
    Ok(found)
}

fn compare(path: &mut Vec<String>, before: &RawValue, after: &RawValue, found: &mut Vec<Change>) {
    let (Some(old), Some(new)) = (object(before), object(after)) else {
        if compact(before.get()) != compact(after.get()) {
            found.push(change(path, Some(before), Some(after)));
        }
        return;
    };
    for (key, value) in &new.0 {
        path.push(key.clone());
        match old.get(key) {
            Some(old) => compare(path, old, value, found),
            None => found.push(change(path, None, Some(value))),
        }
        path.pop();
    }
    for (key, value) in &old.0 {
        if new.get(key).is_none() {
            path.push(key.clone());
            found.push(change(path, Some(value), None));
            path.pop();
        }
    }
}

/// All values of a state that are no objects with something in them, with the keys from the top.
pub(crate) fn leaves(state: &RawValue) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    collect(&mut Vec::new(), state, &mut found);
    found
}

fn collect(path: &mut Vec<String>, value: &RawValue, found: &mut Vec<(Vec<String>, String)>) {
    match object(value).filter(|object| !object.0.is_empty()) {
        Some(object) => {
            for (key, value) in object.0 {
                path.push(key);
                collect(path, &value, found);
                path.pop();
            }
        }
        None => found.push((path.clone(), compact(value.get()))),
    }
}

fn object(value: &RawValue) -> Option<Entries> {
    serde_json::from_str(value.get()).ok()
}

fn change(path: &[String], before: Option<&RawValue>, after: Option<&RawValue>) -> Change {
    Change {
        path: path.to_vec(),
        kind: match (before, after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        },
        before: before.map(ToOwned::to_owned),
        after: after.map(ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(before: &str, after: &str) -> String {
        let found = changes(before, after).unwrap();
        found.iter().map(Change::line).collect()
    }

    #[test]
    fn each_path_that_differs_has_its_line() {
        assert_eq!(
            lines(
                r#"{"bookmarks":{"public.account":{"v":"2024","n":1},"old":{"x":1}},"same":[1, 2]}"#,
                r#"{"bookmarks":{"public.account":{"v":"2025","n":1},"new":{}},"same":[1,2]}"#
            ),
            "  bookmarks.public.account.v: \"2024\" -> \"2025\"\n\
             + bookmarks.new: {}\n\
             - bookmarks.old: {\"x\":1}\n"
        );
        assert_eq!(lines("null", "{}"), "  (all): null -> {}\n");
        assert_eq!(lines("{}", "{ }"), "");
    }

    #[test]
    fn leaves_keep_their_digits() {
        let text = r#"{"a.b": {"n": 12345678901234567890123.10, "list": [1, 2]}, "none": {}}"#;
        let leaves = leaves(&RawValue::from_string(text.to_owned()).unwrap());
        let told: Vec<String> = leaves
            .iter()
            .map(|(path, value)| format!("{} {value}", path.join("/")))
            .collect();
        assert_eq!(
            told,
            [
                "a.b/n 12345678901234567890123.10",
                "a.b/list [1,2]",
                "none {}"
            ]
        );
    }

    #[test]
    fn numbers_are_compared_by_their_digits() {
        assert_eq!(
            lines(
                r#"{"n":12345678901234567890121}"#,
                r#"{"n":12345678901234567890122}"#
            ),
            "  n: 12345678901234567890121 -> 12345678901234567890122\n"
        );
    }
}
