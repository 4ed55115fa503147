//! Message files written by others, and the habits of a target's process, through the worked example
//! `target-lines`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The example's binary. Cargo builds it beside the tests, but not when one test file is asked for.
fn example() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap();
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--example",
                "target-lines",
                "--profile",
                profile,
            ])
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .status();
        assert!(built.unwrap().success(), "the example compiles");
        folder.join("examples/target-lines")
    })
}

/// A folder of one test with a config for the example.
struct Trial(PathBuf);

impl Trial {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("messages-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("out")).unwrap();
        let config = format!(
            r#"{{"folder":"{0}/out","rejects_path":"{0}/rejects.jsonl"}}"#,
            folder.display()
        );
        fs::write(folder.join("config.json"), config).unwrap();
        Self(folder)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(example());
        command
            .arg("--config")
            .arg(self.0.join("config.json"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(
            self.command(arguments)
                .stdin(Stdio::null())
                .output()
                .unwrap(),
        )
    }

    /// Runs on one of the files of others.
    fn replay(&self, name: &str) -> Ended {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/singer-sdk");
        let path = data.join(format!("{name}.singer"));
        self.run(&["--input", path.to_str().unwrap()])
    }

    fn rows(&self, stream: &str) -> Vec<String> {
        let path = self.0.join("out").join(format!("{stream}.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

struct Ended {
    code: i32,
    states: String,
    log: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            states: String::from_utf8(output.stdout).unwrap(),
            log: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

#[test]
fn files_that_others_accept_are_accepted() {
    for (name, stream, rows, state) in [
        (
            "array_data",
            "test_array_data",
            4,
            "{\"test_array_data\": 4}\n",
        ),
        ("camelcase", "TestCamelcase", 2, ""),
        (
            "camelcase_complex_schema",
            "ForecastingTypeToCategory",
            0,
            "",
        ),
        (
            "optional_attributes",
            "test_optional_attributes",
            4,
            "{\"test_optional_attributes\": 4}\n",
        ),
        ("record_missing_fields", "record_missing_fields", 2, ""),
        (
            "schema_no_properties",
            "test_object_schema_with_properties",
            2,
            "",
        ),
        (
            "schema_no_properties",
            "test_object_schema_no_properties",
            2,
            "",
        ),
    ] {
        let trial = Trial::new(name);
        let ended = trial.replay(name);
        assert_eq!(ended.code, 0, "{name}: {}", ended.log);
        assert_eq!(ended.states, state, "{name}");
        assert_eq!(trial.rows(stream).len(), rows, "{name}");
    }
}

#[test]
fn streams_without_a_key_are_appended() {
    let trial = Trial::new("append");
    assert_eq!(
        trial.replay("no_primary_keys").states,
        "{\"test_no_pk\": 3}\n"
    );
    assert_eq!(
        trial.replay("no_primary_keys_append").states,
        "{\"test_no_pk\": 5}\n"
    );
    assert_eq!(trial.rows("test_no_pk").len(), 8);
    assert_eq!(trial.rows("test_no_pk")[7], r#"{"id": 5, "metric": 505}"#);
}

#[test]
fn files_that_break_the_protocol_end_with_1_and_say_where() {
    for (name, wanted) in [
        (
            "invalid_schema",
            "CRITICAL target-lines: line 1: stream `test_invalid_schema`: the schema has no `properties`",
        ),
        (
            "record_before_schema",
            "CRITICAL target-lines: line 1: a record of stream `test_record_before_schema` before its SCHEMA",
        ),
        (
            "record_missing_key_property",
            "CRITICAL target-lines: line 2: a record of stream `test_record_missing_key_property` lacks its key property `id`",
        ),
    ] {
        let ended = Trial::new(name).replay(name);
        assert_eq!((ended.code, ended.states.as_str()), (1, ""), "{name}");
        assert!(ended.log.contains(wanted), "{name}: {}", ended.log);
    }
}

#[test]
fn a_record_that_violates_its_schema_is_a_reject() {
    let trial = Trial::new("required");
    let ended = trial.replay("record_missing_required_property");
    assert_eq!(ended.code, 3, "{}", ended.log);
    let rejects = fs::read_to_string(trial.0.join("rejects.jsonl")).unwrap();
    assert!(
        rejects.contains("\"reason\":\"property `id` is required and missing\""),
        "{rejects}"
    );
    assert!(
        rejects.contains("\"record\":{\"metric\": 3215}"),
        "{rejects}"
    );
}

#[test]
fn a_dry_run_shows_what_would_be_done_and_does_nothing() {
    let trial = Trial::new("dry");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/singer-sdk");
    let path = data.join("no_primary_keys.singer");
    let path = path.to_str().unwrap();
    let ended = trial.run(&["--dry-run", "--input", path]);
    assert_eq!(
        (ended.code, ended.states.as_str()),
        (0, ""),
        "{}",
        ended.log
    );
    assert!(
        ended.log.contains("3 records, 3 rows in 1 batches"),
        "{}",
        ended.log
    );
    assert!(
        ended
            .log
            .contains("  request 1: append 3 lines of `test_no_pk`"),
        "{}",
        ended.log
    );
    assert_eq!(trial.rows("test_no_pk").len(), 0);
    let ended = trial.run(&["--dry-run", "--log-format", "json", "--input", path]);
    assert!(
        ended
            .log
            .contains("\"message\":\"dry run\",\"stream\":\"test_no_pk\""),
        "{}",
        ended.log
    );
}

#[test]
fn a_check_says_in_one_line_what_works_or_what_does_not() {
    let trial = Trial::new("check");
    let ended = trial.run(&["--check"]);
    assert_eq!((ended.code, ended.states.as_str()), (0, ""));
    assert!(
        ended.log.starts_with("target-lines: the folder `"),
        "{}",
        ended.log
    );
    fs::remove_dir(trial.0.join("out")).unwrap();
    let ended = trial.run(&["--check"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended
            .log
            .contains("CRITICAL target-lines: cannot find the folder"),
        "{}",
        ended.log
    );
}

#[test]
fn a_signal_ends_a_run_whose_input_stays_open() {
    let trial = Trial::new("signal");
    let mut child = trial.spawn(&["-v"]);
    let mut input = child.stdin.take().unwrap();
    let mut states = BufReader::new(child.stdout.take().unwrap());
    // A state without records before it is safe at once: the process is at work.
    writeln!(input, r#"{{"type":"STATE","value":{{"n":1}}}}"#).unwrap();
    input.flush().unwrap();
    let mut line = String::new();
    states.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"n\":1}\n");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(input);
}
