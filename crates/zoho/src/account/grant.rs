//! What an accounts server answers to a request for a token. Its errors come with status 200, too.

use std::time::Duration;

use serde_json::Value;
use singer_core::{Error, Secret};
use singer_net::{Answer, StatusCode};

use crate::DataCenter;

/// How long a token is good if the answer does not say.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// A life of more than a day can only be meant in milliseconds.
const LONGEST_LIFE_SECONDS: f64 = 86_400.0;

/// A token as it was given.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Secret,
    pub(super) life: Duration,
    /// The host of the products' APIs, if it is one of Zoho's.
    pub(super) api_domain: Option<String>,
}

/// What an answer means.
#[derive(Debug)]
pub(super) enum Judged {
    /// A token.
    Granted(Grant),
    /// Too many tokens were asked for.
    Throttled,
    /// Unspecified trouble on the other side.
    General,
    /// Refused for good, with the error's code.
    Dead(String),
    /// The server is broken for the moment.
    Broken(Error),
    /// Not an answer of an accounts server.
    Malformed(Error),
}

/// Reads an answer. Of what it says only the code is kept: the rest may repeat what was sent.
pub(super) fn judge(answer: &Answer) -> Judged {
    let json = answer.json().unwrap_or_default();
    if answer.status == StatusCode::OK
        && let Some(token) = json.get("access_token").and_then(Value::as_str)
    {
        return granted(token, &json);
    }
    let error = json.get("error").and_then(Value::as_str);
    if is_throttle(&json, error) || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Judged::Throttled;
    }
    let status = answer.status;
    if status.is_server_error() {
        return Judged::Broken(Error::transient(format!("it answered {status}")));
    }
    match error {
        Some("general_error") => Judged::General,
        Some(code) => Judged::Dead(shown(code)),
        None => Judged::Malformed(
            Error::protocol(format!(
                "it answered {status} with {}, and no token",
                shape(answer, &json)
            ))
            .with_hint(
                "if `accounts_url` is set, look whether an accounts server of Zoho answers there",
            ),
        ),
    }
}

fn granted(token: &str, json: &Value) -> Judged {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Judged::Malformed(Error::protocol(
            "its token is empty, or has characters that no header takes",
        ));
    }
    let api_domain = json.get("api_domain").and_then(Value::as_str);
    Judged::Granted(Grant {
        token: Secret::new(token),
        life: life(json),
        api_domain: api_domain
            .filter(|domain| DataCenter::of_api_domain(domain).is_some())
            .map(str::to_owned),
    })
}

/// `expires_in_sec` if it is there, else `expires_in`, which old tenants give in milliseconds.
fn life(json: &Value) -> Duration {
    let number = |name: &str| {
        let value = json.get(name)?;
        let number = (value.as_f64()).or_else(|| value.as_str()?.trim().parse().ok())?;
        (number.is_finite() && number > 0.0).then_some(number)
    };
    let Some(number) = number("expires_in_sec").or_else(|| number("expires_in")) else {
        return USUAL_LIFE;
    };
    let seconds = if number > LONGEST_LIFE_SECONDS {
        (number / 1000.0).min(LONGEST_LIFE_SECONDS)
    } else {
        number
    };
    Duration::from_secs_f64(seconds)
}

/// The throttle's text is in the account's language, and its status differs: these two words do not.
fn is_throttle(json: &Value, error: Option<&str>) -> bool {
    let status = json.get("status").and_then(Value::as_str);
    let is_failure = status.is_some_and(|status| status.eq_ignore_ascii_case("failure"));
    error.is_some_and(|error| {
        error == "access_denied"
            || (is_failure && error.trim().eq_ignore_ascii_case("access denied"))
    })
}

/// A code of an error; nothing that could be a secret looks like one.
fn shown(code: &str) -> String {
    let is_code = code.len() <= 40
        && code
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b' '));
    if is_code {
        code.to_owned()
    } else {
        "an error of an unknown form".to_owned()
    }
}

fn shape(answer: &Answer, json: &Value) -> &'static str {
    match json {
        Value::Object(_) => "an object",
        Value::Null if answer.body.trim_ascii_start().starts_with(b"<") => "a web page",
        Value::Null if answer.body.is_empty() => "nothing",
        _ => "something else",
    }
}
