//! What `target-analytics` does when Analytics misbehaves: one clear error or a reject, and no gap in the data
//! once the service is well again.

use serde_json::json;
use singer_test::poll;
use singer_test::zoho::{TABLE, Zoho};

use crate::pair::{Method, Pair, ROWS};

#[track_caller]
fn fails_and_recovers(pair: &Pair, faults: &[&str], code: i32, words: &[&str]) {
    pair.zoho.set_faults(faults);
    let ended = pair.run();
    assert!(pair.zoho.struck() > 0, "{faults:?} never struck");
    ended.target.expect_code(code);
    for text in words {
        ended.target.expect_log(text);
    }
    pair.assert_true_state();
    pair.zoho.set_faults(&[]);
    pair.sync_equal();
}

#[track_caller]
fn copes(pair: &Pair, faults: &[&str]) {
    pair.zoho.set_faults(faults);
    pair.sync_equal();
    assert!(pair.zoho.struck() > 0, "{faults:?} never struck");
    pair.zoho.set_faults(&[]);
}

#[test]
fn a_view_that_is_not_there_or_no_table() {
    let pair = Pair::new(Method::Incremental).stream_keys(&json!({"view_id": "260000000099999"}));
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 2)),
        "{}",
        ended.target.stderr
    );
    ended.target.expect_log("260000000099999");
    let pair = pair.stream_keys(&json!({"create": false}));
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 2)),
        "{}",
        ended.target.stderr
    );
    ended.target.expect_log("there is no table `Trips`");
    let pair = pair.stream_keys(&json!({}));
    pair.sync_equal();
    pair.zoho
        .analytics()
        .set_view_type(TABLE, "QueryTable")
        .expect("there is a view");
    pair.zoho
        .revise(&pair.zoho.ids()[..5], 2, "2025-02-03 10:00:00:000");
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 2)),
        "{}",
        ended.target.stderr
    );
    pair.zoho
        .analytics()
        .set_view_type(TABLE, "Table")
        .expect("there is a view");
    pair.sync_equal();
}

#[test]
fn a_view_that_goes_while_rows_come_is_found_or_made_again() {
    let pair = Pair::new(Method::Incremental).target_keys(&json!({"parallel": 1}));
    pair.zoho
        .set_faults(&["slow:ms=600,path=/importjobs/,times=1"]);
    let pipeline = pair.start();
    pair.zoho.wait_for_strikes(1);
    pair.zoho.analytics().drop_view(TABLE);
    let ended = pipeline.finish();
    // Rows of a view that was thrown away are gone; that is told, and no later state says otherwise.
    if ended.target.code() != Some(0) {
        ended.target.expect_log("Trips");
    }
    pair.zoho.set_faults(&[]);
    std::fs::remove_file(pair.folder.file("state.json")).ok();
    pair.sync_equal();
}

#[test]
fn a_scope_that_is_missing_is_named() {
    for code in [8540, 8535] {
        let zoho = Zoho::start_with(60, |options| options.analytics.scope_code = code);
        let pair = Pair::over(zoho, Method::Incremental);
        let catalyst = "ZohoCatalyst.fullaccess.all";
        for (missing, scopes) in [
            (
                "ZohoAnalytics.metadata.read",
                &["ZohoAnalytics.data.all", "ZohoAnalytics.modeling.all"][..],
            ),
            (
                "ZohoAnalytics.data.create",
                &["ZohoAnalytics.metadata.read", "ZohoAnalytics.modeling.all"],
            ),
            (
                "ZohoAnalytics.modeling.create",
                &["ZohoAnalytics.metadata.read", "ZohoAnalytics.data.all"],
            ),
        ] {
            let scopes: Vec<&str> = scopes.iter().copied().chain([catalyst]).collect();
            pair.zoho.accounts().allow("sandbox-refresh", &scopes);
            let issued = pair.zoho.accounts().token_counts().issued;
            let ended = pair.run();
            ended.target.expect_code(1);
            ended.target.expect_log(missing);
            let more = pair.zoho.accounts().token_counts().issued - issued;
            assert!(more <= 2, "{more} tokens do not mend a scope");
            assert!(pair.state().is_none());
            pair.zoho.analytics().drop_view(TABLE);
        }
        pair.zoho.accounts().allow("sandbox-refresh", &[]);
        pair.sync_equal();
    }
}

#[test]
fn a_permission_that_is_missing_is_named() {
    for (permission, mode, words) in [
        ("create-table", "upsert", "7301"),
        ("updateadd", "upsert", "7301"),
        ("append", "append", "7301"),
        ("update-row", "row", "7301"),
    ] {
        let pair =
            Pair::over(Zoho::start(60), Method::Incremental).stream_keys(&json!({"mode": mode}));
        let analytics = pair.zoho.analytics();
        analytics
            .set_permission(permission, false)
            .expect("it is a permission");
        let ended = pair.run();
        ended.target.expect_code(1);
        ended.target.expect_log(words);
        assert!(pair.state().is_none(), "{permission}");
        analytics
            .set_permission(permission, true)
            .expect("it is a permission");
        pair.sync_equal();
    }
}

#[test]
fn rows_that_a_column_cannot_hold_are_rejects_that_name_it() {
    let pair = Pair::over(Zoho::start(30), Method::Incremental);
    let design = json!({"TABLENAME": TABLE, "COLUMNS": [
        {"COLUMNNAME": "ROWID", "DATATYPE": "NUMBER"}, {"COLUMNNAME": "Driver", "DATATYPE": "NUMBER"}]});
    pair.zoho
        .analytics()
        .create_table(&design)
        .expect("a table");
    pair.run().target.expect_code(3);
    let rejects = pair.rejects();
    assert_eq!(rejects.len(), 30);
    let reason = rejects[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("`Driver`"), "{reason}");
    assert!(pair.zoho.stored().is_empty());
}

#[test]
fn an_import_that_fails_is_told_and_one_that_breaks_is_tried_again() {
    copes(
        &Pair::new(Method::Incremental),
        &["import-fail:code=7005,times=1"],
    );
    let pair = Pair::new(Method::Incremental);
    fails_and_recovers(&pair, &["import-fail:code=7301"], 1, &["7301"]);
}

#[test]
fn an_import_that_never_ends_is_given_up_after_its_time() {
    let pair = Pair::new(Method::Incremental)
        .target_keys(&json!({"job_timeout_seconds": 1, "patience_seconds": 1}));
    pair.zoho.set_faults(&["import-hang:times=1"]);
    let ended = pair.run();
    ended.target.expect_code(75);
    ended.target.expect_log("import");
    pair.zoho.analytics().finish_jobs();
    pair.zoho.set_faults(&[]);
    pair.sync_equal();
}

#[test]
fn an_import_that_is_lost_or_whose_answer_is_lost_is_made_once_more() {
    for fault in [
        "import-lost:times=1",
        "reset:when=after,method=POST,path=/bulk/workspaces,times=1",
        "analytics-error:code=7005,when=after,path=/bulk/workspaces,times=1",
        "analytics-error:code=7005,as=html,path=/bulk/workspaces,times=1",
        "analytics-error:code=7005,as=quotes,path=/bulk/workspaces,times=1",
    ] {
        copes(&Pair::new(Method::Incremental), &[fault]);
    }
}

#[test]
fn an_append_whose_fate_is_unknown_is_looked_up_and_not_repeated() {
    for fault in [
        "import-lost:times=1",
        "reset:when=after,method=POST,path=/bulk/workspaces,times=1",
    ] {
        let pair = Pair::over(Zoho::start(50), Method::Incremental)
            .stream_keys(&json!({"mode": "append"}));
        copes(&pair, &[fault]);
    }
}

#[test]
fn rows_that_an_import_loses_are_found() {
    let pair = Pair::over(Zoho::start(60), Method::Incremental);
    copes(&pair, &["import-partial:every-record=7,times=1"]);
    // Where all imports lose rows they are rejects, and never silently gone.
    let pair = Pair::over(Zoho::start(60), Method::Incremental);
    pair.zoho.set_faults(&["import-partial:every-record=1"]);
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 3)),
        "{}",
        ended.target.stderr
    );
    let lost = 60 - pair.zoho.stored().len();
    assert!(
        pair.rejects().len() >= lost || pair.state().is_none(),
        "{lost} rows are nowhere"
    );
}

#[test]
fn too_many_calls_are_waited_out_whatever_their_status() {
    // Each waits for seconds, so that they wait side by side.
    std::thread::scope(|scope| {
        for status in [200, 400, 429] {
            scope.spawn(move || {
                let pair = Pair::over(Zoho::start(30), Method::Incremental)
                    .target_keys(&json!({"patience_seconds": 60}));
                let fault =
                    format!("analytics-error:code=6045,status={status},path=/bulk/,times=1");
                copes(&pair, &[&fault]);
            });
        }
    });
}

#[test]
fn units_that_are_used_up_end_the_run_with_75_and_the_next_day_goes_on() {
    let pair = Pair::new(Method::Incremental).target_keys(&json!({"parallel": 1}));
    pair.zoho
        .set_faults(&["analytics-error:code=6043,path=/bulk/workspaces,method=POST,after=2"]);
    let ended = pair.run();
    ended.target.expect_code(75);
    ended.target.expect_log("6043");
    let bookmark = pair.bookmark().expect("what was imported is in the state");
    assert!(bookmark["reading"]["pages"].as_u64() >= Some(1));
    pair.assert_true_state();
    pair.zoho.set_faults(&[]);
    pair.sync_equal();
}

#[test]
fn slots_that_others_have_taken_are_waited_for() {
    let pair = Pair::over(Zoho::start(60), Method::Incremental);
    pair.zoho.analytics().set_foreign_slots(5);
    let pipeline = pair.start();
    poll::until("an import was refused", || {
        pair.zoho.requests("POST", "/bulk/workspaces") >= 1
    });
    pair.zoho.analytics().set_foreign_slots(0);
    pipeline.finish().expect_success();
    pair.zoho.assert_equal();
}

#[test]
fn an_empty_table_replaces_nothing_unless_it_is_allowed() {
    let pair = Pair::over(Zoho::start(60), Method::Full).stream_keys(&json!({"mode": "replace"}));
    pair.sync_equal();
    pair.zoho.delete(&pair.zoho.ids());
    pair.run();
    assert_eq!(
        pair.zoho.stored().len(),
        60,
        "an empty read is more often a fault than a wish"
    );
    let pair = pair.target_keys(&json!({"allow_empty": true}));
    pair.sync_equal();
    assert_eq!(pair.zoho.stored().len(), 0);
}

#[test]
fn a_full_disk_is_told_and_states_stay_true() {
    let pair = Pair::new(Method::Incremental);
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    // What is printed finds no room.
    let lines = pair.lines().join("\n") + "\n";
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let ended = pair.target().stdout(full).stdin(lines).finish();
    ended.expect_code(1);
    pair.sync_equal();
    assert_eq!(pair.zoho.stored().len(), ROWS);
}
