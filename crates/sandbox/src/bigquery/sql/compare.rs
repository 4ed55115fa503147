//! How values compare: three-valued for `=`, total for ORDER BY, and as keys of a hash table.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::decimal::Decimal;
use crate::bigquery::value::Value;

/// Orders two values of the same type: NULL is the least, NaN the next.
pub(super) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(l), Value::Bool(r)) => l.cmp(r),
        (Value::Int64(l), Value::Int64(r))
        | (Value::Timestamp(l), Value::Timestamp(r))
        | (Value::Time(l), Value::Time(r))
        | (Value::DateTime(l), Value::DateTime(r)) => l.cmp(r),
        (Value::Date(l), Value::Date(r)) => l.cmp(r),
        (Value::Float64(l), Value::Float64(r)) => match (l.is_nan(), r.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => l.partial_cmp(r).unwrap_or(Ordering::Equal),
        },
        (Value::Numeric(l), Value::Numeric(r)) if l == r => Ordering::Equal,
        (Value::Numeric(l), Value::Numeric(r)) => Decimal::stored(l).compare(&Decimal::stored(r)),
        (Value::String(l), Value::String(r)) | (Value::Json(l), Value::Json(r)) => l.cmp(r),
        (Value::Bytes(l), Value::Bytes(r)) => l.cmp(r),
        (Value::Array(l), Value::Array(r)) | (Value::Struct(l), Value::Struct(r)) => l
            .iter()
            .zip(r)
            .map(|(l, r)| order(l, r))
            .find(|found| found.is_ne())
            .unwrap_or_else(|| l.len().cmp(&r.len())),
        // Types were made the same before the values were.
        _ => Ordering::Equal,
    }
}

/// Compares for `<`, `=` and `>`: nothing with a NULL; NaN stands in no order.
pub(super) fn compare(left: &Value, right: &Value) -> Compared {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Compared::Unknown,
        (Value::Float64(l), Value::Float64(r)) => l
            .partial_cmp(r)
            .map_or(Compared::Unordered, Compared::Ordered),
        (Value::Struct(l), Value::Struct(r)) => match equal_fields(l, r) {
            Some(true) => Compared::Ordered(Ordering::Equal),
            Some(false) => Compared::Unordered,
            None => Compared::Unknown,
        },
        _ => Compared::Ordered(order(left, right)),
    }
}

/// What is known of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// One of them is NULL.
    Unknown,
    /// They differ, and none is the greater.
    Unordered,
    Ordered(Ordering),
}

/// `=`, with NULL for unknown.
pub(super) fn equal(left: &Value, right: &Value) -> Option<bool> {
    match compare(left, right) {
        Compared::Unknown => None,
        Compared::Unordered => Some(false),
        Compared::Ordered(found) => Some(found.is_eq()),
    }
}

fn equal_fields(left: &[Value], right: &[Value]) -> Option<bool> {
    let mut known = true;
    for (l, r) in left.iter().zip(right) {
        match equal(l, r) {
            Some(false) => return Some(false),
            Some(true) => {}
            None => known = false,
        }
    }
    known.then_some(true)
}

/// Whether a value is NULL or a STRUCT with a NULL in it, so that `=` may be unknown.
pub(super) fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Struct(fields) => fields.iter().any(has_null),
        _ => false,
    }
}

/// Values as a key: equal as GROUP BY and IS NOT DISTINCT FROM see it, so that NULL is NULL.
#[derive(Debug, Clone)]
pub(super) struct Key<'a>(pub(super) Vec<Cow<'a, Value>>);

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Key<'_>) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|(l, r)| order(l, r).is_eq())
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in &self.0 {
            hash(value, state);
        }
    }
}

fn hash<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Null => state.write_u8(0),
        Value::Bool(flag) => flag.hash(state),
        Value::Int64(number)
        | Value::Timestamp(number)
        | Value::Time(number)
        | Value::DateTime(number) => number.hash(state),
        Value::Date(days) => days.hash(state),
        Value::Float64(number) if number.is_nan() => state.write_u8(1),
        // Zero has two forms that are equal.
        Value::Float64(number) => (number + 0.0).to_bits().hash(state),
        Value::Numeric(text) | Value::String(text) | Value::Json(text) => text.hash(state),
        Value::Bytes(bytes) => bytes.hash(state),
        Value::Array(values) | Value::Struct(values) => {
            for value in values {
                hash(value, state);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) fn holds(self, found: Compared) -> Option<bool> {
        let order = match found {
            Compared::Unknown => return None,
            Compared::Unordered => return Some(self == Comparison::NotEqual),
            Compared::Ordered(order) => order,
        };
        Some(match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        })
    }
}
