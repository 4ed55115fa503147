//! Records that are not taken: by their schema, by the destination, and when they are replayed.

use super::*;

const WRONG: &str =
    "{\"type\":\"RECORD\",\"stream\":\"a\",\"record\":{\"id\":9,\"n\":12,\"x\":NaN}}\n";

#[tokio::test]
async fn a_record_that_does_not_fit_its_schema_is_a_reject_and_the_run_ends_with_3() {
    let trial = Trial::new(World::default());
    let input = [schema("a"), record("a", 1), WRONG.to_owned(), state(1)];
    let ended = trial.run(&input.concat()).await;
    assert_eq!(ended.code(), 3);
    assert_eq!(ended.states, [printed(1)]);
    assert_eq!(trial.world.writes(), ["a 1"]);
    let reject = &ended.rejects[0];
    assert_eq!(
        reject["reason"],
        "property `n` must be string or null, found integer"
    );
    assert_eq!(reject["record"], json!({"id": 9, "n": 12, "x": "NaN"}));
    assert_eq!(
        (&reject["key"], &reject["line"]),
        (&json!({"id": 9}), &json!(3))
    );
    assert_eq!(reject["attempts"], 1);
}

#[tokio::test]
async fn a_batch_ends_behind_its_last_record_whatever_was_rejected_in_between() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ends);
    let trial = Trial::new(World {
        answer: Box::new(move |batch| {
            seen.lock().unwrap().push((batch.number(), batch.end()));
            Answer::Taken
        }),
        ..World::default()
    });
    let [one, two, three] = [1, 2, 3].map(|id| record("a", id));
    let input = [&schema("a"), WRONG, &one, WRONG, &two, &three, &state(1)];
    assert_eq!(trial.run(&input.concat()).await.code(), 3);
    let mut ends = ends.lock().unwrap().clone();
    ends.sort_unstable();
    assert_eq!(ends, [(1, 4), (4, 5)]);
}

#[tokio::test]
async fn validation_can_be_left_out_but_not_for_what_is_not_json() {
    let trial = Trial::new(World::default()).with("validate_records", json!(false));
    let not_finite = WRONG.replace("12", "-Infinity");
    let ended = trial.run(&(schema("a") + WRONG + &not_finite)).await;
    assert_eq!(trial.world.writes(), ["a 9"]);
    assert_eq!(
        ended.rejects[0]["reason"],
        "property `n` must be JSON, found a number that is not finite"
    );
}

#[tokio::test]
async fn what_the_destination_refuses_is_written_down_before_the_state() {
    let trial = Trial::new(World {
        answer: Box::new(|_| Answer::Refused(vec![2], Verdict::Rejected)),
        ..World::default()
    });
    let input = [schema("a"), record("a", 1), record("a", 2), state(1)];
    let ended = trial.run(&input.concat()).await;
    assert_eq!((ended.code(), ended.states), (3, vec![printed(1)]));
    assert_eq!(ended.rejects.len(), 1);
    assert_eq!(ended.rejects[0]["reason"], "not wanted");
    assert_eq!(ended.rejects[0]["code"], "E7");
    assert_eq!(ended.rejects[0]["line"], 3);
}

#[tokio::test]
async fn missing_rows_are_listed_and_no_fault() {
    let trial = Trial::new(World {
        answer: Box::new(|_| Answer::Refused(vec![2], Verdict::Missing)),
        ..World::default()
    })
    .with("max_rejects", json!(0));
    let ended = trial
        .run(&(schema("a") + &record("a", 1) + &record("a", 2)))
        .await;
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.rejects[0]["reason"], "missing");
}

#[tokio::test]
async fn a_version_that_lost_records_to_the_destination_takes_no_effect() {
    for (replaces, activated) in [(Replaces::Nothing, 0), (Replaces::Resumable, 1)] {
        let trial = Trial::new(World {
            answer: Box::new(|_| Answer::Refused(vec![2], Verdict::Rejected)),
            replaces,
            ..World::default()
        });
        let input: String = [
            schema("a"),
            versioned("a", 1, 7),
            versioned("a", 2, 7),
            activate("a", 7),
            state(1),
        ]
        .concat();
        let ended = trial.run(&input).await;
        assert_eq!(ended.code(), 3);
        assert_eq!(ended.states, [printed(1)]);
        let log = trial.world.log();
        let count = log
            .iter()
            .filter(|line| line.starts_with("activate "))
            .count();
        assert_eq!(count, activated);
    }
}

#[tokio::test]
async fn more_rejects_than_allowed_fail_the_run() {
    let refuse_all = || World {
        answer: Box::new(|_| Answer::Refused((0..100).collect(), Verdict::Rejected)),
        ..World::default()
    };
    let records: String = (1..=10).map(|id| record("a", id)).collect();
    for (limit, code) in [
        (json!(10), 3),
        (json!(9), 1),
        (json!("100%"), 3),
        (json!("99%"), 1),
    ] {
        let trial = Trial::new(refuse_all()).with("max_rejects", limit.clone());
        let ended = trial.run(&(schema("a") + &records)).await;
        assert_eq!(ended.code(), code, "{limit}");
        if code == 1 {
            assert!(ended.error().contains("more than `max_rejects` allows"));
        }
    }
    let trial = Trial::new(World::default()).with("max_rejects", json!(0));
    let ended = trial
        .run(&(schema("a") + &record("a", 1) + WRONG + &record("a", 2)))
        .await;
    assert_eq!((ended.code(), ended.rejects.len()), (1, 1));
}

#[tokio::test]
async fn rejects_are_replayed_without_a_schema_and_their_attempts_counted() {
    let mut trial = Trial::new(World {
        answer: Box::new(|_| Answer::Refused(vec![2], Verdict::Rejected)),
        ..World::default()
    });
    let first = trial
        .run(&(schema("a") + &record("a", 1) + &record("a", 2) + WRONG))
        .await;
    assert_eq!(first.rejects.len(), 2);
    trial.arguments.input = Some(trial.rejects_path());
    trial.world.log.lock().unwrap().clear();
    let file = std::fs::File::open(trial.rejects_path()).unwrap();
    let second = trial.run_on(Box::new(file)).await;
    // The schema is guessed: the wrong type counts no more, the refused row is refused again.
    assert_eq!(second.code(), 3);
    assert_eq!(second.rejects.len(), 1);
    assert_eq!(second.rejects[0]["record"], json!({"id": 2, "n": "x"}));
    assert_eq!(second.rejects[0]["attempts"], 2);
    let log = trial.world.log();
    assert!(log.iter().any(|line| line == "open a id,n,x"), "{log:?}");
    // Which of the two stood first in the file depends on how fast the destination was.
    let writes = trial.world.writes().join(" ");
    let mut ids: Vec<&str> = writes.split(' ').filter(|word| *word != "a").collect();
    ids.sort_unstable();
    assert_eq!(ids, ["2", "9"]);
}

#[tokio::test]
async fn a_rejects_file_that_is_worked_off_is_gone_and_one_that_is_not_stays() {
    let text = r#"{"stream":"a","key":{"id":5},"record":{"id":5},"reason":"r","attempts":4}"#;
    for (answer, stays) in [
        (Answer::Taken, false),
        (Answer::Failed(Kind::Transient), true),
    ] {
        let mut trial = Trial::new(World {
            answer: Box::new(move |_| answer.clone()),
            ..World::default()
        });
        std::fs::write(trial.rejects_path(), text).unwrap();
        trial.arguments.input = Some(trial.rejects_path());
        let ended = trial.run(text).await;
        assert_eq!(ended.code(), if stays { 75 } else { 0 });
        assert_eq!(trial.rejects_path().exists(), stays);
        let left = std::fs::read_to_string(trial.rejects_path()).unwrap_or_default();
        assert_eq!(left, if stays { text } else { "" });
    }
}

#[tokio::test]
async fn ordinary_lines_and_rejects_may_be_mixed() {
    let trial = Trial::new(World::default());
    let reject =
        r#"{"stream":"a","key":{"id":5},"record":{"id":5,"n":7},"reason":"r","attempts":4}"#;
    let input = schema("a") + &record("a", 1) + reject + "\n" + &record("a", 2) + &state(1);
    let ended = trial.run(&input).await;
    // The stream has a real schema here, which the reject still does not fit.
    assert_eq!(
        (ended.code(), ended.rejects[0]["attempts"].clone()),
        (3, json!(5))
    );
    assert_eq!(trial.world.writes(), ["a 1 2"]);
    assert_eq!(ended.states, [printed(1)]);
}

#[tokio::test]
async fn a_version_that_lost_records_to_the_rejects_file_does_not_act() {
    let trial = Trial::new(World::default());
    let wrong = WRONG.replace("}\n", ",\"version\":7}\n");
    let input = schema("a") + &versioned("a", 1, 7) + &wrong + &activate("a", 7) + &state(1);
    let ended = trial.run(&input).await;
    assert_eq!((ended.code(), ended.states), (3, vec![printed(1)]));
    assert!(
        !trial
            .world
            .log()
            .iter()
            .any(|line| line.starts_with("activate"))
    );
}

#[tokio::test]
async fn the_report_tells_what_was_sent_and_refused_and_where_that_stands() {
    let mut trial = Trial::new(World {
        answer: Box::new(|_| Answer::Refused(vec![2], Verdict::Rejected)),
        ..World::default()
    });
    let path = trial.folder.path("target.report.json");
    trial.context = trial.context.with_report(path.clone());
    let records: String = (1..=3).map(|id| record("a", id)).collect();
    trial.run(&(schema("a") + &records)).await;
    let report = crate::report::Report::read(&path).unwrap();
    assert_eq!(
        (report.role.as_str(), report.status.as_str()),
        ("target", "succeeded")
    );
    assert_eq!(report.rejects_path, Some(trial.rejects_path()));
    let stream = &report.streams["a"];
    assert_eq!((stream.records, stream.sent, stream.rejected), (3, 2, 1));
    assert_eq!(stream.stream, "a");
    assert!(stream.schema.is_some());
}
