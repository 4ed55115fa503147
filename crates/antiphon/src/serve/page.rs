//! The frame of every page: head, banner, trail, the part that refreshes, the headers that keep a
//! browser from doing anything else.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::rand::{SecureRandom, SystemRandom};

use crate::history::Outcome;
use crate::serve::words;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("refresh.js");
/// A musical pair of lines in a square: our mark.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
    %3Crect width='16' height='16' rx='3' fill='%23365a8c'/%3E%3Cpath d='M3 6h7M6 10h7' stroke='%23fff' \
    stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E";

/// The header with which the script asks for the part that refreshes alone.
pub(crate) const FRAGMENT: &str = "x-fragment";

/// A page before it is put into its frame.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// The way here, from the top; the last is the page itself.
    pub(crate) trail: Vec<Step>,
    pub(crate) pace: Pace,
    /// Stands above what refreshes: headings and forms.
    pub(crate) fixed: Markup,
    pub(crate) live: Markup,
}

/// A step of the way to a page.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) link: Option<String>,
}

impl Step {
    /// A step that leads somewhere.
    pub(crate) fn to(label: &str, link: String) -> Self {
        Self {
            label: label.to_owned(),
            link: Some(link),
        }
    }

    /// The page itself.
    pub(crate) fn here(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            link: None,
        }
    }
}

/// How often the script asks for news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Something runs.
    Running,
    /// Nothing does, but it may.
    Idle,
    /// What is shown never changes.
    Still,
}

impl Pace {
    /// Of a page that shows something that may run.
    pub(crate) fn while_running(runs: impl IntoIterator<Item = bool>) -> Self {
        if runs.into_iter().any(|runs| runs) {
            Self::Running
        } else {
            Self::Idle
        }
    }

    fn seconds(self) -> Option<u32> {
        match self {
            Self::Running => Some(3),
            Self::Idle => Some(30),
            Self::Still => None,
        }
    }
}

/// Whether the whole page is wanted, or what refreshes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Fragment,
}

/// Puts a page into its frame and an answer.
pub(crate) fn answer(status: StatusCode, project: &str, page: &Page, part: Part) -> Response {
    let nonce = nonce();
    let body = match part {
        Part::Whole => whole(project, page, &nonce),
        Part::Fragment => fragment(page),
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(body.into_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::VARY, HeaderValue::from_static(FRAGMENT));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn whole(project: &str, page: &Page, nonce: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (page.title) " · antiphon" }
                link rel="icon" href=(PreEscaped(ICON));
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                header .top {
                    a .brand href="/" { "antiphon" }
                    span .project { (project) }
                }
                @if !page.trail.is_empty() {
                    nav .trail aria-label="Breadcrumb" {
                        ol {
                            @for step in &page.trail {
                                li {
                                    @match &step.link {
                                        Some(link) => a href=(link) { (step.label) },
                                        None => span aria-current="page" { (step.label) },
                                    }
                                }
                            }
                        }
                    }
                }
                main #main tabindex="-1" {
                    (page.fixed)
                    (fragment(page))
                }
                @if page.pace != Pace::Still {
                    script nonce=(nonce) { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }
}

fn fragment(page: &Page) -> Markup {
    html! { div #live data-refresh=[page.pace.seconds()] { (page.live) } }
}

/// A number used once, so that no style and no script but ours is let in.
fn nonce() -> String {
    let mut bytes = [0; 16];
    // Without random numbers the nonce is one that no browser accepts twice from us anyway: the page
    // is then bare, and still readable.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        return "none".to_owned();
    }
    hex(&bytes)
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text does not fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

/// The way to a page of a pipeline, percent-encoded; `rest` is ours and needs none.
pub(crate) fn pipeline_link(pipeline: &str, rest: &str) -> String {
    format!("/pipelines/{}{rest}", encode(pipeline))
}

/// The way to the page of a run.
pub(crate) fn run_link(pipeline: &str, run: &str) -> String {
    pipeline_link(pipeline, &format!("/runs/{}", encode(run)))
}

/// Percent-encodes a piece of a path or a value of a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex(&[byte]).to_uppercase());
        }
    }
    encoded
}

/// A moment: told from now, whole in its title.
pub(crate) fn moment(now: DateTime<Utc>, at: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(words::stamp_machine(at)) title=(words::stamp(at)) { (words::relative(now, at)) }
    }
}

/// A moment in full.
pub(crate) fn moment_whole(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(words::stamp_machine(at)) { (words::stamp(at)) } }
}

/// An outcome: its mark and its word.
pub(crate) fn badge(outcome: Outcome) -> Markup {
    tag(
        words::class(outcome),
        words::mark(outcome),
        words::outcome(outcome),
    )
}

/// A mark and a word in the colours of a class.
pub(crate) fn tag(class: &str, mark: &str, word: &str) -> Markup {
    html! {
        span class={ "tag " (class) } { span .mark aria-hidden="true" { (mark) } (word) }
    }
}

/// The foot of what refreshes: when it was read.
pub(crate) fn as_of(at: DateTime<Utc>) -> Markup {
    html! { p .asof { "Read " (moment_whole(at)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_hold_no_character_that_means_something() {
        assert_eq!(
            run_link("a/../b?c#d", "é \"x"),
            "/pipelines/a%2F..%2Fb%3Fc%23d/runs/%C3%A9%20%22x"
        );
    }

    #[test]
    fn every_page_has_a_nonce_of_its_own() {
        let page = Page {
            title: "<t>".to_owned(),
            trail: Vec::new(),
            pace: Pace::Idle,
            fixed: html! {},
            live: html! {},
        };
        let policies: Vec<String> = (0..2)
            .map(|_| {
                let response = answer(StatusCode::OK, "p", &page, Part::Whole);
                let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
                policy.to_str().unwrap().to_owned()
            })
            .collect();
        assert_ne!(policies[0], policies[1]);
        assert!(policies[0].starts_with("default-src 'none'; style-src 'nonce-"));
    }
}
