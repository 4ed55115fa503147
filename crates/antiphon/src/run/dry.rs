//! `antiphon run --dry-run`: the target shows what it would do. No lease is taken, and nothing is kept.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use singer_core::{Error, Result};
use tokio::process::Command;
use tokio::time::Instant;

use crate::history::{self, Kind};
use crate::mask::Mask;
use crate::report::{Echo, Watcher};
use crate::run::Options;
use crate::run::attempt::Attempt;
use crate::run::plan::{Plan, Purpose};
use crate::run::stages::{Output, Surroundings};
use crate::run::verdict::{self, Verdict};
use crate::session::Session;
use crate::spec::{self, Pipeline};
use crate::state::States;

/// How long a target may take to print its help.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows what a run would do; the target's stdout is this process' own.
pub(super) async fn run(
    session: &Session,
    pipeline: &Pipeline,
    options: &Options,
    echo: Echo,
) -> Result<Verdict> {
    check_target(session, pipeline).await?;
    let states = States::open(session, &pipeline.name, 0).await?;
    let state = match options.kind {
        Kind::Sync => states.newest().await?,
        Kind::FullRefresh | Kind::Replay => None,
    };
    let state = state
        .map(|version| version.state.get().to_owned())
        .filter(|state| state != "null");
    let run = history::new_run(session);
    let scratch = Scratch::make(session, &run)?;
    let mask = Mask::of(pipeline, &session.project.folder).await;
    let watcher = Watcher::start(&scratch.0, echo, mask)?;
    let plan = Plan::make(session, pipeline, options, Purpose::Show, &scratch.0).await;
    let launches = plan.and_then(|plan| {
        watcher.hide(&plan.asked);
        Ok((plan.launches_from(state.as_deref())?, plan.environment))
    });
    let (launches, environment) = match launches {
        Ok(launches) => launches,
        Err(unfit) => return Ok(verdict::unfit(unfit)),
    };
    let attempt = Attempt {
        session,
        pipeline,
        number: 1,
        launches: &launches,
        surroundings: Surroundings {
            folder: &session.project.folder,
            pipeline: &pipeline.name,
            run: &run,
            environment: &environment,
            watcher: &watcher,
            output: Output::Own,
        },
        lease: None,
        deadline: pipeline.timeout.map(|timeout| Instant::now() + timeout),
    };
    let attempted = match Box::pin(attempt.run(None)).await {
        Ok(attempted) => attempted,
        Err(unfit) => return Ok(verdict::unfit(unfit)),
    };
    Ok(verdict::judge(pipeline, &attempted, None, |label| {
        watcher.last_words(label)
    }))
}

/// Refuses a target that does not know `--dry-run`: it would write.
async fn check_target(session: &Session, pipeline: &Pipeline) -> Result<()> {
    let program = spec::find_program(&pipeline.target, &session.project.folder)?;
    let unknown = || {
        Error::config(format!(
            "the target `{}` has no `--dry-run`: it would write",
            pipeline.target.exec
        ))
        .with_hint("`antiphon check` judges what the tap prints without any target")
    };
    let help = Command::new(&program)
        .arg("--help")
        .current_dir(&session.project.folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let help = tokio::select! {
        help = tokio::time::timeout(PATIENCE, help) => help.map_err(|_| unknown())?,
        () = session.stop().wait() => return Err(Error::interrupted()),
    };
    let help = help.map_err(|error| {
        Error::config(format!("cannot start `{}`", program.display())).with_source(error)
    })?;
    let knows = |text: &[u8]| memchr::memmem::find(text, b"--dry-run").is_some();
    if knows(&help.stdout) || knows(&help.stderr) {
        return Ok(());
    }
    Err(unknown())
}

/// A private folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn make(session: &Session, run: &str) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = session.project.store.work.join(".dry-run").join(run);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| {
                Error::internal(format!("cannot make the folder `{}`", folder.display()))
                    .with_source(error)
            })?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let remove = |folder: &Path| std::fs::remove_dir_all(folder);
        if let Err(error) = remove(&self.0) {
            tracing::warn!(%error, "cannot remove `{}`", self.0.display());
        }
    }
}
