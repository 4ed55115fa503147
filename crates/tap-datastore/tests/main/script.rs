//! A service of a few lines, whose answers a test writes down itself, in whatever shape.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use singer_test::bin::Run;
use singer_test::folder::Folder;

/// What was asked for.
pub(crate) struct Asked {
    /// Method and path below the project, with the query: `GET /table`.
    pub(crate) line: String,
    pub(crate) body: Value,
}

/// Status, content type, body.
pub(crate) type Answer = (u16, &'static str, Vec<u8>);

/// An answer of JSON.
pub(crate) fn says(status: u16, value: &Value) -> Answer {
    let kind = "application/vnd.catalyst.v2+json;charset=UTF-8";
    (status, kind, value.to_string().into_bytes())
}

/// An answer of success.
pub(crate) fn data(value: &Value) -> Answer {
    says(200, &json!({"status": "success", "data": value}))
}

/// A refusal.
pub(crate) fn refuses(status: u16, code: &str) -> Answer {
    let why = json!({"error_code": code, "message": "no"});
    says(status, &json!({"status": "failure", "data": why}))
}

/// A running service.
pub(crate) struct Script {
    url: String,
    lines: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: Folder,
}

impl Script {
    /// Answers as the function says; it hands out tokens by itself.
    pub(crate) fn of(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that is gone is no affair of the script.
                let _gone = serve(stream, &kept, &answer);
            }
        });
        Script {
            url,
            lines,
            folder: Folder::new(),
        }
    }

    /// The requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no thread panicked").clone()
    }

    /// A run with these changes to the config.
    pub(crate) fn run(&self, changes: Value) -> Run {
        let mut config = json!({
            "client_id": "c", "client_secret": "s", "refresh_token": "r",
            "token_cache_path": "none", "accounts_url": self.url, "api_url": self.url,
            "project_id": "7", "time_zone": "UTC", "attempts": 1,
            "work_folder": self.folder.path(), "deletions_path": self.folder.file("rowids"),
        });
        if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
            config.extend(changes);
        }
        Run::of("tap-datastore")
            .arg("--config")
            .arg(self.folder.write_json("config.json", &config))
            .folder(self.folder.path())
    }
}

fn serve(
    mut stream: TcpStream,
    lines: &Mutex<Vec<String>>,
    answer: impl Fn(&Asked) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
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
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = first.rsplit_once(' ').map_or("", |(line, _)| line);
    let asked = Asked {
        line: line.replace("/baas/v1/project/7", ""),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let (status, kind, body) = if asked.line.contains("/oauth/") {
        says(200, &json!({"access_token": "t", "expires_in": "3600"}))
    } else {
        lines
            .lock()
            .expect("no thread panicked")
            .push(asked.line.clone());
        answer(&asked)
    };
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// An archive with one file that is not compressed.
pub(crate) fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let sum = !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    });
    let (length, name_length) = (bytes.len() as u32, name.len() as u16);
    let about = |out: &mut Vec<u8>| {
        out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        for number in [sum, length, length] {
            out.extend(number.to_le_bytes());
        }
        out.extend(name_length.to_le_bytes());
        out.extend([0, 0]);
    };
    let mut out = b"PK\x03\x04".to_vec();
    about(&mut out);
    out.extend(name.bytes());
    out.extend(bytes);
    let begin = out.len() as u32;
    out.extend(b"PK\x01\x02\x14\x00");
    about(&mut out);
    out.extend([0; 14]);
    out.extend(name.bytes());
    let directory = out.len() as u32 - begin;
    out.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    out.extend(directory.to_le_bytes());
    out.extend(begin.to_le_bytes());
    out.extend([0, 0]);
    out
}
