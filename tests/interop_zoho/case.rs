//! A sandbox with both of Zoho's products, and Zoho's own clients to fill one and to read the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox::{Options, Sandbox};
use serde_json::{Map, Value, json};
use singer_test::bin::{Run, workspace};
use singer_test::folder::Folder;
use singer_test::poll;
use singer_test::python::{self, PATIENCE};
use singer_test::runtime::wait;

/// The project of the sandbox's Data Store.
pub(crate) const PROJECT: &str = "4000000006007";

/// The time zone of that project, which has no summer time.
pub(crate) const TIME_ZONE: &str = "Asia/Kolkata";

/// How many minutes its clocks are ahead of UTC.
const OFFSET_MINUTES: &str = "330";

/// A sandbox, a folder to run in, and the Python of Zoho's clients.
pub(crate) struct Case {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: Folder,
    python: PathBuf,
}

/// A view as Zoho's client reads it.
#[derive(Debug)]
pub(crate) struct View {
    /// Types of the columns by name.
    pub(crate) columns: Map<String, Value>,
    /// Every cell is a text.
    pub(crate) rows: Vec<Value>,
    /// The number of rows that the details of the view have.
    pub(crate) count: Value,
}

impl Case {
    /// A sandbox that gives as many tokens as are asked for: each client is a process of its own. None
    /// where there is no Python for the clients.
    pub(crate) fn new() -> Option<Case> {
        Case::with(|_| {})
    }

    /// The same with other options.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Option<Case> {
        let python = environment("zoho")?;
        let mut options = Options::default();
        options.zoho.tokens_per_window = 10_000;
        options.zoho.active_tokens = 10_000;
        change(&mut options);
        Some(Case {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
            folder: Folder::new(),
            python,
        })
    }

    /// One of the scripts beside `run`, told where the sandbox is.
    pub(crate) fn script(&self, name: &str) -> Run {
        Run::program(self.python.join("bin/python"))
            .arg(workspace().join("tests/interop").join(name))
            .arg(self.sandbox.zoho_url())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .folder(self.folder.path())
            .patience(PATIENCE)
    }

    /// What Zoho's SDK answers to requests of `drive_datastore.py`, in their order.
    #[track_caller]
    pub(crate) fn sdk(&self, requests: &[Value]) -> Vec<Value> {
        let lines: String = requests
            .iter()
            .map(|request| format!("{request}\n"))
            .collect();
        let ended = self
            .script("drive_datastore.py")
            .args([PROJECT, "Production", OFFSET_MINUTES])
            .stdin(lines)
            .finish();
        ended.expect_code(0);
        let text = ended.text();
        let answers: Vec<Value> = text.lines().map(|line| answered(line, "answer")).collect();
        assert_eq!(answers.len(), requests.len(), "a line for each request");
        let is_change = |request: &Value| {
            let changes = ["insert", "update", "delete"];
            changes.iter().any(|change| request.get(change).is_some())
        };
        if requests.iter().any(is_change) {
            let changed = seconds();
            // The tap reads up to the second in which it starts, and no further.
            poll::until("the second of a change is over", || seconds() > changed);
        }
        answers
    }

    /// All rows of a table by ROWID, as Zoho's SDK reads them page by page.
    #[track_caller]
    pub(crate) fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let mut answers = self.sdk(&[json!({"rows": true, "table": table})]);
        let rows = answers.remove(0);
        let rows = rows.as_array().expect("an array of rows").iter();
        rows.map(|row| (text_of(&row["ROWID"]), row.clone()))
            .collect()
    }

    /// A view of the first workspace.
    #[track_caller]
    pub(crate) fn view(&self, name: &str) -> View {
        let analytics = self.sandbox.analytics();
        let ended = self
            .script("read_analytics.py")
            .args([analytics.org(), analytics.workspace()])
            .stdin(format!("{name}\n"))
            .finish();
        ended.expect_code(0);
        let mut view = answered(&ended.text(), "view");
        View {
            columns: view["columns"].as_object().cloned().unwrap_or_default(),
            rows: view["rows"].as_array().cloned().unwrap_or_default(),
            count: view["count"].take(),
        }
    }

    /// The part of a config that says who is asking, and where.
    pub(crate) fn account(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": self.sandbox.zoho_url(),
            "token_cache_path": self.folder.file("tokens.json"),
        })
    }

    /// A file in the folder that holds a config.
    pub(crate) fn config(&self, name: &str, settings: Value) -> PathBuf {
        let mut config = self.account();
        let Value::Object(settings) = settings else {
            panic!("settings are an object")
        };
        config
            .as_object_mut()
            .expect("a config is an object")
            .extend(settings);
        self.folder.write_json(name, &config)
    }
}

impl View {
    /// The rows by a column, which must tell them apart.
    #[track_caller]
    pub(crate) fn by(&self, column: &str) -> BTreeMap<String, &Value> {
        let mut rows = BTreeMap::new();
        for row in &self.rows {
            let key = text_of(&row[column]);
            assert!(
                rows.insert(key.clone(), row).is_none(),
                "{column} {key} stands there twice"
            );
        }
        rows
    }
}

/// Whole seconds since 1970.
fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

/// The answer in a line of one of the scripts.
#[track_caller]
fn answered(line: &str, key: &str) -> Value {
    let mut answer: Value = serde_json::from_str(line).expect("the script prints JSON");
    if let Some(error) = answer["error"].as_str() {
        panic!("Zoho's client gave up: {error}");
    }
    answer[key].take()
}

/// A value as a text: one client has numbers where another has texts.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The folder of an environment of foreign programs; none where there is no Python for it.
pub(crate) fn environment(name: &str) -> Option<PathBuf> {
    static MADE: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || python::environments(&[name]).and_then(|mut found| found.remove(name));
    made.entry(name.to_owned()).or_insert_with(make).clone()
}

/// A program of such an environment.
pub(crate) fn program(environment: &Path, name: &str) -> Run {
    Run::program(environment.join("bin").join(name))
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .patience(PATIENCE)
}
