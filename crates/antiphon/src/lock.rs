//! One runner at a time for a pipeline: leases with a fencing number.
//!
//! A lease is an object whose number is its fence. Whoever finds the newest lease released, its holder
//! dead, or its time over puts the next number, which only one can, then lists again: the lease is
//! held by the largest number alone. So nothing but put-if-absent and an honest listing is needed.
//!
//! * A holder on this machine (same boot, same space of process ids) is judged by its process, never
//!   by a clock: dead means taken over at once, alive means held.
//! * A holder elsewhere is judged by the store's clock: its last renewal against an object that this
//!   runner puts now. Clocks of the machines do not matter.
//! * Whoever takes over from a holder that did not release puts a version of the state under its own
//!   fence before it starts anything ([`crate::state::States::fence_off`]), so that the old holder,
//!   should it wake, finds its next number taken and stops.
//! * The stages of a dead holder on this machine are ended before new ones start.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use singer_core::Result;

use crate::session::Session;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// The run that it was taken for.
    pub(crate) run: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Boot, space of process ids and start time of the process: a pid alone comes back.
    pub(crate) process: String,
    /// RFC 3339, by the holder's clock; for people.
    pub(crate) since: String,
    /// The process group of its stages, while there is one.
    pub(crate) group: Option<Group>,
}

/// The stages of a run: a process group by its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) leader: u32,
    /// As [`Holder::process`], of the leader.
    pub(crate) process: String,
}

/// What came of the wish for a lease.
#[derive(Debug)]
pub(crate) enum Taken {
    Lease(Lease),
    /// Somebody else holds it.
    Held(Holder),
}

/// A lease that is held. It is renewed by a task of its own until it is released or dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    fence: u64,
    /// The holder before, if it did not release: its run died.
    took_over: Option<Holder>,
}

/// Takes the lease of a pipeline if it is free.
pub(crate) async fn take(session: &Session, pipeline: &str, run: &str) -> Result<Taken> {
    let _ = (session, pipeline, run);
    Err(singer_core::Error::internal("not there yet"))
}

/// Who holds the lease of a pipeline now, if anybody does; takes nothing.
pub(crate) async fn holder(session: &Session, pipeline: &str) -> Result<Option<Holder>> {
    let _ = (session, pipeline);
    Err(singer_core::Error::internal("not there yet"))
}

impl Lease {
    /// The fencing number: larger than that of every holder before.
    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// The holder that died with this lease's predecessor.
    pub(crate) fn took_over(&self) -> Option<&Holder> {
        self.took_over.as_ref()
    }

    /// Notes the group of the stages, so that whoever takes over can end them.
    pub(crate) async fn note_group(&self, group: Option<Group>) -> Result<()> {
        let _ = group;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Returns when the lease is lost: taken by somebody else, or not renewed for so long that it may
    /// be soon. The stages must be ended then, and nothing more be written.
    pub(crate) async fn lost(&self) {
        std::future::pending::<()>().await;
    }

    /// Gives it back.
    pub(crate) async fn release(self) -> Result<()> {
        Err(singer_core::Error::internal("not there yet"))
    }
}

/// The machine, boot and start time of a process, as [`Holder::process`] has it; `None` if it is gone.
pub(crate) fn process_identity(pid: u32) -> Option<String> {
    let _ = pid;
    None
}

/// Ends a group of a dead runner on this machine: SIGTERM, `grace`, SIGKILL. Returns once it is gone.
pub(crate) async fn end_group(group: &Group, grace: Duration) -> Result<()> {
    let _ = (group, grace);
    Err(singer_core::Error::internal("not there yet"))
}
