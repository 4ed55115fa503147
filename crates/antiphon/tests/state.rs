//! `antiphon state` as people use it: versions and the way back, many processes at once, processes that are
//! killed, a disk that is full, S3 as moto plays it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use singer_test::bin::{Finished, Run, binary};
use singer_test::folder::Folder;
use singer_test::moto::{self, Moto};

/// A project with one pipeline whose stages are never started here.
fn project(store: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "antiphon.toml",
        format!(
            "[store]\n{store}\n[pipelines.p]\ntap = {{ exec = \"tap-x\" }}\ntarget = {{ exec = \"target-x\" }}\n"
        ),
    );
    folder
}

fn state(folder: &Folder, arguments: &[&str]) -> Run {
    Run::of("antiphon")
        .folder(folder.path())
        .args(["state", "p"])
        .args(arguments)
}

fn set(folder: &Folder, text: &str) -> Finished {
    state(folder, &["set", "-"]).stdin(text).finish()
}

fn shown(folder: &Folder, version: &str) -> String {
    let finished = state(folder, &["show", version]).finish();
    finished.expect_code(0);
    finished.text()
}

#[test]
fn an_old_value_becomes_the_newest_version_and_nothing_is_rewritten() {
    let folder = project("url = \"kept\"");
    let none = state(&folder, &["show"]).finish();
    none.expect_code(2);
    none.expect_log("no state yet");
    for number in 1..=3 {
        let text = format!("{{\"bookmarks\":{{\"a\":{{\"n\":{number}}}}}}}");
        set(&folder, &text).expect_code(0);
    }
    let reverted = state(&folder, &["revert", "-2"]).finish();
    reverted.expect_code(0);
    assert!(reverted.text().contains("version 4"), "{}", reverted.text());
    assert_eq!(
        shown(&folder, "newest"),
        "{\"bookmarks\":{\"a\":{\"n\":1}}}\n"
    );
    assert_eq!(shown(&folder, "3"), "{\"bookmarks\":{\"a\":{\"n\":3}}}\n");
    let diff = state(&folder, &["diff", "-1", "newest"]).finish();
    assert_eq!(diff.text(), "  bookmarks.a.n: 3 -> 1\n");
    let listed = state(&folder, &["list", "--format", "json"]).finish();
    let listed: Value = serde_json::from_str(&listed.text()).unwrap();
    assert_eq!(listed["versions"][0]["cause"]["reverted"], 1);
    assert_eq!(listed["versions"].as_array().unwrap().len(), 4);
    let unknown = state(&folder, &["revert", "9"]).finish();
    unknown.expect_code(2);
    unknown.expect_log("versions 1 to 4");
}

#[test]
fn what_is_no_state_changes_nothing() {
    let folder = project("url = \"kept\"");
    set(&folder, "{\"a\":1}").expect_code(0);
    for text in ["", "[]", "{\"a\":", "{\"a\":1}\n{\"b\":\n"] {
        let finished = set(&folder, text);
        finished.expect_code(2);
        finished.expect_log("stdin: ");
    }
    let meltano = folder.write(
        "m.json",
        "{\"completed\":{\"singer_state\":{\"a\":2}},\"partial\":{}}",
    );
    let meltano = meltano.to_str().unwrap();
    state(&folder, &["set", meltano]).finish().expect_code(2);
    assert_eq!(shown(&folder, "newest"), "{\"a\":1}\n");
    state(&folder, &["import", meltano]).finish().expect_code(0);
    assert_eq!(shown(&folder, "newest"), "{\"a\":2}\n");
}

#[test]
fn a_damaged_version_is_named_and_left_behind_by_revert() {
    let folder = project("url = \"kept\"");
    for text in ["{\"a\":1}", "{\"a\":2}"] {
        set(&folder, text).expect_code(0);
    }
    folder.write("kept/pipelines/p/state/00000002.json", "{\"versi");
    let finished = state(&folder, &["show"]).finish();
    finished.expect_code(1);
    finished.expect_log("00000002.json");
    finished.expect_log("revert 1");
    let finished = state(&folder, &["revert", "1"]).finish();
    finished.expect_code(0);
    assert_eq!(shown(&folder, "newest"), "{\"a\":1}\n");
}

/// All versions that are there: contiguous, with fences that never fall.
fn chain(folder: &Folder) -> Vec<Value> {
    let kept = folder.path().join("kept/pipelines/p/state");
    let mut files: Vec<PathBuf> = fs::read_dir(kept)
        .expect("the states have a folder")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('0') && !name.contains('#')
        })
        .collect();
    files.sort();
    let chain: Vec<Value> = files
        .iter()
        .map(|path| {
            let bytes = fs::read(path).expect("a version can be read");
            serde_json::from_slice(&bytes).expect("a version is whole")
        })
        .collect();
    let mut highest = 0;
    for (index, version) in chain.iter().enumerate() {
        assert_eq!(version["version"], index + 1);
        let fence = version["fence"].as_u64().expect("a version has a fence");
        assert!(fence >= highest);
        highest = fence;
    }
    chain
}

#[test]
fn processes_at_once_that_are_killed_anywhere_leave_one_chain_and_a_free_lease() {
    let folder = project("url = \"kept\"");
    let mut told = Vec::new();
    for round in 0_u64..12 {
        let running: Vec<_> = (0..4)
            .map(|one| {
                let text = format!("{{\"round\":{round},\"one\":{one}}}");
                (
                    text.clone(),
                    state(&folder, &["set", "-"]).stdin(text).start(),
                )
            })
            .collect();
        for (index, (text, running)) in running.into_iter().enumerate() {
            // Deaths at different moments of their few milliseconds; the first of each round lives.
            let finished = if index > 0 {
                std::thread::sleep(Duration::from_millis((round * 7 + index as u64 * 3) % 12));
                running.kill()
            } else {
                running.finish()
            };
            match finished.code() {
                Some(0) => told.push((finished.text(), text)),
                Some(75) | None => {}
                Some(code) => panic!("{code}: {}", finished.stderr),
            }
        }
    }
    let finished = set(&folder, "{\"last\":true}");
    finished.expect_code(0);
    let chain = chain(&folder);
    for (words, text) in told {
        let number: usize = words.split_whitespace().nth(1).unwrap().parse().unwrap();
        let wanted: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(chain[number - 1]["state"], wanted);
    }
    assert_eq!(chain.last().unwrap()["state"]["last"], true);
}

#[test]
fn a_full_disk_is_told_and_the_newest_state_stays() {
    let folder = project("url = \"kept\"");
    set(&folder, "{\"a\":1}").expect_code(0);
    // Files may not grow beyond a kilobyte: writes of more fail as on a full disk.
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let file = folder.write("large.json", large);
    let finished = Run::program("/bin/sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$0\" state p set \"$1\"",
        ])
        .arg(binary("antiphon"))
        .arg(&file)
        .folder(folder.path())
        .finish();
    finished.expect_code(1);
    finished.expect_log("the disk of the store");
    finished.expect_log("is full");
    assert_eq!(shown(&folder, "newest"), "{\"a\":1}\n");
    set(&folder, "{\"a\":2}").expect_code(0);
    assert_eq!(chain(&folder).len(), 2);
}

#[test]
fn a_store_that_cannot_be_a_folder_is_told_with_its_path() {
    let folder = project("url = \"file/kept\"");
    folder.write("file", "");
    let finished = set(&folder, "{}");
    finished.expect_code(2);
    finished.expect_log("file/kept");
    let folder = project("url = \"/proc/kept\"");
    let finished = set(&folder, "{}");
    finished.expect_code(2);
    finished.expect_log("/proc/kept");
}

fn on_s3(moto: &Moto, bucket: &str) -> Folder {
    project(&format!(
        "url = \"s3://{bucket}/some/prefix\"\nendpoint = \"{}\"\nregion = \"{}\"",
        moto.endpoint(),
        moto::REGION
    ))
}

fn with_keys(run: Run, moto: &Moto) -> Run {
    moto.variables()
        .into_iter()
        .fold(run, |run, (name, value)| run.env(name, value))
}

#[test]
fn states_and_leases_live_on_s3() {
    let Some(moto) = moto::shared() else {
        return;
    };
    moto.create_bucket("states");
    let folder = on_s3(moto, "states");
    for text in ["{\"a\":1}", "{\"a\":2}"] {
        let run = state(&folder, &["set", "-"]).stdin(text);
        let finished = with_keys(run, moto).finish();
        finished.expect_code(0);
    }
    // Four at once: each is stored, or is told to come again.
    let running: Vec<_> = (0..4)
        .map(|one| {
            let run = state(&folder, &["set", "-"]).stdin(format!("{{\"one\":{one}}}"));
            with_keys(run, moto).start()
        })
        .collect();
    let mut stored = 2;
    for running in running {
        let finished = running.finish();
        match finished.code() {
            Some(0) => stored += 1,
            Some(75) => {}
            code => panic!("{code:?}: {}", finished.stderr),
        }
    }
    let finished = with_keys(state(&folder, &["revert", "1"]), moto).finish();
    finished.expect_code(0);
    let finished = with_keys(state(&folder, &["show"]), moto).finish();
    assert_eq!(finished.text(), "{\"a\":1}\n");
    let key = format!("some/prefix/pipelines/p/state/{:08}.json", stored + 1);
    assert!(
        moto.object("states", &key)
            .unwrap()
            .contains("\"reverted\": 1")
    );
}

#[test]
fn a_bucket_that_is_not_there_is_told_and_is_no_empty_state() {
    let Some(moto) = moto::shared() else {
        return;
    };
    let folder = on_s3(moto, "no-such-bucket");
    let run = state(&folder, &["set", "-"]).stdin("{}");
    let finished = with_keys(run, moto).finish();
    finished.expect_code(2);
    finished.expect_log("no bucket `no-such-bucket`");
    let show = with_keys(state(&folder, &["show"]), moto).finish();
    show.expect_code(2);
    show.expect_log("no bucket");
}
