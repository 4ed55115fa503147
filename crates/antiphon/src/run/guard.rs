//! The leader of a run's process group: it ends the stages when the runner dies.
//!
//! Started by the runner ahead of the stages, in a group of its own that the stages join. Its stdin
//! is a pipe that the runner alone holds, so that its end means the end of the runner, however that
//! came about. It lives as long as the group is in use, which also keeps the group's number from
//! being given to anybody else.
//!
//! It must cost next to nothing: no runtime, no log, no thread. It hears no signal: those that are
//! sent to the group are for the stages.

use std::io::Read as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::{Pid, getpgrp, getpid};
use singer_runtime::{exit, stdio};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From SIGTERM to SIGKILL
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) grace: u64,
}

/// What the runner reads once the guard is deaf to signals.
pub(crate) const READY: &[u8] = b".";

/// Between two looks at whether the stages have ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for the end of the runner, then ends the group; the exit code is of no use to anybody.
pub(crate) fn watch(arguments: &Arguments) -> u8 {
    let mut signals = SigSet::all();
    signals.remove(Signal::SIGKILL);
    // A group that it does not lead is somebody else's: a person has called this by hand.
    if signals.thread_block().is_err() || getpgrp() != getpid() || stdio::print(READY).is_err() {
        return exit::USAGE;
    }
    wait_for_the_end();
    // A group without another member is no reason to wait, and no error.
    let _gone = killpg(getpgrp(), Signal::SIGTERM);
    let _gone = killpg(getpgrp(), Signal::SIGCONT);
    let deadline = Instant::now() + Duration::from_millis(arguments.grace);
    while Instant::now() < deadline && has_members_besides(getpgrp(), getpid()) {
        std::thread::sleep(PAUSE);
    }
    let _gone = killpg(getpgrp(), Signal::SIGKILL);
    exit::DONE
}

/// Returns when nobody holds the other end of stdin any more.
#[expect(
    clippy::disallowed_methods,
    reason = "this stdin is a lifeline without data, and the runtime is not started for it"
)]
fn wait_for_the_end() {
    let mut stdin = std::io::stdin().lock();
    let mut byte = [0_u8; 1];
    while let Ok(1) = stdin.read(&mut byte) {}
}

/// Whether a group has a living member besides its guard; where the system does not tell, it has.
pub(super) fn has_members_besides(group: Pid, guard: Pid) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return true;
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|process| *process != guard.as_raw())
        .filter_map(|process| std::fs::read_to_string(format!("/proc/{process}/stat")).ok())
        .any(|stat| is_member(&stat, group.as_raw()))
}

/// Whether a line of `/proc/<pid>/stat` tells of a process of this group that has not ended.
fn is_member(stat: &str, group: i32) -> bool {
    // The name, in brackets, may hold anything; state, parent and group come after it.
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut fields = fields.split(' ');
    let lives = !matches!(fields.next(), Some("Z" | "X" | "x") | None);
    lives && fields.nth(1).and_then(|field| field.parse().ok()) == Some(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_its_group_and_a_zombie_is_none() {
        assert!(is_member("12 (a) b) S 1 77 77 0 -1", 77));
        assert!(!is_member("12 (a) S 1 78 77 0 -1", 77));
        assert!(!is_member("12 (a) Z 1 77 77 0 -1", 77));
        assert!(!is_member("", 77));
    }
}
