//! The state of a pipeline: numbered versions that never change, and the way back.
//!
//! Version n+1 is put only if there is none, by whoever holds the lease. Numbers have no gaps above
//! the oldest version that retention left. `newest.json` is a hint from which the newest is looked for.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use singer_core::Result;

use crate::session::Session;
use crate::store::Store;

/// A version as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u64,
    /// RFC 3339, by the writer's clock.
    pub(crate) at: String,
    /// The run that wrote it; none for a person's.
    pub(crate) run: Option<String>,
    /// The fence of the lease under which it was written: never falls from version to version.
    pub(crate) fence: u64,
    pub(crate) cause: Cause,
    /// The state, byte for byte as the target printed it; `null` stands for no state at all.
    pub(crate) state: Box<RawValue>,
}

/// Why a version was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// The target printed it.
    Printed,
    /// The lease was taken over from a runner that died: the value of the version before, again.
    TakenOver,
    /// A person went back to the value of this version.
    Reverted(u64),
    /// A person set or imported it.
    Set,
}

/// The versions of one pipeline, written under one lease.
#[derive(Debug)]
pub(crate) struct States {
    store: Store,
}

/// What became of a state that the target printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is the newest version, durable.
    Version(u64),
    /// It equals the newest version.
    Same(u64),
    /// Somebody else has written the next version: this runner has lost its lease and must stop.
    Fenced,
}

impl States {
    /// For reading, and for writing under a lease with this fence.
    pub(crate) async fn open(session: &Session, pipeline: &str, fence: u64) -> Result<Self> {
        let _ = (pipeline, fence);
        Ok(Self {
            store: session.store.clone(),
        })
    }

    /// The newest version, if there is any.
    pub(crate) async fn newest(&self) -> Result<Option<Version>> {
        let _ = &self.store;
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Stores a state as the next version. The bytes are one JSON object, checked by the caller.
    pub(crate) async fn append(&mut self, state: &str, run: &str, at: &str) -> Result<Stored> {
        let _ = (state, run, at);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Repeats the newest version under this fence, so that no older holder can write any more.
    pub(crate) async fn fence_off(&mut self, run: &str, at: &str) -> Result<Stored> {
        let _ = (run, at);
        Err(singer_core::Error::internal("not there yet"))
    }

    /// Removes what retention does not keep.
    pub(crate) async fn prune(&self, keep: &crate::spec::Retention) -> Result<()> {
        let _ = keep;
        Err(singer_core::Error::internal("not there yet"))
    }
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: crate::session::Session, _: Arguments) -> anyhow::Result<u8> {
    anyhow::bail!("not there yet")
}
