//! `POST /aggregation`: the pipeline that lists visitors and accounts. Facts: section 5.
//! Parsing is here; `stages` runs it. What section 5 does not name is answered with 501.

mod stages;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use self::stages::Plan;
use super::bulk::insert_list;
use super::expression::Expression;
use super::schema::Kind;
use super::{Pendo, answer};

/// Why a pipeline is not run.
enum Failure {
    /// 400: wrong in any case.
    Wrong(String),
    /// 501: possibly right, and not simulated.
    Unknown(String),
}

/// Where the rows come from.
struct Source {
    kind: Kind,
    identified: bool,
    /// Rows whose last visit lies in this span of epoch milliseconds, the end not included.
    span: (i64, i64),
}

/// One stage after the source.
enum Stage {
    Identified(Named),
    /// Alias and path.
    Select(Vec<(String, String)>),
    Filter(Expression),
    Sort(Vec<SortKey>),
    Limit(usize),
    Count,
}

/// Which visitors an `identified` stage keeps.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    Yes,
    No,
}

#[derive(PartialEq)]
struct SortKey {
    path: String,
    descending: bool,
}

/// Answers an aggregation.
pub(crate) async fn aggregate(State(pendo): State<Arc<Pendo>>, body: Bytes) -> Response {
    match parse(&body, pendo.options.max_filter_bytes) {
        Ok((source, stages)) => {
            let results = Plan::new(&pendo, &source, &stages).run();
            let mut answer = Map::new();
            insert_list(&mut answer, "results", results, pendo.options.empty_list);
            Json(answer).into_response()
        }
        Err(Failure::Wrong(message)) => answer::bad_request(&message),
        Err(Failure::Unknown(message)) => answer::unknown(&message),
    }
}

fn parse(body: &[u8], filter_limit: usize) -> Result<(Source, Vec<Stage>), Failure> {
    let body: Value = serde_json::from_slice(body).map_err(|_| wrong("malformed JSON"))?;
    match body.pointer("/response/mimeType").and_then(Value::as_str) {
        Some("application/json") => {}
        Some(other) => return Err(unknown(format!("answers of type `{other}`"))),
        None => return Err(wrong("`response.mimeType` is missing")),
    }
    let pipeline = body.pointer("/request/pipeline").and_then(Value::as_array);
    let pipeline = pipeline.ok_or_else(|| wrong("`request.pipeline` is no list"))?;
    let (first, stages) = pipeline
        .split_first()
        .ok_or_else(|| wrong("the pipeline is empty"))?;
    let source = parse_source(first)?;
    let stages = stages
        .iter()
        .map(|stage| parse_stage(stage, filter_limit))
        .collect::<Result<_, _>>()?;
    Ok((source, stages))
}

fn parse_source(stage: &Value) -> Result<Source, Failure> {
    let ("source", source) = only_key(stage)? else {
        return Err(wrong("the first stage is no `source`"));
    };
    let (name, options) = only_key(source)?;
    let kind = match name {
        "visitors" => Kind::Visitor,
        "accounts" => Kind::Account,
        other => return Err(unknown(format!("the source `{other}`"))),
    };
    let mut parsed = Source {
        kind,
        identified: false,
        span: (i64::MIN, i64::MAX),
    };
    let options = match options {
        Value::Null => return Ok(parsed),
        Value::Object(options) => options,
        _ => return Err(wrong("the options of a source are no object")),
    };
    let time = |value: &Value| {
        value
            .as_i64()
            .ok_or_else(|| wrong("a time is in epoch milliseconds"))
    };
    for (option, value) in options {
        match option.as_str() {
            "identified" => {
                parsed.identified = value
                    .as_bool()
                    .ok_or_else(|| wrong("`identified` is no boolean"))?;
            }
            "startTime" => parsed.span.0 = time(value)?,
            "endTime" => parsed.span.1 = time(value)?,
            // There is one application here, and every row is its.
            "appId" => {}
            other => return Err(unknown(format!("the source option `{other}`"))),
        }
    }
    Ok(parsed)
}

fn parse_stage(stage: &Value, filter_limit: usize) -> Result<Stage, Failure> {
    let (name, body) = only_key(stage)?;
    match name {
        "identified" => match body.as_str() {
            Some("visitorId") => Ok(Stage::Identified(Named::Yes)),
            Some("!visitorId") => Ok(Stage::Identified(Named::No)),
            _ => Err(unknown("this form of `identified`")),
        },
        "select" => {
            let fields = body
                .as_object()
                .ok_or_else(|| wrong("`select` is no object"))?;
            let field = |(alias, path): (&String, &Value)| {
                let path = path
                    .as_str()
                    .ok_or_else(|| wrong("`select` maps to a path"))?;
                Ok((alias.clone(), path.to_owned()))
            };
            fields
                .iter()
                .map(field)
                .collect::<Result<_, _>>()
                .map(Stage::Select)
        }
        "filter" => {
            let text = body.as_str().ok_or_else(|| wrong("`filter` is no text"))?;
            if text.len() > filter_limit {
                return Err(wrong("the filter expression is too long"));
            }
            Expression::parse(text)
                .map(Stage::Filter)
                .map_err(Failure::Wrong)
        }
        "sort" => {
            let keys = body.as_array().ok_or_else(|| wrong("`sort` is no list"))?;
            let key = |key: &Value| {
                let path = key
                    .as_str()
                    .ok_or_else(|| wrong("`sort` is a list of paths"))?;
                let ascending = path.strip_prefix('-').unwrap_or(path);
                Ok(SortKey {
                    path: ascending.to_owned(),
                    descending: ascending.len() < path.len(),
                })
            };
            keys.iter()
                .map(key)
                .collect::<Result<_, _>>()
                .map(Stage::Sort)
        }
        "limit" => {
            let limit = body.as_u64().and_then(|limit| usize::try_from(limit).ok());
            limit
                .map(Stage::Limit)
                .ok_or_else(|| wrong("`limit` is no count"))
        }
        "count" if body.is_null() => Ok(Stage::Count),
        other => Err(unknown(format!("the pipeline stage `{other}`"))),
    }
}

fn only_key(value: &Value) -> Result<(&str, &Value), Failure> {
    let object = value.as_object().filter(|object| object.len() == 1);
    object
        .and_then(|object| object.iter().next())
        .map(|(key, value)| (key.as_str(), value))
        .ok_or_else(|| wrong("a stage or source is an object with one key"))
}

fn wrong(message: &str) -> Failure {
    Failure::Wrong(message.to_owned())
}

fn unknown(what: impl std::fmt::Display) -> Failure {
    Failure::Unknown(format!("the sandbox does not simulate {what}"))
}
