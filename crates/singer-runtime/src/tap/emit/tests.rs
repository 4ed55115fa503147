//! What comes out of an output, and in which order.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use chrono::DateTime;
use serde_json::json;
use singer_core::Kind;
use singer_core::catalog::Entry;
use singer_core::state::State;

use super::*;
use crate::context::Context;
use crate::monitor::{Monitor, Progress};
use crate::program::Role;
use crate::stdio::PipeEnd;
use crate::stop::Reason;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fixture {
    run: Run,
    end: PipeEnd,
    written: Written,
    monitor: Monitor,
}

impl Fixture {
    fn new() -> Self {
        let written = Written::default();
        let (pipe, end) = Pipe::open(written.clone()).unwrap();
        Self {
            run: Run {
                pipe,
                bookmarks: Arc::new(Bookmarks::new(State::default())),
                ticker: Arc::default(),
                clock: Clock::fixed(DateTime::UNIX_EPOCH),
                stop: Stop::default(),
                extent: Extent::Everything,
                tells_state: true,
            },
            end,
            written,
            monitor: Monitor::start(
                "tap-x",
                Role::Tap,
                &Context::for_tests("tap-x"),
                Progress::Never,
                None,
            ),
        }
    }

    fn output(&self, id: &str, replication: Replication, bookmark: Value) -> Output {
        let Value::Object(bookmark) = bookmark else {
            panic!("an object");
        };
        let plan = Plan {
            id: id.to_owned(),
            stream: id.to_owned(),
            entry: Entry::new(id, id),
            fields: Vec::new(),
            schema: json!({}),
            key_properties: Vec::new(),
            replication,
            bookmark,
            started_at: DateTime::UNIX_EPOCH,
        };
        Output::new(self.run.clone(), &plan, self.monitor.stream(id))
    }

    /// The lines, with the time cut out.
    async fn lines(self) -> Vec<String> {
        drop(self.run);
        self.end.finish().await.unwrap();
        let bytes = self.written.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| line.replace(r#","time_extracted":"1970-01-01T00:00:00.000000Z""#, ""))
            .collect()
    }
}

fn incremental() -> Replication {
    Replication::Incremental {
        key: "at".to_owned(),
        start: None,
    }
}

fn number(out: &mut Vec<u8>, number: u32) -> Result<()> {
    out.extend_from_slice(format!(r#"{{"n":{number}}}"#).as_bytes());
    Ok(())
}

fn bookmark(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn a_state_never_precedes_a_record_that_it_covers() {
    let fixture = Fixture::new();
    let mut a = fixture.output("a", incremental(), json!({"version": 9}));
    let mut b = fixture.output("b", incremental(), json!({}));
    a.record(|out| number(out, 1)).await.unwrap();
    b.record(|out| number(out, 2)).await.unwrap();
    a.checkpoint(bookmark(json!({"replication_key_value": 1})))
        .await
        .unwrap();
    b.checkpoint(bookmark(json!({"replication_key_value": 2})))
        .await
        .unwrap();
    drop((a, b));
    assert_eq!(
        fixture.lines().await,
        [
            r#"{"type":"RECORD","stream":"a","record":{"n":1}}"#,
            r#"{"type":"STATE","value":{"currently_syncing":null,"bookmarks":{"a":{"replication_key_value":1,"version":9}}}}"#,
            r#"{"type":"RECORD","stream":"b","record":{"n":2}}"#,
            r#"{"type":"STATE","value":{"currently_syncing":null,"bookmarks":{"a":{"replication_key_value":1,"version":9},"b":{"replication_key_value":2}}}}"#,
        ]
    );
}

#[tokio::test]
async fn a_full_table_carries_its_version_and_ends_with_activation() {
    let fixture = Fixture::new();
    let mut out = fixture.output("a", Replication::FullTable { version: 7 }, json!({}));
    out.record(|out| number(out, 1)).await.unwrap();
    out.checkpoint(bookmark(json!({"last_pk_fetched": {"n": 1}})))
        .await
        .unwrap();
    // The tap may leave the end of the version to the runtime.
    out.end().await.unwrap();
    drop(out);
    assert_eq!(
        fixture.lines().await,
        [
            r#"{"type":"RECORD","stream":"a","version":7,"record":{"n":1}}"#,
            r#"{"type":"STATE","value":{"currently_syncing":null,"bookmarks":{"a":{"last_pk_fetched":{"n":1},"version":7}}}}"#,
            r#"{"type":"ACTIVATE_VERSION","stream":"a","version":7}"#,
            r#"{"type":"STATE","value":{"currently_syncing":null,"bookmarks":{"a":{}}}}"#,
        ]
    );
}

#[tokio::test]
async fn a_record_that_fails_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let mut out = fixture.output("a", incremental(), json!({}));
    out.record(|out| number(out, 1)).await.unwrap();
    let failed = out.record(|out| {
        out.extend_from_slice(b"{\"half");
        Err(Error::protocol("a value of an unknown form"))
    });
    assert_eq!(failed.await.unwrap_err().kind(), Kind::Protocol);
    out.record(|out| number(out, 2)).await.unwrap();
    out.end().await.unwrap();
    drop(out);
    assert_eq!(
        fixture.lines().await,
        [
            r#"{"type":"RECORD","stream":"a","record":{"n":1}}"#,
            r#"{"type":"RECORD","stream":"a","record":{"n":2}}"#,
        ]
    );
}

#[tokio::test]
async fn a_checkpoint_is_due_by_records_by_time_and_after_a_stop_request() {
    let fixture = Fixture::new();
    let mut out = fixture.output("a", incremental(), json!({}));
    for _ in 0..RECORDS_PER_STATE {
        assert!(!out.checkpoint_due());
        out.record(|out| number(out, 1)).await.unwrap();
    }
    assert!(out.checkpoint_due());
    out.checkpoint(Map::new()).await.unwrap();
    assert!(!out.checkpoint_due());
    fixture.run.ticker.set(TICKS_PER_STATE);
    assert!(out.checkpoint_due());
    out.checkpoint(Map::new()).await.unwrap();
    assert!(!out.checkpoint_due());
    fixture.run.stop.request(Reason::Terminate);
    assert!(out.checkpoint_due());
    out.record(|out| number(out, 1)).await.unwrap();
    let error = out.checkpoint(Map::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    drop(out);
    let lines = fixture.lines().await;
    assert!(
        lines.last().unwrap().starts_with(r#"{"type":"STATE""#),
        "the interruption is a checkpoint"
    );
}

#[tokio::test]
async fn a_slow_block_is_handed_over_with_its_age() {
    let fixture = Fixture::new();
    let mut out = fixture.output("a", incremental(), json!({}));
    out.record(|out| number(out, 1)).await.unwrap();
    assert_eq!(out.counters.read.get(), 0);
    fixture.run.ticker.set(TICKS_PER_BLOCK);
    out.record(|out| number(out, 2)).await.unwrap();
    assert_eq!(out.counters.read.get(), 2);
}

#[tokio::test]
async fn one_record_is_enough_where_only_one_is_asked_for() {
    let mut fixture = Fixture::new();
    fixture.run.extent = Extent::OneRecord;
    let mut out = fixture.output("a", Replication::FullTable { version: 7 }, json!({}));
    let error = out.record(|out| number(out, 1)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    out.end().await.unwrap();
    drop(out);
    assert_eq!(
        fixture.lines().await,
        [r#"{"type":"RECORD","stream":"a","version":7,"record":{"n":1}}"#]
    );
}

#[tokio::test]
async fn a_future_that_is_dropped_while_the_pipe_is_full_loses_no_record() {
    /// A reader that takes nothing until it is told to.
    struct Slow(std::sync::mpsc::Receiver<()>, Written);
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _told = self.0.recv();
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut fixture = Fixture::new();
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    let (pipe, end) = Pipe::open(Slow(wait, fixture.written.clone())).unwrap();
    (fixture.run.pipe, fixture.end) = (pipe, end);
    let mut output = fixture.output("a", incremental(), json!({}));
    let mut given_up = 0;
    for n in 0..20 {
        output.record(|out| number(out, n)).await.unwrap();
        let soon = std::time::Duration::from_millis(5);
        given_up += u32::from(tokio::time::timeout(soon, output.flush()).await.is_err());
    }
    assert!(given_up > 0);
    drop(go);
    output.flush().await.unwrap();
    drop(output);
    assert_eq!(fixture.lines().await.len(), 20);
}

#[tokio::test]
async fn records_of_a_thread_come_in_their_order_and_a_broken_one_leaves_nothing() {
    let fixture = Fixture::new();
    let mut output = fixture.output("a", incremental(), json!({}));
    let count = output
        .from_thread(
            |blocks| {
                for one in 1..=2 {
                    blocks.record(|out| number(out, one))?;
                }
                let broken = blocks.record(|out| {
                    out.extend_from_slice(b"{");
                    Err(Error::internal("broken"))
                });
                assert!(broken.is_err());
                blocks.record(|out| number(out, 3))?;
                Ok(3)
            },
            Map::new,
        )
        .await
        .unwrap();
    assert_eq!(count, 3);
    output.flush().await.unwrap();
    drop(output);
    let lines = fixture.lines().await;
    let records: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once("\"record\":"))
        .map(|(_, record)| record)
        .collect();
    assert_eq!(records, [r#"{"n":1}}"#, r#"{"n":2}}"#, r#"{"n":3}}"#]);
}

#[tokio::test]
async fn another_schema_stands_between_the_records_before_and_behind_it() {
    let fixture = Fixture::new();
    let mut a = fixture.output("a", incremental(), json!({}));
    a.record(|out| number(out, 1)).await.unwrap();
    a.schema(&json!({"properties": {"n": {}}})).await.unwrap();
    a.record(|out| number(out, 2)).await.unwrap();
    a.end().await.unwrap();
    drop(a);
    let lines = fixture.lines().await;
    let types: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
        .collect();
    assert_eq!(types, ["RECORD", "SCHEMA", "RECORD"]);
    let schema: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(schema["bookmark_properties"], json!(["at"]));
}
