//! What the tests share: configs, streams and batches of a few words, and a CRM of a few lines.

use std::collections::VecDeque;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_runtime::context::Context;
use singer_runtime::target::{Batch, Problem, Stream, Target, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zoho::archive::{self, Bounds};
use zoho::crm::Field;

use crate::Crm;
use crate::config::{Chosen, Config, StreamConfig};
use crate::shape::{Meeting, Shape};
use crate::stream::StreamWriter;

/// A config as the loader would build it.
pub(crate) fn config(base: &str, extra: Value) -> Config {
    let mut config = json!({
        "client_id": "1000.X", "client_secret": "the-secret", "refresh_token": "the-token",
        "data_center": "us", "accounts_url": base, "api_url": base, "token_cache_path": "none",
        "environment": "production", "min_credits": 0, "patience_seconds": 5, "job_timeout_seconds": 20,
        "batch_bytes": 6 << 20, "journal_path": "none", "unresolved_inserts": "stop",
        "attempts": 2, "request_timeout_seconds": 5,
    });
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

/// A stream `Contacts` with these properties and the key `Email`.
pub(crate) fn stream(properties: &Value) -> Arc<Stream> {
    keyed(properties, r#"["Email"]"#)
}

/// A stream `Contacts` with these properties and this key.
pub(crate) fn keyed(properties: &Value, key: &str) -> Arc<Stream> {
    let schema = json!({ "properties": properties }).to_string();
    Arc::new(Stream {
        name: "Contacts".to_owned(),
        schema: singer_core::schema::Schema::new(&schema, Some(key), None).unwrap(),
        guessed: false,
    })
}

/// A batch of records that are told apart by nothing.
pub(crate) fn batch(stream: &Arc<Stream>, records: &[&str]) -> Arc<Batch> {
    Arc::new(Batch::from_records(Arc::clone(stream), &[], records).unwrap())
}

/// The fields of the module `Contacts`.
pub(crate) fn fields() -> Vec<Value> {
    let field = |name: &str, kind: &str, more: Value| {
        let mut field = json!({"api_name": name, "data_type": kind});
        for (key, value) in more.as_object().unwrap() {
            field[key] = value.clone();
        }
        field
    };
    let values = json!([
        {"actual_value": "Web", "display_value": "Netz"}, {"actual_value": "Phone", "display_value": "Telefon"},
    ]);
    vec![
        field(
            "Email",
            "email",
            json!({"length": 100, "unique": {"casesensitive": ""}}),
        ),
        field(
            "Last_Name",
            "text",
            json!({"length": 8, "system_mandatory": true}),
        ),
        field("Fax", "phone", json!({"length": 30})),
        field(
            "Lead_Source",
            "picklist",
            json!({"pick_list_values": values}),
        ),
        field(
            "Hobbies",
            "multiselectpicklist",
            json!({"pick_list_values": values}),
        ),
        field("Visits", "integer", json!({"length": 9})),
        field("Score", "double", json!({})),
        field("Opt_Out", "boolean", json!({})),
        field("Birthday", "date", json!({})),
        field("Last_Call", "datetime", json!({})),
        field(
            "Account_Name",
            "lookup",
            json!({"lookup": {"module": "Accounts"}}),
        ),
        field("Owner", "ownerlookup", json!({})),
        field("Full_Name", "formula", json!({})),
        field("Created_Time", "datetime", json!({"read_only": true})),
        field(
            "Fixed",
            "text",
            json!({"operation_type": {"api_create": true, "api_update": false}}),
        ),
        field("Lines", "subform", json!({})),
        field("Deleted", "boolean", json!({})),
    ]
}

/// The shape of a stream that meets these fields.
pub(crate) fn shape(stream: &Stream, settings: Value) -> Result<Shape, Vec<Problem>> {
    let chosen: StreamConfig = serde_json::from_value(settings).unwrap();
    let fields: Vec<Field> = fields().iter().filter_map(Field::of).collect();
    Shape::new(Meeting {
        stream,
        chosen: &Chosen::new(chosen),
        module: "Contacts",
        fields: &fields,
        zone: Some(chrono_tz::Europe::Oslo),
    })
}

/// A folder that is gone after the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bulkwrite-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What a test's CRM answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body.
    Answer(u16, Value),
    /// A status, a type and a body.
    Text(u16, &'static str, &'static str),
    /// A result: this table in a zip.
    Zip(String),
    /// What the service would answer.
    Usual,
    /// The service acts, and the connection ends without a word.
    ActAndDrop,
    /// The connection ends without a word.
    Drop,
}

/// An error with this code.
pub(crate) fn error(status: u16, code: &str) -> Reply {
    Reply::Answer(
        status,
        json!({"status": "error", "code": code, "message": "no", "details": {}}),
    )
}

/// Job details: a status and counts of added, updated, skipped and all rows.
pub(crate) fn details(status: &str, counts: [u64; 4]) -> Reply {
    Reply::Answer(200, job(status, counts))
}

fn job(status: &str, [added, updated, skipped, total]: [u64; 4]) -> Value {
    json!({
        "id": "1", "status": status, "result": {"download_url": "/v8/crm/org55/bulk-write/1/1.zip"},
        "resource": [{"status": status, "code": "SUCCESS", "file": {
            "added_count": added, "updated_count": updated, "skipped_count": skipped, "total_count": total,
        }}],
    })
}

/// Answers by the beginning of a line: each of a list in turn, the last again and again.
pub(crate) type Script = Vec<(&'static str, Vec<Reply>)>;

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and path, without the query.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The table in the zip in the body.
    pub(crate) fn csv(&self) -> String {
        let mark = b"application/zip\r\n\r\n";
        let begin = memchr::memmem::find(&self.body, mark).unwrap() + mark.len();
        let end = memchr::memmem::rfind(&self.body, b"\r\n--antiphon").unwrap();
        unzipped(self.body.get(begin..end).unwrap())
    }

    /// The JSON in the body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn unzipped(zip: &[u8]) -> String {
    let folder = Folder::new();
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(folder.file("zip"))
        .unwrap();
    file.write_all(zip).unwrap();
    file.rewind().unwrap();
    let bounds = Bounds {
        max_entries: 1,
        max_bytes: 1 << 30,
        max_ratio: 10_000,
    };
    let mut text = String::new();
    archive::open(file, ".csv", bounds)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn zipped(text: &str) -> Vec<u8> {
    let mut writer = archive::Writer::start(Vec::new(), "Contacts-x.csv", 1).unwrap();
    writer.write(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// A CRM on a port of its own, with the module `Contacts`, which adds every row.
pub(crate) struct Server {
    pub(crate) base: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// Answers by the beginning of a line: each of a list in turn, the last again and again.
    script: Vec<(&'static str, VecDeque<Reply>)>,
    /// The tables of uploads.
    uploads: Vec<String>,
    /// The uploads of jobs.
    jobs: Vec<usize>,
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            script: script
                .into_iter()
                .map(|(line, replies)| (line, replies.into()))
                .collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(socket, &state).await });
            }
        });
        Self { base, state }
    }

    /// What came in so far whose line begins so.
    pub(crate) fn seen(&self, line: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        let seen = state.seen.iter();
        seen.filter(|seen| seen.line.starts_with(line))
            .cloned()
            .collect()
    }

    /// The tables that came in.
    pub(crate) fn tables(&self) -> Vec<String> {
        self.state.lock().unwrap().uploads.clone()
    }

    /// The requests for jobs that came in.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let seen = self.seen("POST /crm/bulk/v8/write");
        seen.iter().map(Seen::json).collect()
    }

    /// A target that talks to this server; `extra` overrides its config.
    pub(crate) async fn target(&self, extra: Value) -> Crm {
        Crm::connect(
            config(&self.base, extra),
            Context::for_tests("target-crm-bulkwrite"),
        )
        .await
        .unwrap()
    }

    /// The writer of a stream with these settings, not yet prepared.
    pub(crate) async fn writer(
        &self,
        stream: &Arc<Stream>,
        settings: Value,
        mut extra: Value,
    ) -> StreamWriter {
        extra["streams"] = json!({"Contacts": settings});
        let target = self.target(extra).await;
        let writer = target.open(Arc::clone(stream)).await.unwrap();
        assert_eq!(writer.plan().problems, []);
        writer
    }
}

fn usual(line: &str, body: &[u8], state: &mut State) -> Reply {
    let (path, _) = line.split_once('?').unwrap_or((line, ""));
    match path {
        "POST /oauth/v2/token" => Reply::Answer(
            200,
            json!({"access_token": "t", "expires_in": 3600, "api_domain": "https://www.zohoapis.com"}),
        ),
        "GET /crm/v8/org" => Reply::Answer(
            200,
            json!({"org": [{"zgid": "55", "time_zone": "Europe/Oslo"}]}),
        ),
        "GET /crm/v8/settings/modules/Contacts" => Reply::Answer(
            200,
            json!({"modules": [{"api_name": "Contacts", "api_supported": true, "creatable": true, "editable": true}]}),
        ),
        "GET /crm/v8/settings/fields" => Reply::Answer(200, json!({"fields": fields()})),
        "POST /crm/v8/upload" => {
            let seen = Seen {
                line: String::new(),
                head: String::new(),
                body: body.to_vec(),
            };
            state.uploads.push(seen.csv());
            let id = format!("{}", 100 + state.uploads.len());
            Reply::Answer(
                200,
                json!({"status": "success", "code": "FILE_UPLOAD_SUCCESS", "details": {"file_id": id}}),
            )
        }
        "POST /crm/bulk/v8/write" => {
            state.jobs.push(state.uploads.len() - 1);
            let id = state.jobs.len().to_string();
            Reply::Answer(
                201,
                json!({"status": "success", "code": "SUCCESS", "details": {"id": id}}),
            )
        }
        "POST /crm/v8/coql" => Reply::Answer(200, json!({"data": []})),
        _ => usual_job(path, state),
    }
}

/// What became of a job: every row was added.
fn usual_job(path: &str, state: &State) -> Reply {
    let id = path.rsplit('/').next().unwrap().trim_end_matches(".zip");
    let job_place = id.parse::<usize>().unwrap_or_default().wrapping_sub(1);
    let Some(table) = state
        .jobs
        .get(job_place)
        .and_then(|upload| state.uploads.get(*upload))
    else {
        return error(404, "RESOURCE_NOT_FOUND");
    };
    let mut lines = table.lines();
    let header = first_three(lines.next().unwrap());
    let rows: Vec<String> = lines.map(first_three).collect();
    if path.starts_with("GET /v8/crm/") {
        let mut csv = format!("{header},STATUS,RECORD_ID,ERRORS\n");
        for row in rows {
            csv.push_str(&format!("{row},ADDED,1,\n"));
        }
        return Reply::Zip(csv);
    }
    let count = rows.len() as u64;
    let mut details = job("COMPLETED", [count, 0, 0, count]);
    details["result"]["download_url"] = json!(format!("/v8/crm/org55/bulk-write/{id}/{id}.zip"));
    Reply::Answer(200, details)
}

fn first_three(line: &str) -> String {
    let cells: Vec<&str> = line.split(',').take(3).collect();
    cells.join(",")
}

async fn serve(mut socket: TcpStream, state: &Mutex<State>) {
    let mut bytes = Vec::new();
    while let Some(seen) = read(&mut socket, &mut bytes).await {
        let reply = {
            let mut state = state.lock().unwrap();
            let line = seen.line.clone();
            let body = seen.body.clone();
            state.seen.push(seen);
            let found = state
                .script
                .iter_mut()
                .find(|(start, _)| line.starts_with(start));
            let scripted = found.and_then(|(_, replies)| match replies.len() {
                0 | 1 => replies.front().cloned(),
                _ => replies.pop_front(),
            });
            match scripted {
                None | Some(Reply::Usual) => usual(&line, &body, &mut state),
                Some(Reply::ActAndDrop) => {
                    usual(&line, &body, &mut state);
                    Reply::Drop
                }
                Some(reply) => reply,
            }
        };
        let (status, kind, body) = match reply {
            Reply::Answer(status, body) => {
                (status, "application/json", body.to_string().into_bytes())
            }
            Reply::Text(status, kind, body) => (status, kind, body.as_bytes().to_vec()),
            Reply::Zip(csv) => (200, "application/zip", zipped(&csv)),
            Reply::Usual | Reply::ActAndDrop | Reply::Drop => return,
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = head.into_bytes();
        answer.extend_from_slice(&body);
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Seen> {
    let mut chunk = vec![0; 65536];
    loop {
        if let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap()).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let rest = bytes.split_off(end + 4);
                bytes.clear();
                let line = head.lines().next().unwrap();
                let line = line.trim_end_matches(" HTTP/1.1").to_owned();
                return Some(Seen {
                    line,
                    head,
                    body: rest,
                });
            }
        }
        match socket.read(&mut chunk).await {
            Ok(count @ 1..) => bytes.extend_from_slice(chunk.get(..count).unwrap()),
            _ => return None,
        }
    }
}
