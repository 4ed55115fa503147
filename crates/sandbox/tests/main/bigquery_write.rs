//! BigQuery's Storage Write API, by gRPC over HTTP/2 without TLS.

use prost::Message;
use sandbox::bigquery::BigQueryOptions;
use serde_json::{Value, json};

use crate::bigquery_wire::{
    Append, Client, Commit, Committed, Count, Data, Descriptor, Field, Flush, Named, Rows, Stream,
    WriterSchema, code_in,
};
use crate::support::Trial;

mod columns;

const TABLE: &str = "projects/p/datasets/d/tables/t";
const DEFAULT: &str = "projects/p/datasets/d/tables/t/streams/_default";
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 3;
const INT64: i32 = 3;
const INT32: i32 = 5;
const STRING: i32 = 9;
const MESSAGE: i32 = 11;

/// The row of most tests.
#[derive(Clone, PartialEq, Message)]
struct Person {
    #[prost(int64, optional, tag = "1")]
    id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    change: Option<String>,
    #[prost(string, optional, tag = "4")]
    sequence: Option<String>,
}

fn person(id: i64, name: &str) -> Vec<u8> {
    Person {
        id: Some(id),
        name: Some(name.to_owned()),
        ..Person::default()
    }
    .encode_to_vec()
}

fn change(id: i64, name: &str, change: &str, sequence: &str) -> Vec<u8> {
    Person {
        id: Some(id),
        name: (!name.is_empty()).then(|| name.to_owned()),
        change: Some(change.to_owned()),
        sequence: (!sequence.is_empty()).then(|| sequence.to_owned()),
    }
    .encode_to_vec()
}

fn field(name: &str, number: i32, label: i32, kind: i32) -> Field {
    Field {
        name: name.to_owned(),
        number,
        label,
        kind,
        type_name: String::new(),
    }
}

fn people() -> Descriptor {
    Descriptor {
        name: "Person".to_owned(),
        fields: vec![
            field("ID", 1, OPTIONAL, INT64),
            field("name", 2, OPTIONAL, STRING),
        ],
        nested: Vec::new(),
    }
}

fn changes() -> Descriptor {
    let mut descriptor = people();
    descriptor
        .fields
        .push(field("_CHANGE_TYPE", 3, OPTIONAL, STRING));
    descriptor
        .fields
        .push(field("_CHANGE_SEQUENCE_NUMBER", 4, OPTIONAL, STRING));
    descriptor
}

fn request(
    stream: &str,
    descriptor: Option<Descriptor>,
    offset: Option<i64>,
    rows: Vec<Vec<u8>>,
) -> Append {
    Append {
        stream: stream.to_owned(),
        offset: offset.map(|count| Count { count }),
        rows: Some(Data {
            schema: descriptor.map(|descriptor| WriterSchema {
                descriptor: Some(descriptor),
            }),
            rows: Some(Rows { rows }),
        }),
    }
}

async fn with(change: impl FnOnce(&mut BigQueryOptions)) -> (Trial, Client) {
    let trial = Trial::with_bigquery(change).await;
    let body = json!({"schema": {"fields": [{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
        {"name": "name", "type": "STRING"}]},
        "tableConstraints": {"primaryKey": {"columns": ["id"]}}});
    trial
        .sandbox
        .bigquery()
        .create_table("p", "d.t", &body)
        .unwrap();
    let client = Client::new(&trial.sandbox).await;
    (trial, client)
}

fn rows(trial: &Trial) -> Vec<Value> {
    trial.sandbox.bigquery().dump("p", "d", "t")
}

fn names(trial: &Trial) -> Vec<String> {
    rows(trial)
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_default_stream_shows_rows_when_they_are_acknowledged() {
    let (trial, mut client) = with(|_| {}).await;
    let answers = client
        .append(vec![
            request(
                DEFAULT,
                Some(people()),
                None,
                vec![person(0, ""), person(2, "b")],
            ),
            request("", None, None, vec![person(3, "c")]),
        ])
        .await;
    for answer in &answers {
        let answer = answer.as_ref().unwrap();
        assert_eq!(
            (answer.result(), answer.stream.as_str()),
            (Ok(None), DEFAULT)
        );
    }
    // A proto2 field that was set to its default is not null.
    assert_eq!(rows(&trial)[0], json!({"id": 0, "name": ""}));
    assert_eq!(rows(&trial).len(), 3);
    let offset = client
        .append(vec![request(DEFAULT, Some(people()), Some(0), Vec::new())])
        .await;
    assert_eq!(
        offset[0].as_ref().unwrap_err().code(),
        tonic::Code::InvalidArgument
    );
    let table = trial.sandbox.status().activity.tables["bigquery/d.t"].clone();
    assert_eq!((table.calls, table.records), (2, 3));
}

#[tokio::test]
async fn a_bad_row_stores_none_of_the_request() {
    let (trial, mut client) = with(|_| {}).await;
    let missing = Person::default().encode_to_vec();
    let answers = client
        .append(vec![
            request(
                DEFAULT,
                Some(people()),
                None,
                vec![person(1, "a"), missing, vec![0x0a, 9]],
            ),
            request("", None, None, vec![person(1, "a")]),
        ])
        .await;
    let refused = answers[0].as_ref().unwrap();
    assert_eq!(refused.result(), Err((3, 0)));
    let bad: Vec<i64> = refused.row_errors.iter().map(|row| row.index).collect();
    assert_eq!(bad, [1, 2]);
    assert!(refused.row_errors[0].message.contains("id"));
    assert_eq!(answers[1].as_ref().unwrap().result(), Ok(None));
    assert_eq!(rows(&trial).len(), 1);
}

#[tokio::test]
async fn offsets_make_a_committed_stream_exactly_once() {
    let (trial, mut client) = with(|_| {}).await;
    let stream = client.create(TABLE, 1).await;
    let answers = client
        .append(vec![
            request(
                &stream,
                Some(people()),
                Some(0),
                vec![person(1, "a"), person(2, "b")],
            ),
            request("", None, Some(0), vec![person(1, "a"), person(2, "b")]),
            request("", None, Some(3), vec![person(4, "d")]),
            request("", None, Some(2), vec![person(3, "c")]),
        ])
        .await;
    let results: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().result())
        .collect();
    // ALREADY_EXISTS / OFFSET_ALREADY_EXISTS, OUT_OF_RANGE / OFFSET_OUT_OF_RANGE.
    assert_eq!(
        results,
        [Ok(Some(0)), Err((6, 8)), Err((11, 9)), Ok(Some(2))]
    );
    assert_eq!(names(&trial), ["a", "b", "c"]);
    let named = || Named {
        name: stream.clone(),
    };
    let count: Count = client.call("FinalizeWriteStream", named()).await.unwrap();
    assert_eq!(count.count, 3);
    let late = client
        .append(vec![request(
            &stream,
            Some(people()),
            Some(3),
            vec![person(4, "d")],
        )])
        .await;
    assert_eq!(late[0].as_ref().unwrap().result(), Err((9, 6)));
}

#[tokio::test]
async fn pending_streams_are_committed_together_or_not_at_all() {
    let (trial, mut client) = with(|_| {}).await;
    let (first, second) = (client.create(TABLE, 2).await, client.create(TABLE, 2).await);
    for stream in [&first, &second] {
        client
            .append(vec![request(
                stream,
                Some(people()),
                Some(0),
                vec![person(1, "a")],
            )])
            .await;
    }
    let commit = || Commit {
        parent: TABLE.to_owned(),
        streams: vec![first.clone(), second.clone()],
    };
    client
        .call::<_, Count>(
            "FinalizeWriteStream",
            Named {
                name: first.clone(),
            },
        )
        .await
        .unwrap();
    let refused: Committed = client
        .call("BatchCommitWriteStreams", commit())
        .await
        .unwrap();
    assert!(refused.time.is_none());
    assert_eq!((refused.errors.len(), refused.errors[0].code), (1, 5));
    assert!(rows(&trial).is_empty());
    client
        .call::<_, Count>(
            "FinalizeWriteStream",
            Named {
                name: second.clone(),
            },
        )
        .await
        .unwrap();
    let done: Committed = client
        .call("BatchCommitWriteStreams", commit())
        .await
        .unwrap();
    assert!(done.time.is_some() && done.errors.is_empty());
    assert_eq!(rows(&trial).len(), 2);
    let again: Committed = client
        .call("BatchCommitWriteStreams", commit())
        .await
        .unwrap();
    assert_eq!((again.errors.len(), again.errors[0].code), (2, 2));
}

#[tokio::test]
async fn a_buffered_stream_shows_what_was_flushed() {
    let (trial, mut client) = with(|_| {}).await;
    let stream = client.create(TABLE, 3).await;
    let people_rows = vec![person(1, "a"), person(2, "b"), person(3, "c")];
    client
        .append(vec![request(&stream, Some(people()), Some(0), people_rows)])
        .await;
    assert!(rows(&trial).is_empty());
    let flush = |count: i64| Flush {
        name: stream.clone(),
        offset: Some(Count { count }),
    };
    let flushed: Count = client.call("FlushRows", flush(1)).await.unwrap();
    assert_eq!(
        (flushed.count, names(&trial)),
        (1, vec!["a".to_owned(), "b".to_owned()])
    );
    let beyond = client
        .call::<_, Count>("FlushRows", flush(3))
        .await
        .unwrap_err();
    assert_eq!(
        (beyond.code(), code_in(&beyond)),
        (tonic::Code::OutOfRange, 9)
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let (trial, mut client) = with(|_| {}).await;
    let missing = "projects/p/datasets/d/tables/none/streams/_default";
    let answers = client
        .append(vec![request(missing, Some(people()), None, Vec::new())])
        .await;
    let status = answers[0].as_ref().unwrap_err();
    assert_eq!((status.code(), code_in(status)), (tonic::Code::NotFound, 1));
    let stream = client.create(TABLE, 1).await;
    let seen: Stream = client
        .call(
            "GetWriteStream",
            Named {
                name: stream.clone(),
            },
        )
        .await
        .unwrap();
    assert_eq!((seen.kind, seen.schema), (1, None));
    trial.sandbox.bigquery().drop_table("p", "d", "t");
    let status = client
        .call::<_, Stream>("GetWriteStream", Named { name: stream })
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn every_type_is_read_from_its_proto_forms() {
    let trial = Trial::start().await;
    let fields = json!([
        {"name": "i", "type": "INTEGER"}, {"name": "f", "type": "FLOAT"}, {"name": "b", "type": "BOOLEAN"},
        {"name": "n", "type": "NUMERIC"}, {"name": "by", "type": "BYTES"}, {"name": "ts", "type": "TIMESTAMP"},
        {"name": "d", "type": "DATE"}, {"name": "t", "type": "TIME"}, {"name": "dt", "type": "DATETIME"},
        {"name": "j", "type": "JSON"}, {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [
            {"name": "label", "type": "STRING"}, {"name": "numbers", "type": "INTEGER", "mode": "REPEATED"}]}]);
    let body = json!({"schema": {"fields": fields}});
    trial
        .sandbox
        .bigquery()
        .create_table("p", "d.t", &body)
        .unwrap();
    let inner = Descriptor {
        name: "R".to_owned(),
        fields: vec![
            field("label", 1, OPTIONAL, STRING),
            field("numbers", 2, REPEATED, INT64),
        ],
        nested: Vec::new(),
    };
    let mut records = field("r", 11, REPEATED, MESSAGE);
    records.type_name = "R".to_owned();
    let descriptor = Descriptor {
        name: "Row".to_owned(),
        fields: vec![
            field("i", 1, OPTIONAL, 18),
            field("f", 2, OPTIONAL, 1),
            field("b", 3, OPTIONAL, 8),
            field("n", 4, OPTIONAL, STRING),
            field("by", 5, OPTIONAL, 12),
            field("ts", 6, OPTIONAL, INT64),
            field("d", 7, OPTIONAL, INT32),
            field("t", 8, OPTIONAL, STRING),
            field("dt", 9, OPTIONAL, STRING),
            field("j", 10, OPTIONAL, STRING),
            records,
        ],
        nested: vec![inner],
    };
    let row = AllTypes {
        i: Some(-5),
        f: Some(1.5),
        b: Some(true),
        n: Some("12.50".to_owned()),
        by: Some(b"ab".to_vec()),
        ts: Some(1_767_225_600_000_001),
        d: Some(-1),
        t: Some("01:02:03.5".to_owned()),
        dt: Some("2026-01-01 00:00:00".to_owned()),
        j: Some("{\"a\": [1]}".to_owned()),
        r: vec![
            Inner {
                label: Some("x".to_owned()),
                numbers: vec![1, -2],
            },
            Inner::default(),
        ],
    };
    let mut client = Client::new(&trial.sandbox).await;
    let append = request(
        DEFAULT,
        Some(descriptor),
        None,
        vec![row.encode_to_vec(), Vec::new()],
    );
    let answers = client.append(vec![append]).await;
    assert_eq!(
        answers[0].as_ref().unwrap().result(),
        Ok(None),
        "{answers:?}"
    );
    assert_eq!(
        rows(&trial)[0],
        json!({"i": -5, "f": 1.5, "b": true, "n": "12.5", "by": "YWI=",
            "ts": "2026-01-01T00:00:00.000001Z", "d": "1969-12-31", "t": "01:02:03.500000",
            "dt": "2026-01-01T00:00:00", "j": {"a": [1]},
            "r": [{"label": "x", "numbers": [1, -2]}, {"label": null, "numbers": []}]})
    );
    assert_eq!(
        (&rows(&trial)[1]["i"], &rows(&trial)[1]["r"]),
        (&Value::Null, &json!([]))
    );
}

#[derive(Clone, PartialEq, Message)]
struct AllTypes {
    #[prost(sint64, optional, tag = "1")]
    i: Option<i64>,
    #[prost(double, optional, tag = "2")]
    f: Option<f64>,
    #[prost(bool, optional, tag = "3")]
    b: Option<bool>,
    #[prost(string, optional, tag = "4")]
    n: Option<String>,
    #[prost(bytes = "vec", optional, tag = "5")]
    by: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "6")]
    ts: Option<i64>,
    #[prost(int32, optional, tag = "7")]
    d: Option<i32>,
    #[prost(string, optional, tag = "8")]
    t: Option<String>,
    #[prost(string, optional, tag = "9")]
    dt: Option<String>,
    #[prost(string, optional, tag = "10")]
    j: Option<String>,
    #[prost(message, repeated, tag = "11")]
    r: Vec<Inner>,
}

#[derive(Clone, PartialEq, Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    label: Option<String>,
    #[prost(int64, repeated, tag = "2")]
    numbers: Vec<i64>,
}

#[tokio::test]
async fn a_request_has_a_largest_size() {
    let (trial, mut client) = with(|options| options.append_bytes = 1000).await;
    let large = vec![person(1, &"x".repeat(1000))];
    let answers = client
        .append(vec![request(DEFAULT, Some(people()), None, large)])
        .await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().code(),
        tonic::Code::InvalidArgument
    );
    assert!(rows(&trial).is_empty());
}

#[tokio::test]
async fn faults_break_a_stream_before_and_after_it_applied() {
    let (trial, mut client) = with(|_| {}).await;
    let two = || {
        vec![
            request(DEFAULT, Some(people()), None, vec![person(1, "a")]),
            request("", None, None, vec![person(2, "b")]),
        ]
    };
    for (fault, code, stored) in [
        (
            "grpc:status=UNAVAILABLE,path=AppendRows,after=1,times=1",
            tonic::Code::Unavailable,
            1,
        ),
        (
            "grpc:status=ABORTED,when=after,path=AppendRows,after=1,times=1",
            tonic::Code::Aborted,
            3,
        ),
    ] {
        trial.sandbox.set_faults(&[fault]).unwrap();
        let answers = client.append(two()).await;
        assert_eq!(answers[1].as_ref().unwrap_err().code(), code, "{fault}");
        assert_eq!(rows(&trial).len(), stored, "{fault}");
    }
    trial
        .sandbox
        .set_faults(&["grpc:status=INTERNAL,as=response,times=1"])
        .unwrap();
    let answers = client.append(two()).await;
    assert_eq!(answers[0].as_ref().unwrap().result(), Err((13, 0)));
    trial
        .sandbox
        .set_faults(&["grpc:as=reset,path=CreateWriteStream"])
        .unwrap();
    let create = Named {
        name: TABLE.to_owned(),
    };
    client
        .call::<_, Stream>("CreateWriteStream", create)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_call_needs_a_token_and_a_permission() {
    let (trial, mut client) = with(|options| options.anonymous = false).await;
    let named = || Named {
        name: DEFAULT.to_owned(),
    };
    let status = client
        .call::<_, Stream>("GetWriteStream", named())
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let (trial_with, mut client) = with(|_| {}).await;
    trial_with
        .sandbox
        .bigquery()
        .deny(vec![sandbox::bigquery::Denied {
            permission: "bigquery.tables.updateData".to_owned(),
            resource: Some("p:d.t".to_owned()),
        }]);
    let answers = client
        .append(vec![request(DEFAULT, Some(people()), None, Vec::new())])
        .await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().code(),
        tonic::Code::PermissionDenied
    );
    drop(trial);
}
