//! The control requests under `/_sandbox`, for tests, scripts and the page: look at what was counted
//! and kept, set faults, make ids known. They need no key, and no fault strikes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::activity::Snapshot;
use crate::analytics;
use crate::bigquery;
use crate::compare;
use crate::crm;
use crate::datastore;
use crate::faults::{Fault, FaultError, FaultState};
use crate::pendo::Kind;
use crate::server::World;
use crate::source;
use crate::tetra;
use crate::zoho;

/// The largest body of a control request: a list of some million ids.
const BODY_LIMIT: usize = 512 << 20;

/// Everything that can be seen of a sandbox at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// What was counted.
    #[serde(flatten)]
    pub activity: Snapshot,
    /// The faults in force.
    pub active_faults: Vec<FaultState>,
    /// How many ids each table knows.
    pub known: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Form {
    format: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultChange {
    /// Replaces all faults.
    set: Option<Vec<String>>,
    /// Comes on top of those in force.
    #[serde(default)]
    add: Vec<String>,
    /// Ends all faults.
    #[serde(default)]
    clear: bool,
}

pub(crate) fn routes(world: Arc<World>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/state", get(state))
        .route("/faults", get(list_faults).post(change_faults))
        .route("/reset", post(reset))
        .route("/dump/pendo/{kind}", get(dump))
        .route("/pendo/{kind}/ids", post(add_ids))
        .route("/pendo/{kind}/schema", post(replace_schema))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::clone(&world))
        .merge(bigquery::control::routes(Arc::clone(&world.bigquery)))
        .merge(zoho::control::routes(Arc::clone(&world.accounts)))
        .merge(analytics::control::routes(Arc::clone(&world.analytics)))
        .merge(datastore::control::routes(Arc::clone(&world.datastore)))
        .merge(tetra::control::routes(Arc::clone(&world.tetra)))
        .merge(compare::routes(Arc::clone(&world)))
        .merge(crm::control::routes(Arc::clone(&world.crm)))
        .merge(source::control::routes(world))
}

/// Puts together what `GET /_sandbox/state` answers.
pub(crate) fn status(world: &World) -> Status {
    let known = |kind: Kind| (format!("pendo/{}", kind.name()), world.pendo.id_count(kind));
    Status {
        activity: world.activity.snapshot(),
        active_faults: world.faults.states(),
        known: Kind::ALL.map(known).into_iter().collect(),
    }
}

async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn state(State(world): State<Arc<World>>) -> Response {
    Json(status(&world)).into_response()
}

async fn list_faults(State(world): State<Arc<World>>) -> Response {
    Json(world.faults.states()).into_response()
}

async fn change_faults(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let change: FaultChange = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => return bad_request(&format!("`set`, `add` or `clear` expected: {error}")),
    };
    let parse = |specs: &[String]| -> Result<Vec<Fault>, FaultError> {
        specs.iter().map(|spec| spec.parse()).collect()
    };
    // Everything is read before anything changes.
    let (set, add) = match (
        change.set.as_deref().map(parse).transpose(),
        parse(&change.add),
    ) {
        (Ok(set), Ok(add)) => (set, add),
        (Err(error), _) | (_, Err(error)) => return bad_request(&error.to_string()),
    };
    if let Some(faults) = set.or_else(|| change.clear.then(Vec::new)) {
        world.faults.set(faults);
    }
    world.faults.add(add);
    Json(world.faults.states()).into_response()
}

async fn reset(State(world): State<Arc<World>>) -> Response {
    world.activity.reset();
    world.faults.set(world.first_faults.clone());
    world.bigquery.reset();
    world.accounts.reset();
    world.analytics.reset();
    world.datastore.reset();
    world.crm.reset();
    world.tetra.reset();
    match world.pendo.reset() {
        Ok(()) => {
            world.know_source();
            Json(json!({"status": "ok"})).into_response()
        }
        Err(error) => bad_request(&format!("{error:#}")),
    }
}

async fn dump(
    State(world): State<Arc<World>>,
    Path(kind): Path<String>,
    Query(form): Query<Form>,
) -> Response {
    let Some(kind) = Kind::from_name(&kind) else {
        return unknown_kind();
    };
    match form.format.as_deref() {
        Some("count") => Json(world.pendo.id_count(kind)).into_response(),
        Some("ids") => {
            Json(world.pendo.dump_raw(kind).into_keys().collect::<Vec<_>>()).into_response()
        }
        None | Some("json") => Json(world.pendo.dump_raw(kind)).into_response(),
        Some(_) => bad_request("the formats are `json`, `ids` and `count`"),
    }
}

async fn add_ids(
    State(world): State<Arc<World>>,
    Path(kind): Path<String>,
    body: Bytes,
) -> Response {
    let Some(kind) = Kind::from_name(&kind) else {
        return unknown_kind();
    };
    let Ok(text) = std::str::from_utf8(&body) else {
        return bad_request("the body is no UTF-8");
    };
    let added = if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<String>>(text) {
            Ok(ids) => world.pendo.add_ids(kind, ids),
            Err(error) => return bad_request(&format!("the body is no array of ids: {error}")),
        }
    } else {
        world
            .pendo
            .add_ids(kind, text.lines().filter(|id| !id.is_empty()))
    };
    Json(json!({"added": added, "known": world.pendo.id_count(kind)})).into_response()
}

async fn replace_schema(
    State(world): State<Arc<World>>,
    Path(kind): Path<String>,
    Json(schema): Json<Value>,
) -> Response {
    let Some(kind) = Kind::from_name(&kind) else {
        return unknown_kind();
    };
    match world.pendo.replace_schema(kind, &schema) {
        Ok(()) => Json(world.pendo.schema(kind)).into_response(),
        Err(error) => bad_request(&format!("{error:#}")),
    }
}

fn bad_request(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"message": message}))).into_response()
}

fn unknown_kind() -> Response {
    let message = "the kinds are `visitor`, `account` and `parentAccount`";
    (StatusCode::NOT_FOUND, Json(json!({"message": message}))).into_response()
}
