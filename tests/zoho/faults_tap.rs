//! What `tap-datastore` does when Data Store misbehaves: one clear error that names what is missing, and no gap
//! in the data once the service is well again.

use sandbox::datastore::{Comparators, Order, Written};
use serde_json::json;
use singer_test::bin::Finished;
use singer_test::pipe::{self, Cut};
use singer_test::zoho::{TABLE, Zoho};

use crate::pair::{Method, Pair, ROWS, records};

/// A run of both; the tap ends with a code and these words, and once the service is well another run makes
/// both sides equal.
#[track_caller]
fn fails_and_recovers(pair: &Pair, faults: &[&str], code: i32, words: &[&str]) -> Finished {
    pair.zoho.set_faults(faults);
    let ended = pair.run();
    assert!(pair.zoho.struck() > 0, "{faults:?} never struck");
    ended.tap.expect_code(code);
    for text in words {
        ended.tap.expect_log(text);
    }
    pair.assert_true_state();
    pair.zoho.set_faults(&[]);
    pair.sync_equal();
    ended.tap
}

/// A run in which a fault is put up with.
#[track_caller]
fn copes(pair: &Pair, faults: &[&str]) {
    pair.zoho.set_faults(faults);
    let ended = pair.sync_equal();
    assert!(pair.zoho.struck() > 0, "{faults:?} never struck");
    assert_eq!(ended.target.code(), Some(0));
    pair.zoho.set_faults(&[]);
}

#[test]
fn a_table_that_is_not_there_or_goes() {
    let pair = Pair::new(Method::Incremental);
    let ended = pair.bare_tap().args(["--select", "Ghosts"]).finish();
    ended.expect_code(2);
    ended.expect_log("Ghosts");
    let pair = Pair::new(Method::Full);
    pair.sync_equal();
    pair.zoho.datastore().drop_table(TABLE);
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended.tap.expect_log(TABLE);
    assert_eq!(
        pair.zoho.stored().len(),
        ROWS,
        "a table that is gone empties no view"
    );
}

#[test]
fn a_scope_that_is_missing_is_named() {
    const ALL: [&str; 5] = [
        "ZohoCatalyst.tables.READ",
        "ZohoCatalyst.tables.columns.READ",
        "ZohoCatalyst.tables.rows.READ",
        "ZohoCatalyst.tables.bulk.READ",
        "ZohoCatalyst.zcql.CREATE",
    ];
    let pair = Pair::new(Method::Incremental);
    for missing in ALL {
        let scopes: Vec<&str> = ALL.into_iter().filter(|scope| *scope != missing).collect();
        pair.zoho.accounts().allow("sandbox-refresh", &scopes);
        let issued = pair.zoho.accounts().token_counts().issued;
        let ended = pair.bare_tap().arg("--check").finish();
        let log = format!("{}{}", ended.stderr, ended.text());
        if missing == "ZohoCatalyst.zcql.CREATE" {
            // Everything can be done without queries, in more calls.
            ended.expect_code(0);
            assert!(log.contains("queries are not permitted"), "{log}");
        } else {
            ended.expect_code(1);
        }
        assert!(log.contains(missing), "`{missing}` is not named:\n{log}");
        let more = pair.zoho.accounts().token_counts().issued - issued;
        assert!(more <= 1, "{more} tokens do not mend a scope");
    }
    // Rows are read by bulk jobs alone where queries are not permitted.
    let scopes = [&ALL[..4], &["ZohoAnalytics.fullaccess.all"]].concat();
    pair.zoho.accounts().allow("sandbox-refresh", &scopes);
    pair.sync_equal();
}

#[test]
fn another_organisation_and_another_project() {
    let pair = Pair::new(Method::Incremental).tap_keys(&json!({"org_id": "1"}));
    let ended = pair.bare_tap().arg("--check").finish();
    ended.expect_code(1);
    ended.expect_log("NO_ACCESS");
    let pair = Pair::new(Method::Incremental).tap_keys(&json!({"project_id": "77"}));
    let ended = pair.bare_tap().arg("--check").finish();
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    ended.expect_log("77");
}

#[test]
fn a_damaged_file_is_fetched_once_more() {
    for fault in [
        "zip-cut:after=1,times=1",
        "csv-cells:row=7,after=1,times=1",
        "csv-cells:row=7,as=short,after=1,times=1",
        "cut:path=/download,after=1,times=1",
        "reset:when=after,path=/download,times=1",
    ] {
        copes(&Pair::new(Method::Incremental), &[fault]);
    }
}

#[test]
fn a_file_that_stays_damaged_ends_the_run_without_a_gap() {
    for (fault, words) in [
        ("zip-cut:after=1", "page"),
        ("csv-cells:row=7,after=1", "page"),
        ("zip-bomb:megabytes=60,after=1", "page"),
        ("zip-bomb:entries=5000,after=1", "page"),
    ] {
        let pair = Pair::new(Method::Incremental).tap_keys(&json!({"parallel_jobs": 1}));
        fails_and_recovers(&pair, &[fault], 1, &[TABLE, words]);
    }
}

#[test]
fn a_job_that_fails_is_told_in_the_words_of_the_service() {
    let pair = Pair::new(Method::Incremental);
    let words = ["the bulk read of page", "Internal error occurred"];
    fails_and_recovers(&pair, &["job-fail"], 1, &words);
}

#[test]
fn a_job_that_never_ends_is_given_up_and_taken_up_again() {
    let pair = Pair::new(Method::Incremental).tap_keys(&json!({"job_timeout_seconds": 2}));
    fails_and_recovers(&pair, &["job-hang:after=1"], 75, &[TABLE]);
}

#[test]
fn a_link_that_ends_while_it_is_waited_for_is_asked_for_anew() {
    let pair = Pair::new(Method::Incremental);
    copes(&pair, &["link-expired:times=2"]);
    // All links of an interrupted run, a day later.
    let pair = Pair::new(Method::Incremental);
    pair.kill_tap_at(&["slow:ms=600000,path=/download,after=3,times=1"]);
    pair.zoho.accounts().advance(90_000);
    let ended = pair.sync_equal();
    assert!(records(&ended) <= ROWS);
}

#[test]
fn errors_and_broken_connections_are_tried_again() {
    for fault in [
        "error:path=/baas,every=4,times=2",
        "error:status=503,path=/bulk/read,after=5,times=1",
        "reset:path=/baas,every=4,times=2",
    ] {
        copes(
            &Pair::new(Method::Incremental).tap_keys(&json!({"attempts": 8})),
            &[fault],
        );
    }
}

#[test]
fn units_that_are_used_up_end_the_run_with_75() {
    let pair = Pair::new(Method::Incremental).tap_keys(&json!({"parallel_jobs": 1}));
    let fault = "error:status=403,reason=API_LIMIT_REACHED,path=/bulk/read,after=7";
    fails_and_recovers(&pair, &[fault], 75, &["API_LIMIT_REACHED"]);
}

#[test]
fn whatever_the_pages_leave_open_rows_arrive() {
    type Change = fn(&mut sandbox::Options);
    let changes: [(&str, Change); 5] = [
        ("texts", |options| {
            options.datastore.booleans = Written::Text;
            options.datastore.numbers = Written::Text;
        }),
        ("line ends", |options| {
            options.datastore.csv_crlf = true;
            options.datastore.csv_bom = true;
        }),
        ("order", |options| {
            options.datastore.order = Order::Scattered;
        }),
        ("comparators", |options| {
            options.datastore.comparators = Comparators::Seen;
        }),
        ("no criteria", |options| {
            options.datastore.system_criteria = false;
        }),
    ];
    for (what, change) in changes {
        let pair = Pair::over(Zoho::start_with(ROWS, change), Method::Incremental);
        pair.sync_equal();
        let ids = pair.zoho.ids();
        pair.zoho.revise(&ids[..20], 2, "2025-02-03 10:00:00:000");
        pair.sync();
        let changed = pair.zoho.stored();
        assert_eq!(changed[&ids[3]]["Km"], "2", "{what}");
        pair.zoho.assert_equal();
    }
}

#[test]
fn limits_on_what_runs_side_by_side_are_waited_out() {
    let zoho = Zoho::start_with(ROWS, |options| {
        options.datastore.jobs = Some(3);
        options.datastore.job_polls = 1;
    });
    let pair = Pair::over(zoho, Method::Incremental).tap_keys(&json!({"patience_seconds": 90}));
    let ended = pair.sync_equal();
    ended.tap.expect_log("TOO_MANY_REQUESTS");
}

#[test]
fn a_column_that_is_gone_is_told() {
    let pair = Pair::new(Method::Full);
    pair.sync_equal();
    let rows = pair.zoho.datastore();
    rows.drop_table(TABLE);
    rows.create_table(&json!({"table_name": TABLE, "columns": [
        {"column_name": "Driver", "data_type": "varchar", "max_length": "100"}]}))
        .expect("a table can be made");
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended.tap.expect_log("Km");
    assert_eq!(pair.zoho.stored().len(), ROWS);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let pair = Pair::new(Method::Incremental);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let ended = pair.tap().stdout(full).finish();
    ended.expect_code(1);
    let folder = pair.folder.file("nowhere");
    let pair = pair.tap_keys(&json!({"work_folder": folder}));
    let ended = pair.tap().finish();
    ended.expect_code(1);
    ended.expect_log("nowhere");
    let pair = pair.tap_keys(&json!({"work_folder": "."}));
    pipe::run(pair.tap(), pair.target(), Cut::Never).expect_success();
    pair.zoho.assert_equal();
}
