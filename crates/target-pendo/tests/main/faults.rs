//! A Pendo that misbehaves: nothing is lost, nothing is sent for two at once, and the end is told.

use serde_json::json;
use singer_test::pendo::Pendo;

use crate::kit::{World, id, record, rows, schema, state};

const ROWS: u64 = 2_000;

/// Small batches, so that faults have something to strike, and short pauses.
fn config() -> serde_json::Value {
    json!({"batch_records": 100, "rate_limit_pause_seconds": 0.05})
}

fn input() -> String {
    schema() + &rows(1, 0..ROWS, 1) + &state(1)
}

#[test]
fn passing_faults_lose_nothing() {
    for fault in [
        "throttle:every=6",
        "throttle:status=403,every=9,retry-after=0",
        "error:status=503,every=6",
        "error:status=502,every=6",
        "reset:every=7",
        "reset:when=after,every=7",
        "cut:every=7",
        "empty:every=7",
        "too-large:bytes=5000",
        "timeout:records=30",
        "slow:ms=20,jitter=20",
    ] {
        let world = World::new(ROWS);
        world.pendo.set_faults(&[&format!("{fault},path=value")]);
        let ended = world.feed(&config(), &input());
        ended.expect_code(0);
        assert_eq!(ended.text(), "{\"n\":1}\n", "{fault}");
        let stored = world.stored();
        assert_eq!(stored.len() as u64, ROWS, "{fault}");
        assert_eq!(stored[&id(7)]["name"], record(7, 1)["name"], "{fault}");
        world.pendo.assert_no_overlaps();
    }
}

#[test]
fn partial_success_is_told_apart_record_by_record() {
    use sandbox::pendo::ErrorShape;
    for shape in [
        ErrorShape::Id,
        ErrorShape::KindId,
        ErrorShape::Text,
        ErrorShape::Anonymous,
    ] {
        let pendo = Pendo::start_with(|options| options.pendo.error_shape = shape);
        let world = World::with(100, pendo);
        world
            .pendo
            .set_faults(&["partial:every-record=10,times=1,path=value"]);
        let input = schema() + &rows(1, 0..100, 1) + &state(1);
        let ended = world.feed(&json!({"rejects_path": "r.jsonl"}), &input);
        let rejects = ended.code() == Some(3);
        // Without names the failed ones are found by sending again, which then works.
        assert_eq!(
            rejects,
            !matches!(shape, ErrorShape::Anonymous),
            "{shape:?}: {}",
            ended.stderr
        );
        let refused = if rejects {
            world.folder.read("r.jsonl").lines().count()
        } else {
            0
        };
        assert_eq!(world.stored().len() + refused, 100, "{shape:?}");
        assert_eq!(ended.text(), "{\"n\":1}\n");
    }
}

#[test]
fn lasting_faults_end_the_run_with_the_code_that_says_what_to_do() {
    for (fault, code, words) in [
        ("error:status=500,path=value", 75, "500"),
        ("throttle:retry-after=0,path=value", 75, "429"),
        ("expire:path=value", 1, "integration key"),
        ("empty:path=value", 1, "--check"),
    ] {
        let world = World::new(10);
        world.pendo.set_faults(&[fault]);
        let input = schema() + &rows(1, 0..10, 1) + &state(1);
        let ended = world.run(&json!({"attempts": 2})).stdin(input).finish();
        ended.expect_code(code).expect_log(words);
        assert_eq!(ended.text(), "", "{fault}: no state is printed");
    }
    let world = World::new(10);
    let run = world.run(&json!({"attempts": 2}));
    world.pendo.stop();
    let ended = run.stdin(input()).finish();
    ended.expect_code(75);
}

#[test]
fn missing_ids_are_listed_and_are_no_error() {
    let world = World::new(5);
    let input = schema() + &rows(1, 0..8, 1) + &state(1);
    let ended = world.feed(&json!({"rejects_path": "r.jsonl"}), &input);
    ended.expect_code(0).expect_log("missing=3");
    let rejects = world.folder.read("r.jsonl");
    assert_eq!(rejects.lines().count(), 3);
    assert!(rejects.lines().all(|line| line.contains("\"missing\"")));
    // Pendo learns of them, and the file is sent again.
    world
        .pendo
        .know(sandbox::pendo::Kind::Account, (5..8).map(id));
    let ended = world
        .run(&json!({"rejects_path": "again.jsonl"}))
        .arg("--input")
        .arg(world.folder.file("r.jsonl"))
        .finish();
    ended.expect_code(0);
    assert_eq!(world.filled().len(), 8);
}
