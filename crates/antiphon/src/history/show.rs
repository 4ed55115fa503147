//! `antiphon history`: the runs of pipelines, and the whole of one.

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use super::text::{self, Column};
use super::{Brief, find, index, keys, one};
use crate::cli::Format;
use crate::session::Session;

/// How many pipelines or summaries are read side by side.
const SIDE_BY_SIDE: usize = 16;

const EXAMPLES: &str = "Examples:
  antiphon history accounts --limit 5
  antiphon history --failed --since 2d         what went wrong lately, of all pipelines
  antiphon history --run 20261123T18           one run in full: stages, streams, states";

/// The arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArguments {
    /// Pipelines [default: all], or the id of one run, which may be cut
    #[arg(value_name = "PIPELINE")]
    names: Vec<String>,

    /// The whole of one run; its id may be cut to what is unique
    #[arg(long, value_name = "RUN", conflicts_with = "names")]
    run: Option<String>,

    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// Runs that started since then: `2d`, `36h`, `2026-01-31`, or a whole RFC 3339 time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Only runs that did not do their work
    #[arg(long)]
    failed: bool,

    /// The form of what is printed; JSON is a summary a line, as it is stored
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    format: Format,
}

/// Which runs are wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    most: usize,
    since: Option<DateTime<Utc>>,
    outcomes: Outcomes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcomes {
    All,
    Failed,
}

impl Wanted {
    fn takes(&self, run: &Brief) -> bool {
        self.since.is_none_or(|since| run.started_at >= since)
            && (self.outcomes == Outcomes::All || !run.outcome.is_good())
    }
}

/// Runs the command.
pub(crate) async fn run(session: Session, arguments: HistoryArguments) -> anyhow::Result<u8> {
    let pipelines = match (&arguments.run, arguments.names.as_slice()) {
        (Some(run), _) => return show_one(&session, run, arguments.format).await,
        (None, []) => session.project.pipelines.keys().cloned().collect(),
        (None, [name]) if !is_pipeline(&session, name).await? => {
            return show_one(&session, name, arguments.format).await;
        }
        (None, names) => {
            for name in names {
                if !is_pipeline(&session, name).await? {
                    session.project.pipeline(name)?;
                }
            }
            names.to_vec()
        }
    };
    let since = match &arguments.since {
        Some(text) => Some(parse_since(text, session.clock().now())?),
        None => None,
    };
    let wanted = Wanted {
        most: arguments.limit,
        since,
        outcomes: if arguments.failed {
            Outcomes::Failed
        } else {
            Outcomes::All
        },
    };
    let found = runs(&session, pipelines, wanted).await?;
    match arguments.format {
        Format::Text => stdio::print(to_text(&found).as_bytes())?,
        Format::Json => print_json(&session, &found).await?,
    }
    Ok(exit::DONE)
}

/// Whether a name is that of a pipeline, also one that the project no longer has.
async fn is_pipeline(session: &Session, name: &str) -> Result<bool> {
    if session.project.pipelines.contains_key(name) {
        return Ok(true);
    }
    let pipelines = session.store.folders(keys::PIPELINES).await?;
    Ok(pipelines.iter().any(|known| known == name))
}

async fn show_one(session: &Session, run: &str, format: Format) -> anyhow::Result<u8> {
    let Some(summary) = super::find(session, run).await? else {
        return Err(not_found(session, run).await?.into());
    };
    let text = match format {
        Format::Text => one::to_text(&summary),
        Format::Json => format!("{}\n", serde_json::to_string(&summary)?),
    };
    stdio::print(text.as_bytes())?;
    Ok(exit::DONE)
}

/// The error for a run that has no summary.
async fn not_found(session: &Session, run: &str) -> Result<Error> {
    if let Some(place) = find::locate(session, run).await? {
        let error = Error::config(format!(
            "the run `{}` of `{}` has no summary: it is under way, or was not recorded yet",
            place.run, place.pipeline
        ));
        let hint = format!("`antiphon logs {} --follow` shows what it says", place.run);
        return Ok(error.with_hint(hint));
    }
    let mut error = Error::config(format!("there is no run and no pipeline `{run}`"))
        .with_hint("`antiphon history` shows the last runs, `antiphon list` the pipelines");
    // It may be the name of a pipeline with a mistake in it.
    if let Err(unknown) = session.project.pipeline(run) {
        for hint in unknown.hints() {
            error = error.with_hint(hint);
        }
    }
    Ok(error)
}

/// The wanted runs of pipelines, the newest first, each with its pipeline.
async fn runs(
    session: &Session,
    pipelines: Vec<String>,
    wanted: Wanted,
) -> Result<Vec<(String, Brief)>> {
    let mut found: Vec<(String, Brief)> = stream::iter(pipelines)
        .map(async |pipeline| {
            let runs = of_pipeline(session, &pipeline, wanted).await?;
            let named = |run| (pipeline.clone(), run);
            Ok::<_, Error>(runs.into_iter().map(named).collect::<Vec<_>>())
        })
        .buffered(SIDE_BY_SIDE)
        .try_concat()
        .await?;
    found.sort_by(|(_, one), (_, other)| other.order().cmp(&one.order()));
    found.truncate(wanted.most);
    Ok(found)
}

/// The wanted runs of a pipeline, the newest first: of its index, and only beyond that of the summaries.
async fn of_pipeline(session: &Session, pipeline: &str, wanted: Wanted) -> Result<Vec<Brief>> {
    let index = index::load(session, pipeline).await?;
    let oldest = index.runs.first().cloned();
    let is_reached = |oldest: &Brief| wanted.since.is_some_and(|since| oldest.started_at < since);
    let known = index.runs.len();
    let mut found: Vec<Brief> = index.runs.into_iter().rev().collect();
    found.retain(|run| wanted.takes(run));
    found.truncate(wanted.most);
    let Some(oldest) = oldest else {
        return Ok(found);
    };
    if found.len() >= wanted.most || index.kept <= known || is_reached(&oldest) {
        return Ok(found);
    }
    let mut older = session.store.folders(&keys::runs(pipeline)).await?;
    older.retain(|run| *run < oldest.run);
    let mut summaries = std::pin::pin!(index::read_all(session, pipeline, older));
    while found.len() < wanted.most
        && let Some(summary) = summaries.try_next().await?
    {
        let brief = Brief::from(&summary);
        if is_reached(&brief) {
            break;
        }
        if wanted.takes(&brief) {
            found.push(brief);
        }
    }
    Ok(found)
}

async fn print_json(session: &Session, found: &[(String, Brief)]) -> anyhow::Result<()> {
    let mut summaries = std::pin::pin!(
        stream::iter(found)
            .map(async |(pipeline, run)| index::read(session, pipeline, &run.run).await)
            .buffered(SIDE_BY_SIDE)
    );
    while let Some(summary) = summaries.try_next().await? {
        if let Some(summary) = summary {
            let mut line = serde_json::to_string(&summary)?;
            line.push('\n');
            stdio::print(line.as_bytes())?;
        }
    }
    Ok(())
}

fn to_text(found: &[(String, Brief)]) -> String {
    if found.is_empty() {
        return "no such runs\n".to_owned();
    }
    let columns = [
        Column::Left("RUN"),
        Column::Left("PIPELINE"),
        Column::Left("STARTED"),
        Column::Right("TOOK"),
        Column::Left("OUTCOME"),
        Column::Left("AT"),
        Column::Right("RECORDS"),
        Column::Right("REJECTS"),
        Column::Left("STATE"),
        Column::Left("WORDS"),
    ];
    let row = |(pipeline, run): &(String, Brief)| {
        vec![
            run.run.clone(),
            pipeline.clone(),
            text::time(run.started_at),
            text::took(run.duration_seconds),
            run.outcome.words().to_owned(),
            run.stage
                .clone()
                .unwrap_or_else(|| text::NOTHING.to_owned()),
            text::count(run.records),
            text::count(Some(run.rejects)),
            text::states(run.state_before, run.state_after),
            text::words(run.words.as_deref()),
        ]
    };
    text::table(&columns, &found.iter().map(row).collect::<Vec<_>>())
}

/// Reads `2d`, a date or a time.
fn parse_since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let before = crate::spec::duration::parse(text)
        .and_then(|span| now.checked_sub_signed(chrono::TimeDelta::from_std(span).ok()?));
    before.ok_or_else(|| {
        Error::config(format!("`--since {text}` is no time"))
            .with_hint("a span such as `2d` or `36h`, a date `2026-01-31`, or an RFC 3339 time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_spans_dates_and_times() {
        let now = DateTime::parse_from_rfc3339("2026-03-04T05:06:07Z")
            .unwrap()
            .to_utc();
        let since = |text: &str| parse_since(text, now).map(text::time);
        assert_eq!(since("2d").unwrap(), "2026-03-02 05:06:07Z");
        assert_eq!(since("2026-01-31").unwrap(), "2026-01-31 00:00:00Z");
        assert_eq!(
            since("2026-01-31T12:00:00+02:00").unwrap(),
            "2026-01-31 10:00:00Z"
        );
        assert!(since("yesterday").is_err());
    }
}
