//! What does not grow with the data: memory, the start, and a run that finds nothing new.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::Bench;
use crate::database::{ACCOUNT, Database};
use crate::measure::{self, Ends};
use crate::pendo::{self, Sandbox};
use crate::report::{Goal, Row, median, thousands};

/// `/proc` counts CPU time in hundredths of a second: so many runs make the sum exact enough.
const SMALL_RUNS: usize = 20;

const MEMORY_GOAL_MEGABYTES: f64 = 64.0;

/// Measures memory, start and idle runs.
pub(crate) fn measure(bench: &mut Bench, database: &Database, runtime: &Runtime) -> Result<()> {
    if bench.wants("memory") {
        measure_memory(bench, database)?;
    }
    if bench.wants("start") {
        measure_start(bench, database, runtime)?;
    }
    Ok(())
}

fn measure_memory(bench: &mut Bench, database: &Database) -> Result<()> {
    bench.section("memory of tap-redshift | target-pendo as the table grows")?;
    let mut sizes = vec![bench.rows / 100, bench.rows];
    if bench.big {
        sizes.push(bench.rows * 10);
    }
    for rows in sizes {
        let table = format!("memory_{rows}");
        let table = if rows == bench.rows {
            ACCOUNT.name
        } else {
            table.as_str()
        };
        if rows != bench.rows {
            database.create(bench, table, "account", rows)?;
        }
        let mut sandbox = Sandbox::start(bench, "drain", 0)?;
        let config = sandbox.config(bench, "memory", json!({}))?;
        let commands = vec![database.tap(bench, table)?, pendo::target(bench, &config)];
        let usages = measure::run_pipe(commands, &Ends::default())?;
        sandbox.expect(rows)?;
        for (usage, binary) in usages.into_iter().zip(["tap", "target"]) {
            let name = format!("{} rows: {binary}", thousands(rows as f64));
            let row = Row {
                records: rows,
                usages: vec![usage],
                ..Row::new(name)
            };
            bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
        }
    }
    Ok(())
}

fn measure_start(bench: &mut Bench, database: &Database, runtime: &Runtime) -> Result<()> {
    bench.section("start, and runs that find nothing new")?;
    let connect = median_of(SMALL_RUNS, || {
        let started = Instant::now();
        runtime.block_on(async { database.connection().connect().await?.close().await })?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    })?;
    let first = median_of(SMALL_RUNS, || {
        let command = database.tap(bench, ACCOUNT.name)?;
        Ok(measure::time_to_first_byte(command)?.as_secs_f64() * 1e3)
    })?;
    let mut row = Row::new(format!(
        "first byte {first:.0} ms, connecting alone {connect:.0} ms"
    ));
    row.goals.push(Goal::at_most(
        "beyond connecting",
        first - connect,
        20.0,
        " ms",
    ));
    bench.row(&row)?;
    measure_nothing_new(bench, database, connect)
}

fn measure_nothing_new(bench: &mut Bench, database: &Database, connect: f64) -> Result<()> {
    let sandbox = Sandbox::start(bench, "drain", 0)?;
    let config = sandbox.config(bench, "idle", json!({}))?;
    let catalog = incremental_catalog(bench, database)?;
    let state = bench.write("state.json", "")?;
    let run = || -> Result<f64> {
        let mut tap = database.tap_without_selection(bench)?;
        tap.arg("--catalog")
            .arg(&catalog)
            .arg("--state")
            .arg(&state);
        let mut target = pendo::target(bench, &config);
        target.arg("--state-file").arg(&state);
        let usages = measure::run_pipe(vec![tap, target], &Ends::default())?;
        Ok(usages[1].wall.as_secs_f64() * 1e3)
    };
    // The first run reads the table and leaves the bookmark.
    run()?;
    let before = measure::cpu_of_children();
    let wall = median_of(SMALL_RUNS, run)?;
    let cpu = before
        .zip(measure::cpu_of_children())
        .map(|(before, after)| after - before);
    let mut row = Row::new(format!("nothing new, both processes: wall {wall:.0} ms"));
    row.goals.push(Goal::at_most(
        "wall beyond connecting",
        wall - connect,
        15.0,
        " ms",
    ));
    if let Some(cpu) = cpu {
        let each = cpu.as_secs_f64() * 1e3 / SMALL_RUNS as f64;
        row.goals
            .push(Goal::at_most("CPU of both", each, 30.0, " ms"));
    }
    bench.row(&row)
}

/// The catalog of the main table, read by `updated_at`.
fn incremental_catalog(bench: &Bench, database: &Database) -> Result<std::path::PathBuf> {
    let output = database
        .tap(bench, ACCOUNT.name)?
        .arg("--discover")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start tap-redshift")?;
    let mut catalog: Value =
        serde_json::from_slice(&output.stdout).context("the catalog is no JSON")?;
    let streams = catalog["streams"]
        .as_array_mut()
        .context("the catalog has no streams")?;
    for stream in streams {
        let metadata = stream["metadata"]
            .as_array_mut()
            .context("a stream has no metadata")?;
        for item in metadata {
            if item["breadcrumb"].as_array().is_some_and(Vec::is_empty) {
                item["metadata"]["selected"] = true.into();
                item["metadata"]["replication-method"] = "INCREMENTAL".into();
                item["metadata"]["replication-key"] = "updated_at".into();
            }
        }
    }
    let path = bench.file("catalog.json");
    fs::write(&path, catalog.to_string()).context("cannot write the catalog")?;
    Ok(path)
}

fn median_of(runs: usize, mut once: impl FnMut() -> Result<f64>) -> Result<f64> {
    let values: Result<Vec<f64>> = (0..runs).map(|_| once()).collect();
    Ok(median(values?))
}
