//! Processes of this machine: who they are, and the end of a group that a dead runner has left.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp};
use singer_core::{Error, Result};
use tokio::time::Instant;

use super::Group;

/// How long the system may take to remove what was killed.
const REMOVAL: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// The machine, boot and start time of a process, as [`super::Holder::process`] has it; `None` if it is gone.
/// One that has ended and that nobody has waited for yet is gone.
pub(crate) fn process_identity(pid: u32) -> Option<String> {
    let status = status(pid)?;
    status.is_running().then(|| identity(&status))
}

/// Whether two processes live in the same space of ids in the same boot of a machine.
pub(super) fn is_same_space(one: &str, other: &str) -> bool {
    let space = |process: &str| Some(process.rsplit_once('/')?.0.to_owned());
    space(one).is_some_and(|one| Some(one) == space(other))
}

/// Ends a group of a dead runner on this machine: SIGTERM, `grace`, SIGKILL. Returns once it is gone.
///
/// A group whose number has gone to other processes is left alone. An id is not used again while a
/// group bears it: if a process with the id of the leader is there, it is the leader or the group is gone;
/// if none is, the group must consist of processes of this user that started after the leader.
///
/// # Errors
/// Of kind `Internal` if it does not end: what then runs would write beside the new stages.
pub(crate) async fn end_group(group: &Group, grace: Duration) -> Result<()> {
    if !is_old_group(group) {
        return Ok(());
    }
    tracing::warn!(
        group = group.leader,
        "the stages of a runner that died are still at work; ending them"
    );
    // A stopped process hears nothing until it goes on.
    for (signals, patience) in [
        (&[Signal::SIGTERM, Signal::SIGCONT][..], grace),
        (&[Signal::SIGKILL][..], REMOVAL),
    ] {
        for signal in signals {
            send(group, *signal)?;
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if members(group.leader).is_empty() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }
    if members(group.leader).is_empty() {
        return Ok(());
    }
    Err(Error::internal(format!(
        "the stages that a dead runner has left (process group {}) cannot be ended",
        group.leader
    ))
    .with_hint("a new run would write beside them: see what they wait for (`ps -o pid,stat,wchan,args`), then run again"))
}

fn send(group: &Group, signal: Signal) -> Result<()> {
    let Ok(id) = i32::try_from(group.leader) else {
        return Ok(());
    };
    match killpg(Pid::from_raw(id), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(Error::internal(format!(
            "cannot end the stages that a dead runner has left (process group {})",
            group.leader
        ))
        .with_source(error)),
    }
}

/// Whether a group is still that of the dead runner, with somebody in it.
fn is_old_group(group: &Group) -> bool {
    let Some((space, start)) = group.process.rsplit_once('/') else {
        return false;
    };
    let Ok(start) = start.parse::<u64>() else {
        return false;
    };
    if group.leader <= 1
        || space != own_space()
        || u32::try_from(getpgrp().as_raw()) == Ok(group.leader)
    {
        return false;
    }
    let members = members(group.leader);
    match status(group.leader) {
        Some(leader) => identity(&leader) == group.process && !members.is_empty(),
        None => {
            !members.is_empty()
                && members
                    .iter()
                    .all(|member| member.start >= start && is_own_user(member.pid))
        }
    }
}

/// A process, by the file that the system keeps on it.
#[derive(Debug)]
struct Status {
    pid: u32,
    state: char,
    group: u32,
    /// In ticks since the boot.
    start: u64,
}

impl Status {
    fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

fn status(pid: u32) -> Option<Status> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Option<Status> {
    let (pid, _) = text.split_once(' ')?;
    // The name in the second field may hold anything, even spaces and brackets.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Status {
        pid: pid.parse().ok()?,
        state: fields.first()?.chars().next()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn identity(status: &Status) -> String {
    format!("{}/{}", own_space(), status.start)
}

/// The boot of this machine and the space of process ids that this process sees.
fn own_space() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}/{}", boot.trim(), space.display())
}

/// Those of a group that have not ended.
fn members(group: u32) -> Vec<Status> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(status)
        .filter(|status| status.group == group && status.is_running())
        .collect()
}

fn is_own_user(pid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = |path: String| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    user(format!("/proc/{pid}")).is_some_and(|owner| Some(owner) == user("/proc/self".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = process_identity(std::process::id()).unwrap();
        assert_eq!(process_identity(std::process::id()), Some(own.clone()));
        let parsed =
            parse("42 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0").unwrap();
        assert_eq!((parsed.pid, parsed.group, parsed.start), (42, 7, 123_456));
        assert!(parsed.is_running());
        let mut child = Command::new("true").spawn().unwrap();
        singer_test::poll::until("it has ended, though nobody has waited for it", || {
            process_identity(child.id()).is_none()
        });
        child.wait().unwrap();
        assert!(is_same_space(&own, &own));
        assert!(!is_same_space(&own, "boot/pid:[1]/5"));
        assert!(!is_same_space("", ""));
    }

    fn group_of(script: &str) -> (std::process::Child, Group) {
        let child = Command::new("sh")
            .args(["-c", script])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = process_identity(child.id()).unwrap();
        let leader = child.id();
        (child, Group { leader, process })
    }

    #[tokio::test]
    async fn a_group_is_ended_even_if_it_does_not_listen() {
        let (mut child, group) = group_of("trap '' TERM; sleep 600 & sleep 600; sleep 600");
        singer_test::poll::until("the group is at work", || members(group.leader).len() >= 2);
        end_group(&group, Duration::from_millis(50)).await.unwrap();
        assert!(members(group.leader).is_empty());
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_group_whose_leader_has_gone_is_ended() {
        // It ends once it has been looked at: waiting for it closes its stdin.
        let (mut child, group) = group_of("sleep 600 < /dev/null & read line; exit 0");
        child.wait().unwrap();
        assert_eq!(members(group.leader).len(), 1);
        end_group(&group, Duration::from_secs(5)).await.unwrap();
        assert!(members(group.leader).is_empty());
    }

    #[tokio::test]
    async fn a_group_of_others_is_left_alone() {
        let (mut child, group) = group_of("sleep 600");
        let recycled = Group {
            process: format!("{}1", group.process),
            ..group.clone()
        };
        end_group(&recycled, Duration::ZERO).await.unwrap();
        let elsewhere = Group {
            process: "boot/pid:[1]/5".to_owned(),
            ..group.clone()
        };
        end_group(&elsewhere, Duration::ZERO).await.unwrap();
        assert!(!members(group.leader).is_empty());
        end_group(&group, Duration::from_secs(5)).await.unwrap();
        child.wait().unwrap();
    }
}
