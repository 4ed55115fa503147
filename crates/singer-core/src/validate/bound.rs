//! `minimum`, `maximum` and their exclusive kin.

use std::cmp::Ordering;

use serde_json::Value;

use super::Violation;
use super::rule::check_that;
use crate::number;
use crate::scan::ValueKind;

/// A bound of numbers.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    text: String,
    small: Option<i64>,
    /// How the value may compare with the bound.
    admits: [Ordering; 2],
    words: &'static str,
}

impl Bound {
    pub(super) fn check(&self, text: &[u8], kind: ValueKind) -> Result<(), Violation> {
        if !matches!(kind, ValueKind::Integer | ValueKind::Number) {
            return Ok(());
        }
        let small = self.small.filter(|_| text.len() <= 18).and_then(|bound| {
            let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            Some(value.cmp(&bound))
        });
        let order = small.unwrap_or_else(|| number::compare(text, self.text.as_bytes()));
        check_that(self.admits.contains(&order), || {
            format!("must be {} {}", self.words, self.text)
        })
    }
}

/// The bounds that a schema sets.
pub(super) fn bounds_of(schema: &Value) -> Vec<Bound> {
    use Ordering::{Equal, Greater, Less};
    // Draft 4 marks a bound as exclusive by a boolean beside it, later drafts by a bound of its own.
    let exclusive = |word: &str| schema.get(word) == Some(&Value::Bool(true));
    let least = if exclusive("exclusiveMinimum") {
        ([Greater, Greater], "greater than")
    } else {
        ([Greater, Equal], "at least")
    };
    let most = if exclusive("exclusiveMaximum") {
        ([Less, Less], "less than")
    } else {
        ([Less, Equal], "at most")
    };
    let mut bounds = Vec::new();
    for (word, (admits, words)) in [
        ("minimum", least),
        ("maximum", most),
        ("exclusiveMinimum", ([Greater, Greater], "greater than")),
        ("exclusiveMaximum", ([Less, Less], "less than")),
    ] {
        if let Some(Value::Number(bound)) = schema.get(word) {
            bounds.push(Bound {
                text: bound.to_string(),
                small: bound.as_i64(),
                admits,
                words,
            });
        }
    }
    bounds
}
