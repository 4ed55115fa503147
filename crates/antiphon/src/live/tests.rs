//! What is shown of a run at work, over a store in a folder.

use singer_runtime::context::Context;
use singer_test::folder::Folder;

use super::*;
use crate::lock::Taken;
use crate::mask::Mask;
use crate::report::Echo;

async fn session(folder: &Folder) -> Session {
    let file = folder.write(
        "antiphon.toml",
        "[pipelines.p]\ntap = { exec = \"tap-x\" }\ntarget = { exec = \"target-x\" }\n",
    );
    Session::open(Some(&file), Context::for_tests("antiphon"))
        .await
        .unwrap()
}

fn stage(label: &str) -> LiveStage {
    LiveStage {
        label: label.to_owned(),
        exec: format!("/bin/{label}-x"),
        pid: 1,
        ended: None,
    }
}

#[tokio::test]
async fn a_run_is_live_while_it_holds_its_lease_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let session = session(&folder).await;
    assert!(of(&session, "p").await.unwrap().is_none());

    let Taken::Lease(lease) = lock::take(&session, "p", "run-1").await.unwrap() else {
        panic!("nobody else holds it");
    };
    let watcher = Watcher::start(folder.path(), Echo::Silent, Mask::default()).unwrap();
    watcher.note("it begins");
    let display = Display::start(&session, "p", "run-1", &watcher);
    display.attempt(2, vec![stage("tap"), stage("target")]);
    display.stage_ended("tap", "exit code 0");
    display.state(7);
    let mut seen = None;
    for _ in 0..600 {
        seen = of(&session, "p").await.unwrap();
        if seen.as_ref().is_some_and(|live| live.state == Some(7)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let live = seen.unwrap();
    assert_eq!((live.run.as_str(), live.attempt), ("run-1", 2));
    assert_eq!(live.stages[0].ended.as_deref(), Some("exit code 0"));
    assert_eq!(live.stages[1].ended, None);
    assert!(live.tail[0].ends_with("it begins"));

    lease.release().await.unwrap();
    // The file is there, but its run holds nothing any more.
    assert!(of(&session, "p").await.unwrap().is_none());
    assert!(session.store.get(&keys::live("p")).await.unwrap().is_some());
    display.end().await;
    assert!(session.store.get(&keys::live("p")).await.unwrap().is_none());
}

#[tokio::test]
async fn progress_that_cannot_be_read_is_none() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let key = keys::live("p");
    session
        .store
        .put_hint(&key, Bytes::from_static(b"{\"run\":"))
        .await
        .unwrap();
    assert!(of(&session, "p").await.unwrap().is_none());
}

#[tokio::test]
async fn the_lines_tell_of_stages_streams_and_the_state() {
    let folder = Folder::new();
    let session = session(&folder).await;
    let watcher = Watcher::start(folder.path(), Echo::Silent, Mask::default()).unwrap();
    let mut showing = Showing {
        pipeline: "p".to_owned(),
        run: "run-1".to_owned(),
        host: String::new(),
        started_at: session.clock().now(),
        began: Instant::now(),
        clock: session.clock().clone(),
        store: session.store.clone(),
        watcher,
        shared: Arc::default(),
        counts: BTreeMap::new(),
        past: VecDeque::new(),
        put: None,
        noted: None,
    };
    {
        let mut progress = lock_progress(&showing.shared);
        progress.stages = vec![stage("tap"), stage("target")];
        progress.stages[0].ended = Some("exit code 0".to_owned());
        progress.times = vec![(Instant::now(), Some(Duration::from_secs(65))); 2];
        progress.state = Some(42);
    }
    for number in 0..12_u64 {
        let counts = Counts {
            records: Some(1000 * number),
            rejected: Some(number),
            ..Counts::default()
        };
        showing.counts.insert(format!("s{number:02}"), counts);
    }
    let lines = showing.lines();
    assert!(lines[0].starts_with("p  ") && lines[0].ends_with("66,000 records  state 42"));
    assert_eq!(lines[1], "  tap     tap-x     exit code 0  1m05s");
    assert_eq!(lines[2], "  target  target-x  running  1m05s");
    // Those that moved most, by their names.
    assert!(
        lines[3].starts_with("    s04  4,000 records  "),
        "{}",
        lines[3]
    );
    assert!(lines[3].ends_with("  4 rejected"));
    assert_eq!(lines.len(), 3 + 8 + 1);
    assert_eq!(lines[11], "    and 3 more");
}
