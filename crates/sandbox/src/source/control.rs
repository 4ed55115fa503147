//! The control requests about the source: what it is, and changing rows. They need no key; the
//! sandbox listens on this machine only unless a person decides otherwise, and the answer holds the
//! password of a throw-away database at most.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::server::World;

const USUAL_ROWS: u64 = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    rows: Option<u64>,
}

/// `GET /source`, `GET /source/truth` and `POST /source/change?rows=N`.
pub(crate) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/source", get(describe))
        .route("/source/truth", get(truth))
        .route("/source/change", post(change))
        .with_state(world)
}

async fn describe(State(world): State<Arc<World>>) -> Response {
    match world.source.get() {
        Some(source) => Json(source.describe()).into_response(),
        None => no_source(),
    }
}

async fn change(State(world): State<Arc<World>>, Query(change): Query<Change>) -> Response {
    let Some(source) = world.source.get() else {
        return no_source();
    };
    let rows = change.rows.unwrap_or(USUAL_ROWS);
    if source.chat().is_some() {
        return answer(source.change_chat(rows).await);
    }
    answer(source.change(rows).await)
}

async fn truth(State(world): State<Arc<World>>) -> Response {
    match world.source.get() {
        Some(source) if source.chat().is_some() => answer(source.chat_truth().await),
        Some(_) => refuse("the truth is told of `--source-sample chat` alone"),
        None => no_source(),
    }
}

fn answer(done: anyhow::Result<impl Serialize>) -> Response {
    match done {
        Ok(report) => Json(report).into_response(),
        Err(error) => {
            let message = format!("{error:#}");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                Json(json!({"message": message})),
            )
                .into_response()
        }
    }
}

fn no_source() -> Response {
    refuse("this sandbox was started without --source")
}

fn refuse(message: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"message": message}))).into_response()
}
