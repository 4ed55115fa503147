//! What the examples and the READMEs are run in: the sample database, a stand-in of Pendo, and a
//! folder with the configs that lead there.

use std::path::{Path, PathBuf};

use sandbox::Sandbox;
use sandbox::pendo::Kind;
use sandbox::source::{self, Connection, Sample, Source, SourceChoice, SourceOptions};
use serde_json::{Value, json};
use singer_test::bin::{self, Run};
use singer_test::folder::Folder;
use singer_test::pendo::Pendo;
use singer_test::runtime::wait;

/// How many visitors the sample database has; there is one account to five of them.
pub const VISITORS: u64 = 500;
/// The project of the stand-in of BigQuery.
pub const BIGQUERY_PROJECT: &str = "sandbox-project";
/// How many accounts it has.
pub const ACCOUNTS: u64 = VISITORS / 5;

/// Where data comes from and goes to.
pub struct World {
    /// The sample database.
    pub source: Source,
    /// The stand-in of Pendo.
    pub pendo: Pendo,
    /// An empty folder.
    pub folder: Folder,
}

impl World {
    /// Sample data on whatever PostgreSQL there is, and a Pendo that knows most of its ids.
    pub fn start() -> World {
        let options = SourceOptions {
            source: Some(SourceChoice::Auto),
            source_rows: VISITORS,
            ..SourceOptions::default()
        };
        let source = wait(source::start(&options)).expect("the sample database starts");
        let pendo = Pendo::start();
        pendo.know(Kind::Account, source.known_ids(source::Kind::Account));
        pendo.know(Kind::Visitor, source.known_ids(source::Kind::Visitor));
        World {
            source,
            pendo,
            folder: Folder::new(),
        }
    }

    /// The keys that lead a tap to the sample database.
    pub fn tap_config(&self) -> Value {
        tap_config(self.source.connection())
    }

    /// The keys that lead a target to the stand-in of Pendo.
    pub fn target_config(&self) -> Value {
        self.pendo.target_config()
    }

    /// A catalog made for the sample data, with the names of this database.
    pub fn catalog(&self, path: &Path) -> String {
        catalog(path, "public", self.source.connection())
    }

    /// A shell script, run in a folder, that finds the binaries of this workspace by their names.
    pub fn shell(&self, script: &str, folder: &Path) -> Run {
        shell(script, folder)
    }
}

/// Where messages of many tenants come from, and where they go to.
pub struct ChatWorld {
    /// The chat platform.
    pub source: Source,
    /// The stand-in of BigQuery.
    pub sandbox: Sandbox,
    /// An empty folder.
    pub folder: Folder,
}

impl ChatWorld {
    /// A small chat platform on whatever PostgreSQL there is, and an empty BigQuery.
    pub fn start() -> ChatWorld {
        let options = SourceOptions {
            source: Some(SourceChoice::Auto),
            source_sample: Sample::Chat,
            source_messages: 300,
            source_organizations: 3,
            ..SourceOptions::default()
        };
        ChatWorld {
            source: wait(source::start(&options)).expect("the chat platform starts"),
            sandbox: wait(sandbox::start(sandbox::Options::default())).expect("the sandbox starts"),
            folder: Folder::new(),
        }
    }

    /// The keys that lead a tap to the chat platform.
    pub fn tap_config(&self) -> Value {
        tap_config(self.source.connection())
    }

    /// The keys that lead a target to the stand-in of BigQuery.
    pub fn target_config(&self) -> Value {
        json!({
            "project": BIGQUERY_PROJECT, "endpoint": self.sandbox.bigquery_url(),
            "grpc_endpoint": self.sandbox.grpc_url(),
        })
    }

    /// A catalog made for the chat platform, with the names of this database.
    pub fn catalog(&self, path: &Path) -> String {
        catalog(path, "chat", self.source.connection())
    }
}

fn tap_config(connection: &Connection) -> Value {
    let Connection {
        host,
        port,
        dbname,
        user,
        password,
        schema,
    } = connection;
    json!({
        "host": host, "port": port, "dbname": dbname, "user": user, "password": password,
        "schema": schema, "sslmode": "disable",
    })
}

fn catalog(path: &Path, usual_schema: &str, connection: &Connection) -> String {
    let text = std::fs::read_to_string(path).expect("the catalog can be read");
    let Connection { dbname, schema, .. } = connection;
    text.replace(
        &format!("antiphon.{usual_schema}."),
        &format!("{dbname}.{schema}."),
    )
    .replace("\"antiphon\"", &json!(dbname).to_string())
    .replace(&json!(usual_schema).to_string(), &json!(schema).to_string())
}

/// A shell script, run in a folder, that finds the binaries of this workspace by their names.
pub fn shell(script: &str, folder: &Path) -> Run {
    let strict = format!("set -euo pipefail\n{script}");
    Run::program("bash")
        .args(["-c", &strict])
        .folder(folder)
        .env("PATH", search_path())
}

/// The files of the example with many tenants.
pub fn tenants_example(name: &str) -> PathBuf {
    bin::workspace()
        .join("examples/postgres-to-bigquery-tenants")
        .join(name)
}

/// The files of the example from Data Store to Analytics.
pub fn datastore_example(name: &str) -> PathBuf {
    bin::workspace()
        .join("examples/datastore-to-analytics")
        .join(name)
}

/// The files of the example that cleans up leads.
pub fn crm_example(name: &str) -> PathBuf {
    bin::workspace().join("examples/crm-cleanup").join(name)
}

/// The files of the example that brings results of instruments into BigQuery.
pub fn tetra_example(name: &str) -> PathBuf {
    bin::workspace()
        .join("examples/tetra-to-bigquery")
        .join(name)
}

/// The files of an example, most of them to be read as they are.
pub fn example(name: &str) -> PathBuf {
    bin::workspace()
        .join("examples/redshift-to-pendo")
        .join(name)
}

/// The commands of a README: the lines of its fenced blocks of language `sh`.
pub fn commands(markdown: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            text if inside && !text.is_empty() && !text.starts_with('#') => {
                commands.push(text.to_owned());
            }
            _ => {}
        }
    }
    commands
}

#[expect(
    clippy::disallowed_methods,
    reason = "the surroundings are handed on, not read as settings"
)]
fn search_path() -> String {
    let own = bin::binary("tap-redshift");
    let own = own
        .parent()
        .expect("a binary lies in a folder")
        .display()
        .to_string();
    for name in [
        "target-pendo",
        "target-bigquery",
        "tap-datastore",
        "target-analytics",
        "tap-crm",
        "map-records",
        "target-crm-bulkwrite",
        "antiphon",
        "antiphon-sandbox",
    ] {
        bin::binary(name);
    }
    format!("{own}:{}", std::env::var("PATH").unwrap_or_default())
}
