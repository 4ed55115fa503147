//! Types that are made to agree, and the operators that need them to.

use sqlparser::ast::Spanned;

use super::bind::Typed;
use super::cast::cast;
use super::compare::Comparison;
use super::error::{Result, SqlError, SqlErrorKind, invalid};
use super::expr::{Env, Expr, Frame};
use super::kind::{Kind, supertype};
use super::number::Operation;
use crate::bigquery::value::Value;

/// Turns a value into another type if that happens by itself.
pub(super) fn coerce(value: Typed, target: &Kind, place: &impl Spanned) -> Result<Typed> {
    if value.kind.same(target) || value.kind == Kind::Null {
        return Ok(Typed {
            kind: target.clone(),
            ..value
        });
    }
    if !value.kind.coerces(target, value.literal) {
        return Err(invalid(format!(
            "Could not cast value of type {} to type {target}",
            value.kind
        ))
        .at(place));
    }
    if let Expr::Literal(inner) = &value.expr {
        let found = cast(inner, &value.kind, target).map_err(|error| match error.kind {
            SqlErrorKind::Invalid if value.kind == Kind::String => {
                invalid(format!("Could not cast literal to type {target}"))
            }
            _ => error,
        });
        return Ok(Typed {
            expr: Expr::Literal(found.map_err(|error| error.at(place))?),
            kind: target.clone(),
            literal: value.literal,
        });
    }
    let expr = match (value.expr, &value.kind, target) {
        // The literals in a STRUCT are taken as freely as those outside of it.
        (Expr::Struct(parts), Kind::Struct(from), Kind::Struct(to)) => {
            let parts = parts
                .into_iter()
                .zip(from.iter().zip(to))
                .map(|(part, (from, to))| {
                    let part = Typed {
                        literal: value.literal,
                        expr: part,
                        kind: from.kind.clone(),
                    };
                    coerce(part, &to.kind, place).map(|part| part.expr)
                });
            Expr::Struct(parts.collect::<Result<_>>()?)
        }
        (expr, from, to) => Expr::Cast {
            value: Box::new(expr),
            from: from.clone(),
            to: to.clone(),
            limit: None,
        },
    };
    Ok(Typed::new(expr, target.clone()))
}

/// Turns values into one type.
pub(super) fn unify(
    values: Vec<Typed>,
    what: &str,
    place: &impl Spanned,
) -> Result<(Vec<Typed>, Kind)> {
    let weights: Vec<_> = values.iter().map(Typed::weight).collect();
    let Some(kind) = supertype(&weights) else {
        let kinds: Vec<_> = values.iter().map(|value| &value.kind).collect();
        return Err(no_signature(what, &kinds).at(place));
    };
    let values = values.into_iter().map(|value| coerce(value, &kind, place));
    Ok((values.collect::<Result<_>>()?, kind))
}

pub(super) fn no_signature(what: &str, kinds: &[&Kind]) -> SqlError {
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let sort = if what.starts_with(|first: char| first.is_ascii_alphabetic()) && what != "IN" {
        "function"
    } else {
        "operator"
    };
    invalid(format!(
        "No matching signature for {sort} {what} for argument types: {}",
        kinds.join(", ")
    ))
}

pub(super) fn check_equality(kind: &Kind, what: &str, place: &impl Spanned) -> Result<()> {
    if kind.has_equality() {
        return Ok(());
    }
    Err(invalid(format!(
        "{what} is not defined for arguments of type {kind}"
    ))
    .at(place))
}

/// A comparison of two values.
pub(super) fn compare(
    comparison: Comparison,
    left: Typed,
    right: Typed,
    place: &impl Spanned,
) -> Result<Expr> {
    let sign = match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    };
    let (mut pair, kind) = unify(vec![left, right], sign, place)?;
    let by_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    if !kind.has_equality() || !by_equality && !kind.has_order() {
        return Err(invalid(format!(
            "{sign} is not defined for arguments of type {kind}"
        ))
        .at(place));
    }
    let right = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    let left = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    Ok(Expr::Compare(comparison, Box::new(left), Box::new(right)))
}

/// An arithmetic operation.
pub(super) fn operate(
    operation: Operation,
    left: Typed,
    right: Typed,
    place: &impl Spanned,
) -> Result<Typed> {
    let days = |value: &Typed| value.kind == Kind::Date;
    if matches!(operation, Operation::Add | Operation::Subtract)
        && days(&left)
        && right.kind == Kind::Int64
    {
        let right = match operation {
            Operation::Subtract => Expr::Arithmetic(
                Operation::Subtract,
                Kind::Int64,
                Box::new(Expr::Literal(Value::Int64(0))),
                Box::new(right.expr),
            ),
            _ => right.expr,
        };
        return Ok(Typed::new(
            super::moment::date_plus(left.expr, right),
            Kind::Date,
        ));
    }
    let kinds = [&left.kind, &right.kind];
    let refused = no_signature(operation.sign(), &kinds).at(place);
    let (mut pair, mut kind) = unify(vec![left, right], operation.sign(), place)?;
    if kind == Kind::Null {
        kind = Kind::Int64;
    }
    let integers_only = matches!(
        operation,
        Operation::BitAnd
            | Operation::BitOr
            | Operation::BitXor
            | Operation::ShiftLeft
            | Operation::ShiftRight
    );
    let whole_only = matches!(operation, Operation::Quotient | Operation::Remainder);
    if !kind.is_number()
        || integers_only && kind != Kind::Int64
        || whole_only && kind == Kind::Float64
    {
        return Err(refused);
    }
    let right = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    let left = pair.pop().map_or_else(Expr::null, |typed| typed.expr);
    let result = match (operation, &kind) {
        (Operation::Divide, Kind::Int64) => Kind::Float64,
        _ => kind.clone(),
    };
    let expr = Expr::Arithmetic(operation, kind, Box::new(left), Box::new(right));
    Ok(Typed::new(expr, result))
}

/// The value of an expression that looks at no row, such as that of LIMIT.
pub(super) fn constant(expr: &Expr, env: &Env<'_>) -> Result<Value> {
    let value = expr.eval(&Frame::new(&[], None), env)?;
    Ok(value.into_owned())
}
