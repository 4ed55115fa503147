//! A state that the target confirmed and the store did not take: kept on this machine until the store
//! takes it, unless somebody else has moved the state meanwhile.
//!
//! It lies beside the work folders of the pipeline's runs, and not in one: those are cleared away.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use singer_core::Result;

use crate::run::plan::write_private;
use crate::session::Session;
use crate::state::{Cause, States, Stored};

#[derive(Debug, Serialize, Deserialize)]
struct Unsaved {
    run: String,
    /// The newest version when it was printed.
    after: Option<u64>,
    state: Box<RawValue>,
}

/// Where the state is kept.
pub(super) fn path(session: &Session, pipeline: &str) -> PathBuf {
    let work = &session.project.store.work;
    work.join(pipeline).join("unsaved-state.json")
}

/// Keeps a state.
pub(super) fn keep(path: &Path, run: &str, after: Option<u64>, state: &str) -> Result<()> {
    let failed = |error| {
        singer_core::Error::internal(format!("cannot keep a state in `{}`", path.display()))
            .with_source(error)
    };
    let unsaved = Unsaved {
        run: run.to_owned(),
        after,
        state: RawValue::from_string(state.to_owned()).map_err(failed)?,
    };
    let bytes = serde_json::to_vec(&unsaved).map_err(failed)?;
    // Beside it first: what is there already may be all that there is.
    let new = path.with_extension("json.new");
    write_private(&new, &bytes)?;
    fs::rename(&new, path).map_err(|error| {
        singer_core::Error::internal(format!("cannot keep a state in `{}`", path.display()))
            .with_source(error)
    })
}

/// Stores a state that an earlier run kept, if the state has not moved since. To be called under the
/// lease. Gives a line for the log if there was one.
pub(super) async fn store(path: &Path, states: &mut States, now: &str) -> Result<Option<String>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(
                singer_core::Error::internal(format!("cannot read `{}`", path.display()))
                    .with_source(error),
            );
        }
    };
    let line = match serde_json::from_slice::<Unsaved>(&bytes) {
        // A torn one was never whole: nothing that a run relied on.
        Err(_) => "a state that was kept when the store failed is torn, and was dropped".to_owned(),
        Ok(unsaved) => {
            if newest_of_its_own(states).await? == unsaved.after {
                match states
                    .append(unsaved.state.get(), &unsaved.run, now)
                    .await?
                {
                    Stored::Version(version) | Stored::Same(version) => format!(
                        "the state that the run {} could not store is stored now, as version {version}",
                        unsaved.run
                    ),
                    // The caller will find out by itself.
                    Stored::Fenced => return Ok(None),
                }
            } else {
                format!(
                    "the state that the run {} could not store was overtaken by a newer version, and was dropped",
                    unsaved.run
                )
            }
        }
    };
    // A file that stays is found to be overtaken the next time.
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "cannot remove `{}`", path.display());
    }
    Ok(Some(line))
}

/// The newest version that is more than the one before it again: whoever takes over repeats it.
async fn newest_of_its_own(states: &States) -> Result<Option<u64>> {
    let mut newest = states.newest().await?;
    while let Some(version) = &newest
        && version.cause == Cause::TakenOver
    {
        let Some(before) = version.version.checked_sub(1) else {
            return Ok(None);
        };
        newest = states.version(before).await?;
    }
    Ok(newest.map(|version| version.version))
}
