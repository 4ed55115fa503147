//! SCHEMA messages: new, changed, repeated, wrong, and what stands against writing them.

use super::*;

fn problem(stream: &Stream) -> Vec<Problem> {
    let wants = |name: &str| stream.schema.layout().index(name).is_none();
    if !wants("bad") {
        return vec![Problem {
            kind: "field missing",
            message: format!("`bad` of {}", stream.name),
            hint: Some("create it".to_owned()),
        }];
    }
    Vec::new()
}

fn bad_schema(stream: &str) -> String {
    schema_of(stream, r#"{"id":{},"bad":{}}"#)
}

fn with_problems() -> World {
    World {
        problems: Box::new(problem),
        ..World::default()
    }
}

#[tokio::test]
async fn a_changed_schema_waits_for_the_old_batches_and_a_repeated_one_changes_nothing() {
    let trial = Trial::new(World::default());
    let wider = schema_of("a", r#"{"id":{},"n":{},"more":{}}"#);
    let input = [
        schema("a"),
        record("a", 1),
        schema("a"),
        record("a", 2),
        record("a", 3),
        wider,
        record("a", 4),
        state(1),
    ];
    let ended = trial.run(&input.concat()).await;
    assert_eq!(ended.states.last(), Some(&printed(1)));
    let log = trial.world.log();
    let kept: Vec<&str> = log
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("begin") && *line != "sync")
        .collect();
    assert_eq!(kept[0..2], ["open a id,n", "prepare a"]);
    let mut written = kept[2..4].to_vec();
    written.sort_unstable();
    assert_eq!(written, ["write a 1 2", "write a 3"]);
    assert_eq!(
        kept[4..],
        [
            "close a",
            "open a id,n,more",
            "prepare a",
            "write a 4",
            "close a"
        ]
    );
}

#[tokio::test]
async fn problems_of_all_streams_are_told_before_anything_is_written() {
    let trial = Trial::new(with_problems());
    let input = [
        schema("good"),
        bad_schema("a"),
        bad_schema("b"),
        record("good", 1),
        record("good", 2),
        state(1),
    ];
    let ended = trial.run(&input.concat()).await;
    assert_eq!((ended.code(), ended.states.len()), (2, 0));
    let explained = exit::explain(ended.result.as_ref().unwrap_err());
    assert_eq!(
        explained.message,
        "nothing was written: 2 streams cannot be written"
    );
    assert_eq!(
        explained.causes,
        [
            "stream `a`: field missing: `bad` of a",
            "stream `b`: field missing: `bad` of b"
        ]
    );
    assert_eq!(explained.hints, ["create it"]);
    let log = trial.world.log();
    assert!(
        !log.iter()
            .any(|line| line.starts_with("prepare") || line.starts_with("begin"))
    );
}

#[tokio::test]
async fn problems_are_told_even_if_no_record_comes() {
    let trial = Trial::new(with_problems());
    assert_eq!(trial.run(&bad_schema("a")).await.code(), 2);
    let trial = Trial::new(World {
        open_error: Some(Kind::Config),
        ..World::default()
    });
    let ended = trial.run(&(schema("a") + &record("a", 1))).await;
    assert_eq!(ended.code(), 2);
    assert!(ended.error().contains("stream `a`: config: cannot open"));
}

#[tokio::test]
async fn after_the_first_write_a_bad_schema_fails_its_stream_alone() {
    let trial = Trial::new(with_problems());
    let (sender, input) = feed();
    let world = Arc::clone(&trial.world);
    let run = tokio::spawn(async move { trial.run_on(input).await });
    sender
        .send([schema("a"), record("a", 1), record("a", 2), state(1)].concat())
        .unwrap();
    until(|| world.log().contains(&"sync".to_owned())).await;
    let lines = [
        bad_schema("b"),
        record("b", 3),
        state(2),
        record("a", 4),
        record("a", 5),
        state(3),
    ];
    sender.send(lines.concat()).unwrap();
    drop(sender);
    let ended = run.await.unwrap();
    assert_eq!(ended.code(), 1);
    assert!(
        ended.error().starts_with("stream `b` failed"),
        "{}",
        ended.error()
    );
    assert_eq!(ended.states, [printed(1)]);
    assert_eq!(world.writes(), ["a 1 2", "a 4 5"]);
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_run_after_what_came_before_is_safe() {
    for (line, wanted) in [
        (
            record("b", 2),
            "line 4: a record of stream `b` before its SCHEMA",
        ),
        (
            r#"{"type":"SCHEMA","stream":"b","schema":{},"key_properties":[]}"#.to_owned(),
            "line 4: stream `b`: the schema has no `properties`",
        ),
        (
            r#"{"type":"RECORD","stream":"a","record":{"n":"secret"}}"#.to_owned(),
            "line 4: a record of stream `a` lacks its key property `id`",
        ),
        (
            r#"{"type":"RECORD","stream":"a","record":{"n":"secret""#.to_owned(),
            "line 4: the line is not a JSON message",
        ),
        (
            "Traceback secret".to_owned(),
            "line 4: the line is not a JSON message",
        ),
    ] {
        let trial = Trial::new(World::default());
        let input = [schema("a"), record("a", 1), state(1), line];
        let ended = trial.run(&input.concat()).await;
        assert_eq!(ended.code(), 1);
        assert!(ended.error().starts_with(wanted), "{}", ended.error());
        assert!(!ended.error().contains("secret"));
        assert_eq!(ended.states, [printed(1)], "{wanted}");
        assert_eq!(trial.world.writes(), ["a 1"]);
    }
}

#[tokio::test]
async fn a_null_key_and_unknown_types_are_passed_on_and_over() {
    let trial = Trial::new(World::default());
    let input = schema_of("a", r#"{"id":{"type":["null","integer"]}}"#)
        + "{\"type\":\"HEARTBEAT\"}\n{\"type\":\"HEARTBEAT\"}\n"
        + "{\"type\":\"record\",\"stream\":\"a\",\"record\":{\"id\":null,\"unknown\":1}}\n";
    assert_eq!(trial.run(&input).await.code(), 0);
    assert_eq!(trial.world.writes(), ["a 0"]);
}

#[tokio::test]
async fn the_metadata_columns_are_properties_and_fields() {
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let trial = Trial::new(World {
        answer: Box::new({
            let seen = Arc::clone(&seen);
            move |batch| {
                let layout = batch.stream().schema.layout();
                let texts = layout.names().enumerate().map(|(place, _)| {
                    let (_, text) = batch.record(0).field(place)?;
                    Some(String::from_utf8(text.to_vec()).unwrap())
                });
                *seen.lock().unwrap() = texts.collect();
                Answer::Taken
            }
        }),
        ..World::default()
    })
    .with("add_record_metadata", json!(true));
    let line = r#"{"type":"RECORD","stream":"a","record":{"id":1,"_sdc_deleted_at":"2026-01-02T00:00:00Z"},
        "version":7,"time_extracted":"2026-01-01T00:00:00Z"}"#
        .replace('\n', " ");
    trial.run(&(schema("a") + &line)).await;
    let columns = "open a id,n,_sdc_extracted_at,_sdc_received_at,_sdc_batched_at,_sdc_deleted_at,\
        _sdc_sequence,_sdc_table_version,_sdc_sync_started_at";
    assert_eq!(trial.world.log()[0], columns);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen[2].as_deref(), Some("\"2026-01-01T00:00:00Z\""));
    assert_eq!(seen[5].as_deref(), Some("\"2026-01-02T00:00:00Z\""));
    assert_eq!(seen[7].as_deref(), Some("7"));
    let started = trial.context.started_at().timestamp_millis().to_string();
    assert_eq!(seen[8], Some(started));
    let received = seen[3].clone().expect("a time");
    assert_eq!(received.len(), "\"2026-01-01T00:00:00.000000Z\"".len());
    assert_eq!(seen[4], Some(received));
    assert!(seen[6].as_ref().is_some_and(|text| !text.is_empty()));
}
