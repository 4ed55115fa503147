//! What `target-crm-bulkwrite` does when the CRM misbehaves: one clear error or a reject, and no row lost or
//! doubled once the service is well again.

use serde_json::json;
use singer_test::crm::{COPIES, Crm, LOOSE_COPIES, MODULE};

use crate::crash_target::{JOB, RESULT, finally_equal, pair};
use crate::pair::{Method, Pair, ROWS, WAYS, Way};

#[track_caller]
fn fails_and_recovers(pair: &Pair, faults: &[&str], code: i32, words: &[&str]) {
    pair.crm.set_faults(faults);
    let ended = pair.run();
    assert!(pair.crm.struck() > 0, "{faults:?} never struck");
    ended.target.expect_code(code);
    for text in words {
        ended.target.expect_log(text);
    }
    pair.assert_true_state();
    pair.crm.set_faults(&[]);
    finally_equal(pair);
}

#[track_caller]
fn copes(pair: &Pair, faults: &[&str]) {
    pair.crm.set_faults(faults);
    pair.sync_equal();
    assert!(pair.crm.struck() > 0, "{faults:?} never struck");
    pair.crm.set_faults(&[]);
}

#[test]
fn modules_and_fields_that_are_not_there_or_not_permitted() {
    let pair = pair(Way::Upsert);
    let lines = pair.lines().join("\n") + "\n";
    let with = |settings: serde_json::Value| {
        let streams = json!({"streams": {MODULE: settings}});
        pair.target_with(&streams).stdin(lines.clone()).finish()
    };
    for (settings, words) in [
        (
            json!({"module": "Ghosts", "find_by": "Source_Id"}),
            "`Ghosts`",
        ),
        (json!({"module": COPIES, "find_by": "Ghost"}), "`Ghost`"),
        (
            json!({"module": COPIES, "find_by": "Source_Id", "fields": {"*": "*", "Email": "Ghost"}}),
            "`Ghost`",
        ),
        (
            json!({"module": COPIES, "find_by": "Source_Id", "fields": {"*": "*", "Email": "Modified_Time"}}),
            "`Modified_Time`",
        ),
        (
            json!({"module": COPIES, "find_by": "Source_Id", "fields": {"*": "*", "Active": "Visits", "Visits": ""}}),
            "`Visits`",
        ),
    ] {
        let ended = with(settings);
        assert!(
            matches!(ended.code(), Some(1 | 2)),
            "{words}: {}",
            ended.stderr
        );
        ended.expect_log(words);
        assert!(pair.state().is_none(), "{words}");
    }
    let crm = pair.crm.inside();
    for action in ["write", "metadata"] {
        crm.deny(COPIES, action, "NO_PERMISSION")
            .expect("there are copies");
        let ended = pair.run();
        ended.target.expect_code(1);
        ended.target.expect_log(COPIES).expect_log("NO_PERMISSION");
        crm.allow_all();
    }
    assert_eq!(
        pair.crm.requests("POST", "/bulk/v8/write"),
        1,
        "the one that was refused"
    );
    pair.sync_equal();
}

#[test]
fn a_scope_that_is_missing_is_named() {
    const ALL: [&str; 5] = [
        "ZohoCRM.org.READ",
        "ZohoCRM.settings.fields.READ",
        "ZohoCRM.modules.ALL",
        "ZohoCRM.bulk.ALL",
        "ZohoFiles.files.ALL",
    ];
    let pair = Pair::over(Crm::start(40), Method::Incremental, Way::Upsert);
    let lines = pair.lines().join("\n") + "\n";
    for missing in ALL {
        let others: Vec<&str> = ALL.into_iter().filter(|scope| *scope != missing).collect();
        pair.crm.accounts().allow("sandbox-refresh", &others);
        pair.crm.accounts().end_access_tokens();
        let issued = pair.crm.accounts().token_counts().issued;
        let ended = pair.target().stdin(lines.clone()).finish();
        ended.expect_code(1);
        let word = missing.trim_end_matches("ALL").trim_end_matches("READ");
        ended.expect_log(word);
        let more = pair.crm.accounts().token_counts().issued - issued;
        assert!(more <= 2, "{more} tokens do not mend a scope");
        assert!(
            pair.state().is_none() && pair.crm.copies(COPIES).is_empty(),
            "{missing}"
        );
    }
    pair.crm.accounts().allow("sandbox-refresh", &[]);
    pair.crm.accounts().end_access_tokens();
    pair.sync_equal();
}

#[test]
fn a_job_that_fails_is_made_again_and_told_when_it_fails_for_good() {
    for way in WAYS {
        copes(&pair(way), &["job-fail:path=crm/write/,after=1,times=1"]);
        fails_and_recovers(
            &pair(way),
            &["job-fail:path=crm/write/,after=1"],
            75,
            &["failed", MODULE, "INTERNAL_SERVER_ERROR"],
        );
    }
}

#[test]
fn a_job_that_skips_rows_and_is_called_complete_is_not_believed() {
    for way in WAYS {
        let pair = pair(way);
        pair.crm
            .set_faults(&["partial:every-record=10,path=/bulk/v8/write"]);
        let ended = pair.run();
        ended.target.expect_code(3);
        let skipped = pair.rejects().len();
        assert!(skipped >= ROWS / 10 - 3, "{skipped}");
        assert_eq!(pair.crm.copies(way.module()).len(), ROWS - skipped);
        assert!(
            pair.rejects()
                .iter()
                .all(|reject| reject["code"] == "CANNOT_PROCESS")
        );
        // Every row of a job.
        let pair = self::pair(way);
        pair.crm
            .set_faults(&["partial:every-record=1,path=/bulk/v8/write"]);
        let ended = pair.run();
        assert!(
            matches!(ended.target.code(), Some(1 | 3)),
            "{}",
            ended.target.stderr
        );
        assert_eq!(pair.rejects().len(), ROWS);
        assert!(pair.crm.copies(way.module()).is_empty());
        // They are sent once more from the rejects, and stand there once.
        pair.crm.set_faults(&[]);
        std::fs::rename(
            pair.folder.file("rejects.jsonl"),
            pair.folder.file("failed.jsonl"),
        )
        .expect("rejects");
        pair.target()
            .args(["--input", "failed.jsonl"])
            .finish()
            .expect_code(0);
        pair.assert_equal();
    }
}

#[test]
fn rows_that_were_not_reached_are_sent_again_and_the_others_are_not() {
    for way in WAYS {
        copes(
            &pair(way),
            &["timeout:records=20,applied=20,path=/bulk/v8/write,times=1"],
        );
    }
}

#[test]
fn a_job_that_never_ends_is_given_up_after_its_time() {
    for way in WAYS {
        let pair = pair(way).target_keys(&json!({"job_timeout_seconds": 2}));
        pair.crm
            .set_faults(&["job-hang:path=crm/write/,polls=12,after=1,times=1"]);
        let ended = pair.run();
        ended.target.expect_code(75);
        ended.target.expect_log("job");
        pair.assert_true_state();
        pair.crm.set_faults(&[]);
        let pair = pair.target_keys(&json!({"job_timeout_seconds": 60}));
        finally_equal(&pair);
    }
}

#[test]
fn an_upload_that_succeeded_although_its_answer_was_lost_is_made_again() {
    for way in WAYS {
        for fault in [
            "reset:when=after,path=/upload,after=1,times=1",
            "cut:path=/upload,after=1,times=1",
            "error:status=502,path=/upload,times=1",
        ] {
            copes(&pair(way), &[fault]);
        }
    }
}

#[test]
fn errors_throttles_and_broken_connections_are_waited_out() {
    for (way, fault) in [
        (
            Way::Upsert,
            format!("error:status=503,{JOB},after=1,times=1,retry-after=1"),
        ),
        (Way::Upsert, format!("reset:{JOB},after=1,times=1")),
        (
            Way::Upsert,
            format!("throttle:{JOB},after=1,times=1,retry-after=1"),
        ),
        (
            Way::Insert,
            format!("throttle:{JOB},after=1,times=1,retry-after=1"),
        ),
        (Way::Insert, format!("cut:{RESULT},times=1")),
        (
            Way::Insert,
            "error:status=500,method=GET,path=/bulk/v8/write/,times=2".to_owned(),
        ),
        (
            Way::Insert,
            "revoke:method=POST,path=/bulk/v8/write,after=1,times=1".to_owned(),
        ),
    ] {
        copes(&pair(way), &[&fault]);
    }
}

#[test]
fn a_result_that_expired_or_is_damaged_confirms_nothing_by_itself() {
    for way in WAYS {
        for fault in [
            "zip-cut:path=/bulk-write/,times=1",
            "zip-cut:path=/bulk-write/",
            "link-expired:path=/bulk-write/",
        ] {
            let pair = pair(way);
            pair.crm.set_faults(&[fault]);
            let ended = pair.run();
            assert!(
                matches!(ended.target.code(), Some(0 | 1 | 75)),
                "{fault}: {}",
                ended.target.stderr
            );
            pair.assert_true_state();
            pair.crm.set_faults(&[]);
            if ended.target.code() == Some(0) {
                pair.assert_equal();
            } else {
                finally_equal(&pair);
            }
        }
    }
}

#[test]
fn files_over_the_limit_by_a_byte_or_a_row_are_cut() {
    for way in WAYS {
        // The service takes a row less than the target believes.
        let crm = Crm::start_with(ROWS, |options| options.crm.write_rows = 49);
        let pair =
            Pair::over(crm, Method::Incremental, way).stream_keys(&json!({"chunk_records": 50}));
        let ended = pair.run();
        ended.target.expect_code(1);
        ended.target.expect_log("LIMIT_EXCEEDED");
        pair.assert_true_state();
        let pair = pair.stream_keys(&json!({"chunk_records": 49}));
        finally_equal(&pair);
        // 413 for what is larger than a few rows make.
        let crm = Crm::start_with(ROWS, |options| options.crm.upload_bytes = 1_400);
        let pair = Pair::over(crm, Method::Incremental, way);
        pair.sync_equal();
        assert!(pair.crm.requests("POST", "/upload") > 3);
        copes(&self::pair(way), &["too-large:bytes=2000,path=/upload"]);
    }
}

#[test]
fn a_row_that_no_file_takes_is_a_reject() {
    let crm = Crm::start_with(5, |options| options.crm.upload_bytes = 2_000);
    let pair = Pair::over(crm, Method::Incremental, Way::Upsert);
    let mut seed = 1_u64;
    let noise: String = (0..1_900)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + ((seed >> 33) % 90) as u8)
        })
        .collect();
    let id = pair.crm.ids()[2];
    let row = json!([{"id": id.to_string(), "Notes": noise, "Modified_Time": "2026-01-06T00:00:00+00:00"}]);
    pair.crm.put(MODULE, &row);
    let ended = pair.run();
    ended.target.expect_code(3);
    assert_eq!(pair.rejects().len(), 1);
    assert_eq!(pair.rejects()[0]["record"]["Source_Id"], id.to_string());
    assert_eq!(pair.crm.copies(COPIES).len(), 4);
}

#[test]
fn credits_that_run_out_end_the_run_with_75_and_a_floor_is_never_crossed() {
    for way in WAYS {
        let crm = Crm::start_with(ROWS, |options| options.crm.credits = 10_000);
        let pair = Pair::over(crm, Method::Incremental, way)
            .stream_keys(&json!({"chunk_records": 50}))
            .target_keys(&json!({"min_credits": 700}));
        let left = |pair: &Pair| pair.crm.inside().credits_view().remaining;
        // Enough for the tap and for one job above the floor.
        assert!(pair.crm.inside().use_credits(10_000 - 1_500));
        let ended = pair.run();
        ended.target.expect_code(75);
        ended.target.expect_log("min_credits");
        assert!(left(&pair) >= 700, "{} credits are left", left(&pair));
        assert_eq!(pair.crm.copies(way.module()).len(), 50);
        pair.assert_true_state();
        // Others may have spent the rest meanwhile, of which the service tells in its own words.
        let pair = pair.target_keys(&json!({"min_credits": 0, "patience_seconds": 1}));
        let fault = format!("throttle:{JOB}");
        pair.crm.set_faults(&[&fault]);
        if way == Way::Insert {
            // Page tokens are older than a day once credits are back, and what is read anew is new to an insert.
            continue;
        }
        pair.crm.accounts().advance(90_000);
        let ended = pair.run();
        ended.target.expect_code(75);
        ended.target.expect_log("TOO_MANY_REQUESTS");
        pair.assert_true_state();
        pair.crm.set_faults(&[]);
        finally_equal(&pair);
    }
}

#[test]
fn keys_and_values_that_the_service_reads_otherwise() {
    // Reserved letters of a CSV in the key, in a file whose rows come back by it.
    let pair = Pair::over(Crm::start(20), Method::Incremental, Way::Upsert)
        .map_keys(&json!({"filter": ".id += \"\\\",\\n;'\" | .Notes = \"a\\r\\nb\\\"\""}));
    pair.sync();
    assert_eq!(pair.crm.dump(COPIES).len(), 20);
    pair.revise(&pair.crm.ids()[..5], 2);
    pair.sync();
    assert_eq!(pair.crm.dump(COPIES).len(), 20);
}

#[test]
fn records_that_are_blocked_are_rejects() {
    let pair = pair(Way::Upsert);
    pair.sync_equal();
    let copies = pair.crm.copies(COPIES);
    let ids = pair.crm.ids();
    let blocked = copies[&ids[0].to_string()]["id"]
        .as_str()
        .and_then(|id| id.parse().ok());
    pair.crm
        .inside()
        .block(&[blocked.expect("an id")], "BLOCKED_RECORD");
    pair.revise(&ids[..3], 2);
    let ended = pair.run();
    ended.target.expect_code(3);
    assert_eq!(pair.rejects().len(), 1);
    assert_eq!(pair.rejects()[0]["code"], "BLOCKED_RECORD");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_doubled() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full");
    if full().is_err() {
        return;
    }
    for way in WAYS {
        let pair = pair(way);
        let lines = pair.lines().join("\n") + "\n";
        let target = pair.target().stdout(full().expect("it is there"));
        let ended = target.stdin(lines).finish();
        ended.expect_code(1);
        finally_equal(&pair);
    }
    // A journal that cannot be written lets nothing be inserted.
    let pair = pair(Way::Insert).target_keys(&json!({"journal_path": "nowhere/journal"}));
    let ended = pair.run();
    assert!(
        matches!(ended.target.code(), Some(1 | 2)),
        "{}",
        ended.target.stderr
    );
    ended.target.expect_log("nowhere/journal");
    assert!(pair.crm.copies(LOOSE_COPIES).is_empty());
}
