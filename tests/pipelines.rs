//! The two programs end to end, over a real PostgreSQL and a stand-in of Pendo: first loads, changes,
//! states, faults of the service, exit codes. Every test ends with the same question: does the
//! destination hold what the table holds? What happens when one half dies is asked in `crash.rs`.

use std::time::{Duration, Instant};

use sandbox::pendo::Kind;
use serde_json::{Value, json};
use singer_test::bin::Run;
use singer_test::pipe::{self, Cut};
use singer_test::poll;
use singer_test::stream::{self, Messages};
use suite::pair::{Method, Pair};

#[test]
fn a_full_load_brings_every_row() {
    let pair = Pair::new(25_000, Method::FullTable);
    let ended = pair.run(Cut::Never);
    ended.expect_success();
    pair.assert_equal();
    Messages::parse(&ended.tap.stdout, stream::Cut::Never).assert_sound();
    let state = pair.state().expect("a full load leaves a state");
    assert_eq!(state["currently_syncing"], Value::Null);
}

#[test]
fn an_incremental_run_brings_only_what_changed() {
    let pair = Pair::new(25_000, Method::Incremental);
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
    pair.fill(100..=250, 2);
    pair.fill(25_001..=25_050, 2);
    let applied = pair.pendo.applied(Kind::Account);
    let ended = pair.run(Cut::Never);
    ended.expect_success();
    pair.assert_equal();
    // 201 rows, and the row that stands at the bookmark.
    assert_eq!(pair.pendo.applied(Kind::Account) - applied, 202);
    let messages = Messages::parse(&ended.tap.stdout, stream::Cut::Never);
    assert_eq!(messages.records("account").len(), 202);
}

#[test]
fn a_run_that_finds_nothing_new_keeps_the_state() {
    let pair = Pair::new(1_000, Method::Incremental);
    pair.run(Cut::Never).expect_success();
    let first = pair.state().expect("a state");
    for _ in 0..3 {
        pair.run(Cut::Never).expect_success();
        assert_eq!(
            pair.state().expect("a state")["bookmarks"],
            first["bookmarks"]
        );
    }
    pair.assert_equal();
}

#[test]
fn an_empty_table_is_no_error() {
    for method in [Method::FullTable, Method::Incremental] {
        let pair = Pair::new(0, method);
        pair.run(Cut::Never).expect_success();
        pair.assert_equal();
        pair.fill(1..=10, 1);
        pair.run(Cut::Never).expect_success();
        pair.assert_equal();
    }
}

#[test]
fn the_state_of_the_shell_works_too() {
    let pair = Pair::new(1_000, Method::Incremental);
    let script = |tap: &str| {
        format!(
            "set -euo pipefail; \"$TAP\" -c tap.json --catalog catalog.json {tap} | \"$TARGET\" -c target.json >> states.jsonl"
        )
    };
    pair.target();
    let run = |tap: &str| {
        Run::program("bash")
            .args(["-c", &script(tap)])
            .folder(pair.folder.path())
            .env("TAP", singer_test::bin::binary("tap-redshift"))
            .env("TARGET", singer_test::bin::binary("target-pendo"))
            .finish()
    };
    run("").expect_code(0);
    pair.fill(1..=5, 2);
    let applied = pair.pendo.applied(Kind::Account);
    run("-s states.jsonl").expect_code(0);
    pair.assert_equal();
    assert_eq!(pair.pendo.applied(Kind::Account) - applied, 6);
}

#[test]
fn several_streams_side_by_side_arrive_in_their_kinds() {
    let pair = Pair::new(12_000, Method::FullTable);
    pair.database.execute(
        "CREATE TABLE visitor AS SELECT 'v' || n AS id, 'name ' || n AS name FROM generate_series(1, 12000) AS n;
         ALTER TABLE visitor ADD PRIMARY KEY (id)",
    );
    pair.pendo.know(
        Kind::Visitor,
        pair.database.column("SELECT id FROM visitor"),
    );
    pair.pendo.set_fields(Kind::Visitor, &[("name", "string")]);
    let tap = Run::of("tap-redshift")
        .folder(pair.folder.path())
        .args(["-c", "tap.json", "--select", "*", "--jobs"])
        .arg(if pair.database.takes_one_connection() {
            "1"
        } else {
            "4"
        });
    pipe::run(tap, pair.target(), Cut::Never).expect_success();
    pair.assert_equal();
    let visitors = pair.pendo.custom(Kind::Visitor);
    assert_eq!(visitors.len(), 12_000);
    assert_eq!(visitors["v7"], json!({"name": "name 7"}));
}

#[test]
fn ids_that_pendo_does_not_know_are_listed_and_are_no_error() {
    let pair = Pair::new(1_000, Method::FullTable);
    pair.database
        .execute("INSERT INTO account (id, name, updated_at) VALUES ('stranger', 'x', now())");
    pair.run(Cut::Never).expect_success();
    let rejects = pair.folder.read("target-pendo.rejects.jsonl");
    let reject: Value = serde_json::from_str(rejects.trim_end()).expect("one reject");
    assert_eq!(
        (&reject["reason"], &reject["stream"]),
        (&json!("missing"), &json!("account"))
    );
    pair.database
        .execute("DELETE FROM account WHERE id = 'stranger'");
    pair.assert_equal();
}

#[test]
fn only_changed_sends_only_what_changed() {
    let mut pair = Pair::new(5_000, Method::FullTable);
    let memory = pair.folder.file("memory");
    pair.target_config
        .insert("memory_path".to_owned(), json!(memory));
    pair.target_config.insert(
        "streams".to_owned(),
        json!({"account": {"kind": "account", "only_changed": true}}),
    );
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
    pair.fill(11..=17, 2);
    let applied = pair.pendo.applied(Kind::Account);
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
    assert_eq!(pair.pendo.applied(Kind::Account) - applied, 7);
}

#[test]
fn faults_that_pass_lose_nothing() {
    for faults in [
        &["throttle:every=5,retry-after=0"][..],
        &["error:status=503,every=6,burst=2"],
        &["error:status=500,times=3"],
        &["reset:every=7"],
        &["reset:when=after,every=5"],
        &["empty:every=9"],
        &["cut:every=8"],
        &["slow:ms=20,jitter=30"],
        &["timeout:records=60,applied=30,times=4"],
        &["too-large:bytes=6000"],
        &[
            "throttle:chance=0.1,retry-after=0,seed=3",
            "reset:chance=0.1,when=after,seed=4",
            "error:chance=0.05,seed=5",
        ],
    ] {
        let mut pair = Pair::new(3_000, Method::Incremental);
        pair.target_config.insert("attempts".to_owned(), json!(12));
        pair.pendo.set_faults(faults);
        let ended = pair.run(Cut::Never);
        assert_eq!(
            ended.target.code(),
            Some(0),
            "{faults:?}:\n{}",
            ended.target.stderr
        );
        ended.expect_success();
        pair.assert_equal();
    }
}

#[test]
fn partial_success_is_read_and_not_trusted() {
    let pair = Pair::new(1_000, Method::FullTable);
    pair.pendo
        .set_faults(&["partial:every-record=10,path=/value,times=1"]);
    let ended = pair.run(Cut::Never);
    ended.tap.expect_code(0);
    ended.target.expect_code(3);
    let rejected = pair.folder.read_json_lines("target-pendo.rejects.jsonl");
    assert!(!rejected.is_empty());
    let stored = pair.stored();
    assert_eq!(
        stored.len() + rejected.len(),
        1_000,
        "each row arrived or is listed"
    );
    // The service has recovered: the list is fed back as it is.
    pair.pendo.set_faults(&[]);
    let replay = pair
        .target()
        .args(["--input", "target-pendo.rejects.jsonl"])
        .finish();
    replay.expect_code(0);
    pair.assert_equal();
}

#[test]
fn a_key_that_is_refused_ends_the_run_before_anything_is_written() {
    for faults in [&["expire"][..], &["expire:status=403"]] {
        let pair = Pair::new(1_000, Method::FullTable);
        pair.pendo.set_faults(faults);
        let ended = pair.run(Cut::Never);
        ended
            .target
            .expect_code(1)
            .expect_log("CRITICAL target-pendo")
            .expect_log("hint:");
        assert!(pair.state().is_none());
        assert!(pair.stored().is_empty());
        pair.pendo.set_faults(&[]);
        pair.run(Cut::Never).expect_success();
        pair.assert_equal();
    }
}

#[test]
fn a_key_that_expires_in_the_middle_leaves_a_state_that_is_true() {
    let pair = Pair::new(30_000, Method::Incremental);
    pair.pendo.set_faults(&["expire:after=220"]);
    let ended = pair.run(Cut::Never);
    ended.target.expect_code(1);
    let bookmark = pair.state().map(|state| state["bookmarks"].clone());
    pair.pendo.set_faults(&[]);
    let resumed = pair.run(Cut::Never);
    resumed.expect_success();
    pair.assert_equal();
    let records = Messages::parse(&resumed.tap.stdout, stream::Cut::Never)
        .records("account")
        .len();
    assert_eq!(
        records < 30_000,
        bookmark.is_some(),
        "{records} records after {bookmark:?}"
    );
}

#[test]
fn a_service_out_of_reach_is_exit_75() {
    let mut pair = Pair::new(1_000, Method::FullTable);
    pair.target_config.insert("attempts".to_owned(), json!(2));
    pair.pendo.set_faults(&["error:status=503"]);
    pair.run(Cut::Never)
        .target
        .expect_code(75)
        .expect_log("CRITICAL target-pendo");
    pair.pendo.set_faults(&["throttle:retry-after=0"]);
    pair.run(Cut::Never).target.expect_code(75);
    assert!(pair.state().is_none() && pair.stored().is_empty());
    pair.pendo.set_faults(&[]);
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
}

#[test]
fn a_database_out_of_reach_is_exit_75() {
    let pair = Pair::new(10, Method::FullTable);
    let mut config = pair.database.tap_config();
    config["port"] = json!(1);
    pair.folder.write_json("tap.json", &config);
    let ended = pair.run(Cut::Never);
    ended
        .tap
        .expect_code(75)
        .expect_log("CRITICAL tap-redshift");
    // The target cannot tell this from a tap that had nothing to say.
    ended.target.expect_code(0);
    assert!(pair.state().is_none());
}

#[test]
fn a_wrong_password_is_exit_1() {
    let pair = Pair::new(10, Method::FullTable);
    let mut config = pair.database.tap_config();
    config["password"] = json!("not this one");
    pair.folder.write_json("tap.json", &config);
    let ended = pair.run(Cut::Never);
    ended
        .tap
        .expect_code(1)
        .expect_log("CRITICAL tap-redshift")
        .expect_log("hint:");
    assert!(
        !ended.tap.stderr.contains("not this one"),
        "a password in the log"
    );
}

#[test]
fn a_target_that_cannot_write_a_stream_says_so_before_the_first_write() {
    let pair = Pair::new(1_000, Method::FullTable);
    pair.pendo
        .set_fields(Kind::Account, &[("name", "string"), ("seats", "boolean")]);
    let ended = pair.run(Cut::Never);
    ended
        .target
        .expect_code(2)
        .expect_log("seats")
        .expect_log("updated_at")
        .expect_log("hint:");
    assert_eq!(pair.pendo.applied(Kind::Account), 0);
    assert!(pair.state().is_none());
    // The tap met a closed pipe, which is no fault of its own.
    assert!(
        !ended.tap.stderr.contains("CRITICAL"),
        "{}",
        ended.tap.stderr
    );
}

#[test]
fn a_table_that_fails_does_not_stop_the_others() {
    let mut pair = Pair::new(1_000, Method::FullTable);
    let trap = json!({"kind": "account", "id": "id", "fields": {"name": "name"}});
    let streams = json!({"account": {"kind": "account"}, "trap": trap});
    pair.target_config.insert("streams".to_owned(), streams);
    pair.database.execute(
        "CREATE TABLE broken AS SELECT n AS id, 'x'::text AS name FROM generate_series(1, 10) AS n;
         ALTER TABLE broken ADD PRIMARY KEY (id);
         CREATE VIEW trap AS SELECT id, 1 / (id - 5) AS name FROM broken;",
    );
    let run = Run::of("tap-redshift")
        .folder(pair.folder.path())
        .args(["-c", "tap.json"]);
    let ended = pipe::run(
        run.args(["--select", "*account", "--select", "*trap"]),
        pair.target(),
        Cut::Never,
    );
    ended.tap.expect_code(1).expect_log("trap");
    pair.assert_equal();
}

#[test]
fn a_slow_service_holds_the_tap_back() {
    let pair = Pair::new(60_000, Method::Incremental);
    pair.pendo.set_faults(&["slow:ms=600000,path=/value"]);
    let pipeline = pipe::start(pair.tap(), pair.target(), Cut::Never);
    // Some requests hang; queues and pipes are full, and everything stands still.
    poll::until("something has reached the service", || {
        !pair.stored().is_empty()
    });
    let mut last = (pipeline.processor_time(), Instant::now());
    poll::until("both halves stand still", || {
        let now = pipeline.processor_time();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(500)
    });
    let memory = pipeline.memory_bytes();
    assert!(
        memory < 256 << 20,
        "{memory} bytes for both halves, of which nothing moves"
    );
    drop(pipeline);
}

#[test]
fn metric_lines_are_those_that_other_tools_read() {
    let pair = Pair::new(100, Method::FullTable);
    let ended = pair.run(Cut::Never);
    for half in [&ended.tap, &ended.target] {
        let metrics: Vec<Value> = half
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("INFO METRIC: "))
            .map(|text| serde_json::from_str(text).expect("a metric is JSON"))
            .collect();
        let of = |name: &str| {
            metrics
                .iter()
                .filter(|metric| metric["metric"] == name)
                .collect::<Vec<_>>()
        };
        let records: u64 = of("record_count")
            .iter()
            .filter_map(|metric| metric["value"].as_u64())
            .sum();
        assert_eq!(records, 100, "{}", half.stderr);
        let timers = of("job_duration");
        assert!(
            timers
                .iter()
                .any(|timer| timer["tags"]["status"] == "succeeded"),
            "{}",
            half.stderr
        );
    }
}

#[test]
fn secrets_and_values_stay_out_of_the_logs() {
    let pair = Pair::new(200, Method::FullTable);
    let secret = pair.database.tap_config()["password"]
        .as_str()
        .expect("a password")
        .to_owned();
    let target = pair.target().arg("-vv");
    let ended = pipe::run(pair.tap().arg("-vv"), target, Cut::Never);
    ended.expect_success();
    for half in [&ended.tap.stderr, &ended.target.stderr] {
        for forbidden in [
            secret.as_str(),
            singer_test::pendo::KEY,
            "Zo\u{eb}",
            "name 2 1",
        ] {
            assert!(
                !half.contains(forbidden),
                "`{forbidden}` in the log:\n{half}"
            );
        }
    }
}
