//! What the body of a refusal says, whatever its shape: an envelope, a bare object, JSON that is none
//! quite, a web page.

use serde::Deserialize;
use serde_json::Value;
use singer_net::{Answer, redact};

use super::{Class, Details, Fault};

/// How much of a service's words is shown.
const SHOWN_CHARACTERS: usize = 300;

/// How much of a text that is no JSON is looked at.
const MOST_SCANNED: usize = 64 << 10;

/// No code or constant is longer.
const LONGEST_CODE: usize = 80;

/// The places of codes, in this order.
const CODES: [&str; 4] = ["errorCode", "error_code", "code", "ERROR_CODE"];

/// The places of words, in this order.
const WORDS: [&str; 5] = [
    "errorMessage",
    "message",
    "ERROR_MESSAGE",
    "error_description",
    "error",
];

/// What a body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it calls itself a success.
    pub(super) is_success: bool,
    /// Whether it calls itself a failure.
    pub(super) is_failure: bool,
    /// Whether it is no JSON, though something is there.
    pub(super) is_broken: bool,
    /// Whether it is a web page.
    pub(super) is_page: bool,
    pub(super) code: Option<String>,
    pub(super) constant: Option<String>,
    pub(super) details: Details,
    pub(super) words: String,
}

/// What a refusal means to one service, and what to do.
type Classify = fn(&Answer, &Said) -> (Class, Option<&'static str>);

/// The status in an envelope; the rest is skipped, as answers may be large.
#[derive(Deserialize)]
struct Head {
    status: Option<String>,
}

impl Said {
    /// Reads a body. Of one that calls itself a success nothing else is read.
    pub(super) fn of(answer: &Answer) -> Self {
        let text = answer.body.trim_ascii();
        if text.is_empty() {
            return Self {
                words: "no text".to_owned(),
                ..Self::default()
            };
        }
        let head = serde_json::from_slice::<Head>(text).ok();
        let status = head.and_then(|head| head.status);
        if answer.status.is_success() && is_word(status.as_deref(), "success") {
            return Self {
                is_success: true,
                ..Self::default()
            };
        }
        match serde_json::from_slice::<Value>(text) {
            Ok(json) => Self::of_json(&json),
            // A file that was asked for and came.
            Err(_) if answer.status.is_success() && !looks_like_words(answer, text) => Self {
                is_success: true,
                ..Self::default()
            },
            Err(_) => Self::of_text(text),
        }
    }

    /// Reads an object; what stands within `data` or `error` counts before what stands beside.
    pub(super) fn of_json(json: &Value) -> Self {
        let inner = (json.get("data").filter(|data| data.is_object()))
            .or_else(|| json.pointer("/response/error"))
            .or_else(|| json.get("error").filter(|error| error.is_object()));
        let places = [inner, Some(json)];
        let find = |names: &[&str]| {
            places.iter().flatten().find_map(|place| {
                names.iter().find_map(|name| match place.get(*name)? {
                    Value::String(text) if !text.is_empty() => Some(text.clone()),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                })
            })
        };
        let constant =
            (json.get("summary").and_then(Value::as_str)).filter(|text| is_constant(text));
        let status = json.get("status").and_then(Value::as_str);
        Self {
            is_success: is_word(status, "success"),
            is_failure: is_word(status, "failure") || is_word(status, "error"),
            code: find(&CODES).filter(|code| is_code(code)),
            words: shown(&find(&WORDS).unwrap_or_default(), constant),
            constant: constant.map(str::to_owned),
            ..Self::default()
        }
    }

    /// What is to be found in a text that only looks like JSON, as stray quotes and backslashes make it,
    /// or in a page.
    fn of_text(text: &[u8]) -> Self {
        let is_page = text.starts_with(b"<");
        let start = text.get(..MOST_SCANNED).unwrap_or(text);
        let text = String::from_utf8_lossy(start);
        let member = |names: &[&str]| names.iter().find_map(|name| scan(&text, name));
        let code = member(&["errorCode", "error_code"]).filter(|code| is_code(code));
        let constant = member(&["summary"]).filter(|summary| is_constant(summary));
        let words = match member(&WORDS) {
            Some(words) => words,
            None if is_page => "a web page",
            None => &text,
        };
        Self {
            is_failure: code.is_some() || is_word(member(&["status"]), "failure"),
            is_broken: true,
            is_page,
            words: shown(words, constant),
            code: code.map(str::to_owned),
            constant: constant.map(str::to_owned),
            ..Self::default()
        }
    }

    /// Takes other words, made fit to be shown.
    pub(super) fn set_words(&mut self, words: &str) {
        self.words = shown(words, None);
    }

    /// The fault that it is, as a table or the status classifies it.
    pub(super) fn into_fault(self, answer: &Answer, class: Class, hint: Option<&str>) -> Fault {
        Fault {
            class,
            code: self.code,
            constant: self.constant,
            details: self.details,
            words: self.words,
            status: Some(answer.status.as_u16()),
            after: answer.retry_after(),
            hint: hint.map(str::to_owned),
            source: None,
        }
    }
}

/// Tells a success from a fault, which a service's own table classifies.
pub(super) fn judge(answer: &Answer, classify: Classify) -> Result<(), Fault> {
    let said = Said::of(answer);
    let is_good = answer.status.is_success()
        && (said.is_success || !said.is_failure && said.code.is_none() && !said.is_broken);
    if is_good {
        return Ok(());
    }
    let (class, hint) = classify(answer, &said);
    Err(said.into_fault(answer, class, hint))
}

/// The class and hint of an answer whose code no table has.
pub(super) fn by_status(answer: &Answer, said: &Said) -> (Class, Option<&'static str>) {
    match answer.status.as_u16() {
        401 => (Class::Token, None),
        403 => (Class::Denied, None),
        404 => (Class::Missing, None),
        408 | 500..=599 => (Class::Broken, None),
        410 => (Class::Expired, None),
        413 => (
            Class::Fatal,
            Some("the request is larger than the service takes"),
        ),
        414 => (
            Class::Fatal,
            Some("the URL is longer than the service takes"),
        ),
        429 => (Class::Throttled, None),
        300..=399 => (
            Class::Fatal,
            Some("the service sends to another place: look at the base URL in the config"),
        ),
        200..=299 if said.is_broken => (Class::Broken, None),
        _ => (Class::Fatal, None),
    }
}

/// Whether a status is this one, in whatever letters.
fn is_word(status: Option<&str>, word: &str) -> bool {
    status.is_some_and(|status| status.trim().eq_ignore_ascii_case(word))
}

/// Whether a body that is no JSON was meant to be JSON or a page.
fn looks_like_words(answer: &Answer, text: &[u8]) -> bool {
    let kind = answer.headers.get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok());
    matches!(text.first(), Some(b'{' | b'[' | b'<')) || kind.is_some_and(is_kind_of_words)
}

/// Whether a content type is that of JSON or of a page, and not that of a file.
pub(crate) fn is_kind_of_words(content_type: &str) -> bool {
    let kind = content_type.to_ascii_lowercase();
    kind.contains("json") || kind.contains("html")
}

/// The text after a member's name and colon, in quotes or bare, without caring for the rest.
fn scan<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once(name)?;
        rest = after;
        let value = after
            .trim_start_matches(['"', '\'', '\\'])
            .trim_start()
            .strip_prefix([':', '=', '>']);
        let Some(value) = value else { continue };
        let value = value.trim_start().trim_start_matches('\\');
        return match value.strip_prefix('"') {
            Some(quoted) => quoted.split(['"', '\\']).next(),
            None => value.split([',', '}', '\n', ' ', '<']).next(),
        };
    }
}

/// Letters, digits and underscores alone, so that nothing else gets into an error as a code.
fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_CODE
        && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A summary is a constant in failures, and words in successes.
fn is_constant(text: &str) -> bool {
    is_code(text) && text.bytes().all(|byte| !byte.is_ascii_lowercase())
}

/// Words without markup, values of rows, and line ends.
fn shown(text: &str, constant: Option<&str>) -> String {
    let names: Vec<&str> = constant.into_iter().collect();
    let shown = redact::words(&without_markup(text), &names, SHOWN_CHARACTERS);
    if shown.is_empty() {
        "no text".to_owned()
    } else {
        shown
    }
}

/// A text without tags, and with the usual entities resolved. A `<` that begins no tag stays.
pub fn without_markup(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let is_tag = after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match after.split_once('>').filter(|_| is_tag) {
            Some((_, behind)) => {
                out.push(' ');
                rest = behind;
            }
            None => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    for (entity, character) in [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        if out.contains(entity) {
            out = out.replace(entity, character);
        }
    }
    out
}
