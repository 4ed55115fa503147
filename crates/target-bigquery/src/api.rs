//! BigQuery's REST API, one function an endpoint. What any answer can mean (throttled, not let in,
//! broken for the moment, a quota used up) is judged here once; what a refusal means for a table, a job
//! or a row is left to the caller, who gets it as [`Refused`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use singer_core::{Error, Kind as ErrorKind, Result};
use singer_net::{Answer, Attempt, Backoff, Client, Request, Retry, StatusCode, backoff};
use singer_runtime::context::Context;

use crate::auth::Tokens;
use crate::config::Config;

pub use fault::{Fault, Refused};
pub use jobs::{Job, JobFault, Submission};
pub use resources::{Dataset, Table};

mod fault;
mod jobs;
mod resources;
mod upload;

/// How long a request that is throttled is tried again, if the config's patience is not shorter.
const THROTTLE_PATIENCE: Duration = Duration::from_secs(600);

/// A client for one project.
#[derive(Debug)]
pub struct Api {
    client: Client,
    tokens: Arc<Tokens>,
    context: Context,
    project: String,
    attempts: u32,
    patience: Duration,
    chunk_bytes: usize,
    /// Requests in all.
    requests: AtomicU64,
    /// Requests that were made again.
    retried: AtomicU64,
}

impl Api {
    /// Builds a client; sends nothing.
    pub fn new(
        config: &Config,
        context: &Context,
        tokens: Arc<Tokens>,
        project: String,
    ) -> Result<Self> {
        Ok(Self {
            client: Client::new(config.base()?, &config.http, context.user_agent())?,
            tokens,
            context: context.clone(),
            project,
            attempts: config.http.attempts,
            patience: Duration::from_secs_f64(config.patience_seconds),
            chunk_bytes: config.upload_chunk_bytes,
            requests: AtomicU64::new(0),
            retried: AtomicU64::new(0),
        })
    }

    /// The project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Where BigQuery is.
    pub fn base(&self) -> &singer_net::Base {
        self.client.base()
    }

    /// How long a job is waited for.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The context of the run.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Requests so far, and how many of them were made again.
    pub fn traffic(&self) -> (u64, u64) {
        (
            self.requests.load(Ordering::Relaxed),
            self.retried.load(Ordering::Relaxed),
        )
    }

    fn url(&self, segments: &[&str]) -> Result<singer_net::Url> {
        let mut all = vec!["bigquery", "v2", "projects", &self.project];
        all.extend(segments);
        self.client.base().url(&all)
    }

    /// Sends a request and returns the body of a success as JSON.
    async fn json(&self, what: &str, request: Request) -> Result<Value, Fault> {
        let mut tried = 0;
        loop {
            let answer = self.call(what, request.clone()).await?;
            if let Some(json) = answer.json() {
                return Ok(json);
            }
            tried += 1;
            if tried >= self.attempts {
                let error = Error::transient(format!("{what}: the answer is no JSON"));
                return Err(Fault::Other(error.with_source(answer.cause(&[]))));
            }
            // An answer that got lost on its way: what was done shows when it is asked for again.
            tokio::time::sleep(Backoff::default().wait(tried, None, backoff::chance())).await;
        }
    }

    /// Sends a request until there is an answer of success, a refusal, or patience ends.
    async fn call(&self, what: &str, request: Request) -> Result<Answer, Fault> {
        // A request is rare beside the rows in it, and its future large.
        let answer = Box::pin(self.exchange(what, |_| request.clone())).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(Fault::Refused(Refused::of(&answer)))
        }
    }

    /// Sends a request, which may differ from attempt to attempt, until there is an answer that says
    /// something about it.
    async fn exchange(&self, what: &str, request: impl Fn(u32) -> Request) -> Result<Answer> {
        let begun = Instant::now();
        let broken = AtomicU32::new(0);
        // Attempts are counted here, since waiting for a limit to pass is none.
        let retry = Retry {
            attempts: u32::MAX,
            patience: self.patience,
            ..Retry::default()
        };
        retry
            .run(what, |number| {
                let request = request(number);
                let broken = &broken;
                async move {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                    self.retried
                        .fetch_add(u64::from(number > 1), Ordering::Relaxed);
                    let judged = self.attempt(what, request).await;
                    self.bounded(what, judged, begun, broken)
                }
            })
            .await
    }

    /// Sends a request once.
    async fn once(&self, what: &str, request: Request) -> Result<Answer> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.attempt(what, request).await {
            Attempt::Done(answer) => Ok(answer),
            Attempt::Fail(error) => Err(error),
            // Whatever it was, asking how far the upload is brings it to light.
            Attempt::Retry { error, .. } => Err(Error::transient(what).with_source(error)),
        }
    }

    async fn attempt(&self, what: &str, request: Request) -> Attempt<Answer> {
        let token = match self.tokens.token().await {
            Ok(token) => token,
            Err(error) => return Attempt::Fail(error),
        };
        // A session of an upload may live on another host, and needs no token there.
        let own = self.client.base().is_origin_of(request.url());
        let request = match &token {
            Some(token) if own => {
                let bearer = singer_core::Secret::new(format!("Bearer {}", token.expose()));
                match request.secret_header("authorization", &bearer) {
                    Ok(request) => request,
                    Err(error) => return Attempt::Fail(error),
                }
            }
            _ => request,
        };
        let request = match self.tokens.quota_project() {
            Some(project) if own => match request.text_header("x-goog-user-project", &project) {
                Ok(request) => request,
                Err(error) => return Attempt::Fail(error),
            },
            _ => request,
        };
        let answer = match self.client.send(request).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Transient => {
                return Attempt::again(Error::transient(what).with_source(error));
            }
            Err(error) => return Attempt::Fail(error),
        };
        if answer.status == StatusCode::UNAUTHORIZED {
            let error = Error::auth(what)
                .with_source(answer.cause(&[]))
                .with_hint(format!("the credentials are: {}", self.tokens.describe()));
            let Some(token) = token else {
                return Attempt::Fail(error.with_hint("set `credentials_path`"));
            };
            self.tokens.refused(&token).await;
            return match self.tokens.token().await {
                Ok(Some(fresh)) if fresh != token => Attempt::Retry {
                    error,
                    after: Some(Duration::ZERO),
                },
                Ok(_) => Attempt::Fail(error),
                Err(refresh) => Attempt::Fail(refresh),
            };
        }
        judge(what, answer)
    }

    /// Ends the attempts at a request that broke too often, or was throttled for too long.
    fn bounded(
        &self,
        what: &str,
        judged: Attempt<Answer>,
        begun: Instant,
        broken: &AtomicU32,
    ) -> Attempt<Answer> {
        let Attempt::Retry { error, after } = judged else {
            return judged;
        };
        if error.kind() == ErrorKind::RateLimited {
            let patience = THROTTLE_PATIENCE.min(self.patience);
            if begun.elapsed().saturating_add(after.unwrap_or_default()) > patience {
                return Attempt::Fail(error.with_hint(format!(
                    "it was throttled for {} s; run again later, or lower `parallel`",
                    begun.elapsed().as_secs()
                )));
            }
            return Attempt::Retry { error, after };
        }
        let tried = broken.fetch_add(1, Ordering::Relaxed) + 1;
        // A service that refuses each new token refuses the credentials.
        let most = match error.kind() {
            ErrorKind::Auth => self.attempts.min(3),
            _ => self.attempts,
        };
        if tried >= most && matches!(error.kind(), ErrorKind::Transient | ErrorKind::Auth) {
            return Attempt::Fail(match tried {
                1 => error,
                _ => error.with_hint(format!(
                    "it was tried {tried} times; `attempts` in the config says how often"
                )),
            });
        }
        tracing::debug!(what, tried, "the request is made again");
        Attempt::Retry { error, after }
    }
}

/// What an answer means whatever was asked.
fn judge(what: &str, answer: Answer) -> Attempt<Answer> {
    if answer.status.is_success() || answer.status == StatusCode::PERMANENT_REDIRECT {
        return Attempt::Done(answer);
    }
    let refused = Refused::of(&answer);
    let after = answer.retry_after();
    if refused.is_quota() {
        return Attempt::Fail(refused.error(what));
    }
    if refused.is_throttle() {
        return Attempt::Retry {
            error: Error::new(ErrorKind::RateLimited, what).with_source(refused),
            after,
        };
    }
    if refused.is_transient() {
        return Attempt::Retry {
            error: Error::transient(what).with_source(refused),
            after,
        };
    }
    if answer.status.is_redirection() {
        return Attempt::Fail(Error::config(what).with_source(answer.cause(&[])).with_hint(
            "the service points elsewhere, and redirects are not followed: check `endpoint`",
        ));
    }
    Attempt::Done(answer)
}
