//! Bringing records in: target-pendo beside a bare loop over the same lines, and the whole pipe. The
//! server is the sandbox, on the same processors, in its three modes: `store` keeps every value,
//! `discard` parses and counts, `drain` counts without parsing.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Bench;
use crate::database::{ACCOUNT, Database};
use crate::measure::{self, Ends, Usage};
use crate::raw_loop;
use crate::report::{Goal, Row};

/// Requests in flight where the server is slow, and what they allow with 500 records each.
const LATENCY_MILLISECONDS: u64 = 50;
const PARALLEL: [u64; 2] = [10, 60];
const BATCH: u64 = 500;

pub(crate) const MEMORY_GOAL_MEGABYTES: f64 = 64.0;

/// A running sandbox; dropping it ends it.
pub(crate) struct Sandbox {
    child: Child,
    url: String,
    /// Records that had arrived when they were last counted.
    records: u64,
}

impl Sandbox {
    pub(crate) fn start(bench: &Bench, mode: &str, latency_milliseconds: u64) -> Result<Self> {
        Self::start_with(
            bench,
            &[
                "--pendo-create-unknown",
                "--pendo-mode",
                mode,
                "--latency-ms",
                &latency_milliseconds.to_string(),
            ],
        )
    }

    pub(crate) fn start_with(bench: &Bench, flags: &[&str]) -> Result<Self> {
        let mut child = bench
            .command("antiphon-sandbox")
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the sandbox")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("cannot read from the sandbox")?;
        let url = line
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned();
        ensure!(
            url.starts_with("http"),
            "the sandbox did not say where it listens"
        );
        Ok(Self {
            child,
            url,
            records: 0,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether anything has arrived at the tables of a service.
    pub(crate) fn has_seen(&self, service: &str) -> Result<bool> {
        let state = self.state()?;
        let tables = state["tables"].as_object();
        Ok(tables.into_iter().flatten().any(|(table, counters)| {
            table.starts_with(service) && counters["calls"].as_u64().unwrap_or(0) > 0
        }))
    }

    fn state(&self) -> Result<Value> {
        self.control("GET", "state", "")
    }

    /// A control request that changes something.
    pub(crate) fn post(&self, path: &str, body: &str) -> Result<Value> {
        self.control("POST", path, body)
    }

    fn control(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).context("cannot reach the sandbox")?;
        write!(
            stream,
            "{method} /_sandbox/{path} HTTP/1.0\r\nhost: sandbox\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .context("cannot read from the sandbox")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).context("the sandbox's answer is no JSON")
    }

    /// Fails unless so many records have arrived since the last call: what is measured must have
    /// been done.
    pub(crate) fn expect(&mut self, records: u64) -> Result<()> {
        let state = self.state()?;
        let seen = state["tables"]["pendo/account"]["records"]
            .as_u64()
            .unwrap_or(0);
        let new = seen - self.records;
        self.records = seen;
        ensure!(
            new == records,
            "{new} records arrived at the sandbox instead of {records}"
        );
        Ok(())
    }

    /// A config of target-pendo that writes every column, as a file.
    pub(crate) fn config(&self, bench: &Bench, name: &str, more: Value) -> Result<PathBuf> {
        let mut config = json!({
            "integration_key": "sandbox-key",
            "base_url": format!("{}/pendo", self.url),
            "create_fields": true,
            "batch_records": BATCH,
            "rejects_path": bench.file("rejects.jsonl"),
            "streams": {"*": {"kind": "account"}},
        });
        let further = more.as_object().into_iter().flatten();
        for (key, value) in further {
            config[key.as_str()] = value.clone();
        }
        bench.write(&format!("target-{name}.json"), &config.to_string())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// target-pendo with a config.
pub(crate) fn target(bench: &Bench, config: &Path) -> Command {
    let mut command = bench.command("target-pendo");
    command.arg("--quiet").arg("--config").arg(config);
    command
}

/// Measures the target, the pipe and `only_changed`.
pub(crate) fn measure(bench: &mut Bench, database: &Database) -> Result<()> {
    if !["target", "pipe", "changed"]
        .iter()
        .any(|section| bench.wants(section))
    {
        return Ok(());
    }
    let lines = Lines::write(bench, database)?;
    if bench.wants("target") {
        measure_target(bench, &lines)?;
    }
    if bench.wants("pipe") {
        measure_pipe(bench, database, &lines)?;
    }
    if bench.wants("changed") {
        measure_only_changed(bench, &lines)?;
    }
    Ok(())
}

/// The main table as Singer lines in a file.
pub(crate) struct Lines {
    path: PathBuf,
    bytes: u64,
}

impl Lines {
    pub(crate) fn write(bench: &Bench, database: &Database) -> Result<Self> {
        let path = bench.file("pendo_account.singer");
        let bytes = write_lines(database.tap(bench, ACCOUNT.name)?, &path, bench.rows)?;
        Ok(Self { path, bytes })
    }

    pub(crate) fn row(&self, bench: &Bench, name: impl Into<String>) -> Row {
        Row {
            records: bench.rows,
            bytes: self.bytes,
            ..Row::new(name)
        }
    }

    pub(crate) fn feed(&self, command: Command) -> Result<Usage> {
        let ends = Ends {
            input: Some(self.path.clone()),
            output: None,
        };
        measure::run_pipe(vec![command], &ends).map(|usages| usages[0])
    }
}

/// Writes what a tap says into a file and returns its size; fails unless it has so many records.
pub(crate) fn write_lines(tap: Command, path: &Path, rows: u64) -> Result<u64> {
    let ends = Ends {
        input: None,
        output: Some(path.to_owned()),
    };
    measure::run_pipe(vec![tap], &ends)?;
    let file = File::open(path).context("cannot read the lines of the tap")?;
    // A disk that is still writing them takes its time from whoever is measured next.
    file.sync_all()
        .context("cannot sync the lines of the tap")?;
    let (records, _) = raw_loop::run(BufReader::new(file))?;
    ensure!(
        records == rows,
        "the tap wrote {records} records instead of {rows}"
    );
    Ok(path
        .metadata()
        .context("cannot see the size of a file")?
        .len())
}

fn measure_target(bench: &mut Bench, lines: &Lines) -> Result<()> {
    bench.section(
        "target-pendo from a file; ratio: speed over that of the bare loop in the same round",
    )?;
    let modes = ["drain", "discard", "store"];
    let mut raw = lines.row(bench, "bare loop, serde_json with a raw record");
    let mut rows: Vec<Row> = modes
        .iter()
        .map(|mode| lines.row(bench, format!("target-pendo, 0 ms, {mode}")))
        .collect();
    for _ in 0..bench.rounds {
        let reference = lines.feed(bench.raw_loop()?)?;
        raw.usages.push(reference);
        for (mode, row) in modes.iter().zip(&mut rows) {
            let mut sandbox = Sandbox::start(bench, mode, 0)?;
            let config = sandbox.config(bench, mode, json!({}))?;
            let usage = lines.feed(target(bench, &config))?;
            sandbox.expect(bench.rows)?;
            row.ratios
                .push(reference.wall.as_secs_f64() / usage.wall.as_secs_f64());
            row.usages.push(usage);
        }
    }
    let fastest = rows[0].rate();
    rows[0]
        .goals
        .push(Goal::at_least("rows/s", fastest, 350_000.0, ""));
    let ratio = rows[0].ratio();
    rows[0].goals.push(Goal::at_least("ratio", ratio, 0.4, ""));
    bench.row(&raw)?;
    for row in rows {
        bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    for parallel in PARALLEL {
        measure_slow_server(bench, lines, parallel, fastest)?;
    }
    Ok(())
}

fn measure_slow_server(
    bench: &mut Bench,
    lines: &Lines,
    parallel: u64,
    fastest: f64,
) -> Result<()> {
    let name = format!("target-pendo, {LATENCY_MILLISECONDS} ms, drain, {parallel} in flight");
    let mut row = lines.row(bench, name);
    for _ in 0..bench.rounds {
        let mut sandbox = Sandbox::start(bench, "drain", LATENCY_MILLISECONDS)?;
        let config = sandbox.config(bench, "slow", json!({"parallel": parallel}))?;
        row.usages.push(lines.feed(target(bench, &config))?);
        sandbox.expect(bench.rows)?;
    }
    let allowed = (parallel * BATCH * 1000 / LATENCY_MILLISECONDS) as f64;
    let share = row.rate() / allowed.min(fastest);
    row.goals
        .push(Goal::at_least("share of what is possible", share, 0.95, ""));
    bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))
}

fn measure_pipe(bench: &mut Bench, database: &Database, lines: &Lines) -> Result<()> {
    bench.section(
        "tap-redshift | target-pendo; database, both processes and sandbox share the processors",
    )?;
    for (mode, goal) in [
        ("drain", Some(200_000.0)),
        ("discard", Some(150_000.0)),
        ("store", None),
    ] {
        let mut tap = lines.row(bench, format!("whole pipe, {mode}: tap"));
        let mut target_row = lines.row(bench, format!("whole pipe, {mode}: target"));
        for _ in 0..bench.rounds {
            let mut sandbox = Sandbox::start(bench, mode, 0)?;
            let config = sandbox.config(bench, "pipe", json!({}))?;
            let commands = vec![database.tap(bench, ACCOUNT.name)?, target(bench, &config)];
            let usages = measure::run_pipe(commands, &Ends::default())?;
            sandbox.expect(bench.rows)?;
            tap.usages.push(usages[0]);
            target_row.usages.push(usages[1]);
        }
        if let Some(goal) = goal {
            target_row
                .goals
                .push(Goal::at_least("rows/s", target_row.rate(), goal, ""));
        }
        bench.row(&tap.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
        bench.row(&target_row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    Ok(())
}

fn measure_only_changed(bench: &mut Bench, lines: &Lines) -> Result<()> {
    bench.section("target-pendo with only_changed, from a file")?;
    let mut sandbox = Sandbox::start(bench, "drain", 0)?;
    let memory = bench.file("memory");
    let more = json!({
        "memory_path": memory,
        "streams": {"*": {"kind": "account", "only_changed": true}},
    });
    let config = sandbox.config(bench, "changed", more)?;
    let mut first = lines.row(bench, "everything is new");
    first.usages.push(lines.feed(target(bench, &config))?);
    sandbox.expect(bench.rows)?;
    let mut again = lines.row(bench, "nothing has changed");
    for _ in 0..bench.rounds {
        again.usages.push(lines.feed(target(bench, &config))?);
        sandbox.expect(0)?;
    }
    again
        .goals
        .push(Goal::at_least("rows/s", again.rate(), 200_000.0, ""));
    let kept = folder_bytes(&memory)? as f64 / bench.rows as f64;
    again
        .goals
        .push(Goal::at_most("kept for a record", kept, 40.0, " bytes"));
    bench.row(&first.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    bench.row(&again.with_memory_goal(MEMORY_GOAL_MEGABYTES))
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in folder
        .read_dir()
        .with_context(|| format!("cannot list `{}`", folder.display()))?
    {
        let entry = entry.context("cannot list a folder")?;
        let data = entry.metadata().context("cannot see the size of a file")?;
        bytes += if data.is_dir() {
            folder_bytes(&entry.path())?
        } else {
            data.len()
        };
    }
    Ok(bytes)
}
