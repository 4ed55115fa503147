//! The end of a run in numbers: a table on a terminal, plain lines elsewhere, JSON if asked for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Counters, Status};
use crate::amount::{bytes, grouped, seconds};
use crate::log::{self, Format};
use crate::program::Role;
use crate::stdio;

/// What the summary says of the run as a whole.
pub(super) struct Heading<'a> {
    pub(super) binary: &'a str,
    pub(super) role: Role,
    pub(super) run_id: &'a str,
    pub(super) status: Status,
    pub(super) duration: Duration,
}

/// Prints the summary, unless only warnings are wanted.
pub(super) fn print(heading: &Heading<'_>, streams: &[Arc<Counters>]) {
    if log::is_quiet() {
        return;
    }
    if log::format() == Format::Json {
        log::raw(&json_object(heading, streams).to_string());
    } else if stdio::stderr_is_terminal() && !streams.is_empty() {
        log::raw(&table(heading.role, streams));
    } else {
        for counters in streams {
            plain(heading.role, counters);
        }
    }
}

/// The counts of a stream with their names, in the order of the table.
fn counts(counters: &Counters) -> [(&'static str, u64); 8] {
    [
        ("records", counters.read.get()),
        ("sent", counters.sent.get()),
        ("unchanged", counters.unchanged.get()),
        ("missing", counters.missing.get()),
        ("rejected", counters.rejected.get()),
        ("cleared", counters.cleared.get()),
        ("retried", counters.retried.get()),
        ("bytes", counters.bytes.get()),
    ]
}

/// A tap reads and writes, a map may also refuse; the other counts are the target's.
fn is_shown(role: Role, name: &str) -> bool {
    match role {
        Role::Tap => ["records", "bytes"].contains(&name),
        Role::Map => ["records", "sent", "rejected", "bytes"].contains(&name),
        Role::Target => true,
    }
}

fn status_word(counters: &Counters) -> &'static str {
    counters.status().map_or("not started", Status::word)
}

fn json_object(heading: &Heading<'_>, streams: &[Arc<Counters>]) -> Value {
    let streams: Map<String, Value> = streams
        .iter()
        .map(|counters| {
            let mut object: Map<String, Value> = counts(counters)
                .into_iter()
                .filter(|(name, _)| is_shown(heading.role, name))
                .map(|(name, count)| (name.to_owned(), count.into()))
                .collect();
            object.insert("status".to_owned(), status_word(counters).into());
            object.insert(
                "duration_seconds".to_owned(),
                counters.duration().as_secs_f64().into(),
            );
            (counters.name().to_owned(), Value::Object(object))
        })
        .collect();
    json!({
        "level": "info",
        "app_name": heading.binary,
        "message": "summary",
        "run_id": heading.run_id,
        "status": heading.status.word(),
        "duration_seconds": heading.duration.as_secs_f64(),
        "streams": streams,
    })
}

fn plain(role: Role, counters: &Counters) {
    let mut text = String::new();
    for (name, count) in counts(counters) {
        if is_shown(role, name) {
            text.push_str(&format!(" {name}={count}"));
        }
    }
    let seconds = counters.duration().as_secs_f64();
    // A summary belongs to every run, so it stands in the text and not in fields that are logged.
    log::raw(&format!(
        "INFO summary stream={} status={}{text} seconds={seconds:.3}",
        counters.name(),
        status_word(counters).replace(' ', "_"),
    ));
}

fn table(role: Role, streams: &[Arc<Counters>]) -> String {
    let shown: Vec<usize> = counts(&streams[0])
        .iter()
        .enumerate()
        .filter(|(index, (name, _))| {
            let said = |counters: &Arc<Counters>| counts(counters)[*index].1 > 0;
            is_shown(role, name) && (["records", "sent"].contains(name) || streams.iter().any(said))
        })
        .map(|(index, _)| index)
        .collect();
    let mut rows = vec![vec!["stream".to_owned(), "status".to_owned()]];
    rows[0].extend(
        shown
            .iter()
            .map(|index| counts(&streams[0])[*index].0.to_owned()),
    );
    rows[0].push("time".to_owned());
    for counters in streams {
        let mut row = vec![counters.name().to_owned(), status_word(counters).to_owned()];
        row.extend(shown.iter().map(|index| match counts(counters)[*index] {
            ("bytes", count) => bytes(count),
            (_, count) => grouped(count),
        }));
        row.push(seconds(counters.duration()));
        rows.push(row);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<String> = cells
                .map(|(column, (cell, width))| match column {
                    0 | 1 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> Vec<Arc<Counters>> {
        let one = Counters::new("account");
        one.begin();
        one.read.add(1_234_567);
        one.sent.add(1_234_000);
        one.missing.add(567);
        one.bytes.add(52_100_000);
        one.end(Status::Succeeded);
        vec![Arc::new(one), Arc::new(Counters::new("a"))]
    }

    #[test]
    fn the_table_shows_the_columns_that_say_something() {
        let table = table(Role::Target, &streams());
        let words: Vec<Vec<&str>> = table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|word| !word.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            words[0],
            [
                "stream", "status", "records", "sent", "missing", "bytes", "time"
            ]
        );
        assert_eq!(
            words[1][..6],
            [
                "account",
                "succeeded",
                "1,234,567",
                "1,234,000",
                "567",
                "52.1 MB"
            ]
        );
        assert_eq!(words[2], ["a", "not started", "0", "0", "0", "0 B", "0.0s"]);
    }

    #[test]
    fn json_holds_every_count_of_every_stream() {
        let heading = Heading {
            binary: "target-x",
            role: Role::Target,
            run_id: "r",
            status: Status::Succeeded,
            duration: Duration::from_secs(2),
        };
        let object = json_object(&heading, &streams());
        assert_eq!(object["streams"]["account"]["missing"], 567);
        assert_eq!(object["streams"]["account"]["rejected"], 0);
        assert_eq!(object["streams"]["a"]["status"], "not started");
    }
}
