//! An answer whose body is read piece by piece: a file that is downloaded.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use singer_core::{Error, Result};

use crate::body::Answer;

/// The head of an answer, and its body as it comes in.
pub struct Incoming {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: Response,
    timeout: Duration,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({})", self.status)
    }
}

impl Incoming {
    pub(crate) fn new(mut response: Response, timeout: Duration) -> Self {
        Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            response,
            timeout,
        }
    }

    /// The next piece, unzipped; nothing at the end. The caller bounds their sum.
    ///
    /// # Errors
    /// Of kind `Transient` if the answer breaks off, or if nothing comes for as long as a request may take.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let next = tokio::time::timeout(self.timeout, self.response.chunk()).await;
        match next {
            Ok(piece) => piece.map_err(broke_off),
            Err(_) => Err(Error::transient(format!(
                "nothing more of the answer came for {} s",
                self.timeout.as_secs_f64()
            ))),
        }
    }

    /// The answer with its whole body, read as by [`crate::Client::send`]; for refusals.
    ///
    /// # Errors
    /// Of kind `Transient` if the answer breaks off, `Protocol` if it has more than `max_bytes`.
    pub async fn whole(mut self, max_bytes: usize) -> Result<Answer> {
        let mut body = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > max_bytes {
                return Err(Error::protocol(format!(
                    "the answer is longer than {max_bytes} bytes"
                )));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status: self.status,
            headers: self.headers,
            body: body.into(),
        })
    }
}

/// The error of an answer that ended before its end.
pub(crate) fn broke_off(error: reqwest::Error) -> Error {
    Error::transient("the answer broke off").with_source(error.without_url())
}
