//! What becomes of every record under every kind of answer.

use serde_json::{Value, json};
use singer_runtime::target::Writer;

use crate::stream::StreamWriter;
use crate::testing::{
    Reply, Seen, Server, all_taken, batch, connected, ok, sent_ids, status, stream,
};

use super::*;

/// Writes records with these ids to a Pendo that answers the writes like this.
async fn write(
    ids: &[&str],
    answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
) -> (anyhow::Result<Outcome>, Vec<Seen>, StreamWriter) {
    let server = Server::start(move |number, seen| {
        if seen.line.starts_with("GET") {
            ok(&json!({"custom": {"n": {"Type": "integer"}}}))
        } else {
            // The first request read the schema.
            answer(number - 1, seen)
        }
    })
    .await;
    let pendo = connected(&server, json!({})).await;
    let stream = stream("accounts", &json!({"id": {}, "n": {}}));
    let writer = StreamWriter::open(pendo, std::sync::Arc::clone(&stream))
        .await
        .unwrap();
    let records: Vec<String> = ids
        .iter()
        .map(|id| json!({"id": id, "n": 1}).to_string())
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let outcome = writer.write(batch(&stream, &records)).await;
    (outcome, server.seen().split_off(1), writer)
}

fn verdicts(outcome: &Outcome) -> Vec<(usize, Verdict, &str)> {
    let mut verdicts: Vec<(usize, Verdict, &str)> = outcome
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.verdict, refusal.reason.as_str()))
        .collect();
    verdicts.sort_by_key(|(index, ..)| *index);
    verdicts
}

fn report(answer: &Value) -> impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static {
    let answer = answer.clone();
    move |_, _| ok(&answer)
}

#[tokio::test]
async fn a_good_batch_is_one_request() {
    let (outcome, seen, _) = write(&["a", "b"], |_, seen| all_taken(seen)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.sent, outcome.requests, outcome.retried), (2, 1, 0));
    assert_eq!(outcome.bytes, seen[0].body.len() as u64);
    assert_eq!(seen[0].line, "POST /api/v1/metadata/account/custom/value");
    assert_eq!(
        seen[0].body,
        r#"[{"accountId":"a","values":{"n":1}},{"accountId":"b","values":{"n":1}}]"#
    );
}

#[tokio::test]
async fn missing_and_refused_records_are_named_and_the_others_are_sent() {
    let answer = json!({"total": 4, "updated": 1, "failed": 3, "missing": ["b"],
        "errors": [{"id": "c", "message": "bad value \"secret\""}, "d"]});
    let (outcome, seen, _) = write(&["a", "b", "c", "d"], report(&answer)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.sent, seen.len()), (1, 1));
    assert_eq!(
        verdicts(&outcome),
        [
            (1, Verdict::Missing, "Pendo does not know this account"),
            (2, Verdict::Rejected, "bad value \"***\""),
            (3, Verdict::Rejected, "Pendo refused it without a word"),
        ]
    );
}

#[tokio::test]
async fn a_batch_of_unknown_ids_alone_is_no_error() {
    let answer =
        json!({"total": 2, "updated": 0, "failed": 2, "missing": ["a", "b"], "errors": null});
    let (outcome, _, _) = write(&["a", "b"], report(&answer)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.sent, outcome.refusals.len()), (0, 2));
    assert!(
        outcome
            .refusals
            .iter()
            .all(|refusal| refusal.verdict == Verdict::Missing)
    );
}

#[tokio::test]
async fn failures_that_name_nobody_are_found_by_halves() {
    let ids = ["a", "b", "c", "bad", "e", "f", "g"];
    let (outcome, seen, _) = write(&ids, |_, seen| {
        let ids = sent_ids(seen);
        let failed = u64::from(ids.iter().any(|id| id == "bad"));
        ok(
            &json!({"total": ids.len(), "updated": ids.len() as u64 - failed, "failed": failed,
            "errors": vec![json!({"message": "odd"}); failed as usize]}),
        )
    })
    .await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.sent, 6);
    assert_eq!(verdicts(&outcome), [(3, Verdict::Rejected, "odd")]);
    assert!(seen.len() <= 7, "{}", seen.len());
}

#[tokio::test]
async fn a_malformed_batch_is_split_down_to_the_records_at_fault() {
    let ids: Vec<String> = (0..64)
        .map(|number| match number {
            7 | 40 => format!("bad{number}"),
            _ => format!("v{number}"),
        })
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (outcome, seen, _) = write(&ids, |_, seen| {
        if seen.body.contains("bad") {
            status(400, r#"{"message":"no mapping for field \"n\""}"#)
        } else {
            all_taken(seen)
        }
    })
    .await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.sent, 62);
    assert_eq!(
        verdicts(&outcome),
        [
            (7, Verdict::Rejected, "no mapping for field \"n\""),
            (40, Verdict::Rejected, "no mapping for field \"n\"")
        ]
    );
    assert_eq!(outcome.refusals[0].code.as_deref(), Some("400"));
    assert!(seen.len() <= 2 * 2 * 6 + 1, "{}", seen.len());
    assert_eq!(outcome.retried, seen.len() as u64 - 1);
}

#[tokio::test]
async fn too_slow_or_too_big_halves_this_batch_and_the_next_ones() {
    for code in [408, 413] {
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let (outcome, seen, writer) = write(&ids, move |_, seen| {
            if sent_ids(seen).len() > 3 {
                status(code, "")
            } else {
                all_taken(seen)
            }
        })
        .await;
        let outcome = outcome.unwrap();
        assert_eq!((outcome.sent, outcome.refusals.len()), (8, 0));
        let sizes: Vec<usize> = seen.iter().map(|seen| sent_ids(seen).len()).collect();
        assert_eq!(sizes[..3], [8, 4, 2], "{code}");
        assert!(sizes[2..].iter().all(|size| *size <= 3), "{sizes:?}");
        assert!(writer.limits().max_records <= 3);
        let order: Vec<String> = seen
            .iter()
            .filter(|seen| sent_ids(seen).len() <= 3)
            .flat_map(sent_ids)
            .collect();
        assert_eq!(order, ids);
    }
}

#[tokio::test]
async fn a_record_that_is_too_big_alone_is_refused() {
    let (outcome, _, _) = write(&["a", "huge", "c"], |_, seen| {
        if seen.body.contains("huge") {
            status(413, "")
        } else {
            all_taken(seen)
        }
    })
    .await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.sent, 2);
    assert_eq!(outcome.refusals[0].code.as_deref(), Some("413"));
    assert_eq!(outcome.refusals[0].index, 1);
}

#[tokio::test]
async fn a_record_that_is_too_slow_alone_fails_as_transient_in_the_end() {
    let (outcome, seen, _) = write(&["a"], |_, _| status(408, "")).await;
    let error = outcome.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.kind(), singer_core::Kind::Transient);
    assert_eq!(seen.len(), SLOW_SINGLE_ATTEMPTS as usize);
}

#[tokio::test]
async fn records_that_nobody_accounts_for_fail_the_batch() {
    let (outcome, _, _) = write(
        &["a", "b", "c"],
        report(&json!({"total": 2, "updated": 2, "failed": 0})),
    )
    .await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("2 of 3 records"), "{error}");
}

#[tokio::test]
async fn numbers_that_say_too_much_are_no_error() {
    let answer = json!({"total": 2, "updated": 2, "failed": 1, "missing": ["b"]});
    let (outcome, _, _) = write(&["a", "b"], report(&answer)).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.sent, 1);
    assert_eq!(outcome.refusals.len(), 1);
}

#[tokio::test]
async fn an_error_in_the_middle_fails_the_batch() {
    let (outcome, _, _) = write(&["a", "b"], |_, _| status(403, "read-only")).await;
    let error = outcome.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.kind(), singer_core::Kind::Auth);
}
