//! What every command of a project works with.

use std::path::Path;

use singer_core::Result;
use singer_runtime::clock::Clock;
use singer_runtime::context::Context;
use singer_runtime::stop::Stop;

use crate::spec::Project;
use crate::store::Store;

/// A project that was read, its store that was opened, and the process around them; cheap to clone
/// behind an `Arc`.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) project: Project,
    pub(crate) store: Store,
    pub(crate) context: Context,
}

impl Session {
    /// Reads the project and opens its store.
    pub(crate) async fn open(file: Option<&Path>, context: Context) -> Result<Self> {
        Self::of(Project::load(file)?, context).await
    }

    /// As [`Session::open`], for whoever needs no pipelines but these ([`Project::load_pipelines`]).
    pub(crate) async fn open_for(
        file: Option<&Path>,
        pipelines: &[String],
        context: Context,
    ) -> Result<Self> {
        Self::of(Project::load_pipelines(file, pipelines)?, context).await
    }

    async fn of(project: Project, context: Context) -> Result<Self> {
        let store = Store::open(&project.store).await?;
        Ok(Self {
            project,
            store,
            context,
        })
    }

    /// The clock.
    pub(crate) fn clock(&self) -> &Clock {
        self.context.clock()
    }

    /// The wish to stop.
    pub(crate) fn stop(&self) -> &Stop {
        self.context.stop()
    }
}
