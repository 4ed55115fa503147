//! Incremental reads: by queries, listings and bulk jobs, with deletions.

use serde_json::{Value, json};

use crate::script::{Asked, Rows, Script, bookmark, last_state, leads, messages, refuses, says};

const ONE_PAGE: &[Rows] = &[&[
    ("11", "Ada", "2026-02-11T09:30:00+05:30"),
    ("12", "Bob", "2026-02-11T09:30:01+05:30"),
]];

const SINCE: &str = "2026-02-11T00:00:00Z";

fn row(id: &str, name: &str, time: &str) -> Value {
    json!({"id": id, "Last_Name": name, "Company": {"id": "5", "name": "Acme"}, "Modified_Time": time})
}

fn rows(rows: &[Value], has_more: bool) -> crate::script::Answer {
    says(
        200,
        &json!({"data": rows, "info": {"count": rows.len(), "more_records": has_more}}),
    )
}

fn select(asked: &Asked) -> String {
    asked.body["select_query"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_first_read_has_an_upper_bound_and_the_bookmark_is_that_bound() {
    let script = Script::of(ONE_PAGE, |_| None);
    let finished = script.sync("INCREMENTAL", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 2);
    let criteria = &script.asked_for("POST bulk")[0].body["query"]["criteria"];
    assert_eq!(criteria["comparator"], "less_than");
    let bound = criteria["value"]
        .as_str()
        .expect("a time")
        .replace("+00:00", "Z");
    let state = last_state(&finished);
    let bookmark = &state["bookmarks"]["Leads"];
    assert_eq!(bookmark["replication_key_value"], json!(bound));
    assert_eq!(bookmark.get("reading"), None);
    assert!(script.asked_for("POST coql").is_empty());
}

#[test]
fn few_changes_come_by_a_query_in_the_shape_of_a_file() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql")
            .then(|| rows(&[row("11", "Ada", "2026-02-11T09:30:00+05:30")], false))
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    let messages = messages(&finished);
    assert_eq!(
        messages.records("Leads")[0],
        &json!({"id": "11", "Last_Name": "Ada", "Company": "5", "Modified_Time": "2026-02-11T04:00:00Z"})
    );
    let query = select(&script.asked_for("POST coql")[0]);
    assert!(
        query.starts_with("select id, Modified_Time, Last_Name, Company from Leads where Modified_Time >= '2026-02-11T00:00:00+00:00' and Modified_Time < '"),
        "{query}"
    );
    assert!(
        query.ends_with("order by Modified_Time asc, id asc limit 2000"),
        "{query}"
    );
    assert!(script.asked_for("POST bulk").is_empty());
}

#[test]
fn queries_go_on_behind_the_last_record() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql").then(|| match asked.times {
            0 => rows(&[row("11", "Ada", "2026-02-11T09:30:00+05:30")], true),
            _ => rows(&[row("12", "Bob", "2026-02-11T09:30:00+05:30")], false),
        })
    });
    let finished = script.sync(
        "INCREMENTAL",
        &json!({}),
        Some(&bookmark("2026-02-11T03:59:59Z")),
    );
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 2);
    let queries = script.asked_for("POST coql");
    assert!(
        select(&queries[1]).contains("(Modified_Time > '2026-02-11T04:00:00+00:00' or id > 11)"),
        "{}",
        select(&queries[1])
    );
}

/// The first second of the criteria of the first bulk job.
fn bulk_begins_at(script: &Script) -> Value {
    let created = script.asked_for("POST bulk");
    let created = created.first().expect("a bulk job");
    created.body["query"]["criteria"]["group"][0]["value"].clone()
}

#[test]
fn ids_out_of_order_at_the_end_of_a_page_are_left_to_a_bulk_job() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql").then(|| {
            let time = "2026-02-11T09:30:00+05:30";
            let all = [row("12", "Bob", time), row("11", "Ada", time)];
            match asked.times {
                0 => rows(&all, true),
                _ => rows(&[], false),
            }
        })
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(script.asked_for("POST coql").len(), 1);
    assert_eq!(bulk_begins_at(&script), "2026-02-11T04:00:00+00:00");
}

#[test]
fn an_empty_page_that_is_not_the_last_is_left_to_a_bulk_job() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql").then(|| match asked.times {
            0 => rows(&[row("11", "Ada", "2026-02-11T09:30:00+05:30")], true),
            _ => rows(&[], true),
        })
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(bulk_begins_at(&script), "2026-02-11T04:00:00+00:00");
    assert_eq!(leads(&finished).len(), 3, "one twice, none is missing");
}

#[test]
fn a_listing_with_more_and_no_token_is_left_to_a_bulk_job() {
    let script = Script::of(ONE_PAGE, |asked| {
        if asked.line == "POST coql" {
            return Some(refuses(401, "OAUTH_SCOPE_MISMATCH", &json!({})));
        }
        (asked.line.starts_with("GET Leads?"))
            .then(|| rows(&[row("11", "Ada", "2026-02-11T09:30:00+05:30")], true))
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(bulk_begins_at(&script), "2026-02-11T04:00:00+00:00");
    assert_eq!(leads(&finished).len(), 3, "one twice, none is missing");
}

#[test]
fn too_many_changes_for_queries_go_on_by_a_bulk_job_from_there() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql")
            .then(|| rows(&[row("11", "Ada", "2026-02-11T09:30:00+05:30")], true))
    });
    let few = json!({"small_change_rows": 1});
    let finished = script.sync("INCREMENTAL", &few, Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(
        leads(&finished).len(),
        3,
        "one is read twice, none is missing"
    );
    let created = script.asked_for("POST bulk");
    let group = &created[0].body["query"]["criteria"]["group"];
    assert_eq!(group[0]["value"], "2026-02-11T04:00:00+00:00");
    assert_eq!(group[0]["comparator"], "greater_equal");
}

#[test]
fn further_fields_are_asked_for_by_id() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql").then(|| {
            if select(asked).contains("where id in (11)") {
                return rows(&[json!({"id": "11", "Company": "Acme"})], false);
            }
            rows(
                &[json!({"id": "11", "Last_Name": "Ada", "Modified_Time": "2026-02-11T09:30:00+05:30"})],
                false,
            )
        })
    });
    let finished = script.sync(
        "INCREMENTAL",
        &json!({"query_fields": 3}),
        Some(&bookmark(SINCE)),
    );
    finished.expect_code(0);
    let messages = messages(&finished);
    let record = messages.records("Leads")[0];
    assert_eq!(
        (&record["Last_Name"], &record["Company"]),
        (&json!("Ada"), &json!("Acme"))
    );
}

#[test]
fn without_the_scope_for_queries_listings_serve() {
    let script = Script::of(ONE_PAGE, |asked| {
        if asked.line == "POST coql" {
            return Some(refuses(401, "OAUTH_SCOPE_MISMATCH", &json!({})));
        }
        asked.line.starts_with("GET Leads?").then(|| {
            assert!(
                asked
                    .headers
                    .contains("if-modified-since: 2026-02-11t00:00:00+00:00")
            );
            rows(
                &[
                    row("11", "Ada", "2026-02-11T09:30:00+05:30"),
                    row("12", "Late", "2099-01-01T00:00:00Z"),
                ],
                false,
            )
        })
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(
        leads(&finished).len(),
        1,
        "what is behind the window comes with the next one"
    );
    assert!(
        finished.stderr.contains("ZohoCRM.coql.READ"),
        "{}",
        finished.stderr
    );
    assert!(script.asked_for("POST bulk").is_empty());
}

#[test]
fn a_query_that_is_refused_gives_way_to_a_bulk_job() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "POST coql").then(|| refuses(400, "INVALID_QUERY", &json!({})))
    });
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&bookmark(SINCE)));
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 2);
}

#[test]
fn deletions_come_before_the_reads_and_not_in_the_first_run() {
    let script = Script::of(ONE_PAGE, |asked| {
        if asked.line == "POST coql" {
            return Some(rows(
                &[row("11", "Restored", "2026-02-11T09:30:00+05:30")],
                false,
            ));
        }
        asked
            .line
            .starts_with("GET Leads/deleted?type=all&page=1")
            .then(|| {
                says(
                    200,
                    &json!({"data": [
                    {"id": "11", "type": "recycle", "deleted_time": "2026-02-11T09:00:00+05:30"},
                    {"id": "9", "type": "permanent", "deleted_time": "2020-01-01T00:00:00Z"},
                ], "info": {"more_records": false}}),
                )
            })
    });
    let deletions = json!({"include_deleted": true});
    let first = script.sync("INCREMENTAL", &deletions, None);
    first.expect_code(0);
    assert!(script.asked_for("GET Leads/deleted").is_empty());
    assert_eq!(leads(&first).len(), 2);

    let mut state = last_state(&first);
    state["bookmarks"]["Leads"]["replication_key_value"] = SINCE.into();
    state["bookmarks"]["Leads"]["deleted_until"] = SINCE.into();
    let second = script.sync("INCREMENTAL", &deletions, Some(&state));
    second.expect_code(0);
    let messages = messages(&second);
    let records = messages.records("Leads");
    assert_eq!(
        records[0],
        &json!({"id": "11", "_sdc_deleted_at": "2026-02-11T03:30:00Z"})
    );
    assert_eq!(records.len(), 2, "an old deletion is not told again");
    assert_eq!(records[1]["_sdc_deleted_at"], Value::Null);
    assert_eq!(records[1]["Last_Name"], "Restored");
}

#[test]
fn deletions_that_are_not_permitted_are_told_once_they_are() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line.starts_with("GET Leads/deleted"))
            .then(|| refuses(403, "NO_PERMISSION", &json!({})))
    });
    let mut state = bookmark(SINCE);
    state["bookmarks"]["Leads"]["deleted_until"] = SINCE.into();
    let deletions = json!({"include_deleted": true});
    let finished = script.sync("INCREMENTAL", &deletions, Some(&state));
    finished.expect_code(0);
    let state = last_state(&finished);
    assert_eq!(state["bookmarks"]["Leads"]["deleted_until"], SINCE);
}

#[test]
fn a_window_ends_by_the_clock_of_the_service() {
    let script = Script::of(ONE_PAGE, |asked| {
        (asked.line == "GET settings/fields?module=Leads&type=all").then(|| {
            let fields = json!({"fields": [
                {"api_name": "Last_Name", "data_type": "text"},
                {"api_name": "Modified_Time", "data_type": "datetime"},
            ]});
            let (status, headers, body) = says(200, &fields);
            let headers = format!("{headers}\r\ndate: Sun, 01 Mar 2026 00:10:00 GMT");
            (status, headers, body)
        })
    });
    let finished = script.sync("INCREMENTAL", &json!({}), None);
    finished.expect_code(0);
    let until = last_state(&finished)["bookmarks"]["Leads"]["replication_key_value"].clone();
    let until = until.as_str().expect("a time");
    assert!(until.starts_with("2026-03-01T00:"), "{until}");
    assert!(
        finished.stderr.contains("clock of this machine"),
        "{}",
        finished.stderr
    );
}

#[test]
fn slices_of_days_move_the_bookmark_one_by_one() {
    let script = Script::of(ONE_PAGE, |_| None);
    let slices = json!({"start_date": "2026-02-01T00:00:00Z", "window_days": 100_000, "small_change_rows": 0});
    let finished = script.sync("INCREMENTAL", &slices, None);
    finished.expect_code(0);
    let created = script.asked_for("POST bulk");
    assert_eq!(created.len(), 1);
    let group = &created[0].body["query"]["criteria"]["group"];
    assert_eq!(group[0]["value"], "2026-02-01T00:00:00+00:00");
}

#[test]
fn a_module_without_criteria_on_time_is_read_whole_with_a_warning() {
    let script = Script::of(ONE_PAGE, |asked| {
        let has_criteria = asked.body["query"].get("criteria").is_some();
        (asked.line == "POST bulk/v8/read" && has_criteria).then(|| {
            let details = json!({"api_name": "Modified_Time"});
            refuses(400, "FIELD_IN_CRITERIA_NOT_SUPPORTED", &details)
        })
    });
    let finished = script.sync("INCREMENTAL", &json!({}), None);
    finished.expect_code(0);
    assert_eq!(leads(&finished).len(), 2);
    assert!(
        finished.stderr.contains("the whole module is read"),
        "{}",
        finished.stderr
    );
    assert!(last_state(&finished)["bookmarks"]["Leads"]["replication_key_value"].is_string());

    let slices = json!({"window_days": 30, "start_date": SINCE, "small_change_rows": 0});
    let sliced = script.sync("INCREMENTAL", &slices, None);
    sliced.expect_code(0);
    assert_eq!(
        leads(&sliced).len(),
        2,
        "what is read whole is not read once for each slice"
    );
}

#[test]
fn a_bookmark_of_another_environment_is_refused() {
    let script = Script::of(ONE_PAGE, |_| None);
    let mut state = bookmark(SINCE);
    state["bookmarks"]["Leads"]["environment"] = "sandbox".into();
    let finished = script.sync("INCREMENTAL", &json!({}), Some(&state));
    assert_ne!(finished.code(), Some(0));
    assert!(
        finished.stderr.contains("`environment` `sandbox`"),
        "{}",
        finished.stderr
    );
}
