//! The stand-in of the CRM, and a folder in which the tap runs again and again.

use sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::runtime::wait;

/// A stand-in in the test's own process.
pub(crate) struct Stand {
    sandbox: Sandbox,
    pub(crate) folder: Folder,
}

impl Stand {
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        change(&mut options);
        Self {
            sandbox: wait(sandbox::start(options)).expect("the sandbox starts"),
            folder: Folder::new(),
        }
    }

    pub(crate) fn crm(&self) -> &sandbox::crm::Crm {
        self.sandbox.crm()
    }

    /// Makes an empty module with these fields.
    pub(crate) fn module(&self, name: &str, fields: &Value) {
        let time =
            |name: &str| json!({"api_name": name, "data_type": "datetime", "json_type": "string"});
        let mut all = vec![time("Created_Time"), time("Modified_Time")];
        all.extend(fields.as_array().into_iter().flatten().cloned());
        let described = json!({
            "api_name": name, "singular_label": name, "plural_label": name, "api_supported": true,
            "generated_type": "custom", "fields": all,
        });
        self.crm().create_module(&described).expect("a module");
    }

    pub(crate) fn put(&self, module: &str, records: &Value) -> Vec<i64> {
        self.crm().put(module, records).expect("records")
    }

    pub(crate) fn config(&self) -> Value {
        json!({
            "client_id": "sandbox-client", "client_secret": "sandbox-secret",
            "refresh_token": "sandbox-refresh", "token_cache_path": self.folder.path().join("tokens.json"),
            "accounts_url": self.sandbox.zoho_url(), "api_url": self.sandbox.crm_url(),
            "patience_seconds": 30, "job_timeout_seconds": 60, "failed_job_pause_seconds": 0,
            "work_folder": self.folder.path(),
        })
    }

    /// A run with these changes to the config.
    pub(crate) fn run(&self, changes: &Value) -> Run {
        let mut config = self.config();
        if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
            config.extend(changes.clone());
        }
        Run::of("tap-crm")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// A sync of a module from a state.
    pub(crate) fn sync(&self, module: &str, changes: &Value, state: Option<&Value>) -> Finished {
        let mut run = self.run(changes).args(["--select", module]);
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(self.folder.write_json("state.json", state));
        }
        let finished = run.finish();
        finished.expect_code(0);
        finished
    }
}
