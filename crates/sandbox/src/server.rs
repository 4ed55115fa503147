//! Puts the services, the control requests and the page under one port, and stands in front of the
//! services: it lets faults strike and writes the request log.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::activity::{Activity, RequestEntry, Tally};
use crate::analytics::{self, Analytics};
use crate::bigquery::{self, BigQuery};
use crate::crm::{self, Crm};
use crate::datastore::{self, DataStore};
use crate::faults::{Fault, FaultBoard, Moment, OwnFaults, Reason, Refusal, Verdict};
use crate::line::Line;
use crate::pendo::{self, Pendo};
use crate::source::{Kind, Source};
use crate::tetra::{self, Tetra};
use crate::zoho::{self, Accounts};
use crate::{body, control, page};

/// The header with which a request asks for faults of its own.
pub(crate) const FAULT_HEADER: &str = "x-sandbox-fault";

/// Everything that the requests share.
pub(crate) struct World {
    pub(crate) activity: Arc<Activity>,
    pub(crate) faults: Arc<FaultBoard>,
    /// The faults that a reset returns to.
    pub(crate) first_faults: Vec<Fault>,
    pub(crate) latency: Duration,
    pub(crate) pendo: Arc<Pendo>,
    pub(crate) bigquery: Arc<BigQuery>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) analytics: Arc<Analytics>,
    pub(crate) datastore: Arc<DataStore>,
    pub(crate) crm: Arc<Crm>,
    pub(crate) tetra: Arc<Tetra>,
    /// Set once the database with the sample data is up, if one was asked for.
    pub(crate) source: OnceLock<Source>,
    /// How many requests are being answered.
    pub(crate) unanswered: AtomicUsize,
}

impl World {
    /// Makes known to Pendo what the sample data says it knows.
    pub(crate) fn know_source(&self) {
        if let Some(source) = self.source.get() {
            self.pendo
                .add_ids(pendo::Kind::Account, source.known_ids(Kind::Account));
            self.pendo
                .add_ids(pendo::Kind::Visitor, source.known_ids(Kind::Visitor));
        }
    }
}

/// Something that a service wants kept until its answer is on its way.
#[derive(Clone)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "held for its drop")] pub(crate) Arc<dyn Any + Send + Sync>,
);

pub(crate) fn routes(world: &Arc<World>) -> Router {
    let services = Router::new()
        .nest("/pendo", pendo::routes(Arc::clone(&world.pendo)))
        .merge(bigquery::routes(Arc::clone(&world.bigquery)))
        .merge(zoho::routes(Arc::clone(&world.accounts)))
        .merge(analytics::routes(Arc::clone(&world.analytics)))
        .merge(datastore::routes(Arc::clone(&world.datastore)))
        .merge(crm::routes(Arc::clone(&world.crm)))
        .merge(tetra::routes(Arc::clone(&world.tetra)))
        .fallback(unknown_path)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(world),
            watch,
        ));
    Router::new()
        .merge(page::routes(Arc::clone(world)))
        .nest("/_sandbox", control::routes(Arc::clone(world)))
        .fallback_service(services)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(world),
            count_unanswered,
        ))
}

/// What listens on the port of the Tetra Data Platform's storage.
pub(crate) fn storage_routes(world: &Arc<World>) -> Router {
    tetra::storage::routes(Arc::clone(&world.tetra))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(world),
            watch,
        ))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(world),
            count_unanswered,
        ))
}

/// The length that a request declares for its body.
pub(crate) fn declared_length(headers: &HeaderMap) -> u64 {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Lets a stop know whether anybody still waits for an answer.
async fn count_unanswered(
    State(world): State<Arc<World>>,
    request: Request,
    next: Next,
) -> Response {
    struct Unanswered(Arc<World>);

    impl Drop for Unanswered {
        fn drop(&mut self) {
            self.0.unanswered.fetch_sub(1, Ordering::AcqRel);
        }
    }

    world.unanswered.fetch_add(1, Ordering::AcqRel);
    let _until_answered = Unanswered(world);
    next.run(request).await
}

async fn unknown_path(request: Request) -> Response {
    let message = format!(
        "no service of the sandbox has the path `{}`",
        request.uri().path()
    );
    (
        StatusCode::NOT_IMPLEMENTED,
        Json(json!({"sandbox": "not implemented", "message": message})),
    )
        .into_response()
}

/// Stands in front of the services. A request is carried out and counted to its end even if its
/// client has gone away: that is the case in which a client cannot know what was applied.
async fn watch(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    match tokio::spawn(attend(world, request, next)).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn attend(world: Arc<World>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().to_string();
    let uri = request.uri();
    let path = match uri.path_and_query() {
        // Parameters of tokens are secrets, in the query string as well.
        Some(whole) if whole.path().starts_with("/oauth/") && whole.query().is_some() => {
            format!("{}?…", whole.path())
        }
        Some(whole) => {
            tetra::storage::without_signature(whole.as_str()).unwrap_or_else(|| whole.to_string())
        }
        None => uri.path().to_owned(),
    };
    let declared = declared_length(request.headers());
    let own = match own_faults(request.headers()) {
        Ok(own) => own,
        Err(response) => return *response,
    };
    let line = request
        .extensions()
        .get::<ConnectInfo<Line>>()
        .map(|info| info.0.clone());
    let verdict = world.faults.decide(&method, uri.path(), &own);
    let (mut response, reset) = strike(&world, &verdict, own, line.as_ref(), request, next).await;
    let tally = response.extensions_mut().remove::<Tally>();
    response.extensions_mut().remove::<Held>();
    let status = if reset { 0 } else { response.status().as_u16() };
    let entry = RequestEntry {
        number: 0,
        at_ms: 0,
        method,
        path,
        status,
        duration_us: began.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
        bytes: tally.as_ref().map_or(declared, |tally| tally.bytes),
        records: tally.as_ref().map_or(0, |tally| tally.records),
        faults: verdict
            .names
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
    };
    world.activity.record(entry, tally.as_ref());
    if let Some(line) = line.filter(|_| reset) {
        line.reset();
    }
    response
}

/// Runs a request with its faults; the flag says that the connection is to be reset.
async fn strike(
    world: &World,
    verdict: &Verdict,
    own: Vec<Fault>,
    line: Option<&Line>,
    mut request: Request,
    next: Next,
) -> (Response, bool) {
    let delay = world.latency + verdict.delay;
    if verdict.reset == Some(Moment::Before) {
        tokio::time::sleep(delay).await;
        return (StatusCode::OK.into_response(), true);
    }
    if let Some(refusal) = verdict.answer {
        let path = request.uri().path().to_owned();
        body::drain(request.into_body()).await;
        tokio::time::sleep(delay).await;
        let response = if zoho::is_zoho(&path) {
            zoho::refuse(&world.accounts, &path, refusal)
        } else if analytics::is_analytics(&path) {
            analytics::refuse(&world.analytics, refusal)
        } else if crm::is_crm(&path) {
            crm::refuse(&path, refusal)
        } else if tetra::is_tetra(&path) {
            tetra::refuse(&world.tetra, refusal)
        } else if tetra::storage::is_storage(&world.tetra, &path) {
            tetra::storage::refuse_as_storage(&world.tetra, refusal)
        } else if is_google(&path) {
            refuse_as_google(refusal)
        } else {
            refuse(refusal)
        };
        return (response, false);
    }
    request.extensions_mut().insert(verdict.call);
    if !own.is_empty() {
        request.extensions_mut().insert(OwnFaults(own));
    }
    if verdict.revoke {
        world.accounts.end_token_of(request.headers());
        world.tetra.end_token_of(request.headers());
    }
    if let Some(fault) = verdict.archive {
        request.extensions_mut().insert(fault);
    }
    if let Some(bytes) = verdict.upload_cut {
        let (parts, whole) = request.into_parts();
        request = Request::from_parts(parts, body::cut_off(whole, bytes, line.cloned()));
    }
    let response = next.run(request).await;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if verdict.reset == Some(Moment::After) {
        return (response, true);
    }
    if verdict.empty {
        let mut emptied = response.status().into_response();
        *emptied.extensions_mut() = response.extensions().clone();
        return (emptied, false);
    }
    if verdict.cut {
        return (cut(response).await, false);
    }
    (response, false)
}

fn own_faults(headers: &HeaderMap) -> Result<Vec<Fault>, Box<Response>> {
    let Some(text) = headers.get(FAULT_HEADER) else {
        return Ok(Vec::new());
    };
    let faults = text
        .to_str()
        .map_err(|_| "no text".to_owned())
        .and_then(|text| Fault::parse_list(text).map_err(|error| error.to_string()));
    faults.map_err(|error| {
        let message = format!("cannot use header `{FAULT_HEADER}`: {error}");
        let body = json!({"sandbox": "bad fault", "message": message});
        Box::new((StatusCode::NOT_IMPLEMENTED, Json(body)).into_response())
    })
}

/// The answer of a fault, in the forms in which gateways and services really answer.
fn refuse(refusal: Refusal) -> Response {
    let code = refusal.status;
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = |reason: &str, message: &str| {
        Json(json!({"code": code, "reason": reason, "message": message})).into_response()
    };
    let mut response = match (refusal.reason, code) {
        (Reason::Throttled, _) => json("rateLimitExceeded", "Too Many Requests"),
        (Reason::KeyExpired | Reason::ScopeMissing, _) => "Authentication Failed".into_response(),
        (Reason::Broken, 502) => {
            Html("<html><body>502 Bad Gateway</body></html>\n").into_response()
        }
        (Reason::Broken, 503 | 504) => "upstream connect error\n".into_response(),
        (Reason::Broken, _) => json("internal", "internal error"),
    };
    *response.status_mut() = status;
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Whether a path belongs to a service of Google.
fn is_google(path: &str) -> bool {
    ["/bigquery/", "/upload/bigquery/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// The same for the services of Google, whose bodies name a reason.
fn refuse_as_google(refusal: Refusal) -> Response {
    let (reason, message) = match (refusal.named, refusal.reason, refusal.status) {
        (Some("eucHeader"), ..) => ("invalid", "invalid euc header".to_owned()),
        (Some(reason), ..) => (reason, format!("Refused by a fault of the sandbox: {reason}")),
        (None, Reason::Throttled, _) => (
            "rateLimitExceeded",
            "Exceeded rate limits: too many api requests per user per method for this user_method. For more information, see https://cloud.google.com/bigquery/docs/troubleshoot-quotas".to_owned(),
        ),
        (None, Reason::KeyExpired | Reason::ScopeMissing, _) => (
            "authError",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.".to_owned(),
        ),
        // Gateways know no reasons.
        (None, Reason::Broken, 502..=504) => return refuse(refusal),
        (None, Reason::Broken, 500) => (
            "internalError",
            "An internal error occurred and the request could not be completed.".to_owned(),
        ),
        (None, Reason::Broken, _) => ("backendError", "Error encountered during execution. Retrying may solve the problem.".to_owned()),
    };
    let mut response = bigquery::refusal(refusal.status, reason, message);
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Declares the whole body and sends the first half of it; then the connection ends. A body whose length
/// is told is not put together for that.
async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let told = body.size_hint().exact().or_else(|| {
        let length = parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
        length.parse().ok()
    });
    let (length, body) = match told {
        Some(length) => (length, body),
        None => match axum::body::to_bytes(body, usize::MAX).await {
            Ok(whole) => (whole.len() as u64, Body::from(whole)),
            Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
    };
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let chunks = stream::unfold(
        Some((body.into_data_stream(), length / 2)),
        |rest| async move {
            let (mut body, left) = rest?;
            let chunk = match body.next().await {
                Some(Ok(chunk)) if left > 0 => chunk,
                _ => {
                    // What was written so far goes out while this waits.
                    tokio::task::yield_now().await;
                    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
                    return Some((Err(broken), None));
                }
            };
            let size = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            let left = left - size as u64;
            Some((
                Ok::<Bytes, std::io::Error>(chunk.slice(..size)),
                Some((body, left)),
            ))
        },
    );
    Response::from_parts(parts, Body::from_stream(chunks))
}
