//! What a target does, one fact a function.

use serde_json::{Value, json};

use super::{Target, WithoutKey, line, printed, state};
use crate::bin::Signal;
use crate::folder::Folder;
use crate::poll;

/// A fact, and the function that panics where it is none.
type Scenario = (&'static str, fn(&Target<'_>));

pub(super) const ALL: &[Scenario] = &[
    (
        "records arrive, then their state is printed",
        records_arrive,
    ),
    (
        "states are printed in order and the last one always",
        several_states,
    ),
    ("a state passes through to the letter", state_to_the_letter),
    ("an empty state is never printed", no_empty_state),
    ("empty input ends with 0 and prints nothing", empty_input),
    (
        "a record before its schema ends the run with 1",
        record_before_schema,
    ),
    (
        "a record without its key is never written",
        record_without_key,
    ),
    (
        "a schema without properties ends the run with 1",
        schema_without_properties,
    ),
    ("a line that is no JSON ends the run with 1", no_json),
    (
        "a last line that is cut ends the run with 1 and keeps what was before",
        cut_line,
    ),
    ("a last line without its end counts", missing_line_end),
    (
        "line ends, blank lines, a byte order mark, case and unknown types do no harm",
        tolerated,
    ),
    ("of several records with one key the last wins", duplicates),
    (
        "a changed schema takes effect from its line on",
        changed_schema,
    ),
    ("a stream without a key is appended or refused", no_key),
    ("odd characters arrive as they are", odd_characters),
    (
        "a missing property leaves the value alone",
        missing_property,
    ),
    (
        "null, nested and unknown properties do not stop the rest",
        odd_values,
    ),
    (
        "records that are refused are listed, and the rest arrives",
        refused,
    ),
    ("rejects can be replayed", replay),
    (
        "a version that is activated early, late or without records loses nothing",
        versions,
    ),
    ("the same input twice changes nothing", twice),
    ("a batch file is read as records", batch_file),
    (
        "a stop signal writes what was read and prints its state",
        stop_signal,
    ),
    ("a dry run sends nothing and prints no state", dry_run),
    (
        "the state file holds what was printed, and older versions beside it",
        state_file,
    ),
    (
        "an unknown setting is an error before anything is read",
        unknown_setting,
    ),
];

fn records_arrive(target: &Target<'_>) {
    let ended = target.feed(&(target.schema() + &target.records(0..1_000, 1) + &state(1)));
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    target.assert_stored(target.numbered(0..1_000, 1));
}

fn several_states(target: &Target<'_>) {
    let mut input = target.schema();
    for part in 0..20 {
        input += &target.records(part * 100..part * 100 + 100, 1);
        input += &state(part);
    }
    let ended = target.feed(&input);
    ended.expect_code(0);
    let printed = printed(&ended);
    assert!(printed.is_sorted(), "{printed:?}");
    assert_eq!(printed.last(), Some(&19));
    target.assert_stored(target.numbered(0..2_000, 1));
}

fn state_to_the_letter(target: &Target<'_>) {
    // Digits that no float keeps, escapes, an order of its own, a key that comes twice.
    let value = r#"{"z":12345678901234567890123,"a":1.10,"e":1E400,"u":"\u00e4\/","n":{"b":[],"a":null},"a":2}"#;
    let ended = target.feed(&format!("{{\"type\":\"STATE\",\"value\":{value}}}\n"));
    ended.expect_code(0);
    assert_eq!(ended.text(), format!("{value}\n"));
}

fn no_empty_state(target: &Target<'_>) {
    let empty = line(&json!({"type": "STATE", "value": {}}));
    let ended = target.feed(&(target.schema() + &target.records(0..3, 1) + &empty));
    ended.expect_code(0);
    assert!(ended.stdout.is_empty(), "an empty state was printed");
}

fn empty_input(target: &Target<'_>) {
    for input in ["", "\n", &target.schema()] {
        let ended = target.feed(input);
        ended.expect_code(0);
        assert!(ended.stdout.is_empty());
        target.assert_stored([]);
    }
}

fn record_before_schema(target: &Target<'_>) {
    let ended = target.feed(&(target.records(0..1, 1) + &target.schema() + &state(1)));
    ended
        .expect_code(1)
        .expect_log("CRITICAL")
        .expect_log(target.subject.stream());
    assert!(ended.stdout.is_empty());
}

fn record_without_key(target: &Target<'_>) {
    for (key, codes) in [(None, &[1][..]), (Some(Value::Null), &[1, 3])] {
        let mut record = target.subject.record(1, 1);
        let members = record.as_object_mut().expect("a record is an object");
        members.remove(target.subject.key());
        if let Some(key) = key {
            members.insert(target.subject.key().to_owned(), key);
        }
        let input = target.schema() + &target.line_of(&record) + &state(1);
        let ended = target.feed(&input);
        // A null where the schema allows none is a reject like any other value that does not fit.
        let code = ended.code().expect("no signal");
        assert!(codes.contains(&code), "exit {code}:\n{}", ended.stderr);
        if code == 1 {
            ended
                .expect_log("CRITICAL")
                .expect_log(target.subject.key());
            assert!(ended.stdout.is_empty());
        }
        target.assert_stored([]);
    }
}

fn schema_without_properties(target: &Target<'_>) {
    let schema = target.schema_of(&json!({"type": "object"}), &json!([target.subject.key()]));
    let ended = target.feed(&(schema + &target.records(0..1, 1)));
    ended
        .expect_code(1)
        .expect_log("CRITICAL")
        .expect_log("properties");
}

fn no_json(target: &Target<'_>) {
    for rubbish in ["a stray print\n", "[]\n", "{\"type\":1}\n", "{}\n"] {
        let input = target.schema() + &target.records(0..3, 1) + &state(1) + rubbish + &state(2);
        let ended = target.feed(&input);
        ended
            .expect_code(1)
            .expect_log("CRITICAL")
            .expect_log("line 6");
        // What came before is safe at the destination, so its state may be printed.
        assert!(
            printed(&ended).iter().all(|number| *number == 1),
            "{rubbish}"
        );
    }
}

fn cut_line(target: &Target<'_>) {
    let whole = target.schema() + &target.records(0..50, 1) + &state(1);
    let next = target.records(50..51, 1);
    let (half, _) = next.split_at(next.len() / 2);
    let ended = target.feed(&(whole + half));
    ended.expect_code(1).expect_log("CRITICAL");
    if !printed(&ended).is_empty() {
        assert_eq!(printed(&ended), [1]);
        target.assert_stored(target.numbered(0..50, 1));
    }
}

fn missing_line_end(target: &Target<'_>) {
    let input = target.schema() + &target.records(0..3, 1);
    let ended = target.feed(input.trim_end());
    ended.expect_code(0);
    target.assert_stored(target.numbered(0..3, 1));
}

fn tolerated(target: &Target<'_>) {
    let plain = target.schema() + "\n" + &target.records(0..3, 1) + &state(1);
    for input in [
        plain.replace('\n', "\r\n"),
        format!("\u{feff}{plain}"),
        plain
            .replace("\"SCHEMA\"", "\"schema\"")
            .replace("\"RECORD\"", "\"Record\""),
        format!("{{\"type\":\"SOMETHING_NEW\",\"x\":1}}\n{plain}"),
        // Members in another order, and one more.
        plain.replace(
            "{\"type\":\"RECORD\",",
            "{\"extra\":[{}],\"type\":\"RECORD\",",
        ),
        format!("  {plain}"),
    ] {
        let ended = target.feed(&input);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1], "{input}");
        target.assert_stored(target.numbered(0..3, 1));
    }
}

fn duplicates(target: &Target<'_>) {
    let mut input = target.schema();
    for revision in 1..30 {
        input += &target.records(0..100, revision);
    }
    let ended = target.feed(&(input + &state(1)));
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    target.assert_stored(target.numbered(0..100, 29));
}

fn changed_schema(target: &Target<'_>) {
    let text = target.subject.text();
    let whole = target.subject.schema();
    let mut narrow = whole.clone();
    narrow["properties"]
        .as_object_mut()
        .expect("a schema has properties")
        .remove(text);
    let key = json!([target.subject.key()]);
    let mut early = target.numbered(0..3, 1);
    for record in &mut early {
        record
            .as_object_mut()
            .expect("a record is an object")
            .remove(text);
    }
    let mut input = target.schema_of(&narrow, &key);
    input.extend(early.iter().map(|record| target.line_of(record)));
    input += &target.schema_of(&whole, &key);
    input += &target.records(3..6, 1);
    let ended = target.feed(&(input + &state(1)));
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    target.assert_stored(early.into_iter().chain(target.numbered(3..6, 1)));
}

fn no_key(target: &Target<'_>) {
    let schema = target.schema_of(&target.subject.schema(), &json!([]));
    let ended = target.feed(&(schema + &target.records(0..3, 1) + &state(1)));
    match target.subject.without_key() {
        WithoutKey::Appends => {
            ended.expect_code(0);
            target.assert_stored(target.numbered(0..3, 1));
        }
        WithoutKey::Refuses => {
            assert!(matches!(ended.code(), Some(1 | 2)), "{:?}", ended.code());
            ended.expect_log("CRITICAL").expect_log("key");
            assert!(ended.stdout.is_empty());
            target.assert_stored([]);
        }
    }
}

fn odd_characters(target: &Target<'_>) {
    let texts = [
        "Zoë \u{1f9d1}\u{200d}\u{1f680} \"quoted\" \\back\\slash",
        "line\nend\r\ttab\u{1}\u{7f}",
        "\u{2028}\u{feff}\u{202e}right to left",
        "' OR 1=1; --",
        " blanks ",
        "{\"type\":\"RECORD\"}",
    ];
    let records: Vec<Value> = (0u64..)
        .zip(texts)
        .map(|(number, text)| {
            let mut record = target.subject.record(number, 1);
            record[target.subject.text()] = json!(text);
            record
        })
        .collect();
    let plain: String = records
        .iter()
        .map(|record| target.line_of(record))
        .collect();
    let escaped: String = plain
        .chars()
        .map(|letter| match letter {
            letter if letter.is_ascii() => letter.to_string(),
            letter => {
                let mut units = [0; 2];
                letter
                    .encode_utf16(&mut units)
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect()
            }
        })
        .collect();
    for input in [plain, escaped] {
        target.feed(&(target.schema() + &input)).expect_code(0);
        target.assert_stored(records.clone());
    }
}

fn missing_property(target: &Target<'_>) {
    let text = target.subject.text();
    let mut partial = target.subject.record(0, 2);
    let kept = target.subject.record(0, 1)[text].clone();
    partial
        .as_object_mut()
        .expect("a record is an object")
        .remove(text);
    let input = target.schema() + &target.records(0..1, 1) + &target.line_of(&partial);
    target.feed(&(input + &state(1))).expect_code(0);
    partial[text] = kept;
    target.assert_stored([partial]);
}

fn odd_values(target: &Target<'_>) {
    let mut record = target.subject.record(0, 1);
    record["a property that the schema lacks"] = json!({"nested": [1, {"deep": null}]});
    let mut nulls = target.subject.record(1, 1);
    nulls[target.subject.text()] = Value::Null;
    let input = target.schema() + &target.line_of(&record) + &target.line_of(&nulls);
    let ended = target.feed(&(input + &target.records(2..5, 1) + &state(1)));
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    let mut expected = target.numbered(0..1, 1);
    expected.push(nulls);
    expected.extend(target.numbered(2..5, 1));
    target.assert_stored(expected);
}

fn refused(target: &Target<'_>) {
    let folder = Folder::new();
    let mut config = target.subject.fresh();
    config["rejects_path"] = json!(folder.file("rejects.jsonl"));
    let input = target.schema()
        + &target.records(0..40, 1)
        + &target.line_of(&target.subject.refused(40))
        + &target.records(41..100, 1)
        + &state(1);
    let ended = target.run(&folder, &config).stdin(input).finish();
    ended.expect_code(3);
    assert_eq!(printed(&ended), [1]);
    let mut expected = target.numbered(0..40, 1);
    expected.extend(target.numbered(41..100, 1));
    target.assert_stored(expected);
    let rejects = folder.read("rejects.jsonl");
    let rejects: Vec<Value> = rejects
        .lines()
        .map(|line| serde_json::from_str(line).expect("a reject is a JSON line"))
        .collect();
    assert_eq!(rejects.len(), 1);
    assert_eq!(rejects[0]["stream"], target.subject.stream());
    assert_eq!(rejects[0]["record"], target.subject.refused(40));
    assert_eq!(rejects[0]["line"], 42);
    for member in ["key", "reason", "code", "attempts", "at", "run_id"] {
        assert!(
            rejects[0].get(member).is_some(),
            "a reject lacks `{member}`"
        );
    }
}

fn replay(target: &Target<'_>) {
    let folder = Folder::new();
    let mut config = target.subject.fresh();
    config["rejects_path"] = json!(folder.file("rejects.jsonl"));
    let mut bad = target.subject.refused(1);
    let input = target.schema() + &target.line_of(&bad);
    target
        .run(&folder, &config)
        .stdin(input)
        .finish()
        .expect_code(3);
    // The person repairs the line and feeds the file back.
    let mut reject: Value =
        serde_json::from_str(folder.read("rejects.jsonl").trim_end()).expect("one reject");
    bad = target.subject.record(1, 1);
    reject["record"] = bad.clone();
    let repaired = folder.write("repaired.jsonl", line(&reject));
    target
        .run(&folder, &config)
        .arg("--input")
        .arg(repaired)
        .finish()
        .expect_code(0);
    target.assert_stored([bad]);
}

fn versions(target: &Target<'_>) {
    let stream = target.subject.stream();
    let activate = |version: u64| {
        line(&json!({"type": "ACTIVATE_VERSION", "stream": stream, "version": version}))
    };
    let versioned = |version: u64| {
        target
            .records(0..5, 1)
            .replace("\"type\":", &format!("\"version\":{version},\"type\":"))
    };
    for input in [
        target.schema() + &activate(1) + &versioned(1) + &state(1),
        target.schema() + &versioned(2) + &activate(2) + &state(1),
        target.schema() + &activate(3) + &versioned(3) + &activate(3) + &state(1),
        target.schema() + &versioned(4) + &activate(5) + &state(1),
        target.schema() + &target.records(0..5, 1) + &activate(6) + &state(1),
    ] {
        let ended = target.feed(&input);
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1]);
        target.assert_stored(target.numbered(0..5, 1));
    }
}

fn twice(target: &Target<'_>) {
    let folder = Folder::new();
    let config = target.subject.fresh();
    let input = target.schema() + &target.records(0..100, 1) + &state(1);
    for _ in 0..2 {
        let ended = target.run(&folder, &config).stdin(input.clone()).finish();
        ended.expect_code(0);
        assert_eq!(printed(&ended), [1]);
        target.assert_stored(target.numbered(0..100, 1));
    }
}

fn batch_file(target: &Target<'_>) {
    let folder = Folder::new();
    let rows: String = target.numbered(0..50, 1).iter().map(line).collect();
    let file = folder.write("rows.jsonl", rows);
    let batch = line(&json!({
        "type": "BATCH", "stream": target.subject.stream(),
        "encoding": {"format": "jsonl", "compression": "none"},
        "manifest": [format!("file://{}", file.display())],
    }));
    let config = target.subject.fresh();
    let ended = target
        .run(&folder, &config)
        .stdin(target.schema() + &batch + &state(1))
        .finish();
    ended.expect_code(0);
    assert_eq!(printed(&ended), [1]);
    target.assert_stored(target.numbered(0..50, 1));
}

fn stop_signal(target: &Target<'_>) {
    for (signal, code) in [(Signal::Terminate, 143), (Signal::Interrupt, 130)] {
        let folder = Folder::new();
        let mut config = target.subject.fresh();
        config["batch"] = json!({"max_age_seconds": 3600});
        let mut running = target.run(&folder, &config).held_stdin().start();
        assert!(running.feed(target.schema() + &target.records(0..203, 1) + &state(7)));
        // More than a pipe holds: once it is fed, the target has read what came before.
        let more = target.records(203..9_000, 1);
        assert!(more.len() > 4 * PIPE_BYTES);
        assert!(running.feed(more));
        running.signal(signal);
        poll::until("the target has ended by itself", || running.has_ended());
        let ended = running.finish();
        ended.expect_code(code);
        assert_eq!(
            printed(&ended),
            [7],
            "{signal:?}: what was read is written and its state printed"
        );
        let stored = target.subject.stored();
        for number in 0..203 {
            let (key, value) = target.as_stored(target.subject.record(number, 1));
            assert_eq!(
                stored.get(&key),
                Some(&value),
                "{signal:?}: the state promises {key}"
            );
        }
    }
}

/// What a pipe holds on Linux; elsewhere it is less.
const PIPE_BYTES: usize = 1 << 16;

fn dry_run(target: &Target<'_>) {
    let folder = Folder::new();
    let config = target.subject.fresh();
    let input = target.schema() + &target.records(0..100, 1) + &state(1);
    let ended = target
        .run(&folder, &config)
        .arg("--dry-run")
        .stdin(input)
        .finish();
    ended.expect_code(0);
    target.assert_stored([]);
    assert!(
        !ended.text().contains("bookmarks"),
        "a dry run must not move a state"
    );
    let shown = ended.text() + &ended.stderr;
    assert!(
        shown.contains(target.subject.stream()),
        "the plan names the stream:\n{shown}"
    );
}

fn state_file(target: &Target<'_>) {
    let folder = Folder::new();
    let config = target.subject.fresh();
    let file = folder.file("state.json");
    for number in 0..13 {
        let input = target.schema() + &target.records(0..3, number) + &state(number);
        let run = target
            .run(&folder, &config)
            .arg("--state-file")
            .arg(&file)
            .stdin(input);
        run.finish().expect_code(0);
    }
    let number = |name: &str| -> Option<u64> {
        let value: Value = serde_json::from_str(folder.read(name).trim_end()).ok()?;
        value["bookmarks"]["s"]["n"].as_u64()
    };
    assert_eq!(number("state.json"), Some(12));
    assert_eq!(number("state.json.1"), Some(11));
    assert_eq!(number("state.json.10"), Some(2));
    assert!(!folder.file("state.json.11").exists());
    // A run without a STATE has nothing to say.
    let run = target.run(&folder, &config).arg("--state-file").arg(&file);
    run.stdin(target.schema() + &target.records(0..3, 1))
        .finish()
        .expect_code(0);
    assert_eq!(number("state.json"), Some(12));
    assert_eq!(number("state.json.1"), Some(11));
}

fn unknown_setting(target: &Target<'_>) {
    let folder = Folder::new();
    let mut config = target.subject.fresh();
    config["rejects_pat"] = json!("x");
    let input = target.schema() + &target.records(0..3, 1) + &state(1);
    let ended = target.run(&folder, &config).stdin(input).finish();
    ended
        .expect_code(2)
        .expect_log("`rejects_pat`")
        .expect_log("rejects_path");
    assert!(ended.stdout.is_empty());
    target.assert_stored([]);
}
