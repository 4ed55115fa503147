//! Whole runs against a destination in memory that does what a test tells it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::cli::TargetArguments;
use crate::context::{Context, DryRun};
use crate::exit::Ended;
use crate::monitor::Progress;
use crate::setting::{Setting, Settings};
use crate::target::entry::Job;
use crate::target::options::Options;
use crate::target::tests::Folder;
use crate::target::{
    Batch, Limits, Outcome, Problem, Refusal, Replaces, Stream, StreamPlan, Verdict, Writer,
};
use messages::{activate, feed, printed, record, schema, schema_of, state, versioned};

mod failures;
mod inputs;
mod messages;
mod order;
mod rejected;
mod replacing;
mod schemas;

/// What one write leads to.
#[derive(Clone)]
enum Answer {
    Taken,
    /// Rows whose `id` is listed are refused so.
    Refused(Vec<u64>, Verdict),
    Failed(Kind),
    Panic,
}

/// What a test tells the destination to do.
type Told<Of, Answer> = Box<dyn Fn(&Of) -> Answer + Send + Sync>;

/// The destination of one test.
struct World {
    /// What happened, in order.
    log: Mutex<Vec<String>>,
    answer: Told<Batch, Answer>,
    problems: Told<Stream, Vec<Problem>>,
    open_error: Option<Kind>,
    /// The first sync fails.
    sync_fails_once: AtomicBool,
    /// Writes wait for permits.
    gate: Semaphore,
    limits: Limits,
    replaces: Replaces,
    cuts_at_states: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            answer: Box::new(|_| Answer::Taken),
            problems: Box::new(|_| Vec::new()),
            open_error: None,
            sync_fails_once: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            limits: Limits {
                max_records: 2,
                max_bytes: 1 << 20,
                max_age: Duration::from_secs(3600),
            },
            replaces: Replaces::Nothing,
            cuts_at_states: false,
        }
    }
}

impl World {
    fn say(&self, what: String) {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    fn log(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The rows that were written, as `stream id…` a batch.
    fn writes(&self) -> Vec<String> {
        let log = self.log();
        let writes = log.iter().filter_map(|line| line.strip_prefix("write "));
        writes.map(str::to_owned).collect()
    }
}

static WORLDS: Mutex<Option<HashMap<u64, Arc<World>>>> = Mutex::new(None);
static NEXT_WORLD: AtomicU64 = AtomicU64::new(0);

#[derive(serde::Deserialize)]
struct Config {
    world: u64,
}

impl Settings for Config {
    fn settings() -> Vec<Setting> {
        vec![Setting::integer("world")]
    }
}

struct Fake(Arc<World>);

struct FakeWriter {
    world: Arc<World>,
    stream: Arc<Stream>,
    problems: Vec<Problem>,
}

impl Target for Fake {
    const NAME: &'static str = "target-fake";
    const DESCRIPTION: &'static str = "A destination in memory.";
    type Config = Config;
    type Writer = FakeWriter;

    async fn connect(config: Config, _: Context) -> anyhow::Result<Self> {
        let worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self(Arc::clone(&worlds.as_ref().unwrap()[&config.world])))
    }

    async fn check(&self) -> anyhow::Result<String> {
        Ok("it is there".to_owned())
    }

    async fn open(&self, stream: Arc<Stream>) -> anyhow::Result<FakeWriter> {
        let names: Vec<&str> = stream.schema.layout().names().collect();
        self.0
            .say(format!("open {} {}", stream.name, names.join(",")));
        if let Some(kind) = self.0.open_error {
            return Err(Error::new(kind, "cannot open").into());
        }
        Ok(FakeWriter {
            problems: (self.0.problems)(&stream),
            world: Arc::clone(&self.0),
            stream,
        })
    }

    async fn sync(&self, _: u64, _: &str) -> anyhow::Result<()> {
        self.0.say("sync".to_owned());
        if self.0.sync_fails_once.swap(false, Ordering::Relaxed) {
            // Not before the next batch is on its way: nothing is read after the failure.
            until(|| self.0.log().iter().any(|line| line == "begin a 3 4")).await;
            anyhow::bail!("the memory cannot be written");
        }
        Ok(())
    }
}

impl Writer for FakeWriter {
    fn plan(&self) -> StreamPlan {
        StreamPlan {
            destination: "memory".to_owned(),
            creates: vec!["a table".to_owned()],
            notes: vec!["a note".to_owned()],
            problems: self.problems.clone(),
            cost: None,
        }
    }

    fn key(&self) -> Vec<usize> {
        let schema = &self.stream.schema;
        let place = |name: &String| schema.layout().index(name);
        schema.key_properties().iter().filter_map(place).collect()
    }

    fn limits(&self) -> Limits {
        self.world.limits
    }

    fn replaces(&self) -> Replaces {
        self.world.replaces
    }

    fn cuts_at_states(&self) -> bool {
        self.world.cuts_at_states
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.world.say(format!("prepare {}", self.stream.name));
        Ok(())
    }

    async fn write(&self, batch: Arc<Batch>) -> anyhow::Result<Outcome> {
        let ids: Vec<String> = batch
            .records()
            .map(|record| id_of(record).to_string())
            .collect();
        let batch_text = format!("{} {}", self.stream.name, ids.join(" "));
        self.world.say(format!("begin {batch_text}"));
        self.world.gate.acquire().await?.forget();
        let mut outcome = Outcome::default();
        match (self.world.answer)(&batch) {
            Answer::Taken => outcome.sent = batch.len() as u64,
            Answer::Refused(ids, verdict) => {
                for (index, record) in batch.records().enumerate() {
                    if ids.contains(&id_of(record)) {
                        outcome.refusals.push(Refusal {
                            index,
                            verdict,
                            code: Some("E7".to_owned()),
                            reason: "not wanted".to_owned(),
                        });
                    }
                }
                outcome.sent = (batch.len() - outcome.refusals.len()) as u64;
            }
            Answer::Failed(kind) => return Err(Error::new(kind, "the service said no").into()),
            Answer::Panic => panic!("a defect"),
        }
        self.world.say(format!("write {batch_text}"));
        Ok(outcome)
    }

    fn preview(&self, batch: &Batch) -> Vec<String> {
        vec![format!("PUT {} rows", batch.len())]
    }

    async fn activate_version(&self, version: i64, rows: Option<u64>) -> anyhow::Result<Outcome> {
        let rows = rows.unwrap_or_default();
        let name = &self.stream.name;
        self.world.say(format!("activate {name} {version} {rows}"));
        Ok(Outcome::default())
    }

    async fn close(&self) -> anyhow::Result<()> {
        self.world.say(format!("close {}", self.stream.name));
        Ok(())
    }
}

fn id_of(record: crate::target::Record<'_>) -> u64 {
    let id = record.field(0).map_or(&b"0"[..], |(_, text)| text);
    std::str::from_utf8(id).unwrap().parse().unwrap_or(0)
}

/// A run under test.
struct Trial {
    world: Arc<World>,
    folder: Folder,
    config: Value,
    arguments: TargetArguments,
    context: Context,
}

/// How it ended.
struct Verdictum {
    result: anyhow::Result<Ended>,
    /// The states that were printed.
    states: Vec<String>,
    /// The lines of the rejects file.
    rejects: Vec<Value>,
}

impl Verdictum {
    fn error(&self) -> String {
        exit::summary_line(self.result.as_ref().unwrap_err())
    }

    fn code(&self) -> u8 {
        match &self.result {
            Ok(Ended::Done) => 0,
            Ok(Ended::WithRejects) => 3,
            Err(error) => exit::code(error, Some(Reason::Terminate)),
        }
    }
}

impl Trial {
    fn new(world: World) -> Self {
        let number = NEXT_WORLD.fetch_add(1, Ordering::Relaxed);
        Self {
            world: Arc::new(world),
            folder: Folder::new(&format!("run-{number}")),
            config: json!({ "world": number }),
            arguments: TargetArguments::default(),
            context: Context::for_tests("target-fake"),
        }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn rejects_path(&self) -> PathBuf {
        self.folder.path("rejects.jsonl")
    }

    async fn run(&self, input: &str) -> Verdictum {
        self.run_on(Box::new(io::Cursor::new(input.to_owned())))
            .await
    }

    async fn run_on(&self, input: Box<dyn Read + Send>) -> Verdictum {
        let number = self.config["world"].as_u64().unwrap();
        WORLDS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_default()
            .insert(number, Arc::clone(&self.world));
        let mut options = Options::new("target-fake", 4, |key| self.config.get(key)).unwrap();
        options.rejects_path = self.rejects_path();
        let printed = Printed::default();
        let job = Job {
            options,
            arguments: TargetArguments {
                input: self.arguments.input.clone(),
                state_file: self.arguments.state_file.clone(),
                dry_run: self.arguments.dry_run,
            },
            progress: Progress::Never,
            input,
            out: Box::new(printed.clone()),
        };
        let run = job.run::<Fake>(Config { world: number }, self.context.clone());
        let result = tokio::time::timeout(Duration::from_secs(30), run)
            .await
            .expect("a run ends");
        let rejects = std::fs::read_to_string(self.rejects_path()).unwrap_or_default();
        Verdictum {
            result,
            states: printed.lines(),
            rejects: rejects
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        }
    }
}

/// What was printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never happened");
}
