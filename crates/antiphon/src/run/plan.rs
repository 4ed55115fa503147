//! What is started for a run: programs, arguments, and the private files that they are given.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use singer_core::catalog::Entry;
use singer_core::{Error, Result, Secret, SecretSource, pattern};

use crate::history::Kind;
use crate::rejects;
use crate::run::{Options, group};
use crate::session::Session;
use crate::spec::{self, ConfigSource, Count, Pipeline, Role, Stage};

/// The label of the counting stage.
pub(super) const TALLY: &str = "tally";
/// The label of the runner itself, where a stage is named.
pub(super) const RUNNER: &str = "antiphon";

/// A program that is about to be started.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) label: String,
    pub(super) role: Role,
    /// As written in the project.
    pub(super) exec: String,
    pub(super) program: PathBuf,
    /// Those that the runner gives.
    pub(super) args: Vec<OsString>,
    /// Those of the project; they come last.
    pub(super) own: Vec<OsString>,
}

/// All stages of a run, in the order of the pipe. The same for all its attempts but for the state.
#[derive(Debug)]
pub(super) struct Plan {
    launches: Vec<Launch>,
    /// On top of the runner's own variables.
    pub(super) environment: Vec<(String, Secret)>,
    /// Those of their values that a command gave: nobody could hide them before.
    pub(super) asked: Vec<Secret>,
    /// Where the tap's state goes before each attempt.
    state_file: PathBuf,
}

/// Which stage cannot be started, and why.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) stage: String,
    pub(super) error: Error,
}

/// How the target works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    /// `--dry-run`
    Show,
}

impl Plan {
    /// Looks everything up and writes the private files of the stages into the work folder.
    pub(super) async fn make(
        session: &Session,
        pipeline: &Pipeline,
        options: &Options,
        purpose: Purpose,
        work: &Path,
    ) -> Result<Self, Unfit> {
        let maker = Maker {
            folder: &session.project.folder,
            pipeline,
            options,
            work,
        };
        let stages = match options.kind {
            Kind::Replay => vec![&pipeline.target],
            Kind::Sync | Kind::FullRefresh => maker.all_stages(),
        };
        let mut launches = Vec::with_capacity(stages.len() + 1);
        for stage in stages {
            let launch = maker.launch(stage, purpose).map_err(|error| Unfit {
                stage: stage.label.clone(),
                error,
            })?;
            launches.push(launch);
        }
        maker.insert_tally(&mut launches)?;
        let own = |error| Unfit {
            stage: RUNNER.to_owned(),
            error,
        };
        let mut environment = Vec::with_capacity(pipeline.environment.len());
        let mut asked = Vec::new();
        for (name, source) in &pipeline.environment {
            let value = session.context.secret(source).await.map_err(|error| {
                own(error.at(format!(
                    "`environment.{name}` of the pipeline `{}`",
                    pipeline.name
                )))
            })?;
            if matches!(source, SecretSource::Command(_)) {
                asked.push(value.clone());
            }
            environment.push((name.clone(), value));
        }
        Ok(Self {
            launches,
            environment,
            asked,
            state_file: work.join("state.json"),
        })
    }

    /// Whether the last stage is a program of this workspace.
    pub(super) fn target_is_ours(&self) -> bool {
        let target = self.launches.last();
        target.is_some_and(|target| spec::is_ours(&target.program))
    }

    /// The stages of an attempt that starts from a state, byte for byte.
    pub(super) fn launches_from(&self, state: Option<&str>) -> Result<Vec<Launch>, Unfit> {
        let mut launches = self.launches.clone();
        let tap = launches.first_mut().filter(|first| first.role == Role::Tap);
        if let (Some(tap), Some(state)) = (tap, state) {
            let bytes = format!("{state}\n");
            write_private(&self.state_file, bytes.as_bytes()).map_err(|error| Unfit {
                stage: RUNNER.to_owned(),
                error,
            })?;
            tap.args
                .extend(["--state".into(), self.state_file.clone().into()]);
        }
        Ok(launches)
    }
}

/// Writes a file that its owner alone can read.
pub(super) fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(bytes))
        .map_err(|error| {
            Error::internal(format!("cannot write `{}`", file.display())).with_source(error)
        })
}

struct Maker<'a> {
    folder: &'a Path,
    pipeline: &'a Pipeline,
    options: &'a Options,
    work: &'a Path,
}

impl<'a> Maker<'a> {
    fn all_stages(&self) -> Vec<&'a Stage> {
        let maps = self.pipeline.maps.iter();
        std::iter::once(&self.pipeline.tap)
            .chain(maps)
            .chain(std::iter::once(&self.pipeline.target))
            .collect()
    }

    fn launch(&self, stage: &Stage, purpose: Purpose) -> Result<Launch> {
        let program = self.pipeline.check_stage(stage, self.folder)?;
        let mut args = self.config_arguments(stage)?;
        match stage.role {
            Role::Tap => args.extend(self.catalog_arguments()?),
            Role::Map => {}
            Role::Target => {
                if spec::is_ours(&program) {
                    let file = self.work.join("rejects-config.json");
                    let path = self.work.join(rejects::FILE);
                    let config = json!({"rejects_path": path});
                    write_private(&file, config.to_string().as_bytes())?;
                    args.extend(["--config".into(), file.into()]);
                }
                if let Some(input) = &self.options.replay {
                    args.extend(["--input".into(), input.into()]);
                }
                if purpose == Purpose::Show {
                    args.push("--dry-run".into());
                }
            }
        }
        Ok(Launch {
            label: stage.label.clone(),
            role: stage.role,
            exec: stage.exec.clone(),
            program,
            args,
            own: stage.args.iter().map(OsString::from).collect(),
        })
    }

    fn config_arguments(&self, stage: &Stage) -> Result<Vec<OsString>> {
        let mut args = Vec::with_capacity(2 * stage.config.len() + 2);
        for (number, config) in stage.config.iter().enumerate() {
            let path: OsString = match config {
                ConfigSource::Environment => "ENV".into(),
                ConfigSource::File(file) => file.into(),
                ConfigSource::Inline(value) => {
                    let name = format!("{}-config-{}.json", stage.label, number + 1);
                    let file = self.work.join(name);
                    write_private(&file, value.to_string().as_bytes())?;
                    file.into()
                }
            };
            args.extend(["--config".into(), path]);
        }
        Ok(args)
    }

    fn catalog_arguments(&self) -> Result<Vec<OsString>> {
        let select = &self.options.select;
        let Some(catalog) = &self.pipeline.catalog else {
            let globs = select
                .iter()
                .flat_map(|glob| ["--select".into(), glob.into()]);
            return Ok(globs.collect());
        };
        if select.is_empty() {
            return Ok(vec!["--catalog".into(), catalog.into()]);
        }
        let named = |error: Error| error.at(format!("`{}`", catalog.display()));
        let bytes = fs::read(catalog).map_err(|error| {
            Error::config(format!("cannot read the catalog `{}`", catalog.display()))
                .with_source(error)
        })?;
        let narrowed = narrow_catalog(&bytes, select).map_err(named)?;
        let file = self.work.join("catalog.json");
        write_private(&file, &narrowed)?;
        Ok(vec!["--catalog".into(), file.into()])
    }

    fn insert_tally(&self, launches: &mut Vec<Launch>) -> Result<(), Unfit> {
        let ours =
            |launch: Option<&Launch>| launch.is_some_and(|launch| spec::is_ours(&launch.program));
        let wanted = match self.pipeline.count {
            Count::Metrics => false,
            Count::Lines => true,
            Count::Auto => !ours(launches.first()) && !ours(launches.last()),
        };
        // Without a tap there is nothing to stand between.
        if !wanted || launches.len() < 2 {
            return Ok(());
        }
        let program = group::own_program().map_err(|error| Unfit {
            stage: TALLY.to_owned(),
            error: Error::internal("cannot find this program itself").with_source(error),
        })?;
        launches.insert(
            launches.len() - 1,
            Launch {
                label: TALLY.to_owned(),
                role: Role::Map,
                exec: RUNNER.to_owned(),
                program,
                args: vec![TALLY.into()],
                own: Vec::new(),
            },
        );
        Ok(())
    }
}

fn parse_catalog(bytes: &[u8]) -> Result<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let broken = || {
        Error::config("the catalog cannot be read")
            .with_hint("a catalog is what `--discover` prints: {\"streams\": [...]}")
    };
    let catalog: Value =
        serde_json::from_slice(bytes).map_err(|error| broken().with_source(error))?;
    if !catalog.get("streams").is_some_and(Value::is_array) {
        return Err(broken().with_source(Error::config("it has no list of `streams`")));
    }
    Ok(catalog)
}

/// The catalog with the matching streams selected and no others, in every form that taps look at.
fn narrow_catalog(bytes: &[u8], select: &[String]) -> Result<Vec<u8>> {
    let mut catalog = parse_catalog(bytes)?;
    let mut matched = vec![false; select.len()];
    let streams = catalog.get_mut("streams").and_then(Value::as_array_mut);
    for stream in streams.into_iter().flatten() {
        let mut entry: Entry = serde_json::from_value(stream.take()).map_err(|error| {
            Error::config("the catalog has a stream that is no object").with_source(error)
        })?;
        let names = entry.names();
        let mut selected = false;
        for (glob, matched) in select.iter().zip(&mut matched) {
            if names.iter().any(|name| pattern::is_match(glob, name)) {
                selected = true;
                *matched = true;
            }
        }
        entry.set_stream_metadata("selected", selected);
        if entry.get("selected").is_some() {
            entry.set("selected", selected);
        }
        *stream = serde_json::to_value(entry).map_err(|error| {
            Error::internal("cannot write a stream of the catalog").with_source(error)
        })?;
        // The oldest taps look into the schema.
        if let Some(older) = stream.pointer_mut("/schema/selected") {
            *older = Value::Bool(selected);
        }
    }
    if let Some(at) = matched.iter().position(|matched| !matched) {
        return Err(Error::config(format!(
            "no stream of the catalog matches `{}`",
            select[at]
        )));
    }
    serde_json::to_vec(&catalog)
        .map_err(|error| Error::internal("cannot write the catalog").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_catalog_selects_what_matches_and_nothing_else() {
        let catalog = json!({"version": 1, "streams": [
            {"tap_stream_id": "db.public.account", "metadata": [{"breadcrumb": [], "metadata": {"selected": false}}]},
            {"stream": "visitor", "schema": {"selected": true, "type": "object"}, "metadata": []},
        ]});
        let narrowed =
            narrow_catalog(catalog.to_string().as_bytes(), &["*account".to_owned()]).unwrap();
        let narrowed: Value = serde_json::from_slice(&narrowed).unwrap();
        assert_eq!(
            narrowed,
            json!({"version": 1, "streams": [
                {"tap_stream_id": "db.public.account", "metadata": [{"breadcrumb": [], "metadata": {"selected": true}}]},
                {"stream": "visitor", "schema": {"selected": false, "type": "object"},
                 "metadata": [{"breadcrumb": [], "metadata": {"selected": false}}]},
            ]})
        );
    }

    #[test]
    fn a_glob_without_a_stream_and_a_broken_catalog_are_errors() {
        let error = narrow_catalog(br#"{"streams":[]}"#, &["a*".to_owned()]).unwrap_err();
        assert_eq!(error.message(), "no stream of the catalog matches `a*`");
        for broken in ["", "{", "[]", r#"{"streams":1}"#] {
            let error = narrow_catalog(broken.as_bytes(), &[]).unwrap_err();
            assert_eq!(error.message(), "the catalog cannot be read", "{broken}");
        }
    }
}
