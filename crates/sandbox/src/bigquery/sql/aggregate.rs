//! Aggregate functions: one value of many rows.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use super::cast::{decimal, float};
use super::compare::{Key, order};
use super::decimal::{Decimal, fit};
use super::error::{Result, invalid};
use super::expr::{Env, Expr, Frame};
use super::kind::Kind;
use super::relation::{SortKey, compare_keys};
use crate::bigquery::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    CountAll,
    Count,
    CountIf,
    Sum,
    Avg,
    Min,
    Max,
    AnyValue,
    ArrayAgg,
    StringAgg,
    LogicalAnd,
    LogicalOr,
}

impl Aggregate {
    pub(super) fn named(name: &str) -> Option<Aggregate> {
        Some(match name {
            "COUNT" => Aggregate::Count,
            "COUNTIF" => Aggregate::CountIf,
            "SUM" => Aggregate::Sum,
            "AVG" => Aggregate::Avg,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            "ANY_VALUE" => Aggregate::AnyValue,
            "ARRAY_AGG" => Aggregate::ArrayAgg,
            "STRING_AGG" => Aggregate::StringAgg,
            "LOGICAL_AND" => Aggregate::LogicalAnd,
            "LOGICAL_OR" => Aggregate::LogicalOr,
            _ => return None,
        })
    }
}

/// A call of an aggregate function.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AggregateCall {
    pub(super) function: Aggregate,
    pub(super) arguments: Vec<Expr>,
    pub(super) distinct: bool,
    pub(super) ignore_nulls: bool,
    pub(super) order: Vec<SortKey>,
    pub(super) limit: Option<usize>,
    /// The type of the result.
    pub(super) kind: Kind,
}

impl AggregateCall {
    pub(super) fn parts(&self) -> Vec<&Expr> {
        let keys = self.order.iter().map(|key| &key.expr);
        self.arguments.iter().chain(keys).collect()
    }

    pub(super) fn parts_mut(&mut self) -> Vec<&mut Expr> {
        let keys = self.order.iter_mut().map(|key| &mut key.expr);
        self.arguments.iter_mut().chain(keys).collect()
    }
}

/// The value of a call as far as rows were shown to it.
pub(super) struct Accumulator<'c> {
    call: &'c AggregateCall,
    seen: HashSet<Key<'static>>,
    count: i64,
    whole: i128,
    float: f64,
    decimal: Decimal,
    best: Option<Value>,
    list: Vec<(Vec<Value>, Value)>,
    separator: Value,
}

impl<'c> Accumulator<'c> {
    pub(super) fn new(call: &'c AggregateCall) -> Accumulator<'c> {
        Accumulator {
            call,
            seen: HashSet::new(),
            count: 0,
            whole: 0,
            float: 0.0,
            decimal: Decimal::stored("0"),
            best: None,
            list: Vec::new(),
            separator: Value::String(",".to_owned()),
        }
    }

    /// Shows it one more row.
    pub(super) fn add(&mut self, frame: &Frame<'_>, env: &Env<'_>) -> Result<()> {
        let call = self.call;
        let Some(argument) = call.arguments.first() else {
            self.count += 1;
            return Ok(());
        };
        let value = argument.eval(frame, env)?;
        let keeps_null = matches!(call.function, Aggregate::ArrayAgg | Aggregate::AnyValue);
        if *value == Value::Null && (call.ignore_nulls || !keeps_null) {
            return Ok(());
        }
        if call.distinct
            && !self
                .seen
                .insert(Key(vec![Cow::Owned(value.clone().into_owned())]))
        {
            return Ok(());
        }
        match call.function {
            Aggregate::CountAll | Aggregate::Count => self.count += 1,
            Aggregate::CountIf => self.count += i64::from(*value == Value::Bool(true)),
            Aggregate::Sum | Aggregate::Avg => self.sum(&value)?,
            Aggregate::ArrayAgg | Aggregate::StringAgg => {
                if let Some(separator) = call.arguments.get(1) {
                    self.separator = separator.eval(frame, env)?.into_owned();
                }
                let keys = call.order.iter().map(|key| key.expr.eval(frame, env));
                let keys = keys
                    .map(|key| key.map(Cow::into_owned))
                    .collect::<Result<_>>()?;
                self.list.push((keys, value.into_owned()));
            }
            _ => self.choose(value),
        }
        Ok(())
    }

    fn sum(&mut self, value: &Value) -> Result<()> {
        self.count += 1;
        match value {
            Value::Int64(number) => self.whole += i128::from(*number),
            Value::Numeric(_) => self.decimal = self.decimal.add(&decimal(value)?),
            other => self.float += float(other),
        }
        Ok(())
    }

    fn choose(&mut self, value: Cow<'_, Value>) {
        let Some(best) = &self.best else {
            self.best = Some(value.into_owned());
            return;
        };
        let not_a_number = |value: &Value| matches!(value, Value::Float64(n) if n.is_nan());
        let better = match self.call.function {
            Aggregate::Min | Aggregate::LogicalAnd => order(&value, best) == Ordering::Less,
            Aggregate::Max | Aggregate::LogicalOr => {
                !not_a_number(best)
                    && (not_a_number(&value) || order(&value, best) == Ordering::Greater)
            }
            _ => false,
        };
        if better {
            self.best = Some(value.into_owned());
        }
    }

    /// The value over the rows so far.
    pub(super) fn finish(&self) -> Result<Value> {
        Ok(match self.call.function {
            Aggregate::CountAll | Aggregate::Count | Aggregate::CountIf => Value::Int64(self.count),
            Aggregate::Sum | Aggregate::Avg if self.count == 0 => Value::Null,
            Aggregate::Sum => match &self.call.kind {
                Kind::Int64 => i64::try_from(self.whole)
                    .map(Value::Int64)
                    .map_err(|_| invalid("int64 overflow in SUM"))?,
                Kind::Float64 => Value::Float64(self.float),
                kind => Value::Numeric(fit(&self.decimal, kind)?),
            },
            Aggregate::Avg => match &self.call.kind {
                kind if kind.is_decimal() => {
                    let count = Decimal::stored(&self.count.to_string());
                    let scale = super::decimal::scale_of(kind);
                    let average = self.decimal.divide(&count, scale);
                    Value::Numeric(fit(&average.unwrap_or(count), kind)?)
                }
                _ => Value::Float64((self.whole as f64 + self.float) / self.count as f64),
            },
            Aggregate::ArrayAgg if self.list.is_empty() => Value::Null,
            Aggregate::ArrayAgg => Value::Array(self.ordered().cloned().collect()),
            Aggregate::StringAgg if self.list.is_empty() => Value::Null,
            Aggregate::StringAgg => self.joined(),
            _ => self.best.clone().unwrap_or(Value::Null),
        })
    }

    fn ordered(&self) -> impl Iterator<Item = &Value> {
        let mut list: Vec<_> = self.list.iter().collect();
        list.sort_by(|left, right| compare_keys(&left.0, &right.0, &self.call.order));
        let limit = self.call.limit.unwrap_or(usize::MAX);
        list.into_iter().map(|(_, value)| value).take(limit)
    }

    fn joined(&self) -> Value {
        let mut bytes = Vec::new();
        let mut is_text = true;
        for (place, value) in self.ordered().enumerate() {
            for part in [&self.separator, value]
                .into_iter()
                .skip(usize::from(place == 0))
            {
                match part {
                    Value::String(text) => bytes.extend_from_slice(text.as_bytes()),
                    Value::Bytes(part) => {
                        is_text = false;
                        bytes.extend_from_slice(part);
                    }
                    _ => {}
                }
            }
        }
        if !is_text {
            return Value::Bytes(bytes);
        }
        Value::String(String::from_utf8_lossy(&bytes).into_owned())
    }
}
