//! The Tetra Data Platform: how near the content of files comes to what the calls at once and the answers' delay
//! allow, and how fast files come that are not fetched. The server is the sandbox, on the same processors.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::Bench;
use crate::measure::{self, Usage};
use crate::pendo::{MEMORY_GOAL_MEGABYTES, Sandbox};
use crate::report::{Goal, Row};

/// Files whose content is fetched, and the bytes of each.
const FILES: usize = 500;
const FILE_BYTES: usize = 50_000;

/// How late each answer comes.
const LATENCY: Duration = Duration::from_millis(50);

/// Files fetched at once, as the tap does if nobody says otherwise.
const PARALLEL: usize = 10;

/// What the issue asks for: no more than so many times `ceil(files / at once) × latency`.
const GOAL: f64 = 1.2;

/// Files that are only found.
const FOUND: u64 = 25_000;

/// Measures both.
pub(crate) fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants("tetra") {
        return Ok(());
    }
    fetching(bench)?;
    finding(bench)
}

/// Each way of fetching the same files. What a run costs that fetches none is taken off.
fn fetching(bench: &mut Bench) -> Result<()> {
    let latency = LATENCY.as_millis().to_string();
    let sandbox = Sandbox::start_with(bench, &["--latency-ms", &latency, "--tetra-index-ms", "0"])?;
    sandbox.post("tetra/files", &files().to_string())?;
    let ideal = LATENCY * FILES.div_ceil(PARALLEL) as u32;
    bench.section(&format!(
        "Tetra, {FILES} files of 50 kB, {PARALLEL} at once, answers {latency} ms late; ratio: wall less that of `none`, over the ideal {:.1} s",
        ideal.as_secs_f64()
    ))?;
    let row = |name: &str| Row {
        records: FILES as u64,
        bytes: (FILES * FILE_BYTES) as u64,
        ..Row::new(name)
    };
    let mut bare = Row {
        records: FILES as u64,
        ..Row::new("tap-tetra-searcheql, retrieve none")
    };
    let ways = [
        ("retrieve json, by links", json!({"retrieve": "json"})),
        ("retrieve file, by links", json!({"retrieve": "file"})),
        (
            "retrieve json, through the API",
            json!({"retrieve": "json", "presigned": false}),
        ),
    ];
    let mut rows = ways.each_ref().map(|(name, _)| row(name));
    for _ in 0..bench.rounds {
        let none = run(bench, &sandbox, &json!({}))?;
        bare.usages.push(none);
        for (row, (_, settings)) in rows.iter_mut().zip(&ways) {
            let usage = run(bench, &sandbox, settings)?;
            let fetched = usage.wall.saturating_sub(none.wall);
            row.ratios.push(fetched.as_secs_f64() / ideal.as_secs_f64());
            row.usages.push(usage);
        }
    }
    bench.row(&bare)?;
    for mut row in rows {
        let ratio = row.ratio();
        row.goals
            .push(Goal::at_most("of the ideal", ratio, GOAL, ""));
        bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))?;
    }
    Ok(())
}

/// Files in pages, without their content.
fn finding(bench: &mut Bench) -> Result<()> {
    let files = FOUND.to_string();
    let sandbox = Sandbox::start_with(
        bench,
        &["--tetra-sample", "instruments", "--tetra-files", &files],
    )?;
    bench.section(
        "Tetra, files of a laboratory, not fetched; the sandbox searches on the same processors",
    )?;
    let mut row = Row {
        records: FOUND,
        ..Row::new("tap-tetra-searcheql, retrieve none, to /dev/null")
    };
    let fields = [
        "category",
        "createdAt",
        "filePath",
        "idsType",
        "idsVersion",
        "source",
        "labels",
        "metadata",
    ];
    let settings = json!({"streams": {"files": {"source": fields}}, "sample_size": 50});
    for _ in 0..bench.rounds {
        row.usages.push(run(bench, &sandbox, &settings)?);
    }
    bench.row(&row.with_memory_goal(MEMORY_GOAL_MEGABYTES))
}

/// Files of one moment, each an array of numbers and so many bytes.
fn files() -> Value {
    // Eight bytes a number, the comma included.
    let numbers =
        (0..FILE_BYTES / 8 - 4).map(|number| format!("{:04}.25,", 1_000 + number % 9_000));
    let mut text = format!("{{\"signal\":[{}0]}}", numbers.collect::<String>());
    let filling = FILE_BYTES.saturating_sub(text.len());
    text.push_str(&" ".repeat(filling));
    let file = |number: usize| {
        json!({"text": text, "document": {
            "category": "IDS", "filePath": format!("/bench/{number}.json"), "idsVersion": "v1.0.0",
            "indexedAt": "2024-05-06T00:00:00.000Z"}})
    };
    (0..FILES).map(file).collect()
}

/// The tap over all files. Each run downloads into a folder of its own: files that are there would be known again,
/// and file systems pass over what was removed a moment ago at a cost that is not the tap's.
fn run(bench: &Bench, sandbox: &Sandbox, settings: &Value) -> Result<Usage> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let downloads = bench.file(&format!(
        "downloads-{}",
        RUNS.fetch_add(1, Ordering::Relaxed)
    ));
    let mut config = json!({
        "base_url": format!("{}/tetra", sandbox.url()), "auth_token": "sandbox-token", "org_slug": "acme",
        "start_date": "2024-01-01T00:00:00Z", "streams": {"files": {}}, "parallel": PARALLEL,
        "download_dir": downloads,
        // Types are found by looking at some files, which is not what is measured here.
        "sample_size": 1,
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        config[key.as_str()] = value.clone();
    }
    let config = bench.write("tap-tetra.json", &config.to_string())?;
    let mut command: Command = bench.command("tap-tetra-searcheql");
    command.args(["--quiet", "--select", "files", "--config"]);
    command.arg(&config).current_dir(&bench.folder);
    measure::run(command)
}
