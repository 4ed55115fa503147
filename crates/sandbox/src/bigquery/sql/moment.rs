//! Functions of dates and times: made, moved, cut, counted and written.

use std::borrow::Cow;

use sqlparser::ast::{self, Spanned};

use super::bind::{Binder, Typed};
use super::calendar::{
    self, DAY, HOUR, MINUTE, Part, SECOND, boundaries, check_days, check_micros, civil, days_of,
    extract, truncate, zone_offset,
};
use super::cast::date;
use super::coerce::coerce;
use super::error::{Result, invalid, unsupported};
use super::expr::{Env, Expr, Function};
use super::kind::Kind;
use super::text::{number, string};
use crate::bigquery::value::Value;

type Values<'v> = [Cow<'v, Value>];

/// A function that is NULL over any NULL.
fn call(
    name: &'static str,
    arguments: Vec<Expr>,
    call: fn(&Values<'_>, &Env<'_>) -> Result<Value>,
) -> Expr {
    let strict = true;
    Expr::Call(Function { name, strict, call }, arguments)
}

fn text(text: &str) -> Expr {
    Expr::Literal(Value::String(text.to_owned()))
}

/// `date + days`.
pub(super) fn date_plus(days: Expr, count: Expr) -> Expr {
    call("DATE_PLUS", vec![days, count, text("DAY")], add)
}

impl Binder<'_> {
    /// TIMESTAMP_ADD and its kin; none for a name that is not one of them.
    pub(super) fn moment(
        &mut self,
        name: &str,
        arguments: &[&ast::Expr],
        whole: &ast::Expr,
    ) -> Result<Option<Typed>> {
        let Some((family, verb)) = name.rsplit_once('_') else {
            return Ok(None);
        };
        let kind = match family {
            "TIMESTAMP" => Kind::Timestamp,
            "DATE" => Kind::Date,
            "DATETIME" => Kind::DateTime,
            "TIME" => Kind::Time,
            _ => return Ok(None),
        };
        match (verb, arguments) {
            ("ADD" | "SUB", [value, ast::Expr::Interval(interval)]) => {
                let value = self.bind(value)?;
                let value = moment_of(value, &kind, name, whole)?;
                self.shift_by_interval(value, verb, interval, whole)
                    .map(Some)
            }
            ("DIFF", [later, earlier, part]) => {
                let part = self.part(part, &kind)?;
                let (later, earlier) = (self.bind(later)?, self.bind(earlier)?);
                let later = moment_of(later, &kind, name, whole)?;
                let earlier = moment_of(earlier, &kind, name, whole)?;
                let arguments = vec![later.expr, earlier.expr, text(&part)];
                Ok(Some(Typed::new(
                    call("DIFF", arguments, difference),
                    Kind::Int64,
                )))
            }
            ("TRUNC", [value, part, zone @ ..]) if zone.len() < 2 => {
                let value = self.bind(value)?;
                let value = moment_of(value, &kind, name, whole)?;
                let mut arguments = vec![value.expr, text(&self.part(part, &kind)?)];
                for zone in zone {
                    let zone = self.bind(zone)?;
                    arguments.push(coerce(zone, &Kind::String, whole)?.expr);
                }
                Ok(Some(Typed::new(call("TRUNC", arguments, cut), kind)))
            }
            ("ADD" | "SUB" | "DIFF" | "TRUNC", _) => {
                Err(invalid(format!("No matching signature for function {name}")).at(whole))
            }
            _ => Ok(None),
        }
    }

    /// A date or time moved by an INTERVAL.
    pub(super) fn shift_by_interval(
        &mut self,
        value: Typed,
        verb: &str,
        interval: &ast::Interval,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        let (None, Some(field)) = (&interval.last_field, &interval.leading_field) else {
            return Err(unsupported("this INTERVAL").at(whole));
        };
        let count = self.bind(&interval.value)?;
        if count.kind != Kind::Int64 && count.kind != Kind::Null {
            return Err(unsupported("an INTERVAL that is no integer").at(whole));
        }
        let name = field.to_string().to_ascii_uppercase();
        let part = self
            .checked_part(&name, &value.kind, true)
            .map_err(|error| error.at(whole))?;
        if !matches!(
            value.kind,
            Kind::Timestamp | Kind::Date | Kind::DateTime | Kind::Time
        ) {
            return Err(unsupported("this type plus INTERVAL").at(whole));
        }
        let moved = if verb == "ADD" { add } else { subtract };
        let arguments = vec![value.expr, count.expr, text(&part)];
        let name = if verb == "ADD" {
            "SHIFT_FORTH"
        } else {
            "SHIFT_BACK"
        };
        Ok(Typed::new(call(name, arguments, moved), value.kind))
    }

    fn part(&self, part: &ast::Expr, kind: &Kind) -> Result<String> {
        let name = part.to_string().to_ascii_uppercase();
        self.checked_part(&name, kind, false)
            .map_err(|error| error.at(part))
    }

    /// The name of a part that a type has.
    fn checked_part(&self, name: &str, kind: &Kind, moves: bool) -> Result<String> {
        let part = Part::named(name);
        let part = part.ok_or_else(|| {
            invalid(format!(
                "A valid date part name is required but found {name}"
            ))
        })?;
        let of_clock = part.length().is_some_and(|length| length < DAY);
        let of_calendar = matches!(
            part,
            Part::Day | Part::Week(_) | Part::IsoWeek | Part::Month | Part::Quarter | Part::Year
        );
        let allowed = match kind {
            Kind::Timestamp if moves => of_clock || part == Part::Day,
            Kind::Date => of_calendar,
            Kind::Time => of_clock,
            _ => of_clock || of_calendar,
        };
        if !allowed {
            return Err(match part {
                Part::IsoYear => unsupported("ISOYEAR"),
                _ => invalid(format!("{kind} does not support the {name} date part")),
            });
        }
        Ok(name.to_owned())
    }

    /// EXTRACT(part FROM value).
    pub(super) fn extract(
        &mut self,
        part: &str,
        value: &ast::Expr,
        whole: &ast::Expr,
    ) -> Result<Typed> {
        let (value, zone) = match value {
            ast::Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => (&**timestamp, Some(&**time_zone)),
            other => (other, None),
        };
        let name = part.to_ascii_uppercase();
        let part = Part::named(&name).ok_or_else(|| {
            invalid(format!(
                "A valid date part name is required but found {name}"
            ))
        })?;
        let value = self.bind(value)?;
        let is_moment = matches!(
            value.kind,
            Kind::Timestamp | Kind::Date | Kind::DateTime | Kind::Time
        );
        if !is_moment || matches!(part, Part::Week(_) | Part::IsoWeek | Part::IsoYear) {
            return Err(unsupported(format!("EXTRACT({name} FROM {})", value.kind)).at(whole));
        }
        let clock_only = part.length().is_some_and(|length| length < DAY);
        if value.kind == Kind::Date && (clock_only || part == Part::Time)
            || value.kind == Kind::Time && !clock_only
        {
            return Err(invalid(format!(
                "EXTRACT from {} does not support the {name} date part",
                value.kind
            ))
            .at(whole));
        }
        let mut arguments = vec![value.expr, text(&name)];
        if let Some(zone) = zone {
            let zone = self.bind(zone)?;
            arguments.push(coerce(zone, &Kind::String, whole)?.expr);
        }
        let kind = match part {
            Part::Date => Kind::Date,
            Part::Time => Kind::Time,
            _ => Kind::Int64,
        };
        Ok(Typed::new(call("EXTRACT", arguments, extracted), kind))
    }
}

/// The argument of a function of one of the types; other types of time are taken by newer versions of it.
fn moment_of(value: Typed, kind: &Kind, name: &str, place: &impl Spanned) -> Result<Typed> {
    let is_moment = matches!(value.kind, Kind::Timestamp | Kind::Date | Kind::DateTime);
    if is_moment && !value.kind.same(kind) {
        return Err(unsupported(format!("{name} of {}", value.kind)).at(place));
    }
    if value.kind.coerces(kind, value.literal) {
        return coerce(value, kind, place);
    }
    Err(super::coerce::no_signature(name, &[&value.kind]).at(place))
}

/// Microseconds of a civil clock, or of UTC.
fn micros(value: &Value) -> i64 {
    match value {
        Value::Date(days) => i64::from(*days) * DAY,
        Value::Timestamp(micros) | Value::DateTime(micros) | Value::Time(micros) => *micros,
        _ => 0,
    }
}

/// A value of the same type as another one.
fn like(model: &Value, micros: i64) -> Value {
    match model {
        Value::Date(_) => date(micros.div_euclid(DAY)),
        Value::Timestamp(_) => Value::Timestamp(micros),
        Value::DateTime(_) => Value::DateTime(micros),
        _ => Value::Time(micros.rem_euclid(DAY)),
    }
}

fn part_of(values: &Values<'_>, place: usize) -> Result<Part> {
    Part::named(string(values, place)).ok_or_else(|| invalid("A valid date part name is required"))
}

fn shift(values: &Values<'_>, count: Option<i64>) -> Result<Value> {
    let count = count.ok_or_else(|| invalid("int64 overflow"))?;
    let part = part_of(values, 2)?;
    if let Value::Time(start) = values[0].as_ref() {
        let length = i128::from(part.length().unwrap_or(0)) * i128::from(count);
        let moved = (i128::from(*start) + length).rem_euclid(i128::from(DAY));
        return Ok(Value::Time(i64::try_from(moved).unwrap_or_default()));
    }
    let moved = calendar::add(
        micros(&values[0]),
        part,
        count,
        "The result of adding an interval",
    )?;
    Ok(like(&values[0], moved))
}

fn add(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    shift(values, number(values, 1))
}

fn subtract(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    shift(values, number(values, 1).and_then(i64::checked_neg))
}

fn difference(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let part = part_of(values, 2)?;
    let (later, earlier) = (micros(&values[0]), micros(&values[1]));
    let count = match (values[0].as_ref(), part.length()) {
        // Between instants whole parts are counted, between civil times the beginnings of parts.
        (Value::Timestamp(_), Some(length)) => Some((later - earlier) / length),
        (Value::Timestamp(_), None) => None,
        _ => boundaries(later, earlier, part),
    };
    count
        .map(Value::Int64)
        .ok_or_else(|| unsupported("this difference of timestamps"))
}

fn offset_of(values: &Values<'_>, place: usize) -> Result<i64> {
    if values.len() > place {
        zone_offset(string(values, place))
    } else {
        Ok(0)
    }
}

fn cut(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let offset = offset_of(values, 2)?;
    let begin = truncate(micros(&values[0]) + offset, part_of(values, 1)?);
    let begin = begin.ok_or_else(|| unsupported("this truncation"))?;
    Ok(like(&values[0], begin - offset))
}

fn extracted(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let local = micros(&values[0]) + offset_of(values, 2)?;
    Ok(match part_of(values, 1)? {
        Part::Date => date(local.div_euclid(DAY)),
        Part::Time => Value::Time(local.rem_euclid(DAY)),
        part => Value::Int64(extract(local, part).ok_or_else(|| unsupported("this EXTRACT"))?),
    })
}

/// TIMESTAMP of a civil time in a zone.
pub(super) fn timestamp(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let offset = offset_of(values, 1)?;
    let local = match values[0].as_ref() {
        Value::String(text) => match calendar::parse_date_time(text) {
            Some(local) => local,
            None if values.len() > 1 => {
                return Err(unsupported("TIMESTAMP of text and zone that do not fit"));
            }
            None => calendar::parse_timestamp(text)?
                .ok_or_else(|| invalid(format!("Invalid timestamp: '{text}'")))?,
        },
        other => micros(other),
    };
    Ok(Value::Timestamp(check_micros(local - offset, "Timestamp")?))
}

/// DATE of a timestamp in a zone, or of a DATETIME.
pub(super) fn date_of(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let local = micros(&values[0]) + offset_of(values, 1)?;
    Ok(date(check_days(local.div_euclid(DAY), "DATE")?))
}

/// DATETIME of a timestamp in a zone, or of a DATE.
pub(super) fn datetime_of(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let local = micros(&values[0]) + offset_of(values, 1)?;
    Ok(Value::DateTime(check_micros(local, "DATETIME")?))
}

/// TIME of a timestamp in a zone, or of a DATETIME.
pub(super) fn time_of(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let local = micros(&values[0]) + offset_of(values, 1)?;
    Ok(Value::Time(local.rem_euclid(DAY)))
}

pub(super) fn datetime_of_pair(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::DateTime(micros(&values[0]) + micros(&values[1])))
}

fn civil_date(values: &Values<'_>) -> Result<i64> {
    let part = |place| number(values, place).unwrap_or(0);
    let days = days_of(part(0), part(1), part(2));
    days.ok_or_else(|| {
        invalid(format!(
            "Input calculates to invalid date: {}-{}-{}",
            part(0),
            part(1),
            part(2)
        ))
    })
}

pub(super) fn date_of_parts(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    civil_date(values).map(date)
}

pub(super) fn datetime_of_parts(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::DateTime(
        civil_date(values)? * DAY + clock(values, 3)?,
    ))
}

pub(super) fn time_of_parts(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    clock(values, 0).map(Value::Time)
}

fn clock(values: &Values<'_>, first: usize) -> Result<i64> {
    let part = |place| number(values, first + place).unwrap_or(-1);
    let valid =
        (0..24).contains(&part(0)) && (0..60).contains(&part(1)) && (0..60).contains(&part(2));
    if !valid {
        return Err(invalid("Input calculates to invalid time"));
    }
    Ok(part(0) * HOUR + part(1) * MINUTE + part(2) * SECOND)
}

fn from_epoch(values: &Values<'_>, unit: i64) -> Result<Value> {
    let micros = number(values, 0).and_then(|number| number.checked_mul(unit));
    let micros = micros.ok_or_else(|| invalid("Timestamp is out of supported range"))?;
    Ok(Value::Timestamp(check_micros(micros, "Timestamp")?))
}

pub(super) fn from_micros(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    from_epoch(values, 1)
}

pub(super) fn from_millis(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    from_epoch(values, 1000)
}

pub(super) fn from_seconds(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    from_epoch(values, SECOND)
}

pub(super) fn unix_micros(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::Int64(micros(&values[0])))
}

pub(super) fn unix_millis(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::Int64(micros(&values[0]).div_euclid(1000)))
}

pub(super) fn unix_seconds(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::Int64(micros(&values[0]).div_euclid(SECOND)))
}

pub(super) fn unix_date(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    Ok(Value::Int64(micros(&values[0]).div_euclid(DAY)))
}

pub(super) fn date_from_unix(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let days = number(values, 0).unwrap_or(0);
    Ok(date(check_days(days, "DATE")?))
}

pub(super) fn last_day(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let (year, month, _) = civil(micros(&values[0]).div_euclid(DAY));
    let next = if month == 12 {
        days_of(year + 1, 1, 1)
    } else {
        days_of(year, month + 1, 1)
    };
    let days = next.ok_or_else(|| unsupported("the last day of the calendar"))?;
    Ok(date(days - 1))
}

pub(super) fn now(_: &Values<'_>, env: &Env<'_>) -> Result<Value> {
    Ok(Value::Timestamp(env.context.now_micros))
}

fn local_now(values: &Values<'_>, env: &Env<'_>) -> Result<i64> {
    Ok(env.context.now_micros + offset_of(values, 0)?)
}

pub(super) fn today(values: &Values<'_>, env: &Env<'_>) -> Result<Value> {
    Ok(date(local_now(values, env)?.div_euclid(DAY)))
}

pub(super) fn now_civil(values: &Values<'_>, env: &Env<'_>) -> Result<Value> {
    local_now(values, env).map(Value::DateTime)
}

pub(super) fn now_time(values: &Values<'_>, env: &Env<'_>) -> Result<Value> {
    Ok(Value::Time(local_now(values, env)?.rem_euclid(DAY)))
}

/// FORMAT_TIMESTAMP and its kin, of the elements whose text is beyond doubt.
pub(super) fn formatted(values: &Values<'_>, _: &Env<'_>) -> Result<Value> {
    let local = micros(&values[1]) + offset_of(values, 2)?;
    let (days, clock) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (clock / HOUR, clock / MINUTE % 60, clock / SECOND % 60);
    let mut written = String::new();
    let mut letters = string(values, 0).chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            written.push(letter);
            continue;
        }
        written.push_str(&match letters.next() {
            Some('Y') => format!("{year}"),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('H') => format!("{hour:02}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('y') => format!("{:02}", year % 100),
            Some('s') => format!("{}", micros(&values[1]).div_euclid(SECOND)),
            Some('%') => "%".to_owned(),
            other => {
                let other = other.map(String::from).unwrap_or_default();
                return Err(unsupported(format!("the format element %{other}")));
            }
        });
    }
    Ok(Value::String(written))
}
