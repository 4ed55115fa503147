//! A request before it is sent: cheap to clone, so that it can be sent again.

use std::fmt;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use singer_core::{Error, Result, Secret};

use crate::redact;

pub use reqwest::Method;

/// One request. Its body is shared by all its clones.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    has_secret_url: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.shown_url())
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            has_secret_url: false,
        }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of a JSON body.
    pub fn post_json(url: Url, body: Bytes) -> Self {
        Self::post(url, "application/json", body)
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

    /// A POST of any body.
    pub fn post(url: Url, content_type: &'static str, body: Bytes) -> Self {
        Self::with_body(Method::POST, url, content_type, body)
    }

    /// Any method with a JSON body.
    pub fn with_json(method: Method, url: Url, body: Bytes) -> Self {
        Self::with_body(method, url, "application/json", body)
    }

    /// Any method with any body.
    pub fn with_body(method: Method, url: Url, content_type: &'static str, body: Bytes) -> Self {
        let mut request = Self::new(method, url).header("content-type", content_type);
        request.body = Some(body);
        request
    }

    /// The same request with a header that is known only at run time, and whose value everyone may see.
    pub fn text_header(mut self, name: &str, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Error::config(format!(
                "the value of the header `{name}` has characters that no header takes"
            ))
        })?;
        self.headers.insert(header_name(name)?, value);
        Ok(self)
    }

    /// The same request with a header whose value nobody may see. The client refuses to send it to
    /// any other host than its own.
    pub fn secret_header(mut self, name: &str, secret: &Secret) -> Result<Self> {
        let mut value = HeaderValue::from_str(secret.expose().trim()).map_err(|_| {
            Error::config(format!(
                "the secret for the header `{name}` has characters that no header takes"
            ))
            .with_hint("look for line breaks or non-ASCII characters in it")
        })?;
        value.set_sensitive(true);
        self.headers.insert(header_name(name)?, value);
        Ok(self)
    }

    /// The same request; of its URL nothing but the host is shown, as the path is as good as a password.
    #[must_use]
    pub fn hide_path(mut self) -> Self {
        self.has_secret_url = true;
        self
    }

    /// Its URL as logs and errors have it.
    pub(crate) fn shown_url(&self) -> String {
        if self.has_secret_url {
            let origin = self.url.origin().ascii_serialization();
            return format!("{origin}/{}", redact::HIDDEN);
        }
        redact::url(&self.url)
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

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|error| {
        Error::config(format!("`{name}` is no name of a header")).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_path_is_not_shown() {
        let url = Url::parse("https://user:pw@hooks.example/T0/secret?key=secret").unwrap();
        let request = Request::get(url).hide_path();
        assert_eq!(format!("{request:?}"), "GET https://hooks.example/***");
    }

    #[test]
    fn names_and_values_of_headers_are_checked() {
        let request = || Request::get(Url::parse("https://h").unwrap());
        assert!(request().text_header("X-Team", "data").is_ok());
        assert!(request().text_header("X Team", "data").is_err());
        assert!(request().text_header("X-Team", "a\nb").is_err());
        let secret = Secret::new("a\nhunter2");
        let error = request().secret_header("X-Key", &secret).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
        let held = request().secret_header("X-Key", &Secret::new("hunter2"));
        assert!(held.unwrap().has_secret());
    }
}
