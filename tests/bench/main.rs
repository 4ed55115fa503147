//! `make bench`: what the binaries cost, beside what the machine can do, and the goals.
//!
//! Everything is measured in rounds: each round runs the reference and then the measured commands, so
//! that a ratio compares runs of the same minute. What is printed are medians of the rounds. See
//! `README.md` beside this file for what each row means and what the next bottleneck is.

mod bigquery;
mod crm;
mod database;
mod measure;
mod pendo;
mod raw_loop;
mod report;
mod runner;
mod small;
mod tetra;
mod zoho;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::database::Database;
use crate::report::Row;

/// The word that makes this program the bare loop over Singer lines.
const RAW_LOOP: &str = "raw-loop";

/// What all measurements share.
pub(crate) struct Bench {
    /// Rows of the large table.
    pub(crate) rows: u64,
    /// How often each thing is measured.
    pub(crate) rounds: usize,
    /// Whether memory is also measured at ten times as many rows.
    pub(crate) big: bool,
    /// For the files that are written and read; emptied at the start.
    pub(crate) folder: PathBuf,
    binaries: PathBuf,
    only: Option<String>,
    lines: Vec<String>,
}

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some(RAW_LOOP) => run_raw_loop(),
        _ => run_bench(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_bench() -> Result<()> {
    let mut bench = Bench::new()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start tokio")?;
    let database = runtime.block_on(Database::start(&bench))?;
    bench.introduce(&database)?;
    database::measure(&mut bench, &database)?;
    pendo::measure(&mut bench, &database)?;
    bigquery::measure(&mut bench, &database)?;
    zoho::measure(&mut bench)?;
    crm::measure(&mut bench)?;
    tetra::measure(&mut bench)?;
    small::measure(&mut bench, &database, &runtime)?;
    runner::measure(&mut bench, &database)?;
    bench.finish()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bare loop reads what target-pendo reads: stdin"
)]
fn run_raw_loop() -> Result<()> {
    raw_loop::run(std::io::stdin().lock()).map(drop)
}

impl Bench {
    fn new() -> Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        // This program lies in `target/<profile>/deps`, the binaries one folder above.
        let binaries = own
            .ancestors()
            .nth(2)
            .context("this program lies in no folder")?;
        let target = binaries.parent().context("the binaries lie in no folder")?;
        let folder = target.join("bench");
        if folder.exists() {
            fs::remove_dir_all(&folder).context("cannot empty the folder of the last run")?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        Ok(Self {
            rows: number("BENCH_ROWS", 1_000_000)?,
            rounds: usize::try_from(number("BENCH_RUNS", 3)?)?.max(1),
            big: number("BENCH_BIG", 0)? > 0,
            binaries: binaries.to_owned(),
            only: variable("BENCH_ONLY"),
            lines: Vec::new(),
            folder,
        })
    }

    /// One of the binaries.
    pub(crate) fn command(&self, binary: &str) -> Command {
        Command::new(self.binaries.join(binary))
    }

    /// This program as the bare loop.
    pub(crate) fn raw_loop(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(RAW_LOOP);
        Ok(command)
    }

    /// A file in the folder of this run.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of this run and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    /// Whether a section is wanted: `BENCH_ONLY` names sections, all are if it is not set.
    pub(crate) fn wants(&self, section: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.split(',').any(|word| word == section))
    }

    /// Begins a section of the table.
    pub(crate) fn section(&mut self, title: &str) -> Result<()> {
        self.say("")?;
        self.say(title)
    }

    /// Prints a row.
    pub(crate) fn row(&mut self, row: &Row) -> Result<()> {
        self.say(&report::render(row))
    }

    /// Prints a line to stdout and keeps it for the file.
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark's own output; no Singer messages"
    )]
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        self.lines.push(line.to_owned());
        writeln!(std::io::stdout(), "{line}").context("cannot write to stdout")
    }

    fn introduce(&mut self, database: &Database) -> Result<()> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.say(&format!(
            "{} rows, medians of {} rounds, {processors} processors, {}, {}",
            report::thousands(self.rows as f64),
            self.rounds,
            database.describe(),
            self.profile(),
        ))?;
        self.say("")?;
        self.say(&report::head())
    }

    fn profile(&self) -> String {
        let folder = self.binaries.file_name().unwrap_or_default();
        format!("cargo profile {}", folder.to_string_lossy())
    }

    fn finish(mut self) -> Result<()> {
        let missed = self
            .lines
            .iter()
            .filter(|line| line.contains("NOT MET"))
            .count();
        let met = self
            .lines
            .iter()
            .filter(|line| line.contains("  met: "))
            .count();
        self.say("")?;
        self.say(&format!("goals met: {met}, not met: {missed}"))?;
        let text = self.lines.join("\n") + "\n";
        for large in large_files(&self.folder)? {
            fs::remove_file(&large)
                .with_context(|| format!("cannot remove `{}`", large.display()))?;
        }
        self.write("latest.txt", &text).map(drop)
    }
}

/// The files of records: gigabytes that nobody needs afterwards.
fn large_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).context("cannot list the folder of this run")?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    let is_large = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "singer")
    };
    Ok(paths.into_iter().filter(is_large).collect())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark has no config file"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u64) -> Result<u64> {
    match variable(name) {
        Some(text) => text
            .parse()
            .with_context(|| format!("`{name}` is no number")),
        None => Ok(default),
    }
}
