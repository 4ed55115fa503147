//! The client against a small service with faults to order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use singer_core::Kind;
use tonic::Code;

use super::*;
use fake::{Fake, Fault};

mod bounds;
pub(super) mod fake;

fn table() -> TablePath {
    TablePath {
        project: "p".into(),
        dataset: "d".into(),
        table: "t".into(),
    }
}

/// Small requests, so that a few rows need several of them.
fn options(fake: &Fake) -> Options {
    Options {
        endpoint: fake.endpoint.clone(),
        attempts: 4,
        backoff: Backoff {
            first: Duration::from_millis(1),
            cap: Duration::from_millis(4),
        },
        request_timeout: Duration::from_secs(20),
        max_request_bytes: 200,
        in_flight_bytes: 600,
        new_column_patience: Duration::from_secs(60),
        trace_id: "run".into(),
        ..Options::default()
    }
}

fn storage(options: Options) -> Storage {
    Storage::connect(options, Arc::new(Anonymous)).unwrap()
}

fn descriptor() -> Bytes {
    Bytes::from_static(b"\x0a\x01r")
}

fn rows<T: AsRef<[u8]>>(all: &[T]) -> Rows {
    let mut data = Vec::new();
    let mut ends = Vec::new();
    for row in all {
        data.extend_from_slice(row.as_ref());
        ends.push(data.len() as u32);
    }
    Rows {
        data: data.into(),
        ends,
    }
}

/// Ten rows of which three fit into one request.
fn ten() -> Vec<String> {
    (0..10).map(|n| format!("row {n:026}")).collect()
}

fn texts(rows: &[Bytes]) -> Vec<String> {
    rows.iter()
        .map(|row| String::from_utf8(row.to_vec()).unwrap())
        .collect()
}

fn refused(appended: &Appended) -> Vec<(usize, &str)> {
    appended
        .refused
        .iter()
        .map(|(index, refused)| (*index, refused.code.as_str()))
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Default,
    Pending,
    Committed,
}

const EXACT: [Way; 2] = [Way::Pending, Way::Committed];
const ALL: [Way; 3] = [Way::Default, Way::Pending, Way::Committed];

async fn append(storage: &Storage, way: Way, rows: &Rows) -> Result<Appended> {
    let (table, descriptor) = (table(), descriptor());
    match way {
        Way::Default => storage.append_default(&table, &descriptor, rows).await,
        Way::Pending => {
            storage
                .append_pending(&table, &descriptor, rows, &|_| Ok(()))
                .await
        }
        Way::Committed => storage.append_committed(&table, &descriptor, rows).await,
    }
}

#[tokio::test]
async fn rows_arrive_in_order_in_requests_that_keep_to_their_size() {
    for way in ALL {
        let fake = Fake::start().await;
        let storage = storage(options(&fake));
        let appended = append(&storage, way, &rows(&ten())).await.unwrap();
        let state = fake.state();
        assert_eq!(texts(&state.visible), ten(), "{way:?}");
        assert!(appended.refused.is_empty());
        assert!(state.seen.len() > 2, "{}", state.seen.len());
        assert!(state.seen.iter().all(|seen| seen.size <= 200));
        assert!(
            state
                .seen
                .iter()
                .all(|seen| seen.stream.ends_with(if way == Way::Default {
                    "/streams/_default"
                } else {
                    "/streams/s0"
                }))
        );
        let described: Vec<bool> = state.seen.iter().map(|seen| seen.described).collect();
        assert_eq!(described.iter().filter(|one| **one).count(), 1);
        assert!(described[0]);
        assert_eq!(state.seen[1].offset.is_some(), way != Way::Default);
        assert_eq!(appended.requests, state.seen.len() as u64);
        let bytes: usize = state.seen.iter().map(|seen| seen.size).sum();
        assert_eq!(appended.bytes, bytes as u64);
        assert_eq!(appended.retried, 0);
    }
}

#[tokio::test]
async fn every_call_says_where_it_is_to_be_routed() {
    let fake = Fake::start().await;
    let storage = storage(options(&fake));
    append(&storage, Way::Pending, &rows(&["a"])).await.unwrap();
    let state = fake.state();
    let table = "projects%2Fp%2Fdatasets%2Fd%2Ftables%2Ft";
    let routing: Vec<&str> = state.metadata.iter().map(|one| one.0.as_str()).collect();
    assert_eq!(
        routing,
        [
            format!("parent={table}"),
            format!("write_stream={table}%2Fstreams%2Fs0"),
            format!("name={table}%2Fstreams%2Fs0"),
            format!("parent={table}"),
        ]
    );
    assert!(state.metadata.iter().all(|one| one.1.is_none()));
}

#[tokio::test]
async fn no_rows_make_no_call() {
    let fake = Fake::start().await;
    let storage = storage(options(&fake));
    for way in ALL {
        append(&storage, way, &Rows::default()).await.unwrap();
    }
    assert!(fake.state().metadata.is_empty());
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_request_loses_and_doubles_nothing() {
    for way in EXACT {
        for number in 0..4 {
            for fault in [Fault::BreakBefore, Fault::BreakAfter] {
                let fake = Fake::start().await;
                fake.state().appends.insert(number, fault.clone());
                let storage = storage(options(&fake));
                let appended = append(&storage, way, &rows(&ten())).await.unwrap();
                let state = fake.state();
                assert_eq!(texts(&state.visible), ten(), "{way:?} {number} {fault:?}");
                assert!(appended.retried > 0);
            }
        }
    }
}

#[tokio::test]
async fn the_default_stream_gets_every_row_at_least_once() {
    for number in 0..4 {
        for fault in [Fault::BreakBefore, Fault::BreakAfter] {
            let fake = Fake::start().await;
            fake.state().appends.insert(number, fault);
            let storage = storage(options(&fake));
            append(&storage, Way::Default, &rows(&ten())).await.unwrap();
            let mut seen = texts(&fake.state().visible);
            seen.sort();
            seen.dedup();
            assert_eq!(seen, ten());
        }
    }
}

#[tokio::test]
async fn a_failed_request_takes_the_later_ones_along_once() {
    for way in EXACT {
        for fault in [
            Fault::Answer(Code::Aborted, 0),
            Fault::End(Code::Unavailable, 0),
            Fault::Answer(Code::OutOfRange, 9),
            Fault::End(Code::OutOfRange, 9),
            Fault::Answer(Code::NotFound, 0),
            Fault::Answer(Code::FailedPrecondition, 6),
            Fault::End(Code::FailedPrecondition, 5),
            Fault::Answer(Code::InvalidArgument, 7),
        ] {
            for number in 0..3 {
                let fake = Fake::start().await;
                fake.state().appends.insert(number, fault.clone());
                let storage = storage(options(&fake));
                append(&storage, way, &rows(&ten())).await.unwrap();
                let seen = texts(&fake.state().visible);
                assert_eq!(seen, ten(), "{way:?} {number} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn rows_that_are_there_already_are_a_success_also_at_the_end_of_a_call() {
    for way in EXACT {
        let fake = Fake::start().await;
        fake.state().appends.insert(0, Fault::BreakAfter);
        // The first request again: stored before, and said by the status of the call.
        fake.state()
            .appends
            .insert(1, Fault::End(Code::AlreadyExists, 8));
        let storage = storage(Options {
            in_flight_bytes: 1,
            ..options(&fake)
        });
        append(&storage, way, &rows(&ten())).await.unwrap();
        assert_eq!(texts(&fake.state().visible), ten());
    }
}

#[tokio::test]
async fn bad_rows_are_named_and_the_others_stored() {
    let mut all = ten();
    for index in [0, 4, 5, 9] {
        all[index] = format!("bad {index:026}");
    }
    for way in ALL {
        for fault in [None, Some(Fault::RefuseAndEnd)] {
            let fake = Fake::start().await;
            fake.state().appends.extend(fault.map(|fault| (0, fault)));
            let storage = storage(options(&fake));
            let appended = append(&storage, way, &rows(&all)).await.unwrap();
            let wanted = [0, 4, 5, 9].map(|index| (index, "fields-error"));
            assert_eq!(refused(&appended), wanted);
            let good: Vec<&String> = all.iter().filter(|row| row.starts_with("row")).collect();
            let mut seen = texts(&fake.state().visible);
            if way == Way::Default {
                seen.sort();
            }
            assert_eq!(seen.iter().collect::<Vec<_>>(), good, "{way:?}");
        }
    }
}

#[tokio::test]
async fn bad_rows_and_a_broken_connection_lose_and_double_nothing() {
    let mut all = ten();
    for index in [0, 1, 2, 7] {
        all[index] = format!("bad {index:026}");
    }
    for way in EXACT {
        for number in 0..8 {
            let fake = Fake::start().await;
            fake.state().appends.insert(number, Fault::BreakAfter);
            let storage = storage(options(&fake));
            let appended = append(&storage, way, &rows(&all)).await.unwrap();
            assert_eq!(appended.refused.len(), 4, "{way:?} {number}");
            let good: Vec<&String> = all.iter().filter(|row| row.starts_with("row")).collect();
            let seen = texts(&fake.state().visible);
            assert_eq!(seen.iter().collect::<Vec<_>>(), good, "{way:?} {number}");
        }
    }
}

#[tokio::test]
async fn a_batch_of_bad_rows_alone_commits_nothing() {
    for way in ALL {
        let fake = Fake::start().await;
        let storage = storage(options(&fake));
        let appended = append(&storage, way, &rows(&["bad", "bad"])).await.unwrap();
        assert_eq!(appended.refused.len(), 2);
        assert!(fake.state().visible.is_empty());
    }
}

#[tokio::test]
async fn a_row_that_fits_into_no_request_is_refused_alone() {
    let huge = "x".repeat(200);
    for way in ALL {
        let fake = Fake::start().await;
        let storage = storage(options(&fake));
        let appended = append(&storage, way, &rows(&["a", &huge, "b"]))
            .await
            .unwrap();
        assert_eq!(refused(&appended), [(1, "row-too-large")]);
        assert_eq!(texts(&fake.state().visible), ["a", "b"]);
    }
}

#[tokio::test]
async fn several_requests_are_under_way_and_no_more_than_the_window_holds() {
    let fake = Fake::start().await;
    // The service answers nothing before three requests are there.
    fake.state().hold_until = 3;
    let storage = storage(options(&fake));
    append(&storage, Way::Default, &rows(&ten())).await.unwrap();
    let state = fake.state();
    assert!(
        state.most_open > 200 && state.most_open <= 600,
        "{}",
        state.most_open
    );
}

#[tokio::test]
async fn a_lost_answer_of_a_call_with_one_answer_is_asked_for_again() {
    for method in [
        "CreateWriteStream",
        "FinalizeWriteStream",
        "BatchCommitWriteStreams",
    ] {
        for fault in [
            Fault::BreakBefore,
            Fault::BreakAfter,
            Fault::End(Code::Unavailable, 0),
            Fault::End(Code::DeadlineExceeded, 0),
        ] {
            let fake = Fake::start().await;
            fake.state().unary.insert(method, [fault.clone()].into());
            let storage = storage(options(&fake));
            append(&storage, Way::Pending, &rows(&ten())).await.unwrap();
            assert_eq!(texts(&fake.state().visible), ten(), "{method} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_committed_before_is_committed() {
    let fake = Fake::start().await;
    let again = Fault::End(Code::FailedPrecondition, 2);
    let faults = [Fault::BreakAfter, again];
    fake.state()
        .unary
        .insert("BatchCommitWriteStreams", faults.into());
    let storage = storage(options(&fake));
    append(&storage, Way::Pending, &rows(&ten())).await.unwrap();
    assert_eq!(texts(&fake.state().visible), ten());
}

#[tokio::test]
async fn a_commit_without_a_time_is_no_success() {
    let fake = Fake::start().await;
    fake.state()
        .unary
        .insert("BatchCommitWriteStreams", [Fault::Silent].into());
    let storage = storage(options(&fake));
    let error = append(&storage, Way::Pending, &rows(&["a"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_commit_whose_answers_are_all_lost_says_that_nobody_knows() {
    let fake = Fake::start().await;
    let lost = std::iter::repeat_n(Fault::BreakBefore, 4).collect();
    fake.state().unary.insert("BatchCommitWriteStreams", lost);
    let storage = storage(options(&fake));
    let error = append(&storage, Way::Pending, &rows(&["a"]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.hints().iter().any(|hint| hint.contains("not known")));
}

#[tokio::test]
async fn a_count_that_differs_commits_nothing() {
    for way in EXACT {
        let fake = Fake::start().await;
        fake.state()
            .unary
            .insert("FinalizeWriteStream", [Fault::Miscount(1)].into());
        let storage = storage(options(&fake));
        let error = append(&storage, way, &rows(&ten())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol);
        assert!(error.message().contains("`p.d.t` has 11 rows"), "{error}");
        assert_eq!(fake.state().visible.is_empty(), way == Way::Pending);
    }
}
