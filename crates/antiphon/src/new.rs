//! `antiphon new`: a starter pipeline from what a tap and a target say of themselves.
//!
//! Files of configs are made and never overwritten without `--force`; an `antiphon.toml` that is there
//! gets one more pipeline at its end, and is not touched if it does not parse before and after.

use std::fs;
use std::path::{Path, PathBuf};

use singer_core::{Error, Result};
use singer_runtime::context::Context;
use singer_runtime::{exit, stdio};

use crate::spec::{self, FILE, Role, Stage};
use about::About;
use files::{Existing, Outcome};

mod about;
mod files;
mod starter;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The tap: a name in `PATH`, or a path
    #[arg(value_name = "TAP")]
    tap: String,

    /// The target: a name in `PATH`, or a path
    #[arg(value_name = "TARGET")]
    target: String,

    /// A program in between; repeatable
    #[arg(long, value_name = "EXEC")]
    map: Vec<String>,

    /// The name of the pipeline [default: of the tap and the target, such as `redshift-to-pendo`]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Where the files go [default: here]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Write configs anew where files of these names are
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "Examples:
  antiphon new tap-redshift target-pendo
  antiphon new tap-github target-bigquery --map ./redact.py --name issues --folder etl";

/// A stage of the new pipeline and what is known of it.
#[derive(Debug)]
struct Part {
    stage: Stage,
    /// What it says of itself; `None` if it does not know `--about`.
    about: Option<About>,
    /// Whether it is one of this workspace.
    is_ours: bool,
}

impl Part {
    /// Its name without a folder and without the ending of a script.
    fn name(&self) -> &str {
        base_name(&self.stage.exec)
    }

    fn config_file(&self) -> String {
        format!("{}.json", self.name())
    }

    /// A map without settings needs no file.
    fn has_config(&self) -> bool {
        self.stage.role != Role::Map
            || self
                .about
                .as_ref()
                .is_some_and(|about| !about.settings.is_empty())
    }
}

/// Writes the starter and prints what comes next.
pub(crate) async fn run(
    _: Context,
    file: Option<PathBuf>,
    arguments: Arguments,
) -> anyhow::Result<u8> {
    let file = project_file(file, arguments.folder.as_deref())?;
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    check_order(&arguments)?;
    let parts = find_parts(&arguments, &folder).await?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => default_name(&parts),
    };

    let before = files::read_if_there(&file)?;
    let text = starter::project(&parts, &name, before.as_deref());
    if let Some(before) = &before {
        let project = spec::Project::parse(&file, before)?;
        if project.pipelines.contains_key(&name) {
            return Err(Error::config(format!(
                "there is a pipeline `{name}` in `{}` already",
                file.display()
            ))
            .with_hint("choose another with `--name`")
            .into());
        }
    }
    spec::Project::parse(&file, &text).map_err(|error| {
        Error::config(format!(
            "a pipeline `{name}` cannot be added to `{}`",
            file.display()
        ))
        .with_source(error)
    })?;

    fs::create_dir_all(&folder).map_err(|error| {
        Error::config(format!("cannot make the folder `{}`", folder.display())).with_source(error)
    })?;
    let existing = if arguments.force {
        Existing::Overwrite
    } else {
        Existing::Keep
    };
    let mut written = Vec::new();
    for part in parts.iter().filter(|part| part.has_config()) {
        let path = folder.join(part.config_file());
        let config = starter::config(part);
        written.push((
            part.config_file(),
            files::write_config(&path, &config, existing)?,
        ));
    }
    let ignored = files::ignore(&folder.join(".gitignore"), ".antiphon/")?;
    written.push((".gitignore".to_owned(), ignored));
    // Last, so that a pipeline is never there before its files.
    let project = files::write_project(&file, before.as_deref(), &text)?;
    written.push((FILE.to_owned(), project));

    let catalog = folder.join(starter::catalog_file(&name));
    let page = starter::next_steps(&parts, &name, &folder, &written, catalog.exists());
    stdio::print(page.as_bytes())?;
    Ok(exit::DONE)
}

/// The project that the pipeline goes to, by its absolute path.
fn project_file(file: Option<PathBuf>, folder: Option<&Path>) -> Result<PathBuf> {
    let file = match (file, folder) {
        (Some(_), Some(_)) => {
            return Err(Error::config(
                "`--file` and `--folder` both say where the project is",
            ));
        }
        (Some(file), None) if file.is_dir() => file.join(FILE),
        (Some(file), None) => file,
        (None, Some(folder)) => folder.join(FILE),
        (None, None) => PathBuf::from(FILE),
    };
    std::path::absolute(&file).map_err(|error| {
        Error::config(format!("cannot tell where `{}` is", file.display())).with_source(error)
    })
}

/// The two are easily swapped.
fn check_order(arguments: &Arguments) -> Result<()> {
    let (tap, target) = (base_name(&arguments.tap), base_name(&arguments.target));
    if tap.starts_with("target-") || target.starts_with("tap-") {
        return Err(Error::config(format!(
            "the tap comes first: `{tap}` and `{target}` are swapped"
        ))
        .with_hint(format!(
            "antiphon new {} {}",
            arguments.target, arguments.tap
        )));
    }
    Ok(())
}

/// Finds the programs and asks each what it is; all at once, because Python is slow to start.
async fn find_parts(arguments: &Arguments, folder: &Path) -> Result<Vec<Part>> {
    let execs = [(&arguments.tap, Role::Tap)]
        .into_iter()
        .chain(arguments.map.iter().map(|map| (map, Role::Map)))
        .chain([(&arguments.target, Role::Target)]);
    let here = std::env::current_dir()
        .map_err(|error| Error::config("cannot tell the working folder").with_source(error))?;
    let mut found = Vec::new();
    for (exec, role) in execs {
        let label = match role {
            Role::Tap => "tap",
            Role::Map => "map",
            Role::Target => "target",
        };
        let mut stage = Stage {
            label: label.to_owned(),
            role,
            exec: exec.clone(),
            args: Vec::new(),
            config: Vec::new(),
            rejects_path: None,
        };
        let program = spec::find_program(&stage, &here)?;
        if exec.contains('/') {
            stage.exec = written_path(&program, folder)?;
        }
        found.push((stage, program));
    }
    let asked = found.iter().map(|(_, program)| about::ask(program));
    let abouts = futures_util::future::join_all(asked).await;
    Ok(found
        .into_iter()
        .zip(abouts)
        .map(|((stage, program), about)| Part {
            is_ours: spec::is_ours(&program),
            stage,
            about,
        })
        .collect())
}

/// A path as the project names it: from its own folder if the program lies in there.
fn written_path(program: &Path, folder: &Path) -> Result<String> {
    // `./bin` and `bin` are one place.
    let plain: PathBuf = program.components().collect();
    let path = match plain.strip_prefix(folder) {
        Ok(inside) => Path::new(".").join(inside),
        Err(_) => plain,
    };
    path.into_os_string().into_string().map_err(|path| {
        Error::config(format!(
            "the path `{}` is not UTF-8",
            Path::new(&path).display()
        ))
    })
}

fn base_name(exec: &str) -> &str {
    let name = exec.rsplit('/').next().unwrap_or(exec);
    [".sh", ".py"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

/// `tap-redshift` and `target-pendo` make `redshift-to-pendo`.
fn default_name(parts: &[Part]) -> String {
    let plain = |part: Option<&Part>, prefix: &str| {
        let name = part.map_or("", Part::name);
        let name = name.strip_prefix(prefix).unwrap_or(name);
        name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
            .trim_matches('-')
            .to_owned()
    };
    format!(
        "{}-to-{}",
        plain(parts.first(), "tap-"),
        plain(parts.last(), "target-")
    )
}

/// What became of the files, for [`starter::next_steps`].
type Written = Vec<(String, Outcome)>;
