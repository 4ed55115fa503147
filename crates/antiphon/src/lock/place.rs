//! Where a process is, and what can be said from here of a holder: alive, dead, or elsewhere.

use std::fs;

use super::{Holder, held, process};

/// What became of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    Dead,
    /// It runs on another machine (or among other process ids): only the time of its lease tells.
    Elsewhere,
}

/// This process among those of its machine.
#[derive(Debug, Clone)]
pub(super) struct Place {
    host: String,
    pid: u32,
    /// Empty where the system does not tell: then every holder is elsewhere.
    process: String,
    #[cfg(test)]
    judge: Option<super::model::Judge>,
}

impl Place {
    pub(super) fn here() -> Self {
        let pid = std::process::id();
        Self {
            host: host(),
            pid,
            process: process::process_identity(pid).unwrap_or_default(),
            #[cfg(test)]
            judge: None,
        }
    }

    /// A process of a test, which says itself what became of holders.
    #[cfg(test)]
    pub(super) fn simulated(host: &str, process: &str, judge: super::model::Judge) -> Self {
        Self {
            host: host.to_owned(),
            pid: 1,
            process: process.to_owned(),
            judge: Some(judge),
        }
    }

    /// This process as the holder of a lease.
    pub(super) fn holder(&self, run: &str, since: String) -> Holder {
        Holder {
            run: run.to_owned(),
            host: self.host.clone(),
            pid: self.pid,
            process: self.process.clone(),
            since,
            group: None,
        }
    }

    pub(super) fn fate(&self, holder: &Holder) -> Fate {
        #[cfg(test)]
        if let Some(judge) = &self.judge {
            return judge.fate(holder);
        }
        if self.process.is_empty()
            || holder.host != self.host
            || !process::is_same_space(&holder.process, &self.process)
        {
            return Fate::Elsewhere;
        }
        // Two processes may start within one tick of the clock: the id tells them apart.
        if holder.pid == self.pid && holder.process == self.process {
            // This very process: it knows best.
            return if held().contains(&holder.run) {
                Fate::Alive
            } else {
                Fate::Dead
            };
        }
        match process::process_identity(holder.pid) {
            Some(process) if process == holder.process => Fate::Alive,
            _ => Fate::Dead,
        }
    }
}

/// The name of this machine.
pub(super) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_started_in_the_same_tick_is_not_this_process() {
        let here = Place::here();
        let itself = here.holder("run-of-nobody", String::new());
        assert_eq!(here.fate(&itself), Fate::Dead);
        // Seen from a process with another id and the same start, this one is at work.
        let twin = Place {
            pid: here.pid + 1,
            ..here.clone()
        };
        assert_eq!(twin.fate(&itself), Fate::Alive);
    }
}
