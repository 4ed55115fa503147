//! Both halves killed without a word (kill -9) at every point where it could matter, and run again.
//! The table of these points, with what lies on disk at each, is in `README.md` beside this file; each
//! row of it names a test of this file. Every test ends with the destination equal to the table.

use std::fs::File;
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::OwnedFd;

use sandbox::pendo::Kind;
use serde_json::{Value, json};
use singer_test::bin::{Running, Signal};
use singer_test::pipe::{self, Cut};
use singer_test::poll;
use singer_test::stream;
use suite::pair::{Method, Pair};

/// More than two states of a tap, which prints one each 10,000 records.
const ROWS: u64 = 25_000;

const METHODS: [Method; 2] = [Method::FullTable, Method::Incremental];

/// Runs the pipeline with the tap cut off, checks what lies on disk, and runs it again to the end.
fn killed_tap(pair: &Pair, cut: Cut) {
    let ended = pair.run(cut);
    // The target cannot tell a tap that died from one that is done, but for a line that is cut.
    assert!(
        matches!(ended.target.code(), Some(0 | 1)),
        "{cut:?}: {}",
        ended.target.stderr
    );
    assert_true_state(pair);
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
}

/// What the state says is at the destination, is there: for a table read in the order of `updated_at`
/// every row up to the bookmark.
#[track_caller]
fn assert_true_state(pair: &Pair) {
    let Some(state) = pair.state() else { return };
    let bookmarks = state["bookmarks"]
        .as_object()
        .expect("a state has bookmarks");
    let bookmark = bookmarks
        .values()
        .next()
        .and_then(|bookmark| bookmark["replication_key_value"].as_str());
    let Some(bookmark) = bookmark else { return };
    let promised = pair.database.column(&format!(
        "SELECT id FROM account WHERE updated_at <= '{bookmark}'::timestamptz"
    ));
    let stored = pair.stored();
    let lost = promised
        .iter()
        .filter(|id| !stored.contains_key(*id))
        .count();
    assert_eq!(lost, 0, "the state promises {} rows", promised.len());
}

/// The lines of a whole run of the tap, to find the places between them.
fn lines_of(pair: &Pair) -> Vec<String> {
    let ended = pair.tap().finish();
    ended.expect_code(0);
    ended.text().lines().map(str::to_owned).collect()
}

fn place_of(lines: &[String], mark: &str, from: usize) -> usize {
    let place = lines.iter().skip(from).position(|line| line.contains(mark));
    from + place.unwrap_or_else(|| panic!("no {mark} from line {from} on"))
}

#[test]
fn tap_before_it_reads() {
    for method in METHODS {
        let pair = Pair::new(1_000, method);
        if pair.database.takes_one_connection() {
            // The embedded server cannot hold a lock for one while another one waits.
            return;
        }
        // A lock that the tap waits for: connected, and nothing read.
        pair.database.hold_lock("account", || {
            let pipeline = pipe::start(pair.tap(), pair.target(), Cut::Never);
            poll::until("the tap waits for the lock", || {
                pair.database.waits_for_lock("account")
            });
            pipeline.tap.signal(Signal::Kill);
            pipeline.finish().target.expect_code(0);
        });
        assert!(pair.state().is_none() && pair.stored().is_empty());
        pair.run(Cut::Never).expect_success();
        pair.assert_equal();
    }
}

#[test]
fn tap_after_its_schema() {
    for method in METHODS {
        let pair = Pair::new(1_000, method);
        let schema = place_of(&lines_of(&pair), "\"SCHEMA\"", 0);
        killed_tap(&pair, Cut::AfterLines(schema + 1));
    }
}

#[test]
fn tap_between_two_rows() {
    for method in METHODS {
        for lines in [7, 5_000, 14_321] {
            killed_tap(&Pair::new(ROWS, method), Cut::AfterLines(lines));
        }
    }
}

#[test]
fn tap_within_a_row() {
    for method in METHODS {
        let pair = Pair::new(ROWS, method);
        let lines = lines_of(&pair);
        let state = place_of(&lines, "\"STATE\"", 5_000);
        let whole: usize = lines[..=state].iter().map(|line| line.len() + 1).sum();
        killed_tap(&pair, Cut::AfterBytes(whole + 40));
    }
}

#[test]
fn tap_around_its_states() {
    for method in METHODS {
        for after in [0, 1] {
            let pair = Pair::new(ROWS, method);
            let state = place_of(&lines_of(&pair), "\"STATE\"", 5_000);
            killed_tap(&pair, Cut::AfterLines(state + after));
        }
    }
}

#[test]
fn tap_within_a_state() {
    for method in METHODS {
        let pair = Pair::new(ROWS, method);
        let lines = lines_of(&pair);
        let state = place_of(&lines, "\"STATE\"", 5_000);
        let before: usize = lines[..state].iter().map(|line| line.len() + 1).sum();
        killed_tap(&pair, Cut::AfterBytes(before + lines[state].len() / 2));
    }
}

#[test]
fn tap_around_the_activation_of_a_version() {
    for after in [0, 1] {
        let pair = Pair::new(1_000, Method::FullTable);
        let activation = place_of(&lines_of(&pair), "\"ACTIVATE_VERSION\"", 0);
        killed_tap(&pair, Cut::AfterLines(activation + after));
    }
}

#[test]
fn tap_after_its_last_state() {
    for method in METHODS {
        let pair = Pair::new(1_000, method);
        let count = lines_of(&pair).len();
        killed_tap(&pair, Cut::AfterLines(count));
        assert!(pair.state().is_some());
    }
}

#[test]
fn tap_again_and_again_until_it_is_done() {
    for method in METHODS {
        let pair = Pair::new(ROWS, method);
        let mut runs = 0;
        // Each run gets a little further than one state.
        while runs < 10 && pair.run(Cut::AfterLines(11_000)).tap.code() != Some(0) {
            runs += 1;
            assert_true_state(&pair);
        }
        assert!(
            (1..=4).contains(&runs),
            "{runs} runs: an interrupted load goes on, it does not start over"
        );
        pair.run(Cut::Never).expect_success();
        pair.assert_equal();
    }
}

/// A target fed by hand, with everything that the tap says, and killed where the test says.
fn fed_target(pair: &Pair, lines: &[String]) -> Running {
    let mut target = pair.target().held_stdin().start();
    let mut text = lines.join("\n");
    text.push('\n');
    assert!(target.feed(text), "the target reads");
    target
}

/// After a target was killed: the state is true, and another run makes both sides equal.
#[track_caller]
fn recovers(pair: &Pair) {
    assert_true_state(pair);
    pair.pendo.set_faults(&[]);
    pair.run(Cut::Never).expect_success();
    pair.assert_same_rows();
}

#[test]
fn target_before_it_reads() {
    let pair = Pair::new(1_000, Method::Incremental);
    let target = pair.target().held_stdin().start();
    target.kill();
    assert!(pair.state().is_none() && pair.stored().is_empty());
    recovers(&pair);
}

#[test]
fn target_between_reading_and_sending() {
    let mut pair = Pair::new(50, Method::Incremental);
    pair.target_config
        .insert("batch".to_owned(), json!({"max_age_seconds": 3600}));
    let lines = lines_of(&pair);
    // Half a batch, held back for more.
    let target = fed_target(&pair, &lines[..20]);
    poll::until("the schema was read from the service", || {
        pair.pendo.status().activity.requests > 0
    });
    target.kill();
    assert!(pair.state().is_none() && pair.stored().is_empty());
    recovers(&pair);
}

#[test]
fn target_between_sending_and_the_service_applying() {
    let pair = Pair::new(1_000, Method::Incremental);
    pair.pendo.set_faults(&[
        "reset:when=before,path=/value",
        "slow:ms=600000,path=/value",
    ]);
    let lines = lines_of(&pair);
    let target = fed_target(&pair, &lines);
    poll::until("a batch is under way", || {
        pair.pendo
            .status()
            .active_faults
            .iter()
            .any(|fault| fault.struck > 0)
    });
    target.kill();
    assert!(pair.state().is_none() && pair.stored().is_empty());
    recovers(&pair);
}

#[test]
fn target_between_the_service_applying_and_its_answer() {
    for only_changed in [false, true] {
        let mut pair = Pair::new(1_000, Method::Incremental);
        remember(&mut pair, only_changed);
        pair.pendo.set_faults(&["slow:ms=600000,path=/value"]);
        let lines = lines_of(&pair);
        let target = fed_target(&pair, &lines);
        poll::until("a batch was applied", || !pair.stored().is_empty());
        target.kill();
        // At the destination, and nobody here knows: neither state nor memory may say so.
        assert!(pair.state().is_none());
        let first = pair.stored();
        recovers(&pair);
        let stored = pair.stored();
        assert!(
            first.iter().all(|(id, row)| stored.get(id) == Some(row)),
            "sent again, harmlessly"
        );
    }
}

#[test]
fn target_between_the_answer_and_its_state() {
    for only_changed in [false, true] {
        let mut pair = Pair::new(1_000, Method::Incremental);
        remember(&mut pair, only_changed);
        let lines = lines_of(&pair);
        // All rows and not their state: confirmed, remembered, and no state on disk.
        let state = place_of(&lines, "\"STATE\"", 2);
        let target = fed_target(&pair, &lines[..state]);
        poll::until("some batches were confirmed", || {
            pair.pendo.applied(Kind::Account) >= 300
        });
        target.kill();
        recovers(&pair);
    }
}

#[test]
fn target_while_it_prints_a_state() {
    let pair = Pair::new(1_000, Method::Incremental);
    let lines = lines_of(&pair);
    // A state that no pipe holds as a whole: the target stands still in the middle of printing it.
    let long = json!({"type": "STATE", "value": {"long": "x".repeat(1 << 20)}}).to_string();
    let (reader, writer) = pipe().expect("a pipe can be made");
    let mut target = pair
        .target()
        .held_stdin()
        .stdout(File::from(OwnedFd::from(writer)))
        .start();
    let state = place_of(&lines, "\"STATE\"", 2);
    let mut text = lines[..=state].join("\n");
    text.push('\n');
    assert!(target.feed(&text));
    poll::until("the first state is stored", || pair.state().is_some());
    let first = pair.state();
    assert!(target.feed(format!("{}\n{long}\n", lines[..state].join("\n"))));
    let mut reader = BufReader::with_capacity(1, reader);
    let mut printed = Vec::new();
    reader
        .read_until(b'\n', &mut printed)
        .expect("a pipe can be read");
    poll::until("the long state has begun", || {
        reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    });
    target.kill();
    reader
        .read_until(b'\n', &mut printed)
        .expect("a pipe can be read");
    // On stdout: one whole state and a cut one, which does not count. On disk: one or the other, whole.
    assert_eq!(
        stream::states(&printed, stream::Cut::Allowed),
        [first.clone().expect("a state")]
    );
    let stored = pair.state();
    assert!(stored == first || stored.is_some_and(|state| state.get("long").is_some()));
    let file = pair.folder.write("state.json", printed);
    assert!(file.exists());
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
}

#[test]
fn target_at_random_moments() {
    for only_changed in [false, true] {
        for seed in 0..8_u64 {
            let mut pair = Pair::new(
                3_000,
                if seed % 2 == 0 {
                    Method::FullTable
                } else {
                    Method::Incremental
                },
            );
            remember(&mut pair, only_changed);
            // As far as the requests of the seed, then a few thousand instructions more or less.
            let requests = 2 + seed * 7 % 25;
            let pipeline = pipe::start(pair.tap(), pair.target(), Cut::Never);
            pair.pendo.wait_for_requests(requests);
            pipeline.target.signal(Signal::Kill);
            let ended = pipeline.finish();
            assert_eq!(
                ended.target.signal(),
                Some(9),
                "seed {seed}: the target was quicker"
            );
            recovers(&pair);
        }
    }
}

#[test]
fn target_again_and_again_with_a_memory() {
    let mut pair = Pair::new(3_000, Method::FullTable);
    remember(&mut pair, true);
    for revision in 2..8_u32 {
        let first = u64::from(revision) * 300;
        pair.fill(first..=first + 900, revision);
        let requests = pair.pendo.status().activity.requests;
        let pipeline = pipe::start(pair.tap(), pair.target(), Cut::Never);
        pair.pendo
            .wait_for_requests(requests + 3 + u64::from(revision));
        pipeline.target.signal(Signal::Kill);
        pipeline.finish();
    }
    // What the memory says was confirmed, was: nothing is left out now.
    recovers(&pair);
}

#[test]
fn both_at_once() {
    for requests in [3, 9, 27] {
        let pair = Pair::new(5_000, Method::Incremental);
        let pipeline = pipe::start(pair.tap(), pair.target(), Cut::Never);
        pair.pendo.wait_for_requests(requests);
        pipeline.tap.signal(Signal::Kill);
        pipeline.target.signal(Signal::Kill);
        pipeline.finish();
        recovers(&pair);
    }
}

#[test]
fn what_a_crash_leaves_beside_the_state_does_no_harm() {
    let pair = Pair::new(100, Method::Incremental);
    pair.run(Cut::Never).expect_success();
    let before: Vec<String> = names(&pair);
    // A copy that was being written when the power went, under every name that the target may use.
    for name in [
        "state.json.tmp",
        "state.json.part",
        "state.json.new",
        ".state.json.tmp",
        "state.json~",
    ] {
        pair.folder.write(name, "{\"bookmarks\":{\"cut");
    }
    pair.fill(50..=60, 2);
    pair.run(Cut::Never).expect_success();
    pair.assert_equal();
    assert!(pair.state().is_some());
    assert!(
        names(&pair).len() <= before.len() + 6,
        "files pile up: {:?}",
        names(&pair)
    );
}

fn names(pair: &Pair) -> Vec<String> {
    let entries = std::fs::read_dir(pair.folder.path()).expect("the folder can be listed");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

fn remember(pair: &mut Pair, only_changed: bool) {
    let memory: Value = json!(pair.folder.file("memory"));
    pair.target_config.insert("memory_path".to_owned(), memory);
    let stream = json!({"kind": "account", "only_changed": only_changed});
    pair.target_config
        .insert("streams".to_owned(), json!({"account": stream}));
}
