//! A request before it is sent: cheap to clone, so that it can be sent again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
    pub(crate) body: Option<Upload>,
    has_secret_url: bool,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub(crate) enum Upload {
    /// Bytes that are there.
    Bytes(Bytes),
    /// A file, opened for each attempt and read while it is sent.
    File { path: PathBuf, length: u64 },
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
        request.body = Some(Upload::Bytes(body));
        request
    }

    /// Any method with the content of a file as its body, which is never in memory as a whole. The file
    /// must stay as it is until the last attempt is over.
    ///
    /// # Errors
    /// Of kind `Internal` if there is no such file.
    pub fn with_file(
        method: Method,
        url: Url,
        content_type: &'static str,
        path: PathBuf,
    ) -> Result<Self> {
        let metadata = std::fs::metadata(&path).map_err(|error| {
            Error::internal(format!("cannot read `{}` to send it", path.display()))
                .with_source(error)
        })?;
        let length = metadata.len();
        let mut request = Self::new(method, url).header("content-type", content_type);
        request.body = Some(Upload::File { path, length });
        Ok(request)
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
        match &self.body {
            None => 0,
            Some(Upload::Bytes(bytes)) => bytes.len(),
            Some(Upload::File { length, .. }) => usize::try_from(*length).unwrap_or(usize::MAX),
        }
    }

    /// How much longer than others it may take, as it sends a file at this many bytes a second at least.
    pub(crate) fn upload_time(&self, slowest: u64) -> Duration {
        match &self.body {
            Some(Upload::File { length, .. }) => Duration::from_secs(length / slowest),
            Some(Upload::Bytes(_)) | None => Duration::ZERO,
        }
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
