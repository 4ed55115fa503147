//! `antiphon tally`: what comes out is what came in, and the report says what it was.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use singer_test::bin::{Run, Signal, binary};
use singer_test::folder::Folder;
use singer_test::poll;

fn record(stream: &str, id: usize) -> String {
    json!({"type": "RECORD", "stream": stream, "record": {"id": id, "name": "naïve 😀"}})
        .to_string()
        + "\n"
}

fn report(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[test]
fn bytes_pass_unchanged_and_the_report_counts_them() {
    let folder = Folder::new();
    let path = folder.file("tally.report.json");
    let mut input = Vec::new();
    input.extend_from_slice(
        b"{\"type\":\"SCHEMA\",\"stream\":\"a\",\"schema\":{},\"key_properties\":[]}\r\n\n",
    );
    for id in 0..30_000 {
        input.extend_from_slice(record("a", id).as_bytes());
        input.extend_from_slice(record("b \"x\"", id).as_bytes());
    }
    input.extend_from_slice(
        b"garbage \xff\x00\n{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{\"cut",
    );
    let finished = Run::of("antiphon")
        .arg("tally")
        .env("ANTIPHON_REPORT", &path)
        .stdin(input.clone())
        .finish();
    finished.expect_code(0);
    assert!(finished.stdout == input, "bytes were changed");
    assert_eq!(finished.stderr, "");
    let report = report(&path).unwrap();
    assert_eq!(
        (&report["role"], &report["status"]),
        (&json!("tally"), &json!("succeeded"))
    );
    let a = &report["streams"]["a"];
    assert_eq!(a["records"], 30_001);
    assert_eq!(a["schema"].as_str().unwrap().len(), 16);
    let b = &report["streams"]["b \"x\""];
    assert_eq!(b["records"], 30_000);
    let bytes: usize = (0..30_000).map(|id| record("b \"x\"", id).len()).sum();
    assert_eq!(b["bytes"], bytes);
}

#[test]
fn half_a_line_is_passed_on_before_the_rest_comes() {
    let mut running = Run::of("antiphon").arg("tally").held_stdin().start();
    let line = record("a", 1);
    let (half, rest) = line.split_at(20);
    assert!(running.feed(half));
    poll::until("the half came out", || running.stdout() == half.as_bytes());
    // A wish to stop does not end it: only the end of what the tap writes does.
    running.signal(Signal::Terminate);
    running.wait_for_log("stopping");
    assert!(running.feed(rest));
    poll::until("the rest came out", || running.stdout() == line.as_bytes());
    running.close_stdin();
    let finished = running.finish();
    finished.expect_code(0);
    finished.expect_log("counted stream=a records=1");
}

#[test]
fn the_report_grows_while_records_come() {
    let folder = Folder::new();
    let path = folder.file("tally.report.json");
    let mut running = Run::of("antiphon")
        .arg("tally")
        .env("ANTIPHON_REPORT", &path)
        .held_stdin()
        .start();
    assert!(running.feed(record("a", 1)));
    poll::until("the report counts the record", || {
        report(&path).is_some_and(|report| {
            report["status"] == "running" && report["streams"]["a"]["records"] == 1
        })
    });
    let finished = running.kill();
    assert!(finished.signal().is_some());
    assert_eq!(report(&path).unwrap()["streams"]["a"]["records"], 1);
}

#[test]
fn a_reader_that_has_gone_is_a_symptom_and_no_report_that_cannot_be_written_is_an_error() {
    let folder = Folder::new();
    let input = folder.file("input");
    let lines: String = (0..50_000).map(|id| record("a", id)).collect();
    fs::write(&input, &lines).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(binary("antiphon"))
        .arg("tally")
        .env("ANTIPHON_REPORT", "/no/such/folder/report.json")
        .stdin(File::open(&input).unwrap())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(141));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "WARN stopped: the reader of stdout has gone\n");
    let fine = Run::of("antiphon")
        .arg("tally")
        .env("ANTIPHON_REPORT", "/no/such/folder/report.json")
        .stdin_from(File::open(&input).unwrap())
        .finish();
    fine.expect_code(0);
    assert!(fine.stdout == lines.as_bytes());
}
