//! A notice as people read it: a subject, and a plain text of short lines.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::conditions::Condition;
use super::notice::{Facts, Streams};
use super::status::Event;
use super::words;
use crate::history::Counts;

/// Counts of more streams than this are left to `antiphon history`.
const FEW_STREAMS: usize = 10;
/// How many names of streams a list has before it says how many more there are.
const FEW_NAMES: usize = 20;

/// One line that says what happened.
pub(super) fn subject(event: Event, facts: &Facts) -> String {
    let pipeline = &facts.pipeline;
    match event {
        Event::Failed => match &facts.fault {
            Some(fault) => format!(
                "antiphon: {pipeline} failed ({}: {})",
                fault.stage, fault.message
            ),
            None => format!("antiphon: {pipeline} failed"),
        },
        Event::Warning => format!("antiphon: {pipeline}: {}", warning(facts)),
        Event::Recovered => {
            let mut line = format!("antiphon: {pipeline} recovered{}", after(facts));
            if facts.schema_changed.is_some() {
                line.push_str("; schema changed");
            }
            line
        }
        Event::Test => format!("antiphon: a test from {}", facts.host),
    }
}

/// ` after 3 h 12 min, 14 failed runs`
fn after(facts: &Facts) -> String {
    let (Some(since), Some(until)) = (facts.since, facts.until) else {
        return String::new();
    };
    let seconds = (until - since).num_milliseconds() as f64 / 1000.0;
    let runs = match facts.failed_runs {
        0 => words::plural(facts.runs, "run"),
        failed => words::plural(failed, "failed run"),
    };
    format!(" after {}, {runs}", words::duration(seconds.round()))
}

fn warning(facts: &Facts) -> String {
    let mut parts: Vec<&str> = facts
        .conditions
        .iter()
        .map(|stands| stands.text.as_str())
        .collect();
    if facts.schema_changed.is_some() {
        parts.push("schema changed");
    }
    parts.join("; ")
}

/// All of it.
pub(super) fn body(event: Event, facts: &Facts) -> String {
    let mut out = String::new();
    head(&mut out, event, facts);
    if event == Event::Test {
        return out;
    }
    fault(&mut out, facts);
    conditions(&mut out, event, facts);
    if let Some(streams) = &facts.schema_changed {
        schemas(&mut out, streams);
    }
    if !facts.warnings.is_empty() {
        line(&mut out, "\nWarnings of the run:");
        for warning in &facts.warnings {
            line(&mut out, &format!("  {warning}"));
        }
    }
    run(&mut out, facts);
    if !facts.log_tail.is_empty() {
        line(&mut out, "\nLast lines of the log:");
        for entry in &facts.log_tail {
            line(&mut out, &format!("  {entry}"));
        }
    }
    line(&mut out, &format!("\nTo look further, on {}:", facts.host));
    for command in ["logs", "history", "state", "rejects"] {
        if let Some(command) = facts.commands.get(command) {
            line(&mut out, &format!("  {command}"));
        }
    }
    line(&mut out, &format!("Project: {}", facts.project));
    out
}

fn head(out: &mut String, event: Event, facts: &Facts) {
    let pipeline = &facts.pipeline;
    let text = match event {
        Event::Failed => {
            let what = match facts.outcome {
                Some("timed_out") => "was ended by its timeout",
                Some("died") => "died",
                _ => "failed",
            };
            format!("The pipeline `{pipeline}` {what}.")
        }
        Event::Warning => format!("The pipeline `{pipeline}` works, but look at this."),
        Event::Recovered => {
            let mut text = format!("The pipeline `{pipeline}` is well again{}.", after(facts));
            if facts.is_late {
                text.push_str("\nNobody could be told while it lasted.");
            }
            text
        }
        Event::Test => format!(
            "{}.\nSent from {}, project {}, at {}.",
            facts.warnings.join(" "),
            facts.host,
            facts.project,
            time(facts.at)
        ),
    };
    line(out, &text);
}

fn fault(out: &mut String, facts: &Facts) {
    let Some(fault) = &facts.fault else {
        return;
    };
    line(
        out,
        &format!("\n  {} ({}): {}", fault.stage, fault.ended, fault.message),
    );
    for cause in &fault.causes {
        line(out, &format!("    cause: {cause}"));
    }
    for hint in &fault.hints {
        line(out, &format!("    hint: {hint}"));
    }
}

fn conditions(out: &mut String, event: Event, facts: &Facts) {
    if facts.conditions.is_empty() {
        return;
    }
    line(out, "\nWhat stands:");
    for stands in &facts.conditions {
        let since = format!("since {} (run {})", time(stands.since), stands.run);
        line(out, &format!("  {}, {since}", stands.text));
    }
    let has_failed = facts
        .conditions
        .iter()
        .any(|stands| stands.condition == Condition::Failed);
    if event == Event::Failed && has_failed && facts.failed_runs > 1 {
        let runs = words::plural(facts.failed_runs, "failed run");
        line(out, &format!("  {runs} by now"));
    }
}

fn schemas(out: &mut String, streams: &Streams) {
    line(out, "\nThe schemas differ from those of the last good run:");
    for (what, names) in [
        ("changed", &streams.changed),
        ("new", &streams.new),
        ("gone", &streams.gone),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown: Vec<&str> = names.iter().take(FEW_NAMES).map(String::as_str).collect();
        let mut list = shown.join(", ");
        if names.len() > FEW_NAMES {
            list.push_str(&format!(", and {} more", names.len() - FEW_NAMES));
        }
        line(out, &format!("  {what}: {list}"));
    }
}

fn run(out: &mut String, facts: &Facts) {
    let version = |version: Option<u64>| match version {
        Some(version) => format!("version {version}"),
        None => "none".to_owned(),
    };
    line(out, "");
    if let (Some(run), Some(started_at)) = (&facts.run, facts.started_at) {
        let took = words::duration(facts.duration_seconds.unwrap_or_default());
        let outcome = facts.outcome.unwrap_or_default().replace('_', " ");
        line(
            out,
            &format!("Run:       {run}, {}, {took}, {outcome}", time(started_at)),
        );
    }
    if let Some(good) = &facts.last_good {
        line(
            out,
            &format!(
                "Last good: {}, {}, state {}",
                good.run,
                time(good.at),
                version(good.state)
            ),
        );
    } else {
        line(out, "Last good: none that is known");
    }
    line(
        out,
        &format!(
            "State:     {} before, {} after",
            version(facts.state.before),
            version(facts.state.after)
        ),
    );
    line(out, &format!("Rejects:   {}", words::count(facts.rejects)));
    if facts.streams.len() > FEW_STREAMS {
        let number = words::plural(facts.streams.len() as u64, "stream");
        line(out, &format!("Streams:   {number}"));
    } else if !facts.streams.is_empty() {
        line(out, "Streams:");
        for (stream, counts) in &facts.streams {
            line(out, &format!("  {stream}: {}", counted(counts)));
        }
    }
}

fn counted(counts: &Counts) -> String {
    let known = [
        (counts.records, "records"),
        (counts.sent, "sent"),
        (counts.unchanged, "unchanged"),
        (counts.missing, "missing"),
        (counts.rejected, "rejected"),
        (counts.cleared, "cleared"),
        (counts.retried, "retried"),
    ];
    let parts: Vec<String> = known
        .into_iter()
        .filter_map(|(number, what)| Some((number?, what)))
        .filter(|(number, what)| *number > 0 || *what == "records")
        .map(|(number, what)| format!("{} {what}", words::count(number)))
        .collect();
    if parts.is_empty() {
        return "nobody counted".to_owned();
    }
    parts.join(", ")
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes every write");
}
