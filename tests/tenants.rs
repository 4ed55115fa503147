//! The example with a data set for each tenant: its commands, its crontab, its view and its demo. What it
//! promises of the sync that it replaces, `weak_spots.rs` tries one by one; here the changes of the
//! sandbox's chat platform have all of it at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sandbox::bigquery::Denied;
use serde_json::{Value, json};
use singer_core::value::time::parse_timestamp;
use singer_test::bin::{Finished, Run, workspace};
use singer_test::folder::Folder;
use singer_test::runtime::wait;

use suite::demo;
use suite::world::{BIGQUERY_PROJECT, ChatWorld, commands, shell, tenants_example};

const PIPE: &str = "tap-redshift -c tap-redshift.json --catalog catalog.json -s state.json \
    | target-bigquery -c target-bigquery.json --state-file state.json";

/// The example in a folder of its own, with what leads to the stand-ins put over its configs.
struct Example {
    world: ChatWorld,
    folder: PathBuf,
}

impl Example {
    fn new(method: &str) -> Example {
        let world = ChatWorld::start();
        let folder = world.folder.file("examples/postgres-to-bigquery-tenants");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut target = world.target_config();
        target["method"] = json!(method);
        let mut tap = world.tap_config();
        if world.source.takes_one_connection() {
            tap["fetch_mode"] = json!("cursor");
        }
        for (name, over) in [("tap-redshift.json", tap), ("target-bigquery.json", target)] {
            let text = fs::read_to_string(tenants_example(name)).expect("the config can be read");
            let mut config: Value = serde_json::from_str(&text).expect("the config is JSON");
            for (key, value) in over.as_object().expect("a config is an object") {
                config[key] = value.clone();
            }
            write(&folder.join(name), &config.to_string());
        }
        write(
            &folder.join("catalog.json"),
            &world.catalog(&tenants_example("catalog.json")),
        );
        for name in ["antiphon.toml", "view.sql"] {
            fs::copy(tenants_example(name), folder.join(name)).expect("a file can be copied");
        }
        write(&folder.join("state.json"), "");
        Example { world, folder }
    }

    fn sync(&self) -> Finished {
        shell(PIPE, &self.folder).finish()
    }

    fn change(&self) {
        wait(self.world.source.change_chat(100)).expect("rows can be changed");
    }

    /// Of each organization: contacts, flows, messages, those that were read, letters of all bodies.
    fn truth(&self) -> BTreeMap<i64, [i64; 5]> {
        let truth = wait(self.world.source.chat_truth()).expect("the truth can be told");
        truth
            .into_iter()
            .map(|of| {
                let counts = [
                    of.contacts,
                    of.flows,
                    of.messages,
                    of.messages_read,
                    of.body_letters,
                ];
                (i64::from(of.organization), counts)
            })
            .collect()
    }

    /// The same as the stand-in of BigQuery has it, of messages the newest versions.
    fn held(&self) -> BTreeMap<i64, [i64; 5]> {
        let organizations = 1..=3;
        organizations
            .map(|number| {
                let rows = |table: &str| self.rows(number, table);
                let mut newest: BTreeMap<i64, Value> = BTreeMap::new();
                for row in rows("messages") {
                    let id = number_of(&row["id"]);
                    let is_newer = newest
                        .get(&id)
                        .is_none_or(|other| order(&row) > order(other));
                    if is_newer {
                        newest.insert(id, row);
                    }
                }
                let read = newest
                    .values()
                    .filter(|row| row["status"] == "read")
                    .count();
                let letters: usize = newest
                    .values()
                    .filter_map(|row| Some(row["body"].as_str()?.chars().count()))
                    .sum();
                let counts = [
                    rows("contacts").len(),
                    rows("flows").len(),
                    newest.len(),
                    read,
                    letters,
                ];
                let counts = counts.map(|count| i64::try_from(count).expect("a count is small"));
                (number, counts)
            })
            .collect()
    }

    fn rows(&self, organization: i64, table: &str) -> Vec<Value> {
        let dataset = format!("org_{organization}");
        self.world
            .sandbox
            .bigquery()
            .dump(BIGQUERY_PROJECT, &dataset, table)
    }
}

/// By what the view tells which version is newer.
fn order(row: &Value) -> (i64, String) {
    let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
    // As a time: fractions of different lengths do not compare as texts.
    let updated_at = parse_timestamp(&text("updated_at")).expect("updated_at is a time");
    (updated_at, text("_sdc_row_id"))
}

/// BigQuery's JSON has integers as text.
fn number_of(value: &Value) -> i64 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().expect("an id is an integer")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
}

#[test]
fn late_rows_bulk_updates_and_updates_after_whole_minutes_arrive() {
    for method in ["storage_write", "load"] {
        let example = Example::new(method);
        example.sync().expect_code(0);
        assert_eq!(example.held(), example.truth(), "{method}");
        for _ in 0..2 {
            example.change();
            example.sync().expect_code(0);
            assert_eq!(example.held(), example.truth(), "{method}");
        }
    }
}

#[test]
fn a_tenant_without_permission_holds_up_nobody_and_is_replayed() {
    let example = Example::new("load");
    example.sync().expect_code(0);
    let before = example.truth();
    let bigquery = example.world.sandbox.bigquery();
    bigquery.deny(vec![Denied {
        permission: "*".to_owned(),
        resource: Some(format!("{BIGQUERY_PROJECT}:org_2")),
    }]);
    example.change();
    example.sync().expect_code(3).expect_log("org_2.messages");
    let (held, truth) = (example.held(), example.truth());
    assert_eq!((held[&1], held[&3]), (truth[&1], truth[&3]));
    assert_eq!(held[&2], before[&2]);
    bigquery.deny(Vec::new());
    let replay = "target-bigquery -c target-bigquery.json --input target-bigquery.rejects.jsonl";
    shell(replay, &example.folder).finish().expect_code(0);
    assert_eq!(example.held(), example.truth());
}

#[test]
fn the_commands_of_the_readme_run() {
    let example = Example::new("storage_write");
    let readme = fs::read_to_string(tenants_example("README.md")).expect("the README can be read");
    let commands = commands(&readme);
    assert!(commands.len() > 8, "{commands:?}");
    let top = example.world.folder.path();
    shell(&commands.join("\n"), top).finish().expect_code(0);
    assert_eq!(example.held(), example.truth());
    let kept = ".antiphon/pipelines/postgres-to-bigquery-tenants/state";
    assert!(
        example.folder.join(kept).is_dir(),
        "antiphon has kept no state"
    );
}

#[test]
fn the_line_of_the_crontab_runs() {
    let example = Example::new("load");
    let crontab = fs::read_to_string(tenants_example("crontab")).expect("the crontab can be read");
    let jobs: Vec<&str> = crontab
        .lines()
        .filter_map(|line| line.strip_prefix("* * * * * "))
        .collect();
    let [job] = jobs.as_slice() else {
        panic!("{} lines", jobs.len());
    };
    let secrets = example.world.folder.write("secrets", "CHAT_PASSWORD=x\n");
    let logs = example.world.folder.path();
    let finished = shell(job, workspace())
        .env("ANTIPHON", &example.folder)
        .env("SECRETS", &secrets)
        .env("LOGS", logs)
        .finish();
    finished.expect_code(0);
    // cron mails whatever is printed.
    assert_eq!(finished.text() + &finished.stderr, "");
    assert_eq!(example.held(), example.truth());
}

#[test]
fn the_demo_runs_and_leaves_nothing_running() {
    let folder = Folder::new();
    let demo = Run::program(tenants_example("demo.sh"))
        .env("DEMO_ROWS", "600")
        .env("DEMO_ORGANIZATIONS", "3");
    let programs = ["tap-redshift", "target-bigquery", "antiphon"];
    let parts = [
        "Full sync",
        "exit code 3",
        "behind",
        "replayed",
        "Left alone",
    ];
    let text = demo::run(demo, &folder, &programs, &parts);
    assert_eq!(
        text.matches("equal   in every organization").count(),
        3,
        "{text}"
    );
}
