//! An answer, read whole within bounds. It is never taken for JSON before somebody looked.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use singer_core::{Error, Result};

use crate::incoming::broke_off;
use crate::redact;

/// How much of a service's words goes into logs and errors.
const SHOWN_CHARACTERS: usize = 300;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unzipped.
    pub body: Bytes,
}

impl Answer {
    /// Reads a response to its end; a body of more than `max_bytes` is an error, so that a server
    /// gone wrong cannot fill the memory.
    pub(crate) async fn read(mut response: Response, max_bytes: usize) -> Result<Self> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        // Most answers are one piece, which is then not copied.
        let mut body = response
            .chunk()
            .await
            .map_err(broke_off)?
            .unwrap_or_default();
        while let Some(piece) = response.chunk().await.map_err(broke_off)? {
            if body.len() + piece.len() > max_bytes {
                return Err(Error::protocol(format!(
                    "the answer is longer than {max_bytes} bytes"
                )));
            }
            let mut whole = BytesMut::from(body);
            whole.extend_from_slice(&piece);
            body = whole.freeze();
        }
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// The body as JSON, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether the body holds a text, in any case of its letters. Meant for short markers.
    pub fn mentions(&self, text: &str) -> bool {
        self.body
            .windows(text.len())
            .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    }

    /// The service's own words on one line: the message of a JSON body, else the start of the text;
    /// what looks like a value is hidden but for `names`.
    pub fn words(&self, names: &[&str]) -> String {
        let json = self.json();
        let message = json.as_ref().and_then(message).unwrap_or_else(|| {
            let html = self
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
            if html {
                "a web page".to_owned()
            } else {
                let start = &self.body[..self.body.len().min(4 * SHOWN_CHARACTERS)];
                String::from_utf8_lossy(start).into_owned()
            }
        });
        let shown = redact::words(&message, names, SHOWN_CHARACTERS);
        if shown.is_empty() {
            "no text".to_owned()
        } else {
            shown
        }
    }

    /// The status and the service's words as an error's cause.
    pub fn cause(&self, names: &[&str]) -> Error {
        Error::protocol(format!(
            "the service answered {}: {}",
            self.status,
            self.words(names)
        ))
    }

    /// How long the server wants to be left alone: `Retry-After` in seconds or as a date. A date is
    /// measured by the server's own clock if it sent one.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<f64>() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        let until = http_date(text)?;
        let now = self
            .headers
            .get(DATE)
            .and_then(|date| http_date(date.to_str().ok()?))
            .unwrap_or_else(SystemTime::now);
        Some(until.duration_since(now).unwrap_or_default())
    }
}

fn http_date(text: &str) -> Option<SystemTime> {
    chrono::DateTime::parse_from_rfc2822(text)
        .ok()
        .map(SystemTime::from)
}

/// The message in an error body, under any of the usual names.
fn message(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items.iter().find_map(message),
        Value::Object(object) => {
            let parts: Vec<String> = [
                "code",
                "message",
                "error",
                "reason",
                "description",
                "detail",
                "errors",
            ]
            .iter()
            .filter_map(|name| object.get(*name).and_then(message))
            .collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
        Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: headers
                .iter()
                .map(|(name, value)| {
                    (
                        reqwest::header::HeaderName::from_static(name),
                        reqwest::header::HeaderValue::from_static(value),
                    )
                })
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let after = |headers: &[(&'static str, &'static str)]| answer(headers, "").retry_after();
        assert_eq!(after(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            after(&[("retry-after", "0.5")]),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            after(&[
                ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"),
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            ]),
            Some(Duration::from_secs(30))
        );
        // In the past by this machine's clock.
        assert_eq!(
            after(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]),
            Some(Duration::ZERO)
        );
        for wrong in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(after(&[("retry-after", wrong)]), None);
        }
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn the_words_are_found_whatever_the_shape_of_the_body() {
        for (body, wanted) in [
            (
                r#"{"message":"no such field \"seats\""}"#,
                "no such field \"seats\"",
            ),
            (
                r#"{"error":{"code":"quota","message":"slow down"}}"#,
                "quota: slow down",
            ),
            (r#"{"errors":[{"reason":"bad"}]}"#, "bad"),
            ("plain text", "plain text"),
            (r#"{"other":1}"#, r#"{"***":1}"#),
            ("", "no text"),
        ] {
            assert_eq!(answer(&[], body).words(&["seats"]), wanted);
        }
        let page = answer(
            &[("content-type", "text/html; charset=utf-8")],
            "<html>x</html>",
        );
        assert_eq!(page.words(&[]), "a web page");
    }

    #[test]
    fn markers_are_found_in_any_case() {
        assert!(answer(&[], "{\"reason\":\"RateLimitExceeded\"}").mentions("rateLimitExceeded"));
        assert!(!answer(&[], "short").mentions("rateLimitExceeded"));
    }
}
