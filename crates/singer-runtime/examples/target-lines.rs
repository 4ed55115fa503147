//! A target in under a hundred lines: each stream becomes a file of JSON lines in a folder.
//!
//! ```text
//! tap-… | target-lines --config config.json > state.jsonl      config.json: {"folder": "out"}
//! ```

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use singer_runtime::context::Context;
use singer_runtime::setting::{Setting, Settings};
use singer_runtime::target::{self, Batch, Limits, Outcome, Stream, StreamPlan, Target, Writer};

#[derive(serde::Deserialize)]
struct Config {
    folder: PathBuf,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        vec![Setting::text("folder").required().about("Where the files are written.")]
    }
}

struct Lines {
    folder: PathBuf,
}

impl Target for Lines {
    const NAME: &'static str = "target-lines";
    const DESCRIPTION: &'static str = "Appends the records of each stream to a file of JSON lines.";
    type Config = Config;
    type Writer = Lane;

    async fn connect(config: Config, _: Context) -> anyhow::Result<Self> {
        let folder = config.folder;
        Ok(Self { folder })
    }

    async fn check(&self) -> anyhow::Result<String> {
        std::fs::metadata(&self.folder)
            .with_context(|| format!("cannot find the folder `{}`", self.folder.display()))?;
        Ok(format!("the folder `{}` is there", self.folder.display()))
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<Lane> {
        let path = self.folder.join(format!("{}.jsonl", stream.name));
        let open = File::options().create(true).append(true).open(&path);
        let file = open.with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Lane { path, stream, file: Mutex::new(file) })
    }
}

struct Lane {
    path: PathBuf,
    stream: Arc<Stream>,
    file: Mutex<File>,
}

impl Writer for Lane {
    fn plan(&self) -> StreamPlan {
        let destination = self.path.display().to_string();
        StreamPlan { destination, ..StreamPlan::default() }
    }

    fn key(&self) -> Vec<usize> {
        // A file takes every row: appended, never replaced.
        Vec::new()
    }

    fn limits(&self) -> Limits {
        Limits { max_records: 10_000, max_bytes: 1 << 20, max_age: Duration::from_secs(5) }
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let mut lines = Vec::with_capacity(batch.bytes() + batch.len());
        for record in batch.records() {
            record.write_json(&mut lines);
            lines.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Confirmed means on disk: a STATE may be printed after this.
        file.write_all(&lines).and_then(|()| file.sync_data()).context("cannot write the lines")?;
        Ok(Outcome { sent: batch.len() as u64, bytes: lines.len() as u64, ..Outcome::default() })
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        vec![format!("append {} lines of `{}`", batch.len(), self.stream.name)]
    }
}

fn main() -> ExitCode {
    target::main::<Lines>()
}
