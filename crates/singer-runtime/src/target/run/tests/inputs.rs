//! Batch files, dry runs, state files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn batch(paths: &[PathBuf], compression: &str) -> String {
    let urls: Vec<String> = paths
        .iter()
        .map(|path| format!("file://{}", path.display()))
        .collect();
    json!({"type": "BATCH", "stream": "a", "manifest": urls,
        "encoding": {"format": "jsonl", "compression": compression}, "version": 7})
    .to_string()
        + "\n"
}

#[tokio::test]
async fn batch_files_are_read_as_if_their_records_had_come_as_lines() {
    let trial = Trial::new(World::default());
    let (plain, packed) = (
        trial.folder.path("p.jsonl"),
        trial.folder.path("q.jsonl.gz"),
    );
    std::fs::write(&plain, "{\"id\":1}\n\n{\"id\":2,\"n\":5}\n").unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"{\"id\":3}\n{\"id\":4}").unwrap();
    std::fs::write(&packed, gzip.finish().unwrap()).unwrap();
    let input = [
        schema("a"),
        batch(&[plain], "none"),
        batch(&[packed], "gzip"),
        activate("a", 7),
        state(1),
    ];
    let ended = trial.run(&input.concat()).await;
    assert_eq!((ended.code(), ended.states.clone()), (3, vec![printed(1)]));
    assert_eq!(ended.rejects[0]["record"], json!({"id": 2, "n": 5}));
    assert_eq!(ended.rejects[0]["line"], 2);
    let mut writes = trial.world.writes();
    writes.sort();
    assert_eq!(writes, ["a 1 3", "a 4"]);
}

#[tokio::test]
async fn a_batch_file_that_cannot_be_used_ends_the_run_and_is_named() {
    let trial = Trial::new(World::default());
    let torn = trial.folder.path("torn.jsonl");
    std::fs::write(&torn, "{\"id\":1}\n{\"id\":").unwrap();
    for (path, wanted) in [
        (
            trial.folder.path("none.jsonl"),
            "line 2: cannot read the batch file",
        ),
        (torn, "torn.jsonl`, line 2: the line is not a JSON record"),
    ] {
        let ended = trial.run(&(schema("a") + &batch(&[path], "none"))).await;
        assert_eq!(ended.code(), 1);
        assert!(ended.error().contains(wanted), "{}", ended.error());
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_prints_no_state() {
    let mut trial = Trial::new(World::default());
    trial.context = trial.context.with_dry_run(DryRun::Yes);
    let wrong = r#"{"type":"RECORD","stream":"a","record":{"id":"x"}}"#;
    let input =
        schema("a") + &record("a", 1) + &record("a", 2) + &record("a", 3) + &state(1) + wrong;
    let ended = trial.run(&input).await;
    assert_eq!(
        (ended.code(), ended.states.len(), ended.rejects.len()),
        (0, 0, 0)
    );
    assert_eq!(trial.world.log(), ["open a id,n"]);
}

#[tokio::test]
async fn a_dry_run_with_problems_reads_all_and_ends_with_2() {
    let mut trial = Trial::new(World {
        problems: Box::new(|stream| {
            vec![Problem {
                kind: "type conflict",
                message: stream.name.clone(),
                hint: None,
            }]
        }),
        ..World::default()
    });
    trial.context = trial.context.with_dry_run(DryRun::Yes);
    let input = schema("a") + &record("a", 1) + &record("a", 2) + &schema("b") + &record("b", 3);
    let ended = trial.run(&input).await;
    assert_eq!(ended.code(), 2);
    assert!(ended.error().contains("2 streams cannot be written"));
    assert_eq!(trial.world.log(), ["open a id,n", "open b id,n"]);
}

#[tokio::test]
async fn each_printed_state_is_in_the_state_file_and_a_run_without_leaves_it_alone() {
    let mut trial = Trial::new(World::default());
    let path = trial.folder.path("state.json");
    std::fs::write(&path, "{\"old\":1}\n").unwrap();
    trial.arguments.state_file = Some(path.clone());
    trial.run(&schema("a")).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"old\":1}\n");
    trial
        .run(&(schema("a") + &record("a", 1) + &state(1)))
        .await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"n\": 1}\n");
    let old = trial.folder.path("state.json.1");
    assert_eq!(std::fs::read_to_string(old).unwrap(), "{\"old\":1}\n");
    trial.arguments.state_file = Some(trial.folder.path("no/state.json"));
    assert_eq!(trial.run("").await.code(), 2);
}
