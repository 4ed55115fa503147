//! `antiphon list`, `history`, `logs`, `rejects`: what is kept of runs of foreign taps and targets, also of
//! one whose runner was killed.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a helper of a test fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run, Running, Signal};
use singer_test::folder::Folder;
use singer_test::poll;

/// Says what the file `tap.says` says, then waits for the file `go` if `tap.waits` is there.
const TAP: &str = r#"#!/bin/sh
echo "INFO the tap starts" >&2
cat tap.says
echo "INFO METRIC: {\"type\":\"counter\",\"metric\":\"record_count\",\"value\":$(grep -c RECORD tap.says),\"tags\":{\"endpoint\":\"s\"}}" >&2
echo "INFO said" >&2
if [ -e tap.waits ]; then
    while [ ! -e go ]; do sleep 0.05; done
    echo "INFO the wait is over" >&2
fi
if [ -e tap.fails ]; then
    echo "CRITICAL cannot read the source" >&2
    exit 1
fi
"#;

/// Takes records; prints states; refuses what `refuses` matches, into its own file.
const TARGET: &str = r#"#!/bin/sh
input=
for word in "$@"; do
    if [ "$word" = --help ]; then echo "usage: target [--config FILE] $(cat target.help)"; exit; fi
    if [ "$before" = --input ]; then input=$word; fi
    before=$word
done
refuse() {
    echo "{\"stream\":\"$1\",\"key\":null,\"record\":$2,\"reason\":\"$3\",\"code\":\"E1\",\"line\":1,\"attempts\":$4,\"at\":\"2026-01-0$4T00:00:00Z\",\"run_id\":\"x\"}" >> refused.jsonl
}
if [ -n "$input" ]; then
    if [ -e replay.fails ]; then echo "CRITICAL no way" >&2; exit 1; fi
    while read -r line; do
        record=$(echo "$line" | sed 's/.*"record":\({[^}]*}\).*/\1/')
        case $record in
            *never*) refuse s "$record" "still not" 2 ;;
            *) echo "$record" >> taken.jsonl ;;
        esac
    done < "$input"
    exit 0
fi
while read -r line; do
    case $line in
        *STATE*) echo "$line" | sed 's/.*"value": *\(.*\)}$/\1/' ;;
        *never*|*later*) refuse s "$(echo "$line" | sed 's/.*"record":\({[^}]*}\).*/\1/')" "not now" 1 ;;
    esac
done
"#;

const PROJECT: &str = r#"
[pipelines.a]
tap = { exec = "./tap" }
target = { exec = "./target", rejects_path = "refused.jsonl" }
schedule = "@hourly"
retries = 0
grace = "1s"
count = "metrics"

[pipelines.b]
tap = { exec = "./tap" }
target = { exec = "./target" }
"#;

const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}"#;

fn says(records: &[&str], state: u64) -> String {
    let mut text = format!("{SCHEMA}\n");
    for record in records {
        text.push_str(&format!(
            "{{\"type\":\"RECORD\",\"stream\":\"s\",\"record\":{record}}}\n"
        ));
    }
    text.push_str(&format!(
        "{{\"type\":\"STATE\",\"value\":{{\"at\":{state}}}}}\n"
    ));
    text
}

fn project() -> Folder {
    let folder = Folder::new();
    folder.write("antiphon.toml", PROJECT);
    folder.write("tap.says", says(&[r#"{"id":1}"#, r#"{"id":2}"#], 1));
    folder.write("target.help", "[--input FILE]");
    for (name, text) in [("tap", TAP), ("target", TARGET)] {
        let path = folder.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn prepared(folder: &Folder, args: &[&str]) -> Run {
    Run::of("antiphon").args(args).folder(folder.path())
}

fn antiphon(folder: &Folder, args: &[&str]) -> Finished {
    prepared(folder, args).finish()
}

fn lines(finished: &Finished) -> Vec<Value> {
    finished
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn history(folder: &Folder, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["history", "--format", "json"];
    all.extend(args);
    let finished = antiphon(folder, &all);
    finished.expect_code(0);
    lines(&finished)
}

fn rejects(folder: &Folder, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["rejects", "a", "list", "--format", "json"];
    all.extend(args);
    let finished = antiphon(folder, &all);
    finished.expect_code(0);
    lines(&finished)
}

fn run_id(summary: &Value) -> String {
    summary["run"].as_str().unwrap().to_owned()
}

/// Puts fixed values in the place of those that differ from run to run.
fn settled(mut value: Value) -> Value {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let changes = [
                        "run",
                        "host",
                        "started_at",
                        "duration_seconds",
                        "next_at",
                        "since",
                        "rate",
                    ];
                    if changes.contains(&key.as_str()) && !value.is_null() {
                        *value = json!("…");
                    } else {
                        settle(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(settle),
            _ => {}
        }
    }
    settle(&mut value);
    value
}

/// A runner whose tap waits after what it said, once its first state is stored.
fn under_way(folder: &Folder) -> Running {
    folder.write("tap.waits", "");
    let running = prepared(folder, &["run", "a"]).start();
    let state = folder.file(".antiphon/pipelines/a/state/00000001.json");
    poll::until("the state is stored", || state.exists());
    running
}

#[test]
fn a_run_is_kept_with_its_counts_and_states() {
    let folder = project();
    antiphon(&folder, &["run", "a"]).expect_code(0);
    let runs = history(&folder, &["a"]);
    assert_eq!(runs.len(), 1);
    let run = settled(runs[0].clone());
    assert_eq!(run["pipeline"], "a");
    assert_eq!(run["kind"], "sync");
    assert_eq!(run["outcome"], "succeeded");
    assert_eq!(run["exit_code"], 0);
    assert_eq!(run["attempts"], 1);
    assert_eq!(run["fault"], Value::Null);
    assert_eq!(run["rejects"], 0);
    assert_eq!(run["state_before"], Value::Null);
    assert_eq!(run["state_after"], 1);
    assert_eq!(run["streams"]["s"]["records"], 2, "{run:#}");
    assert_eq!(run["stages"].as_array().unwrap().len(), 2, "{run:#}");

    let text = antiphon(&folder, &["history"]).text();
    let head = text.lines().next().unwrap();
    assert!(
        head.starts_with("RUN ") && head.contains("  STATE"),
        "{text}"
    );
    assert!(text.contains("  succeeded  "), "{text}");
    let whole = antiphon(&folder, &["history", &run_id(&runs[0])]).text();
    assert!(
        whole.contains("outcome   succeeded (exit code 0)"),
        "{whole}"
    );
    assert!(whole.contains("state     - -> 1"), "{whole}");
    assert!(whole.contains("  antiphon logs "), "{whole}");
}

#[test]
fn a_failed_run_tells_where_and_why() {
    let folder = project();
    antiphon(&folder, &["run", "a"]).expect_code(0);
    folder.write("tap.fails", "");
    antiphon(&folder, &["run", "a"]).expect_code(1);
    let failed = history(&folder, &["--failed", "--since", "1h"]);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["fault"]["stage"], "tap");
    assert_eq!(failed[0]["fault"]["message"], "cannot read the source");
    let id = run_id(&failed[0]);
    let whole = antiphon(&folder, &["history", "--run", &id]).text();
    assert!(
        whole.contains("fault     tap (exit code 1): cannot read the source"),
        "{whole}"
    );
    assert_eq!(history(&folder, &["--limit", "1"])[0]["run"], id.as_str());
    assert!(history(&folder, &["b"]).is_empty());
    assert!(history(&folder, &["--since", "2999-01-01"]).is_empty());
}

#[test]
fn names_that_nobody_knows_are_told() {
    let folder = project();
    for args in [
        vec!["history", "nope"],
        vec!["logs", "nope"],
        vec!["rejects", "nope", "list"],
        vec!["rejects", "nope", "replay"],
        vec!["history", "--since", "yesterday"],
        vec!["logs", "a"],
        vec!["logs"],
        vec!["rejects", "a", "list", "--run", "nope"],
    ] {
        let ended = antiphon(&folder, &args);
        assert_eq!(ended.code(), Some(2), "{args:?}: {}", ended.stderr);
        ended.expect_log("CRITICAL antiphon: ");
    }
}

#[test]
fn every_pipeline_is_listed() {
    let folder = project();
    antiphon(&folder, &["run", "a"]).expect_code(0);
    let listed = antiphon(&folder, &["list", "--format", "json"]);
    listed.expect_code(0);
    let listed: Vec<Value> = lines(&listed).into_iter().map(settled).collect();
    let brief = json!({
        "run": "…", "kind": "sync", "is_partial": false, "started_at": "…", "duration_seconds": "…",
        "outcome": "succeeded", "exit_code": 0, "stage": null, "words": null, "records": 2,
        "rejects": 0, "state_before": null, "state_after": 1,
    });
    let mut first = listed[0].clone();
    for key in ["last", "last_good"] {
        first[key].as_object_mut().unwrap().remove("schemas");
        first[key]
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_array());
    }
    assert_eq!(
        first,
        json!({
            "pipeline": "a", "schedule": "@hourly", "next_at": "…", "running": null,
            "last": brief, "last_good": brief, "rejects_open": 0, "outcomes": ["succeeded"],
        })
    );
    assert_eq!(
        listed[1],
        json!({
            "pipeline": "b", "schedule": null, "next_at": null, "running": null,
            "last": null, "last_good": null, "rejects_open": 0, "outcomes": [],
        })
    );
    let text = antiphon(&folder, &["list"]).text();
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert!(rows[1].starts_with("a         -    succeeded  "), "{text}");
    assert!(rows[2].starts_with("b         -    never ran  "), "{text}");
}

#[test]
fn logs_are_read_whole_by_their_end_and_by_pipeline() {
    let folder = project();
    antiphon(&folder, &["run", "a"]).expect_code(0);
    let id = run_id(&history(&folder, &[])[0]);
    let whole = antiphon(&folder, &["logs", &id]);
    whole.expect_code(0);
    let whole = whole.text();
    assert!(whole.contains("the tap starts"), "{whole}");
    assert_eq!(antiphon(&folder, &["logs", "a"]).text(), whole);
    assert_eq!(antiphon(&folder, &["logs"]).text(), whole);
    let tail = antiphon(&folder, &["logs", "--tail", "1", &id]).text();
    assert_eq!(
        tail.lines().collect::<Vec<_>>(),
        [whole.lines().last().unwrap()]
    );
    assert_eq!(antiphon(&folder, &["logs", "--tail", "0"]).text(), "");
}

#[test]
fn a_log_is_followed_until_the_run_ends() {
    let folder = project();
    let running = under_way(&folder);
    let listed = lines(&antiphon(&folder, &["list", "--format", "json"]));
    assert!(listed[0]["running"]["run"].is_string(), "{listed:#?}");
    let follower = prepared(&folder, &["logs", "a", "--follow"]).start();
    follower.wait_for_lines(2);
    // Without --follow it is read as far as it goes.
    let now = antiphon(&folder, &["logs", "a"]);
    now.expect_code(0);
    assert!(now.text().contains("the tap starts"));
    assert!(!now.text().contains("the wait is over"));
    folder.write("go", "");
    running.finish().expect_code(0);
    let followed = follower.finish();
    followed.expect_code(0);
    assert!(
        followed.text().contains("the wait is over"),
        "{}",
        followed.text()
    );
    assert!(followed.text().starts_with(&now.text()));
}

#[test]
fn a_run_whose_runner_was_killed_is_kept_as_died() {
    let folder = project();
    let running = under_way(&folder);
    let killed = running.kill();
    assert_eq!(killed.signal(), Some(9));
    fs::remove_file(folder.file("tap.waits")).unwrap();
    folder.write("tap.says", says(&[], 2));
    antiphon(&folder, &["run", "a"]).expect_code(0);
    let runs = history(&folder, &["a"]);
    assert_eq!(runs.len(), 2);
    let died = &runs[1];
    assert_eq!(died["outcome"], "died");
    assert_eq!(died["fault"]["stage"], "antiphon");
    assert_eq!(died["state_before"], Value::Null);
    assert_eq!(died["state_after"], 1);
    assert_eq!(runs[0]["outcome"], "succeeded");
    let log = antiphon(&folder, &["logs", &run_id(died)]);
    log.expect_code(0);
    assert!(log.text().contains("the tap starts"));
    let left = fs::read_dir(folder.file(".antiphon/work/a"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "nothing is left of either run");
    let listed = lines(&antiphon(&folder, &["list", "--format", "json"]));
    assert_eq!(listed[0]["outcomes"], json!(["died", "succeeded"]));
    assert_eq!(listed[0]["running"], Value::Null);
}

/// Two runs that leave three open rejects, one of them twice.
fn refused() -> Folder {
    let folder = project();
    folder.write(
        "tap.says",
        says(&[r#"{"id":1,"x":"never"}"#, r#"{"id":2,"x":"later"}"#], 1),
    );
    antiphon(&folder, &["run", "a"]).expect_code(3);
    folder.write(
        "tap.says",
        says(&[r#"{"id":3}"#, r#"{"id":2,"x":"later"}"#], 2),
    );
    antiphon(&folder, &["run", "a"]).expect_code(3);
    folder
}

#[test]
fn open_rejects_are_counted_and_shown() {
    let folder = refused();
    let listed: Vec<Value> = rejects(&folder, &[]).into_iter().map(settled).collect();
    let line = |records| {
        json!({
            "run": "…", "stream": "s", "code": "E1", "reason": "not now", "records": records,
            "first_at": "2026-01-01T00:00:00Z", "last_at": "2026-01-01T00:00:00Z", "attempts": 1,
        })
    };
    assert_eq!(listed, [line(2), line(1)]);
    let text = antiphon(&folder, &["rejects", "a", "list"]).text();
    assert!(text.contains("not now"), "{text}");
    assert!(!text.contains("later"), "no record is shown: {text}");
    assert!(rejects(&folder, &["--stream", "other*"]).is_empty());
    let shown = antiphon(&folder, &["rejects", "a", "show", "--limit", "2"]);
    let records: Vec<Value> = lines(&shown)
        .iter()
        .map(|line| line["record"].clone())
        .collect();
    assert_eq!(
        records,
        [
            json!({"id": 1, "x": "never"}),
            json!({"id": 2, "x": "later"})
        ]
    );
    let whole = antiphon(&folder, &["list", "--format", "json"]);
    assert_eq!(lines(&whole)[0]["rejects_open"], 3);
}

#[test]
fn a_replay_sends_each_record_once_and_keeps_what_fails_again() {
    let folder = refused();
    let replay = antiphon(&folder, &["rejects", "a", "replay"]);
    replay.expect_code(3);
    assert!(
        replay
            .text()
            .starts_with("1 of 2 records were taken, 1 refused again"),
        "{}",
        replay.text()
    );
    assert_eq!(folder.read("taken.jsonl"), "{\"id\":2,\"x\":\"later\"}\n");
    let listed = rejects(&folder, &[]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["reason"], "still not");
    assert_eq!(listed[0]["attempts"], 2);
    let runs = history(&folder, &["a"]);
    assert_eq!(runs[0]["kind"], "replay");
    assert_eq!(listed[0]["run"], runs[0]["run"]);
    assert_eq!(runs[0]["state_after"], 2, "a replay moves no state");
    let listed = lines(&antiphon(&folder, &["list", "--format", "json"]));
    assert_eq!(listed[0]["rejects_open"], 1);
    assert_eq!(listed[0]["last_good"]["kind"], "sync");
    let left = fs::read_dir(folder.file(".antiphon/work/a"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what was sent lies nowhere");
}

#[test]
fn a_replay_that_fails_leaves_all_open() {
    let folder = refused();
    let before = rejects(&folder, &[]);
    folder.write("replay.fails", "");
    antiphon(&folder, &["rejects", "a", "replay"]).expect_code(1);
    assert_eq!(rejects(&folder, &[]), before);
    // A target that cannot read rejects is not even started.
    folder.write("target.help", "");
    let unfit = antiphon(&folder, &["rejects", "a", "replay"]);
    unfit.expect_code(2).expect_log("it has no `--input`");
    assert_eq!(rejects(&folder, &[]), before);
    assert_eq!(history(&folder, &["a"]).len(), 3);
}

#[test]
fn what_is_cleared_is_kept_beside() {
    let folder = refused();
    let newest = run_id(&history(&folder, &["a"])[0]);
    let none = antiphon(&folder, &["rejects", "a", "clear", "--stream", "other"]);
    assert_eq!(none.text(), "there was nothing to clear\n");
    let cleared = antiphon(&folder, &["rejects", "a", "clear", "--run", &newest]);
    cleared.expect_code(0);
    assert_eq!(cleared.text(), format!("cleared 1 rejects of {newest}\n"));
    assert_eq!(rejects(&folder, &[]).len(), 1);
    // All of them are of January; what is younger than a hundred years stays.
    antiphon(&folder, &["rejects", "a", "clear", "--older-than", "3650d"]).expect_code(0);
    assert_eq!(rejects(&folder, &[]).len(), 1);
    antiphon(&folder, &["rejects", "a", "clear"]).expect_code(0);
    assert!(rejects(&folder, &[]).is_empty());
    let listed = lines(&antiphon(&folder, &["list", "--format", "json"]));
    assert_eq!(listed[0]["rejects_open"], 0);
    let nothing = antiphon(&folder, &["rejects", "a", "replay"]);
    assert_eq!(nothing.text(), "`a` has no open rejects\n");
}

#[test]
fn rejects_of_a_pipeline_at_work_are_left_alone() {
    let folder = refused();
    folder.write("tap.says", says(&[], 3));
    folder.write("tap.waits", "");
    let running = prepared(&folder, &["run", "a"]).start();
    running.wait_for_log("INFO said");
    for command in ["clear", "replay"] {
        let busy = antiphon(&folder, &["rejects", "a", command]);
        busy.expect_code(75).expect_log("`a` is at work");
    }
    assert_eq!(rejects(&folder, &[]).len(), 2);
    running.signal(Signal::Terminate);
    running.finish().expect_code(143);
}
