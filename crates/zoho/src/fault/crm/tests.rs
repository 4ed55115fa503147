//! Every documented code of CRM, and each shape in which it comes.

use serde_json::json;
use singer_core::Kind;
use singer_net::{Bytes, StatusCode};

use super::*;

fn answer(status: u16, kind: &str, body: &str) -> Answer {
    let mut answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: Default::default(),
        body: Bytes::from(body.to_owned()),
    };
    answer.headers.insert("content-type", kind.parse().unwrap());
    answer
}

fn judge(status: u16, body: &str) -> Result<(), Fault> {
    Crm::judge(&answer(status, "application/json;charset=utf-8", body))
}

fn fault(status: u16, body: &Value) -> Fault {
    judge(status, &body.to_string()).unwrap_err()
}

fn coded(code: &str, details: Value) -> Value {
    json!({"status": "error", "code": code, "message": "so it is", "details": details})
}

#[test]
fn every_documented_code_has_its_class_bare_and_wrapped() {
    for (status, class, codes) in [
        (400, Missing, "FIELD_NOT_AVAILABLE FIELD_NOT_SUPPORTED"),
        (
            400,
            Fatal,
            "FIELD_IN_CRITERIA_NOT_AVAILABLE FIELD_IN_CRITERIA_NOT_SUPPORTED \
             FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE \
             FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE \
             COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE VALUE_IN_CRITERIA_NOT_SUPPORTED \
             VALUE_TYPE_NOT_SUPPORTED VALUE_LIMIT_EXCEEDED_IN_CRITERIA AMBIGUOUS_CRITERIA \
             AMBIGUOUS_GROUP_IN_CRITERIA INVALID_CRITERIA CRITERIA_NOT_SUPPORTED CRITERIA_LIMIT_EXCEEDED \
             GROUP_OPERATOR_NOT_SUPPORTED JOIN_LIMIT_EXCEEDED",
        ),
        (
            400,
            Missing,
            "MODULE_NOT_AVAILABLE MODULE_NOT_SUPPORTED JOB_NOT_SUPPORTED NOT_SUPPORTED_FEATURE \
             QUERY_NOT_SUPPORTED INVALID_MODULE INVALID_QUERY",
        ),
        (
            400,
            Fatal,
            "PAGE_RANGE_EXCEEDED PAGE_NOT_SUPPORTED INVALID_DATA",
        ),
        (400, Expired, "EXPIRED_VALUE"),
        (
            400,
            Fatal,
            "CVID_NOT_SUPPORTED INVALID_CALLBACK_URL INVALID_CALLBACK_METHOD CALLBACK_FAILURE \
             REQUEST_BODY_IS_EMPTY REQUEST_BODY_NOT_READABLE REQUEST_BODY_NOT_SUPPORTED INVALID_REQUEST \
             INVALID_BULK_OPERATION INVALID_SERVICE_NAME INVALID_REQUEST_METHOD",
        ),
        (
            400,
            Fatal,
            "MANDATORY_FIELDS_NOT_MAPPED MANDATORY_NOT_FOUND MISSING_REQUIRED_KEY INVALID_FIELD \
             INVALID_FIELD_NAME INVALID_FORMAT INVALID_FILE_ID FILE_NOT_SUPPORTED FILE_NOT_FOUND \
             HEADER_LIMIT_EXCEEDED COLUMN_INDEX_NOT_FOUND COEXISTENCE_NOT_ALLOWED",
        ),
        (200, Fatal, "INVALID_FILE_FORMAT MANDATORY_NOT_FOUND"),
        (200, Missing, "NOT_SUPPORTED_FEATURE"),
        (413, Fatal, "FILE_TOO_LARGE"),
        (
            400,
            Fatal,
            "REQUIRED_PARAM_MISSING LIMIT_EXCEEDED DISCRETE_PAGINATION_LIMIT_EXCEEDED \
             PAGINATION_LIMIT_EXCEEDED PATTERN_NOT_MATCHED INVALID_HOST",
        ),
        (
            400,
            Denied,
            "AUTHORIZATION_FAILED NO_PERMISSION FEATURE_NOT_ENABLED",
        ),
        (403, Denied, "NO_PERMISSION"),
        (
            401,
            Token,
            "INVALID_TOKEN AUTHENTICATION_FAILURE INVALID_OAUTHTOKEN",
        ),
        (401, Denied, "OAUTH_SCOPE_MISMATCH"),
        (404, Missing, "RESOURCE_NOT_FOUND"),
        (404, Fatal, "INVALID_URL_PATTERN"),
        (415, Fatal, "MEDIA_TYPE_NOT_SUPPORTED"),
        (429, Throttled, "TOO_MANY_REQUESTS"),
        (500, Broken, "INTERNAL_ERROR INTERNAL_SERVER_ERROR"),
    ] {
        for code in codes.split_whitespace() {
            let bare = coded(code, json!({}));
            let wrapped = json!({"data": [bare], "info": {}});
            for body in [&bare, &wrapped] {
                let fault = fault(status, body);
                assert_eq!((fault.class, fault.is(code)), (class, true), "{code}");
                assert_eq!(fault.words, "so it is", "{code}");
            }
            let told = told(&bare);
            assert_eq!((told.class, told.status), (class, None), "{code}");
        }
    }
}

#[test]
fn a_code_stands_once_in_the_table() {
    let mut codes: Vec<&str> = TABLE.iter().flat_map(|row| row.codes).copied().collect();
    codes.sort_unstable();
    let all = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), all);
}

#[test]
fn a_fault_names_the_field_the_place_and_the_limit_and_no_value() {
    let body = coded(
        "FIELD_NOT_SUPPORTED",
        json!({"api_name": "Mailing_Address", "id": "6110000000412003", "value": "Mira"}),
    );
    let refused = fault(400, &json!({"data": [body]}));
    assert_eq!(refused.refused_field(), Some("Mailing_Address"));
    assert_eq!(refused.refused_criterion(), None);
    assert_eq!(
        refused.to_string(),
        "the service answered 400, code `FIELD_NOT_SUPPORTED`, api_name `Mailing_Address`: so it is"
    );

    let limit = fault(
        400,
        &coded(
            "LIMIT_EXCEEDED",
            json!({"limit": 50, "param_name": "fields"}),
        ),
    );
    let details: Vec<(&str, &str)> = limit.details.iter().collect();
    assert_eq!(details, [("param_name", "fields"), ("limit", "50")]);
    assert_eq!(limit.refused_field(), None);

    let place = json!({"json_path": "$.resource[0].field_mappings[3].api_name"});
    let missing = fault(400, &coded("MISSING_REQUIRED_KEY", place));
    let place = missing.details.get("json_path");
    assert_eq!(place, Some("$.resource[0].field_mappings[3].api_name"));

    // What is no name is not kept.
    for odd in [
        json!("Mira Olsen"),
        json!("m@h.example"),
        json!(["a"]),
        json!(null),
    ] {
        let fault = fault(400, &coded("INVALID_DATA", json!({"api_name": odd})));
        assert_eq!(fault.details, Details::default());
    }
    let criterion = fault(
        400,
        &coded(
            "FIELD_IN_CRITERIA_NOT_SUPPORTED",
            json!({"api_name": "Modified_Time"}),
        ),
    );
    assert_eq!(criterion.refused_criterion(), Some("Modified_Time"));
    assert_eq!(criterion.refused_field(), None);
}

#[test]
fn what_a_stream_can_do_without_is_told_from_what_is_wrong_for_all() {
    for (code, refuses) in [
        ("INVALID_MODULE", true),
        ("NO_PERMISSION", true),
        ("OAUTH_SCOPE_MISMATCH", false),
        ("INVALID_CRITERIA", false),
    ] {
        let fault = fault(400, &coded(code, json!({})));
        assert_eq!(fault.refuses_module(), refuses, "{code}");
    }
}

#[test]
fn a_stale_page_token_has_many_names() {
    for (code, details, is_stale) in [
        ("EXPIRED_VALUE", json!({}), true),
        ("INVALID_PAGE_TOKEN", json!({}), true),
        ("INVALID_DATA", json!({"api_name": "page_token"}), true),
        (
            "INVALID_DATA",
            json!({"json_path": "$.query.page_token"}),
            true,
        ),
        ("INVALID_DATA", json!({"api_name": "fields"}), false),
        ("INVALID_TOKEN", json!({}), false),
    ] {
        let fault = fault(400, &coded(code, details));
        assert_eq!(fault.refuses_page_token(), is_stale, "{code}");
    }
}

#[test]
fn a_success_is_a_success_whatever_it_holds() {
    let long = format!(r#"{{"data":[{{"Note":"{}"}}]}}"#, "x".repeat(SHORT_BYTES));
    let with_word = format!(
        r#"{{"data":[{{"Note":"{}","status":"error","code":"of a record"}}]}}"#,
        "x".repeat(SHORT_BYTES)
    );
    for body in [
        "",
        r#"{"count":7}"#,
        r#"{"data":[{"status":"success","code":"ADDED_SUCCESSFULLY","message":"Added successfully.","details":{"id":"6"}}],"info":{}}"#,
        r#"{"status":"success","code":"FILE_UPLOAD_SUCCESS","message":"file uploaded.","details":{"file_id":"6"}}"#,
        r#"{"id":"6","status":"COMPLETED","result":{},"resource":[{"code":"SUCCESS"}]}"#,
        r#"{"id":"6","status":"FAILED","resource":[{"code":"MANDATORY_FIELDS_NOT_MAPPED"}]}"#,
        r#"{"data":[{"id":"6","state":"FAILURE","result":{"error_message":{"status":"error","code":"INTERNAL_SERVER_ERROR"}}}]}"#,
        r#"{"data":[{"id":"6","Stage":"error","code":"X"}]}"#,
        &long,
        &with_word,
    ] {
        assert!(judge(200, body).is_ok(), "{body}");
    }
    assert!(judge(204, "").is_ok());
    assert!(judge(304, "").is_ok());
    let zip = answer(200, "application/octet-stream", "PK\u{3}\u{4} error");
    assert!(Crm::judge(&zip).is_ok());
}

#[test]
fn an_answer_of_success_without_a_known_word_does_not_say_whether_the_service_acted() {
    let strange = r#"{"code":"ACCEPTED_LATER","details":{"id":"7"}}"#;
    assert_eq!(judge(202, strange).unwrap_err().class, Broken);
    judge(201, r#"{"code":"SUCCESS","details":{"id":"7"}}"#).unwrap();
}

#[test]
fn an_answer_of_success_may_hold_an_error() {
    let refused = fault(200, &coded("INVALID_FILE_FORMAT", json!({})));
    assert_eq!((refused.class, refused.status), (Fatal, Some(200)));
    assert!(refused.hint.unwrap().contains("ZIP"));
    let padded = coded("INTERNAL_ERROR", json!({"more": "x".repeat(SHORT_BYTES)}));
    assert_eq!(fault(207, &json!({"data": [{}, padded]})).class, Broken);
}

#[test]
fn the_upload_host_has_a_shape_of_its_own() {
    let body = json!({"ERROR_CODE": 401, "ERROR_MESSAGE": "Unauthorized access"});
    for status in [200, 401] {
        let fault = fault(status, &body);
        assert_eq!(
            (fault.class, fault.words.as_str()),
            (Token, "Unauthorized access")
        );
    }
    let mut silent = answer(400, "text/plain", "");
    let words = "header feature or X-CRM-ORG is absent";
    silent.headers.insert("x-error", words.parse().unwrap());
    let fault = Crm::judge(&silent).unwrap_err();
    assert_eq!((fault.class, fault.words.as_str()), (Fatal, words));
}

#[test]
fn a_web_page_instead_of_json_is_worth_another_try() {
    let page = answer(200, "text/html", "<html><body>Please wait</body></html>");
    let fault = Crm::judge(&page).unwrap_err();
    assert_eq!((fault.class, fault.is_unclear()), (Broken, true));
    for (status, class) in [
        (429, Throttled),
        (502, Broken),
        (503, Broken),
        (504, Broken),
    ] {
        let page = answer(status, "text/html", "<html><h1>Gateway</h1></html>");
        assert_eq!(Crm::judge(&page).unwrap_err().class, class, "{status}");
    }
}

#[test]
fn credits_that_are_used_up_are_told_from_too_much_at_once() {
    let body = coded("TOO_MANY_REQUESTS", json!({})).to_string();
    let mut refused = answer(429, "application/json", &body);
    for (left, class, kind) in [
        ("12", Throttled, Kind::RateLimited),
        ("0", Quota, Kind::RateLimited),
    ] {
        let header = "x-api-credits-remaining";
        refused.headers.insert(header, left.parse().unwrap());
        let fault = Crm::judge(&refused).unwrap_err();
        assert_eq!(fault.class, class, "{left}");
        assert_eq!(fault.into_error("cannot read").kind(), kind);
    }
}

#[test]
fn a_refusal_without_a_known_code_is_judged_by_its_status() {
    for (status, class) in [
        (400, Fatal),
        (401, Token),
        (403, Denied),
        (404, Missing),
        (410, Expired),
        (500, Broken),
    ] {
        let fault = fault(status, &coded("A_NEWER_CODE", json!({})));
        assert_eq!((fault.class, fault.is("A_NEWER_CODE")), (class, true));
    }
}

#[test]
fn a_job_that_failed_says_why() {
    let error = json!({"status": "error", "code": "INTERNAL_SERVER_ERROR", "message": "again", "details": {}});
    let fault = told(&error);
    assert_eq!(
        fault.to_string(),
        "the service answered code `INTERNAL_SERVER_ERROR`: again"
    );
    assert_eq!(told(&json!(null)).to_string(), "no text");
}
