//! The binary in a pipe: numbers, order, schemas that change, stops and kills, exit codes, what it shows.

use std::fmt::Write as _;
use std::path::PathBuf;

use singer_test::bin::{Finished, Run, Signal, workspace};
use singer_test::folder::Folder;

const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"leads","schema":{"type":"object","properties":{"id":{"type":"integer"},"email":{"type":["null","string"]},"test":{"type":["null","boolean"]},"d":{"type":["null","number"]}}},"key_properties":["id"]}"#;

fn record(content: &str) -> String {
    format!(r#"{{"type":"RECORD","stream":"leads","record":{{{content}}}}}"#)
}

fn state(value: u64) -> String {
    format!(r#"{{"type":"STATE","value":{{"bookmarks":{{"leads":{{"id": {value}}}}}}}}}"#)
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The binary with one rule for all streams that begin with `leads`.
fn program(folder: &Folder, rule: &str) -> Run {
    folder.write("map.json", format!(r#"{{"streams":{{"leads*":{rule}}}}}"#));
    Run::of("map-records")
        .args(["-c", "map.json"])
        .folder(folder.path())
}

fn run(rule: &str, input: &str) -> Finished {
    let folder = Folder::new();
    program(&folder, rule).stdin(input).finish()
}

#[test]
fn numbers_of_thirty_digits_pass_every_way() {
    let content = r#""id":123456789012345678901234567890,"email":"A","d":-0.000000000000000000000000000001234567890123456789e-7"#;
    let input = lines(&[SCHEMA, &record(content), &state(1)]);
    let passes = Run::of("map-records").stdin(&*input).finish();
    assert_eq!(passes.expect_code(0).text(), input);
    for rule in [
        r#"{"rename":{"email":"mail"}}"#,
        r#"{"filter":"."}"#,
        r#"{"filter":".email |= ascii_downcase","drop":["test"]}"#,
    ] {
        let out = run(rule, &input);
        let out = out.expect_code(0).text();
        assert!(
            out.contains(r#""id":123456789012345678901234567890"#),
            "{out}"
        );
        assert!(
            out.contains(r#""d":-0.000000000000000000000000000001234567890123456789e-7"#),
            "{out}"
        );
        assert!(out.ends_with(&format!("{}\n", state(1))), "{out}");
    }
}

#[test]
fn several_records_come_out_in_order_and_no_state_overtakes_them() {
    let (mut input, mut expected) = (format!("{SCHEMA}\n"), format!("{SCHEMA}\n"));
    for id in 0..30_000u64 {
        let line = record(&format!(r#""id":{id},"email":"Mail{id}@X""#));
        writeln!(input, "{line}").unwrap();
        for part in 0..id % 3 {
            let mail = format!("mail{id}@x{}", part + 1);
            writeln!(
                expected,
                "{}",
                record(&format!(r#""id":{id},"email":"{mail}""#))
            )
            .unwrap();
        }
        if id % 100 == 99 {
            writeln!(input, "{}", state(id)).unwrap();
            writeln!(expected, "{}", state(id)).unwrap();
        }
    }
    let folder = Folder::new();
    let rule = r#"{"filter":"(.id % 3) as $n | range($n) as $i | .email = (.email | ascii_downcase) + ($i + 1 | tostring)"}"#;
    let out = program(&folder, rule)
        .args(["--jobs", "4", "-q"])
        .stdin(input)
        .finish();
    assert!(out.expect_code(0).text() == expected);
}

#[test]
fn a_schema_that_changes_in_the_middle_counts_from_there_on() {
    let wider = SCHEMA.replace(r#""d":"#, r#""score":{"type":"integer"},"d":"#);
    let first = record(r#""id":1,"email":"A""#);
    let second = record(r#""id":2,"email":"A","score":7"#);
    let out = run(
        r#"{"filter":"if has(\"score\") then .score += 1 else . end","rename":{"score":"points"}}"#,
        &lines(&[SCHEMA, &first, &wider, &second]),
    );
    let out = out.expect_code(0).text();
    let out: Vec<&str> = out.lines().collect();
    assert_eq!(out[0], SCHEMA);
    assert_eq!(out[1], first);
    assert!(
        out[2].contains(r#""points":{"type":"integer"}"#),
        "{}",
        out[2]
    );
    assert_eq!(out[3], record(r#""id":2,"email":"A","points":8"#));
}

#[test]
fn the_envelope_of_a_record_stays_around_what_it_becomes() {
    let line = r#"{"type":"RECORD","stream":"leads","time_extracted":"2026-01-01T00:00:00Z","record":{"id":1,"email":"A"},"version":3,"mine":[1]}"#;
    let out = run(
        r#"{"filter":"., .","drop":["email"]}"#,
        &lines(&[SCHEMA, line]),
    );
    let expected = line.replace(r#","email":"A""#, "");
    let out = out.expect_code(0).text();
    assert_eq!(
        out.lines().skip(1).collect::<Vec<_>>(),
        [&expected, &expected]
    );
}

#[test]
fn a_stop_drains_and_ends_with_the_code_of_its_signal() {
    for (signal, code) in [(Signal::Terminate, 143), (Signal::Interrupt, 130)] {
        let folder = Folder::new();
        let mut running = program(&folder, r#"{"filter":"."}"#).held_stdin().start();
        let line = record(r#""id":1,"email":"A""#);
        assert!(running.feed(lines(&[SCHEMA, &line, &state(1)])));
        running.wait_for_lines(3);
        assert!(running.feed(r#"{"type":"RECORD","stream":"le"#));
        running.signal(signal);
        running.wait_for_log("stopped on request");
        let finished = running.finish();
        finished.expect_code(code);
        assert_eq!(finished.text(), lines(&[SCHEMA, &line, &state(1)]));
    }
}

#[test]
fn a_kill_leaves_a_beginning_of_the_output_behind() {
    let folder = Folder::new();
    let mut running = program(&folder, r#"{"rename":{"email":"mail"}}"#)
        .held_stdin()
        .start();
    let mut expected = format!("{}\n", SCHEMA.replace("\"email\":", "\"mail\":"));
    running.feed(format!("{SCHEMA}\n"));
    for id in 0..500 {
        let line = record(&format!(r#""id":{id},"email":"A""#));
        running.feed(lines(&[&line, &state(id)]));
        expected.push_str(&lines(&[&line.replace("email", "mail"), &state(id)]));
    }
    running.wait_for_lines(200);
    let out = running.kill().text();
    assert!(expected.starts_with(&out) && out.lines().count() >= 200);
}

#[test]
fn a_reader_that_goes_is_no_fault_of_ours() {
    let folder = Folder::new();
    let mut input = format!("{SCHEMA}\n");
    for id in 0..200_000 {
        writeln!(input, "{}", record(&format!(r#""id":{id},"email":"A""#))).unwrap();
    }
    let running = program(&folder, r#"{"drop":["email"]}"#)
        .stdin(input)
        .start();
    running.close_stdout_after_lines(1);
    let finished = running.finish();
    finished.expect_code(1);
    assert!(!finished.stderr.contains("CRITICAL"), "{}", finished.stderr);
    assert!(finished.stderr.contains("the reader of stdout has gone"));
}

#[test]
fn an_endless_filter_ends_the_run_or_its_record() {
    let input = lines(&[SCHEMA, &record(r#""id":1"#), &state(1)]);
    let folder = Folder::new();
    for (on_error, code) in [("stop", 1), ("reject", 3), ("pass", 0)] {
        folder.write(
            "map.json",
            format!(r#"{{"record_timeout_seconds":0.05,"on_error":"{on_error}","streams":{{"leads":{{"filter":"last(repeat(.))"}}}}}}"#),
        );
        let finished = Run::of("map-records")
            .args(["-c", "map.json"])
            .folder(folder.path())
            .stdin(&*input)
            .finish();
        finished.expect_code(code);
        assert!(
            finished
                .stderr
                .contains("the filter `last(repeat(.))` did not end within 0.05 s"),
            "{}",
            finished.stderr
        );
        let has_state = finished.text().contains("STATE");
        assert_eq!(has_state, on_error != "stop");
    }
    let rejects = folder.read("map-records.rejects.jsonl");
    assert!(rejects.contains(r#""record":{"id":1}"#), "{rejects}");
}

#[test]
fn a_test_shows_before_and_after_without_colours_in_a_pipe() {
    let folder = Folder::new();
    folder.write(
        "map.json",
        r#"{"streams":{"leads":{"filter":"select(.test | not) | .email |= ascii_downcase","rename":{"email":"mail"}}}}"#,
    );
    let test = |json: &str| {
        Run::of("map-records")
            .args(["-c", "map.json", "--test", json])
            .folder(folder.path())
            .finish()
    };
    assert_eq!(
        test(r#"{"id":1,"email":"A@X"}"#).expect_code(0).text(),
        "leads\n  id: 1\n- email: \"A@X\"\n+ mail: \"a@x\"\n\n"
    );
    assert_eq!(
        test(&record(r#""id":1,"test":true"#)).expect_code(0).text(),
        "leads\n- id: 1\n- test: true\n  no record comes out\n\n"
    );
    let failed = test(r#"{"id":1,"email":2}"#);
    assert!(
        failed.expect_code(3).text().contains("! the filter `select(.test | not) | .email |= ascii_downcase` failed: cannot use number as string"),
    );
    assert_eq!(
        test(r#"{"type":"RECORD","stream":"others","record":{}}"#)
            .expect_code(0)
            .text(),
        "others: passes as it is\n"
    );
    test("[1]").expect_code(2);
}

#[test]
fn a_sample_shows_the_first_records_and_reads_no_further() {
    let folder = Folder::new();
    let mut running = program(&folder, r#"{"filter":"., (.id += 1)"}"#)
        .args(["--sample", "2"])
        .held_stdin()
        .start();
    let others = r#"{"type":"RECORD","stream":"others","record":{}}"#;
    let input = lines(&[SCHEMA, others, &record(r#""id":1"#), &record(r#""id":2"#)]);
    running.feed(input);
    running.wait_for_lines(12);
    let finished = running.finish();
    assert_eq!(
        finished.expect_code(0).text(),
        "leads, line 3\n  record 1 of 2\n  id: 1\n  record 2 of 2\n- id: 1\n+ id: 2\n\n\
         leads, line 4\n  record 1 of 2\n  id: 2\n  record 2 of 2\n- id: 2\n+ id: 3\n\n"
    );
}

#[test]
fn a_sample_that_waits_can_be_stopped() {
    let folder = Folder::new();
    let mut running = program(&folder, r#"{"filter":"."}"#)
        .args(["--sample", "2"])
        .held_stdin()
        .start();
    running.feed(lines(&[SCHEMA, &record(r#""id":1"#)]));
    running.wait_for_lines(3);
    running.signal(Signal::Interrupt);
    running.wait_for_log("stopped on request");
    running.finish().expect_code(130);
}

#[test]
fn python_and_rust_do_the_same_as_the_config() {
    let examples = workspace().join("crates/map-records/examples");
    let input = lines(&[
        SCHEMA,
        &record(r#""id":12345678901234567890123,"email":"É.Müller@X.ORG""#),
        &record(r#""id":2,"email":"b","test":true"#),
        &record(r#""id":3,"email":"B@x","test":false"#),
        r#"{"type":"RECORD","stream":"others","record":{"email":"A"}}"#,
        &state(3),
    ]);
    let config = examples.join("lower.json");
    let ours = Run::of("map-records")
        .arg("-c")
        .arg(config)
        .stdin(&*input)
        .finish();
    let ours = ours.expect_code(0).text();
    assert_eq!(ours.lines().count(), 5);
    let rust = Run::program(example("lower")).stdin(&*input).finish();
    assert_eq!(rust.expect_code(0).text(), ours);
    if let Some(python) = python() {
        let script = examples.join("lower.py");
        // Python makes small letters of `É` too, jq of ASCII alone.
        let input = input.replace('É', "E");
        let finished = Run::program(python).arg(script).stdin(&*input).finish();
        assert_eq!(finished.expect_code(0).text(), ours.replace('É', "e"));
    }
}

#[test]
fn the_readme_shows_the_examples_as_they_are() {
    let folder = workspace().join("crates/map-records");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file can be read");
    let readme = read("README.md");
    let rust = read("examples/lower.rs");
    let main = rust.find("fn main").and_then(|at| rust.get(at..));
    for code in [
        main.expect("the example has a main"),
        &read("examples/lower.py"),
        &read("examples/lower.json"),
    ] {
        assert!(readme.contains(code.trim()), "the README lacks:\n{code}");
    }
}

/// An example of this crate, which cargo builds with its tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test
        .ancestors()
        .find(|folder| folder.join("examples").is_dir());
    folder
        .expect("examples are built with the tests")
        .join("examples")
        .join(name)
}

fn python() -> Option<PathBuf> {
    ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}
