//! The token: read from where the config says, again when the platform refuses it, and looked into for the time at
//! which it ends. Its signature is the platform's business.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use serde_json::Value;
use singer_core::{Error, Result, Secret, SecretSource};
use singer_runtime::context::Context;
use tokio::sync::RwLock;

/// A token that ends sooner is told of when it is read, as a run may well take so long.
const SHORT_SECONDS: i64 = 3600;

/// A token that ends sooner is told of while the run goes on.
const LAST_SECONDS: i64 = 600;

/// The token as it is now.
#[derive(Debug)]
pub(crate) struct Token {
    source: SecretSource,
    context: Context,
    current: RwLock<Secret>,
    is_told: AtomicBool,
}

impl Token {
    /// Reads the token.
    ///
    /// # Errors
    /// Of kind `Config` if it cannot be read.
    pub(crate) async fn read(source: &SecretSource, context: &Context) -> Result<Self> {
        let secret = context.secret(source).await?;
        if secret.expose().trim().is_empty() {
            return Err(Error::config("`auth_token` is empty"));
        }
        let token = Self {
            source: source.clone(),
            context: context.clone(),
            current: RwLock::new(secret.clone()),
            is_told: AtomicBool::new(false),
        };
        token.look_ahead(&secret, SHORT_SECONDS);
        Ok(token)
    }

    /// The token, with a word in the log if it ends within minutes.
    pub(crate) async fn current(&self) -> Secret {
        let secret = self.current.read().await.clone();
        if !self.is_told.load(Ordering::Relaxed) {
            self.look_ahead(&secret, LAST_SECONDS);
        }
        secret
    }

    /// Reads the token again after this one was refused; false if there is no other.
    pub(crate) async fn renew(&self, refused: &Secret) -> bool {
        let mut current = self.current.write().await;
        if *current != *refused {
            // Another request has been here meanwhile.
            return true;
        }
        match self.context.secret(&self.source).await {
            Ok(fresh) if fresh != *refused => {
                tracing::info!("the token has changed where it comes from; trying the new one");
                self.is_told.store(false, Ordering::Relaxed);
                self.look_ahead(&fresh, SHORT_SECONDS);
                *current = fresh;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(%error, "the token cannot be read again");
                false
            }
        }
    }

    /// When the token ended, if it says so and is over.
    pub(crate) fn ended(&self, secret: &Secret) -> Option<DateTime<Utc>> {
        ends_at(secret.expose()).filter(|end| *end <= self.context.now())
    }

    fn look_ahead(&self, secret: &Secret, seconds: i64) {
        let Some(end) = ends_at(secret.expose()) else {
            return;
        };
        let left = (end - self.context.now()).num_seconds();
        if left > seconds {
            return;
        }
        self.is_told.store(true, Ordering::Relaxed);
        if left <= 0 {
            tracing::warn!(ended = %end, "the token is over");
        } else {
            tracing::warn!(
                ends = %end,
                seconds_left = left,
                "the token may end within the run; it is read again once it is refused"
            );
        }
    }
}

/// The end of a token that is a JWT and has one.
fn ends_at(token: &str) -> Option<DateTime<Utc>> {
    let mut parts = token.trim().split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let claims: Value = serde_json::from_slice(&base64url(payload)?).ok()?;
    let seconds = match claims.get("exp")? {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|end| end as i64))?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    DateTime::from_timestamp(seconds, 0)
}

fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_token_is_seen_without_its_signature() {
        // {"alg":"none"} . {"exp":1714521600}
        let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjE3MTQ1MjE2MDB9.c2ln";
        let end = ends_at(token).unwrap();
        assert_eq!(end.to_rfc3339(), "2024-05-01T00:00:00+00:00");
        for other in [
            "",
            "abc",
            "a.b.c",
            "a.!!.c",
            "eyJhbGciOiJub25lIn0.e30.x",
            "a.b.c.d",
        ] {
            assert_eq!(ends_at(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_token_is_read_again_only_where_it_changed() {
        let path = std::env::temp_dir().join(format!("tetra-token-{}", std::process::id()));
        std::fs::write(&path, "one\n").unwrap();
        let source = SecretSource::File(path.display().to_string());
        let token = Token::read(&source, &Context::for_tests("tap"))
            .await
            .unwrap();
        let one = token.current().await;
        assert!(!token.renew(&one).await);
        std::fs::write(&path, "two\n").unwrap();
        assert!(token.renew(&one).await);
        assert_eq!(token.current().await.expose(), "two");
        assert!(token.renew(&one).await, "it was renewed by another request");
        std::fs::remove_file(&path).unwrap();
    }
}
