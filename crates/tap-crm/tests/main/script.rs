//! A CRM of a few lines with one module `Leads`, whose answers a test can replace one by one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::stream::{Cut, Messages};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and path with the query, without what every path begins with: `POST bulk/v8/read`.
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: Value,
    /// How often this line was asked before.
    pub(crate) times: usize,
}

/// Status, headers, body.
pub(crate) type Answer = (u16, String, Vec<u8>);

/// An answer of JSON.
pub(crate) fn says(status: u16, value: &Value) -> Answer {
    let kind = "content-type: application/json;charset=UTF-8";
    (status, kind.to_owned(), value.to_string().into_bytes())
}

/// A refusal.
pub(crate) fn refuses(status: u16, code: &str, details: &Value) -> Answer {
    says(
        status,
        &json!({"status": "error", "code": code, "message": "no", "details": details}),
    )
}

/// Nothing.
pub(crate) fn nothing() -> Answer {
    (204, String::new(), Vec::new())
}

/// A job that is done.
pub(crate) fn done(id: &str, count: usize, next: Option<&str>) -> Answer {
    says(
        200,
        &json!({"data": [{"id": id, "operation": "read", "state": "COMPLETED", "result": {
            "page": 1, "per_page": 200_000, "count": count, "more_records": next.is_some(),
            "download_url": format!("/crm/bulk/v8/read/{id}/result"), "next_page_token": next,
        }}]}),
    )
}

/// A file.
pub(crate) fn file(csv: &str) -> Answer {
    let kind = "content-type: application/zip";
    (200, kind.to_owned(), zip(&[("7.csv", csv.as_bytes())]))
}

/// What a test replaces.
type Replaced = dyn Fn(&Asked) -> Option<Answer> + Send;

/// The rows of a page: id, last name, time of the change.
pub(crate) type Rows = &'static [(&'static str, &'static str, &'static str)];

/// A running service.
pub(crate) struct Script {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) folder: Folder,
}

impl Script {
    /// A CRM with these pages of leads.
    pub(crate) fn of(
        pages: &'static [Rows],
        replaced: impl Fn(&Asked) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut service = Service {
                pages,
                jobs: BTreeMap::new(),
                asked: kept,
                replaced: Box::new(replaced),
            };
            for stream in listener.incoming().flatten() {
                // A client that is gone is no affair of the script.
                let _gone = service.serve(stream);
            }
        });
        Self {
            url,
            asked,
            folder: Folder::new(),
        }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread panicked").clone()
    }

    /// The requests so far whose line begins like this.
    pub(crate) fn asked_for(&self, begin: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.line.starts_with(begin));
        asked
    }

    /// A run with these changes to the config.
    pub(crate) fn run(&self, changes: &Value) -> Run {
        let mut config = json!({
            "client_id": "c", "client_secret": "s", "refresh_token": "r",
            "token_cache_path": "none", "accounts_url": self.url, "api_url": self.url,
            "attempts": 1, "failed_job_pause_seconds": 0, "patience_seconds": 2,
            "work_folder": self.folder.path(),
        });
        if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
            config.extend(changes.clone());
        }
        Run::of("tap-crm")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// A sync of the leads by a method, from a state.
    pub(crate) fn sync(&self, method: &str, changes: &Value, state: Option<&Value>) -> Finished {
        let catalog = json!({"streams": [{
            "tap_stream_id": "Leads", "stream": "Leads", "schema": {}, "metadata": [{"breadcrumb": [],
                "metadata": {"selected": true, "replication-method": method}}],
        }]});
        let mut run = self
            .run(changes)
            .arg("--catalog")
            .arg(self.folder.write_json("catalog.json", &catalog));
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(self.folder.write_json("state.json", state));
        }
        run.finish()
    }
}

/// The ids and names of the leads of a run.
pub(crate) fn leads(finished: &Finished) -> Vec<(String, Value)> {
    let messages = messages(finished);
    let records = messages.records("Leads").into_iter();
    records
        .map(|record| {
            let id = record["id"].as_str().expect("an id").to_owned();
            (id, record["Last_Name"].clone())
        })
        .collect()
}

pub(crate) fn messages(finished: &Finished) -> Messages {
    Messages::parse(&finished.stdout, Cut::Never)
}

/// Whether a run ends the version of its table.
pub(crate) fn activates(finished: &Finished) -> bool {
    String::from_utf8_lossy(&finished.stdout).contains("ACTIVATE_VERSION")
}

pub(crate) fn last_state(finished: &Finished) -> Value {
    messages(finished)
        .last_state()
        .expect("a run with a state")
        .clone()
}

/// A bookmark of an incremental read.
pub(crate) fn bookmark(value: &str) -> Value {
    json!({"bookmarks": {"Leads": {"replication_key": "Modified_Time", "replication_key_value": value}}})
}

struct Service {
    pages: &'static [Rows],
    /// Fields and page by job.
    jobs: BTreeMap<String, (Vec<String>, usize)>,
    asked: Arc<Mutex<Vec<Asked>>>,
    replaced: Box<Replaced>,
}

impl Service {
    fn serve(&mut self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut headers, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            headers.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let line = first.rsplit_once(" HTTP").map_or("", |(line, _)| line);
        let line = line.replace("/crm/v8/", "").replace("/crm/", "");
        let (status, headers, body) = if line.contains("/oauth/") {
            says(200, &json!({"access_token": "t", "expires_in": 3600}))
        } else {
            let mut all = self.asked.lock().expect("no thread panicked");
            let asked = Asked {
                times: all.iter().filter(|asked| asked.line == line).count(),
                line,
                headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            all.push(asked.clone());
            drop(all);
            (self.replaced)(&asked).unwrap_or_else(|| self.answer(&asked))
        };
        write!(
            stream,
            "HTTP/1.1 {status} x\r\n{headers}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        let line = asked.line.as_str();
        if line == "POST bulk/v8/read" {
            return self.create(&asked.body["query"]);
        }
        if let Some(rest) = line.strip_prefix("GET bulk/v8/read/") {
            let (id, is_result) = match rest.split_once('/') {
                Some((id, _)) => (id, true),
                None => (rest, false),
            };
            let Some((fields, page)) = self.jobs.get(id) else {
                return refuses(404, "RESOURCE_NOT_FOUND", &json!({"resource": id}));
            };
            if is_result {
                return file(&csv(fields, self.pages[*page]));
            }
            let next = format!("{}:{}", page + 1, fields.join(","));
            let has_more = page + 1 < self.pages.len();
            return done(
                id,
                self.pages[*page].len(),
                has_more.then_some(next.as_str()),
            );
        }
        match line {
            "GET settings/modules" => says(
                200,
                &json!({"modules": [{"api_name": "Leads", "api_supported": true, "viewable": true}]}),
            ),
            "GET settings/fields?module=Leads&type=all" => says(
                200,
                &json!({"fields": [
                    {"api_name": "Last_Name", "data_type": "text"},
                    {"api_name": "Company", "data_type": "text"},
                    {"api_name": "Modified_Time", "data_type": "datetime"},
                ]}),
            ),
            "GET Leads/actions/count" => says(200, &json!({"count": 3})),
            _ => nothing(),
        }
    }

    fn create(&mut self, query: &Value) -> Answer {
        let id = (self.jobs.len() + 7).to_string();
        let job = match query["page_token"].as_str() {
            Some(token) => {
                let (page, fields) = token.split_once(':').expect("a token of ours");
                let fields = fields.split(',').map(str::to_owned).collect();
                (fields, page.parse().expect("a page"))
            }
            None => {
                let fields = query["fields"].as_array().expect("fields").iter();
                (
                    fields
                        .map(|field| field.as_str().expect("a name").to_owned())
                        .collect(),
                    0,
                )
            }
        };
        self.jobs.insert(id.clone(), job);
        says(
            201,
            &json!({"data": [{"status": "success", "code": "ADDED_SUCCESSFULLY", "message": "Added successfully.",
                "details": {"id": id, "operation": "read", "state": "ADDED"}}], "info": {}}),
        )
    }
}

fn csv(fields: &[String], rows: Rows) -> String {
    let others: Vec<&String> = fields.iter().filter(|field| *field != "id").collect();
    let mut csv = "Id".to_owned();
    for field in &others {
        csv.push_str(&format!(",{field}"));
    }
    csv.push('\n');
    for (id, name, time) in rows {
        csv.push_str(id);
        for field in &others {
            let cell = match field.as_str() {
                "Last_Name" => name,
                "Modified_Time" => time,
                _ => "",
            };
            csv.push_str(&format!(",\"{cell}\""));
        }
        csv.push('\n');
    }
    csv
}

/// An archive of files that are not compressed.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let sum = !bytes.iter().fold(!0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
            })
        });
        let begin = out.len() as u32;
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        for number in [sum, bytes.len() as u32, bytes.len() as u32] {
            about.extend(number.to_le_bytes());
        }
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&about);
        out.extend(name.bytes());
        out.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(begin.to_le_bytes());
        directory.extend(name.bytes());
    }
    let (begin, length) = (out.len() as u32, directory.len() as u32);
    let count = files.len() as u16;
    out.extend(directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(begin.to_le_bytes());
    out.extend([0, 0]);
    out
}
