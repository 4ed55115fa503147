//! A notice by HTTP: a POST of its JSON form.
//!
//! With a `secret`, two headers prove who sent it and when:
//!
//! ```text
//! X-Antiphon-Timestamp: 1767225600
//! X-Antiphon-Signature: sha256=<hex of HMAC-SHA256(secret, "1767225600." + body)>
//! ```
//!
//! A receiver computes the same over the timestamp, a point and the body just as it came, compares in constant
//! time, and refuses a timestamp that is older than some minutes: so nobody can send a caught notice again.
//!
//! ```text
//! $ printf '%s.%s' "$timestamp" "$body" | openssl dgst -sha256 -hmac "$secret"
//! ```

use std::time::Duration;

use bytes::Bytes;
use ring::hmac;
use singer_core::{Error, Kind, Result, Secret, SecretSource};
use singer_net::{Answer, Attempt, Backoff, Base, Client, HttpConfig, Request, Retry, Url};

use super::notice::Notice;
use super::sns::hex;
use crate::session::Session;
use crate::spec::{Channel, Notifier};

const TIMESTAMP: &str = "X-Antiphon-Timestamp";
const SIGNATURE: &str = "X-Antiphon-Signature";

/// What a request is made of; each attempt signs anew.
struct Post {
    client: Client,
    url: Url,
    headers: Vec<(String, Secret)>,
    secret: Option<Secret>,
    body: Bytes,
}

/// Posts a notice.
pub(super) async fn send(session: &Session, notifier: &Notifier, notice: &Notice) -> Result<()> {
    let Channel::Webhook {
        url,
        headers,
        secret,
        proxy,
        ca_file,
    } = &notifier.channel
    else {
        return Err(Error::internal("this is no notifier of type `webhook`"));
    };
    let context = &session.context;
    let url = context.secret(url).await?;
    let url = Url::parse(url.expose().trim())
        .map_err(|error| Error::config("`url` of the notifier is no URL").with_source(error))?;
    let mut own = Vec::new();
    for (name, value) in headers {
        own.push((name.clone(), context.secret(value).await?));
    }
    let secret = resolve(session, secret.as_ref()).await?;
    let proxy = resolve(session, proxy.as_ref()).await?;
    let config = HttpConfig {
        attempts: 1,
        request_timeout_seconds: notifier.timeout.as_secs_f64(),
        proxy,
        ca_file: ca_file.as_ref().map(|file| file.display().to_string()),
    };
    // The path of a webhook is often as good as a password, so that the base is the host alone.
    let base = Base::parse("url", &url.origin().ascii_serialization())?;
    let post = Post {
        client: Client::new(base, &config, context.user_agent())?,
        url,
        headers: own,
        secret,
        body: Bytes::from(notice.json().to_string()),
    };
    let clock = session.clock();
    patience(notifier)
        .run(&notifier.name, |_| post.attempt(clock.now().timestamp()))
        .await
}

impl Post {
    async fn attempt(&self, now: i64) -> Attempt<()> {
        let request = match self.request(now) {
            Ok(request) => request,
            Err(error) => return Attempt::Fail(error),
        };
        match self.client.send(request).await {
            Ok(answer) => judge(&answer),
            Err(error) if error.kind() == Kind::Transient => Attempt::again(error),
            Err(error) => Attempt::Fail(error),
        }
    }

    fn request(&self, now: i64) -> Result<Request> {
        let mut request = Request::post_json(self.url.clone(), self.body.clone()).hide_path();
        for (name, value) in &self.headers {
            request = request.secret_header(name, value)?;
        }
        if let Some(secret) = &self.secret {
            let timestamp = now.to_string();
            let signature = sign(secret, &timestamp, &self.body);
            request = request
                .text_header(TIMESTAMP, &timestamp)?
                .text_header(SIGNATURE, &signature)?;
        }
        Ok(request)
    }
}

/// `sha256=` and the HMAC of the timestamp, a point, the body.
fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    format!("sha256={}", hex(context.sign().as_ref()))
}

fn judge(answer: &Answer) -> Attempt<()> {
    let status = answer.status;
    let error = |kind, what: &str| Error::new(kind, what).with_source(answer.cause(&[]));
    match status.as_u16() {
        200..=299 => Attempt::Done(()),
        408 | 429 | 500..=599 => Attempt::Retry {
            error: error(Kind::Transient, "the webhook does not take the notice now"),
            after: answer.retry_after(),
        },
        300..=399 => Attempt::Fail(
            error(Kind::Config, "the webhook is elsewhere")
                .with_hint("no redirect is followed: set `url` to where it leads"),
        ),
        401 | 403 => Attempt::Fail(
            error(Kind::Auth, "the webhook does not let us in")
                .with_hint("look at `url` and `headers` of the notifier"),
        ),
        404 | 410 => Attempt::Fail(
            error(Kind::Config, "there is no webhook at `url` of the notifier")
                .with_hint("it may have been removed: make a new one"),
        ),
        _ => Attempt::Fail(error(Kind::Rejected, "the webhook refuses the notice")),
    }
}

/// The text of a secret that a notifier may have.
pub(super) async fn resolve(
    session: &Session,
    source: Option<&SecretSource>,
) -> Result<Option<Secret>> {
    match source {
        Some(source) => Ok(Some(session.context.secret(source).await?)),
        None => Ok(None),
    }
}

/// How long something is tried: as long as the notifier may take.
pub(super) fn patience(notifier: &Notifier) -> Retry {
    Retry {
        attempts: u32::MAX,
        patience: notifier.timeout,
        backoff: Backoff {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(5),
        },
    }
}

#[cfg(test)]
mod tests;
