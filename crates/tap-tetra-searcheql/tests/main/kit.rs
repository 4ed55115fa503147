//! A platform of a few lines, with files that a test puts there, and faults that it asks for.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_test::bin::{Finished, Run};
use singer_test::folder::Folder;
use singer_test::runtime::wait;
use singer_test::server::{Reply, Seen, Server, json as answer, ok};
use singer_test::stream::{Cut, Messages};

/// The instant at which the files of [`Platform::of`] begin to be indexed, in milliseconds.
pub(crate) const START: i64 = 1_714_521_600_000;

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct FileThere {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) source: Value,
    pub(crate) content: String,
}

impl FileThere {
    /// A file with a version and a document.
    pub(crate) fn new(number: usize, at: i64) -> FileThere {
        let id = format!("{number:08}-0000-4000-8000-000000000000");
        FileThere {
            source: json!({"category": "IDS", "filePath": format!("runs/{number}.json"),
                "file": {"version": "1", "size": 20}, "idsVersion": "v1.0.0", "data": {"n": number}}),
            content: json!({"n": number, "cubes": [1.50, 2]}).to_string(),
            id,
            at,
        }
    }
}

/// Answers before the platform does.
pub(crate) type Fault = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// What the platform holds.
#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) files: Vec<FileThere>,
    fault: Option<Arc<Fault>>,
    base: String,
    /// Headers of the answers to searches.
    pub(crate) headers: Option<&'static str>,
}

/// A running platform, and a folder in which the tap runs.
pub(crate) struct Platform {
    pub(crate) server: Server,
    pub(crate) inside: Arc<Mutex<Inside>>,
    pub(crate) folder: Folder,
}

impl Platform {
    /// So many files, a second apart.
    pub(crate) fn of(files: usize) -> Platform {
        let files = (0..files).map(|number| FileThere::new(number, START + number as i64 * 1000));
        let inside = Arc::new(Mutex::new(Inside {
            files: files.collect(),
            ..Inside::default()
        }));
        let shared = Arc::clone(&inside);
        let server = wait(Server::start(move |_, seen| respond(&shared, seen)));
        inside.lock().expect("no test panicked").base = server.base.clone();
        Platform {
            server,
            inside,
            folder: Folder::new(),
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Inside)) {
        change(&mut self.inside.lock().expect("no test panicked"));
    }

    pub(crate) fn fault(&self, fault: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) {
        self.inside.lock().expect("no test panicked").fault = Some(Arc::new(fault));
    }

    /// A run with these changes to the config, and these to its stream `files`.
    pub(crate) fn run(&self, changes: Value, stream: Value) -> Run {
        let mut config = json!({
            "base_url": self.server.base, "auth_token": "token-1", "org_slug": "acme", "attempts": 3,
            "rate_limit_pause_seconds": 0.01, "page_size": 7,
            "streams": {"files": stream},
        });
        if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
            config.extend(changes);
        }
        Run::of("tap-tetra-searcheql")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }

    /// A sync of the stream `files`.
    pub(crate) fn sync(&self, changes: Value, stream: Value, state: Option<&Value>) -> Finished {
        let mut run = self.run(changes, stream).args(["--select", "files"]);
        if let Some(state) = state {
            run = run
                .arg("--state")
                .arg(self.folder.write_json("state.json", state));
        }
        run.finish()
    }

    /// The bodies of the searches of windows, in order.
    pub(crate) fn searches(&self) -> Vec<Value> {
        let seen = self.server.seen().into_iter();
        seen.filter(|seen| seen.line.contains("searchEql"))
            .map(|seen| serde_json::from_str(&seen.body).expect("a search is JSON"))
            .filter(|body: &Value| body.to_string().contains("\"range\""))
            .collect()
    }
}

pub(crate) fn messages(finished: &Finished) -> Messages {
    finished.expect_code(0);
    Messages::parse(&finished.stdout, Cut::Never)
}

/// The numbers of the files of a run, in order.
pub(crate) fn numbers(messages: &Messages) -> Vec<usize> {
    let records = messages.records("files").into_iter();
    records
        .map(|record| number(record["fileId"].as_str()))
        .collect()
}

/// The number of the file with an id.
pub(crate) fn number(id: Option<&str>) -> usize {
    let digits = id.and_then(|id| id.split('-').next());
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("an id of the kit")
}

fn respond(inside: &Mutex<Inside>, seen: &Seen) -> Reply {
    let fault = inside.lock().expect("no test panicked").fault.clone();
    if let Some(reply) = fault.and_then(|fault| fault(seen)) {
        return reply;
    }
    let inside = inside.lock().expect("no test panicked");
    let (method, path) = seen
        .line
        .split_once(' ')
        .expect("the tap asks in this form");
    let id = path
        .split_once("fileId=")
        .map(|(_, id)| id.split('&').next().expect("the tap asks in this form"));
    let not_found = || {
        answer(
            404,
            &json!({"statusCode": 404, "message": "File not found"}),
        )
    };
    let file = |id: &str| inside.files.iter().find(|file| file.id == id);
    match (
        method,
        path.split('?').next().expect("the tap asks in this form"),
    ) {
        ("POST", "/v1/datalake/searchEql") => search(
            &inside,
            &serde_json::from_str(&seen.body).expect("the tap asks in this form"),
        ),
        ("GET", "/v1/datalake/retrieve") => match id.and_then(file) {
            None => not_found(),
            Some(file) if path.contains("getPresigned=true") => {
                ok(&json!({"url": format!("{}/bucket/{}?X-Amz-Signature=s", inside.base, file.id)}))
            }
            Some(file) => Reply::Answer(
                200,
                "content-type: application/octet-stream\r\n",
                file.content.clone(),
            ),
        },
        ("GET", path) => match path.strip_prefix("/bucket/").and_then(file) {
            Some(file) => Reply::Answer(200, "", file.content.clone()),
            None => Reply::Answer(404, "", "<Error><Code>NoSuchKey</Code></Error>".to_owned()),
        },
        _ => not_found(),
    }
}

fn search(inside: &Inside, body: &Value) -> Reply {
    let mut found: Vec<(Value, &FileThere)> = (inside.files.iter())
        .filter(|file| matches(&body["query"], file))
        .map(|file| (json!([file.at, file.id]), file))
        .collect();
    let place = |file: &FileThere| (file.at, file.id.clone());
    found.sort_by_key(|(_, file)| place(file));
    if body["sort"][0]["indexedAt"] == "desc" {
        found.reverse();
    }
    let total = found.len();
    if let Some(after) = body["search_after"].as_array() {
        let after = (
            after[0].as_i64().expect("the tap asks in this form"),
            after[1]
                .as_str()
                .expect("the tap asks in this form")
                .to_owned(),
        );
        found.retain(|(_, file)| place(file) > after);
    }
    found.truncate(body["size"].as_u64().expect("the tap asks in this form") as usize);
    let hits: Vec<Value> = (found.into_iter())
        .map(|(sort, file)| {
            let mut source = file.source.clone();
            source["fileId"] = file.id.clone().into();
            source["indexedAt"] = instant(file.at).into();
            json!({"_id": file.id, "_source": source, "sort": sort})
        })
        .collect();
    let page = json!({"timed_out": false, "_shards": {"failed": 0}, "hits": {"total": total, "hits": hits}});
    match inside.headers {
        None => ok(&page),
        Some(headers) => Reply::Answer(200, headers, page.to_string()),
    }
}

fn matches(query: &Value, file: &FileThere) -> bool {
    let (clause, body) = query
        .as_object()
        .expect("the tap asks in this form")
        .iter()
        .next()
        .expect("the tap asks in this form");
    let all = |list: &Value| {
        list.as_array()
            .expect("the tap asks in this form")
            .iter()
            .all(|query| matches(query, file))
    };
    let any = |list: &Value| {
        list.as_array()
            .expect("the tap asks in this form")
            .iter()
            .any(|query| matches(query, file))
    };
    match clause.as_str() {
        "match_all" => true,
        "bool" => (body.get("filter").is_none_or(all)) && !(body.get("must_not").is_some_and(any)),
        "range" => {
            let bounds = &body["indexedAt"];
            let at = Value::from(instant(file.at));
            (bounds
                .get("gte")
                .is_none_or(|gte| at.as_str() >= gte.as_str()))
                && (bounds.get("lt").is_none_or(|lt| at.as_str() < lt.as_str()))
        }
        "terms" => body["fileId"]
            .as_array()
            .expect("the tap asks in this form")
            .contains(&file.id.clone().into()),
        "term" => {
            let (field, value) = body
                .as_object()
                .expect("the tap asks in this form")
                .iter()
                .next()
                .expect("the tap asks in this form");
            file.source[field] == *value
        }
        "prefix" => {
            let version = file.source["idsVersion"].as_str().unwrap_or_default();
            version.starts_with(
                body["idsVersion"]
                    .as_str()
                    .expect("the tap asks in this form"),
            )
        }
        "exists" => file
            .source
            .get(body["field"].as_str().expect("the tap asks in this form"))
            .is_some(),
        other => panic!("a query that no test needs: {other}"),
    }
}

/// An instant of May 2024, as the index has it.
fn instant(at: i64) -> String {
    let since = at - START;
    let (seconds, millis) = (since.div_euclid(1000), since.rem_euclid(1000));
    let (day, hour) = (1 + seconds / 86_400, seconds / 3600 % 24);
    format!(
        "2024-05-{day:02}T{hour:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 60 % 60,
        seconds % 60
    )
}
