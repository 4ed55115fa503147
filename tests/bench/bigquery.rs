//! Bringing records into BigQuery: target-bigquery beside a bare loop over the same lines. The server is
//! the sandbox, on the same processors, which counts what arrives without reading it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Bench;
use crate::database::{ACCOUNT, Database};
use crate::pendo::{Lines, MEMORY_GOAL_MEGABYTES, Sandbox};
use crate::report::{Goal, Row};

/// One way to write, and its goal in records a second.
struct Way {
    name: &'static str,
    config: Value,
    goal: f64,
    /// The name of the goal: that of a method holds for one processor.
    what: &'static str,
}

fn ways() -> [Way; 4] {
    [
        Way {
            name: "load, gzip, append",
            config: json!({"method": "load", "mode": "append"}),
            goal: 150_000.0,
            what: "rows/s",
        },
        Way {
            name: "load, gzip, upsert",
            config: json!({"method": "load", "mode": "upsert"}),
            goal: 150_000.0,
            what: "rows/s",
        },
        Way {
            name: "load, no compression, append",
            config: json!({"method": "load", "mode": "append", "compression": "none"}),
            goal: 400_000.0,
            what: "rows/s",
        },
        Way {
            name: "storage_write, pending streams, append",
            config: json!({"method": "storage_write", "mode": "append"}),
            goal: 300_000.0,
            what: "rows/s of CPU",
        },
    ]
}

/// Measures the encoders within the whole target.
pub(crate) fn measure(bench: &mut Bench, database: &Database) -> Result<()> {
    if !bench.wants("bigquery") {
        return Ok(());
    }
    let lines = Lines::write(bench, database)?;
    bench.section(
        "target-bigquery from a file, a server that drains; ratio: speed over that of the bare loop in the same round",
    )?;
    let mut raw = lines.row(bench, "bare loop, serde_json with a raw record");
    let ways = ways();
    let mut rows: Vec<Row> = ways
        .iter()
        .map(|way| lines.row(bench, format!("target-bigquery, {}", way.name)))
        .collect();
    for _ in 0..bench.rounds {
        let reference = lines.feed(bench.raw_loop()?)?;
        raw.usages.push(reference);
        for (way, row) in ways.iter().zip(&mut rows) {
            let sandbox =
                Sandbox::start_with(bench, &["--bigquery-drain", "--bigquery-job-polls", "0"])?;
            let config = config(bench, &sandbox, &way.config)?;
            let mut command = bench.command("target-bigquery");
            command.arg("--quiet").arg("--config").arg(config);
            command.current_dir(&bench.folder);
            let usage = lines.feed(command)?;
            ensure!(
                sandbox.has_seen("bigquery")?,
                "nothing has arrived at the sandbox"
            );
            row.ratios
                .push(reference.wall.as_secs_f64() / usage.wall.as_secs_f64());
            row.usages.push(usage);
        }
    }
    bench.row(&raw)?;
    for (way, mut row) in ways.into_iter().zip(rows) {
        let reached = match way.what {
            "rows/s" => row.rate(),
            _ => row.rate_of_cpu(),
        };
        row.goals
            .push(Goal::at_least(way.what, reached, way.goal, ""));
        bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    Ok(())
}

fn config(bench: &Bench, sandbox: &Sandbox, way: &Value) -> Result<PathBuf> {
    let mut config = json!({
        "project": "bench",
        "dataset": "bench",
        "endpoint": format!("{}/bigquery", sandbox.url()),
        "grpc_endpoint": sandbox.url(),
        "rejects_path": bench.file("bigquery.rejects.jsonl"),
        "journal_path": bench.file("bigquery.journal"),
    });
    for (key, value) in way.as_object().into_iter().flatten() {
        config[key.as_str()] = value.clone();
    }
    bench.write(
        &format!("target-bigquery-{}.json", ACCOUNT.name),
        &config.to_string(),
    )
}
