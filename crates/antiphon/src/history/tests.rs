//! Runs that are recorded, found, pruned and recovered, in a store that is a folder.

use std::fs;

use bytes::Bytes;
use chrono::{TimeDelta, TimeZone};
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::stop::Stop;
use singer_test::folder::Folder;

use super::*;
use crate::rejects;

const PROJECT: &str = r#"
[store]
url = "kept"
work = "work"

[retention]
runs = 20
age = "30d"

[pipelines.a]
tap = { exec = "tap" }
target = { exec = "target" }

[pipelines.b]
tap = { exec = "tap" }
target = { exec = "target" }
"#;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 31, 12, 0, 0).unwrap()
}

/// A project in a folder, at noon.
pub(crate) async fn session(folder: &Folder) -> Session {
    let file = folder.write(crate::spec::FILE, PROJECT);
    let context = Context::new("antiphon", Clock::fixed(now()), Stop::default());
    Session::open(Some(&file), context).await.unwrap()
}

/// A run that was good, so many minutes ago.
pub(crate) fn summary(pipeline: &str, run: &str, minutes: i64) -> Summary {
    let counts = Counts {
        records: Some(7),
        schema: Some("abc".to_owned()),
        ..Counts::default()
    };
    Summary {
        run: run.to_owned(),
        pipeline: pipeline.to_owned(),
        kind: Kind::Sync,
        select: Vec::new(),
        host: "here".to_owned(),
        started_at: now() - TimeDelta::minutes(minutes),
        duration_seconds: 1.5,
        outcome: Outcome::Succeeded,
        exit_code: 0,
        attempts: 1,
        fault: None,
        warnings: Vec::new(),
        stages: Vec::new(),
        streams: [("s".to_owned(), counts)].into(),
        rejects: 0,
        state_before: Some(1),
        state_after: Some(2),
    }
}

fn run_at(minutes: i64) -> String {
    let at = now() - TimeDelta::minutes(minutes);
    format!("{}-1", at.format("%Y%m%dT%H%M%S.000Z"))
}

/// Records a run with a log and rejects.
async fn record_run(session: &Session, summary: &Summary, rejects: &str) {
    let work = begin_work(session, &summary.pipeline, &summary.run, summary.kind).unwrap();
    fs::write(work.join(keys::LOG), "said\n").unwrap();
    fs::write(work.join(keys::REJECTS), rejects).unwrap();
    record(session, summary, &work).await.unwrap();
    assert!(!work.exists());
}

fn failed(mut summary: Summary) -> Summary {
    summary.outcome = Outcome::Failed;
    summary.exit_code = 1;
    summary.fault = Some(Fault {
        stage: "tap".to_owned(),
        ended: "exit code 1".to_owned(),
        message: "it broke".to_owned(),
        causes: vec!["why".to_owned()],
        hints: vec!["do this".to_owned()],
    });
    summary
}

#[tokio::test]
async fn a_run_is_stored_whole_and_its_work_folder_goes() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let good = summary("a", &run_at(10), 10);
    let bad = failed(summary("a", &run_at(5), 5));
    record_run(&session, &good, "{}\n{}\n").await;
    record_run(&session, &bad, "").await;

    let index = index(&session, "a").await.unwrap();
    assert_eq!(index.runs.len(), 2);
    assert_eq!(index.runs[1].run, bad.run);
    assert_eq!(index.runs[1].stage.as_deref(), Some("tap"));
    assert_eq!(index.runs[1].words.as_deref(), Some("it broke"));
    assert_eq!(index.runs[0].records, Some(7));
    assert_eq!(index.runs[0].schemas["s"], "abc");
    assert_eq!(index.last_good.as_ref().unwrap().run, good.run);
    assert_eq!(index.rejects_open(), 2);

    let log = log(&session, "a", &good.run).await.unwrap().unwrap();
    assert_eq!(log, b"said\n");
    let newest = summaries(&session, "a", 1).await.unwrap();
    assert_eq!(newest[0].run, bad.run);
    let empty = keys::of_run("a", &bad.run, keys::REJECTS);
    assert!(session.store.get(&empty).await.unwrap().is_none());
}

#[tokio::test]
async fn an_index_that_is_lost_or_broken_is_made_from_the_summaries() {
    let folder = Folder::new();
    let session = session(&folder).await;
    for minutes in [30, 20, 10] {
        let mut run = summary("a", &run_at(minutes), minutes);
        if minutes != 20 {
            run = failed(run);
        }
        record_run(&session, &run, "{}\n").await;
    }
    let before = serde_json::to_value(index(&session, "a").await.unwrap()).unwrap();
    let key = keys::index("a");
    session.store.delete(&key).await.unwrap();
    let made = index(&session, "a").await.unwrap();
    assert_eq!(serde_json::to_value(&made).unwrap(), before);
    session
        .store
        .put(&key, Bytes::from_static(b"{\"runs\": ["))
        .await
        .unwrap();
    let made = index(&session, "a").await.unwrap();
    assert_eq!(serde_json::to_value(&made).unwrap(), before);
    // A broken summary costs itself alone.
    let broken = keys::of_run("a", &run_at(30), keys::SUMMARY);
    session
        .store
        .put(&broken, Bytes::from_static(b"{"))
        .await
        .unwrap();
    let made = index(&session, "a").await.unwrap();
    assert_eq!(made.runs.len(), 2);
    assert_eq!(made.last_good.unwrap().run, run_at(20));
    assert_eq!(summaries(&session, "a", 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_index_is_bounded_and_sorted_and_holds_a_run_once() {
    let mut index = Index::default();
    for minutes in (0..INDEX_RUNS as i64 + 5).rev() {
        index.add(Brief::from(&summary("a", &run_at(minutes), minutes)));
    }
    index.add(Brief::from(&failed(summary("a", &run_at(3), 3))));
    assert_eq!(index.runs.len(), INDEX_RUNS);
    assert_eq!(index.kept, INDEX_RUNS + 5);
    assert!(
        index
            .runs
            .windows(2)
            .all(|two| two[0].started_at < two[1].started_at)
    );
    assert_eq!(index.runs[INDEX_RUNS - 4].outcome, Outcome::Failed);
    assert_eq!(index.last_good.as_ref().unwrap().run, run_at(0));
    // A replay of rejects is no sync.
    let mut replay = summary("a", &run_at(-1), -1);
    replay.kind = Kind::Replay;
    index.add(Brief::from(&replay));
    assert_eq!(index.last_good.unwrap().run, run_at(0));
}

#[tokio::test]
async fn a_run_is_found_by_what_its_id_begins_with() {
    let folder = Folder::new();
    let session = session(&folder).await;
    record_run(&session, &summary("a", "20260131T100000Z-1", 120), "").await;
    record_run(&session, &summary("b", "20260131T100000Z-12", 120), "").await;
    record_run(&session, &summary("b", "20260130T100000Z-3", 1560), "").await;
    let found = find(&session, "20260131T100000Z-1").await.unwrap().unwrap();
    assert_eq!(found.pipeline, "a", "a whole id is never ambiguous");
    let found = find(&session, "20260130").await.unwrap().unwrap();
    assert_eq!(found.run, "20260130T100000Z-3");
    assert!(find(&session, "2025").await.unwrap().is_none());
    let error = find(&session, "20260131").await.unwrap_err();
    assert_eq!(error.kind(), singer_core::Kind::Config);
    assert_eq!(error.message(), "`20260131` is the beginning of 2 runs");
    assert_eq!(error.hints()[0], "20260131T100000Z-12 of `b`");
}

#[tokio::test]
async fn retention_keeps_the_newest_the_last_good_and_open_rejects() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let day = 24 * 60;
    // 40 days ago to today: beyond the limit from the 21st on, but for what is protected.
    for days in (0..40).rev() {
        let minutes = days * day;
        let mut run = summary("a", &run_at(minutes), minutes);
        if days != 35 {
            run = failed(run);
        }
        let rejects = if days == 38 || days == 37 { "{}\n" } else { "" };
        record_run(&session, &run, rejects).await;
    }
    let cleared = keys::of_run("a", &run_at(37 * day), keys::REJECTS);
    session.store.delete(&cleared).await.unwrap();
    session
        .store
        .put(
            &keys::of_run("a", &run_at(37 * day), rejects::CLEARED),
            Bytes::from_static(b"{}\n"),
        )
        .await
        .unwrap();
    prune(&session, "a").await.unwrap();

    let kept: Vec<String> = session.store.folders(&keys::runs("a")).await.unwrap();
    let mut expected = vec![run_at(38 * day), run_at(35 * day)];
    expected.extend((0..20).rev().map(|days| run_at(days * day)));
    assert_eq!(kept, expected);
    let index = index(&session, "a").await.unwrap();
    assert_eq!(index.kept, 22);
    assert_eq!(index.runs.len(), 22);
    assert_eq!(index.last_good.unwrap().run, run_at(35 * day));
}

#[tokio::test]
async fn what_is_not_due_is_not_looked_at() {
    let folder = Folder::new();
    let session = session(&folder).await;
    for minutes in (0..20).rev() {
        record_run(&session, &summary("a", &run_at(minutes), minutes), "").await;
    }
    prune(&session, "a").await.unwrap();
    let pruned = index(&session, "a").await.unwrap().pruned;
    assert!(pruned.is_some());
    record_run(&session, &summary("a", &run_at(-1), -1), "").await;
    prune(&session, "a").await.unwrap();
    assert_eq!(
        index(&session, "a").await.unwrap().kept,
        21,
        "one above the limit is no reason"
    );
    session.clock().advance(TimeDelta::days(2));
    prune(&session, "a").await.unwrap();
    assert_eq!(index(&session, "a").await.unwrap().kept, 20, "a day is one");
}

#[tokio::test]
async fn a_run_whose_runner_died_is_stored_as_that() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let run = run_at(10);
    let work = begin_work(&session, "a", &run, Kind::FullRefresh).unwrap();
    fs::write(work.join(keys::LOG), "half a wo").unwrap();
    fs::write(work.join(keys::REJECTS), "{}\n{}\n").unwrap();
    assert!(
        recover(&session, "a").await.unwrap().is_empty(),
        "this process lives"
    );
    work::give_up(&work);

    let found = recover(&session, "a").await.unwrap();
    assert_eq!(found.len(), 1);
    let stored = find(&session, &run).await.unwrap().unwrap();
    assert_eq!(stored.outcome, Outcome::Died);
    assert_eq!(stored.started_at, now() - TimeDelta::minutes(10));
    assert_eq!(stored.fault.unwrap().stage, "antiphon");
    assert_eq!(stored.rejects, 2);
    assert_eq!((stored.state_before, stored.state_after), (None, None));
    assert_eq!(
        log(&session, "a", &run).await.unwrap().unwrap(),
        b"half a wo"
    );
    let index = index(&session, "a").await.unwrap();
    assert_eq!((index.runs.len(), index.rejects_open()), (1, 2));
    assert!(!work.exists());
    assert!(recover(&session, "a").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_could_not_be_recorded_is_stored_as_it_ended() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let ended = failed(summary("a", &run_at(10), 10));
    let work = begin_work(&session, "a", &ended.run, ended.kind).unwrap();
    fs::write(work.join(keys::LOG), "said\n").unwrap();
    // Where the store has a file, it cannot have a folder: as good as out of reach.
    fs::create_dir_all(folder.file("kept/pipelines")).unwrap();
    let block = folder.write("kept/pipelines/a", "");
    record(&session, &ended, &work).await.unwrap_err();
    assert!(work.exists());
    fs::remove_file(block).unwrap();

    let found = recover(&session, "a").await.unwrap();
    assert_eq!(found[0].fault.as_ref().unwrap().message, "it broke");
    let stored = find(&session, &ended.run).await.unwrap().unwrap();
    assert_eq!(stored.outcome, Outcome::Failed);
    assert_eq!(
        log(&session, "a", &ended.run).await.unwrap().unwrap(),
        b"said\n"
    );
    assert!(!work.exists());
}

#[tokio::test]
async fn recovery_after_each_step_of_recording_ends_the_same() {
    for steps in 0..4 {
        let folder = Folder::new();
        let session = session(&folder).await;
        let ended = failed(summary("a", &run_at(10), 10));
        let work = begin_work(&session, "a", &ended.run, ended.kind).unwrap();
        fs::write(work.join(keys::LOG), "said\n").unwrap();
        fs::write(work.join(keys::REJECTS), "{}\n").unwrap();
        fs::write(work.join(keys::SUMMARY), record::to_bytes(&ended).unwrap()).unwrap();
        // Killed after so many steps.
        let key = |name| keys::of_run("a", &ended.run, name);
        if steps > 0 {
            let log = work.join(keys::LOG);
            session.store.put_file(&key(keys::LOG), &log).await.unwrap();
        }
        if steps > 1 {
            let file = work.join(keys::REJECTS);
            session
                .store
                .put_file(&key(keys::REJECTS), &file)
                .await
                .unwrap();
        }
        if steps > 2 {
            let bytes = record::to_bytes(&ended).unwrap();
            session.store.put(&key(keys::SUMMARY), bytes).await.unwrap();
        }
        recover(&session, "a").await.unwrap();
        let index = index(&session, "a").await.unwrap();
        assert_eq!(index.runs.len(), 1, "after {steps} steps");
        assert_eq!(index.runs[0].outcome, Outcome::Failed);
        assert_eq!((index.kept, index.rejects_open()), (1, 1));
        assert_eq!(
            log(&session, "a", &ended.run).await.unwrap().unwrap(),
            b"said\n"
        );
        assert!(!work.exists());
    }
}

#[tokio::test]
async fn rejects_that_were_closed_are_not_opened_by_a_late_recovery() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let ended = summary("a", &run_at(10), 10);
    record_run(&session, &ended, "{}\n").await;
    // Another machine cleared them before this one came back with the folder still there.
    let open = keys::of_run("a", &ended.run, keys::REJECTS);
    session.store.delete(&open).await.unwrap();
    let cleared = keys::of_run("a", &ended.run, rejects::CLEARED);
    session
        .store
        .put(&cleared, Bytes::from_static(b"{}\n"))
        .await
        .unwrap();
    set_open(&session, "a", &[(ended.run.clone(), 0)])
        .await
        .unwrap();
    let work = begin_work(&session, "a", &ended.run, ended.kind).unwrap();
    fs::write(work.join(keys::REJECTS), "{}\n").unwrap();
    work::give_up(&work);
    assert!(recover(&session, "a").await.unwrap().is_empty());
    assert!(session.store.get(&open).await.unwrap().is_none());
    assert_eq!(index(&session, "a").await.unwrap().rejects_open(), 0);
    assert!(!work.exists());
}

#[tokio::test]
async fn a_run_that_died_elsewhere_is_known_by_what_it_said_while_it_lived() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let live = crate::live::Live {
        run: run_at(10),
        pipeline: "a".to_owned(),
        host: "there".to_owned(),
        started_at: now() - TimeDelta::minutes(10),
        updated_at: now() - TimeDelta::minutes(8),
        attempt: 2,
        stages: Vec::new(),
        streams: summary("a", "", 0).streams,
        rate: None,
        state: None,
        tail: Vec::new(),
    };
    let bytes = serde_json::to_vec(&live).unwrap();
    let key = keys::live("a");
    session.store.put(&key, bytes.into()).await.unwrap();
    let found = recover(&session, "a").await.unwrap();
    assert_eq!(found[0].host, "there");
    assert_eq!(found[0].duration_seconds, 120.0);
    assert_eq!(found[0].attempts, 2);
    assert!(session.store.get(&key).await.unwrap().is_none());
    // Its machine comes back with the log and the rejects.
    let work = begin_work(&session, "a", &live.run, Kind::Sync).unwrap();
    fs::write(work.join(keys::LOG), "said\n").unwrap();
    fs::write(work.join(keys::REJECTS), "{}\n").unwrap();
    work::give_up(&work);
    assert!(
        recover(&session, "a").await.unwrap().is_empty(),
        "it was told of"
    );
    let stored = find(&session, &live.run).await.unwrap().unwrap();
    assert_eq!((stored.rejects, stored.outcome), (1, Outcome::Died));
    assert_eq!(index(&session, "a").await.unwrap().rejects_open(), 1);
    assert!(log(&session, "a", &live.run).await.unwrap().is_some());
}
