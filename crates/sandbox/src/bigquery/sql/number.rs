//! Arithmetic: integers that do not overflow silently, decimals with every digit, floats as they are.

use super::cast::{decimal, float};
use super::decimal::{Decimal, fit, scale_of};
use super::error::{Result, SqlError, invalid};
use super::kind::Kind;
use crate::bigquery::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// DIV: the quotient without its part after the point.
    Quotient,
    /// MOD: what is left; it has the sign of the dividend.
    Remainder,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

impl Operation {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Quotient => "DIV",
            Operation::Remainder => "MOD",
            Operation::BitAnd => "&",
            Operation::BitOr => "|",
            Operation::BitXor => "^",
            Operation::ShiftLeft => "<<",
            Operation::ShiftRight => ">>",
        }
    }
}

/// The result of an operation on two values that have the given type.
pub(super) fn arithmetic(
    operation: Operation,
    kind: &Kind,
    left: &Value,
    right: &Value,
) -> Result<Value> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Int64(left), Value::Int64(right)) => integers(operation, *left, *right),
        _ if kind.is_decimal() => {
            decimals(operation, kind, &decimal(left)?, &decimal(right)?).map(Value::Numeric)
        }
        _ => floats(operation, float(left), float(right)).map(Value::Float64),
    }
}

fn integers(operation: Operation, left: i64, right: i64) -> Result<Value> {
    let shift = || u32::try_from(right).map_err(|_| invalid("Bitwise shift by negative offset"));
    let number = match operation {
        Operation::Add => left.checked_add(right),
        Operation::Subtract => left.checked_sub(right),
        Operation::Multiply => left.checked_mul(right),
        Operation::Divide | Operation::Quotient | Operation::Remainder if right == 0 => {
            return Err(division_by_zero(operation, &left.to_string()));
        }
        Operation::Divide => {
            return floats(operation, left as f64, right as f64).map(Value::Float64);
        }
        Operation::Quotient => left.checked_div(right),
        Operation::Remainder => Some(left.checked_rem(right).unwrap_or(0)),
        Operation::BitAnd => Some(left & right),
        Operation::BitOr => Some(left | right),
        Operation::BitXor => Some(left ^ right),
        Operation::ShiftLeft => Some(left.checked_shl(shift()?).unwrap_or(0)),
        Operation::ShiftRight => {
            let shifted = (left as u64).checked_shr(shift()?).unwrap_or(0);
            Some(shifted as i64)
        }
    };
    number.map(Value::Int64).ok_or_else(|| {
        invalid(format!(
            "int64 overflow: {left} {} {right}",
            operation.sign()
        ))
    })
}

fn decimals(operation: Operation, kind: &Kind, left: &Decimal, right: &Decimal) -> Result<String> {
    let whole = || {
        let divided = left.divide_whole(right);
        divided.ok_or_else(|| division_by_zero(operation, &left.text()))
    };
    let number = match operation {
        Operation::Add => left.add(right),
        Operation::Subtract => left.subtract(right),
        Operation::Multiply => left.multiply(right),
        Operation::Divide => left
            .divide(right, scale_of(kind))
            .ok_or_else(|| division_by_zero(operation, &left.text()))?,
        Operation::Quotient => whole()?.0,
        Operation::Remainder => whole()?.1,
        _ => return Err(invalid("Bitwise operators take integers")),
    };
    fit(&number, kind)
}

fn floats(operation: Operation, left: f64, right: f64) -> Result<f64> {
    let number = match operation {
        Operation::Add => left + right,
        Operation::Subtract => left - right,
        Operation::Multiply => left * right,
        Operation::Divide if right == 0.0 => {
            return Err(division_by_zero(operation, &left.to_string()));
        }
        Operation::Divide => left / right,
        _ => {
            return Err(invalid(
                "DIV, MOD and bitwise operators do not take FLOAT64",
            ));
        }
    };
    if number.is_infinite() && left.is_finite() && right.is_finite() {
        return Err(invalid(format!(
            "Floating point overflow: {left} {} {right}",
            operation.sign()
        )));
    }
    Ok(number)
}

fn division_by_zero(operation: Operation, left: &str) -> SqlError {
    invalid(format!("division by zero: {left} {} 0", operation.sign()))
}
