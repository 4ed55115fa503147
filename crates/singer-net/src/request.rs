//! A request before it is sent: cheap to clone, so that it can be sent again.

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use singer_core::{Error, Result, Secret};

pub use reqwest::Method;

/// One request. Its body is shared by all its clones.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of a JSON body.
    pub fn post_json(url: Url, body: Bytes) -> Self {
        let mut request = Self::new(Method::POST, url).header("content-type", "application/json");
        request.body = Some(body);
        request
    }

    /// The same request with a header whose value everyone may see.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self
    }

    /// The same request with a header whose value nobody may see. The client refuses to send it to
    /// any other host than its own.
    pub fn secret_header(mut self, name: &'static str, secret: &Secret) -> Result<Self> {
        let mut value = HeaderValue::from_str(secret.expose().trim()).map_err(|_| {
            Error::config(format!(
                "the secret for the header `{name}` has characters that no header takes"
            ))
            .with_hint("look for line breaks or non-ASCII characters in it")
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Where it goes.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How many bytes its body has.
    pub fn body_len(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }

    pub(crate) fn has_secret(&self) -> bool {
        self.headers.values().any(HeaderValue::is_sensitive)
    }
}
