//! Tokens of both programs: shared by processes, revoked in the middle, throttled, refused.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use singer_test::bin::{Run, Running};
use singer_test::zoho::Zoho;

use crate::pair::{Method, Pair, ROWS};

/// The limits that are documented.
fn strict() -> Zoho {
    Zoho::start_with(ROWS, |options| {
        options.zoho.tokens_per_window = 10;
        options.zoho.active_tokens = 10;
    })
}

#[test]
fn processes_share_one_token_in_a_file_that_nobody_else_reads() {
    let pair = Pair::over(strict(), Method::Incremental);
    let checks: Vec<Run> = (0..8).map(|_| pair.bare_tap().arg("--check")).collect();
    let runs: Vec<Running> = checks.into_iter().map(Run::start).collect();
    for run in runs {
        run.finish().expect_code(0);
    }
    for _ in 0..3 {
        pair.sync();
    }
    pair.zoho.assert_equal();
    assert_eq!(pair.zoho.accounts().token_counts().issued, 1);
    let mode = std::fs::metadata(pair.folder.file("tokens.json"))
        .expect("a cache")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_token_that_is_revoked_in_the_middle_is_replaced() {
    for fault in [
        "revoke:path=/download,times=1",
        "revoke:path=/importjobs/,times=1",
        "revoke:method=POST,path=/bulk/,after=2,times=1",
    ] {
        let pair = Pair::over(Zoho::start(ROWS), Method::Incremental);
        pair.zoho.set_faults(&[fault]);
        pair.sync_equal();
        assert!(pair.zoho.struck() > 0, "{fault}");
    }
}

#[test]
fn a_refresh_token_that_is_revoked_ends_the_run_with_the_data_centre_in_its_words() {
    let pair = Pair::new(Method::Incremental);
    assert!(pair.zoho.accounts().revoke("sandbox-refresh"));
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended.tap.expect_log("invalid_code");
    ended.tap.expect_log("data centre");
    assert!(!ended.tap.stderr.contains("sandbox-refresh"));
    pair.zoho.accounts().allow("sandbox-refresh", &[]);
    pair.sync_equal();
}

#[test]
fn a_throttled_token_ends_the_run_with_75_and_costs_no_further_one() {
    let zoho = Zoho::start_with(ROWS, |options| options.zoho.tokens_per_window = 1);
    let pair = Pair::over(zoho, Method::Incremental);
    pair.sync_equal();
    pair.zoho.accounts().end_access_tokens();
    let pair = pair.tap_keys(&json!({"patience_seconds": 1}));
    let ended = pair.run();
    ended.tap.expect_code(75);
    ended.tap.expect_log("token");
    let throttled = pair.zoho.accounts().token_counts().throttled;
    // The next process knows from the file that there is nothing to ask for.
    let ended = pair.run();
    ended.tap.expect_code(75);
    let more = pair.zoho.accounts().token_counts().throttled - throttled;
    assert!(more <= 1, "{more} more requests for a token");
    pair.zoho.accounts().advance(700);
    std::fs::remove_file(pair.folder.file("tokens.json")).ok();
    pair.sync_equal();
}

#[test]
fn a_cache_that_is_broken_or_of_another_account_is_made_anew() {
    let pair = Pair::new(Method::Incremental);
    for text in ["", "{", "[]", "{\"access_token\": 7}"] {
        pair.folder.write("tokens.json", text);
        let ended = pair.bare_tap().arg("--check").finish();
        ended.expect_code(0);
    }
    pair.sync_equal();
}
