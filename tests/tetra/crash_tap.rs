//! `tap-tetra-searcheql` killed at every point where it could matter, and run again from the state on disk. Every test
//! ends with one row of each file, which is its newest version.

use std::fs;

use serde_json::{Value, json};
use singer_test::bin::Signal;
use singer_test::pipe::Cut;
use singer_test::poll;
use singer_test::tetra::{PAGE_FILES, Tetra};

use crate::pair::{
    ALL, FILES, LINK, Pair, Retrieve, SAMPLES, SEARCH, STORAGE, both_killed, place_of, records,
    unanswered,
};

/// Runs with the pipe cut off, checks what lies on disk, and runs again to the end.
#[track_caller]
fn killed(pair: &Pair, cut: Cut) {
    let ended = pair.start_cut(cut).finish();
    // The target cannot tell a pipe that broke from one that is done, but for a line that is cut.
    let code = ended.target.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{cut:?}: {}",
        ended.target.stderr
    );
    pair.assert_true_state();
    pair.sync_equal();
}

/// Stops politely while the second page is waited for, which leaves a STATE inside the window.
#[track_caller]
fn stopped_behind_the_first_page(pair: &Pair) -> Value {
    pair.tetra.set_faults(&[&unanswered(SEARCH, SAMPLES + 1)]);
    let pipeline = pair.start();
    pair.tetra.wait_for_strikes(1);
    pipeline.wait_for("/run 15 ");
    pipeline.tap.signal(Signal::Terminate);
    let ended = pipeline.finish();
    ended.tap.expect_code(143);
    ended.target.expect_code(0);
    pair.assert_true_state();
    pair.bookmark().expect("a STATE was stored")
}

#[test]
fn before_the_first_state() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        pair.kill_tap_after("", &[&unanswered(SEARCH, 0)]);
        assert!(pair.state().is_none() && pair.rows().is_empty());
        // The same once pages have come, of which no STATE tells.
        let ended = pair.kill_tap_after("/run 15 ", &[&unanswered(SEARCH, SAMPLES + 1)]);
        assert_eq!(
            pair.state().is_some(),
            ended.tap.text().contains("\"STATE\"")
        );
        let left = pair.left();
        let ended = pair.sync_equal();
        assert_eq!(records(&ended), left, "{retrieve:?}");
    }
}

#[test]
fn inside_a_window_between_pages() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        let bookmark = stopped_behind_the_first_page(&pair);
        let window = &bookmark["window"];
        assert!(window["lt"].is_string() && window["after"].is_array());
        // It went on behind the first page, and dies while it waits for the third.
        pair.kill_tap_after("/run 35 ", &[&unanswered(SEARCH, SAMPLES + 1)]);
        assert_eq!(
            pair.bookmark().expect("a state")["window"]["lt"],
            window["lt"]
        );
        let left = pair.left();
        assert!(left <= FILES - PAGE_FILES, "{left} files");
        let ended = pair.sync_equal();
        assert_eq!(records(&ended), left, "{retrieve:?}");
        ended.tap.expect_log("is_resumed=true");
    }
}

#[test]
fn inside_a_window_behind_its_own_state() {
    const MANY: usize = 10_500;
    let pair = Pair::over(Tetra::start(MANY), Retrieve::None)
        .stream_keys(&json!({"source": ["category", "filePath"]}))
        .tap_keys(&json!({"page_size": 3_500}));
    pair.kill_tap_after("\"after\":[", &[&unanswered(SEARCH, SAMPLES + 3)]);
    let bookmark = pair.bookmark().expect("a STATE behind 10,000 files");
    assert!(bookmark["window"]["after"].is_array());
    let left = pair.left();
    assert!(left < MANY, "{left} files");
    assert_eq!(records(&pair.sync_equal()), left);
}

#[test]
fn while_links_and_contents_are_waited_for() {
    for retrieve in [Retrieve::Json, Retrieve::File] {
        for place in [LINK, STORAGE] {
            let pair = Pair::new(retrieve).tap_keys(&json!({"parallel": 2}));
            pair.kill_tap_after("/run 2 ", &[&unanswered(place, 30)]);
            pair.sync_equal();
        }
    }
}

#[test]
fn while_a_file_is_written() {
    const SIZE: u64 = 40_000_000;
    let tetra = Tetra::start(2);
    let id = tetra.put(&json!([{"document": {"filePath": "/big.raw"}, "bytes": SIZE}]));
    tetra.inside().advance(60);
    let pair = Pair::over(tetra, Retrieve::File);
    let part = pair
        .folder
        .file(&format!("downloads/results/{}/.part", id[0]));
    let length = || fs::metadata(&part).map_or(0, |part| part.len());
    let pipeline = pair.start();
    poll::until("a part of the file is there", || length() > 0);
    pipeline.tap.signal(Signal::Kill);
    let ended = pipeline.finish();
    assert_eq!(ended.tap.signal(), Some(9), "the tap was quicker");
    assert!((1..SIZE).contains(&length()), "{} bytes", length());
    assert!(!part.with_file_name("big.raw").exists());
    pair.assert_true_state();
    pair.sync_equal();
    assert!(!part.exists(), "it was overwritten and renamed");
}

#[test]
fn between_a_file_and_its_note() {
    let pair = Pair::new(Retrieve::File);
    pair.sync_equal();
    // What a death between the two leaves: no note, perhaps half of one, and no STATE.
    let ids: Vec<String> = pair.tetra.truth().into_keys().collect();
    for id in &ids[..3] {
        let folder = pair.folder.file(&format!("downloads/results/{id}"));
        fs::remove_file(folder.join(".known.json")).expect("there is a note");
    }
    let folder = pair.folder.file(&format!("downloads/results/{}", ids[0]));
    fs::write(folder.join(".part"), "{\"file_id\":").expect("a file can be written");
    fs::remove_file(pair.folder.file("state.json")).expect("there is a state");
    let before = pair.tetra.downloads();
    let ended = pair.sync_equal();
    assert_eq!(records(&ended), FILES);
    assert_eq!(
        pair.tetra.downloads() - before,
        3,
        "the others are known by their notes"
    );
    for id in &ids {
        let folder = pair.folder.file(&format!("downloads/results/{id}"));
        let names = fs::read_dir(folder).expect("a folder").count();
        assert_eq!(names, 2, "a file and its note");
    }
}

#[test]
fn after_a_reject_before_its_state() {
    let tetra = Tetra::start(FILES);
    // The third one in the order of the search.
    let document = json!({"category": "IDS", "filePath": "/lab/large", "indexedAt": "2024-05-01T00:00:00.500Z"});
    tetra.put(&json!([{"document": document, "bytes": 9_000}]));
    let pair = Pair::over(tetra, Retrieve::File)
        .tap_keys(&json!({"max_file_bytes": 4_000, "on_failure": "reject", "parallel": 2}));
    let stalled = unanswered(STORAGE, 20);
    pair.tetra.set_faults(&[&stalled]);
    let pipeline = pair.start();
    pair.tetra.wait_for_strikes(1);
    poll::until("a reject is there", || pair.rejects().len() == 1);
    pipeline.tap.signal(Signal::Kill);
    let ended = pipeline.finish();
    assert_eq!(ended.tap.signal(), Some(9), "the tap was quicker");
    pair.tetra.set_faults(&[]);
    let again = pair.run();
    again.target.expect_code(0);
    let rejects = pair.rejects();
    // It may be a reject twice, unless a slow machine had a STATE that covers the first.
    let seen = (again.tap.code(), rejects.len());
    assert!(matches!(seen, (Some(3), 2) | (Some(0), 1)), "{seen:?}");
    assert_eq!(rejects[0]["key"], rejects[rejects.len() - 1]["key"]);
    assert_eq!(pair.rows().len(), FILES);
    let pair = pair.tap_keys(&json!({"max_file_bytes": 10_000, "row": "@rejects.jsonl"}));
    let state = pair.state();
    let ended = pair.sync_equal();
    assert_eq!(
        records(&ended),
        1,
        "a file that is a reject twice comes once"
    );
    assert_eq!(pair.state(), state, "such a run writes no STATE");
}

#[test]
fn after_the_window_before_its_state() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        let lines = pair.lines();
        let last = lines.iter().rposition(|line| line.contains("\"RECORD\""));
        let last = last.expect("records");
        let state = place_of(&lines, "\"replication_key_value\"", last);
        for cut in [last + 1, state + 1] {
            let pair = Pair::new(retrieve);
            killed(&pair, Cut::AfterLines(cut));
        }
    }
}

#[test]
fn between_two_records_and_within_one() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        let bytes: usize = pair.lines().iter().map(|line| line.len() + 1).sum();
        for cut in [Cut::AfterLines(20), Cut::AfterBytes(bytes / 2)] {
            killed(&Pair::new(retrieve), cut);
        }
    }
}

#[test]
fn in_the_window_behind_the_first() {
    for retrieve in ALL {
        let pair = Pair::new(retrieve);
        pair.sync_equal();
        let ids: Vec<String> = pair.tetra.truth().into_keys().take(30).collect();
        pair.tetra.revise(&ids);
        pair.kill_tap_after("\"RECORD\"", &[&unanswered(SEARCH, SAMPLES + 1)]);
        let left = pair.left();
        assert_eq!(records(&pair.sync_equal()), left, "{retrieve:?}");
    }
}

#[test]
fn both_at_once_at_random_moments() {
    for (retrieve, requests) in [
        (Retrieve::None, 3),
        (Retrieve::Json, 40),
        (Retrieve::File, 55),
    ] {
        let pair = Pair::new(retrieve).tap_keys(&json!({"parallel": 3}));
        both_killed(&pair, requests);
        both_killed(&pair, requests + 2);
        pair.sync_equal();
        let ids: Vec<String> = pair.tetra.truth().into_keys().skip(10).take(30).collect();
        pair.tetra.arrive(5);
        pair.tetra.revise(&ids);
        both_killed(&pair, requests / 2);
        pair.sync_equal();
    }
}

#[test]
fn while_ids_are_compared_and_after_deletions_before_their_state() {
    let new = || {
        let pair = Pair::new(Retrieve::None)
            .tap_keys(&json!({"deletions": "diff"}))
            .table_keys(&json!({"on_delete": "hard"}));
        pair.sync_equal();
        let ids: Vec<String> = pair.tetra.truth().into_keys().collect();
        pair.tetra.inside().delete(&ids[10..19]);
        pair.tetra.revise(&ids[20..25]);
        pair
    };
    // The list of all ids, and what is missing in it.
    for search in [SAMPLES + 2, SAMPLES + 3] {
        let pair = new();
        pair.kill_tap_after("\"RECORD\"", &[&unanswered(SEARCH, search)]);
        assert_eq!(pair.rows().len(), FILES, "no deletion was told");
        pair.sync_equal();
    }
    let pair = new();
    let lines = pair.lines();
    let told = |line: &String| line.contains("\"_sdc_deleted_at\":\"");
    assert_eq!(lines.iter().filter(|line| told(line)).count(), 9);
    let last = lines.iter().rposition(told).expect("deletions");
    for cut in [last - 3, last + 1] {
        let pair = new();
        killed(&pair, Cut::AfterLines(cut));
        assert_eq!(pair.rows().len(), FILES - 9);
    }
}
