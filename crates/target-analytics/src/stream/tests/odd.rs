//! Odd answers, odd orders of records, and what others do meanwhile.

use super::*;

fn last_import(at: u64, total: u64) -> Reply {
    let total = total.to_string();
    ok(
        json!({"viewName": "t", "lastImportTime": at.to_string(), "lastImportStatus": "Success",
        "rows": {"total": total, "success": total}}),
    )
}

fn lost() -> Reply {
    ok(json!({"jobId": "9", "jobCode": "1005", "jobStatus": "JOB NOT FOUND"}))
}

#[tokio::test]
async fn a_lost_replacement_is_not_taken_for_an_older_one_of_equal_length() {
    let script = vec![
        (JOB, vec![lost(), done(2, 2, "")]),
        (LAST, vec![last_import(1_738_540_800_000, 2)]),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "replace"})).await;
    writer.write(records(&stream, 2)).await.unwrap();
    writer.activate_version(1, Some(2)).await.unwrap();
    assert_eq!(server.seen(IMPORT).len(), 2, "it is sent again");
}

#[tokio::test]
async fn a_lost_append_counts_if_the_table_has_a_new_import_of_its_length() {
    let script = vec![
        (JOB, vec![lost()]),
        (
            LAST,
            vec![
                last_import(1_738_540_800_000, 2),
                last_import(1_738_540_900_000, 2),
            ],
        ),
    ];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "append"})).await;
    assert_eq!(writer.write(records(&stream, 2)).await.unwrap().sent, 2);
    assert_eq!(server.seen(IMPORT).len(), 1);
}

#[tokio::test]
async fn an_append_that_was_partial_after_all_rejects_the_rows_that_are_named() {
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = format!("[Line: 3 Field: {field}] (v1) -ERROR: x");
    let script = vec![(JOB, vec![done(3, 2, &errors), done(3, 2, "")])];
    let server = Server::start(script).await;
    let writer = server.writer(&stream, json!({"mode": "append"})).await;
    let outcome = writer.write(records(&stream, 3)).await.unwrap();
    assert_eq!((outcome.sent, outcome.refusals[0].index), (2, 1));
    let error = writer.write(records(&stream, 3)).await.unwrap_err();
    assert_eq!(kind(&error), Kind::Rejected);
    assert_eq!(server.seen(IMPORT).len(), 2, "nothing is sent twice");
}

#[tokio::test]
async fn a_row_with_a_warning_is_there_and_one_with_an_error_is_not() {
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = format!(
        "[Line: 2 Field: {field}] (v0) -WARNING: emptied<br>[Line: 3 Field: {field}] (v1) -ERROR: x"
    );
    let server = Server::start(vec![(JOB, vec![done(3, 2, &errors)])]).await;
    let writer = server
        .writer(&stream, json!({"on_error": "set_empty"}))
        .await;
    let outcome = writer.write(records(&stream, 3)).await.unwrap();
    let refused: Vec<usize> = outcome.refusals.iter().map(|it| it.index).collect();
    assert_eq!((outcome.sent, refused), (2, vec![1]));
}

#[tokio::test]
async fn rows_at_fault_are_found_under_a_code_that_nobody_knows() {
    let stream = two_columns();
    let field = stream.schema.layout().index("a").unwrap() + 1;
    let errors = format!("[Line: 2 Field: {field}] (v0) -ERROR: x");
    let script = vec![(JOB, vec![failed(7999, &errors), done(1, 1, "")])];
    let server = Server::start(script).await;
    let writer = server.writer(&stream, json!({})).await;
    let outcome = writer.write(records(&stream, 2)).await.unwrap();
    assert_eq!((outcome.sent, outcome.refusals[0].index), (1, 0));
}

#[tokio::test]
async fn an_import_that_fails_since_others_import_is_tried_again() {
    let script = vec![(JOB, vec![failed(10001, "busy"), done(1, 1, "")])];
    let server = Server::start(script).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    assert_eq!(writer.write(records(&stream, 1)).await.unwrap().sent, 1);
}

#[tokio::test]
async fn a_replacement_leaves_out_rows_that_were_deleted_at_the_source() {
    let script = vec![(JOB, vec![done(1, 1, "")]), (COLUMNS, vec![ok(json!({}))])];
    let server = Server::start(script).await;
    let stream = with_deletions();
    let settings = json!({"mode": "replace", "on_delete": "delete"});
    let writer = server.writer(&stream, settings).await;
    let rows = [
        r#"{"id": 1, "_sdc_deleted_at": "2025-01-01T00:00:00Z"}"#,
        r#"{"id": 2, "_sdc_deleted_at": null}"#,
    ];
    let outcome = writer.write(batch(&stream, &rows)).await.unwrap();
    assert_eq!((outcome.sent, outcome.cleared), (1, 1));
    writer.activate_version(1, Some(2)).await.unwrap();
    assert!(server.seen(IMPORT)[0].csv().contains('2'));
}

#[tokio::test]
async fn a_row_that_came_back_after_its_deletion_stays() {
    let script = vec![
        (JOB, vec![done(1, 1, "")]),
        (COLUMNS, vec![ok(json!({}))]),
        (DELETE_ROWS, vec![ok(json!({"deletedRows": 1}))]),
    ];
    let server = Server::start(script).await;
    let stream = with_deletions();
    let deleted = r#"{"id": 1, "_sdc_deleted_at": "2025-01-01T00:00:00Z"}"#;
    let alive = r#"{"id": 1}"#;
    for on_delete in ["delete", "flag"] {
        let writer = server
            .writer(&stream, json!({"on_delete": on_delete}))
            .await;
        let back = batch_by(&stream, &[0], &[deleted, alive]);
        let outcome = writer.write(back).await.unwrap();
        assert_eq!((outcome.sent, outcome.cleared), (1, 0), "{on_delete}");
        let csv = server.seen(IMPORT).last().unwrap().csv();
        assert!(!csv.contains("2025-01-01"), "{csv}");
    }
    assert!(server.seen(DELETE_ROWS).is_empty());
    let writer = server.writer(&stream, json!({"on_delete": "delete"})).await;
    let gone = batch_by(&stream, &[0], &[alive, deleted]);
    assert_eq!(writer.write(gone).await.unwrap().cleared, 1);
}

#[tokio::test]
async fn more_columns_than_ten_calls_take_are_added() {
    let mut properties = json!({"id": {"type": "integer"}});
    for number in 0..125 {
        properties[format!("c{number}")] = json!({"type": "string"});
    }
    let stream = stream("t", &properties);
    let server = Server::start(vec![(COLUMNS, vec![ok(json!({}))])]).await;
    server.writer(&stream, json!({})).await;
    assert_eq!(server.seen(COLUMNS).len(), 13);
}

#[tokio::test]
async fn streams_that_open_together_look_up_the_organization_once_for_all() {
    for code in [7103, 8084] {
        let views = ok(json!({"views": [{"viewId": "7", "viewName": "t", "viewType": "Table"}]}));
        let all = ok(
            json!({"ownedWorkspaces": [{"workspaceId": "1", "workspaceName": "Ops", "orgId": "77"}]}),
        );
        let script = vec![
            (VIEWS, vec![failure(code), failure(code), views]),
            ("GET /restapi/v2/workspaces", vec![all]),
        ];
        let server = Server::start(script).await;
        let target = server.target(json!({})).await;
        let stream = two_columns();
        let (one, two) = tokio::join!(
            target.open(Arc::clone(&stream)),
            target.open(Arc::clone(&stream))
        );
        assert!(one.is_ok() && two.is_ok(), "{code}");
    }
}

#[tokio::test]
async fn a_list_of_views_may_be_one_view_or_never_turn_its_page() {
    let view =
        |number: u32| json!({"viewId": number, "viewName": format!("t{number}"), "viewType": 0});
    let many: Vec<Value> = (0..250).map(view).collect();
    let script = vec![(
        VIEWS,
        vec![ok(json!({"views": view(7)})), ok(json!({ "views": many }))],
    )];
    let server = Server::start(script).await;
    let target = server.target(json!({})).await;
    let api = &target.home.api;
    assert_eq!(api.views("1", "").await.unwrap().len(), 1);
    assert_eq!(api.views("1", "t").await.unwrap().len(), 250);
    assert_eq!(server.seen(VIEWS)[0].config().get("keyword"), None);
}

#[tokio::test]
async fn a_row_that_was_added_need_not_say_how_many_were_changed() {
    let added = ok(json!({"addedColumns": {"id": "0"}, "newRowAdded": true}));
    let server = Server::start(vec![(PUT_ROWS, vec![added])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "row"})).await;
    assert_eq!(writer.write(records(&stream, 1)).await.unwrap().sent, 1);
}

#[tokio::test]
async fn keys_are_named_in_any_case_as_columns_are() {
    let server = Server::start(vec![(JOB, vec![done(1, 1, "")])]).await;
    let stream = two_columns();
    let writer = server
        .writer(&stream, json!({"matching_columns": ["ID"]}))
        .await;
    writer.write(records(&stream, 1)).await.unwrap();
    let config = server.seen(IMPORT)[0].config();
    assert_eq!(config["matchingColumns"], json!(["id"]));
}

#[tokio::test]
async fn a_lone_row_waits_for_seconds_and_those_that_follow_make_an_import_a_minute() {
    let server = Server::start(vec![(JOB, vec![done(1, 1, "")])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    assert_eq!(writer.limits().max_age, LONE_AGE);
    writer.write(records(&stream, 1)).await.unwrap();
    let age = writer.limits().max_age;
    assert!(age > BATCH_AGE / 2 && age <= BATCH_AGE, "{age:?}");
}

/// A key that fits, and a column of numbers with a text for it.
fn unfit() -> (Arc<Stream>, Arc<Batch>) {
    let stream = stream(
        "t",
        &json!({"id": {"type": "string"}, "a": {"type": "string"}}),
    );
    let rows = [r#"{"id": "1", "a": "x"}"#, r#"{"id": "none", "a": "y"}"#];
    let batch = batch_by(&stream, &[0], &rows);
    (stream, batch)
}

#[tokio::test]
async fn values_that_do_not_fit_are_treated_as_those_that_analytics_refuses() {
    let column = |name: &str| json!({"columnName": name, "dataType": "NUMBER"});
    let numbers = || ok(json!({"columns": [column("id"), column("a")]}));
    for mode in ["upsert", "row", "replace"] {
        let script = vec![
            (METADATA, vec![numbers()]),
            (JOB, vec![done(1, 1, "")]),
            (PUT_ROWS, vec![ok(json!({"updatedRows": 1}))]),
        ];
        let server = Server::start(script).await;
        let (stream, rows) = unfit();
        let settings = json!({"mode": mode, "on_error": "abort"});
        let writer = server.writer(&stream, settings).await;
        let error = writer.write(Arc::clone(&rows)).await.unwrap_err();
        assert_eq!(kind(&error), Kind::Rejected, "{mode}");
        let settings = json!({"mode": mode, "on_error": "set_empty"});
        let writer = server.writer(&stream, settings).await;
        let outcome = writer.write(rows).await.unwrap();
        let refused = outcome.refusals.len();
        // A key is never left empty; a replacement finds no rows by it.
        let wanted = if mode == "replace" { (2, 0) } else { (1, 1) };
        assert_eq!((outcome.sent, refused), wanted, "{mode}");
    }
}

#[tokio::test]
async fn the_words_about_a_row_do_not_say_its_values() {
    let said = json!({"status": "failure", "summary": "X",
        "data": {"errorCode": 7507, "errorMessage": "Amber is no number in column a"}});
    let server = Server::start(vec![(PUT_ROWS, vec![Reply::Answer(400, said)])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({"mode": "row"})).await;
    let rows = batch_by(&stream, &[0], &[r#"{"id": 1, "a": "Amber"}"#]);
    let outcome = writer.write(rows).await.unwrap();
    let reason = &outcome.refusals[0].reason;
    assert!(
        reason.contains("is no number") && !reason.contains("Amber"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_fault_of_a_single_row_that_names_no_line_does_not_say_its_values() {
    let words = "Amber is no value of column a";
    let server = Server::start(vec![(JOB, vec![failed(7232, words)])]).await;
    let stream = two_columns();
    let writer = server.writer(&stream, json!({})).await;
    let rows = batch_by(&stream, &[0], &[r#"{"id": 1, "a": "Amber"}"#]);
    let outcome = writer.write(rows).await.unwrap();
    let reason = &outcome.refusals[0].reason;
    assert!(
        reason.contains("is no value") && !reason.contains("Amber"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_under_its_id_is_a_problem_of_the_stream() {
    let server = Server::start(vec![("GET /restapi/v2/views/8", vec![failure(7104)])]).await;
    let stream = two_columns();
    let target = server
        .target(json!({"streams": {"t": {"view_id": "8"}}}))
        .await;
    let writer = target.open(Arc::clone(&stream)).await.unwrap();
    assert_eq!(writer.plan().problems[0].kind, "table missing");
}

#[tokio::test]
async fn a_check_finds_a_table_in_any_case_as_a_run_does() {
    let views = ok(json!({"views": [{"viewId": "7", "viewName": "T", "viewType": "Table"}]}));
    let script = vec![(VIEWS, vec![views]), (JOB, vec![failure(8137)])];
    let server = Server::start(script).await;
    let target = server
        .target(json!({"streams": {"t": {"create": false}}}))
        .await;
    let words = target.check().await.unwrap();
    assert!(words.contains("1 tables of the config"), "{words}");
}
