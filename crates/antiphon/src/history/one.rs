//! The whole of one run, for people.

use std::fmt::Write as _;

use singer_runtime::amount;

use super::text::{self, Column};
use super::{Counts, Summary};

/// Everything that a summary says, and where to look further.
pub(super) fn to_text(summary: &Summary) -> String {
    let mut out = String::new();
    head(&mut out, summary);
    stages(&mut out, summary);
    streams(&mut out, summary);
    for warning in &summary.warnings {
        line(&mut out, "warning", warning);
    }
    if !summary.warnings.is_empty() {
        out.push('\n');
    }
    further(&mut out, summary);
    out
}

fn line(out: &mut String, name: &str, words: &str) {
    // Writing to a string cannot fail.
    let _always = writeln!(out, "{name:<9} {words}");
}

fn head(out: &mut String, summary: &Summary) {
    let kind = summary.kind.words();
    let (run, pipeline, host) = (&summary.run, &summary.pipeline, &summary.host);
    line(
        out,
        "run",
        &format!("{run} of `{pipeline}`, {kind}, on {host}"),
    );
    let mut took = format!(
        "{}, took {}",
        text::time(summary.started_at),
        text::took(summary.duration_seconds)
    );
    if summary.attempts > 1 {
        took.push_str(&format!(", {} attempts", summary.attempts));
    }
    line(out, "started", &took);
    let outcome = summary.outcome.words();
    line(
        out,
        "outcome",
        &format!("{outcome} (exit code {})", summary.exit_code),
    );
    line(
        out,
        "state",
        &text::states(summary.state_before, summary.state_after),
    );
    line(out, "rejects", &amount::grouped(summary.rejects));
    if let Some(fault) = &summary.fault {
        line(
            out,
            "fault",
            &format!("{} ({}): {}", fault.stage, fault.ended, fault.message),
        );
        for cause in &fault.causes {
            line(out, "  cause:", cause);
        }
        for hint in &fault.hints {
            line(out, "  hint:", hint);
        }
    }
    out.push('\n');
}

fn stages(out: &mut String, summary: &Summary) {
    if summary.stages.is_empty() {
        return;
    }
    let columns = [
        Column::Left("STAGE"),
        Column::Left("PROGRAM"),
        Column::Left("ENDED"),
    ];
    let rows = summary
        .stages
        .iter()
        .map(|stage| vec![stage.label.clone(), stage.exec.clone(), stage.ended.clone()]);
    out.push_str(&text::table(&columns, &rows.collect::<Vec<_>>()));
    out.push('\n');
}

fn streams(out: &mut String, summary: &Summary) {
    if summary.streams.is_empty() {
        return;
    }
    let columns = [
        Column::Left("STREAM"),
        Column::Right("RECORDS"),
        Column::Right("SENT"),
        Column::Right("UNCHANGED"),
        Column::Right("MISSING"),
        Column::Right("REJECTED"),
        Column::Right("CLEARED"),
        Column::Right("RETRIED"),
        Column::Right("BYTES"),
        Column::Left("SCHEMA"),
    ];
    let row = |(stream, counts): (&String, &Counts)| {
        let bytes = counts.bytes.map(amount::bytes);
        vec![
            stream.clone(),
            text::count(counts.records),
            text::count(counts.sent),
            text::count(counts.unchanged),
            text::count(counts.missing),
            text::count(counts.rejected),
            text::count(counts.cleared),
            text::count(counts.retried),
            bytes.unwrap_or_else(|| text::NOTHING.to_owned()),
            counts
                .schema
                .clone()
                .unwrap_or_else(|| text::NOTHING.to_owned()),
        ]
    };
    let rows: Vec<_> = summary.streams.iter().map(row).collect();
    out.push_str(&text::table(&columns, &rows));
    out.push('\n');
}

fn further(out: &mut String, summary: &Summary) {
    let (run, pipeline) = (&summary.run, &summary.pipeline);
    out.push_str("look further:\n");
    let mut command = |command: String| {
        let _always = writeln!(out, "  antiphon {command}");
    };
    command(format!("logs {run}"));
    if let (Some(before), Some(after)) = (summary.state_before, summary.state_after)
        && before != after
    {
        command(format!("state {pipeline} diff {before} {after}"));
    }
    if summary.rejects > 0 {
        command(format!("rejects {pipeline} list --run {run}"));
    }
}
