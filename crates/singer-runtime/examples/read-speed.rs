//! How fast the runtime takes records: scanned, held against their schema, hashed, copied into
//! batches of 500, and handed to a destination that throws them away.
//!
//! `cargo run --profile fast --example read-speed [RECORDS]` writes a file of records of about 1 kB
//! with 20 columns, runs itself on it as a target, and prints the rate, and that of `cat` beside it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use singer_runtime::context::Context;
use singer_runtime::setting::{Setting, Settings};
use singer_runtime::target::{self, Batch, Limits, Outcome, Stream, StreamPlan, Target, Writer};

#[derive(serde::Deserialize)]
struct Config {}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        Vec::new()
    }
}

struct Nowhere;

struct Forgetful(Vec<usize>);

impl Target for Nowhere {
    const NAME: &'static str = "target-nowhere";
    const DESCRIPTION: &'static str = "Throws records away, to see how fast they come.";
    type Config = Config;
    type Writer = Forgetful;

    async fn connect(_: Config, _: Context) -> anyhow::Result<Self> {
        Ok(Self)
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok("there is nothing to check".to_owned())
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<Forgetful> {
        let schema = &stream.schema;
        let place = |name: &String| schema.layout().index(name);
        let key = schema.key_properties().iter().filter_map(place);
        Ok(Forgetful(key.collect()))
    }
}

impl Writer for Forgetful {
    fn plan(&self) -> StreamPlan {
        StreamPlan::default()
    }

    fn key(&self) -> Vec<usize> {
        self.0.clone()
    }

    fn limits(&self) -> Limits {
        Limits {
            max_records: 500,
            max_bytes: 8 << 20,
            max_age: Duration::from_secs(10),
        }
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        Ok(Outcome {
            sent: batch.len() as u64,
            ..Outcome::default()
        })
    }

    fn preview(&self, _: &Batch) -> Vec<String> {
        Vec::new()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument.starts_with('-')) {
        return target::main::<Nowhere>();
    }
    let records = arguments.first().and_then(|count| count.parse().ok());
    match measure(records.unwrap_or(500_000)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(records: u64) -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("read-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure_in(&folder, records);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure_in(folder: &Path, records: u64) -> io::Result<()> {
    let input = folder.join("input.jsonl");
    let config = folder.join("config.json");
    std::fs::write(&config, "{}")?;
    write_messages(&input, records)?;
    let bytes = std::fs::metadata(&input)?.len();
    let mut cat = Command::new("cat");
    cat.arg(&input);
    let mut own = Command::new(std::env::current_exe()?);
    own.arg("--quiet").arg("--config").arg(&config);
    own.arg("--input").arg(&input).args(["--progress", "never"]);
    for (name, command) in [("cat", &mut cat), ("read", &mut own)] {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let began = Instant::now();
            let status = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            if !status.success() {
                return Err(io::Error::other(format!("{name} ended with {status}")));
            }
            best = best.min(began.elapsed().as_secs_f64());
        }
        let (rate, megabytes) = (records as f64 / best, bytes as f64 / best / 1e6);
        writeln!(
            io::stderr(),
            "{name}: {rate:.0} records/s, {megabytes:.0} MB/s"
        )?;
    }
    Ok(())
}

fn write_messages(path: &PathBuf, records: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    write!(
        out,
        r#"{{"type":"SCHEMA","stream":"dev.public.account","key_properties":["account_id"],"schema":{{"type":"object","properties":{{"account_id":{{"type":["string"]}}"#
    )?;
    for column in 0..19 {
        let definition = match column % 5 {
            0 => r#"{"type":["null","integer"]}"#,
            1 => r#"{"type":["null","string"],"format":"date-time"}"#,
            2 => r#"{"type":["null","number"]}"#,
            3 => r#"{"type":["null","boolean"]}"#,
            _ => r#"{"type":["null","string"]}"#,
        };
        write!(out, r#","some_column_{column}":{definition}"#)?;
    }
    writeln!(out, "}}}}}}")?;
    for record in 0..records {
        write!(
            out,
            r#"{{"type":"RECORD","stream":"dev.public.account","time_extracted":"2026-03-01T06:00:00.000000Z","record":{{"account_id":"6f1ed002-ab59-5595-8a21-{record:012x}""#
        )?;
        for column in 0..19u64 {
            write!(out, r#","some_column_{column}":"#)?;
            match column % 5 {
                0 => write!(out, "{}", record * column)?,
                1 => write!(out, "\"2026-02-28T23:10:{:02}Z\"", record % 60)?,
                2 => write!(out, "{}.{:04}", record, column * 7)?,
                3 => write!(out, "{}", if record % 3 == 0 { "null" } else { "true" })?,
                _ => write!(
                    out,
                    "\"A text of some length with \\\"quotes\\\" and ünïcode, number {record}, made for column {column}\""
                )?,
            }
        }
        writeln!(out, "}}}}")?;
        if record % 10_000 == 9_999 {
            writeln!(
                out,
                r#"{{"type":"STATE","value":{{"bookmarks":{{"n":{record}}}}}}}"#
            )?;
        }
    }
    out.flush()
}
