//! The storage behind pre-signed links: another host each, and no header of the platform goes there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use singer_core::{Error, Result};
use singer_net::{Base, Client, HttpConfig, Incoming, Request, StatusCode, Url};

use crate::api::{Fault, no_answer};
use crate::limiter::Limiter;

/// Refusals are read up to this length.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// So many hosts are known at once; buckets are few.
const MOST_CLIENTS: usize = 16;

/// Clients by host.
#[derive(Debug)]
pub(crate) struct Storage {
    http: HttpConfig,
    user_agent: String,
    clients: Mutex<HashMap<String, Client>>,
}

/// What a link led to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The head of the answer with the content.
    Content(Incoming),
    /// There is no such content.
    Missing,
    /// The link is no longer good, or never was.
    Stale(Error),
}

impl Storage {
    /// Sends nothing.
    pub(crate) fn new(http: &HttpConfig, user_agent: &str) -> Self {
        Self {
            http: http.clone(),
            user_agent: user_agent.to_owned(),
            clients: Mutex::default(),
        }
    }

    /// Follows a link.
    ///
    /// # Errors
    /// What the storage's refusal means.
    pub(crate) async fn open(
        &self,
        what: &str,
        link: &Url,
        limiter: &Limiter,
    ) -> Result<Opened, Fault> {
        let client = self.client(link).map_err(Fault::Fail)?;
        let request = Request::get(link.clone()).hide_path();
        let incoming = match client.stream(request).await {
            Ok(incoming) if incoming.status.is_success() => return Ok(Opened::Content(incoming)),
            Ok(incoming) => incoming,
            Err(error) => return Err(no_answer(what, error)),
        };
        let answer = incoming
            .whole(MAX_REFUSAL_BYTES)
            .await
            .map_err(|error| no_answer(what, error))?;
        let code = code(&answer.body);
        // Without the bucket no file is found, whether it was deleted or not.
        let has_bucket = code.as_deref() != Some("NoSuchBucket");
        let cause = Error::protocol(match code {
            Some(code) => format!("the storage answered {}: {code}", answer.status),
            None => format!("the storage answered {}", answer.status),
        });
        match answer.status {
            StatusCode::NOT_FOUND if has_bucket => Ok(Opened::Missing),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => {
                Ok(Opened::Stale(Error::rejected(what).with_source(cause).with_hint(
                    "the storage refuses a link that the platform has just made: look at the clocks, or fetch through the API with `\"presigned\": false`",
                )))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                limiter.cut();
                Err(Fault::Again {
                    after: answer.retry_after(),
                    error: Error::transient(what).with_source(cause),
                    counts: true,
                    is_heavy: true,
                })
            }
            _ => Err(Fault::Fail(Error::rejected(what).with_source(cause))),
        }
    }

    fn client(&self, link: &Url) -> Result<Client> {
        let origin = link.origin().ascii_serialization();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&origin) {
            return Ok(client.clone());
        }
        let base = Base::parse("the link of the storage", &origin)?;
        let client = Client::new(base, &self.http, &self.user_agent)?;
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(origin, client.clone());
        Ok(client)
    }
}

/// The storage's code for what is wrong; its words quote the path, which may be a sample's name.
fn code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = code.len() < 60 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}
