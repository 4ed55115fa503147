//! Starts the stages of an attempt with real pipes between them.
//!
//! This process keeps no end of those pipes: a stage sees the end of its input when the stage before
//! it has ended, and a broken pipe when the stage behind it has.

use std::fs;
use std::io::{ErrorKind, PipeReader, PipeWriter};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use singer_core::{Error, Kind, Secret};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::report::{self, Watcher};
use crate::run::group::Group;
use crate::run::plan::{Launch, RUNNER, Unfit};
use crate::spec::{self, Role};

/// A stage that was started.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) label: String,
    pub(super) role: Role,
    pub(super) exec: String,
    pub(super) process: u32,
    /// Taken by whoever waits for it.
    pub(super) child: Option<Child>,
    /// Whether it is a program of ours, which says with 3 that it is done and has rejects.
    pub(super) is_ours: bool,
    /// Listens to its stderr.
    pub(super) listener: Option<JoinHandle<()>>,
    /// The pipe that it writes, as `/proc` names it.
    output: Option<PathBuf>,
}

impl Stage {
    /// Whether it still holds its output open: then nobody can have read it to its end. Where the
    /// system does not tell, it does not.
    pub(super) fn has_output_open(&self) -> bool {
        let open = fs::read_link(format!("/proc/{}/fd/1", self.process)).ok();
        self.output.is_some() && open == self.output
    }
}

/// All stages of an attempt, in the order of the pipe.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) stages: Vec<Stage>,
    /// What the last one prints, unless it goes to this process' own stdout.
    pub(super) stdout: Option<ChildStdout>,
}

/// Where the last stage prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Read,
    /// This process' own stdout.
    Own,
}

/// What all stages of a run have in common.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) folder: &'a Path,
    pub(super) pipeline: &'a str,
    pub(super) run: &'a str,
    pub(super) environment: &'a [(String, Secret)],
    pub(super) watcher: &'a Watcher,
    pub(super) output: Output,
}

/// Starts all stages in a group, the last one first, so that nothing is read from a source whose
/// destination cannot be started. Where one fails, those that were started end with the group.
pub(super) fn start(
    launches: &[Launch],
    surroundings: &Surroundings<'_>,
    group: &Group,
) -> Result<Stages, Unfit> {
    let mut started = Vec::with_capacity(launches.len());
    let mut stdout = None;
    // The writing end of the pipe to the stage that was started before this one.
    let mut onward: Option<(PipeWriter, Option<PathBuf>)> = None;
    for (index, launch) in launches.iter().enumerate().rev() {
        let (stdin, next) = match index {
            0 => (Stdio::null(), None),
            _ => {
                let (reader, writer, name) = pipe()?;
                (Stdio::from(reader), Some((writer, name)))
            }
        };
        let (output, out) = match onward.take() {
            Some((writer, name)) => (name, Stdio::from(writer)),
            None if surroundings.output == Output::Own => (None, Stdio::inherit()),
            None => (None, Stdio::piped()),
        };
        onward = next;
        let mut stage = spawn(launch, surroundings, group, stdin, out)?;
        stage.output = output;
        if let Some(last) = stage.child.as_mut().and_then(|child| child.stdout.take()) {
            stdout = Some(last);
        }
        started.push(stage);
    }
    started.reverse();
    Ok(Stages {
        stages: started,
        stdout,
    })
}

fn pipe() -> Result<(PipeReader, PipeWriter, Option<PathBuf>), Unfit> {
    let (reader, writer) = std::io::pipe().map_err(|error| Unfit {
        stage: RUNNER.to_owned(),
        error: Error::internal("cannot make a pipe").with_source(error),
    })?;
    let name = fs::read_link(format!("/proc/self/fd/{}", writer.as_raw_fd())).ok();
    Ok((reader, writer, name))
}

fn spawn(
    launch: &Launch,
    surroundings: &Surroundings<'_>,
    group: &Group,
    stdin: Stdio,
    stdout: Stdio,
) -> Result<Stage, Unfit> {
    let watcher = surroundings.watcher;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .args(&launch.own)
        .current_dir(surroundings.folder)
        .envs(
            surroundings
                .environment
                .iter()
                .map(|(name, value)| (name, value.expose())),
        )
        .env(report::REPORT, watcher.report_path(&launch.label))
        .env("ANTIPHON_PIPELINE", surroundings.pipeline)
        .env("ANTIPHON_RUN", surroundings.run)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(group.number());
    let unfit = |error| Unfit {
        stage: launch.label.clone(),
        error,
    };
    let mut child = command
        .spawn()
        .map_err(|error| unfit(cannot_start(launch, error)))?;
    // The command holds copies of the ends of the pipes.
    drop(command);
    let process = child
        .id()
        .ok_or_else(|| unfit(Error::internal("a stage has no process id")))?;
    let listener = child
        .stderr
        .take()
        .map(|stderr| watcher.listen(&launch.label, stderr));
    Ok(Stage {
        label: launch.label.clone(),
        role: launch.role,
        exec: launch.exec.clone(),
        process,
        is_ours: spec::is_ours(&launch.program),
        child: Some(child),
        listener,
        output: None,
    })
}

fn cannot_start(launch: &Launch, error: std::io::Error) -> Error {
    let (kind, hint) = match error.kind() {
        ErrorKind::NotFound => (
            Kind::Config,
            Some("the program is there, so the interpreter that its first line names is not"),
        ),
        ErrorKind::PermissionDenied => (Kind::Config, Some("`chmod +x` makes it executable")),
        // ENOEXEC
        _ if error.raw_os_error() == Some(8) => (
            Kind::Config,
            Some("it was built for another machine, or is a script without `#!` in its first line"),
        ),
        _ => (Kind::Internal, None),
    };
    let error =
        Error::new(kind, format!("cannot start `{}`", launch.program.display())).with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
