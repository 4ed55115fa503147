//! The pages of states: the versions, one of them, two of them side by side.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::value::RawValue;

use crate::serve::view::{Paged, StateDetail, StateDiff, StateLine};
use crate::serve::{page, pipeline, words};
use crate::state::diff::ChangeKind;

fn trail(name: &str, here: &str) -> Vec<page::Step> {
    vec![
        page::Step::to("Pipelines", "/".to_owned()),
        page::Step::to(name, page::pipeline_link(name, "")),
        page::Step::to("States", page::pipeline_link(name, "/states")),
        page::Step::here(here),
    ]
}

/// All versions, a page of them.
pub(crate) fn page_of_versions(
    name: &str,
    states: &Paged<StateLine>,
    now: DateTime<Utc>,
) -> page::Page {
    page::Page {
        title: format!("states · {name}"),
        trail: vec![
            page::Step::to("Pipelines", "/".to_owned()),
            page::Step::to(name, page::pipeline_link(name, "")),
            page::Step::here("States"),
        ],
        pace: page::Pace::Still,
        fixed: html! {
            h1 { "States of " (name) }
            p .sub { "Versions never change. To go back to one: " code { "antiphon state " (pipeline::shell_word(name)) " revert N" } }
        },
        live: html! {
            @if states.items.is_empty() {
                div .card.empty {
                    strong { "No states yet" }
                    p { "Each state that the target prints becomes a version here." }
                }
            } @else {
                (pipeline::states_table(name, &states.items, now))
            }
            @if states.pages > 1 {
                nav .pages aria-label="Pages of states" {
                    @if states.page > 1 { a rel="prev" href={ "?page=" (states.page - 1) } { "← Newer" } }
                    span .muted { "Page " (states.page) " of " (states.pages) ", " (words::plural(states.total as u64, "version", "versions")) }
                    @if states.page < states.pages { a rel="next" href={ "?page=" (states.page + 1) } { "Older →" } }
                }
            }
        },
    }
}

/// One version.
pub(crate) fn page_of_version(view: &StateDetail, now: DateTime<Utc>) -> page::Page {
    let name = &view.pipeline;
    let version = view.line.version;
    page::Page {
        title: format!("state {version} · {name}"),
        trail: trail(name, &format!("version {version}")),
        pace: page::Pace::Still,
        fixed: html! { h1 { "State, version " (version) } },
        live: html! {
            (line_facts(name, &view.line, now))
            p {
                @if let Some(before) = view.before {
                    a href=(page::pipeline_link(name, &format!("/states/{before}..{version}"))) { "What changed since version " (before) }
                }
                @if version < view.newest {
                    @if view.before.is_some() { " · " }
                    a href=(page::pipeline_link(name, &format!("/states/{version}..{}", view.newest))) { "What changed until the newest, version " (view.newest) }
                }
            }
            div .table {
                table aria-label="Values" {
                    thead { tr { th scope="col" { "Path" } th scope="col" { "Value" } } }
                    tbody {
                        @for (keys, value) in &view.leaves {
                            tr { th .wide scope="row" { (path(keys)) } td .wide { code { (words::clip(value, 4_000)) } } }
                        }
                    }
                }
            }
            @if version < view.newest {
                p .muted { "To make its value the newest version:" }
                code .cmd { "antiphon state " (pipeline::shell_word(name)) " revert " (version) }
            }
        },
    }
}

/// Two versions.
pub(crate) fn page_of_diff(view: &StateDiff, now: DateTime<Utc>) -> page::Page {
    let name = &view.pipeline;
    let (before, after) = (view.before.version, view.after.version);
    page::Page {
        title: format!("states {before} and {after} · {name}"),
        trail: trail(name, &format!("{before} to {after}")),
        pace: page::Pace::Still,
        fixed: html! { h1 { "State, version " (before) " to " (after) } },
        live: html! {
            dl .facts {
                @for line in [&view.before, &view.after] {
                    div {
                        dt { a href=(page::pipeline_link(name, &format!("/states/{}", line.version))) { "Version " (line.version) } }
                        dd { (pipeline::told_time(&line.at, now)) ", " (line.cause) }
                    }
                }
            }
            @if view.changes.is_empty() {
                div .card.empty { strong { "The same" } p { "All values are equal in both versions." } }
            } @else {
                div .table.cards {
                    table role="table" aria-label="Differences" {
                        thead { tr role="row" {
                            th scope="col" role="columnheader" { "Path" }
                            th scope="col" role="columnheader" { "Change" }
                            th scope="col" role="columnheader" { "Version " (before) }
                            th scope="col" role="columnheader" { "Version " (after) }
                        } }
                        tbody {
                            @for change in &view.changes {
                                tr role="row" {
                                    th .wide scope="row" role="rowheader" { (path(&change.path)) }
                                    td role="cell" data-label="Change" { (word(change.kind)) }
                                    td .wide role="cell" data-label={ "Version " (before) } { (value(change.before.as_deref().map(RawValue::get), "minus")) }
                                    td .wide role="cell" data-label={ "Version " (after) } { (value(change.after.as_deref().map(RawValue::get), "plus")) }
                                }
                            }
                        }
                    }
                }
            }
        },
    }
}

fn line_facts(name: &str, line: &StateLine, now: DateTime<Utc>) -> Markup {
    html! {
        dl .facts {
            div { dt { "Stored" } dd { (pipeline::told_time(&line.at, now)) } }
            div { dt { "Why" } dd { (line.cause) } }
            @if let Some(run) = &line.run {
                div { dt { "Run" } dd { a href=(page::run_link(name, run)) { (run) } } }
            }
            div { dt { "Size" } dd { (words::bytes(line.bytes as u64)) } }
        }
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Changed => "changed",
    }
}

fn value(value: Option<&str>, class: &str) -> Markup {
    html! {
        @match value {
            Some(value) => code class=(class) { (words::clip(value, 4_000)) },
            None => span .muted { "–" },
        }
    }
}

fn path(path: &[String]) -> Markup {
    html! { @if path.is_empty() { "(the whole state)" } @else { (path.join(" › ")) } }
}
