//! Inserts without `find_by`: each point at which a run may die, and no row twice.

use std::sync::Arc;

use singer_runtime::target::Stream;

use super::*;
use crate::testing::Folder;

/// A run over a journal: writes records by insert.
async fn insert(
    server: &Server,
    stream: &Arc<Stream>,
    journal: &str,
    extra: Value,
    records: &[&str],
) -> anyhow::Result<Outcome> {
    let mut config = json!({"journal_path": journal, "attempts": 1});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    let writer = server
        .writer(stream, json!({"operation": "insert"}), config)
        .await;
    writer.prepare().await?;
    writer.write(batch(stream, records)).await
}

fn by_email() -> Arc<Stream> {
    stream(&properties())
}

fn keyless() -> Arc<Stream> {
    keyed(&properties(), "[]")
}

/// How often each line of a table came in jobs that ran.
fn rows_of(server: &Server, jobs: usize) -> Vec<String> {
    let tables = server.tables();
    let rows = tables.iter().take(jobs);
    rows.flat_map(|table| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn a_run_that_died_before_its_state_was_stored_doubles_nothing() {
    for stream in [by_email(), keyless()] {
        let folder = Folder::new();
        let journal = folder.file("journal");
        let server = Server::start(Vec::new()).await;
        let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
        assert_eq!(first.unwrap().sent, 2);
        // The tap sends the same rows again, and one more.
        let three = [TWO[1], TWO[0], r#"{"Email": "c@x", "Last_Name": "C"}"#];
        let second = insert(&server, &stream, &journal, json!({}), &three).await;
        let second = second.unwrap();
        assert_eq!((second.sent, second.unchanged), (1, 2));
        assert_eq!(rows_of(&server, 2).len(), 3);
        // And once more, since no state was stored then either.
        let third = insert(&server, &stream, &journal, json!({}), &three).await;
        assert_eq!(third.unwrap().unchanged, 3);
        assert_eq!(server.jobs().len(), 2);
    }
}

#[tokio::test]
async fn a_run_that_died_while_its_job_ran_is_judged_by_the_next_one() {
    for stream in [by_email(), keyless()] {
        let folder = Folder::new();
        let journal = folder.file("journal");
        let rows = "a@x,A,,ADDED,1,\nb@x,B,,SKIPPED,,INVALID_DATA-Fax\n";
        let server = Server::start(vec![
            (
                JOB,
                vec![
                    error(403, "NO_PERMISSION"),
                    details("COMPLETED", [1, 0, 1, 2]),
                    Reply::Usual,
                ],
            ),
            (RESULT, vec![result(rows), Reply::Usual]),
        ])
        .await;
        let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
        assert!(first.is_err());
        let second = insert(&server, &stream, &journal, json!({}), &TWO).await;
        let second = second.unwrap();
        assert_eq!((second.sent, second.unchanged), (1, 1));
        assert_eq!(server.tables()[1], "Email,Last_Name,Fax\n\"b@x\",\"B\",\n");
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_before_anything_is_asked_again() {
    let folder = Folder::new();
    let found = Reply::Answer(
        200,
        json!({"data": [{"id": "1", "Email": "A@x"}, {"id": "2", "Email": "b@x"}]}),
    );
    let server = Server::start(vec![(CREATE, vec![Reply::ActAndDrop]), (COQL, vec![found])]).await;
    let journal = folder.file("journal");
    let outcome = insert(&server, &by_email(), &journal, json!({}), &TWO).await;
    assert_eq!(outcome.unwrap().sent, 2);
    assert_eq!(server.jobs().len(), 1);
    let query = server.seen(COQL)[0].json();
    let query = query["select_query"].as_str().unwrap();
    assert!(
        query.starts_with(
            "select id, Email from Contacts where Email in ('a@x', 'b@x') and Created_Time >= '"
        ),
        "{query}"
    );
}

#[tokio::test]
async fn rows_that_cannot_be_looked_for_wait_for_a_person() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let server = Server::start(vec![(CREATE, vec![Reply::ActAndDrop, Reply::Usual])]).await;
    let stream = keyless();
    let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
    assert_eq!(exit::kind(&first.unwrap_err()), Kind::Transient);
    let second = insert(&server, &stream, &journal, json!({}), &TWO).await;
    let error = second.unwrap_err();
    assert!(
        error.to_string().contains("not known whether 2 rows"),
        "{error}"
    );
    assert_eq!(server.jobs().len(), 1);
    let skip = json!({"unresolved_inserts": "skip"});
    let third = insert(&server, &stream, &journal, skip, &TWO).await;
    assert_eq!(third.unwrap().unchanged, 2);
    assert_eq!(server.jobs().len(), 1);
}

#[tokio::test]
async fn an_answer_of_success_that_nobody_understands_is_no_refusal() {
    for reply in [
        Reply::Text(201, "text/plain", ""),
        Reply::Text(200, "text/plain", "ok"),
        Reply::Text(200, "text/html", "<html>busy</html>"),
        Reply::Answer(202, json!({"code": "LATER", "details": {"id": 7}})),
        Reply::Answer(200, json!([])),
        Reply::Answer(500, json!({"status": "error", "code": "WHATEVER"})),
    ] {
        let folder = Folder::new();
        let journal = folder.file("journal");
        let words = format!("{reply:?}");
        let server = Server::start(vec![(CREATE, vec![reply, Reply::Usual])]).await;
        let stream = keyless();
        let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
        assert!(first.is_err(), "{words}");
        let second = insert(&server, &stream, &journal, json!({}), &TWO).await;
        assert!(second.is_err(), "sent again after {words}");
        assert_eq!(server.jobs().len(), 1, "{words}");
    }
}

#[tokio::test]
async fn an_insert_whose_result_and_counts_disagree_is_not_sent_again() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let rows = "a@x,A,,ADDED,1,\nb@x,B,,SKIPPED,,INVALID_DATA-Fax\n";
    let script = vec![
        (JOB, vec![details("COMPLETED", [2, 0, 0, 2])]),
        (RESULT, vec![result(rows)]),
    ];
    let server = Server::start(script).await;
    let stream = keyless();
    for _ in 0..2 {
        let outcome = insert(&server, &stream, &journal, json!({}), &TWO).await;
        assert!(outcome.is_err());
    }
    assert_eq!(server.jobs().len(), 1);
}

#[tokio::test]
async fn a_person_may_say_that_rows_are_to_be_sent_again() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let server = Server::start(vec![(CREATE, vec![Reply::Drop, Reply::Usual])]).await;
    let stream = keyless();
    let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
    assert!(first.is_err());
    let resend = json!({"unresolved_inserts": "resend"});
    let second = insert(&server, &stream, &journal, resend, &TWO).await;
    assert_eq!(second.unwrap().sent, 2);
}

#[tokio::test]
async fn an_insert_that_may_still_run_is_waited_out_and_then_looked_for() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let some = Reply::Answer(200, json!({"data": [{"id": "1", "Email": "a@x"}]}));
    let server = Server::start(vec![(COQL, vec![some])]).await;
    let at = chrono::DateTime::UNIX_EPOCH;
    let stream = by_email();
    let now = singer_runtime::context::Context::for_tests("x").now();
    let note = |at| {
        let journal = crate::journal::Journal::open(&journal, None, now).unwrap();
        let rows = ["a@x", "b@x"].map(crate::hash::of_key);
        let intent = crate::journal::Intent {
            stream: "Contacts",
            module: "Contacts",
            end: 0,
            rows: &rows,
            at,
        };
        journal.intend(intent).unwrap();
    };
    note(now);
    let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
    let error = first.unwrap_err();
    assert_eq!(exit::kind(&error), Kind::Transient);
    assert!(
        error.to_string().contains("1 rows of `Contacts`"),
        "{error}"
    );
    assert!(server.jobs().is_empty());
    std::fs::remove_file(&journal).unwrap();
    note(at);
    let second = insert(&server, &stream, &journal, json!({}), &TWO).await;
    let second = second.unwrap();
    assert_eq!((second.sent, second.unchanged), (1, 1));
    assert_eq!(rows_of(&server, 1), ["\"b@x\",\"B\","]);
}

#[tokio::test]
async fn an_insert_that_was_refused_leaves_nothing_behind() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let server = Server::start(vec![(
        CREATE,
        vec![error(400, "INVALID_FIELD"), Reply::Usual],
    )])
    .await;
    let stream = keyless();
    let first = insert(&server, &stream, &journal, json!({}), &TWO).await;
    assert!(first.is_err());
    let second = insert(&server, &stream, &journal, json!({}), &TWO).await;
    assert_eq!(second.unwrap().sent, 2);
}

#[tokio::test]
async fn inserts_with_a_key_need_no_journal() {
    let folder = Folder::new();
    let journal = folder.file("journal");
    let rows = "a@x,A,,SKIPPED,,DUPLICATE_DATA-Email\nb@x,B,,ADDED,2,\n";
    let server = Server::start(vec![
        (JOB, vec![details("COMPLETED", [1, 0, 1, 2])]),
        (RESULT, vec![result(rows)]),
    ])
    .await;
    let stream = by_email();
    let settings = json!({"operation": "insert", "find_by": "Email"});
    let writer = server
        .writer(&stream, settings, json!({ "journal_path": journal }))
        .await;
    writer.prepare().await.unwrap();
    let outcome = writer.write(batch(&stream, &TWO)).await.unwrap();
    assert_eq!((outcome.sent, outcome.unchanged), (1, 1));
    assert!(outcome.refusals.is_empty());
    assert!(!std::path::Path::new(&journal).exists());
}
