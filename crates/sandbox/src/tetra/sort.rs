//! The order of hits, and the place behind which a page begins. Facts: section 3.2.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::ApiError;
use super::date;
use super::document::{Look, Place, Scalar};
use super::query::TIMES;

/// One field of an order.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: String,
    is_descending: bool,
    missing_first: bool,
    /// Where no index maps it, it is missing everywhere.
    may_be_unmapped: bool,
}

/// The value of a document in one field of an order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Integer(i64),
    Float(f64),
    Text(Arc<str>),
    Missing,
}

impl Key {
    /// As it stands in `sort`.
    pub(super) fn json(&self) -> Value {
        match self {
            Key::Integer(number) => json!(number),
            Key::Float(number) => json!(number),
            Key::Text(text) => json!(&**text),
            Key::Missing => Value::Null,
        }
    }

    /// Whether they are of one type, or one is missing.
    pub(super) fn is_comparable(&self, other: &Key) -> bool {
        let is_text = |key: &Key| matches!(key, Key::Text(_));
        let is_missing = [self, other].contains(&&Key::Missing);
        is_missing || is_text(self) == is_text(other)
    }

    fn compare(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Integer(one), Key::Integer(two)) => one.cmp(two),
            (Key::Text(one), Key::Text(two)) => one.cmp(two),
            (Key::Text(_), _) => Ordering::Greater,
            (_, Key::Text(_)) => Ordering::Less,
            _ => self.number().total_cmp(&other.number()),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Key::Integer(number) => *number as f64,
            Key::Float(number) => *number,
            Key::Text(_) | Key::Missing => f64::INFINITY,
        }
    }
}

/// Reads `sort`.
pub(super) fn read(value: &Value) -> Result<Vec<Field>, ApiError> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut fields = Vec::new();
    for item in items {
        match item {
            Value::String(name) => fields.push(field(name, &json!({}))?),
            Value::Object(members) if !members.is_empty() => {
                for (name, how) in members {
                    fields.push(field(name, how)?);
                }
            }
            _ => return Err(ApiError::query("`sort` is no list of fields")),
        }
    }
    Ok(fields)
}

fn field(name: &str, how: &Value) -> Result<Field, ApiError> {
    let members = match how {
        Value::String(order) => json!({"order": order}),
        other => other.clone(),
    };
    let members = super::query::object(&members, name)?;
    let names = [
        "order",
        "missing",
        "unmapped_type",
        "mode",
        "format",
        "numeric_type",
        "nested",
    ];
    super::query::known(members, &names)?;
    for other in ["nested", "mode", "format", "numeric_type"] {
        if members.contains_key(other) {
            return Err(ApiError::not_simulated(format!("`{other}` of an order")));
        }
    }
    let is_descending = match members.get("order").map(Value::as_str) {
        None => name == "_score",
        Some(Some("asc")) => false,
        Some(Some("desc")) => true,
        Some(_) => return Err(ApiError::query("`order` is `asc` or `desc`")),
    };
    let missing_first = match members.get("missing").map(Value::as_str) {
        None | Some(Some("_last")) => false,
        Some(Some("_first")) => true,
        Some(_) => return Err(ApiError::not_simulated("a value for missing fields")),
    };
    Ok(Field {
        name: name.to_owned(),
        is_descending,
        missing_first,
        may_be_unmapped: members.contains_key("unmapped_type"),
    })
}

/// Whether hits are in the order of `indexedAt`, with `fileId` behind it or nothing, and if so, whether
/// that is descending.
pub(super) fn by_time(fields: &[Field]) -> Option<bool> {
    let (first, rest) = fields.split_first()?;
    let is_id = |field: &Field| ["fileId", "_id"].contains(&field.name.as_str());
    let is_tie_breaker = |field: &Field| is_id(field) && field.is_descending == first.is_descending;
    let is_usual = match rest {
        [] => true,
        [second] => is_tie_breaker(second),
        _ => false,
    };
    (first.name == "indexedAt" && is_usual).then_some(first.is_descending)
}

/// Whether an index that has mapped these fields can put its documents in order.
pub(super) fn suits(fields: &[Field], is_mapped: impl Fn(&str) -> bool) -> bool {
    let can_sort = |field: &Field| field.may_be_unmapped || is_mapped(&field.name);
    fields.iter().all(can_sort)
}

/// Reads `search_after`, which has a value for each field of the order.
pub(super) fn read_after(
    fields: &[Field],
    value: &Value,
    takes_texts: bool,
) -> Result<Vec<Key>, ApiError> {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    if fields.is_empty() || values.len() != fields.len() {
        return Err(ApiError::query(
            "`search_after` has not one value for each field of `sort`",
        ));
    }
    let pairs = fields.iter().zip(values);
    pairs
        .map(|(field, value)| field.after(value, takes_texts))
        .collect()
}

/// The keys of a document. `place` is its place in the index.
pub(super) fn keys(fields: &[Field], look: &Look<'_>, place: usize) -> Vec<Key> {
    fields.iter().map(|field| field.key(look, place)).collect()
}

/// Compares the keys of two documents.
pub(super) fn compare(fields: &[Field], one: &[Key], two: &[Key]) -> Ordering {
    for (field, (one, two)) in fields.iter().zip(one.iter().zip(two)) {
        let order = match (one, two) {
            (Key::Missing, Key::Missing) => Ordering::Equal,
            (Key::Missing, _) if field.missing_first => Ordering::Less,
            (Key::Missing, _) => Ordering::Greater,
            (_, Key::Missing) if field.missing_first => Ordering::Greater,
            (_, Key::Missing) => Ordering::Less,
            _ if field.is_descending => two.compare(one),
            _ => one.compare(two),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl Field {
    fn is_time(&self) -> bool {
        TIMES.contains(&self.name.as_str())
    }

    fn key(&self, look: &Look<'_>, place: usize) -> Key {
        match self.name.as_str() {
            "_doc" => return Key::Integer(i64::try_from(place).unwrap_or(i64::MAX)),
            "_score" => return Key::Float(1.0),
            // What most searches are sorted by.
            "indexedAt" => return Key::Integer(look.document().indexed_ms),
            "fileId" | "_id" => return Key::Text(Arc::clone(&look.document().file_id)),
            _ => {}
        }
        let mut key = Key::Missing;
        let root = Place::Root(look);
        root.any(&self.name, |scalar| {
            key = match scalar {
                Scalar::Text(text) => match date::detect(text) {
                    // The index takes a text that is a time for one.
                    Some(ms) => Key::Integer(ms),
                    None => Key::Text(text.into()),
                },
                Scalar::Number(number) => match number.as_i64() {
                    Some(number) => Key::Integer(number),
                    None => Key::Float(number.as_f64().unwrap_or(f64::MAX)),
                },
                Scalar::Bool(truth) => Key::Integer(i64::from(truth)),
                Scalar::Time(ms) => Key::Integer(ms),
            };
            true
        });
        key
    }

    /// A value of `search_after`, which is to be what a hit had in its `sort`.
    fn after(&self, value: &Value, takes_texts: bool) -> Result<Key, ApiError> {
        let is_id = ["fileId", "_id"].contains(&self.name.as_str());
        Ok(match value {
            Value::Null => Key::Missing,
            Value::String(text) if self.is_time() => {
                let ms = text.parse().ok().or_else(|| date::read_ms(text));
                let ms = ms.filter(|_| takes_texts);
                Key::Integer(ms.ok_or_else(|| ApiError::query("`search_after` has no time"))?)
            }
            Value::String(text) => Key::Text(text.as_str().into()),
            Value::Number(_) if is_id => {
                return Err(ApiError::query("`search_after` has a number for an id"));
            }
            Value::Number(number) => match number.as_i64() {
                Some(number) => Key::Integer(number),
                None if self.is_time() => {
                    return Err(ApiError::query("`search_after` has no time"));
                }
                None => Key::Float(number.as_f64().unwrap_or(f64::MAX)),
            },
            Value::Bool(truth) if !is_id && !self.is_time() => Key::Integer(i64::from(*truth)),
            _ => return Err(ApiError::query("`search_after` has a list or an object")),
        })
    }
}
