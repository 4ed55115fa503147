//! Control requests for Data Store under `/_sandbox/datastore`: look at tables, rows, jobs and events,
//! change rows as people do, make and drop tables, say where events go.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DataStore, Environment, EventHook};

/// How many jobs the summary lists.
const JOBS_SHOWN: usize = 200;

/// The largest body: rows of a large table.
const BODY_LIMIT: usize = 512 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    rows: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    count: usize,
}

/// A table of an environment, as the path names it.
struct Place {
    environment: Environment,
    table: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Place, Response> {
        let named = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((environment, table)) = named.map_err(IntoResponse::into_response)?;
        let environment = Environment::from_name(&environment).ok_or_else(no_environment)?;
        Ok(Place { environment, table })
    }
}

type Parameters = Query<HashMap<String, String>>;

pub(crate) fn routes(datastore: Arc<DataStore>) -> Router {
    Router::new()
        .route("/datastore", get(summary))
        .route("/datastore/tables", post(create_table))
        .route(
            "/datastore/tables/{table}",
            axum::routing::delete(drop_table),
        )
        .route(
            "/datastore/{environment}/{table}/rows",
            post(put).delete(delete),
        )
        .route("/datastore/{environment}/{table}/change", post(change))
        .route("/datastore/{environment}/{table}/add", post(add))
        .route(
            "/datastore/events",
            get(events).post(set_events).delete(end_events),
        )
        .route("/datastore/jobs/finish", post(finish_jobs))
        .route("/datastore/events/resend", post(resend))
        .route("/dump/datastore/{environment}/{table}", get(dump))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(datastore)
}

async fn summary(State(datastore): State<Arc<DataStore>>) -> Response {
    let jobs: Vec<_> = datastore.jobs_view().into_iter().take(JOBS_SHOWN).collect();
    let tables: serde_json::Map<String, Value> = Environment::ALL
        .into_iter()
        .map(|environment| {
            let tables = json!(datastore.tables(environment));
            (environment.name().to_owned(), tables)
        })
        .collect();
    let (taken, failed) = datastore.callback_counts();
    Json(
        json!({"tables": tables, "jobs": jobs, "events": datastore.event_counts(),
        "callbacks": {"taken": taken, "failed": failed}}),
    )
    .into_response()
}

async fn create_table(
    State(datastore): State<Arc<DataStore>>,
    Json(described): Json<Value>,
) -> Response {
    match datastore.create_table(&described) {
        Ok(()) => done(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn drop_table(
    State(datastore): State<Arc<DataStore>>,
    Path(table): Path<String>,
) -> Response {
    if datastore.drop_table(&table) {
        done()
    } else {
        no_table()
    }
}

async fn put(
    State(datastore): State<Arc<DataStore>>,
    Place { environment, table }: Place,
    Json(rows): Json<Value>,
) -> Response {
    match datastore.put(environment, &table, &rows) {
        Ok(ids) => Json(json!({"ids": text_of(&ids)})).into_response(),
        Err(error) => answer(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

async fn delete(
    State(datastore): State<Arc<DataStore>>,
    Place { environment, table }: Place,
    Json(body): Json<Ids>,
) -> Response {
    let ids: Vec<i64> = body.ids.iter().filter_map(super::store::read_id).collect();
    Json(json!({"deleted": datastore.delete(environment, &table, &ids)})).into_response()
}

async fn change(
    State(datastore): State<Arc<DataStore>>,
    Place { environment, table }: Place,
    Json(amount): Json<Amount>,
) -> Response {
    let changed = datastore.change_some(environment, &table, amount.rows);
    Json(json!({"changed": changed})).into_response()
}

async fn add(
    State(datastore): State<Arc<DataStore>>,
    Place { environment, table }: Place,
    Json(amount): Json<Amount>,
) -> Response {
    if table != "Trips" {
        return answer(StatusCode::BAD_REQUEST, "only `Trips` has sample rows");
    }
    let added = datastore.add_trips(environment, amount.rows);
    Json(json!({"added": added})).into_response()
}

async fn dump(
    State(datastore): State<Arc<DataStore>>,
    Place { environment, table }: Place,
    Query(form): Parameters,
) -> Response {
    let Some(count) = datastore.row_count(environment, &table) else {
        return no_table();
    };
    match form.get("format").map(String::as_str) {
        Some("count") => Json(count).into_response(),
        None | Some("json") => Json(datastore.dump(environment, &table)).into_response(),
        Some(_) => answer(
            StatusCode::BAD_REQUEST,
            "the formats are `json` and `count`",
        ),
    }
}

async fn finish_jobs(State(datastore): State<Arc<DataStore>>) -> Response {
    super::bulk::finish(&datastore).await;
    done()
}

async fn events(State(datastore): State<Arc<DataStore>>) -> Response {
    Json(datastore.event_counts()).into_response()
}

async fn set_events(
    State(datastore): State<Arc<DataStore>>,
    Json(hook): Json<EventHook>,
) -> Response {
    datastore.set_events(Some(hook));
    done()
}

async fn end_events(State(datastore): State<Arc<DataStore>>) -> Response {
    datastore.set_events(None);
    done()
}

async fn resend(State(datastore): State<Arc<DataStore>>, Json(again): Json<Again>) -> Response {
    Json(json!({"sent": datastore.resend_events(again.count)})).into_response()
}

fn text_of(ids: &[i64]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn done() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

fn no_table() -> Response {
    answer(StatusCode::NOT_FOUND, "there is no such table")
}

fn no_environment() -> Response {
    answer(
        StatusCode::NOT_FOUND,
        "the environments are `Development` and `Production`",
    )
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}
