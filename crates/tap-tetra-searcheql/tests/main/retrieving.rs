//! The content of files: into records, onto disk, and what becomes of files without.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use singer_test::server::Reply;

use crate::kit::{Platform, messages, numbers};

#[test]
fn documents_become_a_field_or_the_record_with_every_digit() {
    let platform = Platform::of(3);
    platform.change(|inside| {
        inside.files[1].content =
            "{\n \"n\": 1,\n \"cubes\": [0.10000000000000000555, NaN],\n \"t\": \"a  b\"\n}\n"
                .to_owned();
    });
    for presigned in [true, false] {
        let changes = json!({"presigned": presigned});
        let field = platform.sync(changes.clone(), json!({"retrieve": "json"}), None);
        assert!(
            field
                .text()
                .contains(r#""data":{"n":1,"cubes":[0.10000000000000000555,null],"t":"a  b"}"#)
        );
        let record = messages(&platform.sync(
            changes,
            json!({"retrieve": "json", "json_as": "record"}),
            None,
        ));
        record.assert_sound();
        assert_eq!(record.records("files")[1]["t"], "a  b");
        assert_eq!(record.records("files")[0]["t"], Value::Null);
    }
}

#[test]
fn files_are_saved_once_under_names_that_stay_in_their_folder() {
    let platform = Platform::of(3);
    platform
        .change(|inside| inside.files[0].source["filePath"] = json!("x/../../../etc/passwd/.."));
    let stream = json!({"retrieve": "file", "download_dir": "got"});
    let first = messages(&platform.sync(json!({}), stream.clone(), None));
    let record = first.records("files")[1].clone();
    assert_eq!(
        record["_sdc_file_path"],
        "files/00000001-0000-4000-8000-000000000000/1.json"
    );
    assert_eq!(record["_sdc_file_size"], 23);
    assert_eq!(record["_sdc_file_sha256"].as_str().unwrap().len(), 64);
    let saved = platform
        .folder
        .read("got/files/00000001-0000-4000-8000-000000000000/1.json");
    assert_eq!(saved, r#"{"n":1,"cubes":[1.5,2]}"#);
    let downloads = || {
        platform
            .server
            .lines()
            .iter()
            .filter(|line| line.contains("/bucket/"))
            .count()
    };
    assert_eq!(downloads(), 3);
    platform.change(|inside| inside.files[2].source["file"]["version"] = json!("2"));
    assert_eq!(
        numbers(&messages(&platform.sync(json!({}), stream, None))).len(),
        3
    );
    assert_eq!(downloads(), 4, "only the file with a new version");
}

#[test]
fn a_file_that_is_gone_is_left_out_or_becomes_a_reject_that_can_be_replayed() {
    let platform = Platform::of(3);
    let gone = |seen: &singer_test::server::Seen| {
        seen.line
            .contains("/bucket/00000001")
            .then(|| Reply::Answer(404, "", String::new()))
    };
    platform.fault(gone);
    let stream = json!({"retrieve": "file"});
    let skipped = platform.sync(json!({}), stream.clone(), None);
    assert_eq!(numbers(&messages(&skipped)), [0, 2]);
    skipped.expect_log("were deleted between search and retrieve");
    let rejected = platform.sync(json!({"on_missing": "reject"}), stream.clone(), None);
    rejected.expect_code(3);
    platform
        .sync(json!({"on_missing": "stop"}), stream.clone(), None)
        .expect_code(1);
    platform.fault(|_| None);
    let replay = ["--row", "@tap-tetra-searcheql.rejects.jsonl"];
    let replayed = platform.run(json!({}), stream).args(replay).finish();
    assert_eq!(numbers(&messages(&replayed)), [1]);
}

#[test]
fn a_document_that_is_larger_than_the_search_tells_comes_in_its_turn() {
    let platform = Platform::of(3);
    let content = |size: usize| format!("{{\"n\":1,\"cubes\":[{}1]}}", "1,".repeat(size / 2));
    platform.change(|inside| {
        // The first one has nearly all the memory, so that there is none left for what the second one has more.
        inside.files[0].source["file"]["size"] = json!(134_000_000);
        inside.files[1].content = content(2_000_000);
    });
    // From its first window on the tap waits for the first one until it has asked for the second one.
    let waits = AtomicBool::new(false);
    platform.fault(move |seen| {
        if seen.body.contains("\"range\"") {
            waits.store(true, Ordering::SeqCst);
        }
        if seen.line.contains("/bucket/00000001") {
            waits.store(false, Ordering::SeqCst);
        }
        let is_early = waits.load(Ordering::SeqCst) && seen.line.contains("/bucket/00000000");
        // While it pauses the others have their turn, of which there may be one at a time by now.
        is_early.then(|| Reply::Answer(503, "retry-after: 1\r\n", String::new()))
    });
    let changes = json!({"attempts": 100_000, "max_file_bytes": 200_000_000, "sample_size": 1});
    let finished = platform.sync(changes, json!({"retrieve": "json"}), None);
    let read = messages(&finished);
    assert_eq!(numbers(&read), [0, 1, 2]);
    let cubes = &read.records("files")[1]["data"]["cubes"];
    assert_eq!(cubes.as_array().map(Vec::len), Some(1_000_001));
}

#[test]
fn an_answer_of_somebody_else_does_not_mean_that_a_file_was_deleted() {
    for reply in [
        Reply::Answer(
            404,
            "",
            "<Error><Code>NoSuchBucket</Code></Error>".to_owned(),
        ),
        Reply::Answer(
            404,
            "content-type: text/html\r\n",
            "<html>no such route</html>".to_owned(),
        ),
    ] {
        let platform = Platform::of(3);
        let is_storage = reply_text(&reply).contains("Bucket");
        platform.fault(move |seen| {
            let path = if is_storage { "/bucket/" } else { "/retrieve" };
            seen.line.contains(path).then(|| reply.clone())
        });
        let finished = platform.sync(json!({}), json!({"retrieve": "file"}), None);
        finished.expect_code(1).expect_log("404");
    }
}

fn reply_text(reply: &Reply) -> &str {
    match reply {
        Reply::Answer(_, _, text) => text,
        _ => "",
    }
}

#[test]
fn a_document_with_two_members_of_one_name_is_a_reject_if_that_is_wanted() {
    let platform = Platform::of(3);
    platform.change(|inside| inside.files[1].content = r#"{"n": 1, "n": 2}"#.to_owned());
    let stream = json!({"retrieve": "json", "json_as": "record"});
    let rejected = platform.sync(json!({"on_failure": "reject"}), stream.clone(), None);
    rejected.expect_code(3);
    assert_eq!(rejected.text().matches("\"RECORD\"").count(), 2);
    platform.sync(json!({}), stream, None).expect_code(1);
}

#[test]
fn check_asks_for_content_in_the_way_in_which_it_is_read() {
    let platform = Platform::of(1);
    platform.fault(|seen| {
        (seen.line.contains("getPresigned")).then(|| Reply::Answer(400, "", String::new()))
    });
    let check = |presigned: bool| {
        (platform.run(json!({"presigned": presigned}), json!({"retrieve": "json"})))
            .arg("--check")
            .finish()
    };
    check(false).expect_code(0);
    check(true).expect_code(1);
}

#[test]
fn links_that_are_over_are_asked_for_again() {
    let platform = Platform::of(4);
    let count = AtomicUsize::new(0);
    platform.fault(move |seen| {
        let is_over = seen.line.contains("/bucket/") && count.fetch_add(1, Ordering::SeqCst) < 2;
        is_over.then(|| {
            Reply::Answer(
                403,
                "",
                "<Error><Code>AccessDenied</Code><Key>secret</Key></Error>".to_owned(),
            )
        })
    });
    assert_eq!(
        numbers(&messages(&platform.sync(
            json!({}),
            json!({"retrieve": "file"}),
            None
        )))
        .len(),
        4
    );
    platform.fault(|seen| {
        let is_over = seen.line.contains("/bucket/");
        is_over.then(|| {
            Reply::Answer(
                403,
                "",
                "<Error><Code>AccessDenied</Code><Key>secret</Key></Error>".to_owned(),
            )
        })
    });
    let anew = json!({"retrieve": "file", "download_dir": "anew"});
    let refused = platform.sync(json!({}), anew, None);
    refused.expect_code(1).expect_log("AccessDenied");
    assert!(!refused.stderr.contains("secret"));
}

#[test]
fn content_that_breaks_off_is_fetched_again_and_leaves_nothing_half_written() {
    let platform = Platform::of(2);
    let count = AtomicUsize::new(0);
    platform.fault(move |seen| {
        let is_first = seen.line.contains("/bucket/") && count.fetch_add(1, Ordering::SeqCst) < 2;
        is_first.then_some(Reply::Raw(
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf".into(),
        ))
    });
    let got = messages(&platform.sync(json!({}), json!({"retrieve": "file"}), None));
    assert_eq!(got.records("files")[0]["_sdc_file_size"], 23);
}

#[test]
fn a_large_file_that_breaks_off_on_its_way_to_the_disk_begins_anew() {
    let platform = Platform::of(2);
    platform.change(|inside| inside.files[0].content = "content ".repeat(80_000));
    let count = AtomicUsize::new(0);
    let broken = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{}",
        "half".repeat(100_000)
    );
    platform.fault(move |seen| {
        let is_first =
            seen.line.contains("/bucket/00000000") && count.fetch_add(1, Ordering::SeqCst) < 2;
        is_first.then(|| Reply::Raw(broken.clone().into_bytes().into()))
    });
    let read = messages(&platform.sync(json!({}), json!({"retrieve": "file"}), None));
    let saved = read.records("files")[0]["_sdc_file_path"].as_str().unwrap();
    let path = platform.folder.path().join("downloads").join(saved);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "content ".repeat(80_000)
    );
    assert!(!path.with_file_name(".part").exists());
}

#[test]
fn nothing_is_left_of_a_file_that_turns_out_to_be_too_large() {
    let platform = Platform::of(1);
    platform.change(|inside| inside.files[0].content = "content ".repeat(80_000));
    let changes = json!({"on_failure": "reject", "max_file_bytes": 500_000});
    let finished = platform.sync(changes, json!({"retrieve": "file"}), None);
    finished.expect_code(3);
    let downloads = platform.folder.path().join("downloads");
    let mut folders = vec![downloads];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.is_dir(), "{} is left", path.display());
            folders.push(path);
        }
    }
}

#[test]
fn what_is_too_large_or_no_json_becomes_a_reject_if_that_is_wanted() {
    let platform = Platform::of(4);
    platform.change(|inside| {
        inside.files[0].content = "not JSON".to_owned();
        inside.files[1].source["file"]["size"] = json!(5_000_000_000_u64);
        inside.files[2].content = format!("[{}1]", "1,".repeat(4000));
    });
    let changes = json!({"on_failure": "reject", "max_file_bytes": 4000});
    let finished = platform.sync(changes, json!({"retrieve": "json"}), None);
    finished.expect_code(3);
    let lines = platform
        .folder
        .read_json_lines("tap-tetra-searcheql.rejects.jsonl");
    let codes: Vec<&str> = lines
        .iter()
        .map(|line| line["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["no_json", "too_large", "too_large"]);
    assert!(
        lines
            .iter()
            .all(|line| line["record"]["fileId"].is_string())
    );
    platform
        .sync(json!({}), json!({"retrieve": "json"}), None)
        .expect_code(1);
}
