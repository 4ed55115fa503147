//! A whole tap: countries from a file of `code,name,changed` lines, from the last change on.
//!
//! Try it: `cargo run --example tap-countries -- --path countries.csv --select countries`.

use std::process::ExitCode;

use serde_json::{Value, json};
use singer_core::Error;
use singer_core::catalog::Entry;
use singer_runtime::context::Context;
use singer_runtime::setting::{Setting, Settings};
use singer_runtime::tap::{self, Discovery, Output, Plan, Replication, Scope, Tap};

#[derive(serde::Deserialize)]
struct Config {
    path: String,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        let path = Setting::text("path").about("The file to read.");
        vec![path.required().flag()]
    }
}

struct Countries {
    text: String,
}

impl Tap for Countries {
    const NAME: &'static str = "tap-countries";
    const DESCRIPTION: &'static str = "Reads countries from a file.";
    const EXAMPLES: &'static str = "  tap-countries --path countries.csv --select countries";
    type Config = Config;

    async fn connect(config: Config, _: Context) -> anyhow::Result<Self> {
        let file = tokio::fs::read_to_string(&config.path).await;
        let text = file.map_err(|error| {
            Error::config(format!("cannot read `{}`", config.path)).with_source(error)
        })?;
        Ok(Self { text })
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok(format!("the file has {} lines", self.text.lines().count()))
    }

    async fn discover(&self, _: &Scope) -> anyhow::Result<Discovery> {
        let mut entry = Entry::new("countries", "countries");
        entry.set_property("code", json!({"type": "string"}));
        entry.set_property("name", json!({"type": "string"}));
        entry.set_property("changed", json!({"type": "string", "format": "date-time"}));
        entry.set_stream_metadata("table-key-properties", json!(["code"]));
        entry.set_stream_metadata("valid-replication-keys", json!(["changed"]));
        entry.set_stream_metadata("replication-key", "changed");
        let mut discovery = Discovery::default();
        discovery.streams.push(entry);
        Ok(discovery)
    }

    async fn read(&self, plan: &Plan, out: &mut Output) -> anyhow::Result<()> {
        let start = match &plan.replication {
            Replication::Incremental { start, .. } => start.as_ref().and_then(Value::as_str),
            Replication::FullTable { .. } => None,
        };
        let mut rows = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            let Ok([code, name, changed]) = <[&str; 3]>::try_from(cells) else {
                let message = format!("line {} does not have three cells", index + 1);
                return Err(Error::protocol(message).into());
            };
            if start.is_none_or(|start| changed >= start) {
                rows.push((
                    changed,
                    json!({"code": code, "name": name, "changed": changed}),
                ));
            }
        }
        rows.sort_by_key(|(changed, _)| *changed);
        for (changed, mut row) in rows {
            if let Value::Object(row) = &mut row {
                row.retain(|name, _| plan.fields.contains(name));
            }
            out.value(&row).await?;
            out.checkpoint(plan.bookmark_at(changed)).await?;
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    tap::main::<Countries>()
}
