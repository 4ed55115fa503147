//! The functions of single rows that the stand-in has, by name and types.

use std::borrow::Cow;

use super::cast::{decimal, float};
use super::compare::order;
use super::decimal::fit;
use super::error::{Result, invalid};
use super::expr::{Env, Function};
use super::kind::Kind;
use super::{json, moment, text};
use crate::bigquery::value::Value;

type Values<'v> = [Cow<'v, Value>];

/// One signature of a function.
pub(super) struct Definition {
    pub(super) function: Function,
    pub(super) parameters: &'static [Kind],
    /// How many of the parameters, counted from the last, may be left out.
    pub(super) optional: usize,
    /// Whether the last parameter may be repeated.
    pub(super) repeated: bool,
    pub(super) result: Kind,
}

const fn define(
    name: &'static str,
    parameters: &'static [Kind],
    result: Kind,
    call: fn(&Values<'_>, &Env<'_>) -> Result<Value>,
) -> Definition {
    Definition {
        function: Function {
            name,
            strict: true,
            call,
        },
        parameters,
        optional: 0,
        repeated: false,
        result,
    }
}

impl Definition {
    const fn optional(mut self, count: usize) -> Definition {
        self.optional = count;
        self
    }

    const fn repeated(mut self) -> Definition {
        self.repeated = true;
        self
    }

    /// The parameters for so many arguments, if it takes so many.
    pub(super) fn parameters_for(&self, count: usize) -> Option<Vec<&Kind>> {
        let most = self.parameters.len();
        if count < most - self.optional || count > most && !self.repeated {
            return None;
        }
        let last = self.parameters.last();
        let all = self
            .parameters
            .iter()
            .chain(std::iter::repeat_n(last, count).flatten());
        Some(all.take(count).collect())
    }
}

const S: Kind = Kind::String;
const B: Kind = Kind::Bytes;
const I: Kind = Kind::Int64;
const F: Kind = Kind::Float64;
const N: Kind = Kind::Numeric;
const BN: Kind = Kind::BigNumeric;
const D: Kind = Kind::Date;
const DT: Kind = Kind::DateTime;
const TS: Kind = Kind::Timestamp;
const T: Kind = Kind::Time;
const J: Kind = Kind::Json;

/// Every signature; of several with one name the first that fits is taken.
pub(super) const DEFINITIONS: &[Definition] = &[
    define("CONCAT", &[S], S, |v, _| text::concat(v)).repeated(),
    define("CONCAT", &[B], B, |v, _| text::concat(v)).repeated(),
    define("LENGTH", &[S], I, |v, _| text::length(v)),
    define("LENGTH", &[B], I, |v, _| text::length(v)),
    define("CHAR_LENGTH", &[S], I, |v, _| text::length(v)),
    define("BYTE_LENGTH", &[S], I, |v, _| text::byte_length(v)),
    define("BYTE_LENGTH", &[B], I, |v, _| text::byte_length(v)),
    define("STRPOS", &[S, S], I, |v, _| text::position(v)),
    define("SUBSTR", &[S, I, I], S, |v, _| text::substring(v)).optional(1),
    define("SUBSTR", &[B, I, I], B, |v, _| text::substring(v)).optional(1),
    define("SUBSTRING", &[S, I, I], S, |v, _| text::substring(v)).optional(1),
    define("SUBSTRING", &[B, I, I], B, |v, _| text::substring(v)).optional(1),
    define("LEFT", &[S, I], S, |v, _| text::left(v)),
    define("RIGHT", &[S, I], S, |v, _| text::right(v)),
    define("REPEAT", &[S, I], S, |v, _| text::repeat(v)),
    define("STARTS_WITH", &[S, S], Kind::Bool, |v, _| {
        text::starts_with(v)
    }),
    define("ENDS_WITH", &[S, S], Kind::Bool, |v, _| text::ends_with(v)),
    define("LIKE", &[S, S], Kind::Bool, |v, _| text::like(v)),
    define("LOWER", &[S], S, |v, _| text::lower(v)),
    define("UPPER", &[S], S, |v, _| text::upper(v)),
    define("REVERSE", &[S], S, |v, _| text::reverse(v)),
    define("REPLACE", &[S, S, S], S, |v, _| text::replace(v)),
    define("TRIM", &[S, S], S, |v, _| text::trim(v)).optional(1),
    define("LTRIM", &[S, S], S, |v, _| text::trim_start(v)).optional(1),
    define("RTRIM", &[S, S], S, |v, _| text::trim_end(v)).optional(1),
    define("TO_HEX", &[B], S, |v, _| text::to_hex(v)),
    define("TO_BASE64", &[B], S, |v, _| text::to_base64(v)),
    define("PARSE_JSON", &[S], J, |v, _| {
        json::normal(text::string(v, 0)).map(Value::Json)
    }),
    define("JSON_VALUE", &[J, S], S, |v, _| json::scalar(v)).optional(1),
    define("JSON_VALUE", &[S, S], S, |v, _| json::scalar(v)).optional(1),
    define("JSON_QUERY", &[J, S], J, |v, _| json::part(v)).optional(1),
    define("JSON_QUERY", &[S, S], S, |v, _| json::part(v)).optional(1),
    define("CURRENT_TIMESTAMP", &[], TS, moment::now),
    define("CURRENT_DATE", &[S], D, moment::today).optional(1),
    define("CURRENT_DATETIME", &[S], DT, moment::now_civil).optional(1),
    define("CURRENT_TIME", &[S], T, moment::now_time).optional(1),
    define("TIMESTAMP", &[S, S], TS, moment::timestamp).optional(1),
    define("TIMESTAMP", &[D, S], TS, moment::timestamp).optional(1),
    define("TIMESTAMP", &[DT, S], TS, moment::timestamp).optional(1),
    define("TIMESTAMP", &[TS], TS, moment::timestamp),
    define("DATE", &[I, I, I], D, moment::date_of_parts),
    define("DATE", &[D], D, moment::date_of),
    define("DATE", &[DT], D, moment::date_of),
    define("DATE", &[TS, S], D, moment::date_of).optional(1),
    define(
        "DATETIME",
        &[I, I, I, I, I, I],
        DT,
        moment::datetime_of_parts,
    ),
    define("DATETIME", &[DT], DT, moment::datetime_of),
    define("DATETIME", &[D, T], DT, moment::datetime_of_pair),
    define("DATETIME", &[TS, S], DT, moment::datetime_of).optional(1),
    define("TIME", &[I, I, I], T, moment::time_of_parts),
    define("TIME", &[DT], T, moment::time_of),
    define("TIME", &[TS, S], T, moment::time_of).optional(1),
    define("TIMESTAMP_MICROS", &[I], TS, moment::from_micros),
    define("TIMESTAMP_MILLIS", &[I], TS, moment::from_millis),
    define("TIMESTAMP_SECONDS", &[I], TS, moment::from_seconds),
    define("UNIX_MICROS", &[TS], I, moment::unix_micros),
    define("UNIX_MILLIS", &[TS], I, moment::unix_millis),
    define("UNIX_SECONDS", &[TS], I, moment::unix_seconds),
    define("UNIX_DATE", &[D], I, moment::unix_date),
    define("DATE_FROM_UNIX_DATE", &[I], D, moment::date_from_unix),
    define("LAST_DAY", &[D], D, moment::last_day),
    define("FORMAT_TIMESTAMP", &[S, TS, S], S, moment::formatted).optional(1),
    define("FORMAT_DATE", &[S, D], S, moment::formatted),
    define("FORMAT_DATETIME", &[S, DT], S, moment::formatted),
    define("ABS", &[I], I, absolute),
    define("ABS", &[N], N, absolute),
    define("ABS", &[BN], BN, absolute),
    define("ABS", &[F], F, absolute),
    define("ROUND", &[F], F, |v, _| {
        Ok(Value::Float64(float(&v[0]).round()))
    }),
    define("CEIL", &[F], F, |v, _| {
        Ok(Value::Float64(float(&v[0]).ceil()))
    }),
    define("CEIL", &[N], N, |v, _| whole(v, &N, 1)),
    define("FLOOR", &[F], F, |v, _| {
        Ok(Value::Float64(float(&v[0]).floor()))
    }),
    define("FLOOR", &[N], N, |v, _| whole(v, &N, -1)),
    define("TRUNC", &[F], F, |v, _| {
        Ok(Value::Float64(float(&v[0]).trunc()))
    }),
    define("TRUNC", &[N], N, |v, _| whole(v, &N, 0)),
    define("IS_NAN", &[F], Kind::Bool, |v, _| {
        Ok(Value::Bool(float(&v[0]).is_nan()))
    }),
    define("IS_INF", &[F], Kind::Bool, |v, _| {
        Ok(Value::Bool(float(&v[0]).is_infinite()))
    }),
    define("ROUND_NUMERIC", &[N, I], N, |v, _| round(v, &N)).optional(1),
    define("ROUND_BIGNUMERIC", &[BN, I], BN, |v, _| round(v, &BN)).optional(1),
    define("ERROR", &[S], Kind::Null, |v, _| {
        Err(invalid(text::string(v, 0)))
    }),
];

/// GREATEST of values of one type; NaN is greater than all.
pub(super) const GREATEST: Function = Function {
    name: "GREATEST",
    strict: true,
    call: |values, _| Ok(extreme(values, 1)),
};

/// LEAST of values of one type; NaN is less than all.
pub(super) const LEAST: Function = Function {
    name: "LEAST",
    strict: true,
    call: |values, _| Ok(extreme(values, -1)),
};

fn extreme(values: &Values<'_>, sign: i32) -> Value {
    let not_a_number =
        |value: &&Cow<'_, Value>| matches!(***value, Value::Float64(n) if n.is_nan());
    let found = values.iter().find(not_a_number);
    let found = found.or_else(|| match sign {
        1 => values.iter().max_by(|left, right| order(left, right)),
        _ => values.iter().min_by(|left, right| order(left, right)),
    });
    found.map_or(Value::Null, |value| value.clone().into_owned())
}

/// SPLIT, whose result is an array.
pub(super) const SPLIT: Function = Function {
    name: "SPLIT",
    strict: true,
    call: |values, _| text::split(values),
};

pub(super) const ARRAY_LENGTH: Function = Function {
    name: "ARRAY_LENGTH",
    strict: true,
    call: |values, _| text::array_length(values),
};

pub(super) const ARRAY_CONCAT: Function = Function {
    name: "ARRAY_CONCAT",
    strict: true,
    call: |values, _| text::concat(values),
};

pub(super) const ARRAY_REVERSE: Function = Function {
    name: "ARRAY_REVERSE",
    strict: true,
    call: |values, _| text::array_reverse(values),
};

pub(super) const ARRAY_TO_STRING: Function = Function {
    name: "ARRAY_TO_STRING",
    strict: true,
    call: |values, _| text::array_to_string(values),
};

fn absolute(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(match values[0].as_ref() {
        Value::Int64(number) => Value::Int64(
            number
                .checked_abs()
                .ok_or_else(|| invalid(format!("int64 overflow: ABS({number})")))?,
        ),
        Value::Float64(number) => Value::Float64(number.abs()),
        other => Value::Numeric(decimal(other)?.absolute().text()),
    })
}

/// The whole number next to a decimal: above for 1, below for -1, nearer to zero for 0.
fn whole(values: &Values<'_>, kind: &Kind, direction: i64) -> Result<Value> {
    let number = decimal(&values[0])?;
    let cut = number.truncate();
    let rest = number.subtract(&cut);
    let one = super::decimal::Decimal::stored("1");
    let found = match direction {
        1 if !rest.is_zero() && !rest.is_negative() => cut.add(&one),
        -1 if rest.is_negative() => cut.subtract(&one),
        _ => cut,
    };
    Ok(Value::Numeric(fit(&found, kind)?))
}

fn round(values: &Values<'_>, kind: &Kind) -> Result<Value> {
    let scale = if values.len() > 1 {
        text::number(values, 1).unwrap_or(0)
    } else {
        0
    };
    let number = decimal(&values[0])?;
    let scale = usize::try_from(scale)
        .map_err(|_| super::error::unsupported("ROUND to a place before the point"))?;
    Ok(Value::Numeric(fit(&number.round(scale), kind)?))
}
