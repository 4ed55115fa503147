//! What BigQuery refuses, by status, reason and its own words, and what follows from each.

use std::fmt;

use serde_json::Value;
use singer_core::{Error, Kind as ErrorKind};
use singer_net::{Answer, redact};

/// How much of BigQuery's words is kept.
const SHOWN_CHARACTERS: usize = 400;

/// A refusal: the request was understood and not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status; 0 for what a job says.
    pub status: u16,
    /// The reason, such as `notFound`; `unknown` if the answer names none.
    pub reason: String,
    /// BigQuery's words, without what could be a row's value.
    pub message: String,
}

/// Why a request led to nothing.
#[derive(Debug)]
pub enum Fault {
    /// It was refused.
    Refused(Refused),
    /// There was no answer, or none that can be used.
    Other(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Fault {
    /// The error that a run shows.
    pub fn error(self, what: &str) -> Error {
        match self {
            Self::Refused(refused) => refused.error(what),
            Self::Other(error) => error,
        }
    }

    /// Whether it is a refusal for this reason.
    pub fn is(&self, reason: &str) -> bool {
        matches!(self, Self::Refused(refused) if refused.reason == reason)
    }
}

impl Refused {
    /// Reads an answer that is no success. A body without the usual shape counts by its status.
    pub fn of(answer: &Answer) -> Self {
        let json = answer.json();
        let error = json.as_ref().and_then(|json| json.get("error"));
        let first = error
            .and_then(|error| error.get("errors"))
            .and_then(|errors| errors.get(0));
        let text = |value: Option<&Value>, key: &str| -> Option<String> {
            Some(value?.get(key)?.as_str()?.to_owned())
        };
        let reason = text(first, "reason").unwrap_or_else(|| {
            match (answer.status.as_u16(), text(error, "status").as_deref()) {
                (_, Some("NOT_FOUND")) | (404, _) => "notFound",
                (_, Some("ALREADY_EXISTS")) | (409, _) => "duplicate",
                (_, Some("PERMISSION_DENIED")) | (403, _) => "accessDenied",
                (429, _) => "rateLimitExceeded",
                (412, _) => "conditionNotMet",
                (400, _) => "invalid",
                (501, _) => "notImplemented",
                (502..=504, _) => "backendError",
                (500.., _) => "internalError",
                _ => "unknown",
            }
            .to_owned()
        });
        Self {
            status: answer.status.as_u16(),
            reason,
            message: match text(error, "message").or_else(|| text(first, "message")) {
                Some(message) => shown(&message),
                None => answer.words(&[]),
            },
        }
    }

    /// What a job says of itself.
    pub fn of_job(proto: &Value) -> Self {
        let text = |key: &str| proto.get(key).and_then(Value::as_str).unwrap_or_default();
        Self {
            status: 0,
            reason: match text("reason") {
                "" => "unknown".to_owned(),
                reason => reason.to_owned(),
            },
            message: shown(text("message")),
        }
    }

    /// A daily quota, or another that no short wait helps against.
    pub fn is_quota(&self) -> bool {
        self.reason == "quotaExceeded"
    }

    /// A limit that passes within seconds.
    pub fn is_throttle(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "rateLimitExceeded" | "jobRateLimitExceeded" | "userRateLimitExceeded"
        ) || self.status == 429
            || (self.reason == "invalidQuery" && self.says("exceeded rate limits"))
    }

    /// A fault of the service that may pass.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "backendError"
                | "internalError"
                | "badGateway"
                | "jobBackendError"
                | "jobInternalError"
                | "tableUnavailable"
        ) || (self.status >= 500 && self.status != 501)
            || self.status == 408
    }

    /// Statements that met others on the same rows.
    pub fn is_conflict(&self) -> bool {
        self.says("could not serialize access")
            || self.says("due to concurrent update")
            || self.says("retrying the job may solve")
            || self.says("too many dml statements outstanding")
    }

    /// Statements that would touch rows which insertAll keeps in its buffer.
    pub fn is_streaming_buffer(&self) -> bool {
        self.says("streaming buffer")
    }

    /// Whether the project has no billing, which insertAll calls a denial.
    pub fn is_billing(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "billingNotEnabled" | "billingTierLimitExceeded"
        ) || (self.reason == "accessDenied" && self.says("free tier"))
    }

    /// Whether the words hold a text, in any case of its letters.
    pub fn says(&self, text: &str) -> bool {
        self.message.to_ascii_lowercase().contains(text)
    }

    /// The error that a run shows, with what a person can do.
    pub fn error(&self, what: &str) -> Error {
        let kind = if self.status == 401 || self.reason == "authError" {
            ErrorKind::Auth
        } else if self.is_quota() || self.is_throttle() {
            ErrorKind::RateLimited
        } else if self.is_transient() || self.is_conflict() {
            ErrorKind::Transient
        } else {
            ErrorKind::Rejected
        };
        let error = Error::new(kind, what).with_source(self.clone());
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self.reason.as_str() {
            _ if self.is_billing() => {
                "rows are written by statements and streams, which need a project with billing"
            }
            "accessDenied" => {
                "the credentials lack a permission: `--check` names it, and the role that grants it"
            }
            "quotaExceeded" => {
                "a quota of the project is used up; it refills over the day: run again later, the state is kept"
            }
            "notFound" if self.says("dataset") => {
                "is `location` that of the data set, and `create_dataset` on?"
            }
            _ => return None,
        })
    }
}

/// What BigQuery says ahead of a row's value that has no quotes around it.
const AHEAD_OF_VALUES: [&str; 2] = ["value:", "value):"];

/// BigQuery quotes names in its words, which people need, and values, which nobody is to see. Names of
/// tables have dots or colons in them, and stand in backticks or in no quotes; anything else in quotes is
/// hidden, and what comes behind `Value:`.
fn shown(message: &str) -> String {
    let lower = message.to_ascii_lowercase();
    let value = AHEAD_OF_VALUES
        .iter()
        .filter_map(|ahead| Some(lower.find(ahead)? + ahead.len()))
        .min();
    let (message, is_cut) = match value.and_then(|end| message.get(..end)) {
        Some(start) => (start, true),
        None => (message, false),
    };
    let unquoted = unquoted(message);
    let names: Vec<&str> = unquoted
        .split(|c: char| c.is_whitespace() || matches!(c, '`' | ',' | ';' | '(' | ')'))
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| !word.contains('@') && word.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .filter(|word| word.contains(['.', ':', '_']))
        .collect();
    let mut words = redact::words(message, &names, SHOWN_CHARACTERS);
    if is_cut {
        words.push(' ');
        words.push_str(redact::HIDDEN);
    }
    words
}

/// A text without what stands in single or double quotes.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(at);
        out.push_str(before);
        out.push(' ');
        let mark = quoted.chars().next().unwrap_or_default();
        let inside = quoted.get(1..).unwrap_or_default();
        rest = match inside.split_once(mark) {
            Some((_, after)) => after,
            None => inside,
        };
    }
    out.push_str(rest);
    out
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.status > 0 {
            write!(
                f,
                "BigQuery answered {} {}: {}",
                self.status, self.reason, self.message
            )
        } else {
            write!(f, "BigQuery says {}: {}", self.reason, self.message)
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_job(reason: &str, message: &str) -> Refused {
        Refused::of_job(&json!({"reason": reason, "message": message}))
    }

    #[test]
    fn what_passes_and_what_does_not_is_told_apart() {
        assert!(of_job("backendError", "").is_transient());
        assert!(of_job("rateLimitExceeded", "").is_throttle());
        assert!(
            of_job(
                "invalidQuery",
                "Exceeded rate limits: too many table update operations"
            )
            .is_throttle()
        );
        assert!(of_job("quotaExceeded", "").is_quota());
        assert!(
            of_job(
                "invalidQuery",
                "Could not serialize access to table p:d.t due to concurrent update"
            )
            .is_conflict()
        );
        let conflict = of_job("jobInternalError", "Retrying the job may solve the problem");
        assert!(conflict.is_conflict());
        for reason in [
            "invalid",
            "invalidQuery",
            "accessDenied",
            "notFound",
            "billingNotEnabled",
        ] {
            let refused = of_job(reason, "no");
            assert!(!refused.is_transient() && !refused.is_throttle() && !refused.is_conflict());
        }
    }

    #[test]
    fn the_kind_of_an_error_says_what_happens_next() {
        let kind = |reason: &str| of_job(reason, "").error("it").kind();
        assert_eq!(kind("quotaExceeded"), ErrorKind::RateLimited);
        assert_eq!(kind("backendError"), ErrorKind::Transient);
        assert_eq!(kind("accessDenied"), ErrorKind::Rejected);
        assert_eq!(kind("invalid"), ErrorKind::Rejected);
    }

    #[test]
    fn names_stay_in_the_words_and_values_do_not() {
        let words = of_job(
            "invalid",
            "Error in `p.d.my_table`: field org_id: Could not convert value \"ana@example.org\" of 'secret words'",
        );
        assert!(words.message.contains("my_table"), "{}", words.message);
        assert!(!words.message.contains("ana@example"), "{}", words.message);
        assert!(!words.message.contains("secret words"), "{}", words.message);
        for value in ["jane.doe", "elm_street", "a:b"] {
            for text in [
                format!("Could not parse '{value}' as INT64 for field n (position 0)"),
                format!("Could not convert value \"{value}\" to integer. Field: n"),
                format!(
                    "Could not convert non-string JSON value to DATE type. Field: n; Value: {value}"
                ),
                format!("Cannot convert value to integer (bad value):{value}"),
            ] {
                let words = of_job("invalid", &text).message;
                assert!(!words.contains(value), "{words}");
            }
        }
        let permission = of_job(
            "accessDenied",
            "Access Denied: Dataset p:d: Permission bigquery.tables.create denied on dataset p:d (or it may not exist).",
        );
        assert!(
            permission.message.contains("bigquery.tables.create"),
            "{}",
            permission.message
        );
    }
}
