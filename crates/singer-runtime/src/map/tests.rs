//! Facts about a run: order, bytes that stay as they are, lines that cannot be used, files of a BATCH.

use std::io::Cursor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use singer_core::{Kind, Result};

use super::run::Job;
use super::*;
use crate::context::Context;
use crate::exit::{self, Ended};
use crate::monitor::Progress;
use crate::setting::Setting;
use crate::target::tests::Folder;

#[derive(serde::Deserialize)]
struct Config {}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        Vec::new()
    }
}

/// Writes each record as often as its first field says; what fails is in the name of that field.
struct Repeat {
    jobs: usize,
    rejects_path: PathBuf,
}

impl Map for Repeat {
    const NAME: &'static str = "map-repeat";
    const DESCRIPTION: &'static str = "Repeats records.";
    type Config = Config;
    type Stream = ();
    type Worker = ();

    fn new(_: Config, _: &Context) -> anyhow::Result<Self> {
        anyhow::bail!("tests make it themselves")
    }

    fn options(&self) -> Options {
        Options {
            jobs: self.jobs,
            rejects_path: self.rejects_path.clone(),
            record_time_limit: Duration::from_millis(1),
        }
    }

    fn check(&self) -> anyhow::Result<String> {
        Ok(String::new())
    }

    fn changes(&self, stream: &str) -> bool {
        stream == "s"
    }

    fn streams(&self) -> Vec<String> {
        Vec::new()
    }

    fn open(&self, _: &str, message: SchemaMessage<'_>) -> Result<Opened<Self>> {
        Ok(Opened {
            stream: (),
            schema: message.schema.replace("old", "new"),
            key_properties: None,
            bookmark_properties: None,
        })
    }

    fn worker(&self) {}

    fn apply(
        (): &mut (),
        (): &(),
        record: &str,
        _: Instant,
        out: &mut Outputs<'_>,
    ) -> Result<(), Failure> {
        let fails = |then| Failure {
            reason: "no".to_owned(),
            hints: vec!["a hint".to_owned()],
            then,
        };
        let count = record
            .split_once(':')
            .and_then(|(_, rest)| rest.split(['}', ',']).next()?.trim().parse().ok());
        for _ in 0..count.unwrap_or(1) {
            let written: Result<()> = out.record(|bytes| {
                bytes.extend_from_slice(record.as_bytes());
                Ok(())
            });
            debug_assert!(written.is_ok());
        }
        match record {
            _ if record.contains("stop") => Err(fails(Then::Stop)),
            _ if record.contains("reject") => Err(fails(Then::Reject)),
            _ if record.contains("pass") => Err(fails(Then::Pass)),
            _ if record.contains("panic") => panic!("a defect"),
            _ if record.contains("endless") => loop {
                std::thread::park();
            },
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hands out a few bytes at a time, as a slow pipe does.
struct Drops(Cursor<Vec<u8>>, usize);

impl std::io::Read for Drops {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.1.min(buffer.len());
        self.0.read(&mut buffer[..size])
    }
}

async fn run_in(folder: &Folder, input: &str, size: usize) -> (String, anyhow::Result<Ended>) {
    let sink = Sink::default();
    let map = Repeat {
        jobs: 3,
        rejects_path: folder.path("r.jsonl"),
    };
    let job = Job {
        input: Box::new(Drops(Cursor::new(input.as_bytes().to_vec()), size)),
        out: Box::new(sink.clone()),
        progress: Progress::Never,
    };
    let result = job
        .run(Arc::new(map), Context::for_tests("map-repeat"))
        .await;
    let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
    (String::from_utf8(bytes).unwrap(), result)
}

async fn run(input: &str) -> (String, anyhow::Result<Ended>) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let folder = Folder::new(&format!("map-run-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    run_in(&folder, input, usize::MAX).await
}

const SCHEMA: &str =
    r#"{"type":"SCHEMA","stream":"s","schema":{"properties":{"old":{}}},"key_properties":["n"]}"#;

fn record(content: &str) -> String {
    format!(r#"{{"type":"RECORD","stream":"s","record":{{{content}}}}}"#)
}

#[tokio::test]
async fn what_nobody_changes_passes_byte_for_byte_however_it_is_cut() {
    let text = concat!(
        r#"{"type":"SCHEMA","stream":"t", "schema":{"properties":{}},"key_properties":[]}"#,
        "\r\n",
        r#" {"stream":"t","record":{"a":1e400,"é":"\u00e9"},"type":"record","x":[] } "#,
        "\n",
        r#"{"type": "STATE", "value": {"b" : 12345678901234567890}}"#,
        "\n",
        r#"{"type":"BATCH","stream":"t","encoding":{},"manifest":[]}"#,
        "\n",
        r#"{"type":"ACTIVATE_VERSION","stream":"s","version":1}"#,
        "\n",
        r#"{"type":"NEW_THING","a":NaN}"#,
        "\n",
    );
    let folder = Folder::new("map-bytes");
    for size in [1, 7, 64, usize::MAX] {
        let (out, result) = run_in(&folder, text, size).await;
        assert_eq!(result.unwrap(), Ended::Done);
        assert_eq!(out, text);
    }
}

#[tokio::test]
async fn a_mark_blank_lines_and_a_missing_end_are_put_right() {
    let plain = r#"{"type":"STATE","value":1}"#;
    let (out, result) = run(&format!("\u{feff}{plain}\n\n \r\n{plain}")).await;
    assert_eq!(result.unwrap(), Ended::Done);
    assert_eq!(out, format!("{plain}\n{plain}\n"));
}

#[tokio::test]
async fn order_is_kept_and_schemas_count_from_their_line_on() {
    let mut input = String::new();
    let mut expected = String::new();
    let new = SCHEMA.replace("old", "new");
    for number in 0..20_000 {
        if number % 700 == 0 {
            input.push_str(&format!("{SCHEMA}\n"));
            expected.push_str(&format!("{new}\n"));
        }
        let times = number % 3;
        let line = record(&format!(r#""n":{times},"number":{number}"#));
        input.push_str(&format!("{line}\n"));
        expected.push_str(&format!("{line}\n").repeat(times));
        if number % 10 == 0 {
            let state = format!("{{\"type\":\"STATE\",\"value\":{number}}}\n");
            input.push_str(&state);
            expected.push_str(&state);
        }
    }
    let folder = Folder::new("map-order");
    for size in [1000, usize::MAX] {
        let (out, result) = run_in(&folder, &input, size).await;
        assert_eq!(result.unwrap(), Ended::Done);
        assert!(out == expected, "{} {}", out.len(), expected.len());
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_used_is_named_and_what_stands_before_it_is_written() {
    let state = r#"{"type":"STATE","value":1}"#;
    for (line, message) in [
        ("noise", "line 4: the line is not a JSON message"),
        (
            r#"{"type":"RECORD","stream":"s","rec"#,
            "line 4: the line is not a JSON message",
        ),
        (r#"{"stream":"s"}"#, "line 4: the message has no `type`"),
        (
            r#"{"type":"SCHEMA","stream":"s","schema":{}}"#,
            "line 4: stream `s`: the schema has no `properties`",
        ),
        (
            r#"{"stream":"s","record":{},"reason":"x"}"#,
            "line 4: the message has no `type`",
        ),
        (&record(r#""stop":1"#), "line 4: stream `s`: no"),
        (
            &record(r#""panic":1"#),
            "line 4: the work on this record panicked",
        ),
        (
            &record(r#""endless":1"#),
            "line 4: the work on this record takes longer than 0.001 s, and cannot be ended by itself",
        ),
    ] {
        let input = format!("{SCHEMA}\n{}\n{state}\n{line}\n{state}\n", record(""));
        let (out, result) = run(&input).await;
        let error = result.unwrap_err();
        assert_eq!(exit::explain(&error).message, message);
        let written = out.lines().count();
        // The piece with the panic, or with the work that never ends, is lost as a whole.
        let is_lost = line.contains("panic") || line.contains("endless");
        assert_eq!(written, if is_lost { 1 } else { 3 }, "{out}");
    }
}

#[tokio::test]
async fn a_record_before_its_schema_ends_the_run() {
    for line in [
        record(""),
        r#"{"type":"BATCH","stream":"s","encoding":{},"manifest":[]}"#.to_owned(),
    ] {
        let (_, result) = run(&line).await;
        let error = result.unwrap_err();
        assert_eq!(
            exit::explain(&error).message,
            "line 1: a record of stream `s` before its SCHEMA"
        );
        assert_eq!(exit::kind(&error), Kind::Protocol);
    }
}

#[tokio::test]
async fn what_is_refused_is_on_disk_before_the_state_behind_it() {
    let folder = Folder::new("map-rejects");
    let input = format!(
        "{SCHEMA}\n{}\n{}\n{{\"type\":\"STATE\",\"value\":1}}\n",
        record(r#""n":2,"reject":1"#),
        record(r#""n":2,"pass":1"#)
    );
    let (out, result) = run_in(&folder, &input, usize::MAX).await;
    assert_eq!(result.unwrap(), Ended::WithRejects);
    assert_eq!(out.lines().count(), 4);
    let rejects = std::fs::read_to_string(folder.path("r.jsonl")).unwrap();
    let reject: serde_json::Value = serde_json::from_str(&rejects).unwrap();
    assert_eq!(reject["key"], serde_json::json!({"n": 2}));
    assert_eq!(reject["record"], serde_json::json!({"n": 2, "reject": 1}));
    assert_eq!(
        (&reject["line"], &reject["reason"]),
        (&2.into(), &"no".into())
    );
}

#[tokio::test]
async fn files_of_a_batch_become_records_where_they_are_changed() {
    let folder = Folder::new("map-batch");
    let path = folder.path("b.jsonl");
    let batch = format!(
        r#"{{"type":"BATCH","stream":"s","encoding":{{"format":"jsonl"}},"manifest":["file://{}"],"version":7}}"#,
        path.display()
    );
    let input = format!("{SCHEMA}\n{batch}\n{{\"type\":\"STATE\",\"value\":1}}\n");
    std::fs::write(&path, "{\"n\":2}\r\n\n{\"n\":0}\n{\"n\":1}").unwrap();
    let (out, result) = run_in(&folder, &input, usize::MAX).await;
    assert_eq!(result.unwrap(), Ended::Done);
    let lines: Vec<&str> = out.lines().skip(1).collect();
    let of =
        |n: u8| format!(r#"{{"type":"RECORD","stream":"s","version":7,"record":{{"n":{n}}}}}"#);
    assert_eq!(
        lines,
        [&of(2), &of(2), &of(1), r#"{"type":"STATE","value":1}"#]
    );

    for (text, message) in [
        (
            "{}\n{\"a\":1},\"type\":\"STATE\"\n",
            "line 2: the line is not a JSON record",
        ),
        ("{}\n{\"stop\":1}\n", "line 2: stream `s`: no"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (_, result) = run_in(&folder, &input, usize::MAX).await;
        let found = exit::explain(&result.unwrap_err()).message;
        let wanted = format!("line 2: batch file `{}`, {message}", path.display());
        assert_eq!(found, wanted);
    }
    std::fs::remove_file(&path).unwrap();
    let (_, result) = run_in(&folder, &input, usize::MAX).await;
    assert!(
        exit::explain(&result.unwrap_err())
            .message
            .starts_with("line 2: cannot read")
    );
}

#[tokio::test]
async fn a_stop_ends_the_run_after_what_was_read() {
    let sink = Sink::default();
    let context = Context::for_tests("map-repeat");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let job = Job {
        input: Box::new(reader),
        out: Box::new(sink.clone()),
        progress: Progress::Never,
    };
    let folder = Folder::new("map-stop");
    let map = Arc::new(Repeat {
        jobs: 2,
        rejects_path: folder.path("r.jsonl"),
    });
    let run = tokio::spawn(job.run(map, context.clone()));
    let line = "{\"type\":\"STATE\",\"value\":1}\n";
    std::io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
    while sink.0.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    context.stop().request(crate::stop::Reason::Terminate);
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(exit::kind(&error), Kind::Interrupted);
    assert_eq!(*sink.0.lock().unwrap(), line.as_bytes());
    drop(writer);
}
