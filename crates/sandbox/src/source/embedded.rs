//! The last resort of a machine without PostgreSQL: the package `embedded-postgres` beside this
//! one, built on first need and run as a child process. It serves one connection at a time.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::source::connection::Connection;

const PROGRAM: &str = "embedded-postgres";

/// The running child. Dropping it ends the child, and so does the death of this process: the
/// child watches its stdin.
#[derive(Debug)]
pub(crate) struct EmbeddedServer {
    child: Child,
    connection: Connection,
}

impl EmbeddedServer {
    /// Builds the program if need be and starts it. `announce` is told before a long wait.
    pub(crate) fn start(announce: impl FnOnce(&str)) -> Result<Self> {
        let program = match built_program() {
            Some(program) => program,
            None => build(announce)?,
        };
        let mut child = Command::new(&program)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let mut url = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output)
                .read_line(&mut url)
                .context("cannot read the embedded server's URL")?;
        }
        let connection = match Connection::from_url(url.trim_end()) {
            Ok(connection) if !url.is_empty() => connection,
            _ => {
                drop(child.kill());
                let status = child
                    .wait()
                    .context("cannot wait for the embedded server")?;
                bail!("the embedded PostgreSQL does not start ({status})");
            }
        };
        // It checks no password, but clients like to send one.
        Ok(Self {
            child,
            connection: Connection {
                password: "embedded".to_owned(),
                ..connection
            },
        })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Beside this program (an installation), or where the build below puts it.
pub(crate) fn built_program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let beside = own.with_file_name(PROGRAM);
    [beside, target_folder().join("release").join(PROGRAM)]
        .into_iter()
        .find(|path| path.is_file())
}

fn build(announce: impl FnOnce(&str)) -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(PROGRAM)
        .join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "the embedded PostgreSQL can only be built where the source of this program lies; install PostgreSQL or set DEMO_PG_URL"
        );
    }
    announce(
        "building the embedded PostgreSQL: this happens once and takes 5 to 8 minutes on 2 cores \
         (installing PostgreSQL instead takes seconds)",
    );
    let target = target_folder();
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .stdin(Stdio::null())
        // Cargo shows its progress on stderr, which is where this program shows its own.
        .stdout(Stdio::null())
        .status()
        .context("cannot run `cargo`, which builds the embedded PostgreSQL")?;
    if !status.success() {
        bail!("building the embedded PostgreSQL failed ({status})");
    }
    Ok(target.join("release").join(PROGRAM))
}

/// A folder of its own in the target folder that this program was built into.
fn target_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let target = own
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let fallback = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target
        .map_or_else(fallback, Path::to_path_buf)
        .join(PROGRAM)
}
