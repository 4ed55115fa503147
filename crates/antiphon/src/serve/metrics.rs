//! `/metrics`: the overview in the text format 0.0.4 of Prometheus.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::history::{Brief, Outcome};
use crate::serve::view::{Overview, Pipeline};
use crate::serve::words;

/// The type of the answer.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const OUTCOMES: [Outcome; 6] = [
    Outcome::Succeeded,
    Outcome::Rejects,
    Outcome::Failed,
    Outcome::TimedOut,
    Outcome::Interrupted,
    Outcome::Died,
];

/// A metric of each pipeline: name, help, value if there is one.
type Gauge = (&'static str, &'static str, fn(&Pipeline) -> Option<f64>);

const GAUGES: [Gauge; 9] = [
    (
        "antiphon_pipeline_last_run_timestamp_seconds",
        "When the last run ended.",
        |pipeline| pipeline.last().map(ended),
    ),
    (
        "antiphon_pipeline_last_success_timestamp_seconds",
        "When the last run ended that did its work, with rejects or without.",
        |pipeline| pipeline.last_good.as_ref().map(ended),
    ),
    (
        "antiphon_pipeline_last_run_duration_seconds",
        "How long the last run took.",
        |pipeline| pipeline.last().map(|run| run.duration_seconds),
    ),
    (
        "antiphon_pipeline_last_run_records",
        "Records of the last run, if anybody counted them.",
        |pipeline| pipeline.last()?.records.map(words::precise),
    ),
    (
        "antiphon_pipeline_running",
        "Whether a run is at work now.",
        |pipeline| Some(if pipeline.is_running() { 1.0 } else { 0.0 }),
    ),
    (
        "antiphon_pipeline_running_records",
        "Records of the run at work so far, if anybody counts them.",
        |pipeline| {
            let running = pipeline.running.as_ref().filter(|_| pipeline.is_running());
            running?.records().map(words::precise)
        },
    ),
    (
        "antiphon_pipeline_rejects_open",
        "Refused records of the kept runs that wait for a replay.",
        |pipeline| Some(words::precise(pipeline.rejects_open)),
    ),
    (
        "antiphon_pipeline_state_version",
        "The newest version of the state.",
        |pipeline| pipeline.state_version.map(words::precise),
    ),
    (
        "antiphon_pipeline_readable",
        "Whether all that the store has of the pipeline could be read.",
        |pipeline| Some(if pipeline.trouble.is_none() { 1.0 } else { 0.0 }),
    ),
];

/// The whole text.
pub(crate) fn text(overview: &Overview) -> String {
    let mut text = String::new();
    header(
        &mut text,
        "antiphon_build_info",
        "The version of this program.",
    );
    let version = env!("CARGO_PKG_VERSION");
    line(
        &mut text,
        "antiphon_build_info",
        &[("version", version)],
        1.0,
    );
    header(&mut text, "antiphon_pipelines", "Pipelines of the project.");
    let pipelines = words::precise(overview.pipelines.len() as u64);
    line(&mut text, "antiphon_pipelines", &[], pipelines);
    for (name, help, value) in GAUGES {
        header(&mut text, name, help);
        for pipeline in &overview.pipelines {
            if let Some(value) = value(pipeline) {
                line(&mut text, name, &[("pipeline", &pipeline.name)], value);
            }
        }
    }
    by_outcome(
        &mut text,
        overview,
        "antiphon_pipeline_last_run_outcome",
        "How the last run ended: 1 for its outcome, 0 for the others.",
        |pipeline, outcome| {
            let last = pipeline.last()?;
            Some(if last.outcome == outcome { 1.0 } else { 0.0 })
        },
    );
    by_outcome(
        &mut text,
        overview,
        "antiphon_pipeline_recent_runs",
        "The last runs by outcome, at most the newest 100: a gauge, for old ones leave it.",
        |pipeline, outcome| {
            let runs = pipeline.runs.iter().filter(|run| run.outcome == outcome);
            Some(words::precise(runs.count() as u64))
        },
    );
    text
}

fn by_outcome(
    text: &mut String,
    overview: &Overview,
    name: &str,
    help: &str,
    value: fn(&Pipeline, Outcome) -> Option<f64>,
) {
    header(text, name, help);
    for pipeline in &overview.pipelines {
        for outcome in OUTCOMES {
            if let Some(value) = value(pipeline, outcome) {
                let labels = [
                    ("pipeline", pipeline.name.as_str()),
                    ("outcome", outcome.word()),
                ];
                line(text, name, &labels, value);
            }
        }
    }
}

fn header(text: &mut String, name: &str, help: &str) {
    // Writing to a text does not fail, here and below.
    let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
}

fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    text.push_str(name);
    for (index, (label, value)) in labels.iter().enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        let _written = write!(text, "{label}=\"{}\"", escape(value));
    }
    if !labels.is_empty() {
        text.push('}');
    }
    let _written = writeln!(text, " {value}");
}

/// A label's value: the three characters that the format wants escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}

/// When a run ended, in seconds since 1970.
fn ended(run: &Brief) -> f64 {
    let started: DateTime<Utc> = run.started_at;
    let seconds = (started - DateTime::UNIX_EPOCH).as_seconds_f64() + run.duration_seconds;
    (seconds * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = String::new();
        line(&mut text, "m", &[("a", "x\"y\\z\n"), ("b", "")], 1.5);
        assert_eq!(text, "m{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1.5\n");
    }
}
