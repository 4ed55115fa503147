//! A client for one service: its own connections, time limits, proxy and trusted authorities.

use std::time::{Duration, Instant};

use reqwest::header::CONTENT_LENGTH;
use reqwest::redirect;
use serde::{Deserialize, Deserializer};
use singer_core::{Error, Result, Secret};

use crate::base::Base;
use crate::body::Answer;
use crate::incoming::Incoming;
use crate::request::{Request, Upload};
use crate::tls;

/// Longer answers than this are refused; whoever expects files streams them.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept. Load balancers close theirs after a minute or so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How long an answer that is streamed may take as a whole; what counts is the time between its pieces.
const STREAM_TIMEOUT: Duration = Duration::from_secs(86_400);

/// A file that is sent slower than this many bytes a second runs out of time.
const SLOWEST_UPLOAD: u64 = 64 << 10;

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
    timeout: Duration,
}

impl Client {
    /// Builds a client. The system's authorities are read only for a service behind https, as
    /// reading them costs more than the rest of a short run.
    pub fn new(base: Base, config: &HttpConfig, user_agent: &str) -> Result<Self> {
        tls::install_tls();
        let timeout = config.request_timeout()?;
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
            .timeout(timeout);
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
        Ok(Self {
            inner,
            base,
            timeout,
        })
    }

    /// The service's base URL.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Sends a request and reads the answer whole, whatever its status. An error means that there
    /// is no answer: kind `Transient` if another attempt may help. A request with a secret goes to
    /// the client's own service alone.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        let sending = Sending::new(self, &request)?;
        let timeout = self.timeout + request.upload_time(SLOWEST_UPLOAD);
        let inner = built(request, timeout).await?;
        let answer = match self.inner.execute(inner).await {
            Ok(response) => Answer::read(response, MAX_ANSWER_BYTES).await,
            Err(error) => Err(sending.no_answer(error)),
        };
        let received = answer.as_ref().map(|answer| {
            let bytes = answer.body.len() as u64;
            (answer.status.as_u16(), Some(bytes))
        });
        sending.tell(received);
        answer
    }

    /// Sends a request and returns once the head of the answer is there; its body is read piece by piece,
    /// so that it may be of any length and take any time, as long as it goes on. Otherwise as [`Client::send`].
    pub async fn stream(&self, request: Request) -> Result<Incoming> {
        let sending = Sending::new(self, &request)?;
        let patience = self.timeout + request.upload_time(SLOWEST_UPLOAD);
        let inner = built(request, STREAM_TIMEOUT).await?;
        let executed = tokio::time::timeout(patience, self.inner.execute(inner)).await;
        let incoming = match executed {
            Ok(Ok(response)) => Ok(Incoming::new(response, self.timeout)),
            Ok(Err(error)) => Err(sending.no_answer(error)),
            Err(_) => Err(Error::transient(format!(
                "no answer in time to `{} {}`",
                sending.method, sending.url
            ))),
        };
        sending.tell(incoming.as_ref().map(|head| (head.status.as_u16(), None)));
        incoming
    }
}

/// Whether an error of [`Client::send`] means that no connection stood, so that the service certainly
/// saw nothing of the request.
pub fn was_never_sent(error: &Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<reqwest::Error>() {
            return error.is_connect();
        }
        next = cause.source();
    }
    false
}

/// A request on its way, as logs and errors have it.
struct Sending {
    start: Instant,
    method: reqwest::Method,
    url: String,
    bytes: u64,
}

impl Sending {
    /// Refuses to send a secret anywhere but to the client's own service.
    fn new(client: &Client, request: &Request) -> Result<Self> {
        if request.has_secret() && !client.base.is_origin_of(&request.url) {
            return Err(Error::internal(format!(
                "a secret of `{}` was about to be sent to `{}`",
                client.base,
                request.shown_url()
            )));
        }
        Ok(Self {
            start: Instant::now(),
            method: request.method.clone(),
            url: request.shown_url(),
            bytes: request.body_len() as u64,
        })
    }

    fn no_answer(&self, error: reqwest::Error) -> Error {
        no_answer(&self.method, &self.url, error)
    }

    /// Logs the status and length of the answer, or why there is none.
    fn tell(&self, received: Result<(u16, Option<u64>), &Error>) {
        let Self {
            method, url, bytes, ..
        } = self;
        let milliseconds = self.start.elapsed().as_millis() as u64;
        match received {
            Ok((status, received_bytes)) => tracing::debug!(
                %method, %url, status, milliseconds, sent_bytes = bytes, received_bytes, "request"
            ),
            Err(error) => {
                tracing::debug!(%method, %url, %error, milliseconds, sent_bytes = bytes, "request");
            }
        }
    }
}

/// The request as the library below wants it. A file is opened anew, so that each attempt sends it whole.
async fn built(request: Request, timeout: Duration) -> Result<reqwest::Request> {
    let mut inner = reqwest::Request::new(request.method, request.url);
    *inner.headers_mut() = request.headers;
    *inner.timeout_mut() = Some(timeout);
    *inner.body_mut() = match request.body {
        None => None,
        Some(Upload::Bytes(bytes)) => Some(bytes.into()),
        Some(Upload::File { path, length }) => {
            let cannot = |what: &str| format!("cannot {what} `{}` to send it", path.display());
            let file = tokio::fs::File::open(&path)
                .await
                .map_err(|error| Error::internal(cannot("open")).with_source(error))?;
            let metadata = file.metadata().await;
            let now = metadata
                .map_err(|error| Error::internal(cannot("read")).with_source(error))?
                .len();
            if now != length {
                return Err(Error::internal(format!(
                    "`{}` has {now} bytes, and had {length} when it was to be sent",
                    path.display()
                )));
            }
            inner.headers_mut().insert(CONTENT_LENGTH, length.into());
            Some(file.into())
        }
    };
    Ok(inner)
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
