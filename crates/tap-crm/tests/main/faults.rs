//! What the service may do wrong: each has one clear error, or is healed.

use serde_json::json;

use crate::script::{
    Rows, Script, activates, done, file, last_state, leads, messages, refuses, says, zip,
};

const ONE_PAGE: &[Rows] = &[&[("11", "Ada", "2026-02-11T09:30:00+05:30")]];
const TWO_PAGES: &[Rows] = &[
    &[("11", "Ada", "2026-02-11T09:30:00+05:30")],
    &[("12", "Bob", "2026-02-11T09:30:00+05:30")],
];

#[test]
fn a_refused_field_is_dropped_and_the_job_made_again() {
    let script = Script::of(ONE_PAGE, |asked| {
        let fields = asked.body["query"]["fields"].as_array();
        fields
            .is_some_and(|fields| fields.contains(&json!("Company")))
            .then(|| {
                let refusal = json!({"data": [{"status": "error", "code": "FIELD_NOT_SUPPORTED",
                "message": "field not supported", "details": {"api_name": "Company"}}]});
                says(400, &refusal)
            })
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    let messages = messages(&finished);
    let record = messages.records("Leads")[0];
    assert_eq!(record["Last_Name"], "Ada");
    assert_eq!(
        record.get("Company"),
        None,
        "the destination keeps its value"
    );
    assert!(
        finished.stderr.contains("field=Company"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_refused_key_is_an_error() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST bulk/v8/read")
            .then(|| refuses(400, "FIELD_NOT_AVAILABLE", &json!({"api_name": "id"})))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("FIELD_NOT_AVAILABLE"),
        "{}",
        finished.stderr
    );
    assert!(!activates(&finished));
}

#[test]
fn a_module_that_is_refused_fails_its_stream_alone() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST bulk/v8/read").then(|| refuses(403, "NO_PERMISSION", &json!({})))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("does not let this module be read"),
        "{}",
        finished.stderr
    );
    assert!(!activates(&finished));
}

#[test]
fn a_missing_scope_is_named() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST bulk/v8/read")
            .then(|| refuses(401, "OAUTH_SCOPE_MISMATCH", &json!({})))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("ZohoCRM.bulk.READ"),
        "{}",
        finished.stderr
    );
}

#[test]
fn an_expired_token_begins_the_window_anew() {
    let script = Script::of(TWO_PAGES, |asked| {
        let is_token = asked.body["query"]["page_token"].is_string();
        // The first page is the first creation, and the page behind it the second.
        (is_token && asked.times == 1)
            .then(|| refuses(400, "EXPIRED_VALUE", &json!({"api_name": "page_token"})))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    let ids: Vec<String> = leads(&finished).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["11", "11", "12"]);
}

#[test]
fn a_failed_job_is_made_anew_twice() {
    let failure = |id: &str| {
        says(
            200,
            &json!({"data": [{"id": id, "state": "FAILURE", "result": {"error_message": {
                "status": "error", "code": "INTERNAL_SERVER_ERROR", "message": "sorry", "details": {}}}}]}),
        )
    };
    let healed = Script::of(ONE_PAGE, move |asked| {
        let id = asked.line.strip_prefix("GET bulk/v8/read/")?;
        ["7", "8"].contains(&id).then(|| failure(id))
    });
    let finished = healed.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 1);

    let lost = Script::of(ONE_PAGE, move |asked| {
        let id = asked.line.strip_prefix("GET bulk/v8/read/")?;
        Some(failure(id))
    });
    let finished = lost.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(
        finished.stderr.contains("INTERNAL_SERVER_ERROR"),
        "{}",
        finished.stderr
    );
    assert_eq!(lost.asked_for("POST bulk").len(), 3);
}

#[test]
fn a_result_that_expired_is_made_anew() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7/result")
            .then(|| refuses(404, "RESOURCE_NOT_FOUND", &json!({"resource": "7"})))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 1);
}

#[test]
fn the_pages_of_a_job_that_was_made_anew_are_those_that_are_read() {
    let script = Script::of(TWO_PAGES, |asked| match asked.line.as_str() {
        "GET bulk/v8/read/7/result" => Some(refuses(
            404,
            "RESOURCE_NOT_FOUND",
            &json!({"resource": "7"}),
        )),
        // What the first job said of a next page holds no longer.
        "GET bulk/v8/read/7" => Some(done("7", 1, Some("1:id,Last_Name"))),
        _ => None,
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 2);
    let tokens: Vec<_> = (script.asked_for("POST bulk").iter())
        .map(|asked| asked.body["query"]["page_token"].clone())
        .filter(|token| !token.is_null())
        .collect();
    assert_eq!(
        tokens,
        [json!("1:id,Last_Name,Company,Modified_Time")],
        "the token of the second job, and no other"
    );
}

#[test]
fn a_job_that_is_taken_up_lacks_the_fields_that_were_refused_to_it() {
    let script = Script::of(ONE_PAGE, |asked| {
        if asked.line == "GET bulk/v8/read/7" && asked.times == 0 {
            return Some(refuses(500, "INTERNAL_ERROR", &json!({})));
        }
        let fields = asked.body["query"]["fields"].as_array();
        fields
            .is_some_and(|fields| fields.contains(&json!("Company")))
            .then(|| refuses(400, "FIELD_NOT_SUPPORTED", &json!({"api_name": "Company"})))
    });
    let broken = script.sync("FULL_TABLE", &json!({}), None);
    assert_ne!(broken.code(), Some(0));
    let state = last_state(&broken);
    assert_eq!(
        state["bookmarks"]["Leads"]["reading"]["parts"][0]["job"],
        "7"
    );
    let finished = script.sync("FULL_TABLE", &json!({}), Some(&state));
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 1);
    assert_eq!(
        script.asked_for("POST bulk").len(),
        2,
        "the refusal and the job, which is taken up"
    );
}

#[test]
fn a_full_page_that_may_have_a_next_one_is_an_error() {
    let script = Script::of(ONE_PAGE, |asked| {
        let bare = json!({"data": [{"id": 7, "state": "COMPLETED", "result": {"count": 200_000}}]});
        (asked.line == "GET bulk/v8/read/7").then(|| says(200, &bare))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(!activates(&finished));
    assert!(
        finished.stderr.contains("is the last one"),
        "{}",
        finished.stderr
    );
}

#[test]
fn an_unknown_state_is_waited_for() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7" && asked.times == 0).then(|| {
            says(
                200,
                &json!({"data": [{"id": 7, "state": "PONDERING", "result": {"count": 0}}]}),
            )
        })
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 1);
}

#[test]
fn an_empty_result_is_not_downloaded() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7").then(|| done("7", 0, None))
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert!(leads(&finished).is_empty());
    assert!(script.asked_for("GET bulk/v8/read/7/result").is_empty());
    assert!(activates(&finished));
}

#[test]
fn a_file_with_too_few_rows_is_downloaded_once_more() {
    let whole = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7/result" && asked.times == 0)
            .then(|| file("Id,Last_Name,Company,Modified_Time\n"))
    });
    let finished = whole.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 1);

    let short = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7").then(|| done("7", 2, None))
    });
    let finished = short.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(
        finished
            .stderr
            .contains("has 1 rows, and the service says 2"),
        "{}",
        finished.stderr
    );
    assert!(!activates(&finished));
}

#[test]
fn what_is_wrong_with_a_file_names_its_place_and_no_value() {
    for (csv, wanted) in [
        ("Id,Last_Name,Company,Modified_Time\n11,hush\n", "line 2"),
        (
            "Id,Last_Name,Company,Modified_Time\n11,\"hush,,\n",
            "line 2",
        ),
        (
            "Id,Last_Name,Company,Modified_Time\n,hush,,\n",
            "comes without its `id`",
        ),
        (
            "Id,Last_Name,Company\n11,hush,\n",
            "lacks the field `Modified_Time`",
        ),
        (
            "Id,Last_Name,Company,Modified_Time\n11,,,hush\n",
            "a value of the field `Modified_Time` of `Leads` is no time with an offset",
        ),
    ] {
        let script = Script::of(ONE_PAGE, move |asked| {
            (asked.line == "GET bulk/v8/read/7/result").then(|| file(csv))
        });
        let finished = script.sync("FULL_TABLE", &json!({}), None);
        finished.expect_code(1);
        assert!(finished.stderr.contains(wanted), "{}", finished.stderr);
        assert!(!finished.stderr.contains("hush"), "{}", finished.stderr);
    }
}

#[test]
fn an_archive_with_two_files_is_refused() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET bulk/v8/read/7/result").then(|| {
            let bytes = zip(&[("a.csv", b"Id\n"), ("b.csv", b"Id\n")]);
            (200, "content-type: application/zip".to_owned(), bytes)
        })
    });
    let finished = script.sync("FULL_TABLE", &json!({}), None);
    finished.expect_code(1);
    assert!(finished.stderr.contains("archive"), "{}", finished.stderr);
}
