//! A CRM, a folder in which the target runs again and again, and messages for it.

use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::runtime::wait;

/// A stand-in of Zoho CRM in the test's own process.
pub(crate) struct Crm {
    pub(crate) sandbox: Sandbox,
}

impl Crm {
    pub(crate) fn start() -> Crm {
        Crm::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Crm {
        let mut options = Options::default();
        options.crm.credits = 5_000_000;
        // What limits results of Bulk Read; none is documented for those of Bulk Write.
        options.crm.downloads = 10_000;
        change(&mut options);
        Crm {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
        }
    }

    /// The part of a config that says how to reach it.
    pub(crate) fn target_config(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "token_cache_path": "tokens.json",
            "accounts_url": self.sandbox.zoho_url(), "api_url": self.sandbox.crm_url(),
            "upload_url": self.sandbox.crm_url(), "patience_seconds": 20, "job_timeout_seconds": 60,
        })
    }

    pub(crate) fn set_faults(&self, specs: &[&str]) {
        self.sandbox
            .set_faults(specs)
            .expect("the faults are known");
    }

    /// The leads, as the stand-in has them.
    pub(crate) fn leads(&self) -> Vec<Value> {
        let dumped = json!(self.sandbox.crm().dump("Leads"));
        dumped.as_array().cloned().unwrap_or_default()
    }

    /// The values of a field of all leads, sorted.
    pub(crate) fn column(&self, field: &str) -> Vec<String> {
        let mut column: Vec<String> = self
            .leads()
            .iter()
            .map(|lead| lead[field].as_str().unwrap_or_default().to_owned())
            .collect();
        column.sort();
        column
    }
}

/// A CRM, and a folder.
pub(crate) struct World {
    pub(crate) crm: Crm,
    pub(crate) folder: Folder,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(Crm::start())
    }

    pub(crate) fn with(crm: Crm) -> World {
        World {
            crm,
            folder: Folder::new(),
        }
    }

    /// The target with these settings of the stream `Leads`, and these keys beside those that it needs.
    pub(crate) fn run(&self, settings: &Value, extra: &Value) -> Run {
        let mut config = self.crm.target_config();
        config["rejects_path"] = json!("rejects.jsonl");
        config["streams"] = json!({ "Leads": settings });
        for (key, value) in extra.as_object().expect("keys of a config") {
            config[key] = value.clone();
        }
        let config = self.folder.write_json("config.json", &config);
        Run::of("target-crm-bulkwrite")
            .arg("--config")
            .arg(config)
            .folder(self.folder.path())
    }

    pub(crate) fn feed(&self, settings: &Value, input: &str) -> Finished {
        self.run(settings, &json!({})).stdin(input).finish()
    }

    /// The refused records of all runs.
    pub(crate) fn rejects(&self) -> Vec<Value> {
        let text = self.folder.read("rejects.jsonl");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a reject is JSON"))
            .collect()
    }
}

/// The SCHEMA line of leads with this key.
pub(crate) fn schema(key: &[&str]) -> String {
    let text = json!({"type": ["null", "string"]});
    line(&json!({
        "type": "SCHEMA", "stream": "Leads", "key_properties": key,
        "schema": {"properties": {
            "External_Id": text, "Last_Name": text, "Company": text, "Email": text,
        }},
    }))
}

/// A lead of this number.
pub(crate) fn lead(number: u64) -> Value {
    json!({
        "External_Id": format!("x{number}"), "Last_Name": format!("Lead {number}"), "Company": "Nordlys",
    })
}

pub(crate) fn row(record: &Value) -> String {
    line(&json!({"type": "RECORD", "stream": "Leads", "record": record}))
}

/// RECORD lines of these numbers.
pub(crate) fn rows(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers
        .into_iter()
        .map(|number| row(&lead(number)))
        .collect()
}

pub(crate) fn state(number: u64) -> String {
    line(&json!({"type": "STATE", "value": {"n": number}}))
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
