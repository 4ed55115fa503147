//! Credentials for Google: found where people and machines keep them, turned into tokens, and kept
//! fresh for as long as the run takes.
//!
//! What a refused request means is left to whoever sent it: it reports the token as refused, asks for
//! another, and tries once more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use singer_core::{Error, Kind, Result, Secret, SecretSource};
use singer_net::HttpConfig;
use singer_runtime::context::Context;
use tokio::sync::Mutex;

use credential::Credential;
use find::Found;
use net::{Grant, Net};

pub use environment::Environment;

mod credential;
mod document;
mod environment;
mod external;
mod file;
mod find;
mod key;
mod metadata;
mod net;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// How long before its end a token is replaced. The metadata server has a new one only in the last
/// four minutes, so that asking earlier would give the old one again and again.
const MARGIN: TimeDelta = TimeDelta::seconds(225);

/// How long the old token serves on if no new one is to be had for the moment.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// A token with less than this is not handed out: a request takes a while to arrive.
const LEAST: TimeDelta = TimeDelta::seconds(10);

/// What credentials to take, and how to ask for tokens.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// `credentials_path` of the config: a file of credentials.
    pub credentials_path: Option<String>,
    /// `credentials` of the config: the text of such a file, or an access token.
    pub credentials: Option<SecretSource>,
    /// What the key of a service account is used for.
    pub token_exchange: TokenExchange,
    /// Whether no credentials are looked for beyond the config, as the endpoint is a stand-in.
    pub anonymous: bool,
    /// What the environment says.
    pub environment: Environment,
    /// Time limits, attempts, proxy, authorities.
    pub http: HttpConfig,
    /// The user agent of requests for tokens.
    pub user_agent: String,
    /// Whether the service is on a local network, so that tokens may be asked for over http.
    pub endpoint_is_local: bool,
}

/// What the key of a service account is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenExchange {
    /// It signs tokens that go to the service itself; nothing else is asked.
    #[default]
    SelfSigned,
    /// It signs a request to the token endpoint, which gives the token.
    Exchange,
}

/// Gives tokens. Cheap to clone; clones share the token.
#[derive(Clone)]
pub struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    options: AuthOptions,
    net: Net,
    context: Context,
    found: RwLock<Arc<Found>>,
    /// Locked while a token is fetched, so that there is one request for all who wait.
    state: Mutex<State>,
    /// How often fetching failed: who waited meanwhile takes the failure for its own.
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The last token that the service refused.
    refused: Option<Secret>,
    /// Whether the credentials are to be read again before the next token.
    is_stale: bool,
    failure: Option<Error>,
}

/// A token and how long it serves; no times if nobody knows its end.
struct Held {
    token: Secret,
    times: Option<Times>,
}

struct Times {
    renew_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.describe())
    }
}

impl Tokens {
    /// Finds the credentials and checks their form. Nothing is sent but a question to the metadata
    /// server, and that only if there is nothing else.
    ///
    /// # Errors
    /// Of kind `Config` if there are no credentials, or broken ones.
    pub async fn connect(options: AuthOptions, context: Context) -> Result<Self> {
        let net = Net {
            http: options.http.clone(),
            user_agent: options.user_agent.clone(),
            endpoint_is_local: options.endpoint_is_local,
        };
        let found = find::find(&options, &net, &context).await?;
        let tokens = Self {
            inner: Arc::new(Inner {
                options,
                net,
                context,
                found: RwLock::new(Arc::new(found)),
                state: Mutex::default(),
                failures: AtomicU64::new(0),
            }),
        };
        tracing::debug!(
            credentials = tokens.describe(),
            from = tokens.origin(),
            "found"
        );
        Ok(tokens)
    }

    /// A token that is good for now; `None` if requests go without.
    ///
    /// # Errors
    /// Of kind `Auth` if the credentials are refused: asking again will not help. Of kind `Transient`
    /// or `RateLimited` if all attempts were used up.
    pub async fn token(&self) -> Result<Option<Secret>> {
        let inner = &*self.inner;
        let failures = inner.failures.load(Ordering::Acquire);
        let mut state = inner.state.lock().await;
        let now = inner.context.now();
        if let Some(held) = state.held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Some(held.token.clone()));
        }
        let is_shared = inner.failures.load(Ordering::Acquire) != failures;
        if let Some(failure) = state.failure.as_ref().filter(|_| is_shared) {
            return Err(failure.copy());
        }
        match self.renew(&mut state, now).await {
            Ok(token) => {
                state.failure = None;
                Ok(token)
            }
            Err(error) => {
                if let Some(token) = serve_on(&mut state, &error, inner.context.now()) {
                    return Ok(Some(token));
                }
                state.failure = Some(error.copy());
                inner.failures.fetch_add(1, Ordering::Release);
                Err(error)
            }
        }
    }

    /// The service refused this token: it is dropped, and the credentials are read again before the
    /// next one, as their file, variable or command may give others by now. Of calls for the same
    /// token the first one counts.
    pub async fn refused(&self, used: &Secret) {
        let mut state = self.inner.state.lock().await;
        let is_held = state.held.as_ref().is_some_and(|held| held.token == *used);
        if !is_held || state.refused.as_ref() == Some(used) {
            return;
        }
        state.held = None;
        state.refused = Some(used.clone());
        state.is_stale = true;
    }

    /// What the credentials are: `service account x@y`, `user credentials`, `metadata server`, ….
    pub fn describe(&self) -> String {
        self.found().document.credential.describe()
    }

    /// Where they were found, in words.
    pub fn origin(&self) -> String {
        self.found().origin.clone()
    }

    /// The project to work in if the config names none: the environment's, the key file's, the one
    /// that requests are counted against, the machine's.
    pub fn project(&self) -> Option<String> {
        let found = self.found();
        let environment = &self.inner.options.environment;
        (environment.google_cloud_project.clone())
            .or_else(|| found.document.project.clone())
            .or_else(|| found.document.quota_project.clone())
    }

    /// The project that requests are counted against, for the header `x-goog-user-project`; `None` if
    /// the credentials leave it to the service.
    pub fn quota_project(&self) -> Option<String> {
        let found = self.found();
        let is_anonymous = matches!(found.document.credential, Credential::Anonymous);
        let environment = &self.inner.options.environment;
        (environment.google_cloud_quota_project.clone())
            .filter(|_| !is_anonymous)
            .or_else(|| found.document.quota_project.clone())
    }

    /// Gets a token and keeps it.
    async fn renew(&self, state: &mut State, now: DateTime<Utc>) -> Result<Option<Secret>> {
        if state.is_stale {
            self.read_again().await?;
            state.is_stale = false;
        }
        let found = self.found();
        let credential = &found.document.credential;
        let Some(grant) = credential.fetch(&self.inner.net, now).await? else {
            return Ok(None);
        };
        let is_bare = matches!(credential, Credential::Token(_));
        if is_bare && state.refused.as_ref() == Some(&grant.token) {
            return Err(Error::auth("the service refused the access token")
                .with_hint("access tokens end after an hour: put a new one where `credentials` is read from"));
        }
        tracing::debug!(credentials = credential.describe(), "a new token");
        let held = state.held.insert(Held::new(grant, now));
        Ok(Some(held.token.clone()))
    }

    /// Reads the credentials again. The machine's own and none at all do not change.
    async fn read_again(&self) -> Result<()> {
        let inner = &*self.inner;
        if matches!(
            self.found().document.credential,
            Credential::Metadata(_) | Credential::Anonymous
        ) {
            return Ok(());
        }
        let found = find::find(&inner.options, &inner.net, &inner.context)
            .await
            // By now rows may have been written, so it is no longer an error of the config alone.
            .map_err(|error| {
                Error::auth("the service refused the token, and there are no others to be read")
                    .with_source(error)
            })?;
        *inner.found.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }

    fn found(&self) -> Arc<Found> {
        let found = self.inner.found.read();
        Arc::clone(&found.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn new(grant: Grant, now: DateTime<Utc>) -> Self {
        let times = grant.lifetime.map(|lifetime| {
            let ends_at = now + lifetime;
            Times {
                renew_at: ends_at - MARGIN.min(lifetime / 4),
                ends_at,
            }
        });
        Self {
            token: grant.token,
            times,
        }
    }

    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.times.as_ref().is_none_or(|times| now < times.renew_at)
    }
}

/// The old token, if it is good for a while yet and the service is only out of reach.
fn serve_on(state: &mut State, error: &Error, now: DateTime<Utc>) -> Option<Secret> {
    if !matches!(error.kind(), Kind::Transient | Kind::RateLimited) {
        return None;
    }
    let held = state.held.as_mut()?;
    let times = held.times.as_mut()?;
    if now + LEAST >= times.ends_at {
        return None;
    }
    times.renew_at = (now + GRACE).min(times.ends_at - LEAST);
    tracing::warn!(%error, "no new token yet; the old one serves on");
    Some(held.token.clone())
}
