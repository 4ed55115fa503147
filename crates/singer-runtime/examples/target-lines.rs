//! A target in a hundred lines: each stream becomes a file of JSON lines in a folder.
//! `tap-… | target-lines --config config.json > state.jsonl` with `{"folder": "out"}` as config.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

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
        vec![Setting::text("folder").required()]
    }
}

struct Lines(PathBuf);

impl Target for Lines {
    const NAME: &'static str = "target-lines";
    const DESCRIPTION: &'static str = "Appends the records of each stream to a file of JSON lines.";
    type Config = Config;
    type Writer = Lane;

    async fn connect(config: Config, _: Context) -> anyhow::Result<Self> {
        Ok(Self(config.folder))
    }

    async fn check(&self) -> anyhow::Result<String> {
        let folder = self.0.display();
        std::fs::metadata(&self.0).with_context(|| format!("cannot find the folder `{folder}`"))?;
        Ok(format!("the folder `{folder}` is there"))
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<Lane> {
        let path = self.0.join(format!("{}.jsonl", stream.name));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("cannot open `{}`", path.display()))?;
        Ok(Lane(path, Mutex::new(file)))
    }
}

struct Lane(PathBuf, Mutex<File>);

impl Writer for Lane {
    fn plan(&self) -> StreamPlan {
        StreamPlan {
            destination: self.0.display().to_string(),
            ..StreamPlan::default()
        }
    }

    fn key(&self) -> Vec<usize> {
        // A file takes every row: appended, never replaced.
        Vec::new()
    }

    fn limits(&self) -> Limits {
        Limits {
            max_records: 10_000,
            max_bytes: 1 << 20,
            max_age: std::time::Duration::from_secs(5),
        }
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let mut lines = Vec::with_capacity(batch.bytes() + batch.len());
        for record in batch.records() {
            record.write_json(&mut lines);
            lines.push(b'\n');
        }
        let mut file = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        // Confirmed means on disk: a STATE may be printed after this.
        let written = file.write_all(&lines).and_then(|()| file.sync_data());
        written.context("cannot write the lines")?;
        Ok(Outcome {
            sent: batch.len() as u64,
            bytes: lines.len() as u64,
            ..Outcome::default()
        })
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        let (lines, stream) = (batch.len(), &batch.stream().name);
        vec![format!("append {lines} lines of `{stream}`")]
    }
}

fn main() -> std::process::ExitCode {
    target::main::<Lines>()
}
