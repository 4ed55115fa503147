//! The example from Data Store to Analytics: the commands of its README, its crontab, its unit of systemd, its
//! catalog and its demo.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::datastore::{Environment, EventHook};
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Run, Running};
use singer_test::folder::Folder;
use singer_test::poll;
use singer_test::runtime::wait;

use suite::demo;
use suite::world::{commands, datastore_example, shell};

const PRODUCTION: Environment = Environment::Production;

/// The tables of the sample.
const TABLES: [&str; 3] = ["Trips", "Trucks", "Depots"];

/// The example in a folder of its own, with what leads to the stand-ins put over its configs.
struct Example {
    sandbox: Sandbox,
    top: Folder,
    folder: PathBuf,
}

impl Example {
    fn new() -> Example {
        let mut options = Options::default();
        // More than is read by pages of rows.
        options.datastore.rows = 700;
        let example = Example {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
            top: Folder::new(),
            folder: PathBuf::new(),
        };
        let folder = example.top.file("examples/datastore-to-analytics");
        fs::create_dir_all(&folder).expect("a folder can be made");
        for entry in fs::read_dir(datastore_example("")).expect("the example can be listed") {
            let path = entry.expect("the example can be listed").path();
            let name = path.file_name().expect("a file has a name");
            fs::copy(&path, folder.join(name)).expect("a file can be copied");
        }
        let url = example.sandbox.zoho_url();
        let over = json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": url, "api_url": url,
            "token_cache_path": example.top.file("tokens.json"),
        });
        for name in ["tap-datastore.json", "target-analytics.json"] {
            let path = folder.join(name);
            let mut config = json_of(&path);
            for (key, value) in over.as_object().expect("a config is an object") {
                config[key] = value.clone();
            }
            fs::write(path, config.to_string()).expect("a file can be written");
        }
        Example { folder, ..example }
    }

    /// A script in the folder of the example.
    fn script(&self, script: &str) -> Run {
        shell(script, &self.folder).patience(Duration::from_secs(180))
    }

    fn is_equal(&self, table: &str) -> bool {
        let found = self.sandbox.compare(PRODUCTION, table);
        let found = found.expect("the sample has this table");
        found.rows == found.equal && found.rows == found.view_rows
    }

    #[track_caller]
    fn assert_equal(&self) {
        for table in TABLES {
            let found = self.sandbox.compare(PRODUCTION, table);
            assert!(self.is_equal(table), "{table}: {found:?}");
        }
    }

    /// Changes, adds and deletes trips.
    fn change(&self) {
        let store = self.sandbox.datastore();
        store.change_some(PRODUCTION, "Trips", 20);
        store.add_trips(PRODUCTION, 5);
        let trips = store.peek(PRODUCTION, "Trips", 3);
        let id = |row: &Value| row["ROWID"].as_str().and_then(|id| id.parse().ok());
        let ids: Vec<i64> = trips.iter().filter_map(id).collect();
        assert_eq!(store.delete(PRODUCTION, "Trips", &ids), 3);
    }

    /// The jobs of the crontab, run as cron would.
    fn cron(&self, job: &str) {
        let secrets = "ZOHO_CLIENT_SECRET=x\nZOHO_REFRESH_TOKEN=y\n";
        let secrets = self.top.write("secrets", secrets);
        let finished = self
            .script(job)
            .env("ANTIPHON", &self.folder)
            .env("SECRETS", &secrets)
            .env("LOGS", self.top.path())
            .finish();
        finished.expect_code(0);
        // cron mails whatever is printed.
        assert_eq!(finished.text() + &finished.stderr, "");
    }
}

fn json_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file can be read");
    serde_json::from_str(&text).expect("the file is JSON")
}

#[test]
fn the_commands_of_the_readme_run() {
    let example = Example::new();
    let readme = fs::read_to_string(datastore_example("README.md")).expect("there is a README");
    let commands = commands(&readme);
    assert!(commands.len() > 12, "{commands:?}");
    let finished = shell(&commands.join("\n"), example.top.path())
        .patience(Duration::from_secs(300))
        .finish();
    finished.expect_code(0);
    example.assert_equal();
    let kept = ".antiphon/pipelines/datastore-to-analytics/state";
    assert!(example.folder.join(kept).is_dir(), "no state was kept");
    let mine = json_of(&example.folder.join("my-catalog.json"));
    let catalog = json_of(&datastore_example("catalog.json"));
    assert_eq!(mine, catalog, "the catalog is not what its README makes");
}

#[test]
fn the_lines_of_the_crontab_keep_both_sides_equal() {
    let example = Example::new();
    let crontab = fs::read_to_string(datastore_example("crontab")).expect("there is a crontab");
    let job = |time: &str| -> String {
        let line = crontab.lines().find_map(|line| line.strip_prefix(time));
        line.unwrap_or_else(|| panic!("no job at {time}"))
            .to_owned()
    };
    let changes = job("*/15 * * * * ");
    let deletions = job("40 2 * * 1-6 ");
    let all = job("40 2 * * 0 ");
    example.cron(&deletions);
    example.assert_equal();
    example.change();
    example.cron(&changes);
    let found = example.sandbox.compare(PRODUCTION, "Trips");
    let found = found.expect("the sample has trips");
    assert_eq!((found.missing, found.different, found.extra), (0, 0, 3));
    example.cron(&deletions);
    example.assert_equal();
    // What somebody did to the table by hand is mended by the week's run.
    let row = json!([{"ROWID": "1", "Driver": "nobody"}]);
    let rows = row.as_array().expect("a list");
    let analytics = example.sandbox.analytics();
    analytics.put_rows("Trips", rows).expect("a row can be put");
    assert!(!example.is_equal("Trips"));
    example.cron(&all);
    example.assert_equal();
    example.change();
    example.cron(&deletions);
    example.assert_equal();
}

/// The processes of a unit, which are a group of their own.
struct Unit {
    running: Running,
    group: PathBuf,
}

impl Unit {
    fn start(example: &Example, folder: &Path, script: &str) -> Unit {
        let script = format!("{script}\necho $! > group\nwait $!");
        let running = shell(&script, folder)
            .env("ANTIPHON", &example.folder)
            .env("SYNC_SECRET", "shh")
            .start();
        let group = folder.join("group");
        Unit { running, group }
    }

    /// As systemd stops it: every process is asked, and all end by themselves.
    fn stop(self) {
        self.signal("TERM");
        poll::until("the end of the unit", || !self.signal("0"));
        fs::remove_file(&self.group).expect("the file is there");
    }

    /// Whether there was a process to send the signal to.
    fn signal(&self, signal: &str) -> bool {
        let script = format!("test -s group && kill -{signal} -- -$(cat group)");
        let folder = self.group.parent().unwrap_or(Path::new("."));
        shell(&script, folder).finish().code() == Some(0)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

#[test]
fn the_unit_of_systemd_starts_a_listener_that_writes_events() {
    let example = Example::new();
    let unit = fs::read_to_string(datastore_example("datastore-listener.service"))
        .expect("there is a unit");
    let value = |key: &str| -> &str {
        let mut lines = unit.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {key}"))
    };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let address = port.expect("a port is free").to_string();
    let start = value("ExecStart").replace("127.0.0.1:8080", &address);
    assert!(start.contains(&address), "{start}");
    let state = example.top.file("listener");
    fs::create_dir_all(&state).expect("a folder can be made");
    let before = value("ExecStartPre");
    let run = || Unit::start(&example, &state, &format!("{before}\nset -m\n{start} &"));
    let unit = run();
    unit.running.wait_for_log("listens for events");
    let store = example.sandbox.datastore();
    store.set_events(Some(EventHook {
        // The service does not give up while a test restarts the unit.
        attempts: 10_000,
        retry_ms: 5,
        ..EventHook::new(&format!("http://{address}/events"), "shh")
    }));
    let arrived = |count: usize| {
        let what = format!("{count} rows");
        poll::until(&what, || {
            let found = example.sandbox.compare(PRODUCTION, "Trips");
            found.is_some_and(|found| found.equal == count)
        });
    };
    // Events are posted by the runtime in which rows are changed.
    wait(async { store.add_trips(PRODUCTION, 3) });
    arrived(3);
    unit.stop();
    // Restart=always: what came meanwhile is posted again.
    wait(async { store.add_trips(PRODUCTION, 2) });
    let unit = run();
    arrived(5);
    unit.stop();
    let stored = json_of(&state.join("state.json"));
    assert_eq!(stored["bookmarks"]["Trips"]["journal"]["position"], 5);
}

#[test]
fn the_demo_runs_and_leaves_nothing_running() {
    let folder = Folder::new();
    let demo = Run::program(datastore_example("demo.sh"))
        .env("DEMO_ROWS", "1200")
        .patience(Duration::from_secs(240));
    let programs = ["tap-datastore", "target-analytics", "antiphon"];
    let parts = [
        "Full sync",
        "32 rows are gone",
        "killed after",
        ", 0 events lost",
        "exit code 3",
        "It is mended",
        "Left alone",
        "equal   every cell of every row",
    ];
    demo::run(demo, &folder, &programs, &parts);
    assert!(!folder.file("demo/listener.pid").exists(), "the listener");
}
