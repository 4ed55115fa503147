//! Tokens: JWTs with an end, those of service users that have none, and where people get theirs. Facts:
//! sections 1.2 and 1.3.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::answer::ApiError;
use super::content::scramble;
use super::store::fingerprint;
use crate::bigquery::base64;

/// The id of the one person.
pub(super) const USER: &str = "u-1";
/// How the person signs in.
pub(super) const EMAIL: &str = "lab@example.com";
/// The password of the person.
pub(super) const PASSWORD: &str = "sandbox-password";

/// The tokens that are good.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The end of each, in seconds since 1970; none for service users.
    ends: BTreeMap<String, Option<i64>>,
    issued: u64,
}

impl Tokens {
    pub(super) fn reset(&self, first: &[String]) {
        let mut known = self.lock();
        *known = Known::default();
        known.ends = first.iter().map(|token| (token.clone(), None)).collect();
    }

    /// Makes a token that is good for so many seconds, or for ever.
    pub(super) fn issue(&self, now_ms: i64, seconds: Option<i64>) -> String {
        let mut known = self.lock();
        known.issued += 1;
        let number = known.issued;
        let now = now_ms.div_euclid(1000);
        let end = seconds.map(|seconds| now + seconds);
        let mut claims = json!({"sub": USER, "iat": now, "jti": number});
        if let Some(end) = end {
            claims["exp"] = json!(end);
        }
        let head = url_safe(&json!({"alg": "HS256", "typ": "JWT"}).to_string());
        let claims = url_safe(&claims.to_string());
        let noise = scramble(fingerprint(&claims));
        let signature = url_safe(&format!("{noise:016x}{:016x}", scramble(noise)));
        let token = format!("{head}.{claims}.{signature}");
        known.ends.insert(token.clone(), end);
        token
    }

    /// Ends all tokens; returns how many there were.
    pub(super) fn end_all(&self) -> usize {
        let mut known = self.lock();
        std::mem::take(&mut known.ends).len()
    }

    pub(super) fn add(&self, token: &str) {
        self.lock().ends.insert(token.to_owned(), None);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().ends.len()
    }

    /// Looks at the token of a request.
    pub(super) fn check(&self, headers: &HeaderMap, now_ms: i64) -> Result<(), ApiError> {
        let invalid = || ApiError::new(401, "Invalid token");
        let token = token_of(headers).ok_or_else(invalid)?;
        match self.lock().ends.get(token) {
            None => Err(invalid()),
            Some(Some(end)) if now_ms.div_euclid(1000) >= *end => {
                Err(ApiError::new(401, "Token expired"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Ends the token that a request carries.
    pub(super) fn end_of(&self, headers: &HeaderMap) {
        if let Some(token) = token_of(headers) {
            self.lock().ends.remove(token);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("ts-auth-token").or_else(|| text(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer "))
}

/// How long a new token of a person is to be good, in seconds.
pub(super) fn wanted_seconds(body: &Value) -> Result<i64, ApiError> {
    let is_hours = body["tokenExpiryUnit"]
        .as_str()
        .is_none_or(|unit| unit == "hours");
    let hours = match &body["tokenExpiry"] {
        Value::Null => Some(24),
        other => other.as_i64(),
    };
    match hours.filter(|_| is_hours) {
        Some(hours @ (4 | 8 | 12 | 24)) => Ok(hours * 3600),
        _ => Err(ApiError::new(
            400,
            "tokenExpiry must be one of 4, 8, 12, 24 hours",
        )),
    }
}

fn url_safe(text: &str) -> String {
    base64::encode(text.as_bytes())
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}
