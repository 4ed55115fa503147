//! The codes of Zoho CRM, in each of its shapes: bare, in `data[]`, in an answer of success, within a job,
//! or in the words of the upload host.

use memchr::memmem;
use serde::de::IgnoredAny;
use serde_json::Value;
use singer_net::Answer;

use super::Class::{Broken, Denied, Exists, Expired, Fatal, Missing, Quota, Throttled, Token};
use super::body::{Said, by_status};
use super::{Class, Details, Fault, Service};
use crate::crm::credits;

/// Zoho CRM.
#[derive(Debug, Clone, Copy)]
pub struct Crm;

const SCOPES: &str = "the refresh token lacks a scope: a tap needs `ZohoCRM.bulk.READ`, `ZohoCRM.modules.ALL`, `ZohoCRM.settings.fields.READ`, `ZohoCRM.settings.modules.READ`, `ZohoCRM.org.READ` and `ZohoCRM.coql.READ`, a target `ZohoCRM.bulk.ALL`, `ZohoCRM.modules.ALL`, `ZohoCRM.settings.fields.READ`, `ZohoCRM.settings.modules.READ`, `ZohoCRM.org.READ` and `ZohoFiles.files.ALL`; make a new code with all of them and exchange it";

const RIGHTS: &str = "the profile of the token's user in CRM needs API access and rights on this module; look at Setup > Users and Control > Security Control > Profiles";

const EDITION: &str =
    "the edition of the organisation, or a switch in its settings, does not have this";

const CRITERIA: &str = "the service takes no such condition: look at the criteria in the config, their fields, comparators and values";

const MODULE: &str = "this module cannot be used that way: look at its API name, or leave it out";

const MAPPING: &str =
    "look at `streams.<name>`: its module, `find_by` and the fields that are mapped";

const FILE: &str = "the uploaded file is not what CRM takes: one CSV file in a ZIP archive";

const LARGE: &str = "the file is larger than CRM takes: use smaller batches";

const CREDITS: &str = "too many calls at once, or the credits of the last 24 hours are used up: run again later, or with fewer jobs side by side";

const NO_CREDITS: &str =
    "the credits of the last 24 hours are used up: run again later, or buy more";

const GONE: &str = "CRM keeps results for a day (a week after writing): it has to be made anew";

const PLACE: &str = "look at the base URLs in the config, and whether a proxy changes requests";

/// Codes of one class, and what to do about them.
struct Row {
    codes: &'static [&'static str],
    class: Class,
    hint: Option<&'static str>,
}

const fn row(codes: &'static [&'static str], class: Class, hint: &'static str) -> Row {
    let hint = if hint.is_empty() { None } else { Some(hint) };
    Row { codes, class, hint }
}

const TABLE: [Row; 21] = [
    row(
        &["FIELD_NOT_AVAILABLE", "FIELD_NOT_SUPPORTED"],
        Missing,
        "the service does not deliver this field: leave it out",
    ),
    row(
        &[
            "FIELD_IN_CRITERIA_NOT_AVAILABLE",
            "FIELD_IN_CRITERIA_NOT_SUPPORTED",
            "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
            "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE",
            "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
            "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
            "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
            "VALUE_IN_CRITERIA_NOT_SUPPORTED",
            "VALUE_TYPE_NOT_SUPPORTED",
            "VALUE_LIMIT_EXCEEDED_IN_CRITERIA",
            "AMBIGUOUS_CRITERIA",
            "AMBIGUOUS_GROUP_IN_CRITERIA",
            "INVALID_CRITERIA",
            "CRITERIA_NOT_SUPPORTED",
            "CRITERIA_LIMIT_EXCEEDED",
            "GROUP_OPERATOR_NOT_SUPPORTED",
        ],
        Fatal,
        CRITERIA,
    ),
    row(
        &["JOIN_LIMIT_EXCEEDED"],
        Fatal,
        "the fields reach into too many parent modules: ask for fewer of the form `Lookup.Field`",
    ),
    row(
        &[
            "MODULE_NOT_AVAILABLE",
            "MODULE_NOT_SUPPORTED",
            "JOB_NOT_SUPPORTED",
            "NOT_SUPPORTED_FEATURE",
            "QUERY_NOT_SUPPORTED",
            "INVALID_MODULE",
            "INVALID_QUERY",
        ],
        Missing,
        MODULE,
    ),
    row(&["PAGE_RANGE_EXCEEDED", "PAGE_NOT_SUPPORTED"], Fatal, ""),
    row(&["EXPIRED_VALUE"], Expired, GONE),
    row(&["RESOURCE_NOT_FOUND"], Missing, GONE),
    row(
        &[
            "INVALID_CALLBACK_URL",
            "INVALID_CALLBACK_METHOD",
            "CALLBACK_FAILURE",
        ],
        Fatal,
        "CRM must be able to reach `callback.public_url` from the internet; without `callback` it is asked instead",
    ),
    row(
        &[
            "CVID_NOT_SUPPORTED",
            "REQUEST_BODY_IS_EMPTY",
            "REQUEST_BODY_NOT_READABLE",
            "REQUEST_BODY_NOT_SUPPORTED",
            "INVALID_REQUEST",
            "INVALID_BULK_OPERATION",
            "INVALID_SERVICE_NAME",
            "INVALID_DATA",
            "REQUIRED_PARAM_MISSING",
            "LIMIT_EXCEEDED",
            "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
            "PAGINATION_LIMIT_EXCEEDED",
            "PATTERN_NOT_MATCHED",
        ],
        Fatal,
        "",
    ),
    row(
        &[
            "MANDATORY_FIELDS_NOT_MAPPED",
            "MANDATORY_NOT_FOUND",
            "MISSING_REQUIRED_KEY",
            "INVALID_FIELD",
            "INVALID_FIELD_NAME",
            "INVALID_FORMAT",
            "HEADER_LIMIT_EXCEEDED",
            "COLUMN_INDEX_NOT_FOUND",
            "COEXISTENCE_NOT_ALLOWED",
        ],
        Fatal,
        MAPPING,
    ),
    row(
        &[
            "INVALID_FILE_ID",
            "FILE_NOT_SUPPORTED",
            "FILE_NOT_FOUND",
            "INVALID_FILE_FORMAT",
        ],
        Fatal,
        FILE,
    ),
    row(&["FILE_TOO_LARGE"], Fatal, LARGE),
    row(
        &["INVALID_HOST"],
        Fatal,
        "look at `data_center`, and at `api_url` if it is set: the API is on `zohoapis` hosts alone",
    ),
    row(
        &[
            "INVALID_URL_PATTERN",
            "INVALID_REQUEST_METHOD",
            "MEDIA_TYPE_NOT_SUPPORTED",
        ],
        Fatal,
        PLACE,
    ),
    row(&["AUTHORIZATION_FAILED", "NO_PERMISSION"], Denied, RIGHTS),
    row(&["FEATURE_NOT_ENABLED"], Denied, EDITION),
    row(&["OAUTH_SCOPE_MISMATCH"], Denied, SCOPES),
    row(
        &[
            "INVALID_TOKEN",
            "INVALID_OAUTHTOKEN",
            "AUTHENTICATION_FAILURE",
        ],
        Token,
        "",
    ),
    row(&["TOO_MANY_REQUESTS"], Throttled, CREDITS),
    row(&["DUPLICATE_DATA"], Exists, ""),
    row(&["INTERNAL_ERROR", "INTERNAL_SERVER_ERROR"], Broken, ""),
];

/// Answers up to this length are read whole; a longer one is a list, unless it speaks of an error.
const SHORT_BYTES: usize = 4096;

impl Service for Crm {
    const NAME: &'static str = "Zoho CRM";

    fn judge(answer: &Answer) -> Result<(), Fault> {
        // Nothing has changed since then, which is what was asked.
        if answer.status.as_u16() == 304 || is_long_success(answer) {
            return Ok(());
        }
        let said = read(answer);
        let is_good = answer.status.is_success()
            && (said.is_success || !said.is_failure && is_no_fault(&said) && !said.is_broken);
        if is_good {
            return Ok(());
        }
        let (class, hint) = classify(answer, &said);
        Err(said.into_fault(answer, class, hint))
    }
}

/// What an error object within an answer of success says, such as `error_message` of a job that failed.
pub fn told(error: &Value) -> Fault {
    let said = of_object(error);
    let code = said.code.as_deref().unwrap_or_default();
    let (class, hint) = known(code).unwrap_or((Fatal, None));
    Fault {
        class,
        code: said.code,
        constant: None,
        details: said.details,
        words: said.words,
        status: None,
        after: None,
        hint: hint.map(str::to_owned),
        source: None,
    }
}

impl Fault {
    /// The field that CRM does not deliver; without it the same request may be granted.
    pub fn refused_field(&self) -> Option<&str> {
        let is_one = self.is("FIELD_NOT_AVAILABLE") || self.is("FIELD_NOT_SUPPORTED");
        self.details.get("api_name").filter(|_| is_one)
    }

    /// The field that CRM does not take in conditions.
    pub fn refused_criterion(&self) -> Option<&str> {
        let code = self.code.as_deref().unwrap_or_default();
        let is_one = code.starts_with("FIELD_IN_CRITERIA_NOT_")
            || code == "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED";
        self.details.get("api_name").filter(|_| is_one)
    }

    /// Whether CRM will never serve the module of the request to this user: a stream to be left out.
    pub fn refuses_module(&self) -> bool {
        const CODES: [&str; 10] = [
            "MODULE_NOT_AVAILABLE",
            "MODULE_NOT_SUPPORTED",
            "JOB_NOT_SUPPORTED",
            "NOT_SUPPORTED_FEATURE",
            "QUERY_NOT_SUPPORTED",
            "INVALID_MODULE",
            "INVALID_QUERY",
            "AUTHORIZATION_FAILED",
            "NO_PERMISSION",
            "FEATURE_NOT_ENABLED",
        ];
        CODES.iter().any(|code| self.is(code))
    }

    /// Whether a page token of Bulk Read is too old or not taken for another reason, so that the first
    /// page has to be asked for again.
    pub fn refuses_page_token(&self) -> bool {
        let code = self.code.as_deref().unwrap_or_default();
        let names = ["api_name", "param_name", "json_path"];
        let is_about_token = |name: &&str| {
            let place = self.details.get(name);
            place.is_some_and(|place| place.ends_with("page_token"))
        };
        code == "EXPIRED_VALUE"
            || code.contains("PAGE_TOKEN")
            || code == "INVALID_DATA" && names.iter().any(is_about_token)
    }
}

/// Whether the code, if there is one, is that of success.
fn is_no_fault(said: &Said) -> bool {
    let code = said.code.as_deref();
    code.is_none_or(|code| code.eq_ignore_ascii_case("success"))
}

/// Whether an answer of success is too long for anything but what was asked for.
fn is_long_success(answer: &Answer) -> bool {
    answer.status.is_success()
        && answer.body.len() > SHORT_BYTES
        && memmem::find(&answer.body, b"\"error\"").is_none()
        && serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok()
}

fn read(answer: &Answer) -> Said {
    let mut said = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(json) => of_object(wrapped(&json).unwrap_or(&json)),
        Err(_) => Said::of(answer),
    };
    // The upload host says in a header which headers it misses.
    let header = answer.headers.get("x-error");
    if let Some(text) = header.and_then(|header| header.to_str().ok()) {
        said.set_words(text);
        said.is_failure = true;
    }
    said
}

fn of_object(json: &Value) -> Said {
    Said {
        details: Details::of(json.get("details")),
        ..Said::of_json(json)
    }
}

/// The error in a list `data`, if that is what one of its elements is and not a record.
fn wrapped(json: &Value) -> Option<&Value> {
    let list = json.get("data")?.as_array()?;
    let word = |element: &Value, key| element.get(key)?.as_str().map(str::to_owned);
    list.iter().find(|element| {
        let is_error = word(element, "status").is_some_and(|status| status == "error");
        let code = word(element, "code").unwrap_or_default();
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        is_error && !code.is_empty() && code.bytes().all(is_code)
    })
}

fn classify(answer: &Answer, said: &Said) -> (Class, Option<&'static str>) {
    let code = said.code.as_deref().unwrap_or_default();
    // One code stands for too much at once and for credits; what is left tells them apart.
    if answer.status.as_u16() == 429 && credits::remaining(answer) == Some(0) {
        return (Quota, Some(NO_CREDITS));
    }
    if let Some(known) = known(code) {
        return known;
    }
    // The upload host has the status as its code, also in answers of success.
    if code == "401" {
        return (Token, None);
    }
    // Neither a success nor a failure by its own words: whether the service acted is not known.
    if answer.status.is_success() && !said.is_failure {
        return (Broken, None);
    }
    match by_status(answer, said) {
        (Denied, None) => (Denied, Some(RIGHTS)),
        (Throttled, None) => (Throttled, Some(CREDITS)),
        classified => classified,
    }
}

fn known(code: &str) -> Option<(Class, Option<&'static str>)> {
    let row = TABLE.iter().find(|row| row.codes.contains(&code))?;
    Some((row.class, row.hint))
}

#[cfg(test)]
mod tests;
