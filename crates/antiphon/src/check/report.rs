//! What `check` prints at the end: findings, a table of the streams, and one line that says it all.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::findings::{Finding, Level};
use super::judge::Judge;

/// What was read, in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
}

/// For people.
pub(super) fn text(judge: &Judge, size: Size, limit: usize) -> String {
    let mut text = String::new();
    let kinds = judge.findings.sorted();
    for finding in kinds.iter().take(limit) {
        text.push_str(&line(finding));
        text.push('\n');
    }
    let hidden = kinds.len().saturating_sub(limit);
    if hidden > 0 || judge.findings.beyond() > 0 {
        let _always = writeln!(
            text,
            "… and {} more; `--limit` shows them",
            plural(hidden as u64 + judge.findings.beyond(), "finding")
        );
    }
    if !text.is_empty() {
        text.push('\n');
    }
    if !judge.streams.is_empty() {
        text.push_str(&table(judge));
        text.push('\n');
    }
    text.push_str(&verdict(judge, size));
    text.push('\n');
    text
}

/// `error: line 1042: account: … (3 times)`
fn line(finding: &Finding) -> String {
    let mut line = format!("{}: ", finding.level.word());
    if finding.line > 0 {
        let _always = write!(line, "line {}: ", finding.line);
    }
    if let Some(stream) = &finding.stream {
        let _always = write!(line, "{stream}: ");
    }
    line.push_str(&finding.message);
    if finding.count > 1 {
        let _always = write!(line, " ({} times)", grouped(finding.count));
    }
    line
}

fn table(judge: &Judge) -> String {
    let head = [
        "stream", "records", "schemas", "batches", "states", "errors", "warnings",
    ];
    let mut rows: Vec<Vec<String>> = vec![head.iter().map(|word| (*word).to_owned()).collect()];
    for stream in &judge.streams {
        let counts = &stream.counts;
        let numbers = [
            counts.records,
            counts.schemas,
            counts.batches,
            counts.states,
            counts.errors,
            counts.warnings,
        ];
        let cells = numbers.iter().map(|number| grouped(*number));
        rows.push(std::iter::once(stream.name.clone()).chain(cells).collect());
    }
    let has_batches = judge.streams.iter().any(|stream| stream.counts.batches > 0);
    if !has_batches {
        rows.iter_mut().for_each(|row| drop(row.remove(3)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            let _always = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

fn verdict(judge: &Judge, size: Size) -> String {
    let records: u64 = judge
        .streams
        .iter()
        .map(|stream| stream.counts.records)
        .sum();
    let seconds = size.elapsed.as_secs_f64();
    let read = format!(
        "{} of {}, {}; {} in {seconds:.1} s",
        plural(records, "record"),
        plural(judge.streams.len() as u64, "stream"),
        plural(judge.states, "state"),
        bytes(size.bytes)
    );
    let (errors, warnings) = totals(judge);
    let faults = match (errors, warnings) {
        (0, 0) => String::new(),
        (0, warnings) => format!(" with {}", plural(warnings, "warning")),
        (errors, 0) => plural(errors, "error"),
        (errors, warnings) => {
            format!(
                "{}, {}",
                plural(errors, "error"),
                plural(warnings, "warning")
            )
        }
    };
    if errors == 0 {
        format!("ok{faults}: {read}")
    } else {
        format!("not ok: {faults}; {read}")
    }
}

fn totals(judge: &Judge) -> (u64, u64) {
    let total = |level| judge.findings.total(level);
    (total(Level::Error), total(Level::Warning))
}

/// For programs: one document.
pub(super) fn json(judge: &Judge, size: Size, limit: usize) -> Value {
    let streams: Vec<Value> = judge
        .streams
        .iter()
        .map(|stream| {
            let counts = &stream.counts;
            json!({
                "stream": stream.name,
                "records": counts.records,
                "schemas": counts.schemas,
                "batches": counts.batches,
                "states": counts.states,
                "errors": counts.errors,
                "warnings": counts.warnings,
            })
        })
        .collect();
    let (errors, warnings) = totals(judge);
    let findings = judge.findings.sorted();
    let hidden = findings.len().saturating_sub(limit) as u64 + judge.findings.beyond();
    json!({
        "ok": errors == 0,
        "errors": errors,
        "warnings": warnings,
        "lines": size.lines,
        "bytes": size.bytes,
        "seconds": size.elapsed.as_secs_f64(),
        "states": judge.states,
        "streams": streams,
        "findings": findings.iter().take(limit).collect::<Vec<_>>(),
        "findings_not_shown": hidden,
    })
}

fn plural(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

/// `1,204,331`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return plural(count, "byte");
    }
    let mut size = count as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}
