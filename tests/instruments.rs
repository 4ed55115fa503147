//! The example that brings results of instruments from a Tetra Data Platform into BigQuery: the commands of its
//! README, its crontab, its catalog and its demo.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::Options;
use sandbox::tetra::Sample;
use serde_json::{Value, json};
use singer_test::bigquery::BigQuery;
use singer_test::bin::Run;
use singer_test::folder::Folder;
use singer_test::runtime::wait;

use suite::demo;
use suite::world::{commands, shell, tetra_example};

/// The tables that the example writes to.
const TABLES: [&str; 3] = ["chromatograms_v1", "chromatograms_v2", "plates"];

/// Four hours, as the schedule has them.
const PERIOD: u64 = 4 * 3600;

/// The example in a folder of its own, with what leads to the stand-ins put over its configs.
struct Example {
    platform: sandbox::Sandbox,
    warehouse: BigQuery,
    top: Folder,
    folder: PathBuf,
}

impl Example {
    fn new() -> Example {
        let mut options = Options::default();
        options.tetra.sample = Sample::Instruments;
        let platform = wait(sandbox::start(options)).expect("the sandbox starts");
        let warehouse = BigQuery::start();
        let top = Folder::new();
        let folder = top.file("examples/tetra-to-bigquery");
        fs::create_dir_all(&folder).expect("a folder can be made");
        for entry in fs::read_dir(tetra_example("")).expect("the example can be listed") {
            let path = entry.expect("the example can be listed").path();
            let name = path.file_name().expect("a file has a name");
            fs::copy(&path, folder.join(name)).expect("a file can be copied");
        }
        fs::write(folder.join("tetra.token"), "sandbox-token\n").expect("a file can be written");
        let base = json!({"base_url": platform.tetra_url()});
        overlay(&folder.join("tap-tetra.json"), &base);
        let mut target = warehouse.target_config();
        target["dataset"] = "instruments".into();
        overlay(&folder.join("target-bigquery.json"), &target);
        Example {
            platform,
            warehouse,
            top,
            folder,
        }
    }

    /// What a job of the crontab prints, run as cron would.
    fn cron(&self, job: &str) -> String {
        let secrets = self.top.write("secrets", "NOTHING=x\n");
        let finished = shell(job, &self.folder)
            .patience(Duration::from_secs(180))
            .env("ANTIPHON", &self.folder)
            .env("SECRETS", &secrets)
            .env("LOGS", self.top.path())
            .finish();
        finished.expect_code(0);
        finished.text() + &finished.stderr
    }

    /// All rows by their ids, each of which stands once.
    fn rows(&self) -> BTreeMap<String, Value> {
        let mut rows = BTreeMap::new();
        for table in TABLES {
            let found = self.warehouse.by(&format!("instruments.{table}"), "fileId");
            rows.extend(found);
        }
        rows
    }

    /// Each result of the platform is a row, with the document in its newest version.
    #[track_caller]
    fn assert_equal(&self) {
        let tetra = self.platform.tetra();
        let mut rows = self.rows();
        let files = tetra.files().into_iter();
        for file in files.filter(|file| file.category == "IDS") {
            let row = rows
                .remove(&file.file_id)
                .unwrap_or_else(|| panic!("{} is missing", file.file_id));
            let content = tetra.content(&file.file_id).expect("the content is there");
            let document: Value = serde_json::from_slice(&content).expect("a document is JSON");
            assert_same(&row["data"], &document, "data");
            let index = tetra.document(&file.file_id).expect("the file is there");
            for name in ["filePath", "rawFileId", "idsVersion", "labels"] {
                assert_same(&row[name], &index[name], name);
            }
            assert_eq!(row["file"]["version"], index["file"]["version"]);
        }
        assert!(rows.is_empty(), "{} rows are of no file", rows.len());
    }
}

/// What a column holds is what the document has, by the names that a column can have; what the document lacks is
/// null.
#[track_caller]
fn assert_same(held: &Value, wanted: &Value, place: &str) {
    match (held, wanted) {
        (Value::Object(held), Value::Object(wanted)) => {
            for (name, value) in wanted {
                let column = name.replace('@', "_");
                assert_same(&held[&column], value, &format!("{place}.{name}"));
            }
            let are_known = |column: &String| {
                let is_wanted = wanted.keys().any(|name| name.replace('@', "_") == *column);
                is_wanted || held[column].is_null() || held[column] == json!([])
            };
            assert!(held.keys().all(are_known), "{place} holds more");
        }
        (Value::Array(held), Value::Array(wanted)) => {
            assert_eq!(held.len(), wanted.len(), "{place}");
            for (held, wanted) in held.iter().zip(wanted) {
                assert_same(held, wanted, place);
            }
        }
        (Value::Number(held), Value::Number(wanted)) => {
            assert_eq!(held.as_f64(), wanted.as_f64(), "{place}");
        }
        _ => assert_eq!(held, wanted, "{place}"),
    }
}

fn overlay(path: &Path, over: &Value) {
    let mut config = json_of(path);
    for (key, value) in over.as_object().expect("a config is an object") {
        config[key] = value.clone();
    }
    fs::write(path, config.to_string()).expect("a file can be written");
}

fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file can be read");
    serde_json::from_str(&text).expect("the file is JSON")
}

#[test]
fn the_commands_of_the_readme_run() {
    let example = Example::new();
    let readme = fs::read_to_string(tetra_example("README.md")).expect("there is a README");
    let mut commands = commands(&readme);
    assert!(commands.len() > 12, "{commands:?}");
    // A list of no file is none: what `--row` reads stands there when something was refused.
    let list = "echo \"plates/$(cat a-plate)\" > tap-tetra-searcheql.rejects.jsonl";
    let place = commands.iter().position(|line| line.starts_with("touch "));
    commands.insert(place.expect("a list is replayed"), list.to_owned());
    let files = example.platform.tetra().files();
    let mut files = files.iter();
    let plate = files.find(|file| file.ids_type.as_deref() == Some("plate-reader"));
    let plate = &plate.expect("there are plates").file_id;
    fs::write(example.folder.join("a-plate"), plate).expect("a file can be written");
    let finished = shell(&commands.join("\n"), example.top.path())
        .patience(Duration::from_secs(300))
        .finish();
    finished.expect_code(0);
    example.assert_equal();
    let kept = ".antiphon/pipelines/tetra-to-bigquery/state";
    assert!(example.folder.join(kept).is_dir(), "no state was kept");
    let mut mine = json_of(&example.folder.join("my-catalog.json"));
    let streams = mine["streams"].as_array_mut().expect("a catalog");
    assert_eq!(streams.len(), TABLES.len());
    for stream in streams {
        // How many files there are is nothing for a catalog that others read.
        let top = stream["metadata"][0]["metadata"].as_object_mut();
        let top = top.expect("metadata is an object");
        assert!(top.remove("row-count").is_some());
    }
    let catalog = json_of(&tetra_example("catalog.json"));
    assert_eq!(mine, catalog, "the catalog is not what its README makes");
}

#[test]
fn the_lines_of_the_crontab_bring_what_is_new_and_say_when_nothing_came() {
    let example = Example::new();
    let tetra = example.platform.tetra();
    let crontab = fs::read_to_string(tetra_example("crontab")).expect("there is a crontab");
    let job = |time: &str| -> &str {
        let line = crontab.lines().find_map(|line| line.strip_prefix(time));
        line.unwrap_or_else(|| panic!("no job at {time}"))
    };
    let (sync, look) = (job("0 */4 * * * "), job("30 */4 * * * "));
    // cron mails whatever is printed.
    assert_eq!(example.cron(sync), "");
    assert_eq!(example.cron(look), "");
    example.assert_equal();
    let results: Vec<String> = example.rows().into_keys().step_by(7).collect();
    assert_eq!(tetra.reindex(&results), results.len());
    tetra.add_some(24);
    tetra.advance(PERIOD);
    assert_eq!(example.cron(sync), "");
    assert_eq!(example.cron(look), "");
    example.assert_equal();
    tetra.advance(PERIOD);
    assert_eq!(example.cron(sync), "");
    let said = example.cron(look);
    assert!(said.contains("brought no results"), "{said}");
    // One that is refused is mailed by the first line.
    let new = tetra.add_some(24);
    let fault = format!("error:status=403,path=/{}/", new[1]);
    let is_set = example.platform.set_faults(&[&fault]);
    is_set.expect("the fault is known");
    tetra.advance(PERIOD);
    let mail = example.cron(sync);
    assert!(mail.contains("rejected=1"), "{mail}");
}

#[test]
fn a_run_alone_with_a_file_that_cannot_be_fetched_has_rejects_and_has_not_failed() {
    let example = Example::new();
    let run = || {
        Run::of("antiphon")
            .folder(&example.folder)
            .args(["run", "tetra-to-bigquery"])
            .finish()
    };
    let tetra = example.platform.tetra();
    let new = tetra.add_some(24);
    let fault = format!("error:status=403,path=/{}/", new[1]);
    let is_set = example.platform.set_faults(&[&fault]);
    is_set.expect("the fault is known");
    tetra.advance(PERIOD);
    let finished = run();
    finished.expect_code(3);
    finished.expect_log("`tap` rejected 1: they stand in");
    let rejects = example.folder.join("tap-tetra-searcheql.rejects.jsonl");
    let lines = fs::read_to_string(&rejects).expect("there is a file of rejects");
    assert_eq!(lines.lines().count(), 1);
    tetra.advance(PERIOD);
    // What was rejected before is not told again.
    run().expect_code(0);
}

#[test]
fn the_demo_runs_and_leaves_nothing_running() {
    let folder = Folder::new();
    let demo = Run::program(tetra_example("demo.sh"))
        .env("DEMO_ROWS", "600")
        .patience(Duration::from_secs(300));
    let programs = ["tap-tetra-searcheql", "target-bigquery", "antiphon"];
    let parts = [
        "\"window\":{\"gte\":",
        "300 in the same version, 0 in another, 0 missing, 0 that are not there",
        "new fields are taken",
        "added the column table=instruments.",
        "exit code 3",
        "the storage answered 403 Forbidden",
        ", 1 missing, 0 that are not there",
        "files read: 1, in",
        "Left alone",
        "there were no records; the last good runs had 6",
    ];
    let text = demo::run(demo, &folder, &programs, &parts);
    let equal = ", 0 in another, 0 missing, 0 that are not there";
    assert_eq!(text.matches(equal).count(), 4, "{text}");
}
