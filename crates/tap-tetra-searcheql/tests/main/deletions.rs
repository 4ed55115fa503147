//! Deleted files: told once, whether they vanish or are marked, and never for a file that is there.

use serde_json::{Value, json};
use singer_test::stream::Messages;

use crate::kit::{FileThere, Platform, START, messages, number, numbers};

fn diff() -> Value {
    json!({"deletions": "diff"})
}

/// The numbers of the files that a run calls deleted.
fn deleted(messages: &Messages) -> Vec<usize> {
    let records = messages.records("files").into_iter();
    records
        .filter(|record| record["_sdc_deleted_at"].is_string())
        .map(|record| number(record["fileId"].as_str()))
        .collect()
}

#[test]
fn a_file_that_vanished_is_told_once() {
    let platform = Platform::of(20);
    let first = messages(&platform.sync(diff(), json!({}), None));
    first.assert_sound();
    assert_eq!((numbers(&first).len(), deleted(&first).len()), (20, 0));
    platform.change(|inside| {
        inside.files.retain(|file| !file.id.starts_with("0000000"));
    });
    let second = messages(&platform.sync(diff(), json!({}), first.last_state()));
    assert_eq!(deleted(&second), (0..10).collect::<Vec<_>>());
    let third = messages(&platform.sync(diff(), json!({}), second.last_state()));
    assert_eq!(numbers(&third), [0_usize; 0]);
}

#[test]
fn a_run_that_is_repeated_tells_again() {
    let platform = Platform::of(3);
    let first = messages(&platform.sync(diff(), json!({}), None));
    platform.change(|inside| drop(inside.files.remove(1)));
    for _ in 0..2 {
        // The state of the run before it was never stored.
        let again = messages(&platform.sync(diff(), json!({}), first.last_state()));
        assert_eq!(deleted(&again), [1]);
    }
}

#[test]
fn a_file_that_came_and_went_between_two_looks_is_told() {
    let platform = Platform::of(3);
    let wide = |deletions: &str| json!({"overlap_seconds": 200_000_000, "deletions": deletions});
    let first = messages(&platform.sync(wide("diff"), json!({}), None));
    platform.change(|inside| inside.files.push(FileThere::new(7, START + 90_000)));
    // Without the setting nobody looks, and what is emitted is noted all the same.
    let second = messages(&platform.sync(wide("ignore"), json!({}), first.last_state()));
    assert_eq!(numbers(&second), [7]);
    platform.change(|inside| inside.files.retain(|file| !file.id.starts_with("00000007")));
    let third = messages(&platform.sync(diff(), json!({}), second.last_state()));
    assert_eq!(deleted(&third), [7]);
}

#[test]
fn a_file_that_does_not_match_any_more_is_none_that_was_deleted() {
    let platform = Platform::of(4);
    let query = json!({"query": {"term": {"category": "IDS"}}});
    let first = messages(&platform.sync(diff(), query.clone(), None));
    platform.change(|inside| inside.files[2].source["category"] = "RAW".into());
    let second = messages(&platform.sync(diff(), query.clone(), first.last_state()));
    assert_eq!(numbers(&second), [0_usize; 0]);
    platform.change(|inside| drop(inside.files.remove(2)));
    let third = messages(&platform.sync(diff(), query, second.last_state()));
    assert_eq!(deleted(&third), [2]);
}

#[test]
fn a_file_that_is_marked_is_gone_although_it_is_found() {
    let platform = Platform::of(4);
    let first = messages(&platform.sync(diff(), json!({}), None));
    platform.change(|inside| inside.files[3].source["deleted"] = true.into());
    let second = messages(&platform.sync(diff(), json!({}), first.last_state()));
    assert_eq!(deleted(&second), [3]);
}

#[test]
fn ids_that_cannot_be_kept_end_the_stream_with_a_way_out() {
    let platform = Platform::of(1);
    platform.change(|inside| inside.files[0].id = "file-7".to_owned());
    let finished = platform.sync(diff(), json!({}), None);
    assert_ne!(finished.code(), Some(0));
    finished.expect_log("is no UUID");
    finished.expect_log("FULL_TABLE");
}
