//! Requests to one service: with a token that is renewed once, with pauses where the service wants them,
//! repeated only where that does no harm.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use singer_core::{Error, Kind, Result, Secret};
use singer_net::{Answer, Backoff, Base, Client, Gate, HttpConfig, Request, Url};
use tokio::time::Instant;

use crate::Account;
use crate::fault::{Class, Fault, Service};
use crate::pause;
use allowance::Allowance;
use tries::{Pace, Tries};

mod allowance;
mod download;
mod tries;

#[cfg(test)]
mod tests;

/// The group in which every call counts, beside its own.
pub const ALL: &str = "all";

/// Whether a request may be made again when nobody knows whether the service acted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It may: asking twice is asking once.
    Safely,
    /// It may not: only when the service certainly did not act (throttled, busy, token refused, no connection).
    OnlyIfRefused,
}

/// One request, and what it is for.
#[derive(Debug)]
pub struct Call<'a> {
    /// What is being done, for logs and errors: "list the tables".
    pub what: &'a str,
    /// The request, without token.
    pub request: Request,
    /// Whether it may be made again.
    pub repeat: Repeat,
    /// The group in which the call counts; see [`Api::with_allowance`].
    pub group: Option<&'static str>,
}

/// Who pays for the attempts at a request; the first is paid for when it begins.
pub(crate) trait Toll: Send {
    /// An attempt ended so.
    fn failed(&mut self, fault: &Fault);

    /// Another one is about to begin.
    ///
    /// # Errors
    /// If it costs more than there is; then it is not made.
    fn again(&mut self) -> Result<()>;
}

/// Nobody pays.
struct Free;

impl Toll for Free {
    fn failed(&mut self, _: &Fault) {}

    fn again(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Sends requests to one service. Cheap to clone; clones share connections, token and pauses.
#[derive(Debug)]
pub struct Api<S> {
    account: Account,
    base: Base,
    client: Client,
    headers: Vec<(&'static str, String)>,
    pace: Pace,
    allowances: Vec<Arc<Allowance>>,
    shared: Arc<Shared>,
    service: PhantomData<S>,
}

#[derive(Debug)]
struct Shared {
    gate: Gate,
    requests: AtomicU64,
    retried: AtomicU64,
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests.
    pub requests: u64,
    /// Of these, made again.
    pub retried: u64,
}

impl<S: Service> Api<S> {
    /// A client for the service at this base. `patience` is how long throttling and busy slots are waited out.
    ///
    /// # Errors
    /// Of kind `Config`.
    pub fn new(
        base: Base,
        account: Account,
        http: &HttpConfig,
        patience: Duration,
    ) -> Result<Self> {
        let client = Client::new(base.clone(), http, account.surroundings().user_agent())?;
        Ok(Self {
            account,
            base,
            client,
            headers: Vec::new(),
            pace: Pace {
                attempts: http.attempts.max(1),
                patience,
                throttled: Duration::from_secs(4),
                busy: Duration::from_secs(5),
                broken: Backoff::default(),
            },
            allowances: Vec::new(),
            shared: Arc::new(Shared {
                gate: Gate::new(Duration::ZERO),
                requests: AtomicU64::new(0),
                retried: AtomicU64::new(0),
            }),
            service: PhantomData,
        })
    }

    /// The same client, which sends this header with every request.
    ///
    /// # Errors
    /// Of kind `Config` if no header can hold the value.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Result<Self> {
        // Only to see whether a header can hold it.
        Request::get(self.base.url(&[])?).text_header(name, value)?;
        self.headers.push((name, value.to_owned()));
        Ok(self)
    }

    /// The same client, which makes at most so many calls of this group in any 60 seconds, waiting in
    /// between. In the group [`ALL`] every call counts.
    #[must_use]
    pub fn with_allowance(mut self, group: &'static str, calls_per_minute: u32) -> Self {
        let allowance = Allowance::new(group, calls_per_minute, allowance::WINDOW);
        self.allowances.push(Arc::new(allowance));
        self
    }

    /// The same client with other waits: after the first throttling (4 s unless set; four times as long
    /// after each further one), and after the first busy slot (5 s; doubled after each further one).
    #[must_use]
    pub fn with_waits(mut self, throttled: Duration, busy: Duration) -> Self {
        self.pace.throttled = throttled;
        self.pace.busy = busy;
        self
    }

    /// A client for another host of the same service, with the same token, pauses and allowances.
    ///
    /// # Errors
    /// Of kind `Config` if no client can be built.
    pub fn at(&self, base: Base, http: &HttpConfig) -> Result<Self> {
        let user_agent = self.account.surroundings().user_agent();
        let client = Client::new(base.clone(), http, user_agent)?;
        Ok(Self {
            client,
            base,
            ..self.clone()
        })
    }

    /// Where the service is.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The URL of a path below the base.
    ///
    /// # Errors
    /// Of kind `Internal` for an empty segment.
    pub fn url(&self, segments: &[&str]) -> Result<Url> {
        self.base.url(segments)
    }

    /// Sends a request until there is an answer of success or a fault that waiting does not heal.
    ///
    /// # Errors
    /// The fault, with class [`crate::Class::Broken`] if it is not known whether the service acted.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, Fault> {
        self.send_for(call, &mut Free).await
    }

    /// As [`Api::send`], with somebody who pays for each attempt.
    pub(crate) async fn send_for(
        &self,
        call: Call<'_>,
        toll: &mut impl Toll,
    ) -> Result<Answer, Fault> {
        self.check_origin(call.request.url())?;
        let mut tries = Tries::new(call.what, call.repeat, self.pace);
        loop {
            let token = self.enter(call.group, &tries).await?;
            match self.once(call.request.clone(), &token).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => {
                    toll.failed(&fault);
                    self.after(&mut tries, fault, &token).await?;
                    toll.again()?;
                }
            }
        }
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What was asked so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.shared.requests.load(Ordering::Relaxed),
            retried: self.shared.retried.load(Ordering::Relaxed),
        }
    }

    async fn once(&self, request: Request, token: &Secret) -> Result<Answer, Fault> {
        let request = self.dressed(request, token)?;
        let answer = self.client.send(request).await.map_err(no_answer)?;
        S::judge(&answer)?;
        Ok(answer)
    }

    /// The request with the headers of all requests and the token; it counts as sent from here on.
    fn dressed(&self, mut request: Request, token: &Secret) -> Result<Request> {
        for (name, value) in &self.headers {
            request = request.text_header(name, value)?;
        }
        let word = Secret::new(format!("Zoho-oauthtoken {}", token.expose()));
        let request = request.secret_header("authorization", &word)?;
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        Ok(request)
    }

    /// Waits until a call may be made, and returns the token for it.
    async fn enter(&self, group: Option<&'static str>, tries: &Tries<'_>) -> Result<Secret> {
        let surroundings = &**self.account.surroundings();
        // First the token, which may take a while; what is allowed after that is allowed now.
        let token = self.account.token_within(tries.patience()).await?;
        loop {
            pause::until(surroundings, self.shared.gate.pass()).await?;
            match self.allow(group) {
                Ok(()) => return Ok(token),
                Err(wait) => {
                    let wait_milliseconds = wait.as_millis() as u64;
                    tracing::debug!(group, wait_milliseconds, "as many calls as allowed");
                    pause::rest(surroundings, wait).await?;
                }
            }
        }
    }

    /// Counts a call in its group and in that of all calls, or says how long to wait.
    fn allow(&self, group: Option<&'static str>) -> Result<(), Duration> {
        let now = Instant::now();
        let its_own =
            |allowance: &&Arc<Allowance>| allowance.group == ALL || Some(allowance.group) == group;
        let mut counted: Vec<&Arc<Allowance>> = Vec::new();
        for allowance in self.allowances.iter().filter(its_own) {
            if let Err(wait) = allowance.take(now) {
                counted.iter().for_each(|other| other.give_back(now));
                return Err(wait);
            }
            counted.push(allowance);
        }
        Ok(())
    }

    async fn after(
        &self,
        tries: &mut Tries<'_>,
        fault: Fault,
        token: &Secret,
    ) -> Result<(), Fault> {
        tries
            .after(fault, token, &self.account, &self.shared.gate)
            .await?;
        self.shared.retried.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// A link that a service hands out may lead anywhere; the token goes to the service itself alone.
    fn check_origin(&self, url: &Url) -> Result<()> {
        if self.base.is_origin_of(url) {
            return Ok(());
        }
        Err(Error::protocol(format!(
            "a request to `{}` would send the token away from `{}`",
            url.origin().ascii_serialization(),
            self.base
        ))
        .with_hint(format!(
            "{} sent a link to another host than the configured one: look at the base URL in the config and at `data_center`",
            S::NAME
        )))
    }
}

/// The fault of a request without an answer.
fn no_answer(error: Error) -> Fault {
    let class = match error.kind() {
        Kind::Transient => Class::Broken,
        _ => Class::Fatal,
    };
    Fault::without_answer(class, error)
}

impl<S> Clone for Api<S> {
    fn clone(&self) -> Self {
        Self {
            account: self.account.clone(),
            base: self.base.clone(),
            client: self.client.clone(),
            headers: self.headers.clone(),
            pace: self.pace,
            allowances: self.allowances.clone(),
            shared: Arc::clone(&self.shared),
            service: PhantomData,
        }
    }
}
