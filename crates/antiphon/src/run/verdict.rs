//! What became of a run: outcome, exit code, fault, and whether another attempt makes sense.

use singer_core::Error;
use singer_runtime::exit;
use singer_runtime::stop::Reason;

use crate::history::{Fault, Outcome};
use crate::report::LastWords;
use crate::run::attempt::{Attempted, Cause};
use crate::run::ends::{How, Why};
use crate::run::intake::Trouble;
use crate::run::plan::{RUNNER, Unfit};
use crate::spec::Pipeline;

/// The end of an attempt, judged.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) exit_code: u8,
    pub(super) fault: Option<Fault>,
    pub(super) next: Next,
}

/// What is to be done after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It failed, and another makes sense.
    Retry,
    /// The run is over.
    End,
    /// The run is over, and the pipeline is somebody else's: nothing more may be written.
    Withdraw,
}

/// Judges an attempt. `words` are what a stage said last.
pub(super) fn judge(
    pipeline: &Pipeline,
    attempted: &Attempted,
    trouble: Option<Trouble>,
    words: impl Fn(&str) -> LastWords,
) -> Verdict {
    let fault = attempted
        .blame
        .as_ref()
        .map(|(blame, label, how)| stage_fault(label, *how, blame.why, words(label)));
    if let Some(verdict) = ended_by_us(pipeline, attempted, trouble, fault.as_ref()) {
        return verdict;
    }
    let Some((blame, _, how)) = &attempted.blame else {
        return good(attempted.has_rejected);
    };
    let exit_code = match (blame.why, how) {
        (Why::Failed, How::Code(code)) if is_temporary(pipeline, *code) => exit::LATER,
        (Why::Failed, How::Signal(number)) if is_temporary(pipeline, 128 + number) => exit::LATER,
        (Why::Failed, How::Code(code)) if *code == i32::from(exit::USAGE) => exit::USAGE,
        _ => exit::FAILED,
    };
    Verdict {
        outcome: Outcome::Failed,
        exit_code,
        fault,
        next: if exit_code == exit::LATER {
            Next::Retry
        } else {
            Next::End
        },
    }
}

fn good(rejected: bool) -> Verdict {
    let (outcome, exit_code) = if rejected {
        (Outcome::Rejects, exit::REJECTS)
    } else {
        (Outcome::Succeeded, exit::DONE)
    };
    Verdict {
        outcome,
        exit_code,
        fault: None,
        next: Next::End,
    }
}

fn is_temporary(pipeline: &Pipeline, code: i32) -> bool {
    code == i32::from(exit::LATER) || pipeline.retry_on.contains(&code)
}

/// What this runner itself ended, or could not do.
fn ended_by_us(
    pipeline: &Pipeline,
    attempted: &Attempted,
    trouble: Option<Trouble>,
    fault: Option<&Fault>,
) -> Option<Verdict> {
    if matches!(&trouble, Some(Trouble::Fenced)) || attempted.cause == Some(Cause::LeaseLost) {
        let error = Error::transient(
            "another runner has taken over the pipeline: this one stopped and wrote nothing more",
        )
        .with_hint("nothing is lost: the other run goes on from the newest state");
        return Some(Verdict {
            next: Next::Withdraw,
            ..failed(RUNNER, "lost its lease", &error.into(), exit::LATER)
        });
    }
    if let Some(Cause::Stopped(reason)) = attempted.cause {
        return Some(interrupted(reason, fault.cloned()));
    }
    match trouble {
        Some(Trouble::Refused(error)) => {
            // The stage is to blame, and how it ended is of no interest: it was ended.
            return Some(failed(
                &pipeline.target.label,
                "ended by the runner",
                &error.into(),
                exit::FAILED,
            ));
        }
        Some(Trouble::Store(error)) => {
            let error = Error::new(error.kind(), "a state of the target could not be stored")
                .with_hint("the destination may be ahead of the state: the next run sends some records again")
                .with_source(error)
                .into();
            let code = exit::code(&error, None);
            return Some(failed(RUNNER, "store failed", &error, code));
        }
        Some(Trouble::Fenced) | None => {}
    }
    if attempted.cause == Some(Cause::TimedOut) {
        let limit = pipeline.timeout.unwrap_or_default();
        let own = || Fault {
            stage: RUNNER.to_owned(),
            ended: "timeout".to_owned(),
            message: format!("the run was ended: it took longer than its `timeout` of {limit:?}"),
            causes: Vec::new(),
            hints: vec![
                "what was confirmed is in the state; the next run goes on from there".to_owned(),
            ],
        };
        return Some(Verdict {
            outcome: Outcome::TimedOut,
            exit_code: exit::FAILED,
            fault: Some(fault.cloned().unwrap_or_else(own)),
            next: Next::End,
        });
    }
    None
}

/// A run that a signal to the runner ended.
pub(super) fn interrupted(reason: Reason, fault: Option<Fault>) -> Verdict {
    let exit_code = match reason {
        Reason::Interrupt => exit::INTERRUPTED,
        Reason::Terminate => exit::TERMINATED,
        Reason::Hangup => exit::HUNG_UP,
        Reason::Failure => exit::FAILED,
    };
    Verdict {
        outcome: Outcome::Interrupted,
        exit_code,
        fault,
        next: Next::End,
    }
}

/// A run whose stages could not be started.
pub(super) fn unfit(unfit: Unfit) -> Verdict {
    let error = anyhow::Error::new(unfit.error);
    let code = exit::code(&error, None);
    failed(&unfit.stage, "not started", &error, code)
}

fn failed(stage: &str, ended: &str, error: &anyhow::Error, exit_code: u8) -> Verdict {
    let explained = exit::explain(error);
    Verdict {
        outcome: Outcome::Failed,
        exit_code,
        fault: Some(Fault {
            stage: stage.to_owned(),
            ended: ended.to_owned(),
            message: explained.message,
            causes: explained.causes,
            hints: explained.hints,
        }),
        next: Next::End,
    }
}

fn stage_fault(label: &str, how: How, why: Why, words: LastWords) -> Fault {
    const SIGKILL: How = How::Signal(nix::sys::signal::Signal::SIGKILL as i32);
    let mut ended = how.words();
    if how == SIGKILL {
        ended.push_str(" (out of memory?)");
    }
    let mut fault = Fault {
        stage: label.to_owned(),
        ended,
        message: words.message,
        causes: words.causes,
        hints: words.hints,
    };
    if why == Why::EndedEarly {
        fault.message = "it ended before its input did".to_owned();
        fault.hints.push(
            "nothing that it did not confirm by a state is lost: the next run sends it again"
                .to_owned(),
        );
    } else if fault.message.is_empty() {
        fault.message = "it ended without a word on stderr".to_owned();
    }
    fault
}
