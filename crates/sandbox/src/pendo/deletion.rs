//! Bulk deletion: accepted at once, done after a number of status requests. Facts: section 2; the
//! shapes of the answers are not published.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::schema::Kind;
use super::{Pendo, answer};

/// The deletions that were asked for; a deletion's id is its place, from 1.
#[derive(Default)]
pub(crate) struct Deletions {
    jobs: Vec<Job>,
}

struct Job {
    kind: Kind,
    ids: Vec<String>,
    polls: usize,
    removed: Option<usize>,
}

impl Job {
    fn to_json(&self, number: usize) -> Value {
        let status = if self.removed.is_some() {
            "done"
        } else {
            "running"
        };
        json!({
            "id": number.to_string(),
            "kind": self.kind.name(),
            "status": status,
            "submitted": self.ids.len(),
            "removed": self.removed.unwrap_or(0),
        })
    }
}

/// Accepts a deletion.
pub(crate) async fn submit(
    State(pendo): State<Arc<Pendo>>,
    Path(key): Path<String>,
    body: Bytes,
) -> Response {
    let (kind, list) = match key.as_str() {
        "visitor" => (Kind::Visitor, "visitors"),
        "account" => (Kind::Account, "accounts"),
        _ => return answer::not_found(),
    };
    let Ok(mut body) = serde_json::from_slice::<Value>(&body) else {
        return answer::bad_request("malformed JSON");
    };
    let ids = body
        .get_mut(list)
        .map(Value::take)
        .map(serde_json::from_value::<Vec<String>>);
    let Some(Ok(ids)) = ids else {
        return answer::bad_request(&format!("`{list}` is no list of ids"));
    };
    let mut deletions = pendo.deletions();
    deletions.jobs.push(Job {
        kind,
        ids,
        polls: 0,
        removed: None,
    });
    let number = deletions.jobs.len();
    let accepted = deletions.jobs.last().map(|job| job.to_json(number));
    (StatusCode::OK, Json(accepted)).into_response()
}

/// Answers all deletions.
pub(crate) async fn list(State(pendo): State<Arc<Pendo>>) -> Response {
    let deletions = pendo.deletions();
    let jobs: Vec<Value> = (1..)
        .zip(&deletions.jobs)
        .map(|(number, job)| job.to_json(number))
        .collect();
    Json(jobs).into_response()
}

/// Answers one deletion, and does the work once it was asked for often enough.
pub(crate) async fn status(State(pendo): State<Arc<Pendo>>, Path(key): Path<String>) -> Response {
    let mut deletions = pendo.deletions();
    let number: usize = key.parse().unwrap_or(0);
    let Some(job) = number
        .checked_sub(1)
        .and_then(|place| deletions.jobs.get_mut(place))
    else {
        return answer::not_found();
    };
    job.polls += 1;
    if job.removed.is_none() && job.polls >= pendo.options.delete_polls {
        let mut table = pendo.of(job.kind).table();
        job.removed = Some(job.ids.iter().filter(|id| table.remove(id)).count());
    }
    Json(job.to_json(number)).into_response()
}
