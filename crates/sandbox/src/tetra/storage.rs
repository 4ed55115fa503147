//! The storage that pre-signed links lead to: another origin, which knows no tokens. Facts: sections 2
//! and 5.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::content::scramble;
use super::members::bucket;
use super::retrieve::{download, part};
use super::store::fingerprint;
use super::{Tetra, count};
use crate::faults::{ArchiveFault, Reason, Refusal};
use crate::form;
use crate::server::Held;

/// What links are signed with.
const KEY: &str = "AKIASANDBOX";

/// Headers that a request with a link may not have.
const FOREIGN_HEADERS: [&str; 3] = ["authorization", "ts-auth-token", "x-org-slug"];

/// What listens on the port of the storage.
pub(crate) fn routes(tetra: Arc<Tetra>) -> Router {
    Router::new().fallback(fetch).with_state(tetra)
}

/// The path and query of a request without the signature, for the log.
pub(crate) fn without_signature(path: &str) -> Option<String> {
    let (path, query) = path.split_once('?')?;
    query
        .contains("X-Amz-Signature=")
        .then(|| format!("{path}?…"))
}

impl Tetra {
    /// A link to a file, good from now on.
    pub(super) fn link(&self, id: &str, path: &str, headers: &HeaderMap) -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        let path = format!("/{}/{id}/{}", bucket(&self.options.org), form::escape(name));
        let now = self.now_ms().div_euclid(1000);
        let seconds = self.options.link_seconds;
        let date = chrono::DateTime::from_timestamp(now, 0).unwrap_or_default();
        let signature = sign(&path, now, seconds);
        format!(
            "{}{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}&X-Amz-Date={}&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}",
            self.storage_origin(headers),
            date.format("%Y%m%dT%H%M%SZ"),
        )
    }

    /// The address of the storage, as the client that asks can reach it.
    fn storage_origin(&self, headers: &HeaderMap) -> String {
        let Some(address) = self.storage.get() else {
            return "http://127.0.0.1:0".to_owned();
        };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        match host.filter(|_| address.ip().is_unspecified()) {
            Some(host) => {
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                format!("http://{name}:{}", address.port())
            }
            None => format!("http://{address}"),
        }
    }
}

impl Tetra {
    fn mark_storage(&self, response: &mut Response) {
        let headers = response.headers_mut();
        self.date(headers);
        headers.insert(header::SERVER, HeaderValue::from_static("AmazonS3"));
    }
}

/// Whether a path is one of the storage.
pub(crate) fn is_storage(tetra: &Tetra, path: &str) -> bool {
    let bucket = bucket(&tetra.options.org);
    let rest = path
        .strip_prefix('/')
        .and_then(|rest| rest.strip_prefix(&bucket));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The answer of a fault in front of the storage.
pub(crate) fn refuse_as_storage(tetra: &Tetra, refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (code, message) = match (refusal.reason, refusal.status) {
        (Reason::Throttled, _) | (_, 503) => ("SlowDown", "Please reduce your request rate."),
        (Reason::KeyExpired | Reason::ScopeMissing, _) => ("AccessDenied", "Access Denied"),
        (Reason::Broken, _) => (
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
    };
    let mut response = refuse(status, code, message);
    if let Some(seconds) = refusal.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    tetra.mark_storage(&mut response);
    response
}

async fn fetch(State(tetra): State<Arc<Tetra>>, request: Request) -> Response {
    let fault = request.extensions().get::<ArchiveFault>().copied();
    let flying = tetra.downloading.enter(None);
    let held = flying.map(|flying| Held(Arc::new(flying)));
    let mut response = answer(&tetra, &request, fault, held.clone());
    if let Some(held) = held {
        response.extensions_mut().insert(held);
    }
    tetra.mark_storage(&mut response);
    response
}

fn answer(
    tetra: &Tetra,
    request: &Request,
    fault: Option<ArchiveFault>,
    held: Option<Held>,
) -> Response {
    let headers = request.headers();
    if FOREIGN_HEADERS
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        count(&tetra.counters.leaks);
        let message = "Only one auth mechanism allowed";
        return refuse(StatusCode::BAD_REQUEST, "InvalidArgument", message);
    }
    let path = request.uri().path();
    let parameters = form::fields(request.uri().query().unwrap_or_default());
    // The method is signed with the path: a link is good for nothing but reading.
    let signed = signed(path, &parameters).filter(|_| *request.method() == Method::GET);
    let Some((since, seconds)) = signed else {
        let message =
            "The request signature we calculated does not match the signature you provided";
        return refuse(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message);
    };
    let age = tetra.now_ms().div_euclid(1000) - since;
    if age >= i64::try_from(seconds).unwrap_or(i64::MAX) || fault == Some(ArchiveFault::Expired) {
        count(&tetra.counters.expired);
        return refuse(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
    }
    let id = path.split('/').nth(2).unwrap_or_default();
    let (content, is_gzip) = {
        let store = tetra.look();
        let Some(file) = store.file(id).filter(|file| file.can_be_had()) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "NoSuchKey",
                "The specified key does not exist.",
            );
        };
        (file.content(), file.stored.is_gzip)
    };
    let range = range(headers, content.length()).filter(|_| !is_gzip);
    if range.is_some_and(|(from, to)| from >= to) {
        return refuse(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The requested range is not satisfiable",
        );
    }
    count(&tetra.counters.downloads);
    match range {
        Some((from, to)) => part(content, from, to, held),
        None => download(tetra, content, is_gzip, held),
    }
}

/// The bytes that a request asks for, if it asks for a part.
fn range(headers: &HeaderMap, length: u64) -> Option<(u64, u64)> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let to = match last {
        "" => length,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(length),
    };
    Some((from.parse().ok()?, to))
}

/// Since when and how long a link is good, if its signature is right.
fn signed(path: &str, parameters: &HashMap<String, String>) -> Option<(i64, u64)> {
    let date = parameters.get("X-Amz-Date")?;
    let date = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").ok()?;
    let since = date.and_utc().timestamp();
    let seconds = parameters.get("X-Amz-Expires")?.parse().ok()?;
    let is_right = parameters.get("X-Amz-Signature")? == &sign(path, since, seconds);
    is_right.then_some((since, seconds))
}

fn sign(path: &str, since: i64, seconds: u64) -> String {
    let mut state = fingerprint(&format!("{KEY} {path} {since} {seconds}"));
    let mut signature = String::with_capacity(64);
    for _ in 0..4 {
        state = scramble(state);
        signature.push_str(&format!("{state:016x}"));
    }
    signature
}

/// A refusal as the storage writes it.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>SANDBOX</RequestId></Error>"
    );
    let kind = [(header::CONTENT_TYPE, "application/xml")];
    (status, kind, body).into_response()
}
