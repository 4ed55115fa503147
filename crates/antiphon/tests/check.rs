//! `antiphon check`: what it finds in messages of others, on which line, and how it ends.

use std::fs;

use serde_json::Value;
use singer_test::bin::{Finished, Run, Signal, workspace};

const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"a","schema":{"type":"object","properties":{"id":{"type":"integer"},"created":{"type":["null","string"],"format":"date-time"},"tier":{"enum":["x","y"]},"tree":{"type":"object","properties":{"leaf":{"type":"string"}}},"amount":{"type":"number"}},"required":["id"]},"key_properties":["id"]}"#;

fn check(input: impl Into<Vec<u8>>, args: &[&str]) -> Finished {
    Run::of("antiphon")
        .arg("check")
        .args(args)
        .stdin(input)
        .finish()
}

/// The findings alone.
fn findings(ended: &Finished) -> Vec<String> {
    let is_finding = |line: &&str| {
        ["error: ", "warning: ", "note: "]
            .iter()
            .any(|level| line.starts_with(level))
    };
    ended
        .text()
        .lines()
        .filter(is_finding)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_messages_of_the_meltano_sdk_are_judged_as_its_targets_do() {
    let folder = workspace().join("tests/data/singer-sdk");
    let mut judged = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "singer") {
            continue;
        }
        let ended = Run::of("antiphon").arg("check").arg(&path).finish();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        judged.push((name, ended.code().unwrap(), findings(&ended).join("; ")));
    }
    judged.sort();
    let wanted = [
        ("array_data", 0, ""),
        ("camelcase", 0, ""),
        ("camelcase_complex_schema", 0, ""),
        (
            "invalid_schema",
            1,
            "error: line 1: test_invalid_schema: the schema has no `properties`",
        ),
        ("no_primary_keys", 0, ""),
        ("no_primary_keys_append", 0, ""),
        ("optional_attributes", 0, ""),
        (
            "record_before_schema",
            1,
            "error: line 1: test_record_before_schema: a record before its SCHEMA",
        ),
        (
            "record_missing_fields",
            0,
            "warning: line 4: the state is empty: it would start everything anew",
        ),
        (
            "record_missing_key_property",
            1,
            "error: line 2: test_record_missing_key_property: a record lacks its key `id`",
        ),
        (
            "record_missing_required_property",
            1,
            "error: line 2: test_record_missing_required_property: `id` is required and missing",
        ),
        ("schema_no_properties", 0, ""),
    ]
    .map(|(name, code, found)| (name.to_owned(), code, found.to_owned()));
    assert_eq!(judged, wanted);
}

#[test]
fn each_fault_is_named_with_its_line_and_never_with_a_value() {
    let record =
        |rest: &str| format!(r#"{{"type":"RECORD","stream":"a","record":{{"id":1{rest}}}}}"#);
    for (line, wanted) in [
        (
            record(r#","created":5"#),
            "error: line 2: a: `created` is integer, the schema wants string (date-time) or null",
        ),
        (
            record(r#","created":"hunter2""#),
            "error: line 2: a: `created` is a string that is no date-time, as the schema wants",
        ),
        (
            record(r#","created":"2026-03-01 06:00:00""#),
            "warning: line 2: a: `created` is not quite a date-time: no `T` between date and time",
        ),
        (
            record(r#","tier":"hunter2""#),
            "error: line 2: a: `tier` has none of the values that the schema lists",
        ),
        (
            record(r#","tree":{"leaf":7}"#),
            "error: line 2: a: `tree.leaf` must be string, found integer",
        ),
        (
            record(r#","tree":{"z":1,"z":2}"#),
            "warning: line 2: a: `tree` has an object with the key `z` twice",
        ),
        (
            record(r#","amount":NaN"#),
            "error: line 2: a: `amount` is a number that is not finite, the schema wants number",
        ),
        (
            record(r#","other":1"#),
            "warning: line 2: a: `other` is not in the schema; targets drop it, or fail",
        ),
        (
            record(r#","amount":1,"amount":2"#),
            "warning: line 2: a: a record has the key `amount` twice",
        ),
        (
            record("").replace("\"id\":1", "\"id\":null"),
            "error: line 2: a: a record has null as its key `id`",
        ),
        (
            record("").replace("\"id\":1", ""),
            "error: line 2: a: a record lacks its key `id`",
        ),
        (
            record("").replace("RECORD", "record"),
            "warning: line 2: a: `type` is not in capitals, which most targets refuse",
        ),
        (
            record("").replace("\"a\"", "\"b\""),
            "error: line 2: b: a record before its SCHEMA",
        ),
        (
            record("").replace("}}", "},\"time_extracted\":\"now\"}"),
            "warning: line 2: a: `time_extracted` is not a time with an offset from UTC",
        ),
        (
            record("").replace("}}", "},\"stream\":\"a\"}"),
            "warning: line 2: a: the message has the key `stream` twice",
        ),
        (
            record("").replace("}}", "},\"version\":1.5}"),
            "error: line 2: `version` of the message is not a 64-bit integer",
        ),
        (
            "".to_owned(),
            "warning: line 2: a blank line, which most targets refuse",
        ),
        (
            "hunter2".to_owned(),
            "error: line 2: the line is not a JSON message: an object was expected at byte 1",
        ),
        (
            r#"{"type":"RECORD","stream":"#.to_owned(),
            "error: line 2: the line is not a JSON message: the text ends where a value was expected at byte 27; it is cut off",
        ),
        (
            r#"{"stream":"a"}"#.to_owned(),
            "error: line 2: the message has no `type`",
        ),
        (
            r#"{"type":"hunter2"}"#.to_owned(),
            "error: line 2: a message of an unknown type",
        ),
        (
            r#"{"type":"RECORD","record":{}}"#.to_owned(),
            "error: line 2: the RECORD message has no `stream`",
        ),
        (
            r#"{"type":"STATE"}"#.to_owned(),
            "error: line 2: the STATE message has no `value`",
        ),
        (
            r#"{"type":"STATE","value":{}}"#.to_owned(),
            "warning: line 2: the state is empty: it would start everything anew",
        ),
        (
            r#"{"type":"STATE","value":[]}"#.to_owned(),
            "error: line 2: the state is not an object",
        ),
        (
            r#"{"type":"STATE","value":{"bookmarks":{"zz":{}}}}"#.to_owned(),
            "note: line 2: the state has a bookmark of `zz`, a stream without SCHEMA",
        ),
        (
            r#"{"type":"STATE","value":{"bookmarks":{"dev.public.a":{}}}}"#.to_owned(),
            "",
        ),
        (
            r#"{"type":"STATE","value":{"bookmarks":{"a":1,"a":1}}}"#.to_owned(),
            "warning: line 2: `value` has an object with the key `a` twice",
        ),
        (
            r#"{"type":"ACTIVATE_VERSION","stream":"a"}"#.to_owned(),
            "error: line 2: the ACTIVATE_VERSION message has no `version`",
        ),
        (
            r#"{"type":"ACTIVATE_VERSION","stream":"b","version":1}"#.to_owned(),
            "warning: line 2: b: ACTIVATE_VERSION before its SCHEMA",
        ),
        (
            r#"{"type":"BATCH","stream":"a","encoding":{"format":"csv"},"manifest":[]}"#.to_owned(),
            "error: line 2: a: `encoding` of the BATCH message has no known `format`",
        ),
        (
            r#"{"type":"BATCH","stream":"a","encoding":{"format":"jsonl"},"manifest":{}}"#
                .to_owned(),
            "error: line 2: a: `manifest` of the BATCH message is not a list",
        ),
        (
            SCHEMA.replace("\"id\"]", "\"idd\"]"),
            "error: line 2: a: `key_properties` names `idd`, which is not in `properties`",
        ),
        (
            SCHEMA.replace(",\"key_properties\":[\"id\"]", ""),
            "warning: line 2: a: the SCHEMA has no `key_properties`, which older targets refuse",
        ),
        (
            SCHEMA.replace("\"type\":\"number\"", "\"type\":\"decimal\""),
            "error: line 2: a: the schema of `amount` names a type that JSON does not have",
        ),
        (
            SCHEMA.replace("{\"type\":\"number\"}", "{\"$ref\":\"#/x\"}"),
            "warning: line 2: a: the schema of `amount` has a `$ref`, which targets do not follow",
        ),
        (
            SCHEMA.replace("\"properties\":{\"id\"", "\"property\":{\"id\""),
            "error: line 2: a: the schema has no `properties`",
        ),
    ] {
        let ended = check(format!("{SCHEMA}\r\n{line}\n"), &[]);
        let found = findings(&ended);
        assert_eq!(found.first().map_or("", String::as_str), wanted, "{line}");
        assert!(found.len() <= 1, "{found:?}");
        assert_eq!(
            ended.code(),
            Some(i32::from(wanted.starts_with("error"))),
            "{line}"
        );
        assert!(
            !ended.text().contains("hunter2") && !ended.stderr.contains("hunter2"),
            "{line}"
        );
        let strict = check(format!("{SCHEMA}\r\n{line}\n"), &["--strict"]);
        let is_fault = !wanted.is_empty() && !wanted.starts_with("note");
        assert_eq!(strict.code(), Some(i32::from(is_fault)), "{line}");
    }
    let ended = check(
        [
            b"\xef\xbb\xbf".as_slice(),
            SCHEMA.as_bytes(),
            b"\n{\"\xff\":1}",
        ]
        .concat(),
        &[],
    );
    assert_eq!(
        findings(&ended),
        [
            "error: line 2: not UTF-8 at byte 3",
            "warning: line 1: a byte order mark, which most targets refuse"
        ]
    );
}

#[test]
fn a_state_that_goes_back_is_a_warning() {
    let state = |value: &str| {
        format!(
            r#"{{"type":"STATE","value":{{"bookmarks":{{"a":{{"replication_key":"created","replication_key_value":"{value}"}}}}}}}}"#
        )
    };
    let input = format!(
        "{SCHEMA}\n{}\n{}\n{}\n",
        state("2026-03-01T00:00:00Z"),
        state("2026-03-02T00:00:00Z"),
        state("2026-03-01T12:00:00Z")
    );
    let ended = check(input, &[]);
    ended.expect_code(0);
    assert_eq!(
        findings(&ended),
        ["warning: line 4: a: the state goes backwards: `created` is less than it was"]
    );
}

#[test]
fn the_same_fault_is_told_once_with_its_number_and_the_table_counts_all() {
    let mut input = format!("{SCHEMA}\n");
    for id in 0..1200 {
        let id = if id % 2 == 0 {
            id.to_string()
        } else {
            "\"x\"".to_owned()
        };
        input.push_str(&format!("{{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{{\"id\":{id},\"n\":9007199254740993}}}}\n"));
    }
    let ended = check(input.clone(), &["--limit", "1"]);
    ended.expect_code(1);
    let text = ended.text();
    let (report, verdict) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(
        report,
        "error: line 3: a: `id` is string, the schema wants integer (600 times)\n\
         … and 1 finding more; `--limit` shows them\n\
         \n\
         stream  records  schemas  states  errors  warnings\n\
         a         1,200        1       0     600     1,200\n"
    );
    assert!(
        verdict.starts_with("not ok: 600 errors, 1,200 warnings; 1,200 records of 1 stream"),
        "{verdict}"
    );
    let json: Value =
        serde_json::from_str(&check(input, &["--strict", "--format", "json"]).text()).unwrap();
    assert_eq!(json["errors"], 1800);
    assert_eq!(json["streams"][0]["records"], 1200);
    let note = &json["findings"][2];
    assert_eq!(note["level"], "note");
    assert_eq!(
        note["message"],
        "`n` has numbers with more digits than many JSON readers keep"
    );
}

#[test]
fn good_input_ends_with_ok_and_a_missing_file_with_2() {
    let ended = check(format!("{SCHEMA}\n"), &["-"]);
    ended.expect_code(0);
    assert!(
        ended
            .text()
            .contains("\nok: 0 records of 1 stream, 0 states; "),
        "{}",
        ended.text()
    );
    let ended = check("", &[]);
    ended.expect_code(0);
    assert_eq!(findings(&ended), ["warning: no message came in"]);
    Run::of("antiphon")
        .args(["check", "/no/such/file"])
        .finish()
        .expect_code(2)
        .expect_log("cannot read the input `/no/such/file`");
}

#[test]
fn a_signal_ends_the_judging_with_what_was_seen() {
    let mut running = Run::of("antiphon")
        .args(["check", "-v"])
        .held_stdin()
        .start();
    running.feed(format!("{SCHEMA}\n"));
    // Signals are heard once the input is being read, which nothing shows: until then one would kill.
    let listens = || {
        let status =
            fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16).unwrap_or(0);
        caught & (1 << 14) != 0
    };
    singer_test::poll::until("SIGTERM is caught", listens);
    running.signal(Signal::Terminate);
    singer_test::poll::until("it has ended", || running.has_ended());
    let ended = running.finish();
    ended.expect_code(143);
    assert!(ended.text().contains(" records of "), "{}", ended.text());
}
