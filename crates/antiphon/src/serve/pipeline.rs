//! The page of one pipeline: what is wrong, what runs, charts, runs, streams, states, rejects.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::history::{Brief, Counts, Fault, Kind, Summary};
use crate::serve::overview::elapsed;
use crate::serve::view::{Detail, Paged, Pipeline, RejectGroup, Runner, Running, StateLine};
use crate::serve::{chart, page, words};

/// The page.
pub(crate) fn page(view: &Detail, now: DateTime<Utc>) -> page::Page {
    let pipeline = &view.pipeline;
    page::Page {
        title: pipeline.name.clone(),
        trail: vec![
            page::Step::to("Pipelines", "/".to_owned()),
            page::Step::here(&pipeline.name),
        ],
        pace: page::Pace::while_running([pipeline.is_running()]),
        fixed: html! {
            h1 { (pipeline.name) }
            p .sub { (pipeline.stages.join(" → ")) }
        },
        live: live(view, now),
    }
}

fn live(view: &Detail, now: DateTime<Utc>) -> Markup {
    let pipeline = &view.pipeline;
    let last = view.summaries.first();
    html! {
        (facts(pipeline, now))
        @if let Some(trouble) = &pipeline.trouble {
            section .card.fault { h2 { "It cannot be read in full" } p { (trouble) } }
        }
        @if let Some(running) = &pipeline.running { (at_work(&pipeline.name, running, now)) }
        @if let Some(summary) = last { (last_fault(pipeline, summary, now)) (warnings(summary)) }
        @if pipeline.runs.is_empty() {
            @if pipeline.running.is_none() {
                div .card.empty {
                    strong { "No runs yet" }
                    p { "Run it, and its history begins here:" }
                    code .cmd { "antiphon run " (shell_word(&pipeline.name)) }
                }
            }
        } @else {
            h2 { "Over time" }
            div .grid {
                (chart::bars(&pipeline.name, &pipeline.runs, chart::Measure::Duration))
                (chart::bars(&pipeline.name, &pipeline.runs, chart::Measure::Records))
            }
            (streams_over_runs(&view.summaries, now))
            (runs(&pipeline.name, &view.runs, now))
        }
        (states(&pipeline.name, &view.states, now))
        (rejects(&pipeline.name, &view.rejects))
        (page::as_of(view.read_at))
    }
}

fn facts(pipeline: &Pipeline, now: DateTime<Utc>) -> Markup {
    html! {
        dl .facts {
            div { dt { "Last run" } dd {
                @match pipeline.last() {
                    Some(run) => { (page::badge(run.outcome)) " " span .muted { (page::moment(now, run.started_at)) } },
                    None => (page::tag("idle", "–", "never run")),
                }
            } }
            div { dt { "Last good run" } dd {
                @match &pipeline.last_good {
                    Some(run) => a href=(page::run_link(&pipeline.name, &run.run)) { (page::moment(now, run.started_at)) },
                    None => span .muted { "none" },
                }
            } }
            div { dt { "Schedule" } dd {
                @match &pipeline.schedule {
                    Some(schedule) => { code { (schedule.line) } " " span .muted { (schedule.zone) } },
                    None => span .muted { "by hand" },
                }
            } }
            @if let Some(next) = pipeline.schedule.as_ref().and_then(|schedule| schedule.next) {
                div { dt { "Next" } dd { (page::moment(now, next)) " " span .muted { (words::stamp_short(next)) } } }
            }
            div { dt { "State" } dd {
                @match pipeline.state_version {
                    Some(version) => a href=(page::pipeline_link(&pipeline.name, &format!("/states/{version}"))) { "version " (version) },
                    None => span .muted { "none" },
                }
            } }
            @let open = pipeline.rejects_open;
            @if open > 0 {
                div { dt { "Open rejects" } dd { a href="#rejects" { (words::count(open)) } } }
            }
        }
    }
}

/// A run at work: its stages, its streams, the last lines of its log.
pub(crate) fn at_work(pipeline: &str, running: &Running, now: DateTime<Utc>) -> Markup {
    let live = &running.live;
    html! {
        @match running.runner {
            Runner::Gone => section .card.fault {
                h2 { "A run began, and its runner has gone" }
                p {
                    "Run " a href=(page::run_link(pipeline, &live.run)) { (live.run) } " on " (live.host) " began "
                    (page::moment(now, live.started_at)) " and said its last word " (page::moment(now, live.updated_at))
                    ". The next run takes over from its newest state."
                }
                code .cmd { "antiphon run " (shell_word(pipeline)) }
            },
            Runner::Alive => section .card.atwork aria-label="Running now" {
                h2 { (page::tag("run", "▸", "Running")) " for " (elapsed(live.started_at, now)) }
                dl {
                    dt { "Run" } dd { a href=(page::run_link(pipeline, &live.run)) { (live.run) } " on " (live.host) }
                    @if live.attempt > 1 { dt { "Attempt" } dd { (live.attempt) } }
                    dt { "Stages" } dd {
                        @for stage in &live.stages {
                            div { b { (stage.label) } " " span .muted { (file_name(&stage.exec)) }
                                " " @match &stage.ended { Some(ended) => { (ended) }, None => "at work" } }
                        }
                    }
                    @if let Some(records) = running.records() {
                        dt { "Records" } dd {
                            (words::count(records))
                            @if let Some(rate) = live.rate { span .muted { ", " (words::count(whole(rate))) " a second" } }
                        }
                    }
                    @if let Some(state) = live.state { dt { "State" } dd { "version " (state) } }
                }
            },
        }
    }
}

/// What failed in the newest run, and what to do.
fn last_fault(pipeline: &Pipeline, summary: &Summary, now: DateTime<Utc>) -> Markup {
    let Some(fault) = &summary.fault else {
        return html! {};
    };
    html! {
        section .card.fault aria-label="What failed" {
            h2 { (page::badge(summary.outcome)) " " span .muted { (page::moment(now, summary.started_at)) } }
            (fault_words(fault))
            @if let Some(good) = &pipeline.last_good {
                p { "The last good run was " a href=(page::run_link(&pipeline.name, &good.run)) { (page::moment(now, good.started_at)) }
                    ": " (words::duration(good.duration_seconds))
                    @if let Some(records) = good.records { ", " (words::plural(records, "record", "records")) } "." }
            } @else {
                p { "It has never ended well." }
            }
            p { "Look further:" }
            code .cmd { "antiphon logs " (shell_word(&summary.run)) }
        }
    }
}

/// A fault: the stage, its words, causes, hints.
pub(crate) fn fault_words(fault: &Fault) -> Markup {
    html! {
        p .what { (fault.stage) ": " @if fault.message.is_empty() { (fault.ended) } @else { (fault.message) } }
        @if !fault.message.is_empty() { p .muted { (fault.stage) " ended with " (fault.ended) } }
        @if !fault.causes.is_empty() {
            ul .plain { @for cause in &fault.causes { li { "cause: " (cause) } } }
        }
        @if !fault.hints.is_empty() {
            ul .plain { @for hint in &fault.hints { li { "hint: " (hint) } } }
        }
    }
}

/// What deserves attention in a run.
pub(crate) fn warnings(summary: &Summary) -> Markup {
    html! {
        @if !summary.warnings.is_empty() {
            section .card.caution aria-label="Warnings" {
                h2 { "Deserves attention" }
                ul .plain { @for warning in &summary.warnings { li { (warning) } } }
            }
        }
    }
}

/// The streams of the newest run that knows of any, each with its records over the runs before.
fn streams_over_runs(summaries: &[Summary], now: DateTime<Utc>) -> Markup {
    let mut history: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let syncs = summaries
        .iter()
        .rev()
        .filter(|summary| summary.kind != Kind::Replay);
    for summary in syncs {
        for (stream, counts) in &summary.streams {
            if let Some(records) = counts.records.or(counts.sent) {
                history.entry(stream).or_default().push(records);
            }
        }
    }
    let Some(at) = summaries
        .iter()
        .position(|summary| !summary.streams.is_empty())
    else {
        return html! {};
    };
    html! {
        h2 {
            @if at == 0 { "Streams of the last run" } @else { "Streams of the run " (page::moment(now, summaries[at].started_at)) }
        }
        (streams(&summaries[at].streams, Some(&history)))
    }
}

/// A column of the table of streams: its heading, what it counts, how it is told.
type Column = (&'static str, fn(&Counts) -> Option<u64>, fn(u64) -> String);

const COLUMNS: [Column; 8] = [
    ("Records", |counts| counts.records, words::count),
    ("Sent", |counts| counts.sent, words::count),
    ("Unchanged", |counts| counts.unchanged, words::count),
    ("Missing", |counts| counts.missing, words::count),
    ("Cleared", |counts| counts.cleared, words::count),
    ("Rejected", |counts| counts.rejected, words::count),
    ("Retried", |counts| counts.retried, words::count),
    ("Bytes", |counts| counts.bytes, words::bytes),
];

/// Streams with their counts; columns of which nobody said anything are left out.
pub(crate) fn streams(
    streams: &BTreeMap<String, Counts>,
    history: Option<&BTreeMap<&str, Vec<u64>>>,
) -> Markup {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(_, value, _)| streams.values().any(|counts| value(counts).is_some()))
        .collect();
    html! {
        div .table.cards {
            table role="table" aria-label="Streams" {
                thead { tr role="row" {
                    th scope="col" role="columnheader" { "Stream" }
                    @for (heading, _, _) in &columns { th .num scope="col" role="columnheader" { (heading) } }
                    @if history.is_some() { th scope="col" role="columnheader" { "Over the runs" } }
                } }
                tbody {
                    @for (stream, counts) in streams {
                        tr role="row" {
                            th scope="row" role="rowheader" { (stream) }
                            @for (heading, value, tell) in &columns {
                                td .num role="cell" data-label=(heading) { (value(counts).map_or_else(|| "–".to_owned(), tell)) }
                            }
                            @if let Some(history) = history {
                                td role="cell" data-label="Over the runs" {
                                    (chart::spark(history.get(stream.as_str()).map_or(&[], Vec::as_slice)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn runs(pipeline: &str, runs: &Paged<Brief>, now: DateTime<Utc>) -> Markup {
    html! {
        h2 #runs { "Runs" }
        div .table.cards {
            table role="table" aria-label="Runs" {
                thead { tr role="row" {
                    th scope="col" role="columnheader" { "Started" }
                    th scope="col" role="columnheader" { "Outcome" }
                    th .num scope="col" role="columnheader" { "Duration" }
                    th .num scope="col" role="columnheader" { "Records" }
                    th .num scope="col" role="columnheader" { "Rejects" }
                    th scope="col" role="columnheader" { "State" }
                    th scope="col" role="columnheader" { "What it said" }
                } }
                tbody {
                    @for run in &runs.items {
                        tr role="row" {
                            th scope="row" role="rowheader" {
                                a .nowrap href=(page::run_link(pipeline, &run.run)) { time datetime=(words::stamp_machine(run.started_at)) { (words::stamp(run.started_at)) } }
                                span .small { (words::relative(now, run.started_at)) @if run.kind != Kind::Sync { ", " (kind(run.kind)) } }
                            }
                            td role="cell" data-label="Outcome" { (page::badge(run.outcome)) }
                            td .num role="cell" data-label="Duration" { (words::duration(run.duration_seconds)) }
                            td .num role="cell" data-label="Records" { (words::count_or_dash(run.records)) }
                            td .num role="cell" data-label="Rejects" { (words::count(run.rejects)) }
                            td .nowrap role="cell" data-label="State" { (state_step(pipeline, run.state_before, run.state_after)) }
                            td .wide .none[run.words.is_none()] role="cell" data-label="What it said" {
                                @if let Some(said) = &run.words {
                                    @if let Some(stage) = &run.stage { (stage) ": " }
                                    (words::clip(said, 160))
                                }
                            }
                        }
                    }
                }
            }
        }
        @if runs.pages > 1 {
            nav .pages aria-label="Pages of runs" {
                @if runs.page > 1 { a rel="prev" href={ "?page=" (runs.page - 1) "#runs" } { "← Newer" } }
                span .muted { "Page " (runs.page) " of " (runs.pages) ", " (words::plural(runs.total as u64, "run", "runs")) }
                @if runs.page < runs.pages { a rel="next" href={ "?page=" (runs.page + 1) "#runs" } { "Older →" } }
            }
        }
    }
}

/// What a run did to the state: a link to the diff if it moved.
pub(crate) fn state_step(pipeline: &str, before: Option<u64>, after: Option<u64>) -> Markup {
    html! {
        @match (before, after) {
            (Some(before), Some(after)) if before < after => {
                a href=(page::pipeline_link(pipeline, &format!("/states/{before}..{after}"))) { (before) " → " (after) }
            },
            (None, Some(after)) => a href=(page::pipeline_link(pipeline, &format!("/states/{after}"))) { "→ " (after) },
            (Some(before), _) => span .muted { (before) ", unchanged" },
            (None, None) => span .muted { "none" },
        }
    }
}

/// The newest versions of the state.
fn states(pipeline: &str, states: &[StateLine], now: DateTime<Utc>) -> Markup {
    html! {
        @if !states.is_empty() {
            div .head {
                h2 #states { "States" }
                a href=(page::pipeline_link(pipeline, "/states")) { "All versions" }
            }
            (states_table(pipeline, states, now))
        }
    }
}

/// Versions of a state, each with the way to its diff.
pub(crate) fn states_table(pipeline: &str, states: &[StateLine], now: DateTime<Utc>) -> Markup {
    html! {
        div .table.cards {
            table role="table" aria-label="Versions of the state" {
                thead { tr role="row" {
                    th scope="col" role="columnheader" { "Version" }
                    th scope="col" role="columnheader" { "Stored" }
                    th scope="col" role="columnheader" { "Why" }
                    th scope="col" role="columnheader" { "Run" }
                    th .num scope="col" role="columnheader" { "Size" }
                    th scope="col" role="columnheader" { "Compare" }
                } }
                tbody {
                    @for (index, state) in states.iter().enumerate() {
                        tr role="row" {
                            th scope="row" role="rowheader" { a href=(page::pipeline_link(pipeline, &format!("/states/{}", state.version))) { "version " (state.version) } }
                            td role="cell" data-label="Stored" { (told_time(&state.at, now)) }
                            td role="cell" data-label="Why" { (state.cause) }
                            td .wide .none[state.run.is_none()] role="cell" data-label="Run" {
                                @if let Some(run) = &state.run { a href=(page::run_link(pipeline, run)) { (run) } }
                            }
                            td .num role="cell" data-label="Size" { (words::bytes(state.bytes as u64)) }
                            td .nowrap role="cell" data-label="Compare" {
                                // The oldest that is shown has a version before it unless it is the first of all.
                                @if state.version > 1 && (index + 1 < states.len() || states.len() > 1) {
                                    a href=(page::pipeline_link(pipeline, &format!("/states/{}..{}", state.version - 1, state.version))) { "with " (state.version - 1) }
                                } @else { span .muted { "–" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rejects(pipeline: &str, groups: &[RejectGroup]) -> Markup {
    html! {
        @if !groups.is_empty() {
            h2 #rejects { "Open rejects" }
            div .table.cards {
                table role="table" aria-label="Open rejects by reason" {
                    thead { tr role="row" {
                        th scope="col" role="columnheader" { "Stream" }
                        th .num scope="col" role="columnheader" { "Records" }
                        th scope="col" role="columnheader" { "Code" }
                        th scope="col" role="columnheader" { "Reason" }
                    } }
                    tbody {
                        @for group in groups {
                            tr role="row" {
                                th scope="row" role="rowheader" { (group.stream) }
                                td .num role="cell" data-label="Records" { (words::count(group.count)) }
                                td role="cell" data-label="Code" { (group.code.as_deref().unwrap_or("–")) }
                                td .wide role="cell" data-label="Reason" { (words::clip(&group.reason, 200)) }
                            }
                        }
                    }
                }
            }
            code .cmd { "antiphon rejects " (shell_word(pipeline)) " replay" }
        }
    }
}

/// A time as it is stored: told from now if it can be read, else as it is.
pub(crate) fn told_time(at: &str, now: DateTime<Utc>) -> Markup {
    match DateTime::parse_from_rfc3339(at) {
        Ok(at) => page::moment(now, at.to_utc()),
        Err(_) => html! { (at) },
    }
}

/// What a run was for.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Sync => "sync",
        Kind::FullRefresh => "full refresh",
        Kind::Replay => "replay of rejects",
    }
}

/// A program without its folder: where it lies is nobody's business.
pub(crate) fn file_name(exec: &str) -> &str {
    exec.rsplit('/').next().unwrap_or(exec)
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate below zero or beyond all bounds becomes the nearest number"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}
