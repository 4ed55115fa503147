//! What refusals mean, in every shape in which they come.

use singer_core::{Error, Kind};
use singer_net::{Bytes, StatusCode};

use super::analytics::Analytics;
use super::catalyst::Catalyst;
use super::*;

/// An answer of this status, content type and body.
fn answer(status: u16, kind: &str, body: &str) -> Answer {
    let mut answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: Default::default(),
        body: Bytes::from(body.to_owned()),
    };
    answer.headers.insert("content-type", kind.parse().unwrap());
    answer
}

fn json(status: u16, body: &str) -> Answer {
    answer(status, "application/json;charset=UTF-8", body)
}

fn analytics(status: u16, body: &str) -> Fault {
    Analytics::judge(&json(status, body)).unwrap_err()
}

fn catalyst(status: u16, body: &str) -> Fault {
    Catalyst::judge(&json(status, body)).unwrap_err()
}

fn coded(code: &str, constant: &str) -> String {
    format!(
        r#"{{"status":"failure","summary":"{constant}","data":{{"errorCode":{code},"errorMessage":"so it is"}}}}"#
    )
}

#[test]
fn every_documented_code_of_analytics_has_its_class() {
    for (class, codes) in [
        (Class::Quota, "6001 6043 6044"),
        (Class::Throttled, "6045"),
        (Class::Broken, "7005 8062"),
        (Class::Busy, "7092 7198 8132 8134 10001 18072 18073"),
        (Class::Token, "8535"),
        (Class::Denied, "8540 7301 7565 8138"),
        (Class::Missing, "7103 7104 7105 7107 7144 7179 7389 8137"),
        (Class::Exists, "7111 7157 7280"),
        (Class::Expired, "7338"),
        (Class::Data, "7203 7208 7232 7248 7507 7511 7515"),
        (
            Class::Fatal,
            "7126 7127 7128 7137 7143 7146 7164 7165 7183 7184 7235 7319 7327 7330 7331 7332 7333 7336 \
             7337 7340 7387 7395 7397 7405 7413 7439 7478 7512 8016 8046 8054 8077 8079 8080 8083 8084 \
             8119 8125 8126 8127 8130 8131 8139 8148 8149 8173 8241 8504 8507 8509 8516 8547 101021",
        ),
    ] {
        for code in codes.split_whitespace() {
            // As a number and as a text, under any status that is not a success of its own.
            for body in [coded(code, ""), coded(&format!("\"{code}\""), "")] {
                for status in [200, 400] {
                    let fault = analytics(status, &body);
                    assert_eq!((fault.class, fault.is(code)), (class, true), "{code}");
                    assert_eq!(fault.words, "so it is");
                    assert!(code == "7005" || fault.hint.is_some(), "{code}");
                }
            }
        }
    }
}

#[test]
fn a_number_that_stands_for_several_things_is_told_apart_by_its_constant() {
    for (code, constant, class) in [
        ("8062", "ADD_ROW_REQUEST_STILL_IN_PROGRESS", Class::Broken),
        ("8062", "SOMETHING_ELSE", Class::Fatal),
        ("7338", "BATCH_IMPORT_INVALID_KEY", Class::Expired),
        ("7338", "SOMETHING_ELSE", Class::Fatal),
        ("7111", "A_NEWER_NAME_OF_THE_SAME", Class::Exists),
        ("9999", "OAUTH_SCOPE_MISMATCH", Class::Denied),
    ] {
        let fault = analytics(400, &coded(code, constant));
        assert_eq!(fault.class, class, "{code} {constant}");
        assert_eq!(fault.constant.as_deref(), Some(constant));
    }
    let callback = analytics(400, &coded("8126", "CALLBACKURL_NOT_REACHABLE"));
    assert!(callback.hint.unwrap().contains("callback"));
    assert!(
        analytics(400, &coded("8126", "SOMETHING_ELSE"))
            .hint
            .is_none()
    );
}

#[test]
fn a_success_is_a_success() {
    for body in [
        "",
        "{}",
        r#"{"status":"success","data":{"errorCode":"not of the call","status":"failure"}}"#,
        r#"{"status":"success","summary":"Create table","data":{"viewId":"260000000031002"}}"#,
    ] {
        assert!(Analytics::judge(&json(200, body)).is_ok(), "{body}");
        assert!(Catalyst::judge(&json(200, body)).is_ok(), "{body}");
    }
    for word in ["Success", "SUCCESS"] {
        let row = format!(r#"{{"status":"{word}","data":{{"code":"ABC"}}}}"#);
        assert!(Catalyst::judge(&json(200, &row)).is_ok(), "{word}");
    }
    for word in ["failure", "Failure", "FAILURE", "Error"] {
        let body = format!(r#"{{"status":"{word}","data":{{"message":"no"}}}}"#);
        assert!(Catalyst::judge(&json(200, &body)).is_err(), "{word}");
    }
    assert!(Analytics::judge(&json(204, "")).is_ok());
    // A file may hold any words.
    let file = answer(200, "text/csv", "a,errorCode\n1,\"errorCode\":7103\n");
    assert!(Analytics::judge(&file).is_ok());
}

#[test]
fn bodies_that_are_no_json_are_searched_for_the_code() {
    for body in [
        r#"{"status":"failure","data":{"errorCode":7103,"errorMessage":"no "Trips" \x there"}}"#,
        r#"{"status":"failure","data":{"errorCode" : "7103","errorMessage":"cut of"#,
        r#"{\"status\":\"failure\",\"data\":{\"errorCode\":\"7103\"}}"#,
        "<error><errorCode>7103</errorCode></error>",
        "<html><body>{'errorCode': 7103}</body></html>",
    ] {
        for status in [200, 400] {
            let fault = analytics(status, body);
            assert!(fault.is("7103"), "{body}: {fault:?}");
            assert_eq!(fault.class, Class::Missing);
        }
    }
    let old = r#"{"response":{"error":{"code":6045,"message":"too many"}}}"#;
    assert_eq!(analytics(200, old).class, Class::Throttled);
}

#[test]
fn without_a_known_code_the_status_decides() {
    for (status, class) in [
        (302, Class::Fatal),
        (400, Class::Fatal),
        (401, Class::Token),
        (403, Class::Denied),
        (404, Class::Missing),
        (408, Class::Broken),
        (410, Class::Expired),
        (413, Class::Fatal),
        (414, Class::Fatal),
        (429, Class::Throttled),
        (500, Class::Broken),
        (502, Class::Broken),
        (504, Class::Broken),
    ] {
        for body in ["", "<html>no</html>", r#"{"status":"failure"}"#, "plain"] {
            assert_eq!(analytics(status, body).class, class, "{status} {body}");
            assert_eq!(catalyst(status, body).class, class, "{status} {body}");
        }
        assert_eq!(analytics(status, &coded("424242", "")).class, class);
    }
    // A gateway's page, and JSON that ends in the middle, say nothing of whether the service acted.
    for body in ["<html>sign in</html>", r#"{"status":"succ"#] {
        assert_eq!(analytics(200, body).class, Class::Broken);
        assert_eq!(catalyst(200, body).class, Class::Broken);
    }
}

#[test]
fn every_documented_code_of_catalyst_has_its_class() {
    for (class, codes) in [
        (
            Class::Fatal,
            "FUNCTION_ERROR INVALID_INPUT MISSING_VALUE MISMATCH ZCQL_QUERY_ERROR INVALID_CONTENT \
             INVALID_OPERATION INVALID_REQUEST_METHOD",
        ),
        (
            Class::Token,
            "UNAUTHORISED INVALID_TOKEN INVALID_OAUTHTOKEN",
        ),
        (
            Class::Denied,
            "OAUTH_SCOPE_MISMATCH NO_ACCESS VERIFICATION_NEEDED",
        ),
        (Class::Quota, "API_LIMIT_REACHED"),
        (Class::Missing, "INVALID_ID INVALID_NAME"),
        (
            Class::Exists,
            "CONFLICT DUPLICATE_ENTRY DUPLICATE_OPERATION DUPLICATE_VALUE",
        ),
        (Class::Expired, "EXPIRED EXPIRED_LOG"),
        (Class::Throttled, "TOO_MANY_REQUESTS"),
        (Class::Broken, "INTERNAL_SERVER_ERROR EMAIL_ERROR"),
    ] {
        for code in codes.split_whitespace() {
            let data = format!(r#"{{"error_code":"{code}","message":"so it is"}}"#);
            let bodies = [format!(r#"{{"status":"failure","data":{data}}}"#), data];
            for body in bodies {
                for status in [200, 202, 400] {
                    let fault = catalyst(status, &body);
                    assert_eq!((fault.class, fault.is(code)), (class, true), "{code}");
                    assert_eq!(fault.words, "so it is");
                }
            }
        }
    }
    let bare =
        r#"{"code":"INVALID_TOKEN","details":{},"message":"invalid oauth token","status":"error"}"#;
    assert_eq!(catalyst(401, bare).class, Class::Token);
    let text = r#"{"status":"failure","data":{"message":"No privileges to perform this action"}}"#;
    assert_eq!(catalyst(400, text).class, Class::Denied);
    // The columns of a row may be named as those of a refusal are.
    let row = r#"{"status":"success","data":{"error_code":"A1","message":"x"}}"#;
    assert!(Catalyst::judge(&json(200, row)).is_ok());
}

#[test]
fn words_have_no_markup_and_no_values_of_rows() {
    let said = |message: &str| {
        let message = serde_json::to_string(message).unwrap();
        analytics(
            400,
            &format!(
                r#"{{"status":"failure","data":{{"errorCode":7232,"errorMessage":{message}}}}}"#
            ),
        )
        .words
    };
    assert_eq!(
        said("<b>Column</b> <i>seats</i>:<br/>the value \"Ana Example\" in line&nbsp;7 &lt; 3"),
        "Column seats : the value \"***\" in line 7 < 3"
    );
    assert_eq!(
        said("ana@example.org said 4111111111111111"),
        "*** said ***"
    );
    assert_eq!(said("a < b and b > a"), "a < b and b > a");
    assert_eq!(said("<"), "<");
    assert!(said(&"word ".repeat(1000)).len() < 320);
    // What is no code is not shown as one.
    let fault = analytics(400, r#"{"data":{"errorCode":"Ana Example <x>"}}"#);
    assert_eq!(fault.code, None);
}

#[test]
fn an_error_has_the_cause_and_what_to_do() {
    let mut throttled = json(429, &coded("6045", "API_LIMIT"));
    throttled
        .headers
        .insert("retry-after", "7".parse().unwrap());
    let fault = Analytics::judge(&throttled).unwrap_err();
    assert_eq!(fault.after, Some(Duration::from_secs(7)));
    let error = fault.into_error("cannot import into `Trips`");
    assert_eq!(error.kind(), Kind::RateLimited);
    assert_eq!(error.message(), "cannot import into `Trips`");
    assert_eq!(error.hints().len(), 1);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        cause,
        "the service answered 429, code `6045`, `API_LIMIT`: so it is"
    );
}

#[test]
fn the_kind_of_an_error_of_this_side_stays() {
    for kind in [
        Kind::Interrupted,
        Kind::Config,
        Kind::Auth,
        Kind::RateLimited,
        Kind::Internal,
        Kind::Transient,
        Kind::Protocol,
    ] {
        let fault = Fault::from(Error::new(kind, "below").with_hint("do this"));
        assert!(!fault.is_unclear());
        let error = fault.into_error("above");
        assert_eq!((error.kind(), error.message()), (kind, "above"));
        let cause = std::error::Error::source(&error).unwrap();
        assert_eq!(cause.downcast_ref::<Error>().unwrap().hints(), ["do this"]);
    }
}
