//! What a tap does, one fact a function.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, pipe};
use std::os::fd::OwnedFd;

use serde_json::{Value, json};

use super::{Stream, Subject, together};
use crate::bin::Signal;
use crate::folder::Folder;
use crate::stream::{Cut, Message, Messages};

/// A fact, and the function that panics where it is none.
type Scenario = (&'static str, fn(&Subject));

pub(super) const ALL: &[Scenario] = &[
    ("discovery lists streams with keys and metadata", discovery),
    (
        "discovery ignores a state and a catalog",
        discovery_ignores_state,
    ),
    (
        "records come after their schema, fit it, and no key comes twice",
        records_are_sound,
    ),
    (
        "a full table is versioned and activated once, at the end",
        full_table,
    ),
    (
        "a second incremental run starts at the bookmark",
        incremental,
    ),
    (
        "a run that is cut anywhere is resumed without a loss",
        resume,
    ),
    ("a closed pipe ends the tap quietly", closed_pipe),
    ("a stop signal ends the tap with a valid state", stop_signal),
    (
        "bookmarks of streams that are not selected are carried through",
        carried_bookmark,
    ),
    (
        "properties that are not selected are left out",
        masked_property,
    ),
    (
        "a state file may hold many lines: the last whole one counts",
        many_states,
    ),
    ("an empty state file is no state", empty_state),
    (
        "a broken state file or catalog is an error before anything is written",
        broken_files,
    ),
    (
        "an unknown setting is an error that names it",
        unknown_setting,
    ),
];

fn discovery(tap: &Subject) {
    let catalog = tap.discover();
    let streams = catalog["streams"]
        .as_array()
        .expect("a catalog lists streams");
    let mut ids: Vec<&str> = streams
        .iter()
        .map(|entry| entry["tap_stream_id"].as_str().expect("an entry has an id"))
        .collect();
    for stream in [&tap.full, &tap.incremental] {
        assert!(
            ids.contains(&stream.id.as_str()),
            "`{}` was not discovered",
            stream.id
        );
    }
    for entry in streams {
        assert!(
            entry["schema"]["properties"].is_object(),
            "an entry has a schema"
        );
        let root = entry["metadata"][0]["metadata"]
            .as_object()
            .expect("a stream has metadata");
        assert_eq!(root.get("selected-by-default"), Some(&json!(false)));
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id comes twice");
}

fn discovery_ignores_state(tap: &Subject) {
    let folder = Folder::new();
    let state = folder.write("state.json", "this is no state");
    let ended = tap
        .run(&folder)
        .arg("--discover")
        .args([
            "--state".as_ref(),
            state.as_os_str(),
            "--catalog".as_ref(),
            state.as_os_str(),
        ])
        .finish();
    ended.expect_code(0);
    let catalog: Value = serde_json::from_slice(&ended.stdout).expect("a catalog is JSON");
    assert!(catalog["streams"].is_array());
}

fn records_are_sound(tap: &Subject) {
    let messages = tap.read(&[&tap.full, &tap.incremental], None);
    messages.assert_sound();
    for stream in [&tap.full, &tap.incremental] {
        assert_eq!(
            messages.records(&stream.name).len(),
            stream.rows,
            "rows of {}",
            stream.id
        );
    }
    let last = messages.0.last().expect("a run prints something");
    let Message::State(state) = last else {
        panic!("the last message is no STATE: {last:?}")
    };
    assert_eq!(state.get("currently_syncing"), Some(&Value::Null));
    // Every 10,000 records, and at the end.
    assert!(messages.states().len() >= (tap.full.rows + tap.incremental.rows) / 10_000);
}

fn full_table(tap: &Subject) {
    let messages = tap.read(&[&tap.full], None);
    let activated = messages.activated(&tap.full.name);
    let mut versions: Vec<Option<i64>> = messages
        .0
        .iter()
        .filter_map(|message| match message {
            Message::Record { version, .. } => Some(*version),
            _ => None,
        })
        .collect();
    versions.dedup();
    assert_eq!(
        versions,
        [activated.first().copied()],
        "one version for all records"
    );
    assert_eq!(activated.len(), 1);
    let place = |wanted: fn(&Message) -> bool| messages.0.iter().rposition(wanted);
    let last_record = place(|message| matches!(message, Message::Record { .. }));
    let activation = place(|message| matches!(message, Message::ActivateVersion { .. }));
    assert!(
        last_record < activation,
        "the version is activated after its records"
    );
    // A table that was read to its end starts anew, under a new version.
    let again = tap.read(&[&tap.full], messages.last_state());
    assert_eq!(again.records(&tap.full.name).len(), tap.full.rows);
    assert!(again.activated(&tap.full.name) > activated);
}

fn incremental(tap: &Subject) {
    let first = tap.read(&[&tap.incremental], None);
    assert_eq!(
        first.records(&tap.incremental.name).len(),
        tap.incremental.rows
    );
    let state = first.last_state().expect("a run prints a state");
    let second = tap.read(&[&tap.incremental], Some(state));
    second.assert_sound();
    let again = second.records(&tap.incremental.name).len();
    assert!(
        again < 10,
        "{again} rows came again where only those of the bookmark's value should"
    );
    assert_eq!(
        bookmark(second.last_state(), &tap.incremental),
        bookmark(Some(state), &tap.incremental)
    );
}

fn bookmark<'state>(state: Option<&'state Value>, stream: &Stream) -> Option<&'state Value> {
    state?
        .get("bookmarks")?
        .get(&stream.id)?
        .get("replication_key_value")
}

fn resume(tap: &Subject) {
    for stream in [&tap.full, &tap.incremental] {
        let folder = Folder::new();
        let whole = tap.sync(&folder, &[stream], None).finish();
        whole.expect_code(0);
        let expected = Messages::parse(&whole.stdout, Cut::Never);
        let expected = expected.by_key(&stream.name);
        // After the SCHEMA alone, around the states in the middle, near the end: within a line each.
        let length = whole.stdout.len();
        for place in [300, length / 3, length / 2 + 7, length * 9 / 10, length - 2] {
            let cut = Messages::parse(&whole.stdout[..place], Cut::Allowed);
            let rest = tap.read(&[stream], cut.last_state());
            rest.assert_sound();
            let all = together(&cut, &rest, &stream.name);
            assert_eq!(
                all.len(),
                stream.rows,
                "{} was cut after {place} bytes",
                stream.id
            );
            assert!(all == expected, "{}: other values", stream.id);
        }
    }
}

fn closed_pipe(tap: &Subject) {
    let folder = Folder::new();
    let running = tap.sync(&folder, &[&tap.full], None).start();
    running.close_stdout_after_lines(100);
    let ended = running.finish();
    for word in ["CRITICAL", "panicked", "ERROR"] {
        assert!(
            !ended.stderr.contains(word),
            "a closed pipe is no {word}:\n{}",
            ended.stderr
        );
    }
}

fn stop_signal(tap: &Subject) {
    for (signal, code) in [(Signal::Terminate, 143), (Signal::Interrupt, 130)] {
        let folder = Folder::new();
        let (reader, writer) = pipe().expect("a pipe can be made");
        let run = tap.sync(&folder, &[&tap.incremental], None);
        let running = run.stdout(File::from(OwnedFd::from(writer))).start();
        // Nobody reads on after these lines: the tap stands still in the middle of the table.
        let mut reader = BufReader::with_capacity(1, reader);
        let mut printed = Vec::new();
        for _ in 0..20 {
            reader
                .read_until(b'\n', &mut printed)
                .expect("a pipe can be read");
        }
        running.signal(signal);
        reader
            .read_to_end(&mut printed)
            .expect("a pipe can be read");
        running.finish().expect_code(code);
        let first = Messages::parse(&printed, Cut::Never);
        first.assert_sound();
        let seen = first.records(&tap.incremental.name).len();
        assert!(
            seen < tap.incremental.rows,
            "the signal came too late to mean anything"
        );
        let state = first
            .last_state()
            .expect("a tap that is stopped prints a state");
        let rest = tap.read(&[&tap.incremental], Some(state));
        let all = together(&first, &rest, &tap.incremental.name);
        assert_eq!(
            all.len(),
            tap.incremental.rows,
            "rows were lost by {signal:?}"
        );
    }
}

fn carried_bookmark(tap: &Subject) {
    let foreign = json!({"replication_key": "x", "replication_key_value": "2020-02-02T02:02:02Z", "more": [1.50]});
    let state = json!({"currently_syncing": "gone", "bookmarks": {"some.other.stream": foreign}});
    let messages = tap.read(&[&tap.incremental], Some(&state));
    for state in messages.states() {
        assert_eq!(state["bookmarks"]["some.other.stream"], foreign);
    }
    assert!(!messages.states().is_empty());
}

fn masked_property(tap: &Subject) {
    let folder = Folder::new();
    let stream = &tap.incremental;
    let mut catalog = tap.catalog(&[stream]);
    for entry in catalog["streams"]
        .as_array_mut()
        .expect("a catalog lists streams")
    {
        for item in entry["metadata"]
            .as_array_mut()
            .expect("an entry has metadata")
        {
            if item["breadcrumb"] == json!(["properties", stream.property]) {
                item["metadata"]["selected"] = json!(false);
            }
        }
    }
    let catalog = folder.write_json("catalog.json", &catalog);
    let ended = tap.run(&folder).arg("--catalog").arg(catalog).finish();
    ended.expect_code(0);
    let messages = Messages::parse(&ended.stdout, Cut::Never);
    messages.assert_sound();
    assert!(
        messages
            .records(&stream.name)
            .iter()
            .all(|record| record.get(&stream.property).is_none())
    );
    for message in &messages.0 {
        if let Message::Schema { schema, .. } = message {
            assert!(
                schema["properties"].get(&stream.property).is_none(),
                "the SCHEMA still has it"
            );
        }
    }
}

fn many_states(tap: &Subject) {
    let first = tap.read(&[&tap.incremental], None);
    let state = first.last_state().expect("a run prints a state");
    let wrapped = json!({"type": "STATE", "value": state});
    for text in [
        format!("{{\"bookmarks\":{{}}}}\n{state}\n"),
        format!("{{\"bookmarks\":{{}}}}\n{state}\n{{\"bookmarks\":{{\"cut"),
        format!("{wrapped}\n"),
        format!("{state:#}"),
    ] {
        let folder = Folder::new();
        let file = folder.write("state.jsonl", &text);
        let run = tap.sync(&folder, &[&tap.incremental], None);
        let ended = run.arg("--state").arg(file).finish();
        ended.expect_code(0);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        let count = messages.records(&tap.incremental.name).len();
        assert!(
            count < 10,
            "{count} rows: the state was not taken from {text:?}"
        );
    }
}

fn empty_state(tap: &Subject) {
    let folder = Folder::new();
    let file = folder.write("state.jsonl", "");
    let ended = tap
        .sync(&folder, &[&tap.incremental], None)
        .arg("--state")
        .arg(file)
        .finish();
    ended.expect_code(0).expect_log("WARN").expect_log("empty");
    let messages = Messages::parse(&ended.stdout, Cut::Never);
    assert_eq!(
        messages.records(&tap.incremental.name).len(),
        tap.incremental.rows
    );
}

fn broken_files(tap: &Subject) {
    for (flag, text) in [
        ("--state", "[1, 2"),
        ("--state", "\"text\""),
        ("--catalog", "{\"streams\": 1}"),
        ("--catalog", ""),
        ("--catalog", "{"),
    ] {
        let folder = Folder::new();
        let file = folder.write("broken.json", text);
        let run = match flag {
            "--state" => tap.sync(&folder, &[&tap.full], None),
            _ => tap.run(&folder),
        };
        let ended = run.arg(flag).arg(file).finish();
        ended
            .expect_code(2)
            .expect_log("CRITICAL")
            .expect_log("broken.json");
        assert!(
            ended.stdout.is_empty(),
            "{flag} {text:?}: something was written"
        );
    }
}

fn unknown_setting(tap: &Subject) {
    let folder = Folder::new();
    let mut config = tap.config.clone();
    config["start_dat"] = json!("2020-01-01T00:00:00Z");
    let file = folder.write_json("other.json", &config);
    let ended = tap
        .run(&folder)
        .arg("--config")
        .arg(file)
        .arg("--discover")
        .finish();
    ended
        .expect_code(2)
        .expect_log("`start_dat`")
        .expect_log("start_date");
    assert!(ended.stdout.is_empty());
}
