//! Runs a pipeline: stages, pipes, states, signals, blame, retries.
//!
//! ```text
//! tap ─pipe─► map ─pipe─► target ─stdout─► intake ─► versions of the state
//!   └──stderr────┴──stderr───┴──► the run's log and the terminal
//! ```
//!
//! [`once`] is one run from lease to notice; `attempt` starts the stages and waits for them, `group`
//! ends them whatever happens, `ends` finds whom to blame, `verdict` says what became of it all.

mod attempt;
mod dry;
mod ends;
mod group;
pub(crate) mod guard;
mod intake;
mod lifecycle;
mod plan;
mod refused;
mod stages;
mod unsaved;
mod verdict;

use futures_util::stream::{self, StreamExt as _};
use singer_core::{Error, Result};
use singer_runtime::{exit, log};

use crate::history::{Fault, Kind, Outcome, Summary};
use crate::lock::Holder;
use crate::report::Echo;
use crate::session::Session;
use crate::spec::Pipeline;

const EXAMPLES: &str = "Examples:
  antiphon run accounts                        what is new since the last state
  antiphon run --all --jobs 8                  every pipeline, eight side by side
  antiphon run accounts --dry-run              what the target would write; nothing is kept
  antiphon run accounts --full-refresh --select 'public.account'

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 done with rejects, 75 try again later.
Each state that the target prints is kept at once: after a failure, run it again.";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What to run
    #[arg(value_name = "PIPELINE", required_unless_present = "all")]
    pub(crate) pipelines: Vec<String>,

    /// All pipelines of the project
    #[arg(long, conflicts_with = "pipelines")]
    all: bool,

    /// How many run side by side
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Start without a state; the old versions are kept
    #[arg(long)]
    full_refresh: bool,

    /// Let the target show what it would do; nothing is written or kept
    #[arg(long)]
    dry_run: bool,

    /// Only the streams that match
    #[arg(long, value_name = "GLOB")]
    select: Vec<String>,
}

/// How one run differs from the usual.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) kind: Kind,
    pub(crate) select: Vec<String>,
    /// For [`Kind::Replay`]: the file of rejects that the target alone reads.
    pub(crate) replay: Option<std::path::PathBuf>,
}

/// What came of the wish to run.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ran; the summary is recorded and notices are sent.
    Ran(Box<Summary>),
    /// Another run holds the lease: nothing was done.
    Busy(Holder),
}

/// Runs a pipeline once: takes the lease, recovers what a dead run left, runs the stages with their
/// retries, records, prunes, releases, notifies. An error means that no run took place.
pub(crate) async fn once(
    session: &Session,
    pipeline: &Pipeline,
    options: &Options,
) -> Result<Ended> {
    let echo = echo(&pipeline.name, Company::Others);
    lifecycle::run(session, pipeline, options, echo).await
}

/// Whether other pipelines write to the same terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}

fn echo(pipeline: &str, company: Company) -> Echo {
    match company {
        _ if log::is_quiet() => Echo::Silent,
        Company::Alone => Echo::Prefix(String::new()),
        Company::Others => Echo::Prefix(format!("{pipeline}/")),
    }
}

/// `antiphon run`
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let pipelines = choose(&session, &arguments)?;
    let company = match pipelines.len() {
        1 => Company::Alone,
        _ => Company::Others,
    };
    let options = Options {
        kind: match arguments.full_refresh {
            true => Kind::FullRefresh,
            false => Kind::Sync,
        },
        select: arguments.select,
        replay: None,
    };
    let jobs = match arguments.dry_run {
        // Their plans go to one stdout.
        true => 1,
        false => usize::from(arguments.jobs),
    };
    let (session, options) = (&session, &options);
    let ends = stream::iter(pipelines).map(|pipeline| {
        Box::pin(async move {
            if session.stop().requested() {
                return interrupted(session);
            }
            let echo = echo(&pipeline.name, company);
            if arguments.dry_run {
                let verdict = dry::run(session, pipeline, options, echo).await;
                return told(&pipeline.name, verdict.map(Told::of_verdict));
            }
            let ended = lifecycle::run(session, pipeline, options, echo).await;
            told(
                &pipeline.name,
                ended.map(|ended| Told::of_run(pipeline, ended)),
            )
        })
    });
    let ends: Vec<Told> = ends.buffer_unordered(jobs).collect().await;
    // The last lines say what failed, after everything else.
    for report in ends.iter().filter_map(|told| told.report.as_ref()) {
        exit::report("antiphon", report);
    }
    Ok(worst(ends.iter().map(|told| told.code)))
}

fn choose<'a>(session: &'a Session, arguments: &Arguments) -> Result<Vec<&'a Pipeline>> {
    let project = &session.project;
    if arguments.all {
        if project.pipelines.is_empty() {
            return Err(Error::config("the project has no pipelines"));
        }
        return Ok(project.pipelines.values().collect());
    }
    let mut chosen: Vec<&Pipeline> = Vec::with_capacity(arguments.pipelines.len());
    for name in &arguments.pipelines {
        let pipeline = project.pipeline(name)?;
        if !chosen.iter().any(|other| other.name == pipeline.name) {
            chosen.push(pipeline);
        }
    }
    Ok(chosen)
}

/// What is to be said of one pipeline at the end.
#[derive(Debug)]
struct Told {
    code: u8,
    report: Option<anyhow::Error>,
}

impl Told {
    fn of_verdict(verdict: verdict::Verdict) -> (u8, Option<Fault>, String) {
        (verdict.exit_code, verdict.fault, String::new())
    }

    fn of_run(pipeline: &Pipeline, ended: Ended) -> (u8, Option<Fault>, String) {
        let summary = match ended {
            Ended::Busy(holder) => {
                tracing::warn!(
                    pipeline = pipeline.name,
                    run = holder.run,
                    host = holder.host,
                    pid = holder.pid,
                    since = holder.since,
                    "already running: nothing was done"
                );
                return (exit::LATER, None, String::new());
            }
            Ended::Ran(summary) => summary,
        };
        let records: Option<u64> = summary
            .streams
            .values()
            .filter_map(|counts| counts.records)
            .reduce(|sum, records| sum + records);
        tracing::info!(
            pipeline = pipeline.name,
            run = summary.run,
            outcome = summary.outcome.word(),
            records,
            rejects = summary.rejects,
            state = summary.state_after,
            seconds = format!("{:.1}", summary.duration_seconds),
            "the run ended"
        );
        let fault = match summary.outcome {
            Outcome::Interrupted => None,
            _ => summary.fault,
        };
        (summary.exit_code, fault, summary.run)
    }
}

fn told(pipeline: &str, ended: Result<(u8, Option<Fault>, String)>) -> Told {
    match ended {
        Ok((code, fault, run)) => Told {
            code,
            report: fault.map(|fault| explain(pipeline, &run, fault)),
        },
        Err(error) => {
            let error = anyhow::Error::new(error.at(format!("`{pipeline}` was not run")));
            Told {
                code: exit::code(&error, None),
                report: Some(error),
            }
        }
    }
}

fn interrupted(session: &Session) -> Told {
    let reason = session.stop().reason();
    Told {
        code: exit::code(&Error::interrupted().into(), reason),
        report: None,
    }
}

/// A fault as an error that the last lines are made of.
fn explain(pipeline: &str, run: &str, fault: Fault) -> anyhow::Error {
    let causes = fault
        .causes
        .into_iter()
        .rev()
        .fold(None, |below: Option<Error>, cause| {
            let link = Error::internal(cause);
            Some(match below {
                Some(below) => link.with_source(below),
                None => link,
            })
        });
    let mut error = Error::internal(format!(
        "`{pipeline}` failed: `{}` ({}): {}",
        fault.stage, fault.ended, fault.message
    ));
    if let Some(causes) = causes {
        error = error.with_source(causes);
    }
    for hint in fault.hints {
        error = error.with_hint(hint);
    }
    if !run.is_empty() {
        error = error.with_hint(format!("`antiphon logs {run}` shows the log"));
    }
    error.into()
}

/// The exit code of several pipelines: signals first, then failures, wrong usage, what is worth another
/// try, rejects.
fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let weight = |code: u8| match code {
        exit::DONE => 0,
        exit::REJECTS => 1,
        exit::LATER => 2,
        exit::USAGE => 3,
        exit::HUNG_UP | exit::INTERRUPTED | exit::TERMINATED => 5,
        _ => 4,
    };
    codes
        .into_iter()
        .max_by_key(|code| weight(*code))
        .unwrap_or(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_code_wins() {
        for (codes, expected) in [
            (vec![], 0),
            (vec![0, 3], 3),
            (vec![3, 75, 0], 75),
            (vec![75, 2], 2),
            (vec![2, 1, 75], 1),
            (vec![1, 143, 2], 143),
        ] {
            assert_eq!(worst(codes.clone()), expected, "{codes:?}");
        }
    }

    #[test]
    fn a_fault_becomes_last_lines_in_order() {
        let fault = Fault {
            stage: "target".to_owned(),
            ended: "exit code 1".to_owned(),
            message: "cannot write".to_owned(),
            causes: vec!["status 500".to_owned(), "disk".to_owned()],
            hints: vec!["wait".to_owned()],
        };
        let explained = exit::explain(&explain("accounts", "r1", fault));
        assert_eq!(
            explained.message,
            "`accounts` failed: `target` (exit code 1): cannot write"
        );
        assert_eq!(explained.causes, ["status 500", "disk"]);
        assert_eq!(
            explained.hints,
            ["wait", "`antiphon logs r1` shows the log"]
        );
    }
}
