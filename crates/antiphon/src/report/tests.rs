//! What stages say, heard through real pipes.

use singer_test::folder::Folder;

use super::*;

fn watcher(folder: &Folder) -> Watcher {
    Watcher::start(folder.path(), Echo::Silent, Mask::default()).unwrap()
}

/// The log without its times.
fn log(folder: &Folder) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join(LOG)).unwrap();
    let without_time = |line: &str| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
        rest.to_owned()
    };
    text.lines().map(without_time).collect()
}

#[tokio::test]
async fn what_every_stage_says_stands_in_the_log_with_its_label() {
    let folder = Folder::new();
    let watcher = watcher(&folder);
    watcher.note("run begins\nattempt 1");
    let said: &[u8] = b"INFO one\r\n\nINFO two\nno end";
    watcher.hear("tap", said).await;
    watcher
        .hear(
            "target",
            &b"CRITICAL target-x: no access\n  hint: ask\n"[..],
        )
        .await;
    watcher.finish().unwrap();
    assert_eq!(
        log(&folder),
        [
            "antiphon run begins",
            "antiphon attempt 1",
            "tap     INFO one",
            "tap     ",
            "tap     INFO two",
            "tap     no end",
            "target  CRITICAL target-x: no access",
            "target    hint: ask",
        ]
    );
    assert_eq!(watcher.last_words("tap").message, "no end");
    let words = watcher.last_words("target");
    assert_eq!(
        (words.message.as_str(), words.hints.len()),
        ("no access", 1)
    );
    assert_eq!(watcher.last_words("map"), LastWords::default());
    let tail = watcher.tail(2);
    assert!(tail[0].ends_with("target  CRITICAL target-x: no access"));
    assert!(tail[1].ends_with("target    hint: ask"));
}

#[tokio::test]
async fn metric_lines_are_counted_over_all_attempts_and_left_out_of_the_tail() {
    let folder = Folder::new();
    let watcher = watcher(&folder);
    let said = br#"INFO METRIC: {"type":"counter","metric":"record_count","value":4,"tags":{"endpoint":"a"}}
INFO METRIC: {"type":"counter","metric":"record_count","value":3,"tags":{"endpoint":"a"}}
"#;
    watcher.hear("tap", &said[..]).await;
    watcher.hear("tap", &said[..]).await;
    assert_eq!(watcher.counts()["a"].records, Some(14));
    assert!(watcher.tail(10).is_empty());
    watcher.finish().unwrap();
    assert_eq!(log(&folder).len(), 4);
}

#[tokio::test]
async fn reports_of_all_attempts_add_up() {
    let folder = Folder::new();
    let watcher = watcher(&folder);
    assert!(watcher.counts().is_empty());
    for (run, records) in [("1", 5), ("2", 7)] {
        let path = watcher.report_path("tap");
        let report = format!(
            r#"{{"role":"tap","run_id":"{run}","streams":{{"d.s.a":{{"stream":"a","records":{records}}}}}}}"#
        );
        std::fs::write(path, report).unwrap();
        watcher.hear("tap", &b""[..]).await;
    }
    assert_eq!(watcher.counts()["a"].records, Some(12));
    // A report that is being broken by somebody is none.
    std::fs::write(folder.path().join("target.report.json"), "{").unwrap();
    assert_eq!(watcher.counts()["a"].records, Some(12));
}

#[tokio::test]
async fn a_real_child_is_heard_to_its_end_and_a_new_attempt_has_new_last_words() {
    let folder = Folder::new();
    let watcher = watcher(&folder);
    for word in ["first", "second"] {
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", &format!("echo CRITICAL {word} >&2; echo out")])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let listening = watcher.listen("tap", child.stderr.take().unwrap());
        child.wait().await.unwrap();
        listening.await.unwrap();
        assert_eq!(watcher.last_words("tap").message, word);
    }
    watcher.finish().unwrap();
    assert_eq!(log(&folder).len(), 2);
}

#[tokio::test]
async fn a_flood_is_bounded_in_the_log_and_its_end_is_there() {
    let folder = Folder::new();
    let watcher = watcher(&folder);
    let mut flood = Vec::new();
    for number in 0..50_000 {
        let padding = "flood ".repeat(80);
        flood.extend_from_slice(format!("INFO {padding}number {number}\n").as_bytes());
    }
    watcher.hear("tap", &flood[..]).await;
    watcher.finish().unwrap();
    let size = std::fs::metadata(folder.path().join(LOG)).unwrap().len();
    assert!(size <= file::MOST_BYTES);
    let lines = log(&folder);
    assert!(lines[0].ends_with("number 0"));
    assert!(lines.last().unwrap().ends_with("number 49999"));
    let left_out = lines
        .iter()
        .filter(|line| line.contains("left out"))
        .count();
    assert_eq!(left_out, 1);
}

#[tokio::test]
async fn a_log_without_a_folder_costs_the_run_nothing() {
    let folder = Folder::new();
    let work = folder.path().join("gone");
    let watcher = Watcher::start(&work, Echo::Silent, Mask::default()).unwrap();
    watcher.hear("tap", &b"CRITICAL no\n"[..]).await;
    watcher.finish().unwrap();
    assert_eq!(watcher.last_words("tap").message, "no");
    assert_eq!(watcher.tail(5).len(), 1);
    watcher.note("after the end");
}
