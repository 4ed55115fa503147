//! Pages that say that something is not there, not allowed, or not to be read now.

use chrono::{DateTime, Utc};
use maud::html;

use crate::serve::view::Outage;
use crate::serve::{overview, page, pipeline};

/// There is no such pipeline: names that are near.
pub(crate) fn no_pipeline(name: &str, known: &[&str]) -> page::Page {
    let near = singer_core::nearest::nearest(name, known.iter().copied());
    notice(
        "no such pipeline",
        html! {
            h1 { "There is no pipeline " code { (name) } }
            @if let Some(near) = near { p { "Did you mean " a href=(page::pipeline_link(near, "")) { (near) } "?" } }
            p { a href="/" { "All pipelines" } }
        },
    )
}

/// There is no such thing of a pipeline any more, or never was.
pub(crate) fn not_kept(name: &str, what: &str) -> page::Page {
    notice(
        "not found",
        html! {
            h1 { "There is no " (what) }
            p { "It never was, or it is older than what is kept (" code { "[retention]" } " in the project file)." }
            p { a href=(page::pipeline_link(name, "")) { "The pipeline " (name) } " has what there is; " code { "antiphon history " (pipeline::shell_word(name)) } " lists it too." }
        },
    )
}

/// There is no such page.
pub(crate) fn no_page() -> page::Page {
    notice(
        "not found",
        html! {
            h1 { "There is no such page" }
            p { a href="/" { "All pipelines" } }
        },
    )
}

/// The store cannot be read, on a page that nothing older is known of.
pub(crate) fn outage(outage: &Outage, now: DateTime<Utc>) -> page::Page {
    page::Page {
        title: "the store cannot be read".to_owned(),
        trail: vec![page::Step::to("Pipelines", "/".to_owned())],
        pace: page::Pace::Running,
        fixed: html! {},
        live: overview::outage_note(outage, now),
    }
}

/// What a login form answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    First,
    Wrong,
}

/// The form that asks for the token.
pub(crate) fn login(login: Login, back: &str) -> page::Page {
    notice(
        "token",
        html! {
            section .card.login {
                h1 { "This page wants its token" }
                p .sub { "It stands where " code { "antiphon serve" } " was told to read it: " code { "--token-file" } " or " code { "--token-env" } "." }
                @if login == Login::Wrong { p role="alert" { (page::tag("bad", "×", "That is not the token.")) } }
                form method="post" action="/login" {
                    input type="hidden" name="back" value=(back);
                    input type="password" name="token" aria-label="Token" autocomplete="current-password" required autofocus;
                    button type="submit" { "Open" }
                }
            }
        },
    )
}

fn notice(title: &str, fixed: maud::Markup) -> page::Page {
    page::Page {
        title: title.to_owned(),
        trail: Vec::new(),
        pace: page::Pace::Still,
        fixed,
        live: html! {},
    }
}
