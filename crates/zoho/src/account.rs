//! Access tokens of one account: refreshed once for all who wait, shared between processes by a file.
//!
//! What a refused request means is left to whoever sent it: it asks for another token, and tries once more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use singer_core::{Error, Kind, Result, Secret, SecretSource, Surroundings};
use singer_net::{HttpConfig, redact};
use tokio::sync::Mutex;

use crate::pause::rest;
use crate::{AccountConfig, DataCenter};
use cache::{Cache, Lock, Record};
use server::{Asked, Server};

mod cache;
mod grant;
mod server;

#[cfg(test)]
mod tests;

/// How long a closed accounts server is waited for unless the caller knows better.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many refused tokens are remembered, so that none comes back from the file.
const REMEMBERED: usize = 8;

/// How long another process may hold the lock of the cache before the run goes on without it.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Gives out access tokens. Cheap to clone; clones share their token.
#[derive(Clone)]
pub struct Account {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    client_secret: SecretSource,
    refresh_token: SecretSource,
    cache_path: Option<String>,
    /// How long the lock of the cache is waited for.
    lock_patience: Duration,
    surroundings: Arc<dyn Surroundings>,
    /// Locked while a token is fetched, so that there is one request for all who wait.
    state: Mutex<State>,
    /// How often fetching failed: who waited meanwhile takes the failure for its own.
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    keys: Option<Keys>,
    record: Record,
    refused: Vec<Secret>,
    failure: Option<Error>,
    /// The last failure was for good: nothing is asked before the secrets are other ones.
    is_dead: bool,
}

/// The secrets as they were read, and the cache of what they give.
#[derive(Clone)]
struct Keys {
    client_secret: Secret,
    refresh_token: Secret,
    cache: Option<Cache>,
}

/// A token in the place of a refused one.
#[derive(Debug)]
pub(crate) struct Renewed {
    pub(crate) token: Secret,
    /// Whether it was made just now; else it is one that somebody else got, which may be old as well.
    pub(crate) is_new: bool,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({})", self.place())
    }
}

impl Account {
    /// Builds the client for the accounts server; asks nothing yet.
    ///
    /// # Errors
    /// Of kind `Config` if a URL cannot be used.
    pub fn new(
        config: &AccountConfig,
        http: &HttpConfig,
        surroundings: Arc<dyn Surroundings>,
    ) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                server: Server::new(config, http, surroundings.user_agent())?,
                client_secret: config.client_secret.clone(),
                refresh_token: config.refresh_token.clone(),
                cache_path: config.token_cache_path.clone(),
                lock_patience: LOCK_PATIENCE,
                surroundings,
                state: Mutex::default(),
                failures: AtomicU64::new(0),
            }),
        })
    }

    /// A token that is good for at least a minute: that of the memory or of the cache file, else a new one.
    ///
    /// # Errors
    /// Of kind `Auth` if the accounts server refuses for good (the message names the data centre that
    /// was asked), `RateLimited` if it blocks for the rest of its window, `Transient` if it is out of reach.
    pub async fn token(&self) -> Result<Secret> {
        self.token_within(PATIENCE).await
    }

    /// Another token than this one, which a service refused: the one that is current by now, else a new one.
    ///
    /// # Errors
    /// As [`Account::token`].
    pub async fn renew(&self, refused: &Secret) -> Result<Secret> {
        let renewed = self.renew_within(refused, PATIENCE).await?;
        Ok(renewed.token)
    }

    /// What an error or a log line calls it: the data centre and the accounts server.
    pub fn place(&self) -> String {
        self.inner.server.place()
    }

    /// What to look at when a service refuses a token that was made a moment ago.
    pub(crate) fn doubt(&self) -> String {
        format!(
            "a token is good in its own data centre alone; this one came from {}: look at `data_center`",
            self.place()
        )
    }

    /// Where the account lives, as the config says.
    pub fn data_center(&self) -> DataCenter {
        self.inner.server.data_center()
    }

    /// The `api_domain` that came with the token, if there is a token and it is one of Zoho's.
    pub async fn api_domain(&self) -> Option<String> {
        let domain = self.inner.state.lock().await.record.api_domain();
        domain.filter(|domain| DataCenter::of_api_domain(domain).is_some())
    }

    /// The process around.
    pub fn surroundings(&self) -> &Arc<dyn Surroundings> {
        &self.inner.surroundings
    }

    /// The same account, which hardly waits.
    #[cfg(test)]
    pub(crate) fn in_a_hurry(mut self) -> Self {
        let inner = Arc::get_mut(&mut self.inner).expect("it has no clones yet");
        inner.lock_patience = Duration::from_millis(100);
        inner.server.backoff = singer_net::Backoff {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(2),
        };
        self
    }

    /// As [`Account::token`]; an accounts server that blocks is waited for within this time.
    pub(crate) async fn token_within(&self, patience: Duration) -> Result<Secret> {
        let inner = &*self.inner;
        let failures = inner.failures.load(Ordering::Acquire);
        let mut state = inner.state.lock().await;
        if let Some(token) = state.token(inner.surroundings.now()) {
            return Ok(token);
        }
        let renewed = inner.fetch(&mut state, failures, patience).await?;
        Ok(renewed.token)
    }

    /// As [`Account::renew`]; an accounts server that blocks is waited for within this time.
    pub(crate) async fn renew_within(
        &self,
        refused: &Secret,
        patience: Duration,
    ) -> Result<Renewed> {
        let inner = &*self.inner;
        let failures = inner.failures.load(Ordering::Acquire);
        let mut state = inner.state.lock().await;
        state.refuse(refused);
        if let Some(token) = state.token(inner.surroundings.now()) {
            let is_new = false;
            return Ok(Renewed { token, is_new });
        }
        inner.fetch(&mut state, failures, patience).await
    }
}

impl State {
    fn token(&self, now: DateTime<Utc>) -> Option<Secret> {
        self.record.token(now, &self.refused)
    }

    fn refuse(&mut self, token: &Secret) {
        if !self.refused.contains(token) {
            if self.refused.len() == REMEMBERED {
                self.refused.remove(0);
            }
            self.refused.push(token.clone());
        }
        self.record.drop_token(token);
    }
}

impl Inner {
    /// Gets a token; an old one that is still good serves on if no new one is to be had for the moment.
    async fn fetch(&self, state: &mut State, failures: u64, patience: Duration) -> Result<Renewed> {
        let is_shared = self.failures.load(Ordering::Acquire) != failures;
        // Who has more patience than another waits longer for a server that blocks.
        let is_final = |failure: &&Error| failure.kind() != Kind::RateLimited;
        if let Some(failure) = (state.failure.as_ref()).filter(|it| is_shared && is_final(it)) {
            return Err(failure.copy());
        }
        let error = match self.refresh(state, patience).await {
            Ok(renewed) => {
                state.failure = None;
                return Ok(renewed);
            }
            Err(error) => error,
        };
        let may_pass = matches!(error.kind(), Kind::Transient | Kind::RateLimited);
        let now = self.surroundings.now();
        let old = state.record.last_resort(now, &state.refused);
        if let Some(token) = old.filter(|_| may_pass) {
            state.record.serve_on(now);
            tracing::warn!(%error, "no new token yet; the old one serves on");
            let is_new = false;
            return Ok(Renewed { token, is_new });
        }
        state.failure = Some(error.copy());
        self.failures.fetch_add(1, Ordering::Release);
        Err(error)
    }

    /// A token that another process wrote down, else a new one.
    async fn refresh(&self, state: &mut State, patience: Duration) -> Result<Renewed> {
        let mut keys = self.keys(state).await?;
        let deadline = Instant::now() + patience;
        let mut read_again = false;
        loop {
            // A first look without the lock, which a process that asks may hold for a while.
            if let Some(renewed) = self.shared(state, &keys).await {
                return Ok(renewed);
            }
            let now = self.surroundings.now();
            if let Some(until) = state.record.closed_until(now) {
                // Nobody waits for a new token while the old one still serves.
                let serves = state.record.last_resort(now, &state.refused).is_some();
                let deadline = if serves { Instant::now() } else { deadline };
                self.wait_until(until, deadline).await?;
                continue;
            }
            let lock = match &keys.cache {
                Some(cache) => cache.lock(&*self.surroundings, self.lock_patience).await?,
                None => None,
            };
            if let Some(renewed) = self.shared(state, &keys).await {
                return Ok(renewed);
            }
            if state.record.closed_until(self.surroundings.now()).is_some() {
                continue;
            }
            let (secret, refresh) = (&keys.client_secret, &keys.refresh_token);
            let asked = self.server.ask(secret, refresh, &*self.surroundings);
            match asked.await? {
                Asked::Granted(grant) => {
                    state.record.take(&grant, self.surroundings.now());
                    keys.store(&state.record, lock.as_ref()).await;
                    self.server.compare(&grant);
                    let (token, is_new) = (grant.token, true);
                    return Ok(Renewed { token, is_new });
                }
                Asked::Throttled => {
                    state.record.block(self.surroundings.now());
                    keys.store(&state.record, lock.as_ref()).await;
                }
                Asked::Dead(code) => {
                    let other = self.other_keys(state, &keys).await;
                    let other = other.filter(|_| !read_again);
                    keys = other.ok_or_else(|| self.server.refusal(&code))?;
                    read_again = true;
                }
            }
        }
    }

    /// The secrets; read again if those that are there were refused for good.
    async fn keys(&self, state: &mut State) -> Result<Keys> {
        let keys = match state.keys.take() {
            None => self.read_keys().await?,
            Some(keys) if state.is_dead => match self.read_keys().await {
                Ok(read) if !read.are(&keys) => {
                    state.record = Record::default();
                    read
                }
                _ => {
                    state.keys = Some(keys);
                    return Err(match &state.failure {
                        Some(failure) => failure.copy(),
                        None => Error::auth("the refresh token was refused before"),
                    });
                }
            },
            Some(keys) => keys,
        };
        state.is_dead = false;
        Ok(state.keys.insert(keys).clone())
    }

    /// The secrets as they are read now, if they are others than those that were refused for good.
    async fn other_keys(&self, state: &mut State, refused: &Keys) -> Option<Keys> {
        let read = self.read_keys().await.ok();
        let other = read.filter(|keys| !keys.are(refused));
        state.is_dead = other.is_none();
        if let Some(keys) = &other {
            tracing::info!("the secrets are others by now, and were read again");
            state.record = Record::default();
            state.keys = Some(keys.clone());
        }
        other
    }

    async fn read_keys(&self) -> Result<Keys> {
        let client_secret = self.secret("client_secret", &self.client_secret).await?;
        let refresh_token = self.secret("refresh_token", &self.refresh_token).await?;
        let purpose = format!("zoho {}", self.server.identity());
        let fingerprint = redact::fingerprint(&purpose, &refresh_token);
        let key: String = fingerprint
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Keys {
            client_secret,
            refresh_token,
            cache: Cache::find(self.cache_path.as_deref(), key, &*self.surroundings),
        })
    }

    async fn secret(&self, name: &str, source: &SecretSource) -> Result<Secret> {
        let secret = self.surroundings.secret(source).await?;
        let text = secret.expose().trim();
        if text.is_empty() {
            return Err(Error::config(format!("`{name}` is empty")));
        }
        Ok(Secret::new(text))
    }

    /// What the file knows by now, added to what is known here; the token, if that is a good one.
    async fn shared(&self, state: &mut State, keys: &Keys) -> Option<Renewed> {
        let record = keys.cache.as_ref()?.load().await?;
        let now = self.surroundings.now();
        state.record.merge(record, now, &state.refused);
        let token = state.token(now)?;
        tracing::debug!("a token of the cache");
        let is_new = false;
        Some(Renewed { token, is_new })
    }

    async fn wait_until(&self, until: DateTime<Utc>, deadline: Instant) -> Result<()> {
        let wait = (until - self.surroundings.now())
            .to_std()
            .unwrap_or_default();
        let time = until.to_rfc3339_opts(SecondsFormat::Secs, true);
        if Instant::now() + wait > deadline {
            return Err(Error::new(
                Kind::RateLimited,
                format!("{} gives out no access token before {time}", self.server.place()),
            )
            .with_hint(
                "Zoho gives out ten in ten minutes for each refresh token: give each program its own, or let them share one `token_cache_path`",
            ));
        }
        tracing::warn!(until = time, "no more access tokens until then; waiting");
        rest(&*self.surroundings, wait).await
    }
}

impl Keys {
    async fn store(&self, record: &Record, lock: Option<&Lock>) {
        if let (Some(cache), Some(lock)) = (&self.cache, lock) {
            cache.store(record, lock).await;
        }
    }

    fn are(&self, other: &Self) -> bool {
        self.client_secret == other.client_secret && self.refresh_token == other.refresh_token
    }
}
