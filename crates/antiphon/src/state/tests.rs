//! Versions over a folder.

use std::fs;
use std::path::PathBuf;

use chrono::TimeDelta;
use singer_test::folder::Folder;

use super::*;
use crate::spec::StoreSpec;

pub(crate) async fn store(folder: &Folder) -> Store {
    let spec = StoreSpec {
        url: folder.path().join("store").display().to_string(),
        work: folder.path().join("work"),
        lease: Duration::from_secs(60),
        endpoint: None,
        region: None,
        profile: None,
        credentials: None,
        ca_file: None,
    };
    Store::open(&spec).await.unwrap()
}

async fn states(folder: &Folder, fence: u64) -> States {
    States::over(&store(folder).await, &Clock::system(), "p", fence)
        .await
        .unwrap()
}

fn file(folder: &Folder, name: &str) -> PathBuf {
    folder.path().join("store/pipelines/p/state").join(name)
}

async fn newest(folder: &Folder) -> (u64, String) {
    let version = states(folder, 0).await.newest().await.unwrap().unwrap();
    (version.version, version.state.get().to_owned())
}

#[tokio::test]
async fn a_state_is_kept_byte_for_byte_and_an_equal_one_is_no_new_version() {
    let folder = Folder::new();
    let mut chain = states(&folder, 1).await;
    assert!(chain.newest().await.unwrap().is_none());
    let text = r#"{"n": 12345678901234567890.10, "é" : [1 ,2]}"#;
    assert_eq!(
        chain.append(text, "r", "t").await.unwrap(),
        Stored::Version(1)
    );
    assert_eq!(
        chain.append(&format!(" {text}\n"), "r", "t").await.unwrap(),
        Stored::Same(1)
    );
    assert_eq!(
        chain.append("{}", "r", "t").await.unwrap(),
        Stored::Version(2)
    );
    let first = states(&folder, 0).await.version(1).await.unwrap().unwrap();
    assert_eq!(first.state.get(), text);
    assert_eq!(newest(&folder).await, (2, "{}".to_owned()));
    // For whoever looks with `cat`.
    let shown = fs::read_to_string(file(&folder, "00000001.json")).unwrap();
    assert!(shown.contains("\n  \"version\": 1,\n"), "{shown}");
}

#[tokio::test]
async fn the_newest_is_found_whatever_the_hint_says() {
    let folder = Folder::new();
    let mut chain = states(&folder, 1).await;
    for number in 1..=20 {
        chain
            .append(&format!("{{\"n\":{number}}}"), "r", "t")
            .await
            .unwrap();
    }
    for hint in [
        "",
        "{\"version\": 18}",
        "{\"version\": 2}",
        "{\"version\": 99}",
        "{\"vers",
    ] {
        fs::write(file(&folder, "newest.json"), hint).unwrap();
        assert_eq!(newest(&folder).await.0, 20, "{hint}");
    }
    fs::remove_file(file(&folder, "newest.json")).unwrap();
    assert_eq!(newest(&folder).await.0, 20);
}

#[tokio::test]
async fn the_second_writer_of_a_number_stops_for_good() {
    let folder = Folder::new();
    let mut one = states(&folder, 1).await;
    let mut two = states(&folder, 2).await;
    assert_eq!(
        two.append("{\"a\":2}", "two", "t").await.unwrap(),
        Stored::Version(1)
    );
    assert_eq!(
        one.append("{\"a\":1}", "one", "t").await.unwrap(),
        Stored::Fenced
    );
    assert_eq!(
        one.append("{\"a\":2}", "one", "t").await.unwrap(),
        Stored::Fenced
    );
    // One that opens late under an old fence finds a larger one.
    let mut late = states(&folder, 1).await;
    assert_eq!(
        late.append("{\"a\":1}", "one", "t").await.unwrap(),
        Stored::Fenced
    );
    assert_eq!(newest(&folder).await, (1, "{\"a\":2}".to_owned()));
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_no_foreign_version() {
    let folder = Folder::new();
    let mut chain = states(&folder, 1).await;
    chain.append("{\"n\":1}", "r", "t").await.unwrap();
    // The same run under the same fence, without the knowledge that it has written.
    let mut again = states(&folder, 1).await;
    chain.append("{\"n\":2}", "r", "t").await.unwrap();
    assert_eq!(
        again.append("{\"n\":2}", "r", "t").await.unwrap(),
        Stored::Version(2)
    );
    chain.append("{\"n\":3}", "r", "t").await.unwrap();
    assert_eq!(
        again.append("{\"n\":4}", "r", "t").await.unwrap(),
        Stored::Version(4)
    );
}

#[tokio::test]
async fn a_damaged_newest_version_is_an_error_that_names_the_way_out() {
    let folder = Folder::new();
    let mut chain = states(&folder, 5).await;
    chain.append("{\"n\":1}", "r", "t").await.unwrap();
    chain.append("{\"n\":2}", "r", "t").await.unwrap();
    for damage in ["", "{\"version\": 2, \"at\"", "\0\0\0"] {
        fs::write(file(&folder, "00000002.json"), damage).unwrap();
        let error = states(&folder, 0).await.newest().await.unwrap_err();
        assert!(error.message().contains("00000002.json"), "{error:?}");
        assert!(
            error.hints()[0].contains("antiphon state p revert 1"),
            "{error:?}"
        );
    }
    let store = store(&folder).await;
    assert_eq!(
        newest_fence(&store, &Clock::system(), "p").await.unwrap(),
        5
    );
    let mut repair = states(&folder, 6).await;
    assert_eq!(
        repair
            .append_by_hand("{\"n\":1}", Cause::Reverted(1), "t")
            .await
            .unwrap(),
        Stored::Version(3)
    );
    assert_eq!(newest(&folder).await, (3, "{\"n\":1}".to_owned()));
}

#[tokio::test]
async fn retention_keeps_the_newest_and_no_gap() {
    let folder = Folder::new();
    let clock = Clock::fixed(Clock::system().now());
    let mut chain = States::over(&store(&folder).await, &clock, "p", 1)
        .await
        .unwrap();
    for number in 1..=30 {
        chain
            .append(&format!("{{\"n\":{number}}}"), "r", "t")
            .await
            .unwrap();
    }
    let mut keep = Retention {
        runs: 1,
        states: 25,
        age: Duration::from_secs(1000),
    };
    chain.prune(&keep).await.unwrap();
    assert_eq!(chain.numbers().await.unwrap(), (6..=30).collect::<Vec<_>>());
    clock.advance(TimeDelta::days(1));
    chain.prune(&keep).await.unwrap();
    assert_eq!(
        chain.numbers().await.unwrap(),
        (21..=30).collect::<Vec<_>>()
    );
    // The clock went back: nothing is old.
    clock.advance(TimeDelta::days(-700));
    chain.prune(&keep).await.unwrap();
    assert_eq!(chain.numbers().await.unwrap().len(), 10);
    keep.states = 0;
    chain.prune(&keep).await.unwrap();
    assert_eq!(chain.numbers().await.unwrap(), [29, 30]);
    assert_eq!(
        chain.append("{\"n\":31}", "r", "t").await.unwrap(),
        Stored::Version(31)
    );
}

#[tokio::test]
async fn a_writer_that_slept_until_its_number_was_pruned_has_written_nothing() {
    let folder = Folder::new();
    let mut first = states(&folder, 1).await;
    let mut slept = states(&folder, 1).await;
    first.append("{\"n\":1}", "a", "t").await.unwrap();
    let mut slept_later = states(&folder, 1).await;
    for number in 2..=30 {
        first
            .append(&format!("{{\"n\":{number}}}"), "a", "t")
            .await
            .unwrap();
    }
    let keep = Retention {
        runs: 1,
        states: 12,
        age: Duration::from_secs(1000),
    };
    first.prune(&keep).await.unwrap();
    assert_eq!(
        slept.append("{\"x\":1}", "b", "t").await.unwrap(),
        Stored::Fenced
    );
    assert_eq!(
        slept_later.append("{\"x\":2}", "b", "t").await.unwrap(),
        Stored::Fenced
    );
    assert_eq!(newest(&folder).await.0, 30);
    assert_eq!(
        first.numbers().await.unwrap(),
        (19..=30).collect::<Vec<_>>()
    );
}
