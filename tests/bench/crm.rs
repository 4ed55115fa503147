//! Zoho CRM: leads read in bulk, changed by filters, written back in bulk; each alone, then the pipe of all three.
//! The server is the sandbox, on the same processors: it makes the archives that the tap unzips, and writes
//! every row that it is sent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use serde_json::{Value, json};

use crate::Bench;
use crate::measure::{self, Ends, Usage};
use crate::pendo::{MEMORY_GOAL_MEGABYTES, Sandbox, write_lines};
use crate::report::{Goal, Row};

/// What `limits.md` asks of the tap and of the target alone.
const TAP_GOAL: f64 = 250_000.0;
const ZIPPED_GOAL: f64 = 150_000.0;

/// A config of map-records, and the rows a second that are wanted of it.
const MAPS: [(&str, &str, f64); 3] = [
    ("map-records, no rule", r#"{"streams": {}}"#, 700_000.0),
    (
        "map-records, drop and rename",
        r#"{"streams": {"Leads": {"drop": ["Description", "Fax*"], "rename": {"Email": "mail"}}}}"#,
        250_000.0,
    ),
    (
        "map-records, a filter in jq",
        r#"{"streams": {"Leads": {"filter": "select(.Lead_Status != \"Lost Lead\") | .Score = 5"}}}"#,
        80_000.0,
    ),
];

/// The same filter for jq, which sees whole messages.
const JQ: &str =
    r#"select(.record.Lead_Status != "Lost Lead") | if .record then .record.Score = 5 else . end"#;

/// Measures the tap, the map, the target, and all three.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants("crm") {
        return Ok(());
    }
    let crm = Crm::start(bench)?;
    let lines = bench.file("leads.singer");
    let bytes = write_lines(crm.tap(bench), &lines, bench.rows)?;
    let clean = bench.file("clean.singer");
    measure::run_pipe(vec![crm.cleanup(bench)], &ends(&lines, Some(&clean)))?;
    bench.section(
        "Zoho CRM, leads of 45 fields; ratio: speed over that of `cat` over the same lines",
    )?;
    let row = |name: &str| Row {
        records: bench.rows,
        bytes,
        ..Row::new(name)
    };
    let mut bare = row("cat");
    let mut tap = row("tap-crm, bulk read, to /dev/null");
    let mut maps = MAPS.map(|(name, ..)| row(name));
    let mut jq = row("jq, the same filter (one processor)");
    let mut target = row("target-crm-bulkwrite from a file, update");
    let mut pipe = row("tap-crm | map-records | target-crm-bulkwrite");
    let has_jq = is_there("jq");
    for _ in 0..bench.rounds {
        let reference = one(Command::new("cat"), &ends(&lines, None))?;
        bare.usages.push(reference);
        let add = |row: &mut Row, usage: Usage| {
            row.ratios
                .push(reference.wall.as_secs_f64() / usage.wall.as_secs_f64());
            row.usages.push(usage);
        };
        add(&mut tap, one(crm.tap(bench), &Ends::default())?);
        for (row, config) in maps.iter_mut().zip(&crm.maps) {
            add(row, one(crm.map(bench, config), &ends(&lines, None))?);
        }
        if has_jq {
            let mut command = Command::new("jq");
            command.args(["-c", JQ]);
            add(&mut jq, one(command, &ends(&lines, None))?);
        }
        add(&mut target, one(crm.target(bench), &ends(&clean, None))?);
        let all = vec![crm.tap(bench), crm.cleanup(bench), crm.target(bench)];
        add(
            &mut pipe,
            together(&measure::run_pipe(all, &Ends::default())?),
        );
    }
    tap.goals.push(Goal::at_least(
        "rows/s of CPU",
        tap.rate_of_cpu(),
        TAP_GOAL,
        "",
    ));
    for (row, (.., goal)) in maps.iter_mut().zip(MAPS) {
        let reached = row.rate();
        row.goals.push(Goal::at_least("rows/s", reached, goal, ""));
    }
    let reached = target.rate_of_cpu();
    let goal = Goal::at_least("rows/s of CPU", reached, ZIPPED_GOAL, "");
    target.goals.push(goal);
    bench.row(&bare)?;
    if has_jq {
        bench.row(&jq)?;
    }
    for row in maps.into_iter().chain([tap, target, pipe]) {
        bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    Ok(())
}

fn ends(input: &Path, output: Option<&Path>) -> Ends {
    Ends {
        input: Some(input.to_owned()),
        output: output.map(Path::to_owned),
    }
}

fn one(command: Command, ends: &Ends) -> Result<Usage> {
    measure::run_pipe(vec![command], ends).map(|usages| usages[0])
}

/// What a pipe cost: the time until its last program ended, the sum of the processors' times, the largest memory.
fn together(usages: &[Usage]) -> Usage {
    Usage {
        wall: usages
            .iter()
            .map(|usage| usage.wall)
            .max()
            .unwrap_or_default(),
        cpu: usages.iter().map(|usage| usage.cpu).sum(),
        peak_bytes: usages.iter().filter_map(|usage| usage.peak_bytes).max(),
    }
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The stand-in, and the configs that lead there.
struct Crm {
    tap: PathBuf,
    target: PathBuf,
    maps: Vec<PathBuf>,
    cleanup: PathBuf,
    // Ends when it is dropped.
    _sandbox: Sandbox,
}

impl Crm {
    fn start(bench: &Bench) -> Result<Self> {
        let rows = bench.rows.to_string();
        let sandbox = Sandbox::start_with(
            bench,
            &[
                "--crm-sample",
                "leads",
                "--crm-rows",
                &rows,
                "--crm-job-polls",
                "0",
                "--crm-credits",
                "1000000000",
                "--crm-downloads",
                "1000000",
            ],
        )?;
        let connection = |more: Value| {
            let mut config = json!({
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
                "refresh_token": "sandbox-refresh",
                "accounts_url": sandbox.url(),
                "api_url": sandbox.url(),
                "token_cache_path": bench.file("crm-token.json"),
            });
            for (key, value) in more.as_object().into_iter().flatten() {
                config[key.as_str()] = value.clone();
            }
            config.to_string()
        };
        let target = connection(json!({
            "rejects_path": bench.file("crm.rejects.jsonl"),
            "streams": {"Leads": {"operation": "update", "find_by": "id"}},
        }));
        let maps = MAPS.iter().enumerate();
        let maps =
            maps.map(|(place, (_, config, _))| bench.write(&format!("map-{place}.json"), config));
        let cleanup = r#"{"streams": {"Leads": {
            "filter": "{id, Last_Name, Company, City: (.City // \"\" | ascii_downcase), Score: 5}",
            "drop": ["*"],
            "schema": {"Last_Name": "string", "Company": "string", "City": "string", "Score": "integer"}
        }}}"#;
        Ok(Self {
            tap: bench.write("tap-crm.json", &connection(json!({})))?,
            target: bench.write("target-crm.json", &target)?,
            maps: maps.collect::<Result<_>>()?,
            cleanup: bench.write("cleanup.json", cleanup)?,
            _sandbox: sandbox,
        })
    }

    fn tap(&self, bench: &Bench) -> Command {
        let mut command = bench.command("tap-crm");
        command.args(["--quiet", "--select", "Leads", "--config"]);
        command.arg(&self.tap).current_dir(&bench.folder);
        command
    }

    fn map(&self, bench: &Bench, config: &Path) -> Command {
        let mut command = bench.command("map-records");
        command.args(["--quiet", "--config"]).arg(config);
        command.current_dir(&bench.folder);
        command
    }

    fn cleanup(&self, bench: &Bench) -> Command {
        self.map(bench, &self.cleanup)
    }

    fn target(&self, bench: &Bench) -> Command {
        let mut command = bench.command("target-crm-bulkwrite");
        command.args(["--quiet", "--config"]).arg(&self.target);
        command.current_dir(&bench.folder);
        command
    }
}
