//! Schedules: lines for cron and systemd, and a small scheduler for containers.
//!
//! [`crontab`] and [`systemd`] print what others are to do; [`keeper`] starts the runs itself, and
//! [`due`] decides without any IO when one is due.

use std::path::PathBuf;
use std::time::Duration;

use singer_core::{Error, Result};
use singer_runtime::{exit, stdio};

use crate::session::Session;
use crate::spec::Pipeline;

mod crontab;
mod due;
mod keeper;
mod systemd;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Which pipelines [default: all that have a `schedule`]
    #[arg(value_name = "PIPELINE")]
    pipelines: Vec<String>,

    /// Print lines for cron, or units for systemd
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        required_unless_present = "run",
        conflicts_with = "run"
    )]
    format: Option<Form>,

    /// Be the scheduler: start each run when it is due
    #[arg(long)]
    run: bool,

    /// Who runs them: the user field of /etc/cron.d, `User=` of systemd
    #[arg(long, value_name = "NAME", requires = "format")]
    user: Option<String>,

    /// Write the units of systemd into this folder
    #[arg(long, value_name = "FOLDER", requires = "format")]
    output: Option<PathBuf>,

    /// How many run side by side with `--run`
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Spread what is due at once over this much time, each pipeline always at its own moment of it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = read_time)]
    jitter: Duration,

    /// With `--run`: also run once what was missed longer ago than the schedule's own period, or never ran
    #[arg(long, requires = "run")]
    catch_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Lines for crontab
    Cron,
    /// A service and a timer for each
    Systemd,
}

const EXAMPLES: &str = "Examples:
  antiphon schedule --format cron | crontab -      replaces the whole crontab of this user
  antiphon schedule --format cron --user etl > /etc/cron.d/antiphon
  antiphon schedule --format systemd --output /etc/systemd/system --user etl
  antiphon schedule --run --jobs 8                 in a container";

/// `10s`, `500ms`, `5m`, `1h`, or seconds alone.
fn read_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a number and `ms`, `s`, `m` or `h`, as `10s`".to_owned())?;
    let milliseconds = match text.strip_prefix(digits) {
        Some("ms") => 1,
        Some("" | "s") => 1000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        _ => return Err("the unit can be `ms`, `s`, `m` or `h`".to_owned()),
    };
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// `antiphon schedule`
pub(crate) async fn run(session: Session, arguments: Arguments) -> anyhow::Result<u8> {
    let Some(form) = arguments.format else {
        let options = keeper::Options {
            pipelines: arguments.pipelines,
            jobs: usize::from(arguments.jobs),
            jitter: arguments.jitter,
            late: if arguments.catch_up {
                due::Late::Run
            } else {
                due::Late::WithinPeriod
            },
        };
        return keeper::keep(session, options).await;
    };
    let pipelines = chosen(&session, &arguments.pipelines)?;
    let caller = Caller::of(&session, arguments.user)?;
    match (form, arguments.output) {
        (Form::Cron, None) => stdio::print(crontab::text(&pipelines, &caller)?.as_bytes())?,
        (Form::Cron, Some(_)) => {
            return Err(Error::config("`--output` is for systemd")
                .with_hint("cron takes one file: `antiphon schedule --format cron > FILE`")
                .into());
        }
        (Form::Systemd, None) => {
            let text = systemd::text(&pipelines, &caller, arguments.jitter)?;
            stdio::print(text.as_bytes())?;
        }
        (Form::Systemd, Some(folder)) => {
            let text = systemd::write(&pipelines, &caller, arguments.jitter, &folder)?;
            stdio::print(text.as_bytes())?;
        }
    }
    Ok(exit::DONE)
}

/// A pipeline that has a schedule.
struct Scheduled<'a> {
    pipeline: &'a Pipeline,
    schedule: &'a str,
}

/// The pipelines that are named, else all that have a schedule.
fn chosen<'a>(session: &'a Session, names: &[String]) -> Result<Vec<Scheduled<'a>>> {
    let scheduled = |pipeline: &'a Pipeline| {
        let schedule = pipeline.schedule.as_deref()?;
        Some(Scheduled { pipeline, schedule })
    };
    if names.is_empty() {
        let all: Vec<_> = session
            .project
            .pipelines
            .values()
            .filter_map(scheduled)
            .collect();
        if all.is_empty() {
            return Err(Error::config("no pipeline has a `schedule`")
                .with_hint("add for example `schedule = \"15 3 * * *\"` to a pipeline"));
        }
        return Ok(all);
    }
    names
        .iter()
        .map(|name| {
            let pipeline = session.project.pipeline(name)?;
            scheduled(pipeline).ok_or_else(|| {
                Error::config(format!("the pipeline `{name}` has no `schedule`"))
                    .with_hint("add for example `schedule = \"15 3 * * *\"` to it")
            })
        })
        .collect()
}

/// How somebody else is to call this program.
struct Caller {
    program: String,
    file: String,
    folder: String,
    /// The search path of this process: the taps and targets were found on it.
    path: Option<String>,
    user: Option<String>,
}

impl Caller {
    fn of(session: &Session, user: Option<String>) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| {
            Error::internal("cannot tell where this program lies").with_source(error)
        })?;
        let text = |path: PathBuf| {
            let text = path.into_os_string().into_string().ok();
            let is_plain = |text: &String| !text.chars().any(char::is_control);
            text.filter(is_plain).ok_or_else(|| {
                Error::config("a path with line ends or without UTF-8 cannot be scheduled")
                    .with_hint("move the program or `antiphon.toml` to another folder")
            })
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the search path is the shell's own convention, handed on and not read as a setting"
        )]
        let path = std::env::var("PATH").ok();
        Ok(Self {
            program: text(program)?,
            file: text(session.project.file.clone())?,
            folder: text(session.project.folder.clone())?,
            path: path.filter(|path| !path.is_empty() && !path.chars().any(char::is_control)),
            user,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [
            ("10s", Some(10_000)),
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1d", None),
            ("s", None),
            ("-1s", None),
            ("", None),
        ] {
            let read = read_time(text).ok();
            assert_eq!(read, milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
