//! What `tap-crm` does when the CRM misbehaves: one clear error that names what is missing, and no gap in the
//! data once the service is well again.

use serde_json::json;
use singer_test::bin::Finished;
use singer_test::crm::{COPIES, Crm, MODULE};

use crate::pair::{Method, Pair, ROWS, Way};

fn pair() -> Pair {
    Pair::new(Method::Incremental, Way::Upsert)
}

/// A run of all; the tap ends with a code and these words, and once the service is well another run makes all
/// copies.
#[track_caller]
fn fails_and_recovers(pair: &Pair, faults: &[&str], code: i32, words: &[&str]) -> Finished {
    pair.crm.set_faults(faults);
    let ended = pair.run();
    assert!(pair.crm.struck() > 0, "{faults:?} never struck");
    ended.tap.expect_code(code);
    for text in words {
        ended.tap.expect_log(text);
    }
    pair.assert_true_state();
    pair.crm.set_faults(&[]);
    pair.sync_equal();
    ended.tap
}

/// A run in which a fault is put up with.
#[track_caller]
fn copes(pair: &Pair, faults: &[&str]) {
    pair.crm.set_faults(faults);
    pair.sync_equal();
    assert!(pair.crm.struck() > 0, "{faults:?} never struck");
    pair.crm.set_faults(&[]);
}

#[test]
fn a_module_that_is_not_there_not_permitted_or_without_fields() {
    let pair = pair();
    let select = |name: &str| pair.bare_tap().args(["--select", name]).finish();
    let ended = select("Ghosts");
    ended.expect_code(2);
    ended.expect_log("Ghosts");
    let ended = pair.bare_tap().args(["--select", "Functions__s"]).finish();
    assert!(matches!(ended.code(), Some(1 | 2)), "{}", ended.stderr);
    for action in ["read", "metadata"] {
        let crm = pair.crm.inside();
        crm.deny(MODULE, action, "NO_PERMISSION")
            .expect("there are members");
        let ended = pair.run();
        assert!(
            matches!(ended.tap.code(), Some(1 | 2)),
            "{action}: {}",
            ended.tap.stderr
        );
        ended.tap.expect_log(MODULE).expect_log("NO_PERMISSION");
        assert!(pair.state().is_none(), "{action}");
        crm.allow_all();
    }
    pair.sync_equal();
}

#[test]
fn a_scope_that_is_missing_is_named() {
    const ALL: [&str; 4] = [
        "ZohoCRM.settings.modules.READ",
        "ZohoCRM.settings.fields.READ",
        "ZohoCRM.modules.ALL",
        "ZohoCRM.bulk.ALL",
    ];
    const COQL: &str = "ZohoCRM.coql.READ";
    let pair = pair();
    let allow = |scopes: &[&str]| pair.crm.accounts().allow("sandbox-refresh", scopes);
    for missing in ALL {
        let others: Vec<&str> = ALL
            .into_iter()
            .chain([COQL])
            .filter(|scope| *scope != missing)
            .collect();
        allow(&others);
        pair.crm.accounts().end_access_tokens();
        let issued = pair.crm.accounts().token_counts().issued;
        let ended = pair.tap().finish();
        ended.expect_code(1);
        let word = missing.trim_end_matches("ALL").trim_end_matches("READ");
        ended.expect_log(word);
        let more = pair.crm.accounts().token_counts().issued - issued;
        assert!(more <= 2, "{more} tokens do not mend a scope");
        assert!(!ended.text().contains("\"STATE\""), "{missing}");
    }
    // Everything can be done without queries, in more calls.
    let target = ["ZohoCRM.org.READ", "ZohoFiles.files.ALL"];
    allow(&[&ALL[..], &target].concat());
    pair.crm.accounts().end_access_tokens();
    pair.sync_equal();
    pair.revise(&pair.crm.ids()[..5], 2);
    let ended = pair.sync_equal();
    ended.tap.expect_log(COQL);
}

#[test]
fn a_token_that_ends_while_pages_are_read_is_refreshed() {
    copes(&pair(), &["revoke:path=/bulk/v8/read,after=2,times=1"]);
}

#[test]
fn a_refresh_token_that_is_refused_is_told() {
    let pair = pair();
    pair.crm.accounts().revoke("sandbox-refresh");
    let ended = pair.tap().finish();
    ended.expect_code(1);
    ended.expect_log("refresh");
    assert!(
        !ended.stderr.contains("sandbox-refresh"),
        "the token is shown"
    );
}

#[test]
fn a_damaged_file_is_fetched_once_more() {
    for fault in [
        "zip-cut:after=1,times=1",
        "csv-cells:row=7,after=1,times=1",
        "csv-cells:row=7,as=short,after=1,times=1",
        "cut:path=/result,after=1,times=1",
        "reset:when=after,path=/result,times=1",
    ] {
        copes(&pair(), &[fault]);
    }
}

#[test]
fn a_file_that_stays_damaged_ends_the_run_without_a_gap() {
    for fault in [
        "zip-cut:after=1",
        "csv-cells:row=7,after=1",
        "zip-bomb:entries=5000,after=1",
        "zip-bomb:megabytes=60,after=1",
    ] {
        fails_and_recovers(&pair(), &[fault], 1, &[MODULE, "page"]);
    }
}

#[test]
fn a_job_that_fails_is_made_again_and_told_when_it_fails_for_good() {
    copes(&pair(), &["job-fail:path=crm/read/,times=2"]);
    fails_and_recovers(
        &pair(),
        &["job-fail:path=crm/read/"],
        1,
        &["a bulk read of `Members` failed", "INTERNAL_SERVER_ERROR"],
    );
}

#[test]
fn a_job_that_never_ends_is_given_up_and_made_again() {
    let pair = pair().tap_keys(&json!({"job_timeout_seconds": 2}));
    fails_and_recovers(&pair, &["job-hang:path=crm/read/,after=1"], 75, &[MODULE]);
}

#[test]
fn a_result_that_expired_is_made_anew() {
    copes(&pair(), &["link-expired:times=1"]);
    // All that an interrupted run left, a day later.
    for code in ["EXPIRED_VALUE", "PAGE_TOKEN_EXPIRED", "INVALID_PAGE_TOKEN"] {
        let crm = Crm::start_with(ROWS, |options| options.crm.token_code = code.to_owned());
        let pair = Pair::over(crm, Method::Incremental, Way::Upsert);
        pair.kill_tap_after(
            "\"page\":2",
            &["slow:ms=600000,path=/result,after=1,times=1"],
        );
        pair.crm.accounts().advance(90_000);
        pair.sync_equal();
    }
}

#[test]
fn a_page_token_that_expires_while_pages_are_read_begins_the_window_anew() {
    let pair = pair();
    pair.crm
        .set_faults(&["slow:ms=700,path=/result,after=0,times=1"]);
    let chain = pair.start();
    pair.crm.wait_for_strikes(1);
    pair.crm.accounts().advance(86_400);
    let ended = chain.finish();
    ended.expect_success();
    pair.assert_equal();
}

#[test]
fn errors_throttles_and_broken_connections_are_waited_out() {
    for fault in [
        "error:status=500,path=/bulk/v8/read,after=2,times=1",
        "error:status=502,path=/settings/fields,times=1",
        "error:status=503,path=/bulk/v8/read,after=3,times=1,retry-after=1",
        "throttle:path=/result,times=2,retry-after=1",
        "throttle:path=/bulk/v8/read,method=POST,after=1,times=1,retry-after=1",
        "reset:path=/bulk/v8/read,after=1,times=1",
        "reset:when=after,path=/bulk/v8/read,method=POST,after=1,times=1",
    ] {
        copes(&pair(), &[fault]);
    }
}

#[test]
fn downloads_that_stay_throttled_end_the_run_with_75_and_the_next_goes_on() {
    let pair = pair().tap_keys(&json!({"patience_seconds": 1}));
    let fault = "throttle:path=/result,after=1";
    fails_and_recovers(&pair, &[fault], 75, &["TOO_MANY_REQUESTS", "page 2"]);
}

#[test]
fn credits_that_run_out_end_the_run_with_75_and_a_floor_is_never_crossed() {
    let crm = Crm::start_with(ROWS, |options| options.crm.credits = 5_000);
    let pair = Pair::over(crm, Method::Incremental, Way::Upsert);
    let used = |pair: &Pair| pair.crm.inside().credits_view();
    assert!(pair.crm.inside().use_credits(4_900));
    let pair = pair.tap_keys(&json!({"min_credits": 60}));
    let ended = pair.tap().finish();
    ended.expect_code(75);
    ended.expect_log("min_credits");
    let left = used(&pair).remaining;
    assert!(left >= 60, "{left} credits are left");
    // What is left may be less than a job takes.
    let pair = pair.tap_keys(&json!({"min_credits": 0, "patience_seconds": 1}));
    let ended = pair.tap().finish();
    ended.expect_code(75);
    ended.expect_log("credits come back 24 hours after they were spent");
    // Others may have spent the rest meanwhile, of which the service tells in its own words.
    pair.crm
        .set_faults(&["throttle:method=POST,path=/bulk/v8/read"]);
    pair.crm.accounts().advance(90_000);
    let ended = pair.tap().finish();
    ended.expect_code(75);
    ended.expect_log("TOO_MANY_REQUESTS");
    pair.crm.set_faults(&[]);
    assert!(pair.crm.copies(COPIES).is_empty());
    pair.sync_equal();
}

#[test]
fn whatever_the_pages_leave_open_members_arrive() {
    type Change = fn(&mut sandbox::Options);
    let changes: [Change; 2] = [
        |options| {
            options.crm.csv_bom = true;
            options.crm.csv_crlf = true;
            options.crm.id_header = "ID".to_owned();
        },
        |options| {
            options.crm.unchanged_status = 204;
            options.crm.job_polls = 2;
        },
    ];
    for change in changes {
        let pair = Pair::over(
            Crm::start_with(ROWS, change),
            Method::Incremental,
            Way::Upsert,
        );
        pair.sync_equal();
        pair.revise(&pair.crm.ids()[..20], 2);
        pair.sync_equal();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let pair = pair();
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
    pair.sync_equal();
}
