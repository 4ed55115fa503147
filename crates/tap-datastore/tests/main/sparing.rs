//! Services that say less than ours does, or say it in another shape.

use serde_json::{Value, json};

use crate::kit::{ids, messages};
use crate::script::{Answer, Asked, Script, data, refuses, says, zip};

const TIME: &str = "2025-02-03 00:00:00:118";

/// A table without a list around it, and columns of which only the names and types are told.
fn described(asked: &Asked) -> Option<Answer> {
    match asked.line.as_str() {
        "GET /table" => Some(data(&json!({"table_id": 9, "table_name": "Trips"}))),
        "GET /table/9/column" => Some(data(&json!([
            {"column_name": "Driver", "data_type": "varchar"},
            {"column_name": "Km", "data_type": "int"},
        ]))),
        _ => None,
    }
}

fn row(id: u64) -> Value {
    json!({"ROWID": id, "CREATEDTIME": TIME, "MODIFIEDTIME": TIME, "Driver": "Rui", "Km": id.to_string()})
}

/// The answer to a count.
fn counted(rows: u64) -> Answer {
    data(&json!([{"Trips": {"ROWID": rows.to_string()}}]))
}

#[test]
fn pages_of_rows_go_on_as_long_as_there_is_a_token() {
    let script = Script::of(|asked| match asked.line.as_str() {
        "POST /query" => counted(3),
        line if line.ends_with("next_token=b") => {
            says(200, &json!({"status": "SUCCESS", "data": row(3)}))
        }
        line if line.starts_with("GET /table/9/row") => says(
            200,
            &json!({"status": "Success", "data": [row(1), row(2)], "next_token": "b"}),
        ),
        _ => described(asked).unwrap_or_else(|| refuses(404, "INVALID_ID")),
    });
    let synced = script.run(json!({})).args(["--select", "Trips"]).finish();
    synced.expect_code(0);
    assert_eq!(ids(&messages(&synced), "Trips"), [1, 2, 3]);
}

#[test]
fn pages_of_rows_that_lead_in_a_circle_are_left_for_a_job() {
    let script = Script::of(|asked| match asked.line.as_str() {
        "POST /query" => counted(3),
        "POST /bulk/read" => refuses(403, "API_LIMIT_REACHED"),
        line if line.starts_with("GET /table/9/row") => says(
            200,
            &json!({"status": "success", "data": [row(1)], "more_records": true, "next_token": "a"}),
        ),
        _ => described(asked).unwrap_or_else(|| refuses(404, "INVALID_ID")),
    });
    let synced = script.run(json!({})).args(["--select", "Trips"]).finish();
    assert!(script.lines().iter().any(|line| line == "POST /bulk/read"));
    assert!(messages(&synced).records("Trips").is_empty());
    assert_ne!(synced.code(), Some(0));
}

/// Bulk jobs over five rows, two a page, whose results say nothing but that they are there.
fn bulk(asked: &Asked) -> Option<Answer> {
    let page: u64 = asked
        .line
        .split('/')
        .nth(3)
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let rows = (1..=5).skip(page.saturating_sub(1) as usize * 2).take(2);
    match asked.line.as_str() {
        "POST /bulk/read" => {
            let page = &asked.body["query"]["page"];
            Some(data(&json!({"job_id": page, "status": "IN-PROGRESS"})))
        }
        line if line.ends_with("/download") => {
            let mut csv = "Km,MODIFIEDTIME,ROWID,CREATEDTIME,CREATORID,Driver\n".to_owned();
            for id in rows {
                csv.push_str(&format!("{id},{TIME},{id},{TIME},1,Rui\n"));
            }
            let archive = zip("Table-Trips.csv", csv.as_bytes());
            Some((200, "application/octet-stream", archive))
        }
        line if line.starts_with("GET /bulk/read/") => {
            let job = json!({"job_id": page.to_string(), "status": "COMPLETED", "results": {}});
            Some(data(&job))
        }
        _ => None,
    }
}

#[test]
fn a_full_page_has_another_one_behind_it_unless_the_service_says_no() {
    let script = Script::of(|asked| match asked.line.as_str() {
        "POST /query" => refuses(401, "OAUTH_SCOPE_MISMATCH"),
        _ => {
            (described(asked).or_else(|| bulk(asked))).unwrap_or_else(|| refuses(404, "INVALID_ID"))
        }
    });
    let run = script.run(json!({"page_size": 2, "deletions": "diff"}));
    let synced = run.args(["--select", "Trips"]).finish();
    synced.expect_code(0);
    assert_eq!(ids(&messages(&synced), "Trips"), [1, 2, 3, 4, 5]);
}

#[test]
fn a_single_page_that_holds_less_than_was_counted_is_not_taken_for_the_whole() {
    let script = Script::of(|asked| match asked.line.as_str() {
        "POST /query" => match asked.body["query"].as_str() {
            Some(query) if query.contains("COUNT") => counted(5),
            Some(query) if query.contains("ROWID > 0") => {
                data(&json!([{"Trips": row(1)}, {"Trips": row(2)}, {"Trips": row(3)}]))
            }
            Some(query) if query.contains("ROWID > 3") => {
                data(&json!([{"Trips": row(4)}, {"Trips": row(5)}]))
            }
            _ => refuses(400, "ZCQL_QUERY_ERROR"),
        },
        _ => {
            (described(asked).or_else(|| bulk(asked))).unwrap_or_else(|| refuses(404, "INVALID_ID"))
        }
    });
    let run = script.run(json!({"small_table_rows": 0}));
    let synced = run.args(["--select", "Trips"]).finish();
    synced.expect_code(0);
    synced.expect_log("is read by queries");
    let synced = messages(&synced);
    assert_eq!(synced.by_key("Trips").len(), 5);
    assert_eq!(
        ids(&synced, "Trips").last(),
        Some(&5),
        "pages of queries may be short"
    );
}

#[test]
fn a_row_may_come_in_a_list_and_one_that_is_gone_is_told_from_a_table_that_is_gone() {
    let there = |asked: &Asked| match asked.line.as_str() {
        "GET /table/9/row/1" => data(&json!([row(1)])),
        "GET /table/9/row/2" => refuses(404, "INVALID_ID"),
        line if line.starts_with("GET /table/9/row?") => data(&json!([])),
        _ => described(asked).unwrap_or_else(|| refuses(404, "INVALID_ID")),
    };
    let read = Script::of(there).run(json!({"row": "Trips/1,2"})).finish();
    read.expect_code(0);
    let read = messages(&read);
    assert_eq!(ids(&read, "Trips"), [1, 2]);
    assert!(read.records("Trips")[1]["_sdc_deleted_at"].is_string());
    let gone = Script::of(|asked| described(asked).unwrap_or_else(|| refuses(404, "INVALID_ID")));
    let read = gone.run(json!({"row": "Trips/1"})).finish();
    assert_ne!(read.code(), Some(0));
    assert!(messages(&read).records("Trips").is_empty());
}

#[test]
fn a_table_that_the_config_names_and_the_project_lacks_is_named_by_a_check() {
    let script = Script::of(|asked| described(asked).unwrap_or_else(|| refuses(404, "INVALID_ID")));
    let checked = script
        .run(json!({"tables": ["Trip"]}))
        .arg("--check")
        .finish();
    assert_ne!(checked.code(), Some(0));
    checked.expect_log("the project has no table `Trip`");
    checked.expect_log("did you mean `Trips`?");
}
