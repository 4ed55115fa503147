//! A project whose store holds what a test says, and a server over it that is asked by plain HTTP.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};
use singer_test::bin::{Run, Running};
use singer_test::folder::Folder;
use singer_test::poll;

/// A project folder.
pub(crate) struct Project {
    pub(crate) folder: Folder,
}

impl Project {
    /// A project with these pipelines, none of which has run.
    pub(crate) fn new(pipelines: &[&str]) -> Self {
        let folder = Folder::new();
        let mut file = String::new();
        for name in pipelines {
            file.push_str(&format!(
                "[pipelines.{name}]\ntap = {{ exec = \"/opt/hidden/tap-x\", config = {{ password = \"hunter2\" }} }}\n\
                 target = {{ exec = \"target-y\" }}\nschedule = \"15 * * * *\"\n\n"
            ));
        }
        folder.write("antiphon.toml", file);
        fs::create_dir_all(folder.file(".antiphon")).unwrap();
        Self { folder }
    }

    /// Puts an object into the store.
    pub(crate) fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.store().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The folder of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.file(".antiphon")
    }

    /// A run that ended, on the given day of 2026-01; `change` is laid over its summary.
    pub(crate) fn run(&self, pipeline: &str, day: u32, outcome: &str, change: Value) -> String {
        let summary = Self::summary(pipeline, day, outcome, &change);
        let run = summary["run"].as_str().unwrap().to_owned();
        let folder = format!("pipelines/{pipeline}/runs/{run}");
        self.put(&format!("{folder}/summary.json"), summary.to_string());
        let log = "10:00:00 tap | INFO began\n10:01:01 tap | CRITICAL tap-x: it broke <b>\n";
        self.put(&format!("{folder}/log.txt"), log);
        run
    }

    /// The summary of such a run; the index takes it too, for it looks at fewer fields.
    pub(crate) fn summary(pipeline: &str, day: u32, outcome: &str, change: &Value) -> Value {
        let mut summary = json!({
            "run": format!("202601{day:02}T100000.000Z-1a"), "pipeline": pipeline, "kind": "sync",
            "host": "worker-3", "started_at": format!("2026-01-{day:02}T10:00:00Z"),
            "duration_seconds": 61.5, "outcome": outcome, "exit_code": 0, "attempts": 1,
            "fault": null, "warnings": [],
            "stages": [{"label": "tap", "exec": "/opt/hidden/tap-x", "ended": "exit code 0"}],
            "streams": {"public.account": {"records": 1234 + day, "sent": 1200}},
            "rejects": 0, "state_before": day - 1, "state_after": day,
        });
        for (key, value) in change.as_object().unwrap() {
            summary[key] = value.clone();
        }
        summary
    }

    /// A version of a state.
    pub(crate) fn state(&self, pipeline: &str, version: u64, state: &Value) {
        let value = json!({
            "version": version, "at": "2026-01-02T10:00:30Z", "run": null, "fence": 1,
            "cause": "printed", "state": state,
        });
        self.put(
            &format!("pipelines/{pipeline}/state/{version:08}.json"),
            value.to_string(),
        );
    }

    /// A run at work on another machine, under a lease that holds for long.
    pub(crate) fn running(&self, pipeline: &str, records: u64) -> String {
        let run = "20260109T100000.000Z-1a".to_owned();
        let live = json!({
            "run": run, "pipeline": pipeline, "host": "elsewhere", "started_at": "2026-01-09T10:00:00Z",
            "updated_at": "2026-01-09T10:00:02Z", "attempt": 1,
            "stages": [{"label": "tap", "exec": "/opt/hidden/tap-x", "pid": 7, "ended": null}],
            "streams": {"public.account": {"records": records}}, "rate": 512.4, "state": 3,
            "tail": ["tap | INFO page 1"],
        });
        self.put(&format!("pipelines/{pipeline}/live.json"), live.to_string());
        let lease = json!({
            "fence": 1, "lease_seconds": 86_400.0, "renewal": 1, "released": false,
            "holder": {"run": run, "host": "elsewhere", "pid": 7, "process": "boot/space/1",
                       "since": "2026-01-09T10:00:00Z", "group": null},
        });
        self.put(
            &format!("pipelines/{pipeline}/lock/00000001.json"),
            lease.to_string(),
        );
        run
    }

    /// `antiphon serve` here, not started yet.
    pub(crate) fn command(&self) -> Run {
        Run::of("antiphon").folder(self.folder.path()).arg("serve")
    }

    /// A server on a free port of the loopback.
    pub(crate) fn serve(&self) -> Server {
        Server::start(self.command().args(["--listen", "127.0.0.1:0"]))
    }
}

/// A server at work.
pub(crate) struct Server {
    pub(crate) program: Running,
    /// Address and port.
    pub(crate) address: String,
}

impl Server {
    /// Starts and waits until it says where it is.
    pub(crate) fn start(run: Run) -> Self {
        let program = run.start();
        program.wait_for_log("http://");
        let mut address = None;
        poll::until("the whole address is logged", || {
            let log = program.stderr();
            let rest = log.split("http://").nth(1).unwrap_or_default();
            address = rest.split_once('/').map(|(address, _)| address.to_owned());
            address.is_some()
        });
        Self {
            program,
            address: address.unwrap(),
        }
    }

    /// Asks with the headers that a browser sends.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("Accept", "text/html")], "")
    }

    /// Asks anything.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        let port = self.address.rsplit(':').next().unwrap();
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&String::from_utf8(bytes).unwrap())
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        });
        Self {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body from its heading on, for people.
    fn content(&self) -> &str {
        let start = self.body.find("<main").unwrap_or(0);
        let rest = self.body.get(start..).unwrap_or_default();
        rest.get(..6_000).unwrap_or(rest)
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.content());
        self
    }

    /// Fails the test unless the body has each of the texts.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.body.contains(text),
                "`{text}` is missing in\n{}",
                self.content()
            );
        }
        self
    }
}
