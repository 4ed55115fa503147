//! The requests of bulk reads, and their callbacks. Facts: section 2.6.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, success};
use super::job::{Callback, Job, State as JobState};
use super::options::{CallbackParams, Written};
use super::{DataStore, criteria, too_many};
use crate::faults::{ArchiveFault, JobFault, OwnFaults};
use crate::post::post_json;

const SCOPE: &[&str] = &["ZohoCatalyst.tables.bulk.READ"];

/// How many times as long as its result a job can be asked for.
const LOG_LIVES: i64 = 7;

pub(super) async fn create(
    State(datastore): State<Arc<DataStore>>,
    Path(project): Path<String>,
    own: Option<Extension<OwnFaults>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let context = datastore.enter(&project, &headers, SCOPE)?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_| ApiError::invalid("The request body is not valid JSON"))?;
    let mut job = {
        let named = match &body["table_identifier"] {
            Value::Null => {
                return Err(ApiError::new(
                    400,
                    "MISSING_VALUE",
                    "table_identifier is missing",
                ));
            }
            Value::String(named) => named.clone(),
            other => other.to_string(),
        };
        let store = datastore.look();
        let table = store
            .table(context.environment, &named)
            .ok_or_else(|| ApiError::invalid(format!("No such table {named} exists")))?;
        let selection = criteria::read(&body["query"], table, &datastore.options)?;
        Job {
            id: 0,
            environment: context.environment,
            table_id: table.id,
            table: table.name.clone(),
            details: details_of(&body["query"], selection.page),
            selection,
            callback: callback_of(&body["callback"])?,
            created_ms: datastore.now_ms(),
            created_by: context.caller.email.clone(),
            host: host_of(&headers),
            polls: Some(datastore.options.job_polls),
            fault: None,
            state: JobState::Waiting,
        }
    };
    let path = format!("datastore/read/{}", job.table);
    job.fault = datastore
        .faults
        .strike_job(&path, own.as_ref().map(|own| &own.0));
    if let Some(JobFault::Hang { polls }) = job.fault {
        job.polls = polls;
    }
    let id = {
        let mut jobs = datastore.jobs();
        let limit = datastore.options.jobs;
        if limit.is_some_and(|limit| jobs.running() >= limit) {
            return Err(too_many("BULK_READ"));
        }
        jobs.add(job.clone())
    };
    job.id = id;
    let described = job.describe(&datastore, context.style.ids);
    schedule(&datastore, job);
    Ok(success(&described))
}

pub(super) async fn poll(
    State(datastore): State<Arc<DataStore>>,
    Path((project, job)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, SCOPE)?;
    let id = job.parse().unwrap_or_default();
    let is_due = {
        let mut jobs = datastore.jobs();
        let job = jobs
            .get_mut(id)
            .filter(|job| job.environment == context.environment)
            .ok_or_else(|| ApiError::no_such(format!("job {job}")))?;
        let life_ms = seconds_ms(datastore.options.link_seconds).saturating_mul(LOG_LIVES);
        if datastore.now_ms() > job.created_ms.saturating_add(life_ms) {
            return Err(ApiError::new(410, "EXPIRED_LOG", "The job has expired"));
        }
        match (&job.state, &mut job.polls) {
            (JobState::Waiting, Some(0)) => true,
            (JobState::Waiting, Some(polls)) => {
                *polls -= 1;
                false
            }
            _ => false,
        }
    };
    if is_due {
        carry_out(&datastore, id).await;
    }
    let job = datastore.jobs().get(id).cloned();
    let job = job.ok_or_else(|| ApiError::no_such(format!("job {id}")))?;
    Ok(success(&job.describe(&datastore, context.style.ids)))
}

pub(super) async fn download(
    State(datastore): State<Arc<DataStore>>,
    Path((project, job)): Path<(String, String)>,
    fault: Option<Extension<ArchiveFault>>,
    headers: HeaderMap,
) -> Answer {
    let context = datastore.enter(&project, &headers, SCOPE)?;
    let fault = fault.map(|fault| fault.0);
    let found = job
        .parse()
        .ok()
        .and_then(|id| datastore.jobs().get(id).cloned());
    let job = found
        .filter(|job| job.environment == context.environment)
        .ok_or_else(|| ApiError::no_such(format!("job {job}")))?;
    let JobState::Completed {
        archive, ended_ms, ..
    } = job.state
    else {
        return Err(ApiError::new(
            403,
            "INVALID_OPERATION",
            "The job has no result to download",
        ));
    };
    let ends_ms = ended_ms.saturating_add(seconds_ms(datastore.options.link_seconds));
    let is_expired = datastore.now_ms() >= ends_ms || fault == Some(ArchiveFault::Expired);
    let archive = archive
        .filter(|_| !is_expired)
        .ok_or_else(|| ApiError::new(410, "EXPIRED", "The download link has expired"))?;
    let name = format!("attachment; filename=\"Table-{}.zip\"", job.table);
    let zip = match fault {
        Some(fault) => archive.spoiled(fault),
        None => archive.zip(),
    };
    Ok(zip_response(&name, zip))
}

fn zip_response(disposition: &str, zip: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, zip).into_response()
}

/// Posts the first callback, and sees to it that the job ends even if nobody looks at it.
fn schedule(datastore: &Arc<DataStore>, job: Job) {
    let datastore = Arc::clone(datastore);
    tokio::spawn(async move {
        call_back(&datastore, &job).await;
        if matches!(job.fault, Some(JobFault::Hang { .. })) {
            return;
        }
        if job.polls != Some(0) {
            tokio::time::sleep(Duration::from_millis(datastore.options.job_ms)).await;
        }
        carry_out(&datastore, job.id).await;
    });
}

/// Carries out all jobs that wait.
pub(super) async fn finish(datastore: &Arc<DataStore>) {
    let waiting = datastore.jobs().waiting();
    for id in waiting {
        carry_out(datastore, id).await;
    }
}

/// Runs a job where it holds nobody up; its callback does not wait either.
async fn carry_out(datastore: &Arc<DataStore>, id: i64) {
    let worker = Arc::clone(datastore);
    let ended = tokio::task::spawn_blocking(move || worker.run_job(id)).await;
    if let Ok(Some(job)) = ended
        && job.callback.is_some()
    {
        let datastore = Arc::clone(datastore);
        tokio::spawn(async move { call_back(&datastore, &job).await });
    }
}

/// Posts a job to whom it concerns; whether that arrives is nobody's care, as with the service.
async fn call_back(datastore: &DataStore, job: &Job) {
    let Some(callback) = &job.callback else {
        return;
    };
    let mut body = job.describe(datastore, Written::Text);
    let mut url = callback.url.clone();
    let params = datastore.options.callback_params;
    for (name, value) in &callback.params {
        if params != CallbackParams::Query {
            body[name] = json!(value);
        }
        if params != CallbackParams::Body {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!(
                "{}={}",
                crate::form::escape(name),
                crate::form::escape(value)
            ));
        }
    }
    let posted = post_json(&url, &callback.headers, &body.to_string()).await;
    let mut jobs = datastore.jobs();
    jobs.count_callback(matches!(posted, Ok(200..=299)));
}

fn callback_of(callback: &Value) -> Result<Option<Callback>, ApiError> {
    if callback.is_null() {
        return Ok(None);
    }
    let refusal = || ApiError::invalid("Invalid value for callback");
    let url = callback["url"].as_str().ok_or_else(refusal)?;
    let pairs = |value: &Value| -> Result<Vec<(String, String)>, ApiError> {
        let Value::Object(pairs) = value else {
            return if value.is_null() {
                Ok(Vec::new())
            } else {
                Err(refusal())
            };
        };
        let pair = |(name, value): (&String, &Value)| {
            let value = value.as_str().ok_or_else(refusal)?;
            Ok((name.clone(), value.to_owned()))
        };
        pairs.iter().map(pair).collect()
    };
    Ok(Some(Callback {
        url: url.to_owned(),
        headers: pairs(&callback["headers"])?,
        params: pairs(&callback["params"])?,
    }))
}

/// What was asked, as the job shows it again.
fn details_of(query: &Value, page: usize) -> Value {
    let mut details = json!({"page": page});
    for key in ["select_columns", "criteria"] {
        if !query[key].is_null() {
            details[key] = query[key].clone();
        }
    }
    details
}

fn host_of(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.unwrap_or("localhost").to_owned()
}

fn seconds_ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}
