//! What `antiphon run` adds: to the wall time of the bare pipe, and of its own CPU where there is nothing
//! to do.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::Bench;
use crate::database::{ACCOUNT, Database};
use crate::measure::{self, Ends};
use crate::pendo::{self, Sandbox};
use crate::report::{Goal, Row, median};

/// The kernel's count of CPU time is exact over a sum of short processes.
const EMPTY_RUNS: usize = 50;

/// As many as a platform with a pipeline for each tenant has in one file.
const PIPELINES: usize = 1000;

/// Measures the runner beside the bare pipe, and runs of it that find nothing to do.
pub(crate) fn measure(bench: &mut Bench, database: &Database) -> Result<()> {
    if !bench.wants("runner") {
        return Ok(());
    }
    measure_pipe(bench, database)?;
    measure_empty(bench)
}

fn measure_pipe(bench: &mut Bench, database: &Database) -> Result<()> {
    bench.section(
        "antiphon run; ratio: its wall time over that of the bare pipe in the same round",
    )?;
    let mut bare = Row {
        records: bench.rows,
        ..Row::new("tap-redshift | target-pendo, drain")
    };
    let mut run = Row {
        records: bench.rows,
        ..Row::new("the same under antiphon run")
    };
    let folder = project_folder(bench, "runner")?;
    for _ in 0..bench.rounds {
        let mut sandbox = Sandbox::start(bench, "drain", 0)?;
        let config = sandbox.config(bench, "runner", json!({}))?;
        let tap = database.tap(bench, ACCOUNT.name)?;
        let target = pendo::target(bench, &config);
        let project = write_project(&folder, &[pipeline("accounts", &tap, &target)])?;
        let ends = Ends::default();
        let usages = measure::run_pipe(vec![tap, target], &ends)?;
        sandbox.expect(bench.rows)?;
        bare.usages.push(usages[1]);
        let mut command = antiphon(bench, &project);
        // The catalog of the tap selects by flag: without a state every run reads the whole table.
        command.args(["run", "accounts", "--full-refresh", "--quiet"]);
        let usage = measure::run(command)?;
        sandbox.expect(bench.rows)?;
        run.ratios
            .push(usage.wall.as_secs_f64() / usages[1].wall.as_secs_f64());
        run.usages.push(usage);
    }
    let ratio = run.ratio();
    run.goals.push(Goal::at_most("ratio", ratio, 1.03, ""));
    bench.row(&bare)?;
    bench.row(&run)
}

fn measure_empty(bench: &mut Bench) -> Result<()> {
    bench
        .section("antiphon run of a pipeline with nothing to do, one of a thousand in its file")?;
    let folder = project_folder(bench, "runner-empty")?;
    let stages = || (Command::new("true"), Command::new("cat"));
    let (tap, target) = stages();
    let pipelines: Vec<String> = (0..PIPELINES)
        .map(|number| pipeline(&format!("tenant-{number}"), &tap, &target))
        .collect();
    let project = write_project(&folder, &pipelines)?;
    let bare = cpu_of(|| {
        let (tap, target) = stages();
        measure::run_pipe(vec![tap, target], &Ends::default()).map(drop)
    })?;
    let mut walls = Vec::new();
    let all = cpu_of(|| {
        let mut command = antiphon(bench, &project);
        command.args(["run", "tenant-7", "--quiet"]);
        walls.push(measure::run(command)?.wall.as_secs_f64() * 1e3);
        Ok(())
    })?;
    let mut row = Row::new(format!("nothing to do: wall {:.0} ms", median(walls)));
    if let Some((all, bare)) = all.zip(bare) {
        row.goals
            .push(Goal::at_most("its own CPU", all - bare, 10.0, " ms"));
    }
    bench.row(&row)
}

/// Milliseconds of CPU for one call, over many.
fn cpu_of(mut once: impl FnMut() -> Result<()>) -> Result<Option<f64>> {
    // The first call reads programs from the disk.
    once()?;
    let before = measure::cpu_of_children();
    for _ in 0..EMPTY_RUNS {
        once()?;
    }
    let spent = before
        .zip(measure::cpu_of_children())
        .map(|(before, after)| after - before);
    Ok(spent.map(|spent| spent.as_secs_f64() * 1e3 / EMPTY_RUNS as f64))
}

fn antiphon(bench: &Bench, project: &Path) -> Command {
    let mut command = bench.command("antiphon");
    command.arg("--file").arg(project);
    command
}

fn project_folder(bench: &Bench, name: &str) -> Result<PathBuf> {
    let folder = bench.file(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    Ok(folder)
}

fn write_project(folder: &Path, pipelines: &[String]) -> Result<PathBuf> {
    let path = folder.join("antiphon.toml");
    fs::write(&path, pipelines.concat())
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

/// A pipeline of two commands as they stand, whose stages count for themselves.
fn pipeline(name: &str, tap: &Command, target: &Command) -> String {
    let mut text = format!("[pipelines.{name}]\ncount = \"metrics\"\n");
    for (stage, command) in [("tap", tap), ("target", target)] {
        let arguments: Vec<String> = command
            .get_args()
            .map(|argument| quoted(&argument.to_string_lossy()))
            .collect();
        // A string takes everything.
        let _written = writeln!(
            text,
            "{stage} = {{ exec = {}, args = [{}] }}",
            quoted(&command.get_program().to_string_lossy()),
            arguments.join(", ")
        );
    }
    text
}

/// A basic string of TOML; what JSON escapes, TOML reads as well.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}
