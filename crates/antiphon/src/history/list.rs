//! `antiphon list`: every pipeline in a line.

use chrono::{DateTime, Local, Utc};
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use singer_core::Result;
use singer_runtime::{exit, stdio};

use super::text::{self, Column};
use super::{Brief, Index, Outcome, index};
use crate::cli::Format;
use crate::live::{self, Live};
use crate::lock;
use crate::session::Session;
use crate::spec::{LocalTime, Pipeline};

/// How many pipelines are asked side by side.
const SIDE_BY_SIDE: usize = 16;
/// How many outcomes are shown.
const STRIP: usize = 20;

const EXAMPLES: &str = "Examples:
  antiphon list
  antiphon list --format json | jq -r 'select(.rejects_open > 0).pipeline'";

/// The arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArguments {
    /// The form of what is printed; JSON is one object a line
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    format: Format,
}

/// A pipeline as it is listed.
#[derive(Debug, Serialize)]
struct Line {
    pipeline: String,
    schedule: Option<String>,
    next_at: Option<DateTime<Utc>>,
    running: Option<Running>,
    last: Option<Brief>,
    last_good: Option<Brief>,
    rejects_open: u64,
    /// The newest at last.
    outcomes: Vec<Outcome>,
    #[serde(skip)]
    strip: String,
}

/// What a pipeline is doing now.
#[derive(Debug, Serialize)]
struct Running {
    run: String,
    host: String,
    since: String,
    /// What has been read so far, if somebody says so.
    records: Option<u64>,
    rate: Option<f64>,
}

/// Runs the command.
pub(crate) async fn run(session: Session, arguments: ListArguments) -> anyhow::Result<u8> {
    let lines: Vec<Line> = stream::iter(session.project.pipelines.values())
        .map(async |pipeline| look_at(&session, pipeline).await)
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    let text = match arguments.format {
        Format::Text => to_text(&lines, session.clock().now()),
        Format::Json => {
            let mut text = String::new();
            for line in &lines {
                text.push_str(&serde_json::to_string(line)?);
                text.push('\n');
            }
            text
        }
    };
    stdio::print(text.as_bytes())?;
    Ok(exit::DONE)
}

async fn look_at(session: &Session, pipeline: &Pipeline) -> Result<Line> {
    let name = &pipeline.name;
    let index = index::load(session, name).await?;
    let running = running(session, name).await?;
    let first = index.runs.len().saturating_sub(STRIP);
    let shown = index.runs.get(first..).unwrap_or_default();
    Ok(Line {
        pipeline: name.clone(),
        schedule: pipeline.schedule.clone(),
        next_at: next_due(pipeline, session.clock().now()),
        running,
        outcomes: shown.iter().map(|run| run.outcome).collect(),
        strip: text::strip(shown),
        rejects_open: index.rejects_open(),
        last: index.runs.last().cloned(),
        last_good: index.last_good,
    })
}

async fn running(session: &Session, pipeline: &str) -> Result<Option<Running>> {
    let Some(holder) = lock::holder(session, pipeline).await? else {
        return Ok(None);
    };
    // Who holds the lease is what counts; how far it has come may be told or not.
    let live = live::of(session, pipeline).await.ok().flatten();
    let live = live.filter(|live| live.run == holder.run);
    let known = |live: &Live| -> Vec<u64> {
        let records = live.streams.values().map(|counts| counts.records);
        records.flatten().collect()
    };
    let known = live.as_ref().map(known).unwrap_or_default();
    Ok(Some(Running {
        run: holder.run,
        host: holder.host,
        since: holder.since,
        records: (!known.is_empty()).then(|| known.iter().sum()),
        rate: live.and_then(|live| live.rate),
    }))
}

/// When the schedule of a pipeline is due after a time; `None` if it has no schedule.
fn next_due(pipeline: &Pipeline, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    // It was checked when the project was read.
    let cron = crate::spec::schedule::parse(pipeline.schedule.as_deref()?).ok()?;
    match pipeline.local_time {
        LocalTime::Utc => cron.find_next_occurrence(&after, false).ok(),
        LocalTime::Local => {
            let after = after.with_timezone(&Local);
            let next = cron.find_next_occurrence(&after, false).ok()?;
            Some(next.with_timezone(&Utc))
        }
    }
}

fn to_text(lines: &[Line], now: DateTime<Utc>) -> String {
    if lines.is_empty() {
        return "the project has no pipelines\n".to_owned();
    }
    let columns = [
        Column::Left("PIPELINE"),
        Column::Left("NOW"),
        Column::Left("LAST"),
        Column::Left("WHEN"),
        Column::Right("TOOK"),
        Column::Right("RECORDS"),
        Column::Right("OPEN REJECTS"),
        Column::Left("LAST 20"),
        Column::Left("LAST GOOD"),
        Column::Left("NEXT"),
    ];
    let rows: Vec<Vec<String>> = lines.iter().map(|line| row(line, now)).collect();
    let mut text = text::table(&columns, &rows);
    if lines.iter().any(|line| line.strip.contains(|it| it != '·')) {
        text.push_str(&format!("\n{}\n", text::LEGEND));
    }
    text
}

fn row(line: &Line, now: DateTime<Utc>) -> Vec<String> {
    let nothing = || text::NOTHING.to_owned();
    let ago = |brief: &Brief| text::distance(brief.started_at, now);
    let last = line.last.as_ref();
    vec![
        line.pipeline.clone(),
        line.running.as_ref().map_or_else(nothing, running_words),
        last.map_or_else(
            || "never ran".to_owned(),
            |last| last.outcome.words().to_owned(),
        ),
        last.map_or_else(nothing, ago),
        last.map_or_else(nothing, |last| text::took(last.duration_seconds)),
        text::count(last.and_then(|last| last.records)),
        text::count(Some(line.rejects_open)),
        line.strip.clone(),
        line.last_good.as_ref().map_or_else(nothing, ago),
        line.next_at
            .map_or_else(nothing, |at| text::distance(at, now)),
    ]
}

fn running_words(running: &Running) -> String {
    match running.records {
        Some(records) => format!("running, {} records", text::count(Some(records))),
        None => "running".to_owned(),
    }
}

impl Index {
    /// The open rejects of all runs.
    pub(crate) fn rejects_open(&self) -> u64 {
        self.open.values().sum()
    }
}
