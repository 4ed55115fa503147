//! The platform's endpoints, one function each. What any answer can mean (throttled, not let in, broken for the
//! moment, too large) is judged here once; what it means for files and windows is left to the callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use singer_core::{Error, Kind, Result, Secret};
use singer_net::client::was_never_sent;
use singer_net::{
    Answer, Attempt, Backoff, Client, Gate, Incoming, Request, Retry, StatusCode, Url, backoff,
};
use singer_runtime::context::Context;

use crate::config::Config;
use crate::failures::Failures;
use crate::limiter::Limiter;
use crate::model::{Page, parse_page};
use crate::page_size::{PageSize, Trouble};
use crate::token::Token;

const TOKEN_HEADER: &str = "ts-auth-token";
const ORG_HEADER: &str = "x-org-slug";
const REQUEST_ID: &str = "ts-request-id";

/// Refusals are read up to this length.
const MAX_REFUSAL_BYTES: usize = 256 << 10;

/// No skew was seen so far.
const UNKNOWN: i64 = i64::MIN;

/// A client for one organisation. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    token: Token,
    org: String,
    context: Context,
    gate: Gate,
    attempts: u32,
    patience: Duration,
    pause: Duration,
    backoff: Backoff,
    /// The service's clock less ours, in milliseconds.
    skew: AtomicI64,
    /// Whether it was said that there is no other clock than ours.
    is_clock_told: AtomicBool,
}

/// What stands in the place of an answer that says something about what was asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Another attempt may help; it counts as a failed one if it `counts`.
    Again {
        /// What is told if there is no other attempt.
        error: Error,
        /// How long the service wants to be left alone.
        after: Option<Duration>,
        /// Whether it was the fault of this request.
        counts: bool,
        /// Whether less at once might help.
        is_heavy: bool,
    },
    /// No attempt helps.
    Fail(Error),
}

/// What a search is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The stream, as errors name it.
    pub(crate) stream: &'a str,
    /// The indices; all if there are none.
    pub(crate) indices: &'a [String],
    /// The size of a page, halved where answers are too large.
    pub(crate) size: &'a PageSize,
}

impl Api {
    /// Reads the token and builds the client; sends nothing.
    pub(crate) async fn new(config: &Config, context: &Context) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                client: Client::new(config.base()?, &config.http, context.user_agent())?,
                token: Token::read(&config.auth_token, context).await?,
                org: config.org_slug.trim().to_owned(),
                context: context.clone(),
                gate: Gate::new(Duration::ZERO),
                attempts: config.http.attempts,
                patience: Duration::from_secs_f64(config.patience_seconds),
                pause: Duration::from_secs_f64(config.rate_limit_pause_seconds),
                backoff: backoff_of(config),
                skew: AtomicI64::new(UNKNOWN),
                is_clock_told: AtomicBool::new(false),
            }),
        })
    }

    /// The organisation.
    pub(crate) fn org(&self) -> &str {
        &self.inner.org
    }

    /// Where the platform is.
    pub(crate) fn base(&self) -> &singer_net::Base {
        self.inner.client.base()
    }

    /// The waits between attempts whose number and time are bounded by [`Failures`].
    pub(crate) fn retry(&self) -> Retry {
        Retry {
            attempts: u32::MAX,
            patience: Duration::MAX,
            backoff: self.inner.backoff,
        }
    }

    /// A count of failed attempts, against what the config allows.
    pub(crate) fn failures(&self) -> Failures {
        Failures::new(self.inner.attempts, self.inner.patience)
    }

    /// The service's time: ours, corrected by the `Date` of its latest answer. Never ahead of it.
    pub(crate) fn service_time(&self) -> DateTime<Utc> {
        let now = self.inner.context.now();
        match self.inner.skew.load(Ordering::Relaxed) {
            UNKNOWN => {
                if !self.inner.is_clock_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the platform's answers have no `Date`: windows end by the clock of this machine, which must not be ahead of the platform's"
                    );
                }
                now
            }
            skew => now + TimeDelta::milliseconds(skew),
        }
    }

    /// `POST /v1/datalake/searchEql`: a page of hits; `body` makes the search body for a size.
    ///
    /// # Errors
    /// Of kind `Rejected` if the query is refused, `Transient` if parts of the answer are missing time and again.
    pub(crate) async fn search(
        &self,
        search: Search<'_>,
        body: impl Fn(u64) -> Value + Send + Sync,
    ) -> Result<Page> {
        let what = format!("cannot search the files of the stream `{}`", search.stream);
        let mut url = self.base().url(&["v1", "datalake", "searchEql"])?;
        for index in search.indices {
            url.query_pairs_mut().append_pair("index", index);
        }
        let failures = self.failures();
        self.retry()
            .run(&what, |number| {
                let (what, url, body, failures) = (&what, &url, &body, &failures);
                async move {
                    let size = search.size.get();
                    let body = body(size);
                    let request = Request::post_json(url.clone(), body.to_string().into());
                    let answer = self.send(what, &request, None).await;
                    let attempt = self.page_of(what, search, size, answer, &body, failures);
                    if matches!(attempt, Attempt::Done(_)) {
                        search.size.came();
                    }
                    failures.bounded(attempt, number)
                }
            })
            .await
    }

    /// What one answer to a search comes to.
    fn page_of(
        &self,
        what: &str,
        search: Search<'_>,
        size: u64,
        answer: Result<Answer, Fault>,
        body: &Value,
        failures: &Failures,
    ) -> Attempt<Page> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(Fault::Again {
                error,
                after,
                counts,
                is_heavy,
            }) => {
                if is_heavy {
                    search.size.halve(search.stream, size, Trouble::Heavy);
                }
                return failures.again(error, after, counts);
            }
            // An answer that is too long for the memory is one of too many hits.
            Err(Fault::Fail(error)) if error.kind() == Kind::Protocol && size > 1 => {
                search.size.halve(search.stream, size, Trouble::TooLarge);
                return Attempt::Retry {
                    error,
                    after: Some(Duration::ZERO),
                };
            }
            Err(Fault::Fail(error)) => return Attempt::Fail(error),
        };
        if answer.status == StatusCode::PAYLOAD_TOO_LARGE && size > 1 {
            search.size.halve(search.stream, size, Trouble::TooLarge);
            let error = Error::rejected(what).with_source(cause(&answer));
            return Attempt::Retry {
                error,
                after: Some(Duration::ZERO),
            };
        }
        if !answer.status.is_success() {
            return Attempt::Fail(refused_query(what, &answer, body, self.base()));
        }
        match parse_page(&answer.body) {
            Ok(page) => match page.lack() {
                None => Attempt::Done(page),
                Some(lack) => {
                    search.size.halve(search.stream, size, Trouble::Heavy);
                    let error =
                        Error::transient(format!("{what}: {lack}")).with_source(Error::transient(
                            format!("a part of the answer is missing{}", request_id(&answer)),
                        ));
                    failures.again(error, None, true)
                }
            },
            Err(error) => {
                let error = Error::protocol(format!("{what}: the answer is not that of a search"))
                    .with_source(error)
                    .with_hint(
                        "is `base_url` the API's, and nothing between that answers in its place?",
                    );
                failures.again(error, None, true)
            }
        }
    }

    /// `GET /v1/datalake/retrieve?getPresigned=true`: a link to the content, or nothing if there is no such file.
    pub(crate) async fn presign(
        &self,
        what: &str,
        file_id: &str,
        limiter: &Limiter,
    ) -> Result<Option<Url>, Fault> {
        let mut url = self.retrieve_url(file_id).map_err(Fault::Fail)?;
        url.query_pairs_mut().append_pair("getPresigned", "true");
        let answer = self.send(what, &Request::get(url), Some(limiter)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => return missing(what, &answer),
            status if !status.is_success() => {
                return Err(Fault::Fail(
                    Error::rejected(what).with_source(cause(&answer)),
                ));
            }
            _ => {}
        }
        let json = answer.json();
        let link = json.as_ref().and_then(|json| json.get("url")?.as_str());
        let link = link.and_then(|link| Url::parse(link).ok());
        match link.filter(|link| matches!(link.scheme(), "http" | "https")) {
            Some(link) => Ok(Some(link)),
            // Without the platform's words, as a link in another form would be among them.
            None => Err(Fault::Fail(
                Error::protocol(format!(
                    "{what}: the platform gave no link{}",
                    request_id(&answer)
                ))
                .with_hint("`\"presigned\": false` fetches content through the API"),
            )),
        }
    }

    /// `GET /v1/datalake/retrieve`: the head of the answer with the content, or nothing if there is no such file.
    pub(crate) async fn retrieve(
        &self,
        what: &str,
        file_id: &str,
        limiter: &Limiter,
    ) -> Result<Option<Incoming>, Fault> {
        let url = self.retrieve_url(file_id).map_err(Fault::Fail)?;
        let (request, used) = self
            .authorized(&Request::get(url))
            .await
            .map_err(Fault::Fail)?;
        self.inner.gate.pass().await;
        let incoming = match self.inner.client.stream(request).await {
            Ok(incoming) => incoming,
            Err(error) => return Err(no_answer(what, error)),
        };
        if incoming.status.is_success() {
            return Ok(Some(incoming));
        }
        let answer = incoming
            .whole(MAX_REFUSAL_BYTES)
            .await
            .map_err(|error| no_answer(what, error))?;
        match self.judge(what, answer, &used, Some(limiter)).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => missing(what, &answer),
            Ok(answer) => Err(Fault::Fail(
                Error::rejected(what).with_source(cause(&answer)),
            )),
            Err(fault) => Err(fault),
        }
    }

    fn retrieve_url(&self, file_id: &str) -> Result<Url> {
        let mut url = self.base().url(&["v1", "datalake", "retrieve"])?;
        url.query_pairs_mut().append_pair("fileId", file_id);
        Ok(url)
    }

    /// One attempt.
    async fn send(
        &self,
        what: &str,
        request: &Request,
        limiter: Option<&Limiter>,
    ) -> Result<Answer, Fault> {
        let (request, used) = match self.authorized(request).await {
            Ok(authorized) => authorized,
            Err(error) => return Err(Fault::Fail(error)),
        };
        self.inner.gate.pass().await;
        match self.inner.client.send(request).await {
            Ok(answer) => self.judge(what, answer, &used, limiter).await,
            Err(error) => Err(no_answer(what, error)),
        }
    }

    async fn authorized(&self, request: &Request) -> Result<(Request, Secret)> {
        let token = self.inner.token.current().await;
        let request = request
            .clone()
            .text_header(ORG_HEADER, &self.inner.org)?
            .secret_header(TOKEN_HEADER, &token)?;
        Ok((request, token))
    }

    async fn judge(
        &self,
        what: &str,
        answer: Answer,
        used: &Secret,
        limiter: Option<&Limiter>,
    ) -> Result<Answer, Fault> {
        self.note_time(&answer);
        Err(match answer.status {
            StatusCode::UNAUTHORIZED => self.refused_token(what, &answer, used).await,
            StatusCode::FORBIDDEN => Fault::Fail(
                Error::auth(what).with_source(cause(&answer)).with_hint(format!(
                    "the token must be one of the organisation `{}` (`org_slug`), and its user must have the right to read files",
                    self.inner.org
                )),
            ),
            StatusCode::TOO_MANY_REQUESTS => self.throttled(what, &answer, limiter),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                // What the platform throttles may show as a broken gateway.
                if let Some(limiter) = limiter {
                    limiter.cut();
                }
                Fault::Again {
                    after: answer.retry_after(),
                    error: Error::transient(what).with_source(cause(&answer)),
                    counts: true,
                    is_heavy: true,
                }
            }
            status if status.is_redirection() => Fault::Fail(
                Error::config(what)
                    .with_source(cause(&answer))
                    .with_hint("the service points elsewhere, and redirects are not followed: check `base_url`"),
            ),
            _ => return Ok(answer),
        })
    }

    fn throttled(&self, what: &str, answer: &Answer, limiter: Option<&Limiter>) -> Fault {
        if let Some(limiter) = limiter {
            limiter.cut();
        }
        let pause = answer
            .retry_after()
            .unwrap_or_else(|| backoff::jitter(self.inner.pause, backoff::chance()));
        let error = Error::new(Kind::RateLimited, what)
            .with_source(cause(answer))
            .with_hint("run again later; `parallel` and `page_size` ask for less at once");
        if pause > self.inner.patience {
            return Fault::Fail(error.with_hint(format!(
                "the platform wants a pause of {} s, which is longer than `patience_seconds` allows",
                pause.as_secs()
            )));
        }
        tracing::warn!(
            pause_milliseconds = pause.as_millis() as u64,
            "the platform throttles; all requests pause"
        );
        self.inner.gate.pause(pause);
        // All requests wait at the gate; a wait of its own keeps the loop's patience honest.
        Fault::Again {
            error,
            after: Some(pause),
            counts: false,
            is_heavy: false,
        }
    }

    /// The token may have been replaced where it comes from; that is tried before giving up.
    async fn refused_token(&self, what: &str, answer: &Answer, used: &Secret) -> Fault {
        let mut error = Error::auth(what).with_source(cause(answer));
        if let Some(end) = self.inner.token.ended(used) {
            error = error.with_hint(format!("the token ended at {end}"));
        }
        error = error.with_hint(
            "personal tokens live for a day at most: use a service user's, or name a file or a command that gives a fresh one",
        );
        if self.inner.token.renew(used).await {
            return Fault::Again {
                error,
                after: Some(Duration::ZERO),
                counts: true,
                is_heavy: false,
            };
        }
        Fault::Fail(error)
    }

    fn note_time(&self, answer: &Answer) {
        let date = answer
            .headers
            .get("date")
            .and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) {
            let skew = date.timestamp_millis() - self.inner.context.now().timestamp_millis();
            self.inner.skew.store(skew, Ordering::Relaxed);
        }
    }
}

/// How an error of the client is judged.
pub(crate) fn no_answer(what: &str, error: Error) -> Fault {
    if error.kind() != Kind::Transient {
        return Fault::Fail(error);
    }
    Fault::Again {
        is_heavy: !was_never_sent(&error),
        error: Error::transient(what).with_source(error),
        after: None,
        counts: true,
    }
}

/// The status, the request's id at the platform and its words, as an error's cause.
pub(crate) fn cause(answer: &Answer) -> Error {
    Error::protocol(format!(
        "the service answered {}{}: {}",
        answer.status,
        request_id(answer),
        answer.words(&[])
    ))
}

fn request_id(answer: &Answer) -> String {
    let id = answer
        .headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok());
    match id {
        Some(id) => format!(
            " ({REQUEST_ID} `{}`)",
            id.chars().take(100).collect::<String>()
        ),
        None => String::new(),
    }
}

fn refused_query(what: &str, answer: &Answer, body: &Value, base: &singer_net::Base) -> Error {
    let cause = cause(answer);
    match answer.status {
        StatusCode::NOT_FOUND => Error::config(what).with_source(cause).with_hint(format!(
            "there is no such path: check `base_url`, which is `{base}` now"
        )),
        StatusCode::BAD_REQUEST => {
            let query = body.get("query").map(Value::to_string).unwrap_or_default();
            let shown: String = query.chars().take(2000).collect();
            Error::rejected(what).with_source(cause).with_hint(format!(
                "the platform refuses the query, often without a word: {shown}"
            ))
        }
        _ => Error::rejected(what).with_source(cause),
    }
}

/// What a 404 comes to: no such file, if it is the platform that says so and not something in its place, which
/// would say it of every file.
fn missing<T>(what: &str, answer: &Answer) -> Result<Option<T>, Fault> {
    if answer.body.is_empty() || answer.json().is_some_and(|json| json.is_object()) {
        return Ok(None);
    }
    Err(Fault::Fail(
        Error::rejected(what).with_source(cause(answer)).with_hint(
            "that is not how the platform says that a file was deleted: check `base_url`",
        ),
    ))
}

#[cfg(not(test))]
fn backoff_of(_: &Config) -> Backoff {
    Backoff::default()
}

#[cfg(test)]
fn backoff_of(_: &Config) -> Backoff {
    Backoff {
        first: Duration::from_millis(1),
        cap: Duration::from_millis(5),
    }
}
