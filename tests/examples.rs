//! Every example runs: its configs, its catalog, the make targets, the crontab and the commands of its
//! README, all against the sandbox. And so does the demo.

use std::fs;

use sandbox::pendo::Kind;
use serde_json::Value;
use singer_test::bin::{Finished, Run, workspace};
use singer_test::folder::Folder;
use singer_test::runtime::wait;

use suite::demo;
use suite::world::{ACCOUNTS, VISITORS, World, commands, example};

/// The files of one run of the example, as make takes them.
struct Pipeline {
    world: World,
}

impl Pipeline {
    fn new() -> Pipeline {
        let world = World::start();
        world.folder.write_json("tap.json", &world.tap_config());
        let mut target = world.target_config();
        target["rejects_path"] = world
            .folder
            .file("rejects.jsonl")
            .display()
            .to_string()
            .into();
        world.folder.write_json("target.json", &target);
        world
            .folder
            .write("catalog.json", world.catalog(&example("catalog.json")));
        Pipeline { world }
    }

    /// A shell script in the checkout, with the variables of the Makefile set to this pipeline: the
    /// example's own configs, and over them what leads to the sandbox.
    fn script(&self, script: &str) -> Run {
        let file = |name: &str| self.world.folder.file(name).display().to_string();
        let jobs = if self.world.source.takes_one_connection() {
            "--jobs 1"
        } else {
            ""
        };
        self.world
            .shell(script, workspace())
            .env(
                "CONFIG",
                format!(
                    "{} {}",
                    example("tap-redshift.json").display(),
                    file("tap.json")
                ),
            )
            .env(
                "TARGET_CONFIG",
                format!(
                    "{} {}",
                    example("target-pendo.json").display(),
                    file("target.json")
                ),
            )
            .env("CATALOG", file("catalog.json"))
            .env("STATE", file("state.json"))
            .env("TAP_FLAGS", jobs)
            // Neither other builds of this checkout nor installed ones: those that PATH names.
            .env("PROFILE", "none")
            .env("PREFIX", self.world.folder.path())
    }

    fn make(&self, target: &str) -> Finished {
        self.script(&format!("make --silent {target}")).finish()
    }

    fn state(&self, name: &str) -> Value {
        serde_json::from_str(&self.world.folder.read(name)).expect("a state is JSON")
    }
}

#[test]
fn make_syncs_everything_and_then_what_changed() {
    let pipeline = Pipeline::new();
    pipeline.make("fullsync").expect_code(0);
    let (source, pendo) = (&pipeline.world.source, &pipeline.world.pendo);
    let known = |kind| source.known_ids(kind).count() as u64;
    assert_eq!(
        pendo.applied(Kind::Account),
        known(sandbox::source::Kind::Account)
    );
    assert_eq!(
        pendo.applied(Kind::Visitor),
        known(sandbox::source::Kind::Visitor)
    );
    assert!(pendo.applied(Kind::Account) < ACCOUNTS && pendo.applied(Kind::Visitor) < VISITORS);
    let first = pipeline.state("state.json");

    let report = wait(source.change(40)).expect("rows can be changed");
    let before = pendo.applied(Kind::Visitor);
    pipeline.make("sync").expect_code(0);
    let sent = pendo.applied(Kind::Visitor) - before;
    // Ids that Pendo does not know are among the changed ones; the row of the bookmark comes again.
    assert!(
        sent > 0 && sent <= report.visitors_updated + 1,
        "{sent} of {report:?}"
    );
    let second = pipeline.state("state.json");
    assert_ne!(first["bookmarks"], second["bookmarks"]);
    let kept: Vec<Value> = (1..=10)
        .map(|number| format!("state.json.{number}"))
        .filter(|name| pipeline.world.folder.file(name).exists())
        .map(|name| pipeline.state(&name))
        .collect();
    assert!(
        kept.contains(&first),
        "the first state is not among the {} old ones",
        kept.len()
    );
}

#[test]
fn make_discover_keeps_a_catalog_that_is_there() {
    let pipeline = Pipeline::new();
    let before = pipeline.world.folder.read("catalog.json");
    pipeline.make("discover").expect_code(0);
    assert_eq!(pipeline.world.folder.read("catalog.json"), before);
    let found: Value = serde_json::from_str(&pipeline.world.folder.read("catalog.json.new"))
        .expect("a catalog is JSON");
    assert_eq!(found["streams"].as_array().map(Vec::len), Some(5));
}

#[test]
fn a_run_that_finds_another_one_does_nothing() {
    let pipeline = Pipeline::new();
    let script = r#"
        command -v flock > /dev/null || { make --silent sync; exit 0; }
        exec 8> "$STATE.lock"; flock 8
        if make --silent sync 8>&-; then exit 1; fi
        exec 8>&-
        test ! -s "$STATE"
    "#;
    let finished = pipeline.script(script).finish();
    finished.expect_code(0);
    if !finished.stderr.is_empty() {
        finished.expect_log("another run works on");
        assert_eq!(pipeline.world.pendo.applied(Kind::Visitor), 0);
    }
}

#[test]
fn a_failed_run_leaves_the_state_alone() {
    let pipeline = Pipeline::new();
    pipeline.make("fullsync").expect_code(0);
    let before = pipeline.world.folder.read("state.json");
    pipeline.world.pendo.set_faults(&["error:status=403"]);
    pipeline
        .make("sync")
        .expect_code(2)
        .expect_log("CRITICAL target-pendo");
    assert_eq!(pipeline.world.folder.read("state.json"), before);
}

#[test]
fn every_line_of_the_crontab_runs() {
    let pipeline = Pipeline::new();
    let crontab = fs::read_to_string(example("crontab")).expect("the crontab can be read");
    let secrets = pipeline
        .world
        .folder
        .write("secrets", "REDSHIFT_PASSWORD=x\nPENDO_INTEGRATION_KEY=y\n");
    let jobs: Vec<&str> = crontab.lines().filter_map(cron_command).collect();
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        let finished = pipeline
            .script(job)
            .env("ANTIPHON", workspace())
            .env("SECRETS", &secrets)
            .env("LOGS", pipeline.world.folder.path())
            .finish();
        finished.expect_code(0);
        // cron mails whatever is printed.
        assert_eq!(finished.text() + &finished.stderr, "");
    }
    assert!(pipeline.state("state.json")["bookmarks"].is_object());
}

/// What stands after the five fields of time; nothing for comments and variables.
fn cron_command(line: &str) -> Option<&str> {
    let is_job = line.starts_with(|first: char| first.is_ascii_digit() || first == '*');
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.split_once(' ')?.1.trim_start();
    }
    is_job.then_some(rest)
}

#[test]
fn the_commands_of_the_readme_run() {
    let world = World::start();
    let folder = world.folder.file("examples/redshift-to-pendo");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let overlaid = |name: &str, over: Value| {
        let text = fs::read_to_string(example(name)).expect("the config can be read");
        let mut config: Value = serde_json::from_str(&text).expect("the config is JSON");
        for (key, value) in over.as_object().expect("a config is an object") {
            config[key] = value.clone();
        }
        fs::write(folder.join(name), config.to_string()).expect("a file can be written");
    };
    fs::copy(example("antiphon.toml"), folder.join("antiphon.toml")).expect("a file can be copied");
    overlaid("tap-redshift.json", world.tap_config());
    overlaid("target-pendo.json", world.target_config());
    fs::write(
        folder.join("catalog.json"),
        world.catalog(&example("catalog.json")),
    )
    .expect("a file can be written");
    let readme = fs::read_to_string(example("README.md")).expect("the README can be read");
    let commands = commands(&readme);
    assert!(commands.len() > 5, "{commands:?}");
    let finished = world
        .shell(&commands.join("\n"), world.folder.path())
        .finish();
    finished.expect_code(0);
    assert!(folder.join("my-catalog.json").exists() && folder.join("state.json").exists());
    assert!(
        folder
            .join(".antiphon/pipelines/redshift-to-pendo/state")
            .is_dir(),
        "antiphon has kept no state"
    );
    assert_eq!(
        world.pendo.custom(Kind::Account).len(),
        world
            .source
            .known_ids(sandbox::source::Kind::Account)
            .count()
    );
}

#[test]
fn the_demo_runs_and_leaves_nothing_running() {
    let folder = Folder::new();
    let demo = Run::program(example("demo.sh")).env("DEMO_ROWS", "2000");
    let programs = ["tap-redshift", "target-pendo", "antiphon"];
    let parts = [
        "Full sync",
        "Incremental sync",
        "replication_key_value",
        "missing",
        "Left alone",
        "antiphon.toml serve",
    ];
    demo::run(demo, &folder, &programs, &parts);
}

#[test]
fn every_folder_has_a_readme_and_a_line_in_the_list() {
    let examples = workspace().join("examples");
    let list = fs::read_to_string(examples.join("README.md")).expect("the list can be read");
    for entry in fs::read_dir(&examples).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            let name = path
                .file_name()
                .expect("a folder has a name")
                .to_string_lossy()
                .into_owned();
            assert!(path.join("README.md").is_file(), "`{name}` has no README");
            assert!(
                list.contains(&format!("({name})")),
                "`{name}` is not in the list"
            );
        }
    }
}
