//! The process group of an attempt: its guard, signals to all of it, its end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use singer_core::{Error, Result};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::lock;
use crate::run::guard;

/// A group that is led by a guard. Dropping it ends its members within the grace: the guard sees to it.
#[derive(Debug)]
pub(super) struct Group {
    /// Never waited for before [`Group::end`], so that the number of the group stays ours.
    guard: Child,
    /// Its end tells the guard that this runner is no more.
    _lifeline: ChildStdin,
    leader: Pid,
}

impl Group {
    /// Starts the guard; returns once it is deaf to signals.
    pub(super) async fn start(grace: Duration) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::internal("cannot start the guard of the stages").with_source(error)
        };
        let program = own_program().map_err(failed)?;
        let mut guard = Command::new(program)
            .arg("guard")
            .arg("--grace")
            .arg(grace.as_millis().to_string())
            .current_dir(Path::new("/"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let gone = || failed(std::io::ErrorKind::UnexpectedEof.into());
        let id = guard.id().ok_or_else(gone)?;
        let leader = Pid::from_raw(i32::try_from(id).map_err(|_| gone())?);
        let lifeline = guard.stdin.take().ok_or_else(gone)?;
        let mut ready = [0_u8; guard::READY.len()];
        let mut stdout = guard.stdout.take().ok_or_else(gone)?;
        stdout.read_exact(&mut ready).await.map_err(failed)?;
        Ok(Self {
            guard,
            _lifeline: lifeline,
            leader,
        })
    }

    /// The number of the group, for those that join it.
    pub(super) fn number(&self) -> i32 {
        self.leader.as_raw()
    }

    /// What a lease notes of it.
    pub(super) fn identity(&self) -> Option<lock::Group> {
        let leader = self.leader.as_raw().unsigned_abs();
        Some(lock::Group {
            leader,
            process: lock::process_identity(leader)?,
        })
    }

    /// Sends a signal to all stages.
    pub(super) fn signal(&self, signal: Signal) {
        report(killpg(self.leader, signal), signal);
        if signal != Signal::SIGKILL {
            // A stage that was stopped could not hear it otherwise.
            report(killpg(self.leader, Signal::SIGCONT), Signal::SIGCONT);
        }
    }

    /// Whether anybody but the guard is left in it.
    pub(super) fn has_members(&self) -> bool {
        guard::has_members_besides(self.leader, self.leader)
    }

    /// Ends the guard and whatever else is left, without a word.
    pub(super) async fn end(&mut self) {
        report(killpg(self.leader, Signal::SIGKILL), Signal::SIGKILL);
        if let Err(error) = self.guard.wait().await {
            tracing::debug!(%error, "cannot wait for the guard");
        }
    }
}

/// Sends a signal to one stage that was not waited for yet.
pub(super) fn signal_stage(process: u32, signal: Signal) {
    if let Ok(process) = i32::try_from(process) {
        report(kill(Pid::from_raw(process), signal), signal);
        report(kill(Pid::from_raw(process), Signal::SIGCONT), signal);
    }
}

fn report(sent: nix::Result<()>, signal: Signal) {
    match sent {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(%signal, %error, "cannot signal the stages"),
    }
}

/// This very program, also if its file was replaced meanwhile.
pub(super) fn own_program() -> std::io::Result<std::path::PathBuf> {
    let named = std::env::current_exe()?;
    let running = Path::new("/proc/self/exe");
    if !named.exists() && running.exists() {
        return Ok(running.to_owned());
    }
    Ok(named)
}
