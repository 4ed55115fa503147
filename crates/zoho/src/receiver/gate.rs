//! Who is let in, and what the answer to each request is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use ring::hmac;
use singer_core::{Error, Result};

use super::{ReceiverConfig, Reply, Take};

/// Lets requests with the secret in, and counts the others.
pub(super) struct Gate {
    path: String,
    place: Place,
    /// A digest under the secret as its key, of the secret itself: comparing a header with the secret is
    /// comparing their digests, which ring does in constant time.
    key: hmac::Key,
    digest: hmac::Tag,
    max_body_bytes: usize,
    body_time: Duration,
    take: Take,
    refused: AtomicU64,
    failed_handshakes: AtomicU64,
}

/// Where a request has the secret.
enum Place {
    Header(HeaderName),
    /// A parameter of the query, as it stands there.
    Query(String),
}

impl Gate {
    pub(super) fn new(config: &ReceiverConfig, body_time: Duration, take: Take) -> Result<Self> {
        let (path, header) = (&config.path, &config.header);
        if !path.starts_with('/') || path.contains(['?', '#']) {
            return Err(Error::config(format!(
                "`{path}` is not the path of a URL: it begins with `/` and has no `?`"
            )));
        }
        let place = match header.strip_prefix('?') {
            Some(name) => Place::Query(format!("{name}=")),
            None => Place::Header(header.parse().map_err(|error| {
                Error::config(format!("`{header}` is not the name of a header")).with_source(error)
            })?),
        };
        let secret = config.secret.expose();
        if secret.is_empty() {
            return Err(Error::config(format!(
                "the secret of the header `{header}` is empty: everybody would be let in"
            )));
        }
        let fits = HeaderValue::from_str(secret).is_ok() && secret.trim_ascii() == secret;
        if !fits {
            return Err(Error::config(format!(
                "the secret of the header `{header}` can stand in no header"
            ))
            .with_hint("it is of printable ASCII, and neither begins nor ends with a space"));
        }
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if matches!(place, Place::Query(_)) && !secret.bytes().all(is_bare) {
            return Err(Error::config(format!(
                "the secret of the parameter `{header}` can stand in no query as it is"
            ))
            .with_hint("it is of letters, digits, `-`, `_`, `.` and `~`"));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Self {
            path: path.clone(),
            place,
            digest: hmac::sign(&key, secret.as_bytes()),
            key,
            max_body_bytes: config.max_body_bytes,
            body_time,
            take,
            refused: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
        })
    }

    /// Answers a request. `slot` is kept for as long as its body is dealt with.
    pub(super) async fn answer<S: Send + 'static>(
        &self,
        request: Request<Incoming>,
        slot: S,
    ) -> Response<Empty<Bytes>> {
        if !self.admits(request.method(), request.uri(), request.headers()) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return closing(StatusCode::NOT_FOUND);
        }
        let body = match self.read(request.into_body()).await {
            Ok(body) => body,
            Err(status) => {
                tracing::debug!(status = status.as_u16(), "a body was not taken");
                return closing(status);
            }
        };
        // In a task of its own, which goes on when the sender hangs up in the middle.
        let taken = (self.take)(body);
        let taken = tokio::spawn(async move {
            let reply = taken.await;
            drop(slot);
            reply
        });
        reply(taken.await.unwrap_or(Reply::Failed))
    }

    /// Counts a connection that never came to a request.
    pub(super) fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs how many were refused since the last time; nothing if none was.
    pub(super) fn report(&self) {
        let refused = self.refused.swap(0, Ordering::Relaxed);
        let failed_handshakes = self.failed_handshakes.swap(0, Ordering::Relaxed);
        if refused + failed_handshakes > 0 {
            tracing::warn!(refused, failed_handshakes, "refused what was posted to us");
        }
    }

    /// Whether a request is let in. All is looked at in any case, so that the time does not tell what was wrong.
    fn admits(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        let given = match &self.place {
            Place::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
            Place::Query(name) => {
                let mut members = uri.query().unwrap_or_default().split('&');
                members.find_map(|member| Some(member.strip_prefix(name)?.as_bytes()))
            }
        };
        let known = hmac::verify(&self.key, given.unwrap_or_default(), self.digest.as_ref());
        let posted = *method == Method::POST;
        let addressed = uri.path() == self.path;
        known.is_ok() & posted & addressed
    }

    /// Reads a body within its bounds.
    async fn read(&self, body: Incoming) -> Result<Bytes, StatusCode> {
        if body.size_hint().lower() > self.max_body_bytes as u64 {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let body = Limited::new(body, self.max_body_bytes);
        match tokio::time::timeout(self.body_time, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

fn reply(reply: Reply) -> Response<Empty<Bytes>> {
    match reply {
        Reply::Taken => empty(StatusCode::OK),
        Reply::Malformed => empty(StatusCode::BAD_REQUEST),
        Reply::Failed => empty(StatusCode::SERVICE_UNAVAILABLE),
        Reply::Later(seconds) => {
            let mut response = empty(StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
    }
}

/// An answer after which nothing more is read.
fn closing(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = empty(status);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn empty(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}
