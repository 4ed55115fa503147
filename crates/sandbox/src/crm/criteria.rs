//! The criteria of a bulk read: their grammar and its refusals. Facts: sections 3.2 and 11.

use serde_json::{Value, json};

use super::answer::ApiError;
use super::column::Column;
use super::condition::{Comparison, Condition, Operand, Test, operand};
use super::field::{Delivery, Kind};
use super::module::Module;
use super::store::Store;
use super::version::Version;

/// Leaves of one query.
const LEAVES: usize = 25;

/// Characters of a text to compare with.
const TEXT: usize = 255;

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

/// What the criteria are read against.
pub(super) struct Criteria<'a> {
    pub(super) store: &'a Store,
    pub(super) module: &'a Module,
    pub(super) version: Version,
    pub(super) in_values: usize,
    leaves: usize,
    /// Some fields behind users are refused only when the job runs.
    pub(super) fails_late: bool,
}

impl<'a> Criteria<'a> {
    pub(super) fn new(
        store: &'a Store,
        module: &'a Module,
        version: Version,
        in_values: usize,
    ) -> Criteria<'a> {
        Criteria {
            store,
            module,
            version,
            in_values,
            leaves: 0,
            fails_late: false,
        }
    }

    pub(super) fn read(&mut self, criteria: &Value) -> Result<Condition, ApiError> {
        let object = criteria
            .as_object()
            .ok_or_else(|| ApiError::bad("INVALID_CRITERIA", json!({})))?;
        let has = |key: &str| object.contains_key(key);
        let is_leaf = has(self.field_key()) || has("comparator") || has("value");
        if has("group") && is_leaf {
            return Err(ApiError::bad("AMBIGUOUS_CRITERIA", json!({})));
        }
        if has("group_operator") && is_leaf {
            return Err(ApiError::bad("AMBIGUOUS_GROUP_IN_CRITERIA", json!({})));
        }
        if is_leaf {
            return self.leaf(criteria);
        }
        let group = criteria["group"]
            .as_array()
            .filter(|group| !group.is_empty());
        let group = group.ok_or_else(|| ApiError::bad("INVALID_CRITERIA", json!({})))?;
        let parts = group
            .iter()
            .map(|part| self.read(part))
            .collect::<Result<_, _>>()?;
        match criteria["group_operator"].as_str() {
            Some("and" | "AND") => Ok(Condition::All(parts)),
            Some("or" | "OR") => Ok(Condition::Any(parts)),
            _ => Err(ApiError::bad("GROUP_OPERATOR_NOT_SUPPORTED", json!({}))),
        }
    }

    fn field_key(&self) -> &'static str {
        if self.version.has_objects() {
            "field"
        } else {
            "api_name"
        }
    }

    fn leaf(&mut self, leaf: &Value) -> Result<Condition, ApiError> {
        self.leaves += 1;
        if self.leaves > LEAVES {
            return Err(ApiError::bad(
                "CRITERIA_LIMIT_EXCEEDED",
                json!({"max_limit": LEAVES}),
            ));
        }
        let name = if self.version.has_objects() {
            &leaf["field"]["api_name"]
        } else {
            &leaf["api_name"]
        };
        let name = name
            .as_str()
            .ok_or_else(|| ApiError::bad("INVALID_CRITERIA", json!({})))?;
        let column = Column::of(self.store, self.module, name)
            .ok_or_else(|| ApiError::field("FIELD_IN_CRITERIA_NOT_AVAILABLE", name))?;
        self.fails_late |= matches!(column, Column::User { .. });
        if let Column::Field(field) = column {
            let field = &self.module.fields[field];
            if field.kind == Kind::Absent || matches!(field.delivery, Delivery::Refused(_)) {
                return Err(ApiError::field("FIELD_IN_CRITERIA_NOT_SUPPORTED", name));
            }
            if field.is_encrypted && leaf["value"] != json!(EMPTY) {
                let code = "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE";
                return Err(ApiError::field(code, name));
            }
        }
        let kind = column.kind(self.store, self.module);
        let comparator = leaf["comparator"].as_str().unwrap_or_default();
        if !COMPARATORS.contains(&comparator) {
            return Err(ApiError::field(
                "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
                name,
            ));
        }
        if !fits(kind, comparator) {
            let code = "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE";
            return Err(ApiError::field(code, name));
        }
        self.test(name, column, kind, comparator, &leaf["value"])
    }

    fn test(
        &self,
        name: &str,
        column: Column,
        kind: Kind,
        comparator: &str,
        value: &Value,
    ) -> Result<Condition, ApiError> {
        let takes_list = matches!(comparator, "in" | "not_in" | "between" | "not_between");
        let values: Vec<&Value> = match value {
            Value::Object(_) => return Err(ApiError::field("VALUE_TYPE_NOT_SUPPORTED", name)),
            Value::Array(values) if takes_list => values.iter().collect(),
            single if !takes_list && !single.is_array() && !single.is_null() => vec![single],
            _ => {
                let code = "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE";
                return Err(ApiError::field(code, name));
            }
        };
        if values.len() > self.in_values {
            let details = json!({"api_name": name, "max_limit": self.in_values});
            return Err(ApiError::bad("VALUE_LIMIT_EXCEEDED_IN_CRITERIA", details));
        }
        let is_empty = value == EMPTY;
        let tested = |test| Condition::Column(column, test);
        let not = |condition| Condition::Not(Box::new(condition));
        if is_empty {
            return match comparator {
                "equal" => Ok(tested(Test::Empty)),
                "not_equal" => Ok(not(tested(Test::Empty))),
                _ => Err(ApiError::field(
                    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
                    name,
                )),
            };
        }
        let operands = values
            .into_iter()
            .map(|value| operand_of(name, kind, value))
            .collect::<Result<Vec<_>, _>>()?;
        let first = operands.first().cloned();
        let first =
            first.ok_or_else(|| ApiError::field("VALUE_IN_CRITERIA_NOT_SUPPORTED", name))?;
        let text = match &first {
            Operand::Text(text) => text.clone(),
            _ => String::new(),
        };
        let compare = |comparison| tested(Test::Compare(comparison, first.clone()));
        // What is negated holds for no value as well.
        Ok(match comparator {
            "equal" => compare(Comparison::Equal),
            "not_equal" => not(compare(Comparison::Equal)),
            "less_than" => compare(Comparison::Less),
            "less_equal" => compare(Comparison::LessEqual),
            "greater_than" => compare(Comparison::Greater),
            "greater_equal" => compare(Comparison::GreaterEqual),
            "contains" => tested(Test::Contains(text)),
            "not_contains" => not(tested(Test::Contains(text))),
            "starts_with" => tested(Test::StartsWith(text)),
            "ends_with" => tested(Test::EndsWith(text)),
            "in" => tested(Test::In(operands)),
            "not_in" => not(tested(Test::In(operands))),
            between => {
                let [low, high] = operands.as_slice() else {
                    let code = "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE";
                    return Err(ApiError::field(code, name));
                };
                let inside = tested(Test::Between(low.clone(), high.clone()));
                if between == "between" {
                    inside
                } else {
                    not(inside)
                }
            }
        })
    }
}

/// Whether a kind of field can be asked so.
fn fits(kind: Kind, comparator: &str) -> bool {
    let is_equal = matches!(comparator, "equal" | "not_equal" | "in" | "not_in");
    let is_order = matches!(
        comparator,
        "less_than" | "less_equal" | "greater_than" | "greater_equal"
    );
    match kind {
        Kind::Boolean => comparator == "equal",
        Kind::Record | Kind::User => is_equal,
        Kind::Integer | Kind::BigInt | Kind::Decimal => is_equal || is_order,
        Kind::Date | Kind::DateTime => {
            is_equal || is_order || matches!(comparator, "between" | "not_between")
        }
        _ => {
            let part = matches!(
                comparator,
                "contains" | "not_contains" | "starts_with" | "ends_with"
            );
            is_equal || part
        }
    }
}

fn operand_of(name: &str, kind: Kind, value: &Value) -> Result<Operand, ApiError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(ApiError::field("VALUE_TYPE_NOT_SUPPORTED", name)),
    };
    if text.chars().count() > TEXT {
        return Err(ApiError::field("VALUE_IN_CRITERIA_NOT_SUPPORTED", name));
    }
    operand(kind, &text)
        .ok_or_else(|| ApiError::field("FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", name))
}
