//! What is wrong with a run, judged by the thresholds of one notifier and by the runs before it. Pure; who was
//! told of it already is not its matter.
//!
//! A run that did not do its work tells nothing of the rest: that it was quick, or read no records, is
//! [`Finding::Unknown`], and whatever stood before goes on standing. A run of `--select` is compared with no
//! other run, and no other with it, but for the schemas of its streams.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::words;
use crate::history::{Brief, Kind, Outcome};
use crate::spec::Thresholds;

/// A state of a pipeline that people want to hear of, and of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// Its last run failed, was ended by its timeout, or died.
    Failed,
    /// More records were refused than allowed.
    Rejects,
    /// It took too long.
    Slow,
    /// It read no records where there used to be some.
    NoRecords,
}

/// What a run says of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It holds; the text says of what size, for people.
    Stands(String),
    /// It does not hold.
    Clear,
    /// This run cannot tell.
    Unknown,
}

/// What a run says of all conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) conditions: BTreeMap<Condition, Finding>,
    pub(crate) schema: SchemaChange,
}

/// How the schemas of streams differ from those of the last good run. An event: it has no end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaChange {
    /// Each stream that is new or whose SCHEMA is another one, with its fingerprint now.
    #[serde(default)]
    pub(crate) changed: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) new: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) gone: BTreeSet<String>,
}

/// A median of fewer runs says nothing.
const LEAST_RUNS: usize = 5;
/// How many of the last good runs a median is made of.
const MOST_RUNS: usize = 20;
/// So many good runs must all have had records before none at all is worth a notice.
const RUNS_WITH_RECORDS: usize = 3;

/// Judges a run. `before` are the runs before it, the newest last; `standing` is what stood after them.
pub(crate) fn judge(
    run: &Brief,
    before: &[Brief],
    standing: &BTreeSet<Condition>,
    thresholds: &Thresholds,
) -> Findings {
    let past: Vec<&Brief> = before.iter().filter(|other| is_good_sync(other)).collect();
    let whole: Vec<&Brief> = past
        .iter()
        .copied()
        .filter(|other| !other.is_partial)
        .collect();
    let had_none = standing.contains(&Condition::NoRecords);
    let conditions = [
        (Condition::Failed, judge_outcome(run, thresholds)),
        (Condition::Rejects, judge_rejects(run, thresholds)),
        (Condition::Slow, judge_duration(run, &whole, thresholds)),
        (
            Condition::NoRecords,
            judge_records(run, &whole, had_none, thresholds),
        ),
    ];
    let schema = if thresholds.schema_changed {
        judge_schemas(run, &past)
    } else {
        SchemaChange::default()
    };
    Findings {
        conditions: conditions.into_iter().collect(),
        schema,
    }
}

/// Whether a run says something of its pipeline: a replay of rejects does not, and nobody is told of what a
/// person ended.
pub(crate) fn counts(run: &Brief) -> bool {
    run.kind != Kind::Replay && run.outcome != Outcome::Interrupted
}

fn is_good_sync(run: &Brief) -> bool {
    run.outcome.is_good() && run.kind != Kind::Replay
}

fn judge_outcome(run: &Brief, thresholds: &Thresholds) -> Finding {
    if !thresholds.failed || run.outcome.is_good() {
        return Finding::Clear;
    }
    let stage = run.stage.as_deref().unwrap_or("antiphon");
    Finding::Stands(match run.outcome {
        Outcome::TimedOut => format!(
            "{stage} was ended by the timeout after {}",
            words::duration(run.duration_seconds)
        ),
        Outcome::Died => "the runner died".to_owned(),
        _ => format!("{stage} failed"),
    })
}

fn judge_rejects(run: &Brief, thresholds: &Thresholds) -> Finding {
    let mut is_known = run.outcome.is_good();
    if let Some(most) = thresholds.rejects
        && run.rejects > most
    {
        return Finding::Stands(format!(
            "{} rejects, more than {}",
            words::count(run.rejects),
            words::count(most)
        ));
    }
    if let Some(most) = thresholds.rejects_percent {
        match run.records {
            _ if run.rejects == 0 => {}
            None => is_known = false,
            Some(records) => {
                let share = 100.0 * run.rejects as f64 / records.max(run.rejects) as f64;
                if share > most {
                    return Finding::Stands(format!(
                        "{} rejects of {} records, {} %, more than {most} %",
                        words::count(run.rejects),
                        words::count(records),
                        words::decimal(share)
                    ));
                }
            }
        }
    }
    let is_asked = thresholds.rejects.is_some() || thresholds.rejects_percent.is_some();
    if is_known || !is_asked {
        Finding::Clear
    } else {
        Finding::Unknown
    }
}

fn judge_duration(run: &Brief, whole: &[&Brief], thresholds: &Thresholds) -> Finding {
    if thresholds.slower_than.is_none() && thresholds.slower_than_median.is_none() {
        return Finding::Clear;
    }
    if !run.outcome.is_good() || run.is_partial {
        return Finding::Unknown;
    }
    let took = words::duration(run.duration_seconds);
    if let Some(limit) = thresholds.slower_than
        && run.duration_seconds > limit.as_secs_f64()
    {
        let limit = words::duration(limit.as_secs_f64());
        return Finding::Stands(format!("it took {took}, longer than {limit}"));
    }
    if let Some(factor) = thresholds.slower_than_median {
        // A full refresh takes as long as it takes.
        let usual: Vec<f64> = whole
            .iter()
            .rev()
            .filter(|other| other.kind == Kind::Sync)
            .take(MOST_RUNS)
            .map(|other| other.duration_seconds)
            .collect();
        if run.kind != Kind::Sync {
            return Finding::Unknown;
        }
        if usual.len() >= LEAST_RUNS {
            let median = median(usual);
            if run.duration_seconds > factor * median {
                return Finding::Stands(format!(
                    "it took {took}, longer than {factor} times the usual {}",
                    words::duration(median)
                ));
            }
        }
    }
    Finding::Clear
}

fn judge_records(
    run: &Brief,
    whole: &[&Brief],
    had_none: bool,
    thresholds: &Thresholds,
) -> Finding {
    if !thresholds.no_records {
        return Finding::Clear;
    }
    if !run.outcome.is_good() || run.is_partial {
        return Finding::Unknown;
    }
    match run.records {
        None => Finding::Unknown,
        Some(0) => {
            let last: Vec<u64> = whole
                .iter()
                .rev()
                .filter_map(|other| other.records)
                .take(RUNS_WITH_RECORDS)
                .collect();
            if had_none {
                return Finding::Stands("there were no records again".to_owned());
            }
            if last.is_empty() || last.contains(&0) {
                return Finding::Clear;
            }
            let usual = median(last.iter().map(|records| *records as f64).collect());
            Finding::Stands(format!(
                "there were no records; the last good runs had {}",
                words::count(usual as u64)
            ))
        }
        Some(_) => Finding::Clear,
    }
}

fn judge_schemas(run: &Brief, past: &[&Brief]) -> SchemaChange {
    let mut change = SchemaChange::default();
    // Where no good run said anything of schemas, everything would be new.
    if past.iter().all(|other| other.schemas.is_empty()) || run.schemas.is_empty() {
        return change;
    }
    for (stream, schema) in &run.schemas {
        let known = past
            .iter()
            .rev()
            .find_map(|other| other.schemas.get(stream));
        match known {
            None => drop(change.new.insert(stream.clone(), schema.clone())),
            Some(known) if known != schema => {
                change.changed.insert(stream.clone(), schema.clone());
            }
            Some(_) => {}
        }
    }
    // A run that did not come to its end may not have come to this stream.
    let last = past.iter().rev().find(|other| !other.is_partial);
    if run.outcome.is_good()
        && !run.is_partial
        && let Some(last) = last
    {
        let is_gone = |stream: &&String| !run.schemas.contains_key(*stream);
        change.gone = last.schemas.keys().filter(is_gone).cloned().collect();
    }
    change
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() % 2 {
        1 => numbers[middle],
        _ if numbers.is_empty() => 0.0,
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

impl SchemaChange {
    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.new.is_empty() && self.gone.is_empty()
    }

    /// Adds what came later; of one stream, the later counts.
    pub(crate) fn merge(&mut self, later: SchemaChange) {
        for stream in later.gone {
            self.changed.remove(&stream);
            self.new.remove(&stream);
            self.gone.insert(stream);
        }
        for (stream, schema) in later.changed {
            self.gone.remove(&stream);
            // What nobody has heard of is new, whatever its schema is by now.
            match self.new.get_mut(&stream) {
                Some(new) => *new = schema,
                None => drop(self.changed.insert(stream, schema)),
            }
        }
        for (stream, schema) in later.new {
            self.gone.remove(&stream);
            self.new.insert(stream, schema);
        }
    }
}

#[cfg(test)]
mod tests;
