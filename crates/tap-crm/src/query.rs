//! Criteria: what the config asks for, checked before anything is asked of the service; joined with a window of
//! time; and the same as the condition of a query.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use singer_core::value::time::parse_timestamp;
use singer_core::{Error, Result};

use crate::schema::MODIFIED_TIME;

/// Conditions that a bulk read takes.
const MOST_LEAVES: usize = 25;

/// Values that `in` takes by the newest of the service's pages.
const MOST_IN: usize = 200;

/// Values that `in` of a query takes.
const MOST_QUERY_IN: usize = 100;

/// Characters of a value.
const LONGEST_VALUE: usize = 255;

/// What stands for no value.
const EMPTY: &str = "${EMPTY}";

const COMPARATORS: [&str; 14] = [
    "equal",
    "not_equal",
    "in",
    "not_in",
    "less_than",
    "less_equal",
    "greater_than",
    "greater_equal",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "between",
    "not_between",
];

/// Records that were changed at `from` or later and before `to`, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// The first second that belongs to it; all if there is none.
    pub(crate) from: Option<i64>,
    /// The first second that does not belong to it any more.
    pub(crate) to: Option<i64>,
}

/// One condition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    /// The field, perhaps with that of a parent record before a dot.
    pub(crate) field: &'a str,
    /// How it is compared.
    pub(crate) comparator: &'a str,
    value: &'a Value,
}

/// Criteria that keep to the grammar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Criteria {
    json: Value,
    leaves: usize,
}

impl Criteria {
    /// Checks criteria of the config; `place` is their place in it.
    ///
    /// # Errors
    /// Of kind `Config`, naming the place that breaks the grammar.
    pub(crate) fn parse(place: &str, value: &Value) -> Result<Self> {
        let mut leaves = 0;
        check(place, value, &mut leaves)?;
        if leaves > MOST_LEAVES {
            return Err(Error::config(format!(
                "`{place}` has {leaves} conditions, and the service takes {MOST_LEAVES}"
            )));
        }
        Ok(Self {
            json: value.clone(),
            leaves,
        })
    }

    /// All conditions.
    pub(crate) fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut found = Vec::new();
        collect(&self.json, &mut found);
        found
    }

    /// The condition of a query that means the same; nothing if that is not certain.
    fn query(&self) -> Option<String> {
        condition(&self.json)
    }
}

impl Window {
    /// Every record.
    pub(crate) const ALL: Self = Self {
        from: None,
        to: None,
    };

    /// The criteria of a bulk read of this window.
    ///
    /// # Errors
    /// Of kind `Config` if they are more than the service takes.
    pub(crate) fn criteria(&self, own: Option<&Criteria>) -> Result<Option<Value>> {
        let bound = |comparator: &str, second: i64| {
            Ok::<_, Error>(json!({
                "field": {"api_name": MODIFIED_TIME},
                "comparator": comparator,
                "value": time_text(second)?,
            }))
        };
        let mut group = Vec::new();
        if let Some(from) = self.from {
            group.push(bound("greater_equal", from)?);
        }
        if let Some(to) = self.to {
            group.push(bound("less_than", to)?);
        }
        let leaves = group.len() + own.map_or(0, |own| own.leaves);
        if leaves > MOST_LEAVES {
            return Err(Error::config(format!(
                "the criteria leave no room for the {} conditions of an incremental read: the service takes {MOST_LEAVES}",
                group.len()
            )));
        }
        group.extend(own.map(|own| own.json.clone()));
        Ok(match group.len() {
            0 => None,
            1 => group.pop(),
            _ => Some(json!({"group_operator": "and", "group": group})),
        })
    }

    /// The same records as the conditions of a query, behind the record `after` (second and id) if there is one;
    /// nothing if the config's criteria cannot be said in a query.
    ///
    /// # Errors
    /// Of kind `Internal` for a second that no calendar has.
    pub(crate) fn query(
        &self,
        own: Option<&Criteria>,
        after: Option<(i64, &str)>,
    ) -> Result<Option<String>> {
        let own = match own.map(Criteria::query) {
            Some(None) => return Ok(None),
            Some(Some(own)) => Some(own),
            None => None,
        };
        let from = after.map(|(second, _)| second).or(self.from);
        let mut conditions = Vec::new();
        if let Some(from) = from {
            conditions.push(format!("{MODIFIED_TIME} >= '{}'", time_text(from)?));
        }
        if let Some(to) = self.to {
            conditions.push(format!("{MODIFIED_TIME} < '{}'", time_text(to)?));
        }
        if let Some((second, id)) = after {
            let time = time_text(second)?;
            conditions.push(format!("({MODIFIED_TIME} > '{time}' or id > {id})"));
        }
        conditions.extend(own);
        Ok(joined(conditions, "and"))
    }
}

/// A second as the service reads it: with an offset, without a fraction.
///
/// # Errors
/// Of kind `Internal` for a second that no calendar has.
pub(crate) fn time_text(second: i64) -> Result<String> {
    let time = DateTime::from_timestamp(second, 0)
        .ok_or_else(|| Error::internal("a bound of the read lies outside of the calendar"))?;
    Ok(time.to_rfc3339_opts(SecondsFormat::Secs, false))
}

fn check(place: &str, value: &Value, leaves: &mut usize) -> Result<()> {
    let Some(object) = value.as_object() else {
        return Err(wrong(place, "is no object"));
    };
    let is_group = object.contains_key("group") || object.contains_key("group_operator");
    if !is_group {
        *leaves += 1;
        return check_leaf(place, object);
    }
    only(place, object, &["group_operator", "group"])?;
    if !matches!(
        object.get("group_operator").and_then(Value::as_str),
        Some("and" | "or")
    ) {
        return Err(wrong(
            place,
            "needs a `group_operator`, which is `and` or `or`",
        ));
    }
    let group = object.get("group").and_then(Value::as_array);
    let Some(group) = group.filter(|group| !group.is_empty()) else {
        return Err(wrong(place, "needs a `group`, which is a list of criteria"));
    };
    for (index, inner) in group.iter().enumerate() {
        check(&format!("{place}.group[{index}]"), inner, leaves)?;
    }
    Ok(())
}

fn check_leaf(place: &str, leaf: &Map<String, Value>) -> Result<()> {
    only(place, leaf, &["field", "comparator", "value"])?;
    let name = leaf.get("field").and_then(|field| field.get("api_name"));
    if !name.and_then(Value::as_str).is_some_and(is_name) {
        return Err(wrong(
            place,
            "needs a `field` of the form {\"api_name\": \"…\"}",
        ));
    }
    let comparator = leaf.get("comparator").and_then(Value::as_str);
    let Some(comparator) = comparator.filter(|word| COMPARATORS.contains(word)) else {
        return Err(wrong(place, "needs a `comparator` that the service knows")
            .with_hint(format!("one of `{}`", COMPARATORS.join("`, `"))));
    };
    let value = leaf.get("value").unwrap_or(&Value::Null);
    let list = value.as_array();
    match (comparator, list) {
        ("between" | "not_between", Some(list)) if list.len() == 2 => {}
        ("between" | "not_between", _) => {
            return Err(wrong(
                place,
                "needs a `value` of two elements for its comparator",
            ));
        }
        ("in" | "not_in", Some(list)) if (1..=MOST_IN).contains(&list.len()) => {}
        ("in" | "not_in", _) => {
            let most = format!("needs a `value` that is a list of 1 to {MOST_IN} elements");
            return Err(wrong(place, &most));
        }
        (_, Some(_)) => {
            return Err(wrong(
                place,
                "needs one `value` for its comparator, no list",
            ));
        }
        (_, None) => {}
    }
    match list {
        Some(list) => list.iter().try_for_each(|value| check_value(place, value)),
        None => check_value(place, value),
    }
}

fn check_value(place: &str, value: &Value) -> Result<()> {
    match value {
        Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.chars().count() > LONGEST_VALUE => Err(wrong(
            place,
            &format!("has a `value` of more than {LONGEST_VALUE} characters"),
        )),
        Value::String(text) if text.contains('.') && parse_timestamp(text).is_some() => Err(wrong(
            place,
            "has a time with a fraction of a second, which the service refuses",
        )),
        Value::String(_) => Ok(()),
        _ => Err(
            wrong(place, "has a `value` that is no text, number or boolean")
                .with_hint(format!("`{EMPTY}` stands for no value")),
        ),
    }
}

fn only(place: &str, object: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(wrong(place, &format!("has a key `{key}` that does not belong there"))
            .with_hint("a condition has `field`, `comparator` and `value`, a group has `group_operator` and `group`; nothing is both")),
        None => Ok(()),
    }
}

fn wrong(place: &str, what: &str) -> Error {
    Error::config(format!("`{place}` {what}"))
}

/// Names as the service makes them, with dots between; nothing else may stand in a query.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && (part.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(&byte))
    };
    text.split('.').all(is_part)
}

fn collect<'a>(value: &'a Value, found: &mut Vec<Leaf<'a>>) {
    if let Some(group) = value.get("group").and_then(Value::as_array) {
        group.iter().for_each(|inner| collect(inner, found));
        return;
    }
    let text = |value: Option<&'a Value>| value.and_then(Value::as_str).unwrap_or_default();
    found.push(Leaf {
        field: text(value.pointer("/field/api_name")),
        comparator: text(value.get("comparator")),
        value: value.get("value").unwrap_or(&Value::Null),
    });
}

fn condition(value: &Value) -> Option<String> {
    if let Some(group) = value.get("group").and_then(Value::as_array) {
        let conditions = group.iter().map(condition).collect::<Option<Vec<_>>>()?;
        let operator = value.get("group_operator")?.as_str()?;
        return joined(conditions, operator);
    }
    let mut leaves = Vec::new();
    collect(value, &mut leaves);
    let [
        Leaf {
            field,
            comparator,
            value,
        },
    ] = leaves.as_slice()
    else {
        return None;
    };
    if value.as_str() == Some(EMPTY) {
        return (*comparator == "equal").then(|| format!("{field} is null"));
    }
    // What is left out here may treat records without a value otherwise than a bulk read does.
    let sign = match *comparator {
        "equal" => "=",
        "less_than" => "<",
        "less_equal" => "<=",
        "greater_than" => ">",
        "greater_equal" => ">=",
        "in" => {
            let list = value.as_array()?;
            let literals = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            return (literals.len() <= MOST_QUERY_IN)
                .then(|| format!("{field} in ({})", literals.join(", ")));
        }
        _ => return None,
    };
    Some(format!("{field} {sign} {}", literal(value)?))
}

/// A value in a query; nothing for a text whose quotes or signs would have to be escaped.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) => {
            let is_plain = |letter: char| !letter.is_control() && !"'\"\\%$&".contains(letter);
            (text != EMPTY && text.chars().all(is_plain)).then(|| format!("'{text}'"))
        }
        _ => None,
    }
}

/// Conditions in pairs of parentheses, as the query language wants more than two.
fn joined(conditions: Vec<String>, operator: &str) -> Option<String> {
    let count = conditions.len();
    let mut conditions = conditions.into_iter().enumerate();
    let (_, first) = conditions.next()?;
    Some(conditions.fold(first, |whole, (index, next)| {
        if index + 1 < count {
            format!("({whole} {operator} {next})")
        } else if operator == "or" {
            format!("({whole} or {next})")
        } else {
            format!("{whole} {operator} {next}")
        }
    }))
}

#[cfg(test)]
mod tests;
