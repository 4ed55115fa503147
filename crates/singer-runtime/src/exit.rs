//! How a process ends: the exit code of an error, and the last lines that explain it.

use std::process::ExitCode;

use serde_json::json;
use singer_core::{Error, Kind};

use crate::log::{self, Format};
use crate::stop::Reason;

/// How a run ended, if not with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was done.
    Done,
    /// Everything was done, but some records were rejected.
    WithRejects,
}

/// Exit code: done.
pub const DONE: u8 = 0;
/// Exit code: failed.
pub const FAILED: u8 = 1;
/// Exit code: wrong usage, config, catalog or state file; nothing was written.
pub const USAGE: u8 = 2;
/// Exit code: finished, but records were rejected.
pub const REJECTS: u8 = 3;
/// Exit code: the service is out of reach or throttles; run again later.
pub const LATER: u8 = 75;
/// Exit code: ended by SIGHUP.
pub const HUNG_UP: u8 = 129;
/// Exit code: ended by SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Exit code: ended by SIGTERM.
pub const TERMINATED: u8 = 143;

/// The outermost error of the lower floors in a chain: its kind decides what happens next.
pub fn outermost(error: &anyhow::Error) -> Option<&Error> {
    error
        .downcast_ref::<Error>()
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref()))
}

/// The kind of an error; what no lower floor has named is a defect or a local fault.
pub fn kind(error: &anyhow::Error) -> Kind {
    outermost(error).map_or(Kind::Internal, Error::kind)
}

/// The exit code of an error; `reason` is why a stop was asked for, if it was.
pub fn code(error: &anyhow::Error, reason: Option<Reason>) -> u8 {
    match kind(error) {
        Kind::Config => USAGE,
        Kind::RateLimited | Kind::Transient => LATER,
        Kind::Interrupted => stopped(reason),
        Kind::Auth | Kind::Rejected | Kind::Protocol | Kind::Internal => FAILED,
    }
}

/// The exit code of a run that was stopped, and why.
pub(crate) fn stopped(reason: Option<Reason>) -> u8 {
    match reason {
        Some(Reason::Terminate) => TERMINATED,
        Some(Reason::Interrupt) => INTERRUPTED,
        Some(Reason::Hangup) => HUNG_UP,
        Some(Reason::Failure) | None => FAILED,
    }
}

/// The message, the causes and the hints of an error, each once.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

/// Takes an error apart for its reader.
pub fn explain(error: &anyhow::Error) -> Explanation {
    let mut hints: Vec<String> = Vec::new();
    let mut messages: Vec<String> = Vec::new();
    // An error of ours that was attached as context is no link of the chain by its own type.
    let attached = error.downcast_ref::<Error>();
    let linked = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Error>());
    for hint in attached.into_iter().chain(linked).flat_map(Error::hints) {
        if !hints.contains(hint) {
            hints.push(hint.clone());
        }
    }
    for cause in error.chain() {
        let message = one_line(&cause.to_string());
        // Some libraries repeat their source's text in their own.
        if messages.last().is_none_or(|last| !last.contains(&message)) {
            messages.push(message);
        }
    }
    Explanation {
        message: messages.remove(0),
        causes: messages,
        hints,
    }
}

/// An error as one line, for a log field.
pub fn summary_line(error: &anyhow::Error) -> String {
    let explained = explain(error);
    let mut line = explained.message;
    for cause in explained.causes {
        line.push_str(": ");
        line.push_str(&cause);
    }
    line
}

/// Writes the last lines of a failed run.
pub fn report(binary: &str, error: &anyhow::Error) {
    let explained = explain(error);
    match log::format() {
        Format::Text => {
            log::raw(&format!("CRITICAL {binary}: {}", explained.message));
            for cause in &explained.causes {
                log::raw(&format!("  cause: {cause}"));
            }
            for hint in &explained.hints {
                log::raw(&format!("  hint: {hint}"));
            }
        }
        Format::Json => log::raw(
            &json!({
                "level": "critical",
                "app_name": binary,
                "message": explained.message,
                "causes": explained.causes,
                "hints": explained.hints,
            })
            .to_string(),
        ),
    }
}

/// The exit code for `main`.
pub(crate) fn exit_code(ended: &anyhow::Result<Ended>, reason: Option<Reason>) -> ExitCode {
    ExitCode::from(match ended {
        Ok(Ended::Done) => DONE,
        Ok(Ended::WithRejects) => REJECTS,
        Err(error) => code(error, reason),
    })
}

fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn nested() -> anyhow::Error {
        let inner = Error::auth("the token is no longer good").with_hint("make a new one");
        let middle = Error::transient("cannot read `a`").with_source(inner);
        anyhow::Error::new(middle).context("cannot sync `a`")
    }

    #[test]
    fn the_outermost_kind_decides() {
        assert_eq!(code(&nested(), None), LATER);
        let wrapped = Err::<(), _>(nested())
            .context(Error::config("the config is to blame").with_hint("read it"))
            .unwrap_err();
        assert_eq!(code(&wrapped, None), USAGE);
        assert_eq!(explain(&wrapped).hints, ["read it", "make a new one"]);
        assert_eq!(code(&anyhow::anyhow!("what"), None), FAILED);
    }

    #[test]
    fn an_interruption_takes_the_code_of_its_signal() {
        let error = anyhow::Error::new(Error::interrupted());
        assert_eq!(code(&error, Some(Reason::Terminate)), TERMINATED);
        assert_eq!(code(&error, Some(Reason::Interrupt)), INTERRUPTED);
        assert_eq!(code(&error, Some(Reason::Hangup)), HUNG_UP);
        assert_eq!(code(&error, Some(Reason::Failure)), FAILED);
    }

    #[test]
    fn causes_and_hints_come_out_in_order() {
        assert_eq!(
            explain(&nested()),
            Explanation {
                message: "cannot sync `a`".to_owned(),
                causes: vec![
                    "cannot read `a`".to_owned(),
                    "the token is no longer good".to_owned()
                ],
                hints: vec!["make a new one".to_owned()],
            }
        );
        assert_eq!(
            summary_line(&nested()),
            "cannot sync `a`: cannot read `a`: the token is no longer good"
        );
    }
}
