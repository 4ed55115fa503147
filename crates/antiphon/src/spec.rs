//! `antiphon.toml`: what a project holds. Nothing but the file itself is read for it; programs and the files
//! that stages need are looked at when a pipeline is run ([`Pipeline::check_stage`]).
//!
//! Texts are taken as they stand: no `$VARIABLE` is put in. What is secret has forms of its own
//! ([`SecretSource`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use singer_core::nearest::nearest;
use singer_core::{Error, Result, SecretSource};

mod cut;
pub(crate) mod duration;
mod inline;
pub(crate) mod keys;
mod notifier;
mod pipeline;
mod place;
mod programs;
mod reader;
pub(crate) mod schedule;
mod sections;

pub(crate) use place::written_key;
pub(crate) use programs::{find_program, is_ours};

/// The file that is looked for when none is named.
pub(crate) const FILE: &str = "antiphon.toml";

/// Everything that `antiphon.toml` says. Paths are absolute: those of the file count from its folder.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The file itself.
    pub(crate) file: PathBuf,
    /// Its folder: the working folder of every stage.
    pub(crate) folder: PathBuf,
    pub(crate) store: StoreSpec,
    pub(crate) retention: Retention,
    pub(crate) pipelines: BTreeMap<String, Pipeline>,
    pub(crate) notifiers: BTreeMap<String, Notifier>,
}

/// `[store]`
#[derive(Debug, Clone)]
pub(crate) struct StoreSpec {
    /// A folder (absolute), `s3://bucket/prefix`, `gs://bucket/prefix`.
    pub(crate) url: String,
    /// Where running pipelines keep their files on this machine. `.antiphon/work` by default.
    pub(crate) work: PathBuf,
    /// How long a lease holds without renewal, for runners on other machines.
    pub(crate) lease: Duration,
    /// S3 and GCS alone: another endpoint (a private region, a stand-in).
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// A profile of `~/.aws/credentials`.
    pub(crate) profile: Option<String>,
    /// GCS: the file of a service account.
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// `[retention]`: what is kept of the past. The newest state and the last good run always stay.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    /// Most runs kept for a pipeline (1000).
    pub(crate) runs: usize,
    /// Most versions of its state (200).
    pub(crate) states: usize,
    /// Nothing older than this (90 days) stays beyond the last ten of each.
    pub(crate) age: Duration,
}

/// `[pipelines.<name>]`
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) tap: Stage,
    pub(crate) maps: Vec<Stage>,
    pub(crate) target: Stage,
    pub(crate) catalog: Option<PathBuf>,
    /// Five fields of cron, or `@hourly` and the like; checked when the file is read.
    pub(crate) schedule: Option<String>,
    /// The zone of the schedule: `UTC` (default) or `local`.
    pub(crate) local_time: LocalTime,
    pub(crate) timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL (30 s).
    pub(crate) grace: Duration,
    /// How often a temporary failure is tried again within one run (2).
    pub(crate) retries: u32,
    /// The wait before the first retry (30 s); it doubles.
    pub(crate) retry_wait: Duration,
    /// Exit codes that count as temporary besides 75.
    pub(crate) retry_on: Vec<i32>,
    /// Names of notifiers.
    pub(crate) notify: Vec<String>,
    /// What a state that goes backwards means.
    pub(crate) backwards: Backwards,
    /// Whether the records between the stages are counted by a stage of our own.
    pub(crate) count: Count,
    /// Variables that the stages get on top of the runner's own.
    pub(crate) environment: BTreeMap<String, SecretSource>,
}

/// The zone in which a schedule is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalTime {
    Utc,
    Local,
}

/// What happens to a state whose bookmarks lie before those of the state before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backwards {
    /// It is not stored, and the run fails.
    Refuse,
    /// It is stored, with a warning.
    Warn,
    /// It is stored.
    Accept,
}

/// Where the counts of a run come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// A counting stage stands in the pipe if neither the tap nor the target is one of ours.
    Auto,
    /// It always does.
    Lines,
    /// It never does: counts come from metric lines and reports alone.
    Metrics,
}

/// `{ exec, config, args }`
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// `tap`, `map` (`map-2`, …) or `target`: its prefix in logs, its name in blame.
    pub(crate) label: String,
    pub(crate) role: Role,
    /// As written: a name to be looked up, or a path.
    pub(crate) exec: String,
    pub(crate) args: Vec<String>,
    pub(crate) config: Vec<ConfigSource>,
    /// Where a foreign target leaves the records that it refused, if it does.
    pub(crate) rejects_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Tap,
    Map,
    Target,
}

/// Each becomes one `--config`.
#[derive(Debug, Clone)]
pub(crate) enum ConfigSource {
    File(PathBuf),
    /// A table in `antiphon.toml`; written to a private file for the run.
    Inline(Value),
    /// `ENV`
    Environment,
}

/// `[notify.<name>]`
#[derive(Debug, Clone)]
pub(crate) struct Notifier {
    pub(crate) name: String,
    pub(crate) channel: Channel,
    pub(crate) thresholds: Thresholds,
    /// How long one notice may take before it is given up (15 s).
    pub(crate) timeout: Duration,
}

/// Where notices go.
#[derive(Debug, Clone)]
pub(crate) enum Channel {
    Sns {
        topic_arn: String,
        region: Option<String>,
        endpoint: Option<String>,
        profile: Option<String>,
        proxy: Option<SecretSource>,
        ca_file: Option<PathBuf>,
    },
    Webhook {
        url: SecretSource,
        headers: BTreeMap<String, SecretSource>,
        /// Signs the body: `X-Antiphon-Signature: sha256=<hex of HMAC-SHA256>`.
        secret: Option<SecretSource>,
        proxy: Option<SecretSource>,
        ca_file: Option<PathBuf>,
    },
    Email {
        host: String,
        port: Option<u16>,
        tls: MailTls,
        user: Option<String>,
        password: Option<SecretSource>,
        from: String,
        to: Vec<String>,
        ca_file: Option<PathBuf>,
    },
    /// Run by `sh -c`; the notice as JSON on its stdin, its parts as `ANTIPHON_…` variables.
    Command { command: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailTls {
    /// STARTTLS, required (default, port 587).
    StartTls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None (port 25); refused with a password unless the host is a loopback.
    None,
}

/// What makes a run worth a notice.
#[derive(Debug, Clone)]
pub(crate) struct Thresholds {
    /// It failed, was ended by its timeout, or died (true).
    pub(crate) failed: bool,
    /// More rejects than this number.
    pub(crate) rejects: Option<u64>,
    /// More rejects than this share of the records, in percent.
    pub(crate) rejects_percent: Option<f64>,
    pub(crate) slower_than: Option<Duration>,
    /// Slower than this many times the median of the last good runs.
    pub(crate) slower_than_median: Option<f64>,
    /// No records, where there used to be some.
    pub(crate) no_records: bool,
    pub(crate) schema_changed: bool,
}

impl Project {
    /// Reads the file. `None` looks for [`FILE`] in the working folder and the folders above it; a
    /// folder stands for the [`FILE`] in it.
    ///
    /// # Errors
    /// Of kind `Config`: the line, the key, the nearest known key.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let (file, text) = read_file(file)?;
        Self::parse(&file, &text)
    }

    /// As [`Project::load`], for whoever needs no pipelines but these. What is wrong with others may go
    /// unseen, and they may be missing in the project.
    ///
    /// # Errors
    /// As of [`Project::load`].
    pub(crate) fn load_pipelines(file: Option<&Path>, names: &[String]) -> Result<Self> {
        let (file, text) = read_file(file)?;
        match cut::keep(&text, names) {
            Some(kept) => Self::parse(&file, &kept),
            None => Self::parse(&file, &text),
        }
    }

    /// Reads the text of a file that lies, or is to lie, at an absolute path.
    ///
    /// # Errors
    /// As of [`Project::load`].
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self> {
        sections::read_project(file, text)
    }

    /// A pipeline by its name; an unknown one is an error with the nearest known name.
    pub(crate) fn pipeline(&self, name: &str) -> Result<&Pipeline> {
        self.pipelines.get(name).ok_or_else(|| {
            let hint = match nearest(name, self.pipelines.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`antiphon list` shows what there is".to_owned(),
            };
            Error::config(format!(
                "there is no pipeline `{name}` in `{}`",
                self.file.display()
            ))
            .with_hint(hint)
        })
    }
}

/// The absolute path of the file, and its text.
fn read_file(file: Option<&Path>) -> Result<(PathBuf, String)> {
    let file = match file {
        Some(file) if file.is_dir() => file.join(FILE),
        Some(file) => file.to_owned(),
        None => look_for_file()?,
    };
    let absolute = std::path::absolute(&file).map_err(|error| unreadable(&file, error))?;
    let bytes = std::fs::read(&absolute).map_err(|error| unreadable(&file, error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(valid);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Error::config(format!("{} line {line} is not UTF-8", absolute.display()))
    })?;
    Ok((absolute, text))
}

fn look_for_file() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Error::config("cannot tell the working folder").with_source(error))?;
    here.ancestors()
        .map(|folder| folder.join(FILE))
        .find(|file| file.exists())
        .ok_or_else(|| {
            Error::config(format!(
                "there is no `{FILE}` in `{}` nor in a folder above",
                here.display()
            ))
            .with_hint("name one with `--file`, or write a first one: antiphon new TAP TARGET")
        })
}

fn unreadable(file: &Path, error: std::io::Error) -> Error {
    Error::config(format!("cannot read the project `{}`", file.display())).with_source(error)
}

#[cfg(test)]
mod tests;
