//! `jobs.query` and `jobs.getQueryResults`. Facts: section 6.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::BigQuery;
use super::answer::{Answer, ApiError};
use super::encode::{self, Instants};
use super::job::JobKey;
use super::job_api;
use super::request::{Parameters, WholeBody, check_names};
use super::rows_api;
use super::schema;
use super::table_api;
use crate::faults::OwnFaults;

/// For how long a repeated `requestId` finds the job of the first, in milliseconds.
const REQUEST_ID_MS: u64 = 15 * 60 * 1000;

/// The most rows of a page.
const PAGE: usize = 50_000;

/// What belongs to the statement; the rest is about the call.
const OF_STATEMENT: [&str; 10] = [
    "query",
    "useLegacySql",
    "defaultDataset",
    "maximumBytesBilled",
    "parameterMode",
    "queryParameters",
    "useQueryCache",
    "createSession",
    "connectionProperties",
    "writeIncrementalResults",
];

const OF_CALL: [&str; 9] = [
    "kind",
    "location",
    "timeoutMs",
    "requestId",
    "maxResults",
    "dryRun",
    "labels",
    "formatOptions",
    "jobCreationMode",
];

pub(crate) async fn query(
    State(bigquery): State<Arc<BigQuery>>,
    Path(project): Path<String>,
    own: Option<Extension<OwnFaults>>,
    body: WholeBody,
) -> Answer {
    let body = body.object()?;
    let known = [&OF_STATEMENT[..], &OF_CALL[..]].concat();
    check_names(
        &body,
        &known,
        &["preserveNulls", "reservation"],
        "query_request",
    )?;
    let request = body.get("requestId").and_then(Value::as_str);
    let key = match request.and_then(|id| earlier(&bigquery, &project, id)) {
        Some(key) => key,
        None => {
            let job = job_of(&body);
            let (key, _) = job_api::submit(&bigquery, &project, &job, None, own.as_deref())?;
            if let Some(id) = request {
                let known = (project.clone(), id.to_owned());
                let now_ms = bigquery.now_ms();
                bigquery
                    .store()
                    .jobs
                    .requests
                    .insert(known, (key.clone(), now_ms));
            }
            key
        }
    };
    let waits =
        body.get("timeoutMs") != Some(&json!(0)) && body.get("timeoutMs") != Some(&json!("0"));
    if waits {
        wait(&bigquery, &key);
    }
    let instants = match body.get("formatOptions") {
        Some(options) if options["useInt64Timestamp"] == json!(true) => Instants::Micros,
        _ => Instants::Seconds,
    };
    let size = body.get("maxResults").and_then(Value::as_u64);
    let size = size.and_then(|size| usize::try_from(size).ok());
    answer(&bigquery, &key, "bigquery#queryResponse", 0, size, instants)
}

pub(crate) async fn results(
    State(bigquery): State<Arc<BigQuery>>,
    Path((project, id)): Path<(String, String)>,
    parameters: Parameters,
) -> Answer {
    let location = parameters.get("location").map(String::as_str);
    let key = job_api::find(&bigquery.store(), &project, &id, location)?;
    job_api::look(&bigquery, &key);
    let start = start(&parameters)?;
    let size = table_api::page_size(&parameters)?;
    let instants = rows_api::instants(&parameters);
    answer(
        &bigquery,
        &key,
        "bigquery#getQueryResultsResponse",
        start,
        size,
        instants,
    )
}

/// The same call within a quarter of an hour is the same job.
fn earlier(bigquery: &BigQuery, project: &str, id: &str) -> Option<JobKey> {
    let store = bigquery.store();
    let (key, time) = store
        .jobs
        .requests
        .get(&(project.to_owned(), id.to_owned()))?;
    (time + REQUEST_ID_MS > bigquery.now_ms()).then(|| key.clone())
}

/// The job that a call stands for.
fn job_of(body: &Map<String, Value>) -> Map<String, Value> {
    let statement: Map<String, Value> = body
        .iter()
        .filter(|(name, _)| OF_STATEMENT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut configuration = json!({"query": statement});
    for name in ["dryRun", "labels"] {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            configuration[name] = value.clone();
        }
    }
    let mut reference = json!({});
    if let Some(location) = body.get("location") {
        reference["location"] = location.clone();
    }
    let mut job = Map::new();
    job.insert("jobReference".to_owned(), reference);
    job.insert("configuration".to_owned(), configuration);
    job
}

/// The call waits for its job, unless a fault holds the job back.
fn wait(bigquery: &BigQuery, key: &JobKey) {
    let waits = bigquery
        .store()
        .jobs
        .get(key)
        .is_some_and(|job| job.due_ms.is_some());
    if waits {
        job_api::execute(bigquery, key);
    }
}

fn start(parameters: &HashMap<String, String>) -> Result<usize, ApiError> {
    match (parameters.get("pageToken"), parameters.get("startIndex")) {
        (Some(token), _) => table_api::parse_token(token),
        (None, Some(index)) => index
            .parse()
            .map_err(|_| ApiError::invalid("Invalid value for startIndex")),
        (None, None) => Ok(0),
    }
}

fn answer(
    bigquery: &BigQuery,
    key: &JobKey,
    kind: &str,
    start: usize,
    size: Option<usize>,
    instants: Instants,
) -> Answer {
    let store = bigquery.store();
    let Some(job) = store.jobs.get(key) else {
        return Err(ApiError::not_found(format!("Job {}", key.id)));
    };
    let mut answer =
        json!({"kind": kind, "jobReference": job.reference(key), "jobComplete": false});
    let Some(outcome) = job.outcome() else {
        return Ok(Json(answer));
    };
    if let Some(error) = &outcome.error {
        return Err(error.clone());
    }
    answer["jobComplete"] = json!(true);
    answer["cacheHit"] = json!(false);
    answer["totalBytesProcessed"] = json!(outcome.bytes_processed.unwrap_or(0).to_string());
    if let Some(stats) = outcome.statistics.get("dmlStats") {
        answer["dmlStats"] = stats.clone();
    }
    let Some(result) = &outcome.result else {
        return Ok(Json(answer));
    };
    if let Some(affected) = result.affected {
        answer["numDmlAffectedRows"] = json!(affected.to_string());
    }
    if !result.columns.is_empty() {
        let size = size.unwrap_or(PAGE).min(PAGE);
        let rows: Vec<Value> = result
            .rows
            .iter()
            .skip(start)
            .take(size)
            .map(|row| encode::wire_row(row, &result.columns, instants))
            .collect();
        let end = start + rows.len();
        answer["schema"] = schema::to_json(&result.columns);
        answer["totalRows"] = json!(result.rows.len().to_string());
        answer["rows"] = json!(rows);
        if end < result.rows.len() {
            answer["pageToken"] = json!(table_api::page_token(end));
        }
    }
    Ok(Json(answer))
}
