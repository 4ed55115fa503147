//! A client for one service: its own connections, time limits, proxy and trusted authorities.

use std::time::{Duration, Instant};

use reqwest::redirect;
use serde::{Deserialize, Deserializer};
use singer_core::{Error, Result, Secret};

use crate::base::Base;
use crate::body::Answer;
use crate::request::Request;
use crate::tls;

/// Longer answers than this are refused; whoever expects files streams them.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Load balancers close theirs after a minute or so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// The settings that all connectors over HTTP share.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpConfig {
    /// How often a request is tried.
    pub attempts: u32,
    /// How long one request may take.
    pub request_timeout_seconds: f64,
    /// The proxy for all requests, whose URL may hold a password; the environment's if left out. The
    /// runtime has read it from where the config says that it is, so that it is a text here.
    #[serde(default, deserialize_with = "secret")]
    pub proxy: Option<Secret>,
    /// A PEM file of authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(Secret::new))
}

impl HttpConfig {
    /// Checks the numbers; for `Settings::validate`.
    pub fn validate(&self) -> Result<()> {
        if self.attempts == 0 {
            return Err(Error::config("`attempts` must be at least 1"));
        }
        self.request_timeout().map(|_| ())
    }

    fn request_timeout(&self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.request_timeout_seconds)
            .ok()
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(|| Error::config("`request_timeout_seconds` must be more than 0"))
    }
}

/// Sends requests to one service. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    base: Base,
}

impl Client {
    /// Builds a client. The system's authorities are read only for a service behind https, as
    /// reading them costs more than the rest of a short run.
    pub fn new(base: Base, config: &HttpConfig, user_agent: &str) -> Result<Self> {
        tls::install_tls();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the place where clients come from"
        )]
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .timeout(config.request_timeout()?);
        let proxy_is_https = config
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.expose().starts_with("https:"));
        builder = if base.is_https() || proxy_is_https {
            builder.tls_certs_only(tls::trusted(config.ca_file.as_deref())?)
        } else {
            if !base.is_loopback() && !base.is_link_local() {
                tracing::warn!(base = %base, "requests are not encrypted");
            }
            builder.tls_certs_only([])
        };
        builder = match &config.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.expose()).map_err(|error| {
                Error::config("`proxy` is no URL").with_source(error.without_url())
            })?),
            // A proxy of the environment cannot know this machine's own ports and link.
            None if base.is_loopback() || base.is_link_local() => builder.no_proxy(),
            None => builder,
        };
        let inner = builder
            .build()
            .map_err(|error| Error::internal("cannot build an HTTP client").with_source(error))?;
        Ok(Self { inner, base })
    }

    /// The service's base URL.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Sends a request and reads the answer whole, whatever its status. An error means that there
    /// is no answer: kind `Transient` if another attempt may help. A request with a secret goes to
    /// the client's own service alone.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        if request.has_secret() && !self.base.is_origin_of(&request.url) {
            return Err(Error::internal(format!(
                "a secret of `{}` was about to be sent to `{}`",
                self.base,
                request.shown_url()
            )));
        }
        let start = Instant::now();
        let url = request.shown_url();
        let method = request.method.clone();
        let sent_bytes = request.body_len();
        let mut inner = reqwest::Request::new(request.method, request.url);
        *inner.headers_mut() = request.headers;
        *inner.body_mut() = request.body.map(reqwest::Body::from);
        let answer = match self.inner.execute(inner).await {
            Ok(response) => Answer::read(response, MAX_ANSWER_BYTES).await,
            Err(error) => Err(no_answer(&method, &url, error)),
        };
        let milliseconds = start.elapsed().as_millis() as u64;
        match &answer {
            Ok(answer) => tracing::debug!(
                %method, %url, status = answer.status.as_u16(), milliseconds, sent_bytes,
                received_bytes = answer.body.len(), "request"
            ),
            Err(error) => {
                tracing::debug!(%method, %url, %error, milliseconds, sent_bytes, "request");
            }
        }
        answer
    }
}

fn no_answer(method: &reqwest::Method, url: &str, error: reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::internal(format!("cannot build the request `{method} {url}`"))
            .with_source(error.without_url());
    }
    if let Some(failure) = tls::failure(&error) {
        return tls::refused(method.as_str(), url, &failure);
    }
    let what = if error.is_connect() {
        "cannot connect for"
    } else if error.is_timeout() {
        "no answer in time to"
    } else {
        "no answer to"
    };
    Error::transient(format!("{what} `{method} {url}`")).with_source(error.without_url())
}

#[cfg(test)]
mod tests;
