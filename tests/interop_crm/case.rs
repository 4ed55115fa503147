//! A sandbox with Zoho's CRM, and Zoho's own SDK to fill it and to read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox::crm::CrmSample;
use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Run, workspace};
use singer_test::folder::Folder;
use singer_test::poll;
use singer_test::python::{self, PATIENCE};
use singer_test::runtime::wait;

/// A sandbox, a folder to run in, and the Python of the SDK.
pub(crate) struct Case {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: Folder,
    python: PathBuf,
}

impl Case {
    /// A sandbox with 450 leads in it, which a bulk read gives in three pages. None where there is no Python
    /// for the SDK.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Option<Case> {
        let python = environment("zoho")?;
        let mut options = Options::default();
        // Each script is a process of its own, and asks for a token.
        options.zoho.tokens_per_window = 10_000;
        options.zoho.active_tokens = 10_000;
        options.crm.sample = CrmSample::Leads;
        options.crm.rows = 450;
        options.crm.page_rows = 150;
        options.crm.downloads = 10_000;
        change(&mut options);
        Some(Case {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
            folder: Folder::new(),
            python,
        })
    }

    /// The same without a record.
    pub(crate) fn empty() -> Option<Case> {
        Case::with(|options| options.crm.sample = CrmSample::None)
    }

    /// One of the scripts beside `run`, told where the sandbox is.
    pub(crate) fn script(&self, name: &str) -> Run {
        Run::program(self.python.join("bin/python"))
            .arg(workspace().join("tests/interop").join(name))
            .arg(self.sandbox.crm_url())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .folder(self.folder.path())
            .patience(PATIENCE)
    }

    /// All records of a module by id, as the SDK reads them page by page.
    #[track_caller]
    pub(crate) fn records(&self, module: &str) -> BTreeMap<String, Value> {
        object(self.sdk(&json!({"records": module})))
    }

    /// When each record of a module was deleted, as the SDK is told.
    #[track_caller]
    pub(crate) fn deleted(&self, module: &str) -> BTreeMap<String, Value> {
        object(self.sdk(&json!({"deleted": module})))
    }

    /// Rows that the SDK writes in bulk: the result of each.
    #[track_caller]
    pub(crate) fn write(
        &self,
        module: &str,
        operation: &str,
        find_by: &str,
        rows: &[Value],
    ) -> Vec<Value> {
        let asked =
            json!({"write": module, "operation": operation, "find_by": find_by, "rows": rows});
        match self.sdk(&asked) {
            Value::Array(results) => results,
            other => panic!("results are an array: {other}"),
        }
    }

    /// What the SDK answers to a request of `drive_crm.py`.
    #[track_caller]
    fn sdk(&self, asked: &Value) -> Value {
        let ended = self
            .script("drive_crm.py")
            .stdin(format!("{asked}\n"))
            .finish();
        ended.expect_code(0);
        let mut answer: Value = serde_json::from_str(&ended.text()).expect("an answer is JSON");
        if let Some(error) = answer["error"].as_str() {
            panic!("Zoho's SDK gave up: {error}");
        }
        answer["answer"].take()
    }

    /// Waits until the second of what was done last is over: the tap reads up to the second in which it
    /// starts, and no further.
    pub(crate) fn next_second(&self) {
        let now = seconds();
        poll::until("the second is over", || seconds() > now);
    }

    /// A file in the folder that holds a config: who is asking, and where, and these settings.
    pub(crate) fn config(&self, name: &str, settings: Value) -> PathBuf {
        let mut config = json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "accounts_url": self.sandbox.zoho_url(),
            "api_url": self.sandbox.crm_url(), "token_cache_path": self.folder.file("tokens.json"),
        });
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

/// Each property of a record of ours is the field that the SDK reads; the choices of a list may have been
/// joined.
#[track_caller]
pub(crate) fn assert_same(record: &Value, read: &Value, separator: &str) {
    for (name, found) in record.as_object().expect("a record is an object") {
        if name == "_sdc_deleted_at" {
            assert!(found.is_null(), "a record that is there was deleted");
            continue;
        }
        let wanted = read
            .get(name)
            .unwrap_or_else(|| panic!("the SDK knows no `{name}`"));
        let is_same = match (found, wanted) {
            (Value::Number(found), Value::Number(wanted)) if found.is_f64() || wanted.is_f64() => {
                found.as_f64() == wanted.as_f64()
            }
            (Value::String(found), Value::Array(wanted)) => {
                let words: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
                *found == words.join(separator)
            }
            (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
            _ => found == wanted,
        };
        assert!(is_same, "`{name}` is {found}, and {wanted} to the SDK");
    }
}

/// A value as a text.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn object(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(object) => object.into_iter().collect(),
        other => panic!("an object is expected: {other}"),
    }
}

/// Whole seconds since 1970.
fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

/// A program of an environment of foreign programs.
pub(crate) fn program(environment: &Path, name: &str) -> Run {
    Run::program(environment.join("bin").join(name))
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .patience(PATIENCE)
}

/// The folder of an environment of foreign programs; none where there is no Python for it.
pub(crate) fn environment(name: &str) -> Option<PathBuf> {
    static MADE: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || python::environments(&[name]).and_then(|mut found| found.remove(name));
    made.entry(name.to_owned()).or_insert_with(make).clone()
}
