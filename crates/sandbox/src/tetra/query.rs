//! The queries that the stand-in knows, read strictly; whether a document passes is in `matching`.
//! Facts: section 3.3.

use std::collections::HashMap;

use chrono::FixedOffset;
use serde_json::{Map, Value};

use super::answer::ApiError;
use super::date;
use super::matching::words_of;

/// A query that was read.
#[derive(Clone, Debug)]
pub(super) enum Query {
    All,
    Nothing,
    Bool(Box<Clauses>),
    /// Any of these values.
    Terms {
        field: String,
        values: Vec<Value>,
    },
    Range {
        field: String,
        bounds: Vec<Bound>,
    },
    Exists {
        field: String,
    },
    Prefix {
        field: String,
        start: String,
        folds_case: bool,
    },
    Wildcard {
        field: String,
        pattern: Vec<char>,
        folds_case: bool,
    },
    Match {
        field: String,
        words: Vec<String>,
        joined: Joined,
    },
    Nested {
        path: String,
        query: Box<Query>,
        ignores_unmapped: bool,
    },
}

/// How the words of a `match` have to stand in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Any,
    All,
    /// All, one behind the other.
    Phrase,
}

/// The clauses of a `bool` query.
#[derive(Clone, Debug, Default)]
pub(super) struct Clauses {
    /// Those of `filter` and `must`.
    pub(super) needed: Vec<Query>,
    pub(super) should: Vec<Query>,
    pub(super) must_not: Vec<Query>,
    /// How many of `should` have to pass.
    pub(super) minimum: usize,
}

/// One bound of a range, in each type that it can be compared in.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) operator: Operator,
    pub(super) ms: Option<i64>,
    pub(super) number: Option<f64>,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operator {
    Above,
    From,
    Below,
    To,
}

/// What a query is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) now_ms: i64,
    /// Whether terms match `metadata` and `tags`.
    pub(super) metadata_terms: bool,
}

/// Fields that every index maps as times.
pub(super) const TIMES: [&str; 2] = ["indexedAt", "createdAt"];

type Found<T> = Result<T, ApiError>;

/// Queries that the engine knows and the stand-in does not.
const OTHER_KINDS: [&str; 18] = [
    "query_string",
    "simple_query_string",
    "multi_match",
    "match_phrase_prefix",
    "match_bool_prefix",
    "regexp",
    "fuzzy",
    "script",
    "script_score",
    "function_score",
    "dis_max",
    "boosting",
    "geo_distance",
    "geo_bounding_box",
    "more_like_this",
    "has_child",
    "has_parent",
    "intervals",
];

impl Query {
    /// The span of `indexedAt` outside of which nothing passes: from, and before, in milliseconds.
    pub(super) fn window(&self) -> (i64, i64) {
        let (mut from, mut before) = (i64::MIN, i64::MAX);
        match self {
            Query::Bool(clauses) => {
                for (clause_from, clause_before) in clauses.needed.iter().map(Query::window) {
                    from = from.max(clause_from);
                    before = before.min(clause_before);
                }
            }
            Query::Range { field, bounds } if field == "indexedAt" => {
                for bound in bounds {
                    let Some(ms) = bound.ms else { continue };
                    match bound.operator {
                        Operator::Above => from = from.max(ms.saturating_add(1)),
                        Operator::From => from = from.max(ms),
                        Operator::Below => before = before.min(ms),
                        Operator::To => before = before.min(ms.saturating_add(1)),
                    }
                }
            }
            _ => {}
        }
        (from, before)
    }
}

impl Reading {
    /// Reads a query; what it is not made of is refused.
    pub(super) fn query(self, value: &Value) -> Found<Query> {
        let (kind, body) = only_member(value, "a query")?;
        match kind {
            "match_all" => {
                known(object(body, kind)?, &["boost"])?;
                Ok(Query::All)
            }
            "match_none" => Ok(Query::Nothing),
            "bool" => self.clauses(object(body, kind)?),
            "constant_score" => {
                let body = object(body, kind)?;
                known(body, &["filter", "boost"])?;
                self.query(body.get("filter").ok_or_else(|| missing("filter"))?)
            }
            "term" => {
                let (field, body) = only_member(body, kind)?;
                if body
                    .get("case_insensitive")
                    .is_some_and(|folds| folds != false)
                {
                    return Err(ApiError::not_simulated("`case_insensitive` of a term"));
                }
                let value = value_of(body, &["value", "boost", "case_insensitive"], "value")?;
                self.terms(field, vec![scalar(value)?])
            }
            "terms" => self.terms_query(object(body, kind)?),
            "ids" => {
                let body = object(body, kind)?;
                known(body, &["values", "boost"])?;
                let values = body.get("values").and_then(Value::as_array);
                let values = values.cloned().ok_or_else(|| missing("values"))?;
                let values: Vec<Value> = values.iter().map(scalar).collect::<Found<_>>()?;
                self.terms("_id", values)
            }
            "range" => self.range(body),
            "exists" => {
                let body = object(body, kind)?;
                known(body, &["field", "boost"])?;
                let field = text(body.get("field").ok_or_else(|| missing("field"))?)?;
                Ok(Query::Exists { field })
            }
            "prefix" | "wildcard" => pattern(kind, body),
            "match" | "match_phrase" => matching(kind, body),
            "nested" => self.nested(object(body, kind)?),
            other if OTHER_KINDS.contains(&other) => {
                Err(ApiError::not_simulated(format!("the query `{other}`")))
            }
            other => Err(ApiError::query(format!("unknown query `{other}`"))),
        }
    }

    fn clauses(self, body: &Map<String, Value>) -> Found<Query> {
        let names = [
            "filter",
            "must",
            "should",
            "must_not",
            "minimum_should_match",
            "boost",
        ];
        known(body, &names)?;
        let list = |name: &str| -> Found<Vec<Query>> {
            match body.get(name) {
                None => Ok(Vec::new()),
                Some(Value::Array(items)) => items.iter().map(|item| self.query(item)).collect(),
                Some(item) => Ok(vec![self.query(item)?]),
            }
        };
        let mut needed = list("filter")?;
        needed.extend(list("must")?);
        let should = list("should")?;
        let minimum = match body.get("minimum_should_match") {
            None => usize::from(needed.is_empty() && !should.is_empty()),
            Some(value) => {
                let number = match value {
                    Value::String(text) if text.contains(['%', '<']) => {
                        let what = "this form of `minimum_should_match`";
                        return Err(ApiError::not_simulated(what));
                    }
                    Value::String(text) => text.parse::<i64>().ok(),
                    other => other.as_i64(),
                };
                let number = number.ok_or_else(|| wrong("minimum_should_match"))?;
                let all = i64::try_from(should.len()).unwrap_or(i64::MAX);
                let number = if number < 0 { all + number } else { number };
                usize::try_from(number).unwrap_or(0)
            }
        };
        Ok(Query::Bool(Box::new(Clauses {
            needed,
            should,
            must_not: list("must_not")?,
            minimum,
        })))
    }

    fn terms_query(self, body: &Map<String, Value>) -> Found<Query> {
        let mut fields = body.iter().filter(|(name, _)| *name != "boost");
        let (Some((field, values)), None) = (fields.next(), fields.next()) else {
            return Err(ApiError::query("`terms` takes one field"));
        };
        let values = values.as_array().ok_or_else(|| wrong(field))?;
        if values.len() > 65_536 {
            return Err(ApiError::query("`terms` takes 65,536 values"));
        }
        let values: Vec<Value> = values.iter().map(scalar).collect::<Found<_>>()?;
        self.terms(field, values)
    }

    fn terms(self, field: &str, values: Vec<Value>) -> Found<Query> {
        let is_analyzed = field.starts_with("metadata.") || field == "tags";
        if is_analyzed && !self.metadata_terms {
            return Ok(Query::Nothing);
        }
        let is_time = |value: &Value| match value {
            Value::String(text) => text.parse::<i64>().is_ok() || date::read_ms(text).is_some(),
            other => other.is_i64(),
        };
        if TIMES.contains(&field) && !values.iter().all(is_time) {
            return Err(ApiError::query(format!("a value of `{field}` is no time")));
        }
        let field = field.to_owned();
        Ok(Query::Terms { field, values })
    }

    fn range(self, body: &Value) -> Found<Query> {
        let (field, body) = only_member(body, "range")?;
        let body = object(body, field)?;
        let names = [
            "gt",
            "gte",
            "lt",
            "lte",
            "format",
            "time_zone",
            "boost",
            "relation",
        ];
        known(body, &names)?;
        let zone = match body.get("time_zone") {
            None => FixedOffset::east_opt(0),
            Some(zone) => {
                let name = zone.as_str().ok_or_else(|| wrong("time_zone"))?;
                let zone = date::read_zone(name);
                if zone.is_none() && name.contains('/') {
                    return Err(ApiError::not_simulated("a zone with a name"));
                }
                zone
            }
        };
        let zone = zone.ok_or_else(|| wrong("time_zone"))?;
        if let Some(format) = body.get("format") {
            check_format(format)?;
        }
        let is_time = TIMES.contains(&field);
        let mut bounds = Vec::new();
        for (name, operator) in [
            ("gt", Operator::Above),
            ("gte", Operator::From),
            ("lt", Operator::Below),
            ("lte", Operator::To),
        ] {
            let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
                continue;
            };
            let is_upper = matches!(operator, Operator::Above | Operator::To);
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(wrong(name)),
            };
            let ms = match value {
                Value::Number(number) => number.as_i64(),
                _ => date::resolve(&text, self.now_ms, zone, is_upper)
                    .or_else(|| text.parse().ok().filter(|_| is_time)),
            };
            if is_time && ms.is_none() {
                return Err(ApiError::query(format!("`{name}` of `{field}` is no time")));
            }
            let number = text.parse().ok();
            bounds.push(Bound {
                operator,
                ms,
                number,
                text,
            });
        }
        let field = field.to_owned();
        Ok(Query::Range { field, bounds })
    }

    fn nested(self, body: &Map<String, Value>) -> Found<Query> {
        let names = ["path", "query", "ignore_unmapped", "score_mode", "boost"];
        known(body, &names)?;
        let ignores_unmapped = match body.get("ignore_unmapped") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("ignore_unmapped"))?,
        };
        Ok(Query::Nested {
            path: text(body.get("path").ok_or_else(|| missing("path"))?)?,
            query: Box::new(self.query(body.get("query").ok_or_else(|| missing("query"))?)?),
            ignores_unmapped,
        })
    }
}

fn pattern(kind: &str, body: &Value) -> Found<Query> {
    let (field, body) = only_member(body, kind)?;
    let names = ["value", "wildcard", "case_insensitive", "boost", "rewrite"];
    let value = match body.get("wildcard") {
        Some(value) => value,
        None => value_of(body, &names, "value")?,
    };
    let value = text(value)?;
    let folds_case = body.get("case_insensitive").and_then(Value::as_bool) == Some(true);
    let field = field.to_owned();
    Ok(if kind == "prefix" {
        Query::Prefix {
            field,
            start: value,
            folds_case,
        }
    } else {
        let value = if folds_case {
            value.to_lowercase()
        } else {
            value
        };
        Query::Wildcard {
            field,
            pattern: value.chars().collect(),
            folds_case,
        }
    })
}

fn matching(kind: &str, body: &Value) -> Found<Query> {
    let (field, body) = only_member(body, kind)?;
    const OTHERS: [&str; 5] = [
        "analyzer",
        "fuzziness",
        "minimum_should_match",
        "slop",
        "zero_terms_query",
    ];
    let other = OTHERS.into_iter().find(|name| body.get(*name).is_some());
    if let Some(other) = other {
        return Err(ApiError::not_simulated(format!("`{other}` of `{kind}`")));
    }
    let names: &[&str] = match kind {
        "match" => &["query", "operator", "boost", "lenient"],
        _ => &["query", "boost"],
    };
    let value = scalar(value_of(body, names, "query")?)?;
    let words = match &value {
        Value::String(text) => words_of(text),
        other => vec![other.to_string()],
    };
    let operator = body.get("operator").and_then(Value::as_str).unwrap_or("or");
    let joined = match operator.to_ascii_lowercase().as_str() {
        _ if kind == "match_phrase" => Joined::Phrase,
        "and" => Joined::All,
        "or" => Joined::Any,
        _ => return Err(wrong("operator")),
    };
    let field = field.to_owned();
    Ok(Query::Match {
        field,
        words,
        joined,
    })
}

/// Formats of dates that the stand-in reads.
fn check_format(format: &Value) -> Found<()> {
    const FORMATS: [&str; 5] = [
        "strict_date_optional_time",
        "date_optional_time",
        "epoch_millis",
        "strict_date_time",
        "date_time",
    ];
    let format = format.as_str().ok_or_else(|| wrong("format"))?;
    match format.split("||").find(|part| !FORMATS.contains(part)) {
        None => Ok(()),
        Some(_) => Err(ApiError::not_simulated("this format of dates")),
    }
}

fn only_member<'value>(value: &'value Value, what: &str) -> Found<(&'value str, &'value Value)> {
    let mut members = object(value, what)?.iter();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(ApiError::query(format!(
            "{what} is no object with one member"
        ))),
    }
}

/// The value itself, or the member of an object that holds it.
fn value_of<'value>(body: &'value Value, names: &[&str], name: &str) -> Found<&'value Value> {
    match body {
        Value::Object(members) => {
            known(members, names)?;
            members.get(name).ok_or_else(|| missing(name))
        }
        other => Ok(other),
    }
}

fn scalar(value: &Value) -> Found<Value> {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
        _ => Err(ApiError::query("a value is no text, number or boolean")),
    }
}

fn text(value: &Value) -> Found<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| ApiError::query("a text is expected"))
}

pub(super) fn object<'value>(
    value: &'value Value,
    what: &str,
) -> Found<&'value Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| ApiError::query(format!("`{what}` is no object")))
}

pub(super) fn known(members: &Map<String, Value>, names: &[&str]) -> Found<()> {
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ApiError::query(format!("unknown key `{name}`"))),
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::query(format!("`{name}` is missing"))
}

fn wrong(name: &str) -> ApiError {
    ApiError::query(format!("`{name}` has no value of its kind"))
}

/// Values of a query string by name, repeated ones in their order.
pub(super) fn repeated(query: Option<&str>) -> HashMap<String, Vec<String>> {
    let mut all: HashMap<String, Vec<String>> = HashMap::new();
    for part in query.unwrap_or_default().split('&') {
        for (name, value) in crate::form::fields(part) {
            all.entry(name).or_default().push(value);
        }
    }
    all
}
