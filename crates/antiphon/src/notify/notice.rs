//! The notice: what people read, and what programs read.
//!
//! The JSON form is stable; a field may be added, none is renamed or removed. What is not known is `null`.
//!
//! | field | what |
//! | --- | --- |
//! | `event` | `failed`, `warning`, `recovered`, `test` |
//! | `subject`, `text` | the same for people: one line, and all of it (chat services show `text`) |
//! | `pipeline`, `host`, `project`, `at` | what it is about, where it ran, its `antiphon.toml`, when this was written |
//! | `conditions` | what stands: `condition` (`failed`, `rejects`, `slow`, `no_records`), `since`, `run`, `text` |
//! | `schema_changed` | `changed`, `new`, `gone`: names of streams; or `null` |
//! | `since`, `first_run`, `runs`, `failed_runs` | of the time in which something stood, without gap; `until` once it is over |
//! | `run`, `kind`, `outcome`, `exit_code`, `attempts`, `started_at`, `duration_seconds` | the newest run |
//! | `fault` | its `stage`, `ended`, `message`, `causes`, `hints`; or `null` |
//! | `last_good` | the last good run before: `run`, `at`, `state` (the version); or `null` |
//! | `state` | versions `before` and `after` the newest run |
//! | `rejects`, `streams`, `warnings` | of the newest run; `streams` has the counts of at most 50 |
//! | `log_tail` | the last 20 lines of its log, without secrets |
//! | `commands` | `logs`, `history`, `state`, `rejects`: what to type to look further |

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::conditions::{Condition, SchemaChange};
use super::status::{Event, Moment, Status};
use super::{text, words};
use crate::history::{Brief, Counts, Fault, Summary};

/// How many lines of the log a notice has.
pub(crate) const LOG_LINES: usize = 20;
/// Longer lines of the log, causes and hints are cut.
const LINE_CHARACTERS: usize = 500;
/// More causes or hints than this are left out.
const MOST_LINES: usize = 10;
/// Counts of more streams than this are left out.
const MOST_STREAMS: usize = 50;
/// The most that a subject may have everywhere.
const SUBJECT_CHARACTERS: usize = 99;

/// Everything a notice says.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) event: Event,
    pub(crate) subject: String,
    pub(crate) facts: Facts,
}

/// What the notice is made of, as its JSON has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) pipeline: String,
    pub(crate) conditions: Vec<Stands>,
    pub(crate) schema_changed: Option<Streams>,
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) until: Option<DateTime<Utc>>,
    pub(crate) first_run: Option<String>,
    pub(crate) runs: u64,
    pub(crate) failed_runs: u64,
    /// Nobody heard of it while it lasted.
    #[serde(skip)]
    pub(crate) is_late: bool,
    pub(crate) run: Option<String>,
    pub(crate) kind: Option<crate::history::Kind>,
    pub(crate) outcome: Option<&'static str>,
    pub(crate) exit_code: Option<u8>,
    pub(crate) attempts: Option<u32>,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) fault: Option<Fault>,
    pub(crate) last_good: Option<LastGood>,
    pub(crate) state: Versions,
    pub(crate) rejects: u64,
    pub(crate) streams: BTreeMap<String, Counts>,
    pub(crate) warnings: Vec<String>,
    pub(crate) log_tail: Vec<String>,
    pub(crate) commands: BTreeMap<&'static str, String>,
    pub(crate) host: String,
    pub(crate) project: String,
    pub(crate) at: DateTime<Utc>,
}

/// A condition that stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stands {
    pub(crate) condition: Condition,
    pub(crate) since: DateTime<Utc>,
    pub(crate) run: String,
    pub(crate) text: String,
}

/// Streams whose schemas changed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Streams {
    pub(crate) changed: BTreeSet<String>,
    pub(crate) new: BTreeSet<String>,
    pub(crate) gone: BTreeSet<String>,
}

/// The last good run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastGood {
    pub(crate) run: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) state: Option<u64>,
}

/// Versions of the state.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Versions {
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
}

/// Where and when a notice is made.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) host: String,
    /// The project's file.
    pub(crate) project: String,
    /// `-f FILE` for the commands, unless the file is found by itself.
    pub(crate) file_argument: Option<String>,
    pub(crate) at: DateTime<Utc>,
}

impl Notice {
    /// The notice of what is due by a status. `log` is the log of the run.
    pub(crate) fn new(
        event: Event,
        status: &Status,
        summary: &Summary,
        last_good: Option<&Brief>,
        log: &[u8],
        place: &Place,
    ) -> Self {
        let recovered = status.pending.recovered.as_ref();
        let episode = recovered
            .map(|recovered| &recovered.episode)
            .or(status.episode.as_ref());
        let schema = &status.pending.schema;
        let mut facts = Facts {
            since: episode.map(|episode| episode.since.at),
            until: recovered.map(|recovered| recovered.at),
            first_run: episode.map(|episode| episode.since.run.clone()),
            runs: episode.map_or(0, |episode| episode.runs),
            failed_runs: episode.map_or(0, |episode| episode.failed_runs),
            is_late: recovered.is_some_and(|recovered| !recovered.episode.is_told),
            schema_changed: (!schema.is_empty()).then(|| Streams::of(schema)),
            last_good: last_good.map(LastGood::of),
            log_tail: tail(log),
            ..Facts::of(summary, place)
        };
        facts.conditions = status
            .standing
            .iter()
            .map(|(condition, standing)| {
                let Moment { run, at } = standing.since.clone();
                Stands {
                    condition: *condition,
                    since: at,
                    run,
                    text: standing.text.clone(),
                }
            })
            .collect();
        Self::of(event, facts)
    }

    /// A notice by which a person tries a notifier.
    pub(crate) fn test(notifier: &str, place: &Place) -> Self {
        let mut facts = Facts::empty(place);
        facts.warnings.push(format!(
            "this is a test of the notifier `{notifier}`; nothing is wrong"
        ));
        Self::of(Event::Test, facts)
    }

    fn of(event: Event, facts: Facts) -> Self {
        let subject = words::shorten(
            &words::one_line(&text::subject(event, &facts)),
            SUBJECT_CHARACTERS,
        );
        Self {
            event,
            subject,
            facts,
        }
    }

    /// The text for people.
    pub(crate) fn text(&self) -> String {
        text::body(self.event, &self.facts)
    }

    /// The text for people in at most so many bytes: the log gives way first, then the rest is cut.
    pub(crate) fn text_within(&self, bytes: usize) -> String {
        let mut shorter = self.clone();
        loop {
            let text = shorter.text();
            if text.len() <= bytes {
                return text;
            }
            let lines = shorter.facts.log_tail.len();
            if lines == 0 {
                let end = text.floor_char_boundary(bytes);
                return text.get(..end).unwrap_or_default().to_owned();
            }
            drop(shorter.facts.log_tail.drain(..lines.div_ceil(2)));
        }
    }

    /// The JSON form.
    pub(crate) fn json(&self) -> Value {
        let mut whole = json!({
            "event": self.event.word(),
            "subject": self.subject,
            "text": self.text(),
        });
        let facts = serde_json::to_value(&self.facts).unwrap_or_default();
        if let (Value::Object(whole), Value::Object(facts)) = (&mut whole, facts) {
            whole.extend(facts);
        }
        whole
    }
}

impl Facts {
    fn empty(place: &Place) -> Self {
        Self {
            pipeline: String::new(),
            conditions: Vec::new(),
            schema_changed: None,
            since: None,
            until: None,
            first_run: None,
            runs: 0,
            failed_runs: 0,
            is_late: false,
            run: None,
            kind: None,
            outcome: None,
            exit_code: None,
            attempts: None,
            started_at: None,
            duration_seconds: None,
            fault: None,
            last_good: None,
            state: Versions::default(),
            rejects: 0,
            streams: BTreeMap::new(),
            warnings: Vec::new(),
            log_tail: Vec::new(),
            commands: BTreeMap::new(),
            host: place.host.clone(),
            project: place.project.clone(),
            at: place.at,
        }
    }

    fn of(summary: &Summary, place: &Place) -> Self {
        let pipeline = &summary.pipeline;
        let file = match &place.file_argument {
            Some(file) => format!(" -f {file}"),
            None => String::new(),
        };
        let commands = [
            ("logs", format!("antiphon{file} logs {}", summary.run)),
            ("history", format!("antiphon{file} history {pipeline}")),
            ("state", format!("antiphon{file} state {pipeline} list")),
            ("rejects", format!("antiphon{file} rejects {pipeline} list")),
        ];
        let streams = summary.streams.clone();
        Self {
            pipeline: pipeline.clone(),
            run: Some(summary.run.clone()),
            kind: Some(summary.kind),
            outcome: Some(summary.outcome.word()),
            exit_code: Some(summary.exit_code),
            attempts: Some(summary.attempts),
            started_at: Some(summary.started_at),
            duration_seconds: Some(summary.duration_seconds),
            fault: summary.fault.clone().map(|fault| Fault {
                message: cut(&fault.message),
                causes: cut_all(&fault.causes),
                hints: cut_all(&fault.hints),
                ..fault
            }),
            state: Versions {
                before: summary.state_before,
                after: summary.state_after,
            },
            rejects: summary.rejects,
            streams: streams.into_iter().take(MOST_STREAMS).collect(),
            warnings: cut_all(&summary.warnings),
            commands: commands.into_iter().collect(),
            host: summary.host.clone(),
            ..Self::empty(place)
        }
    }
}

impl Streams {
    fn of(change: &SchemaChange) -> Self {
        Self {
            changed: change.changed.keys().cloned().collect(),
            new: change.new.keys().cloned().collect(),
            gone: change.gone.clone(),
        }
    }
}

impl LastGood {
    fn of(brief: &Brief) -> Self {
        Self {
            run: brief.run.clone(),
            at: brief.started_at,
            state: brief.state_after.or(brief.state_before),
        }
    }
}

fn cut(line: &str) -> String {
    words::shorten(&words::one_line(line), LINE_CHARACTERS)
}

fn cut_all(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .take(MOST_LINES)
        .map(|line| cut(line))
        .collect()
}

/// The last lines of a log.
fn tail(log: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(log);
    let mut lines: Vec<String> = text
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(LOG_LINES)
        .map(|line| {
            let plain: String = line
                .chars()
                .map(|letter| if letter.is_control() { ' ' } else { letter })
                .collect();
            words::shorten(plain.trim_end(), LINE_CHARACTERS)
        })
        .collect();
    lines.reverse();
    lines
}
