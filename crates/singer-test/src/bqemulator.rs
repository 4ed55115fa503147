//! BigQuery as bqemulator plays it: REST and gRPC, each on a port of 127.0.0.1, DuckDB behind them. What
//! it holds is read by Google's own client for Python, so that nothing of ours judges itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

use crate::bin::{Run, Running, workspace};
use crate::python::{self, PATIENCE};

/// The project of everything that is made here.
pub const PROJECT: &str = "interop";

/// Serves until stdin ends, so that no server outlives the test that started it, however that dies.
/// Ports of 0 let the system choose; the server logs those it got. It has one connection to DuckDB and
/// some handlers on threads, where one takes the rows that another has asked for: here none is on a thread.
const SERVER: &str = "
import os, sys, threading
def watch():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
import fastapi.routing
async def at_once(handler, *args, **named):
    return handler(*args, **named)
fastapi.routing.run_in_threadpool = at_once
from bqemulator.cli import main
main(['start', '--ephemeral', '--rest-port', '0', '--grpc-port', '0', '--log-format', 'json', '--log-level', 'info'])
";

/// A server; dropping it ends it.
#[derive(Debug)]
pub struct BqEmulator {
    rest: String,
    grpc: String,
    process: Running,
    reader: Mutex<Reader>,
}

/// Google's client, in a process that answers a line with a line.
#[derive(Debug)]
struct Reader {
    process: Running,
    answers: usize,
}

/// A table as Google's client reads it.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What it is made of: `columns` (name, type, mode, fields), `partitioned_by`, `clustered_by`, `labels`.
    pub about: Value,
    /// Its rows, in no order.
    pub rows: Vec<Value>,
}

/// The one server of this process, for tests that have a data set each; none where there is no Python
/// for it.
pub fn shared() -> Option<&'static BqEmulator> {
    static SHARED: OnceLock<Option<BqEmulator>> = OnceLock::new();
    SHARED.get_or_init(BqEmulator::start).as_ref()
}

/// The Python of the environment in which the server and Google's client live; none where there is no
/// Python for it.
pub fn environment() -> Option<PathBuf> {
    python::environments(&["bigquery"])?.remove("bigquery")
}

/// A program of Python's in this environment; nothing leads to this machine's own credentials.
pub fn python(environment: &Path) -> Run {
    Run::program(environment.join("bin/python"))
        // Where `tests/interop/run` put DuckDB's extensions; a config of the server would be here, too.
        .env("HOME", environment.join("home"))
        .folder(environment.join("home"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .patience(PATIENCE)
}

impl BqEmulator {
    /// Starts a server and waits until it answers; none where there is no Python for it.
    pub fn start() -> Option<BqEmulator> {
        let environment = environment()?;
        let process = python(&environment)
            .args(["-c", SERVER])
            .held_stdin()
            .start();
        process.wait_for_log("grpc.listen");
        let log = process.stderr();
        let address = |event: &str| {
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut listening = lines.filter(|line| line["event"] == event);
            let line = listening.next().expect("the server logs where it listens");
            format!("http://127.0.0.1:{}", line["port"])
        };
        let (rest, grpc) = (address("rest.listen"), address("grpc.listen"));
        let reader = python(&environment)
            .arg(workspace().join("tests/interop/read_bigquery.py"))
            .args([rest.as_str(), PROJECT])
            // It is asked until the last test is done.
            .patience(PATIENCE * 4)
            .held_stdin()
            .start();
        Some(BqEmulator {
            rest,
            grpc,
            process,
            reader: Mutex::new(Reader {
                process: reader,
                answers: 0,
            }),
        })
    }

    /// What the config of a target needs to write into a data set here.
    pub fn target_config(&self, dataset: &str) -> Value {
        json!({
            "project": PROJECT,
            "dataset": dataset,
            "endpoint": self.rest,
            "grpc_endpoint": self.grpc,
            // It takes no gzip.
            "compression": "none",
        })
    }

    /// What the server logged so far: a line of JSON for each event.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// All tables of a data set.
    #[track_caller]
    pub fn tables(&self, dataset: &str) -> BTreeMap<String, Table> {
        let answer = {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.ask(dataset)
        };
        let mut answer: Value = serde_json::from_str(&answer).expect("the reader prints JSON");
        let Value::Object(tables) = answer["tables"].take() else {
            panic!(
                "`{dataset}` cannot be read: {}",
                answer["error"].as_str().unwrap_or_default()
            );
        };
        let table = |mut about: Value| {
            let rows = about["rows"].take();
            let rows = rows.as_array().cloned().unwrap_or_default();
            Table { about, rows }
        };
        tables
            .into_iter()
            .map(|(name, about)| (name, table(about)))
            .collect()
    }
}

impl Reader {
    fn ask(&mut self, question: &str) -> String {
        assert!(
            self.process.feed(format!("{question}\n")),
            "the reader has ended"
        );
        self.answers += 1;
        self.process.wait_for_lines(self.answers);
        let answers = String::from_utf8(self.process.stdout()).expect("the reader prints UTF-8");
        let answer = answers.lines().nth(self.answers - 1);
        answer.expect("a line for each question").to_owned()
    }
}

impl Table {
    /// The rows by an integer column, which must tell them apart.
    #[track_caller]
    pub fn by_integer(&self, column: &str) -> BTreeMap<i64, &Value> {
        let mut rows = BTreeMap::new();
        for row in &self.rows {
            let number = row[column].as_i64().expect("the column is an integer");
            assert!(
                rows.insert(number, row).is_none(),
                "{number} stands there twice"
            );
        }
        rows
    }

    /// The types of its columns by name, with `[]` behind those that are REPEATED.
    pub fn types(&self) -> BTreeMap<String, String> {
        let columns = self.about["columns"].as_array();
        columns
            .into_iter()
            .flatten()
            .map(|column| {
                let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
                let mark = if column["mode"] == "REPEATED" {
                    "[]"
                } else {
                    ""
                };
                (text("name"), format!("{}{mark}", text("type")))
            })
            .collect()
    }
}
