//! The files that a tap is given beside its config: catalog and state.

use std::path::Path;

use singer_core::catalog::Catalog;
use singer_core::state::{Content, State};
use singer_core::{Error, Result};

/// Reads a catalog.
pub(super) fn read_catalog(path: &Path) -> Result<Catalog> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::config(format!("cannot read the catalog `{}`", path.display())).with_source(error)
    })?;
    Catalog::parse(&bytes).map_err(|error| {
        Error::config(format!("the catalog `{}` cannot be used", path.display())).with_source(error)
    })
}

/// Reads a state. An empty file means none; it says so, since it was hardly meant.
pub(super) fn read_state(path: &Path) -> Result<State> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::config(format!("cannot read the state `{}`", path.display())).with_source(error)
    })?;
    let content = Content::read(&bytes).map_err(|error| {
        Error::config(format!("the state `{}` cannot be used", path.display()))
            .with_source(error)
            .with_hint("a state is the last line that a target has printed")
    })?;
    match content {
        Content::State(state) => Ok(state),
        Content::Cut(state) => {
            tracing::warn!(
                file = %path.display(),
                "the last line of the state is cut off: the one before it counts"
            );
            Ok(state)
        }
        Content::Empty => {
            tracing::warn!(
                file = %path.display(),
                "the state file is empty: truncated by a redirect? Everything is read from the start"
            );
            Ok(State::default())
        }
    }
}
