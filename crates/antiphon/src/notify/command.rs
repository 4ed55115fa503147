//! A notice by a command: `sh -c`, the JSON form on its stdin, its parts as variables.
//!
//! | variable | what |
//! | --- | --- |
//! | `ANTIPHON_EVENT`, `ANTIPHON_PIPELINE`, `ANTIPHON_SUBJECT`, `ANTIPHON_NOTIFIER`, `ANTIPHON_HOST`, `ANTIPHON_PROJECT` | always, if empty |
//! | `ANTIPHON_RUN`, `ANTIPHON_OUTCOME` | of the newest run; empty for a test |
//!
//! It works in the project's folder, in a process group of its own, which is killed when time is up.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use singer_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::notice::Notice;
use super::words;
use crate::mask::Mask;
use crate::session::Session;
use crate::spec::{Channel, Notifier};

/// How much of what the command prints goes into the log.
const OUTPUT_BYTES: usize = 8 << 10;
/// How long what was printed is waited for once the shell has ended: something it left in the background may
/// hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(100);

/// The process group of the command; killed when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that nobody is left in it.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Hands a notice to a command.
pub(super) async fn send(session: &Session, notifier: &Notifier, notice: &Notice) -> Result<()> {
    let Channel::Command { command } = &notifier.channel else {
        return Err(Error::internal("this is no notifier of type `command`"));
    };
    let mut child = start(session, notifier, notice, command)?;
    let mut group = Group(
        child
            .id()
            .and_then(|id| Some(Pid::from_raw(id.try_into().ok()?))),
    );
    let input = format!("{}\n", notice.json());
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A command that does not read its stdin is fine.
            let _unread = stdin.write_all(input.as_bytes()).await;
        }
    };
    let printed = Printed::default();
    let readers = [
        child.stdout.take().map(|pipe| printed.read(pipe)),
        child.stderr.take().map(|pipe| printed.read(pipe)),
    ];
    // What is fed must not hold up the end: the command may end without reading.
    let feeding = tokio::spawn(feed);
    let ended = child.wait().await;
    feeding.abort();
    let drain = async {
        for reader in readers.into_iter().flatten() {
            // It ends with the pipe.
            let _ended = reader.await;
        }
    };
    // Whatever is still open is not waited for.
    let _in_time = tokio::time::timeout(DRAIN, drain).await;
    printed.log(&notifier.name);
    group.0 = None;
    let status = ended.map_err(|error| {
        Error::internal("cannot wait for the command of the notifier").with_source(error)
    })?;
    judge(status, &notifier.name)
}

fn start(session: &Session, notifier: &Notifier, notice: &Notice, command: &str) -> Result<Child> {
    let facts = &notice.facts;
    Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(&session.project.folder)
        .env("ANTIPHON_EVENT", notice.event.word())
        .env("ANTIPHON_PIPELINE", &facts.pipeline)
        .env("ANTIPHON_SUBJECT", &notice.subject)
        .env("ANTIPHON_RUN", facts.run.as_deref().unwrap_or_default())
        .env("ANTIPHON_OUTCOME", facts.outcome.unwrap_or_default())
        .env("ANTIPHON_NOTIFIER", &notifier.name)
        .env("ANTIPHON_HOST", &facts.host)
        .env("ANTIPHON_PROJECT", &facts.project)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            Error::internal("cannot start `sh` for the command of the notifier").with_source(error)
        })
}

fn judge(status: ExitStatus, name: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "a signal".to_owned(),
    };
    let message = format!("the command of the notifier `{name}` ended with {how}");
    let is_temporary = status.code() == Some(i32::from(singer_runtime::exit::LATER));
    Err(if is_temporary {
        Error::transient(message)
    } else {
        Error::internal(message).with_hint("what it printed stands in the log above")
    })
}

/// The start of what a command prints, from both pipes as it comes.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    /// Reads a pipe to its end, so that the command never waits for us, and keeps the start.
    fn read(
        &self,
        mut pipe: impl AsyncRead + Unpin + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let kept = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut block = vec![0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut block).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let rest = OUTPUT_BYTES.saturating_sub(kept.len());
                kept.extend(block.iter().take(length.min(rest)));
            }
        })
    }

    fn log(&self, name: &str) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in String::from_utf8_lossy(&kept).lines() {
            let line = words::one_line(line);
            // `set -x` and `curl -v` show what they send.
            let line = Mask::default().line(&line).into_owned();
            if !line.is_empty() {
                tracing::info!(notifier = name, "{line}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
