//! Conditions on rows, which ZCQL and the criteria of a bulk read share.

use std::cmp::Ordering;

use super::column::{DataType, System};
use super::table::{Place, Row, Scalar, Table};
use super::zone::{Zone, read_local_ms};

/// A condition that a row fulfils or not. A null fulfils none but [`Test::Null`].
#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Column(Place, Test),
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Compare(Comparison, Operand),
    In(Vec<Operand>),
    Between(Operand, Operand),
    /// A text with parts of any length between these.
    Like(Vec<String>),
    Null,
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

/// A value of a request, in the form of its column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Condition {
    pub(super) fn holds(&self, table: &Table, row: &Row, zone: Zone) -> bool {
        match self {
            Condition::All(parts) => parts.iter().all(|part| part.holds(table, row, zone)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(table, row, zone)),
            Condition::Not(part) => !part.holds(table, row, zone),
            Condition::Column(place, test) => test.holds(&table.scalar(row, *place, zone)),
        }
    }
}

impl Test {
    fn holds(&self, value: &Scalar<'_>) -> bool {
        match self {
            Test::Null => *value == Scalar::Null,
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
            Test::Like(parts) => match value {
                Scalar::Null => false,
                Scalar::Text(text) => matches(text, parts),
                Scalar::Integer(number) => matches(&number.to_string(), parts),
                Scalar::Number(number) => matches(&number.to_string(), parts),
            },
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

/// Reads a text as a value of a column; nothing if it cannot be one.
pub(super) fn operand(table: &Table, place: Place, text: &str) -> Option<Operand> {
    match (place, table.type_of(place)) {
        (Place::System(System::CreatedTime | System::ModifiedTime), _) => {
            read_local_ms(text).map(Operand::Integer)
        }
        (_, DataType::Int | DataType::BigInt | DataType::ForeignKey) => {
            text.parse().ok().map(Operand::Integer)
        }
        (_, DataType::Double | DataType::Decimal) => text.parse().ok().map(Operand::Number),
        (_, DataType::DateTime) => {
            let time = chrono::DateTime::from_timestamp_millis(read_local_ms(text)?)?;
            Some(Operand::Text(time.format("%Y-%m-%d %H:%M:%S").to_string()))
        }
        (_, DataType::Date) => {
            read_local_ms(text)?;
            Some(Operand::Text(text.to_owned()))
        }
        (_, DataType::Boolean) => {
            let text = text.to_ascii_lowercase();
            matches!(text.as_str(), "true" | "false").then_some(Operand::Text(text))
        }
        (_, DataType::Text | DataType::Varchar | DataType::EncryptedText) => {
            Some(Operand::Text(text.to_owned()))
        }
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
        (Scalar::Text(value), Operand::Text(operand)) => Some((*value).cmp(operand.as_str())),
        _ => None,
    }
}

/// Whether a text consists of the parts, with anything between them.
fn matches(text: &str, parts: &[String]) -> bool {
    let Some(((first, last), middle)) = parts.split_first().map(|(first, rest)| {
        let (last, middle) = rest
            .split_last()
            .map_or((None, rest), |(last, middle)| (Some(last), middle));
        ((first, last), middle)
    }) else {
        return text.is_empty();
    };
    let Some(last) = last else {
        return text == first;
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part.as_str()) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_parts_of_any_length() {
        let like = |text: &str, pattern: &str| {
            let parts: Vec<_> = pattern.split('*').map(str::to_owned).collect();
            matches(text, &parts)
        };
        assert!(like("Rui", "Rui"));
        assert!(like("Rui", "R*"));
        assert!(like("Rui", "*u*"));
        assert!(like("Rui", "*"));
        assert!(like("abcabd", "a*ab*d"));
        assert!(!like("Rui", "r*"));
        assert!(!like("aba", "ab*ba"));
    }

    #[test]
    fn a_null_fulfils_no_comparison() {
        let test = Test::Compare(Comparison::NotEqual, Operand::Integer(1));
        assert!(!test.holds(&Scalar::Null));
        assert!(test.holds(&Scalar::Integer(2)));
        assert!(Test::Null.holds(&Scalar::Null));
    }
}
