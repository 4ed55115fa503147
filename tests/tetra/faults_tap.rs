//! What `tap-tetra-searcheql` does when the platform misbehaves: nothing is left out without a word, and once the
//! platform is well again the rest arrives. What one answer comes to is tested in the crate itself.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sandbox::tetra::Total;
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::pipe::{self, Cut};
use singer_test::tetra::{STREAM, Tetra};

use crate::pair::{FILES, Pair, Retrieve, SAMPLES, SEARCH, records};

/// A run in which a fault is put up with.
#[track_caller]
fn copes(pair: &Pair, fault: &str) {
    pair.tetra.set_faults(&[fault]);
    pair.sync_equal();
    assert!(pair.tetra.struck() > 0, "{fault} never struck");
    pair.tetra.set_faults(&[]);
}

/// A run whose tap ends with a code and these words; once the platform is well another run has the rest.
#[track_caller]
fn fails_and_recovers(pair: &Pair, fault: &str, code: i32, words: &[&str]) {
    pair.tetra.set_faults(&[fault]);
    let ended = pair.run();
    assert!(pair.tetra.struck() > 0, "{fault} never struck");
    ended.tap.expect_code(code);
    for text in words {
        ended.tap.expect_log(text);
    }
    pair.assert_true_state();
    pair.tetra.set_faults(&[]);
    pair.sync_equal();
}

#[test]
fn partial_answers_broken_gateways_and_connections_are_waited_out() {
    for fault in [
        "search-partial:after=2,times=1",
        "search-partial:as=shards,after=3,times=1",
        "error:status=502,path=/searchEql,after=3,times=2",
        "throttle:path=/searchEql,after=3,times=3,retry-after=0",
        "reset:path=/searchEql,after=3,times=1",
        "cut:path=/searchEql,after=2,times=1",
    ] {
        copes(&Pair::new(Retrieve::None), fault);
    }
    for retrieve in [Retrieve::Json, Retrieve::File] {
        for fault in [
            "error:status=502,path=/retrieve,after=15,times=3",
            "throttle:path=/retrieve,after=15,times=3,retry-after=0",
            "cut:path=-prod-datalake/,after=15,times=2",
            "reset:path=-prod-datalake/,after=15,times=2",
            "error:status=503,path=-prod-datalake/,after=15,times=2",
            "link-expired:path=-prod-datalake/,after=15,times=5",
        ] {
            copes(&Pair::new(retrieve), fault);
        }
    }
}

#[test]
fn what_stays_broken_ends_the_run_without_a_gap() {
    let keys = json!({"attempts": 2, "patience_seconds": 1});
    for (fault, code, word) in [
        (
            "search-partial:after=3",
            75,
            "a part of the answer is missing",
        ),
        (
            "search-partial:as=shards,after=3",
            75,
            "a part of the answer is missing",
        ),
        ("search-stuck:after=2", 1, "does not advance"),
        ("throttle:path=/searchEql,after=3,retry-after=2", 75, STREAM),
        ("error:status=500,path=/searchEql,after=3", 75, STREAM),
    ] {
        let pair = Pair::new(Retrieve::None).tap_keys(&keys);
        fails_and_recovers(&pair, fault, code, &[word]);
    }
    for (fault, code) in [
        ("error:status=502,path=/retrieve,after=25", 75),
        ("link-expired:path=-prod-datalake/,after=25", 1),
        ("cut:path=-prod-datalake/,after=25", 75),
    ] {
        let pair = Pair::new(Retrieve::File).tap_keys(&keys);
        fails_and_recovers(
            &pair,
            fault,
            code,
            &["cannot retrieve a file of the stream `results`"],
        );
    }
}

#[test]
fn a_platform_that_lets_few_in_at_once_is_not_pressed() {
    for status in [429, 502] {
        let tetra = Tetra::start_with(FILES, |options| {
            options.tetra.concurrency = Some(3);
            options.tetra.throttle_status = status;
            options.latency_ms = 5;
        });
        let pair = Pair::over(tetra, Retrieve::File).tap_keys(&json!({"presigned": false}));
        pair.sync_equal();
        assert!(pair.tetra.inside().counts().throttled > 0, "{status}");
    }
}

#[test]
fn both_forms_of_the_total_and_answers_that_are_too_large() {
    let tetra = Tetra::start_with(FILES, |options| {
        options.tetra.total = Total::Object;
        options.tetra.answer_bytes = Some(12_000);
    });
    let pair = Pair::over(tetra, Retrieve::None);
    pair.sync_equal();
    let discovered = pair.bare_tap().arg("--discover").finish();
    let catalog: Value = serde_json::from_str(&discovered.text()).expect("a catalog is JSON");
    let count = &catalog["streams"][0]["metadata"][0]["metadata"]["row-count"];
    assert_eq!(*count, FILES);
}

#[test]
fn a_clock_that_differs_does_no_harm() {
    for hours in [-7, 7] {
        let tetra = Tetra::start_with(FILES, |options| {
            options.tetra.clock_skew_ms = hours * 3_600_000;
        });
        let pair = Pair::over(tetra, Retrieve::None);
        pair.sync_equal();
        pair.tetra.arrive(5);
        pair.tetra.inside().advance(60);
        assert_eq!(records(&pair.sync_equal()), 5, "{hours} hours");
        // Set back, it lets nothing be skipped either.
        pair.tetra.arrive(3);
        pair.tetra.inside().advance(60);
        assert_eq!(records(&pair.sync_equal()), 3, "{hours} hours");
    }
}

#[test]
fn an_index_that_lags_by_hours_is_waited_for_by_the_overlap() {
    let pair = Pair::new(Retrieve::None).tap_keys(&json!({"overlap_seconds": 4 * 3600}));
    let late = json!({"document": {"category": "IDS", "filePath": "/late"}, "text": "", "found_in_ms": 3 * 3_600_000});
    pair.tetra.put(&json!([late, late]));
    pair.tetra.inside().advance(60);
    assert_eq!(records(&pair.sync()), FILES);
    for _ in 0..2 {
        pair.tetra.arrive(4);
        pair.tetra.inside().advance(3600);
        assert_eq!(records(&pair.sync()), 4);
    }
    pair.tetra.arrive(1);
    pair.tetra.inside().advance(3600);
    assert_eq!(
        records(&pair.sync_equal()),
        3,
        "the late ones, and nothing again"
    );
}

#[test]
fn a_token_that_ends_in_the_middle_is_read_again() {
    let revoke = format!("revoke:{SEARCH},after={},times=1", SAMPLES + 1);
    let told = "the token has changed where it comes from";
    // A command that has another token each time.
    let pair = Pair::new(Retrieve::None)
        .tap_keys(&json!({"auth_token": {"command": "cat token; cp next token"}}));
    pair.folder.write("token", "sandbox-token\n");
    pair.folder.write("next", "fresh-token\n");
    pair.tetra.inside().add_token("fresh-token");
    pair.tetra.set_faults(&[&revoke]);
    pair.sync_equal().tap.expect_log(told);
    // A file that somebody rotates while the run goes on.
    let pair = Pair::new(Retrieve::Json).tap_keys(&json!({"auth_token": {"file": "token"}}));
    pair.folder.write("token", "sandbox-token\n");
    pair.tetra.inside().add_token("fresh-token");
    // Pages are put off until the file has the other token.
    let busy = format!("throttle:{SEARCH},after={SAMPLES},retry-after=0");
    pair.tetra.set_faults(&[&busy]);
    let pipeline = pair.start();
    pair.tetra.wait_for_strikes(1);
    pair.folder.write("token", "fresh-token\n");
    pair.tetra
        .set_faults(&[&format!("revoke:{SEARCH},times=1")]);
    let ended = pipeline.finish();
    ended.expect_success();
    ended.tap.expect_log(told);
    pair.assert_equal();
}

#[test]
fn a_token_that_is_over_ends_the_run_and_the_next_one_goes_on() {
    let pair = Pair::new(Retrieve::File).tap_keys(&json!({"auth_token": {"env": "TETRA_TOKEN"}}));
    let run = |token: &str| {
        let tap = pair.tap().env("TETRA_TOKEN", token);
        pipe::run(tap, pair.target(), Cut::Never)
    };
    let revoke = format!("revoke:{SEARCH},after={},times=1", SAMPLES + 1);
    pair.tetra.set_faults(&[&revoke]);
    let ended = run("sandbox-token");
    ended.tap.expect_code(1);
    ended.tap.expect_log("Invalid token");
    assert!(!ended.tap.stderr.contains("sandbox-token"));
    pair.assert_true_state();
    pair.tetra.inside().add_token("fresh-token");
    let ended = run("fresh-token");
    ended.expect_success();
    pair.assert_equal();
}

#[test]
fn credentials_of_another_organisation_and_a_refused_query_are_told() {
    let pair = Pair::new(Retrieve::None).tap_keys(&json!({"org_slug": "globex"}));
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended.tap.expect_log("`globex` (`org_slug`)");
    assert!(pair.state().is_none());
    let odd = json!({"range": {"indexedAt": {"gte": "yesterday"}}});
    let pair = pair.tap_keys(&json!({"org_slug": "acme",
        "streams": {STREAM: {"retrieve": "none"}, "odd": {"query": odd}}}));
    let tap = pair
        .bare_tap()
        .args(["--select", STREAM, "--select", "odd"]);
    let ended = pipe::run(tap, pair.target(), Cut::Never);
    ended.tap.expect_code(2);
    ended
        .tap
        .expect_log("the stream `odd`")
        .expect_log("yesterday");
    assert!(
        pair.state().is_none(),
        "a config that is wrong reads nothing"
    );
    pair.sync_equal();
}

/// A catalog made of the files as they are now.
fn keep_catalog(pair: &Pair) {
    let ended = pair.bare_tap().arg("--discover").finish();
    ended.expect_code(0);
    let mut catalog: Value = serde_json::from_str(&ended.text()).expect("a catalog is JSON");
    singer_test::tap::select(&mut catalog["streams"][0], Some("indexedAt"));
    pair.folder.write_json("catalog.json", &catalog);
}

/// A result whose document has another form than the others.
fn odd_result(pair: &Pair, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut result = singer_test::tetra::result(900);
    change(&mut result["document"]);
    if let Some(document) = result["document"].as_object_mut() {
        document.remove("indexedAt");
    }
    let added = pair.tetra.put(&json!([result]));
    pair.tetra.inside().advance(60);
    added
}

#[test]
fn fields_that_turn_up_later_become_columns() {
    let pair = Pair::new(Retrieve::None);
    keep_catalog(&pair);
    pair.sync_equal();
    odd_result(&pair, |document| {
        document["lab"] = json!("berlin");
        document["data"]["column"] = json!({"serial": 7, "tests": [{"ok": true}]});
    });
    let ended = pair.sync_equal();
    ended.tap.expect_log("lab");
    assert_eq!(pair.bigquery.columns(STREAM)["lab"], "STRING");
}

#[test]
fn a_type_that_changes_is_for_the_setting_to_decide() {
    let odd = |pair: &Pair| {
        odd_result(pair, |document| {
            document["data"]["is_valid"] = json!("maybe");
        })
    };
    let new = |conflict: &str| {
        let pair = Pair::new(Retrieve::None)
            .tap_keys(&json!({"type_conflict": conflict}))
            .table_keys(&json!({"nested": "json"}));
        keep_catalog(&pair);
        pair.sync_equal();
        odd(&pair);
        pair.tetra.arrive(3);
        pair.tetra.inside().advance(60);
        pair
    };
    let pair = new("error");
    let ended = pair.run();
    ended.tap.expect_code(1);
    ended.tap.expect_log("`data.is_valid`");
    pair.assert_true_state();
    let pair = pair.tap_keys(&json!({"type_conflict": "text"}));
    pair.sync_equal();
    let pair = new("reject");
    let ended = pair.run();
    ended.tap.expect_code(3);
    assert_eq!((records(&ended), pair.rejects().len()), (3, 1));
    let pair = pair.tap_keys(&json!({"type_conflict": "text", "row": "@rejects.jsonl"}));
    assert_eq!(records(&pair.sync_equal()), 1);
}

#[test]
fn files_that_are_gone_are_for_the_setting_to_decide() {
    for is_presigned in [true, false] {
        let pair = Pair::new(Retrieve::File).tap_keys(&json!({"presigned": is_presigned}));
        let ids: Vec<String> = pair.tetra.truth().into_keys().skip(5).take(2).collect();
        pair.tetra.inside().vanish(&ids);
        let ended = pair.sync();
        ended
            .tap
            .expect_log("were deleted between search and retrieve");
        assert_eq!(pair.rows().len(), FILES - 2);
        for (setting, code) in [("reject", 3), ("stop", 1)] {
            let tap = pair.tap_keys_once(&json!({"on_missing": setting})).finish();
            tap.expect_code(code);
        }
        assert_eq!(pair.rejects().len(), 2);
    }
}

/// All files below a folder, as paths from it.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let below = files_below(&path).into_iter();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.extend(below.map(|below| format!("{name}/{below}")));
        } else {
            found.push(
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    found
}

#[test]
fn no_name_leads_out_of_its_folder() {
    let long = format!("/x/{}.raw", "é".repeat(400));
    let names = [
        "../../../../evil",
        "/etc/passwd",
        "..",
        "/",
        "",
        "a/../..",
        "C:\\Windows\\..\\evil.txt",
        "nul",
        "com1.txt",
        ".known.json",
        ".part",
        "trailing. . .",
        "a\u{0}b\u{7}\n",
        "<>:\"|?*",
        "-rf",
        "~",
        "%2e%2e%2fevil",
        &long,
    ];
    let files: Vec<Value> = (names.iter().enumerate())
        .map(|(number, name)| {
            json!({"document": {"category": "RAW", "filePath": name, "file": {"path": name}}, "text": format!("content {number}")})
        })
        .collect();
    let tetra = Tetra::start(0);
    let ids = tetra.put(&files.into());
    tetra.inside().advance(60);
    let pair = Pair::over(tetra, Retrieve::File).tap_keys(&json!({"on_failure": "reject"}));
    // Whoever follows links takes `..` out of them, so that the storage refuses two; the API has no names.
    let ended = pair.run();
    ended.tap.expect_code(3);
    ended.target.expect_code(0);
    assert_eq!(pair.rejects().len(), 2);
    let pair = pair.tap_keys(&json!({"presigned": false, "row": "@rejects.jsonl"}));
    assert_eq!(records(&pair.sync_equal()), 2);
    let below = files_below(pair.folder.path());
    let (saved, own): (Vec<_>, Vec<_>) =
        (below.iter()).partition(|path| path.starts_with("downloads/"));
    assert_eq!(
        saved.len(),
        2 * names.len(),
        "a file and its note each: {saved:?}"
    );
    for id in &ids {
        let prefix = format!("downloads/results/{id}/");
        let here = saved.iter().filter(|path| path.starts_with(&prefix));
        assert_eq!(here.count(), 2, "{saved:?}");
    }
    assert!(own.iter().all(|path| !path.contains("evil")), "{own:?}");
    // They are known by their notes, whatever their names.
    let pair = pair.tap_keys(&json!({"presigned": true, "row": null}));
    fs::remove_file(pair.folder.file("state.json")).expect("there is a state");
    let before = pair.tetra.downloads();
    pair.sync_equal();
    assert_eq!(pair.tetra.downloads(), before);
}

/// The most that the tap had in memory while it ran, and its end.
fn watched(run: Run) -> (u64, Finished) {
    let mut running = run.start();
    let mut most = 0;
    while !running.has_ended() {
        most = most.max(running.memory_bytes());
        thread::sleep(Duration::from_millis(5));
    }
    (most, running.finish())
}

#[test]
fn a_large_file_takes_no_memory() {
    const SIZE: u64 = 200_000_000;
    let tetra = Tetra::start(3);
    let id = tetra.put(&json!([{"document": {"filePath": "/big.raw"}, "bytes": SIZE}]));
    tetra.inside().advance(60);
    let pair = Pair::over(tetra, Retrieve::File);
    let (memory, ended) = watched(pair.tap());
    ended.expect_code(0);
    assert!(memory < 64 << 20, "{memory} bytes");
    let path = pair
        .folder
        .file(&format!("downloads/results/{}/big.raw", id[0]));
    assert_eq!(fs::metadata(&path).expect("the file").len(), SIZE);
    let summed = Run::program("sha256sum").arg(&path).finish();
    let sum = summed
        .text()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(
        ended
            .text()
            .contains(&format!("\"_sdc_file_sha256\":\"{sum}\""))
    );
    let mut saved = fs::File::open(&path).expect("the file");
    let mut place = 0;
    while place < SIZE {
        let piece = pair.tetra.inside().content_at(&id[0], place, 1 << 22);
        let piece = piece.expect("content");
        let mut here = vec![0; piece.len()];
        saved.read_exact(&mut here).expect("the file is as long");
        assert!(here == *piece, "bytes from {place}");
        place += here.len() as u64;
    }
}
