//! Windows and pages: nothing twice, nothing skipped.

use serde_json::{Value, json};

use crate::kit::{FileThere, Platform, START, messages, numbers};

fn bookmark(state: &Value) -> &Value {
    &state["bookmarks"]["files"]
}

#[test]
fn a_window_is_read_page_by_page_and_the_next_one_begins_at_its_end() {
    let platform = Platform::of(20);
    let first = messages(&platform.sync(json!({}), json!({}), None));
    first.assert_sound();
    assert_eq!(numbers(&first), (0..20).collect::<Vec<_>>());
    let searches = platform.searches();
    assert_eq!(
        searches.len(),
        4,
        "three pages, and the empty one that ends them"
    );
    assert!(searches[0].get("search_after").is_none());
    assert_eq!(
        searches[1]["search_after"],
        json!([START + 6000, "00000006-0000-4000-8000-000000000000"])
    );
    let state = first.last_state().unwrap().clone();
    assert_eq!(bookmark(&state)["replication_key"], "indexedAt");
    let end = bookmark(&state)["replication_key_value"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        end.ends_with('Z') && end.as_str() > "2026",
        "it is the end of the window, not the newest file"
    );
    let again = messages(&platform.sync(json!({}), json!({}), Some(&state)));
    assert_eq!(numbers(&again), [0_usize; 0]);
}

#[test]
fn what_was_sent_of_the_overlap_is_not_sent_again_but_what_came_late_is() {
    let platform = Platform::of(5);
    // An overlap that reaches back to all of them.
    let wide = json!({"overlap_seconds": 200_000_000});
    let first = messages(&platform.sync(wide.clone(), json!({}), None));
    assert_eq!(numbers(&first).len(), 5);
    platform.change(|inside| {
        inside.files.push(FileThere::new(77, START + 1500));
        // Indexed once more: another version of the same file.
        inside.files[3].at = START + 9000;
    });
    let second = messages(&platform.sync(wide.clone(), json!({}), first.last_state()));
    assert_eq!(numbers(&second), [77, 3]);
    let none = json!({"overlap_seconds": 200_000_000, "overlap_memory": 0});
    let third = messages(&platform.sync(none, json!({}), second.last_state()));
    let fourth = messages(&platform.sync(wide, json!({}), third.last_state()));
    assert_eq!((numbers(&third).len(), numbers(&fourth).len()), (0, 6));
}

#[test]
fn an_interrupted_run_goes_on_inside_its_window() {
    let platform = Platform::of(12);
    let state = json!({"bookmarks": {"files": {"organisation": "acme", "replication_key": "indexedAt",
        "window": {"gte": null, "lt": "2024-05-01T00:00:10.000Z",
            "after": [START + 3000, "00000003-0000-4000-8000-000000000000"]}}}});
    let rest = messages(&platform.sync(json!({"overlap_seconds": 1}), json!({}), Some(&state)));
    // The rest of its window, then the one behind it, of which a second was read.
    assert_eq!(numbers(&rest), (4..12).collect::<Vec<_>>());
    let searches = platform.searches();
    assert_eq!(searches[0]["search_after"][0], START + 3000);
    let behind = searches.last().unwrap().to_string();
    assert!(
        behind.contains("\"gte\":\"2024-05-01T00:00:09.000Z\""),
        "{behind}"
    );
}

#[test]
fn a_start_date_is_where_the_first_window_begins() {
    let platform = Platform::of(9);
    let start = json!({"start_date": "2024-05-01T00:00:06Z"});
    assert_eq!(
        numbers(&messages(&platform.sync(start, json!({}), None))),
        [6, 7, 8]
    );
}

#[test]
fn a_state_of_another_organisation_is_refused() {
    let platform = Platform::of(1);
    let state = json!({"bookmarks": {"files": {"organisation": "other"}}});
    let finished = platform.sync(json!({}), json!({}), Some(&state));
    finished.expect_log("of the organisation `other`");
    assert_ne!(finished.code(), Some(0));
}

#[test]
fn a_whole_table_has_a_version_and_ends_with_it() {
    let platform = Platform::of(9);
    let discovered = platform
        .run(json!({}), json!({}))
        .arg("--discover")
        .finish();
    let mut catalog: Value = serde_json::from_slice(&discovered.expect_code(0).stdout).unwrap();
    singer_test::tap::select(&mut catalog["streams"][0], None);
    assert_eq!(
        catalog["streams"][0]["metadata"][0]["metadata"]["row-count"],
        9
    );
    let catalog = platform.folder.write_json("catalog.json", &catalog);
    // An overlap that reaches back to all of them: what one version has sent is no reason to leave it out of the next,
    // which would remove it at the destination.
    let read = |state: Option<&Value>| {
        let mut run = (platform.run(json!({"overlap_seconds": 200_000_000}), json!({})))
            .arg("--catalog")
            .arg(&catalog);
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(platform.folder.write_json("state.json", state));
        }
        messages(&run.finish())
    };
    let first = read(None);
    let second = read(first.last_state());
    for whole in [&first, &second] {
        assert_eq!(
            (numbers(whole).len(), whole.activated("files").len()),
            (9, 1)
        );
    }
}

#[test]
fn a_file_that_is_indexed_again_while_a_whole_table_is_read_is_in_its_version() {
    let platform = Platform::of(30);
    platform.change(|inside| inside.headers = Some("date: Wed, 01 May 2024 00:10:00 GMT\r\n"));
    let inside = std::sync::Arc::clone(&platform.inside);
    let pages = std::sync::atomic::AtomicUsize::new(0);
    platform.fault(move |seen| {
        let is_page = seen.body.contains("search_after");
        if is_page && pages.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            // A file that was not read yet, and one that was: stamped now, behind all others.
            let now = START + 540_000;
            let files = &mut inside.lock().unwrap().files;
            (files[25].at, files[2].at) = (now, now + 1);
        }
        None
    });
    let changes = json!({"parallel": 1, "page_size": 3});
    let stream = json!({"retrieve": "file"});
    let discovered = (platform.run(changes.clone(), stream.clone()))
        .arg("--discover")
        .finish();
    let mut catalog: Value = serde_json::from_slice(&discovered.expect_code(0).stdout).unwrap();
    singer_test::tap::select(&mut catalog["streams"][0], None);
    let finished = (platform.run(changes, stream))
        .arg("--catalog")
        .arg(platform.folder.write_json("catalog.json", &catalog))
        .finish();
    let whole = messages(&finished);
    let mut all = numbers(&whole);
    assert_eq!(all.split_off(all.len() - 2), [25, 2]);
    assert_eq!(all.len(), 29, "2 came before it was indexed again as well");
}

#[test]
fn versions_are_kept_apart_where_that_is_wanted_and_none_is_left_out() {
    let platform = Platform::of(6);
    platform.change(|inside| {
        for number in 3..5 {
            inside.files[number].source["idsVersion"] = json!("v2.1.0");
            inside.files[number].source["data"] = json!({"n": "text"});
        }
        inside.files[5]
            .source
            .as_object_mut()
            .unwrap()
            .remove("idsVersion");
    });
    let apart = json!({"ids_versions": "apart"});
    let finished = platform
        .run(json!({}), apart)
        .args(["--select", "*"])
        .finish();
    let all = messages(&finished);
    let counts: Vec<usize> = (["files_v1", "files_v2", "files"].iter())
        .map(|stream| all.records(stream).len())
        .collect();
    assert_eq!(counts, [3, 2, 1]);
}

#[test]
fn files_are_read_once_more_by_their_ids() {
    let platform = Platform::of(5);
    let rows = "files/00000003-0000-4000-8000-000000000000,gone";
    let finished = platform
        .run(json!({}), json!({}))
        .args(["--row", rows])
        .finish();
    let one = messages(&finished);
    assert_eq!((numbers(&one), one.states().len()), (vec![3], 0));
    finished
        .expect_log("files are not found by the query")
        .expect_code(0);
}

#[test]
fn documents_of_other_forms_are_taken_or_refused_as_the_config_says() {
    let platform = Platform::of(4);
    let discovered = platform
        .run(json!({}), json!({}))
        .arg("--discover")
        .finish();
    let mut catalog: Value = serde_json::from_slice(&discovered.expect_code(0).stdout).unwrap();
    singer_test::tap::select(&mut catalog["streams"][0], Some("indexedAt"));
    let catalog = platform.folder.write_json("catalog.json", &catalog);
    platform.change(|inside| {
        inside.files[1].source["data"]["extra"] = json!([true]);
        inside.files[1].source["lab"] = json!("berlin");
        inside.files[2].source["data"]["n"] = json!(2.5);
    });
    let run = |conflict: &str| {
        let changes =
            json!({"type_conflict": conflict, "rejects_path": format!("{conflict}.jsonl")});
        platform
            .run(changes, json!({}))
            .arg("--catalog")
            .arg(&catalog)
            .finish()
    };
    let grown = messages(&run("error"));
    grown.assert_sound();
    let records = grown.records("files");
    assert_eq!(records[1]["lab"], "berlin");
    assert_eq!(records[2]["data"]["n"], 2.5);
    assert_eq!(records[3]["lab"], Value::Null);

    platform.change(|inside| inside.files[3].source["data"]["n"] = json!({"deep": 1}));
    let stopped = run("error");
    stopped
        .expect_code(1)
        .expect_log("the field `data.n` holds object where the schema has integer or number");
    let text = messages(&run("text"));
    assert_eq!(text.records("files")[3]["data"]["n"], "{\"deep\":1}");
    let rejected = run("reject");
    rejected.expect_code(3);
    let lines = platform.folder.read_json_lines("reject.jsonl");
    assert_eq!(
        (lines.len(), &lines[0]["code"]),
        (1, &json!("type_conflict"))
    );
}

#[test]
fn nested_data_are_flattened_where_that_is_wanted() {
    let platform = Platform::of(2);
    let stream = json!({"flatten": true, "source": ["file", "data"]});
    let flat = messages(&platform.sync(json!({}), stream, None));
    let record = flat.records("files")[1].clone();
    assert_eq!(
        (&record["data__n"], &record["file__version"]),
        (&json!(1), &json!("1"))
    );
    assert!(record.get("filePath").is_none() && record.get("data").is_none());
}

#[test]
fn the_clock_is_that_of_the_service() {
    let platform = Platform::of(9);
    // Ten seconds after the first file was indexed, by the service's clock.
    platform.change(|inside| inside.headers = Some("date: Wed, 01 May 2024 00:00:10 GMT\r\n"));
    let changes = json!({"lag_seconds": 6});
    let read = messages(&platform.sync(changes, json!({}), None));
    assert!(
        numbers(&read).len() <= 5,
        "what is younger than the lag waits"
    );
    let value = bookmark(read.last_state().unwrap())["replication_key_value"].clone();
    assert!(
        value.as_str().unwrap().starts_with("2024-05-01T00:00:0"),
        "{value}"
    );
}

#[test]
fn a_stop_leaves_a_state_from_which_nothing_is_lost() {
    let platform = Platform::of(200);
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let closed = std::sync::Arc::clone(&gate);
    // From the second page on the platform is busy until the run was stopped.
    platform.fault(move |seen| {
        let is_closed = !closed.load(std::sync::atomic::Ordering::SeqCst);
        (is_closed && seen.body.contains("search_after"))
            .then(|| singer_test::server::Reply::Answer(429, "retry-after: 1\r\n", String::new()))
    });
    let running = platform
        .run(json!({}), json!({}))
        .args(["--select", "files"])
        .start();
    running.wait_for_log("the platform throttles");
    running.wait_for_lines(8);
    running.signal(singer_test::bin::Signal::Terminate);
    let stopped = running.finish();
    stopped.expect_code(143);
    let first =
        singer_test::stream::Messages::parse(&stopped.stdout, singer_test::stream::Cut::Never);
    gate.store(true, std::sync::atomic::Ordering::SeqCst);
    let rest = messages(&platform.sync(json!({}), json!({}), first.last_state()));
    let mut all = numbers(&first);
    all.extend(numbers(&rest));
    assert_eq!(all, (0..200).collect::<Vec<_>>());
}

#[test]
fn with_a_catalog_no_document_is_fetched_to_learn_its_types() {
    let platform = Platform::of(20);
    let stream = json!({"retrieve": "json"});
    let discovered = (platform.run(json!({}), stream.clone()))
        .arg("--discover")
        .finish();
    let mut catalog: Value = serde_json::from_slice(&discovered.expect_code(0).stdout).unwrap();
    singer_test::tap::select(&mut catalog["streams"][0], Some("indexedAt"));
    let links = || {
        let seen = platform.server.seen().into_iter();
        seen.filter(|seen| seen.line.contains("/retrieve?")).count()
    };
    let of_discovery = links();
    assert!(of_discovery > 0);
    let finished = (platform.run(json!({}), stream))
        .arg("--catalog")
        .arg(platform.folder.write_json("catalog.json", &catalog))
        .finish();
    let read = messages(&finished);
    read.assert_sound();
    assert_eq!(numbers(&read).len(), 20);
    assert_eq!(read.records("files")[3]["data"]["n"], 3);
    assert_eq!(links() - of_discovery, 20);
}
