//! The page of one run: its summary, its stages, its streams, the end of its log.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::history::Summary;
use crate::serve::view::{LogTail, RunDetail, Runner};
use crate::serve::{page, pipeline, words};

/// The page.
pub(crate) fn page(view: &RunDetail, now: DateTime<Utc>) -> page::Page {
    let is_running = view
        .running
        .as_ref()
        .is_some_and(|running| running.runner == Runner::Alive);
    page::Page {
        title: format!("{} · {}", view.run, view.pipeline),
        trail: vec![
            page::Step::to("Pipelines", "/".to_owned()),
            page::Step::to(&view.pipeline, page::pipeline_link(&view.pipeline, "")),
            page::Step::here(&view.run),
        ],
        pace: if view.summary.is_some() {
            page::Pace::Still
        } else {
            page::Pace::while_running([is_running])
        },
        fixed: html! {
            h1 { @match &view.summary {
                Some(summary) => { "Run of " (words::stamp(summary.started_at)) },
                None => { "Run " (view.run) },
            } }
        },
        live: live(view, now),
    }
}

fn live(view: &RunDetail, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(summary) = &view.summary {
            (facts(summary, now))
            @if let Some(fault) = &summary.fault {
                section .card.fault aria-label="What failed" { h2 { "What failed" } (pipeline::fault_words(fault)) }
            }
            (pipeline::warnings(summary))
            (stages(summary))
            @if !summary.streams.is_empty() {
                h2 { "Streams" }
                (pipeline::streams(&summary.streams, None))
            }
        } @else if let Some(running) = &view.running {
            (pipeline::at_work(&view.pipeline, running, now))
            @if !running.live.streams.is_empty() {
                h2 { "Streams so far" }
                (pipeline::streams(&running.live.streams, None))
            }
        }
        (log(view))
        (page::as_of(view.read_at))
    }
}

fn facts(summary: &Summary, now: DateTime<Utc>) -> Markup {
    html! {
        dl .facts {
            div { dt { "Outcome" } dd { (page::badge(summary.outcome)) } }
            div { dt { "Started" } dd { (page::moment(now, summary.started_at)) } }
            div { dt { "Duration" } dd { (words::duration(summary.duration_seconds)) } }
            div { dt { "What for" } dd { (pipeline::kind(summary.kind)) } }
            div { dt { "Exit code" } dd { (summary.exit_code) } }
            div { dt { "Attempts" } dd { (summary.attempts) } }
            div { dt { "Rejects" } dd { (words::count(summary.rejects)) } }
            div { dt { "State" } dd { (pipeline::state_step(&summary.pipeline, summary.state_before, summary.state_after)) } }
            div { dt { "Machine" } dd { (summary.host) } }
            div { dt { "Run" } dd { code { (summary.run) } } }
        }
    }
}

fn stages(summary: &Summary) -> Markup {
    html! {
        @if !summary.stages.is_empty() {
            h2 { "Stages" }
            div .table.cards {
                table role="table" aria-label="Stages" {
                    thead { tr role="row" {
                        th scope="col" role="columnheader" { "Stage" }
                        th scope="col" role="columnheader" { "Program" }
                        th scope="col" role="columnheader" { "Ended" }
                    } }
                    tbody {
                        @for stage in &summary.stages {
                            @let blamed = summary.fault.as_ref().is_some_and(|fault| fault.stage == stage.label);
                            tr role="row" {
                                th scope="row" role="rowheader" { (stage.label) @if blamed { " " (page::tag("bad", "×", "failed first")) } }
                                td role="cell" data-label="Program" { (pipeline::file_name(&stage.exec)) }
                                td role="cell" data-label="Ended" { (stage.ended) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn log(view: &RunDetail) -> Markup {
    let whole = format!("{}/log", page::run_link(&view.pipeline, &view.run));
    html! {
        div .head {
            h2 { "Log" }
            @if let Some(log) = &view.log {
                @if log.before > 0 {
                    span .muted { "the last " (words::plural(log.lines.len() as u64, "line", "lines")) " of " (words::count((log.before + log.lines.len()) as u64)) }
                }
                a href=(whole) { "Whole log as text" } span .muted { (words::bytes(log.bytes as u64)) }
            }
        }
        @match &view.log {
            Some(log) if !log.lines.is_empty() => (lines(log)),
            Some(_) => p .muted { "The log is empty." },
            None => p .muted { "There is no log of this run." },
        }
    }
}

fn lines(log: &LogTail) -> Markup {
    html! {
        pre #log .log tabindex="0" aria-label="Log" data-scroll="end" {
            @for line in &log.lines {
                @match level(line) {
                    Some(class) => span class=(class) { (line) },
                    None => (line),
                }
                "\n"
            }
        }
    }
}

/// The class of a line that says of itself that something is wrong.
fn level(line: &str) -> Option<&'static str> {
    let mut words = line.split_whitespace().take(5);
    words.find_map(|word| match word.trim_end_matches(':') {
        "CRITICAL" | "FATAL" | "ERROR" => Some("c"),
        "WARN" | "WARNING" => Some("y"),
        _ => None,
    })
}

/// The end of a log.
pub(crate) fn tail(log: &[u8], most: usize) -> LogTail {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    let before = lines.len().saturating_sub(most);
    LogTail {
        lines: lines
            .iter()
            .skip(before)
            .map(|line| words::clip(line, 2_000))
            .collect(),
        before,
        bytes: log.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_says_how_much_stands_before_it() {
        let log = tail(b"a\nb\nc\n", 2);
        assert_eq!(log.lines, ["b", "c"]);
        assert_eq!((log.before, log.bytes), (1, 6));
        assert_eq!(tail(b"", 2).lines, Vec::<String>::new());
    }

    #[test]
    fn a_line_is_judged_by_its_own_level() {
        assert_eq!(level("12:00:00 tap | CRITICAL tap-x: no"), Some("c"));
        assert_eq!(level("target | WARNING slow"), Some("y"));
        assert_eq!(level("tap | INFO all is well, no word of any ERROR"), None);
    }
}
