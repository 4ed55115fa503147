//! Conditions on records, which the criteria of bulk reads and COQL share.

use std::cmp::Ordering;

use super::column::{Column, Scalar};
use super::field::Kind;
use super::module::Module;
use super::store::Store;
use super::table::Row;
use super::zone::{is_date, read_time};

/// A condition that a record fulfils or not. A null fulfils [`Test::Empty`] and negations alone.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Column(Column, Test),
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Compare(Comparison, Operand),
    In(Vec<Operand>),
    /// Both ends belong to it.
    Between(Operand, Operand),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A value of a request, in the form of its field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Condition {
    pub(super) fn holds(&self, store: &Store, module: &Module, row: &Row) -> bool {
        match self {
            Condition::All(parts) => parts.iter().all(|part| part.holds(store, module, row)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(store, module, row)),
            Condition::Not(part) => !part.holds(store, module, row),
            Condition::Column(column, test) => test.holds(&column.scalar(store, module, row)),
        }
    }
}

impl Test {
    fn holds(&self, value: &Scalar<'_>) -> bool {
        let text = |holds: &dyn Fn(&str) -> bool| match value {
            Scalar::Null => false,
            Scalar::Text(text) => holds(text),
            Scalar::Integer(number) => holds(&number.to_string()),
            Scalar::Number(number) => holds(&number.to_string()),
        };
        match self {
            Test::Empty => *value == Scalar::Null,
            Test::Compare(comparison, operand) => {
                order(value, operand).is_some_and(|order| comparison.allows(order))
            }
            Test::In(operands) => operands
                .iter()
                .any(|operand| order(value, operand) == Some(Ordering::Equal)),
            Test::Between(low, high) => {
                order(value, low).is_some_and(Ordering::is_ge)
                    && order(value, high).is_some_and(Ordering::is_le)
            }
            Test::Contains(part) => text(&|text| text.contains(part.as_str())),
            Test::StartsWith(part) => text(&|text| text.starts_with(part.as_str())),
            Test::EndsWith(part) => text(&|text| text.ends_with(part.as_str())),
        }
    }
}

impl Comparison {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
        }
    }
}

/// Reads a text as a value of a kind; nothing if it cannot be one.
pub(super) fn operand(kind: Kind, text: &str) -> Option<Operand> {
    match kind {
        Kind::Integer | Kind::BigInt | Kind::Record | Kind::User => {
            text.parse().ok().map(Operand::Integer)
        }
        Kind::Decimal => text.parse().ok().map(Operand::Number),
        Kind::DateTime => read_time(text).map(Operand::Integer),
        Kind::Date => is_date(text).then(|| Operand::Text(text.to_owned())),
        Kind::Boolean => {
            let small = text.to_ascii_lowercase();
            matches!(small.as_str(), "true" | "false").then_some(Operand::Text(small))
        }
        _ => Some(Operand::Text(text.to_owned())),
    }
}

/// The order of two values that are kept, nulls first.
pub(super) fn order_of(left: &Scalar<'_>, right: &Scalar<'_>) -> Ordering {
    match (left, right) {
        (Scalar::Null, Scalar::Null) => Ordering::Equal,
        (Scalar::Null, _) => Ordering::Less,
        (_, Scalar::Null) => Ordering::Greater,
        (Scalar::Integer(left), Scalar::Integer(right)) => left.cmp(right),
        (Scalar::Number(left), Scalar::Number(right)) => left.total_cmp(right),
        (Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        _ => Ordering::Equal,
    }
}

fn order(value: &Scalar<'_>, operand: &Operand) -> Option<Ordering> {
    match (value, operand) {
        (Scalar::Integer(value), Operand::Integer(operand)) => Some(value.cmp(operand)),
        (Scalar::Number(value), Operand::Number(operand)) => value.partial_cmp(operand),
        (Scalar::Text(value), Operand::Text(operand)) => Some(value.as_ref().cmp(operand.as_str())),
        _ => None,
    }
}
