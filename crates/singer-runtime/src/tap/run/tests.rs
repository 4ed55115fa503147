//! Whole runs of a scripted tap: what comes out, and how the run ends.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::*;
use crate::cli::{self, Request};
use crate::clock::Clock;
use crate::report::Report;
use crate::setting::{Setting, Settings, Shape};
use crate::stop::Reason;
use crate::tap::Output;

/// A tap whose config says what its streams do: `{"streams": [{"id", "rows", "then"}]}`.
#[derive(Debug)]
struct Scripted {
    streams: Vec<Value>,
    stop: Stop,
    meeting: tokio::sync::Barrier,
}

#[derive(serde::Deserialize)]
struct Script {
    streams: Vec<Value>,
}

impl Settings for Script {
    fn settings() -> Vec<Setting> {
        vec![Setting::list("streams", Shape::Any).required()]
    }
}

impl Tap for Scripted {
    const NAME: &'static str = "tap-scripted";
    const DESCRIPTION: &'static str = "Does as it is told.";
    type Config = Script;

    fn wanted(config: &Script) -> Vec<String> {
        let wanted = config
            .streams
            .iter()
            .filter(|stream| stream["wanted"] == true);
        wanted.map(|stream| text(stream, "id").to_owned()).collect()
    }

    fn tells_state(&self) -> bool {
        let is_silent = |stream: &Value| text(stream, "then") == "tell nothing";
        !self.streams.iter().any(is_silent)
    }

    fn writes_messages(&self) -> bool {
        let only_tells = |stream: &Value| text(stream, "then") == "only tell";
        !self.streams.iter().any(only_tells)
    }

    fn side_by_side(&self) -> Option<usize> {
        let meet = |stream: &Value| text(stream, "then") == "meet";
        self.streams.iter().any(meet).then_some(self.streams.len())
    }

    async fn connect(config: Script, context: Context) -> anyhow::Result<Self> {
        Ok(Self {
            meeting: tokio::sync::Barrier::new(config.streams.len()),
            streams: config.streams,
            stop: context.stop().clone(),
        })
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok("fine".to_owned())
    }

    async fn discover(&self, _: &Scope) -> anyhow::Result<Discovery> {
        let mut discovery = Discovery::default();
        for stream in &self.streams {
            let id = text(stream, "id");
            if text(stream, "then") == "unreadable" {
                let error = Error::rejected("permission denied");
                discovery.problems.push((id.to_owned(), error.into()));
                continue;
            }
            let mut entry = Entry::new(id, id);
            entry.set_property("n", json!({"type": "integer"}));
            entry.set_stream_metadata("table-key-properties", json!(["n"]));
            entry.set_stream_metadata("selected", true);
            if stream["incremental"] == true {
                entry.set_stream_metadata("replication-key", "n");
            }
            discovery.streams.push(entry);
        }
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let stream = self
            .streams
            .iter()
            .find(|stream| text(stream, "id") == plan.id);
        let stream = stream.expect("the plan is of a stream of the script");
        for n in 1..=stream["rows"].as_u64().unwrap_or(0) {
            out.value(&json!({"n": n})).await?;
        }
        match text(stream, "then") {
            "transient" => Err(Error::transient("the service is gone").into()),
            "rejected" => Err(Error::rejected("no such thing").into()),
            "config" => Err(Error::config("the bookmark is no number").into()),
            "auth" => Err(Error::auth("the password is wrong")
                .with_hint("look")
                .into()),
            "panic" => panic!("as the script says"),
            "meet" => {
                self.meeting.wait().await;
                Ok(())
            }
            "stop" => {
                self.stop.request(Reason::Terminate);
                out.checkpoint(plan.bookmark_at(1)).await?;
                Ok(())
            }
            _ => {
                if stream["incremental"] == true {
                    out.checkpoint(plan.bookmark_at(stream["rows"].clone()))
                        .await?;
                }
                Ok(())
            }
        }
    }
}

fn text<'a>(stream: &'a Value, key: &str) -> &'a str {
    stream[key].as_str().unwrap_or_default()
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has gone.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Ran {
    ended: anyhow::Result<Ended>,
    code: u8,
    lines: Vec<Value>,
}

impl Ran {
    /// The messages in short: `type stream`, and for states the whole value.
    fn short(&self) -> Vec<String> {
        let short = |line: &Value| match text(line, "type") {
            "STATE" => line["value"].to_string(),
            kind => format!("{kind} {}", text(line, "stream")),
        };
        self.lines.iter().map(short).collect()
    }

    fn message(&self) -> String {
        self.ended.as_ref().unwrap_err().to_string()
    }

    fn last_state(&self) -> &Value {
        let last = self.lines.last().expect("there are lines");
        assert_eq!(text(last, "type"), "STATE");
        &last["value"]
    }
}

fn start(arguments: &[&str], streams: Value) -> (Start, Stop) {
    let program = Program::new::<Script>(Role::Tap, Scripted::NAME, "", "0", "");
    let arguments = ["tap-scripted"]
        .iter()
        .chain(arguments)
        .map(|text| (*text).into());
    let Request::Run(invocation) = cli::parse(&program, arguments).unwrap() else {
        panic!("a run");
    };
    let stop = Stop::default();
    let mut values = Map::new();
    values.insert("streams".to_owned(), streams);
    let start = Start {
        invocation: *invocation,
        config: Document::of(values),
        context: Context::new(Scripted::NAME, Clock::system(), stop.clone()),
    };
    (start, stop)
}

async fn ran(arguments: &[&str], streams: Value) -> Ran {
    let (start, stop) = start(arguments, streams);
    let written = Written::default();
    let ended = run::<Scripted>(start, written.clone()).await;
    let bytes = written.0.lock().unwrap().clone();
    let lines = String::from_utf8(bytes).unwrap();
    let code = match &ended {
        Ok(_) => exit::DONE,
        Err(error) => exit::code(error, stop.reason()),
    };
    Ran {
        code,
        ended,
        lines: lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    }
}

/// A file that is gone when the test is done.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("singer-runtime-run-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[tokio::test]
async fn schemas_come_first_and_a_state_last() {
    let streams = json!([{"id": "a", "rows": 1, "incremental": true}, {"id": "b", "rows": 1}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(ran.code, exit::DONE);
    let a = r#""a":{"replication_key":"n","replication_key_value":1}"#;
    assert_eq!(
        ran.short(),
        [
            "SCHEMA a",
            "SCHEMA b",
            "RECORD a",
            &format!(r#"{{"currently_syncing":"a","bookmarks":{{{a}}}}}"#),
            "RECORD b",
            "ACTIVATE_VERSION b",
            &format!(r#"{{"currently_syncing":"b","bookmarks":{{{a},"b":{{}}}}}}"#),
            &format!(r#"{{"currently_syncing":null,"bookmarks":{{{a},"b":{{}}}}}}"#),
        ]
    );
    assert_eq!(ran.lines[0]["bookmark_properties"], json!(["n"]));
    assert!(ran.lines[1].get("bookmark_properties").is_none());
}

#[tokio::test]
async fn the_other_streams_state_is_carried_and_the_interrupted_stream_goes_first() {
    let state = Temporary::new(
        "carried.json",
        r#"{"currently_syncing":"b","bookmarks":{"zzz":{"x": 1.10}}}"#,
    );
    let streams = json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]);
    let ran = ran(&["--select", "*", "-s", state.path()], streams).await;
    let order: Vec<String> = ran.short().drain(..3).collect();
    assert_eq!(order, ["SCHEMA b", "SCHEMA c", "SCHEMA a"]);
    assert_eq!(ran.last_state()["bookmarks"]["zzz"], json!({"x": 1.10}));
    assert_eq!(ran.last_state()["currently_syncing"], Value::Null);
}

#[tokio::test]
async fn one_failed_stream_does_not_cost_the_others() {
    for (then, planned) in [
        ("rejected", "no such thing"),
        ("panic", "panicked"),
        ("transient", "gone"),
    ] {
        let streams = json!([{"id": "a", "rows": 1, "then": then}, {"id": "b", "rows": 1}]);
        let ran = ran(&["--select", "*", "--jobs", "2"], streams).await;
        assert_eq!(ran.code, exit::FAILED, "{then}");
        assert_eq!(ran.message(), "1 stream could not be synced");
        let causes = exit::explain(ran.ended.as_ref().unwrap_err()).causes;
        assert!(
            causes[0].starts_with("`a`: ") && causes[0].contains(planned),
            "{causes:?}"
        );
        assert_eq!(ran.last_state()["bookmarks"], json!({"b": {}}));
    }
}

#[tokio::test]
async fn an_outage_of_every_stream_means_run_again_later() {
    let streams = json!([{"id": "a", "then": "transient"}, {"id": "b", "then": "transient"}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(
        (ran.code, ran.message().as_str()),
        (exit::LATER, "2 streams could not be synced")
    );
}

#[tokio::test]
async fn wrong_credentials_stop_the_run() {
    let streams = json!([{"id": "a", "then": "auth"}, {"id": "b", "rows": 1}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(ran.code, exit::FAILED);
    assert_eq!(ran.message(), "cannot sync the stream `a`");
    assert!(!ran.short().contains(&"RECORD b".to_owned()));
}

#[tokio::test]
async fn a_failed_run_that_knows_no_stream_writes_no_state() {
    let streams = json!([{"id": "a", "rows": 1, "then": "rejected"}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(ran.code, exit::FAILED);
    let is_state = |message: &String| message.starts_with("STATE");
    assert!(!ran.short().iter().any(is_state));
}

#[tokio::test]
async fn a_config_error_after_the_first_message_is_a_failure() {
    let streams = json!([{"id": "a", "rows": 1, "then": "config"}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(ran.code, exit::FAILED);
    assert_eq!(ran.message(), "cannot sync the stream `a`");
}

#[tokio::test]
async fn a_stop_request_ends_with_a_valid_state_and_its_own_code() {
    let streams = json!([{"id": "a", "rows": 2, "incremental": true, "then": "stop"}, {"id": "b", "rows": 1}]);
    let ran = ran(&["--select", "*"], streams).await;
    assert_eq!(ran.code, exit::TERMINATED);
    assert!(!ran.short().contains(&"RECORD b".to_owned()));
    assert_eq!(
        ran.last_state(),
        &json!({"currently_syncing": "a", "bookmarks": {"a": {"replication_key": "n", "replication_key_value": 1}}})
    );
}

#[tokio::test]
async fn a_stream_that_is_gone_or_unreadable_fails_alone() {
    let catalog = Temporary::new(
        "gone.json",
        r#"{"streams":[{"tap_stream_id":"gone"},{"tap_stream_id":"b"},{"tap_stream_id":"shut"}]}"#,
    );
    let streams = json!([{"id": "b", "rows": 1}, {"id": "shut", "then": "unreadable"}]);
    let ran = ran(&["--catalog", catalog.path()], streams).await;
    assert_eq!(ran.code, exit::FAILED);
    let explained = exit::explain(ran.ended.as_ref().unwrap_err());
    assert_eq!(
        explained.causes,
        [
            "`gone`: the source has no stream `gone` any more",
            "`shut`: permission denied"
        ]
    );
    assert!(ran.short().contains(&"RECORD b".to_owned()));
}

#[tokio::test]
async fn a_wrong_catalog_writes_nothing() {
    let catalog = Temporary::new(
        "wrong.json",
        r#"{"streams":[{"tap_stream_id":"a","replication_method":"SOMETIMES"},
            {"tap_stream_id":"b","replication_key":"x"}]}"#,
    );
    let streams = json!([{"id": "a"}, {"id": "b"}]);
    let ran = ran(&["-p", catalog.path()], streams).await;
    assert_eq!((ran.code, ran.lines.len()), (exit::USAGE, 0));
    assert_eq!(ran.message(), "2 streams of the catalog cannot be planned");
}

#[tokio::test]
async fn nothing_to_do_is_a_state_and_nothing_asked_is_an_error() {
    let catalog = Temporary::new(
        "none.json",
        r#"{"streams":[{"tap_stream_id":"a","schema":{"selected":false}}]}"#,
    );
    let idle = ran(&["--catalog", catalog.path()], json!([{"id": "a"}])).await;
    assert_eq!(idle.code, exit::DONE);
    assert_eq!(
        idle.short(),
        [r#"{"currently_syncing":null,"bookmarks":{}}"#]
    );
    let asked = ran(&[], json!([{"id": "a"}])).await;
    assert_eq!((asked.code, asked.lines.len()), (exit::USAGE, 0));
    let unknown = ran(&["--select", "x*"], json!([{"id": "a"}])).await;
    assert_eq!(unknown.message(), "no stream matches `--select x*`");
    let streams = json!([{"id": "a"}, {"id": "shut", "then": "unreadable"}]);
    let unreadable = ran(&["--select", "sh*"], streams).await;
    assert_eq!(unreadable.code, exit::USAGE);
    assert_eq!(unreadable.message(), "the stream `shut` cannot be read");
}

#[tokio::test]
async fn a_config_may_want_its_own_streams_and_select_overrules_it() {
    let streams = json!([{"id": "a"}, {"id": "b", "wanted": true}]);
    let own = ran(&[], streams.clone()).await;
    assert_eq!(own.short().first().map(String::as_str), Some("SCHEMA b"));
    let selected = ran(&["--select", "a"], streams).await;
    assert_eq!(
        selected.short().first().map(String::as_str),
        Some("SCHEMA a")
    );
}

#[tokio::test]
async fn a_run_about_certain_rows_writes_no_state() {
    let streams = json!([{"id": "a", "rows": 1, "then": "tell nothing", "incremental": true}]);
    let state = Temporary::new("silent.json", r#"{"bookmarks":{"a":{"x": 1}}}"#);
    for arguments in [
        vec!["--select", "a"],
        vec!["--select", "a", "-s", state.path()],
    ] {
        let silent = ran(&arguments, streams.clone()).await;
        assert_eq!(silent.code, exit::DONE);
        assert!(
            silent.lines.iter().all(|line| line["type"] != "STATE"),
            "{:?}",
            silent.short()
        );
    }
}

#[tokio::test]
async fn a_tap_may_have_all_its_streams_read_at_once() {
    let streams = json!([{"id": "a", "then": "meet"}, {"id": "b", "then": "meet"}]);
    assert_eq!(ran(&["--select", "*"], streams).await.code, exit::DONE);
}

#[tokio::test]
async fn trials_write_schemas_and_at_most_a_record() {
    let streams = json!([{"id": "a", "rows": 5}, {"id": "b", "rows": 5, "incremental": true}]);
    let one = ran(&["--test"], streams.clone()).await;
    assert_eq!(one.code, exit::DONE);
    assert_eq!(
        one.short(),
        ["SCHEMA a", "SCHEMA b", "RECORD a", "RECORD b"]
    );
    let none = ran(&["--test=schema"], streams).await;
    assert_eq!(none.short(), ["SCHEMA a", "SCHEMA b"]);
}

#[tokio::test]
async fn discovery_ignores_state_and_catalog_and_selects_what_matches() {
    let arguments = [
        "-d",
        "-s",
        "no/such",
        "--catalog",
        "no/such",
        "--select",
        "b",
    ];
    let (start, _) = start(
        &arguments,
        json!([{"id": "a"}, {"id": "b"}, {"id": "c", "then": "unreadable"}]),
    );
    let written = Written::default();
    run::<Scripted>(start, written.clone()).await.unwrap();
    let catalog = Catalog::parse(&written.0.lock().unwrap()).unwrap();
    let ids: Vec<&str> = catalog.streams.iter().map(Entry::id).collect();
    assert_eq!(ids, ["b"]);
    assert!(catalog.streams[0].is_selected());
}

#[tokio::test]
async fn a_reader_that_has_gone_ends_the_run_quietly() {
    let streams = json!([{"id": "a", "rows": 100_000}, {"id": "b", "rows": 100_000}]);
    let (start, _) = start(&["--select", "*"], streams);
    let error = run::<Scripted>(start, Closed).await.unwrap_err();
    assert!(stdio::is_broken_pipe(&error), "{error:?}");
}

#[tokio::test]
async fn a_check_plans_what_would_be_read() {
    let streams = json!([{"id": "a"}, {"id": "shut", "then": "unreadable"}]);
    let fine = ran(&["--check", "--select", "a"], streams.clone()).await;
    assert_eq!((fine.code, fine.lines.len()), (exit::DONE, 0));
    let catalog = Temporary::new("check.json", r#"{"streams":[{"tap_stream_id":"shut"}]}"#);
    let shut = ran(&["--check", "--catalog", catalog.path()], streams).await;
    assert_eq!((shut.code, shut.lines.len()), (exit::FAILED, 0));
}

#[tokio::test]
async fn a_failed_run_leaves_its_report_for_whoever_wants_one() {
    let streams = json!([{"id": "db.a", "rows": 3}, {"id": "b", "rows": 2, "then": "rejected"}]);
    let (mut start, _) = start(&["--select", "*"], streams);
    let folder = Temporary::new("reported.json", "");
    start.context = start.context.with_report(folder.path().into());
    let run_id = start.context.run_id().to_owned();
    run::<Scripted>(start, Written::default())
        .await
        .unwrap_err();
    let report = Report::read(folder.path().as_ref()).unwrap();
    assert_eq!(
        [&report.binary, &report.role, &report.run_id, &report.status],
        ["tap-scripted", "tap", &run_id, "failed"]
    );
    let told = |id: &str| {
        let stream = &report.streams[id];
        (
            stream.records,
            stream.status.as_str(),
            stream.stream.as_str(),
        )
    };
    assert_eq!(told("db.a"), (3, "succeeded", "db.a"));
    // What was not handed over was not read, as far as anybody behind the pipe knows.
    assert_eq!(told("b"), (0, "failed", "b"));
    assert!(report.streams["b"].schema.is_some());
    assert_eq!(report.streams["b"].schema, report.streams["db.a"].schema);
}

#[tokio::test]
async fn a_run_that_only_tells_what_it_would_do_writes_nothing() {
    let streams = json!([{"id": "a", "rows": 1, "then": "only tell"}]);
    let silent = ran(&["--select", "a"], streams).await;
    assert_eq!(silent.code, exit::DONE);
    assert!(silent.lines.is_empty(), "{:?}", silent.short());
}
