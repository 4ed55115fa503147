//! The first page: all pipelines, the failing ones first.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use crate::history::Brief;
use crate::serve::view::{Outage, Overview, Pipeline, Runner, Running, Standing};
use crate::serve::{chart, page, words};

/// Pipelines on a page.
const ROWS: usize = 30;
/// Cells of all strips of a page together: what keeps it small.
const CELLS: usize = 300;

/// What the query asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    /// Words that must all occur in the name or in the names of the stages.
    pub(crate) q: String,
    pub(crate) show: String,
    pub(crate) page: String,
}

/// What a chip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    All,
    Failing,
    Running,
    Rejects,
    Fine,
    Never,
}

impl Show {
    const EACH: [Self; 6] = [
        Self::All,
        Self::Failing,
        Self::Running,
        Self::Rejects,
        Self::Fine,
        Self::Never,
    ];

    fn of(query: &Query) -> Self {
        let known = Self::EACH
            .into_iter()
            .find(|show| show.value() == query.show);
        known.unwrap_or(Self::All)
    }

    fn value(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failing => "failing",
            Self::Running => "running",
            Self::Rejects => "rejects",
            Self::Fine => "fine",
            Self::Never => "never",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failing => "failing",
            Self::Running => "running now",
            Self::Rejects => "with rejects",
            Self::Fine => "fine",
            Self::Never => "never run",
        }
    }

    fn holds(self, pipeline: &Pipeline) -> bool {
        match self {
            Self::All => true,
            Self::Running => pipeline.is_running(),
            Self::Failing => pipeline.standing() == Standing::Failing,
            Self::Rejects => pipeline.standing() == Standing::Rejects,
            Self::Fine => pipeline.standing() == Standing::Fine,
            Self::Never => pipeline.standing() == Standing::Never,
        }
    }
}

/// The page.
pub(crate) fn page(view: &Overview, query: &Query, now: DateTime<Utc>) -> page::Page {
    let running = view.pipelines.iter().map(|pipeline| pipeline.is_running());
    let failing = view
        .pipelines
        .iter()
        .filter(|pipeline| pipeline.standing() == Standing::Failing)
        .count();
    page::Page {
        title: if failing == 0 {
            view.project.clone()
        } else {
            format!("{failing} failing · {}", view.project)
        },
        trail: Vec::new(),
        pace: page::Pace::while_running(running),
        fixed: html! { h1 { "Pipelines" } },
        live: live(view, query, now),
    }
}

/// The page while the store cannot be read: what was read last stays in sight.
pub(crate) fn page_of_outage(outage: &Outage, query: &Query, now: DateTime<Utc>) -> page::Page {
    page::Page {
        title: "the store cannot be read".to_owned(),
        trail: Vec::new(),
        pace: page::Pace::Running,
        fixed: html! { h1 { "Pipelines" } },
        live: html! {
            (outage_note(outage, now))
            @if let Some(view) = &outage.last_good { (live(view, query, now)) }
        },
    }
}

/// Says that the store cannot be read, why, and how old is what is known.
pub(crate) fn outage_note(outage: &Outage, now: DateTime<Utc>) -> Markup {
    html! {
        section .card.fault role="alert" {
            h2 { "The store cannot be read" }
            p .what { (outage.message) }
            @if !outage.causes.is_empty() {
                ul .plain { @for cause in &outage.causes { li { (cause) } } }
            }
            @for hint in &outage.hints { p { "Hint: " (hint) } }
            @match &outage.last_good {
                Some(view) => p {
                    "The last good read was " (page::moment(now, view.read_at)) ", at " (page::moment_whole(view.read_at))
                    "; this page tries again by itself."
                },
                None => p { "Nothing was read since this page was started; it tries again by itself." },
            }
        }
    }
}

fn live(view: &Overview, query: &Query, now: DateTime<Utc>) -> Markup {
    if view.pipelines.is_empty() {
        return html! {
            div .card.empty {
                strong { "No pipelines yet" }
                p { "The project file has none. Write a first one from the programs you have:" }
                code .cmd { "antiphon new tap-redshift target-pendo" }
            }
            (page::as_of(view.read_at))
        };
    }
    let show = Show::of(query);
    let found = search(view, &query.q);
    let mut rows: Vec<&Pipeline> = found
        .iter()
        .copied()
        .filter(|pipeline| show.holds(pipeline))
        .collect();
    rows.sort_by_key(|pipeline| pipeline.standing());
    let pages = rows.len().div_ceil(ROWS).max(1);
    let page = query.page.parse::<usize>().unwrap_or(1).clamp(1, pages);
    let shown: Vec<&Pipeline> = rows
        .iter()
        .copied()
        .skip((page - 1) * ROWS)
        .take(ROWS)
        .collect();
    html! {
        (filter(query, show, &found))
        @if shown.is_empty() {
            div .card.empty {
                strong { "Nothing here" }
                p { "No pipeline fits what you look for. " a href="/" { "Show all" } }
            }
        } @else {
            (table(&shown, now))
        }
        @if pages > 1 {
            nav .pages aria-label="Pages" {
                @if page > 1 { a rel="prev" href=(link(&query.q, show, page - 1)) { "← Previous" } }
                span .muted { "Page " (page) " of " (pages) ", " (rows.len()) " pipelines" }
                @if page < pages { a rel="next" href=(link(&query.q, show, page + 1)) { "Next →" } }
            }
        }
        (page::as_of(view.read_at))
    }
}

fn search<'a>(view: &'a Overview, query: &str) -> Vec<&'a Pipeline> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let fits = |pipeline: &&Pipeline| {
        let text = format!("{} {}", pipeline.name, pipeline.stages.join(" ")).to_lowercase();
        words.iter().all(|word| text.contains(word))
    };
    view.pipelines.iter().filter(fits).collect()
}

fn link(search: &str, show: Show, page: usize) -> String {
    let mut pairs = Vec::new();
    if !search.is_empty() {
        pairs.push(format!("q={}", page::encode(search)));
    }
    if show != Show::All {
        pairs.push(format!("show={}", show.value()));
    }
    if page > 1 {
        pairs.push(format!("page={page}"));
    }
    if pairs.is_empty() {
        return "/".to_owned();
    }
    format!("/?{}", pairs.join("&"))
}

fn filter(query: &Query, show: Show, found: &[&Pipeline]) -> Markup {
    html! {
        div .filter {
            form role="search" method="get" action="/" {
                input #q type="search" name="q" value=(query.q) placeholder="Name, tap or target" aria-label="Search pipelines" autocomplete="off";
                @if show != Show::All { input type="hidden" name="show" value=(show.value()); }
                button type="submit" { "Search" }
            }
            ul .chips aria-label="Show" {
                @for each in Show::EACH {
                    @let number = found.iter().filter(|pipeline| each.holds(pipeline)).count();
                    @if number > 0 || each == show || each == Show::All {
                        li {
                            a href=(link(&query.q, each, 1)) aria-current=[(each == show).then_some("true")] {
                                b { (number) } " " (each.label())
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(rows: &[&Pipeline], now: DateTime<Utc>) -> Markup {
    let cells = (CELLS / rows.len()).clamp(8, 30);
    html! {
        div .table.cards {
            table .overview role="table" aria-label="Pipelines" {
                thead { tr role="row" {
                    th scope="col" role="columnheader" { "Pipeline" }
                    th scope="col" role="columnheader" { "Last run" }
                    th .num scope="col" role="columnheader" { "Last runs, newest right" }
                    th .num scope="col" role="columnheader" { "Duration" }
                    th .num scope="col" role="columnheader" { "Records" }
                    th .num scope="col" role="columnheader" { "Open rejects" }
                    th scope="col" role="columnheader" { "Next" }
                } }
                tbody { @for pipeline in rows { (row(pipeline, cells, now)) } }
            }
        }
    }
}

fn row(pipeline: &Pipeline, cells: usize, now: DateTime<Utc>) -> Markup {
    let last = pipeline.last();
    let rejects = Some(pipeline.rejects_open).filter(|open| *open > 0);
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                a href=(page::pipeline_link(&pipeline.name, "")) { (pipeline.name) }
                span .small { (pipeline.stages.join(" → ")) }
                @if let Some(why) = why(pipeline) { span .small.why { (words::clip(&why, 140)) } }
            }
            td role="cell" data-label="Last run" { div .val { (last_run(pipeline, now)) } }
            td role="cell" class=[pipeline.runs.is_empty().then_some("none")] { (strip(&pipeline.name, &pipeline.runs, cells)) }
            td .num .none[last.is_none()] role="cell" data-label="Duration" { (last.map_or_else(|| "–".to_owned(), |run| words::duration(run.duration_seconds))) }
            td .num .none[last.is_none()] role="cell" data-label="Records" { (words::count_or_dash(last.and_then(|run| run.records))) }
            td .num .none[rejects.is_none()] role="cell" data-label="Open rejects" {
                @match rejects {
                    Some(open) => a href=(page::pipeline_link(&pipeline.name, "#rejects")) { (words::count(open)) },
                    None => span .old { "0" },
                }
            }
            td .next role="cell" data-label="Next" { div .val { (next(pipeline, now)) } }
        }
    }
}

/// Why a pipeline is among the failing ones.
fn why(pipeline: &Pipeline) -> Option<String> {
    if let Some(trouble) = &pipeline.trouble {
        return Some(trouble.clone());
    }
    let last = pipeline.last()?;
    if last.outcome.is_good() {
        return None;
    }
    match (&last.stage, &last.words) {
        (Some(stage), Some(words)) => Some(format!("{stage}: {words}")),
        (None, Some(words)) => Some(words.clone()),
        (Some(stage), None) => Some(format!("{stage} failed")),
        (None, None) => None,
    }
}

fn last_run(pipeline: &Pipeline, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(running) = &pipeline.running { (at_work(&pipeline.name, running, now)) }
        @match pipeline.last() {
            Some(run) => {
                a href=(page::run_link(&pipeline.name, &run.run)) { (page::badge(run.outcome)) }
                span .small { (page::moment(now, run.started_at)) }
            },
            None => @if pipeline.running.is_none() { (page::tag("idle", "–", "never run")) },
        }
    }
}

/// A run at work in a line: how long, how much, how fast.
fn at_work(pipeline: &str, running: &Running, now: DateTime<Utc>) -> Markup {
    let live = &running.live;
    html! {
        @match running.runner {
            Runner::Gone => {
                a href=(page::run_link(pipeline, &live.run)) { (page::tag("bad", "†", "runner has gone")) }
                span .small { "began " (page::moment(now, live.started_at)) }
            },
            Runner::Alive => {
                a href=(page::run_link(pipeline, &live.run)) { (page::tag("run", "▸", "running")) }
                span .small {
                    "for " (elapsed(live.started_at, now))
                    @if let Some(records) = running.records() { ", " (words::plural(records, "record", "records")) }
                    @if let Some(rate) = live.rate { ", " (words::count_short(rate.round())) "/s" }
                }
            },
        }
    }
}

/// How long something has been at work.
pub(crate) fn elapsed(from: DateTime<Utc>, now: DateTime<Utc>) -> String {
    words::duration((now - from).as_seconds_f64().max(0.0).round())
}

fn next(pipeline: &Pipeline, now: DateTime<Utc>) -> Markup {
    html! {
        @match &pipeline.schedule {
            Some(schedule) => {
                @if let Some(next) = schedule.next { (page::moment(now, next)) } @else { "never" }
                span .small { code { (schedule.line) } }
            },
            None => span .old { "by hand" },
        }
    }
}

/// The last outcomes, the newest at the right, each a link to its run. The links stay out of the order of
/// the Tab key: the page of the pipeline has the same runs as a table.
fn strip(pipeline: &str, runs: &[Brief], cells: usize) -> Markup {
    let runs = &runs[runs.len().saturating_sub(cells)..];
    html! {
        div .strip {
            @for run in runs {
                a class=(chart::shape(run.outcome)) href=(page::run_link(pipeline, &run.run)) tabindex="-1"
                    title={ (words::outcome(run.outcome)) ", " (words::stamp_short(run.started_at)) ", " (words::duration(run.duration_seconds)) } {}
            }
        }
    }
}
