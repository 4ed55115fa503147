//! Requests to token endpoints: each to its own host over https, tried again only if that may help.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use singer_core::{Error, Kind, Result, Secret};
use singer_net::{
    Answer, Attempt, Base, Bytes, Client, HttpConfig, Request, Retry, StatusCode, Url, redact,
};

use crate::base64;

/// No attempt for a token begins later than this after the first.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a token is good if the service does not say.
const USUAL_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// Words of Google's own in quotes that may be shown.
const KNOWN_WORDS: [&str; 3] = [
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.signBlob",
    "serviceusage.services.use",
];

/// A token as a service gave it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Secret,
    /// How long it is good; `None` if nobody knows.
    pub(super) lifetime: Option<TimeDelta>,
}

/// How requests for tokens are made.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) http: HttpConfig,
    pub(super) user_agent: String,
    /// Whether a token endpoint may be spoken to without encryption, as the service itself is local.
    pub(super) endpoint_is_local: bool,
}

impl Net {
    /// The URL of an endpoint that is sent secrets.
    pub(super) fn endpoint(&self, name: &str, place: &str, text: &str) -> Result<Url> {
        self.url(name, place, text, |base| {
            base.is_https() || base.is_loopback() || self.endpoint_is_local
        })
    }

    /// The URL of an identity provider, which may also be the metadata server of another cloud.
    pub(super) fn provider(&self, name: &str, place: &str, text: &str) -> Result<Url> {
        self.url(name, place, text, |base| {
            base.is_https() || base.is_loopback() || base.is_link_local() || self.endpoint_is_local
        })
    }

    fn url(
        &self,
        name: &str,
        place: &str,
        text: &str,
        is_safe: impl FnOnce(&Base) -> bool,
    ) -> Result<Url> {
        let wrong = |what: &str| Error::config(format!("the `{name}` of {place} {what}"));
        let url = Url::parse(text).map_err(|error| wrong("is no URL").with_source(error))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err(wrong("has a user name or password in it"));
        }
        let is_safe = origin(&url).is_ok_and(|base| is_safe(&base));
        if is_safe {
            return Ok(url);
        }
        Err(wrong("does not begin with https://")
            .with_hint("tokens are asked for over https, or on this machine itself"))
    }

    /// Posts a form, whose values are secrets; `login` is the name and password of a client.
    pub(super) async fn post_form(
        &self,
        what: &str,
        url: &Url,
        fields: &[(&str, &str)],
        login: Option<(&str, &Secret)>,
    ) -> Result<Answer> {
        let mut form = url.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(fields);
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        let mut request = Request::post(url.clone(), "application/x-www-form-urlencoded", body);
        if let Some((name, password)) = login {
            let pair = format!("{name}:{}", password.expose());
            let value = Secret::new(format!("Basic {}", base64::encode(pair.as_bytes())));
            request = request.secret_header("authorization", &value)?;
        }
        self.call(what, request).await
    }

    /// Posts JSON with a bearer token.
    pub(super) async fn post_json(
        &self,
        what: &str,
        url: &Url,
        body: &Value,
        bearer: &Secret,
    ) -> Result<Answer> {
        let value = Secret::new(format!("Bearer {}", bearer.expose()));
        let request = Request::post_json(url.clone(), Bytes::from(body.to_string()))
            .secret_header("authorization", &value)?;
        self.call(what, request).await
    }

    /// Sends a request until there is a good answer, or none is to be had.
    pub(super) async fn call(&self, what: &str, request: Request) -> Result<Answer> {
        let client = self.client(request.url())?;
        let retry = Retry {
            patience: PATIENCE,
            ..Retry::attempts(self.http.attempts)
        };
        retry
            .run(what, |_| async {
                judge(what, client.send(request.clone()).await)
            })
            .await
    }

    /// The same without a proxy.
    pub(super) fn direct(&self) -> Self {
        let mut net = self.clone();
        net.http.proxy = None;
        net
    }

    /// A client for the host of a URL, and for no other. Tokens are asked for once an hour, so it is
    /// not kept.
    pub(super) fn client(&self, url: &Url) -> Result<Client> {
        let base = origin(url)?;
        let mut http = self.http.clone();
        if base.is_link_local() {
            http.proxy = None;
        }
        Client::new(base, &http, &self.user_agent)
    }
}

/// The host of a URL as the base of a client.
fn origin(url: &Url) -> Result<Base> {
    Base::parse("url", &url.origin().ascii_serialization())
}

/// What an answer of a token endpoint means.
fn judge(what: &str, answer: Result<Answer>) -> Attempt<Answer> {
    let answer = match answer {
        Ok(answer) if answer.status.is_success() => return Attempt::Done(answer),
        Ok(answer) => answer,
        Err(error) => {
            let kind = error.kind();
            let error = Error::new(kind, what).with_source(error);
            return match kind {
                Kind::Transient => Attempt::again(error),
                _ => Attempt::Fail(error),
            };
        }
    };
    let refusal = Refusal::of(&answer);
    let kind = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Kind::RateLimited,
        StatusCode::REQUEST_TIMEOUT => Kind::Transient,
        status if status.is_server_error() => Kind::Transient,
        _ if refusal.may_pass() => Kind::Transient,
        status if status.is_client_error() => Kind::Auth,
        _ => Kind::Protocol,
    };
    let error = Error::new(kind, what).with_source(refusal.cause(answer.status));
    match kind {
        Kind::RateLimited | Kind::Transient => Attempt::Retry {
            error,
            after: answer.retry_after(),
        },
        Kind::Auth => Attempt::Fail(match refusal.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }),
        _ => Attempt::Fail(error),
    }
}

/// Why an endpoint gave no token: a code and words, of OAuth or of Google's own error body.
struct Refusal {
    code: Option<String>,
    words: String,
    /// The words before anything was hidden, for finding a hint; never shown.
    whole: String,
}

impl Refusal {
    fn of(answer: &Answer) -> Self {
        let json = answer.json().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (code, words) = match &json["error"] {
            Value::Object(error) => (
                error.get("status").and_then(text),
                error.get("message").and_then(text),
            ),
            code => (text(code), text(&json["error_description"])),
        };
        let subtype = text(&json["error_subtype"]).unwrap_or_default();
        Self {
            code: code.filter(|code| is_code(code)),
            words: match &words {
                Some(words) => redact::words(words, &KNOWN_WORDS, 300),
                None if json.is_null() => answer.words(&[]),
                None => String::new(),
            },
            whole: format!("{} {subtype}", words.unwrap_or_default()).to_lowercase(),
        }
    }

    /// Whether the service calls its own failure a client error.
    fn may_pass(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some("internal_failure" | "server_error" | "temporarily_unavailable")
        )
    }

    fn cause(&self, status: StatusCode) -> Error {
        let mut text = format!("the service answered {status}");
        for part in [self.code.as_deref().unwrap_or_default(), &self.words] {
            if !part.is_empty() {
                text.push_str(": ");
                text.push_str(part);
            }
        }
        Error::protocol(text)
    }

    fn hint(&self) -> Option<&'static str> {
        let says = |texts: &[&str]| texts.iter().any(|text| self.whole.contains(text));
        let hint = match self.code.as_deref()? {
            "invalid_grant" if says(&["iat", "timeframe", "short-lived"]) => {
                "the clock of this machine differs from the service's: have it set by NTP"
            }
            "invalid_grant" if says(&["signature"]) => {
                "the key was deleted or belongs to another service account: create a new key file"
            }
            "invalid_grant" if says(&["account not found", "account_not_found"]) => {
                "the service account was deleted or disabled, or belongs to another project"
            }
            "invalid_grant" if says(&["expired or revoked", "rapt", "reauth"]) => {
                "the login has ended: log in again with `gcloud auth application-default login`"
            }
            "invalid_grant" => {
                "the key or login was deleted, disabled or revoked, or the clock of this machine is wrong"
            }
            "invalid_client" | "deleted_client" | "unauthorized_client" => {
                "the OAuth client was deleted, or its secret changed: make the credentials anew"
            }
            "invalid_target" => "`audience` names no workload identity provider that exists",
            "PERMISSION_DENIED" | "NOT_FOUND" => {
                "impersonation needs the role Service Account Token Creator on the service account, \
                 which must exist, and the IAM Service Account Credentials API"
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Whether a text is the name of an error, and not something that must not be shown.
fn is_code(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// The token in an answer of OAuth: `access_token`, `expires_in`.
pub(super) fn oauth_grant(what: &str, answer: &Answer) -> Result<Grant> {
    let json = answer.json().unwrap_or_default();
    let seconds = match &json["expires_in"] {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let lifetime = seconds.and_then(TimeDelta::try_seconds);
    grant(what, &json["access_token"], "access_token", lifetime)
}

/// The token in an answer of the IAM Credentials API: `accessToken`, `expireTime`. The time is the
/// service's, so it is believed only between a minute and what was asked for.
pub(super) fn iam_grant(
    what: &str,
    answer: &Answer,
    asked: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Grant> {
    let json = answer.json().unwrap_or_default();
    let end = json["expireTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let lifetime = end.map_or(asked, |end| {
        (end.to_utc() - now).clamp(TimeDelta::minutes(1).min(asked), asked)
    });
    grant(what, &json["accessToken"], "accessToken", Some(lifetime))
}

fn grant(what: &str, token: &Value, name: &str, lifetime: Option<TimeDelta>) -> Result<Grant> {
    let lacking = || {
        Error::protocol(what).with_source(Error::protocol(format!(
            "the service's answer has no `{name}`"
        )))
    };
    let token = token.as_str().filter(|token| is_token(token));
    Ok(Grant {
        token: Secret::new(token.ok_or_else(lacking)?),
        lifetime: Some(lifetime.unwrap_or(USUAL_LIFETIME)),
    })
}

/// Whether a text can stand in a header as a token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
