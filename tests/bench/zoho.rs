//! Out of a Catalyst Data Store, and into Zoho Analytics: each alone, then the pipe of both. The server is
//! the sandbox, on the same processors: it makes the archives that the tap unzips, and counts the rows
//! that the target imports without keeping them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Bench;
use crate::measure::{self, Ends, Usage};
use crate::pendo::{MEMORY_GOAL_MEGABYTES, Sandbox, write_lines};
use crate::report::{Goal, Row};

/// What `limits.md` asks of the tap and of the target alone.
const GOAL: f64 = 250_000.0;

/// Measures the tap, the target, and both.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants("zoho") {
        return Ok(());
    }
    let rows = bench.rows.to_string();
    let service = Zoho {
        sandbox: Sandbox::start_with(
            bench,
            &[
                "--datastore-rows",
                &rows,
                "--datastore-job-polls",
                "0",
                "--analytics-job-polls",
                "0",
                "--analytics-drain",
                "--analytics-units",
                "1000000000",
                "--analytics-calls",
                "1000000",
                "--analytics-bulk-calls",
                "1000000",
            ],
        )?,
        tap: PathBuf::new(),
        target: PathBuf::new(),
    }
    .with_configs(bench)?;
    let path = bench.file("trips.singer");
    let bytes = write_lines(service.tap(bench), &path, bench.rows)?;
    let records = bench.rows;
    let row = |name: &str| Row {
        records,
        bytes,
        ..Row::new(name)
    };
    bench.section(
        "Data Store to Analytics, 15 columns; ratio: speed over that of the bare loop over the same lines",
    )?;
    let mut raw = row("bare loop, serde_json with a raw record");
    let mut tap = row("tap-datastore, bulk read, to /dev/null");
    let mut target = row("target-analytics from a file, upsert");
    let mut pipe = row("tap-datastore | target-analytics");
    let from_file = || Ends {
        input: Some(path.clone()),
        output: None,
    };
    for _ in 0..bench.rounds {
        let reference = one(bench.raw_loop()?, &from_file())?;
        raw.usages.push(reference);
        let add = |row: &mut Row, usage: Usage| {
            row.ratios
                .push(reference.wall.as_secs_f64() / usage.wall.as_secs_f64());
            row.usages.push(usage);
        };
        add(&mut tap, one(service.tap(bench), &Ends::default())?);
        add(&mut target, one(service.target(bench), &from_file())?);
        let both = measure::run_pipe(
            vec![service.tap(bench), service.target(bench)],
            &Ends::default(),
        )?;
        ensure!(
            service.sandbox.has_seen("analytics")?,
            "nothing has arrived at the sandbox"
        );
        add(
            &mut pipe,
            Usage {
                wall: both[1].wall,
                cpu: both[0]
                    .cpu
                    .zip(both[1].cpu)
                    .map(|(tap, target)| tap + target),
                peak_bytes: both[0].peak_bytes.max(both[1].peak_bytes),
            },
        );
    }
    bench.row(&raw)?;
    let reached = tap.rate_of_cpu();
    tap.goals
        .push(Goal::at_least("rows/s of CPU", reached, GOAL, ""));
    let reached = target.rate();
    target
        .goals
        .push(Goal::at_least("rows/s", reached, GOAL, ""));
    for row in [tap, target, pipe] {
        bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    Ok(())
}

fn one(command: Command, ends: &Ends) -> Result<Usage> {
    measure::run_pipe(vec![command], ends).map(|usages| usages[0])
}

/// The stand-in, and the configs that lead there.
struct Zoho {
    sandbox: Sandbox,
    tap: PathBuf,
    target: PathBuf,
}

impl Zoho {
    fn with_configs(mut self, bench: &Bench) -> Result<Self> {
        let common = |more: Value| {
            let mut config = json!({
                "client_id": "sandbox-client",
                "client_secret": "sandbox-secret",
                "refresh_token": "sandbox-refresh",
                "accounts_url": self.sandbox.url(),
                "token_cache_path": bench.file("token.json"),
            });
            for (key, value) in more.as_object().into_iter().flatten() {
                config[key.as_str()] = value.clone();
            }
            config.to_string()
        };
        let tap = common(json!({
            "api_url": self.sandbox.url(),
            "project_id": "4000000006007",
            "time_zone": "Asia/Kolkata",
        }));
        let target = common(json!({
            "analytics_url": self.sandbox.url(),
            "workspace_id": "260000000001003",
            "rejects_path": bench.file("analytics.rejects.jsonl"),
            "calls_per_minute": {"rows": 1_000_000, "bulk": 1_000_000, "metadata": 1_000_000},
        }));
        self.tap = bench.write("tap-datastore.json", &tap)?;
        self.target = bench.write("target-analytics.json", &target)?;
        Ok(self)
    }

    fn tap(&self, bench: &Bench) -> Command {
        let mut command = bench.command("tap-datastore");
        command.args(["--quiet", "--select", "Trips", "--config"]);
        command.arg(&self.tap).current_dir(&bench.folder);
        command
    }

    fn target(&self, bench: &Bench) -> Command {
        let mut command = bench.command("target-analytics");
        command.args(["--quiet", "--config"]).arg(&self.target);
        command.current_dir(&bench.folder);
        command
    }
}
