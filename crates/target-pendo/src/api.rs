//! Pendo's endpoints, one function each. What any answer can mean (throttled, not let in, broken for
//! the moment) is judged here once; what an answer means for records is left to the writer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use singer_core::{Error, Kind as ErrorKind, Result, Secret, SecretSource};
use singer_net::{
    Answer, Attempt, Bytes, Client, Gate, Request, Retry, StatusCode, backoff, redact,
};
use singer_runtime::context::Context;
use tokio::sync::RwLock;

use crate::config::Config;
use crate::model::{Group, Kind, NewField, Report};

#[cfg(test)]
mod tests;

const KEY_HEADER: &str = "x-pendo-integration-key";

/// A client for Pendo.
#[derive(Debug)]
pub struct Api {
    client: Client,
    gate: Gate,
    retry: Retry,
    pause: Duration,
    context: Context,
    key_source: SecretSource,
    key: RwLock<Secret>,
}

/// What the requests for a batch cost.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests in all.
    pub requests: AtomicU64,
    /// Requests that were made again.
    pub retried: AtomicU64,
    /// Bytes of their bodies.
    pub bytes: AtomicU64,
}

/// Where and how values are set.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// What the records are.
    pub kind: Kind,
    /// The group of fields.
    pub group: Group,
    /// Whether unknown ids come into being.
    pub create: bool,
    /// The key of the id.
    pub id_key: &'a str,
}

/// What came of setting values.
#[derive(Debug)]
pub enum Answered {
    /// Pendo says how many records it took.
    Report(Report),
    /// Something in the request is wrong, and nothing was taken.
    Malformed {
        /// The status.
        code: String,
        /// Pendo's words.
        reason: String,
    },
    /// It took longer than Pendo allows; part of it may have been taken.
    TooSlow,
    /// It has more bytes than Pendo allows.
    TooBig,
}

/// What a good answer must hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Anything.
    Anything,
    /// A JSON object.
    Object,
    /// A report that counts what became of the records.
    Counts,
}

impl Api {
    /// Reads the key and builds a client; sends nothing.
    pub async fn new(config: &Config, context: &Context) -> Result<Self> {
        let key = context.secret(&config.integration_key).await?;
        if key.expose().trim().is_empty() {
            return Err(Error::config("`integration_key` is empty"));
        }
        Ok(Self {
            client: Client::new(config.base()?, &config.http, context.user_agent())?,
            gate: Gate::new(Duration::from_secs_f64(config.request_delay)),
            retry: Retry {
                patience: Duration::from_secs_f64(config.patience_seconds),
                ..Retry::attempts(config.http.attempts)
            },
            pause: Duration::from_secs_f64(config.rate_limit_pause_seconds),
            context: context.clone(),
            key_source: config.integration_key.clone(),
            key: RwLock::new(key),
        })
    }

    /// The key as it is now.
    pub async fn key(&self) -> Secret {
        self.key.read().await.clone()
    }

    /// Where Pendo is.
    pub fn base(&self) -> &singer_net::Base {
        self.client.base()
    }

    /// `GET /token/verify`: whether the key is good.
    pub async fn verify_key(&self) -> Result<()> {
        let url = self.client.base().url(&["api", "v1", "token", "verify"])?;
        let request = Request::get(url);
        let what = "cannot verify the integration key";
        let answer = self
            .call(what, request, Expected::Anything, &Tally::default())
            .await?;
        good(what, answer).map(|_| ())
    }

    /// `GET /metadata/schema/{kind}`: the groups and their fields.
    pub async fn read_schema(&self, kind: Kind) -> Result<Value> {
        let base = self.client.base();
        let url = base.url(&["api", "v1", "metadata", "schema", kind.word()])?;
        let what = format!("cannot read the metadata schema of kind `{}`", kind.word());
        let answer = self
            .call(
                &what,
                Request::get(url),
                Expected::Object,
                &Tally::default(),
            )
            .await?;
        let answer = good(&what, answer)?;
        answer
            .json()
            .ok_or_else(|| Error::protocol(what).with_source(answer.cause(&[])))
    }

    /// `POST /metadata/schema/{kind}/{group}`: creates fields, or brings them back.
    pub async fn create_fields(&self, kind: Kind, group: Group, fields: &[NewField]) -> Result<()> {
        let base = self.client.base();
        let url = base.url(&["api", "v1", "metadata", "schema", kind.word(), group.word()])?;
        let what = format!(
            "cannot create {} fields of kind `{}`",
            fields.len(),
            kind.word()
        );
        let body = serde_json::to_vec(fields)
            .map_err(|error| Error::internal(what.as_str()).with_source(error))?;
        let request = Request::post_json(url, Bytes::from(body));
        let answer = self
            .call(&what, request, Expected::Anything, &Tally::default())
            .await?;
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(Error::rejected(what).with_source(answer.cause(&names)))
        }
    }

    /// `POST /metadata/{kind}/{group}/value`: sets the values of many records. Fields that are not
    /// named keep theirs.
    pub async fn set_values(
        &self,
        place: Place<'_>,
        body: Bytes,
        names: &[&str],
        tally: &Tally,
    ) -> Result<Answered> {
        let what = format!("cannot set values of kind `{}`", place.kind.word());
        let request = Request::post_json(self.values_url(place)?, body);
        let answer = self.call(&what, request, Expected::Counts, tally).await?;
        match answer.status {
            StatusCode::REQUEST_TIMEOUT => Ok(Answered::TooSlow),
            StatusCode::PAYLOAD_TOO_LARGE => Ok(Answered::TooBig),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answered::Malformed {
                code: answer.status.as_u16().to_string(),
                reason: answer.words(names),
            }),
            _ => {
                let answer = good(&what, answer)?;
                answer
                    .json()
                    .and_then(|json| Report::parse(&json, place.id_key))
                    .map(Answered::Report)
                    .ok_or_else(|| Error::protocol(what).with_source(answer.cause(names)))
            }
        }
    }

    /// Whether the key may write, tried with a write of no records at all. An answer that says
    /// neither yes nor no is no error.
    pub async fn may_write(&self, kind: Kind) -> Result<()> {
        let place = Place {
            kind,
            group: Group::Custom,
            create: false,
            id_key: kind.id_key(),
        };
        let request = Request::post_json(self.values_url(place)?, Bytes::from_static(b"[]"));
        let what = "the integration key may not write";
        self.call(what, request, Expected::Anything, &Tally::default())
            .await
            .map(|_| ())
    }

    /// The URL of [`Api::set_values`].
    pub fn values_url(&self, place: Place<'_>) -> Result<singer_net::Url> {
        let (kind, group) = (place.kind.word(), place.group.word());
        let mut url = self
            .client
            .base()
            .url(&["api", "v1", "metadata", kind, group, "value"])?;
        if place.create {
            url.set_query(Some("create=true"));
        }
        Ok(url)
    }

    /// A request as `--dry-run` shows it.
    pub fn preview(&self, place: Place<'_>, body: &str) -> Result<String> {
        Ok(format!(
            "POST {}\n{KEY_HEADER}: {}\ncontent-type: application/json\n\n{body}",
            self.values_url(place)?,
            redact::HIDDEN,
        ))
    }

    /// Sends a request until there is an answer that says something about it, or patience ends.
    async fn call(
        &self,
        what: &str,
        request: Request,
        expected: Expected,
        tally: &Tally,
    ) -> Result<Answer> {
        let start = Instant::now();
        self.retry
            .run(what, |attempt| {
                let request = request.clone();
                async move {
                    self.gate.pass().await;
                    tally.requests.fetch_add(1, Ordering::Relaxed);
                    tally
                        .retried
                        .fetch_add(u64::from(attempt > 1), Ordering::Relaxed);
                    tally
                        .bytes
                        .fetch_add(request.body_len() as u64, Ordering::Relaxed);
                    let key = self.key().await;
                    let sent = match request.secret_header(KEY_HEADER, &key) {
                        Ok(request) => self.client.send(request).await,
                        Err(error) => Err(error),
                    };
                    match sent {
                        Ok(answer) => self.judge(what, answer, expected, &key, start).await,
                        Err(error) if error.kind() == ErrorKind::Transient => {
                            Attempt::again(Error::transient(what).with_source(error))
                        }
                        Err(error) => Attempt::Fail(error),
                    }
                }
            })
            .await
    }

    async fn judge(
        &self,
        what: &str,
        answer: Answer,
        expected: Expected,
        key: &Secret,
        start: Instant,
    ) -> Attempt<Answer> {
        let throttled = answer.status == StatusCode::TOO_MANY_REQUESTS
            || (answer.status == StatusCode::FORBIDDEN && answer.mentions("rateLimitExceeded"));
        if throttled {
            let pause = answer
                .retry_after()
                .unwrap_or_else(|| backoff::jitter(self.pause, backoff::chance()));
            let error = Error::new(ErrorKind::RateLimited, what)
                .with_source(answer.cause(&[]))
                .with_hint(
                    "run again later; `request_delay` and `parallel` slow the requests down",
                );
            if start.elapsed().saturating_add(pause) > self.retry.patience {
                // The gate stays open, so that the requests which are on their way can end.
                return Attempt::Fail(error.with_hint(format!(
                    "Pendo wants a pause of {} s, which is longer than `patience_seconds` allows",
                    pause.as_secs()
                )));
            }
            // All requests wait at the gate, so this one needs no wait of its own.
            self.gate.pause(pause);
            tracing::warn!(
                pause_milliseconds = pause.as_millis() as u64,
                "Pendo throttles; all requests pause"
            );
            return Attempt::Retry {
                error,
                after: Some(Duration::ZERO),
            };
        }
        let not_let_in = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) || (answer.body.len() < 1000
            && answer.mentions("authentication failed"));
        if not_let_in {
            return self.refuse_key(what, &answer, key).await;
        }
        if answer.status.is_server_error()
            || (answer.status == StatusCode::REQUEST_TIMEOUT && expected != Expected::Counts)
        {
            return Attempt::Retry {
                after: answer.retry_after(),
                error: Error::transient(what).with_source(answer.cause(&[])),
            };
        }
        let says_enough = match expected {
            Expected::Anything => true,
            Expected::Object => answer.json().is_some_and(|json| json.is_object()),
            Expected::Counts => answer
                .json()
                .is_some_and(|json| Report::parse(&json, "id").is_some()),
        };
        if answer.status.is_success() && !says_enough {
            return Attempt::again(
                Error::protocol(format!("{what}: the answer does not say what became of it"))
                    .with_source(answer.cause(&[]))
                    .with_hint(
                        "empty answers were seen with keys that are not valid; try `--check`",
                    ),
            );
        }
        Attempt::Done(answer)
    }

    /// The key may have been replaced where it comes from; that is tried before giving up.
    async fn refuse_key(&self, what: &str, answer: &Answer, used: &Secret) -> Attempt<Answer> {
        let error = Error::auth(what)
            .with_source(answer.cause(&[]))
            .with_hint("the integration key needs \"Allow write access\" (Settings > Integrations > Integration keys)")
            .with_hint(format!(
                "a key belongs to one region, and this run talks to `{}`; see `region` and `base_url`",
                self.client.base()
            ));
        let mut key = self.key.write().await;
        if *key == *used {
            match self.context.secret(&self.key_source).await {
                Ok(fresh) if fresh != *used => *key = fresh,
                _ => return Attempt::Fail(error),
            }
        }
        tracing::info!("the integration key has changed where it comes from; trying the new one");
        Attempt::Retry {
            error,
            after: Some(Duration::ZERO),
        }
    }
}

/// An answer of success, or the error for any other.
fn good(what: &str, answer: Answer) -> Result<Answer> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let cause = answer.cause(&[]);
    Err(if answer.status == StatusCode::NOT_FOUND {
        Error::config(what)
            .with_source(cause)
            .with_hint("there is no such path: check `base_url` (scheme, host, port, and a prefix if any) and `kind`")
    } else if answer.status.is_redirection() {
        Error::config(what).with_source(cause).with_hint(
            "the service points elsewhere, and redirects are not followed: check `base_url`",
        )
    } else {
        Error::rejected(what).with_source(cause)
    })
}
