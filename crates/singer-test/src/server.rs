//! An HTTP server of a few lines, which answers what a test says and keeps what came. It knows no service: what
//! one is like stays with the tests that play it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The head of an answer whose body is JSON.
const JSON: &str = "content-type: application/json\r\n";

/// What came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and path, with the query.
    pub line: String,
    /// All before the body, as it came.
    pub head: String,
    /// The body as text.
    pub body: String,
}

impl Seen {
    /// The fields of a form in the body.
    pub fn form(&self) -> HashMap<String, String> {
        let fields = self.body.split('&').filter(|field| !field.is_empty());
        fields
            .map(|field| {
                let (name, value) = field.split_once('=').unwrap_or((field, ""));
                (decode(name), decode(value))
            })
            .collect()
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status, headers (each with its line end), a body.
    Answer(u16, &'static str, String),
    /// These bytes, and the end of the connection.
    Raw(Cow<'static, [u8]>),
    /// The connection ends without a word.
    Drop,
}

/// Two hundred with a JSON body.
pub fn ok(body: &Value) -> Reply {
    json(200, body)
}

/// Any status with a JSON body.
pub fn json(status: u16, body: &Value) -> Reply {
    Reply::Answer(status, JSON, body.to_string())
}

/// A server on a port of its own; it ends with the runtime that it was started in.
#[derive(Debug)]
pub struct Server {
    /// Scheme, host and port.
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Answering = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

impl Server {
    /// Answers each request with what `answer` makes of it and of its number, from 0.
    pub async fn start(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answer: Arc<Answering> = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a listener accepts");
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move { serve(socket, &log, &*answer).await });
            }
        });
        Server {
            base: format!("http://{address}"),
            seen,
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// The host and port.
    pub fn host(&self) -> String {
        self.base.replace("http://", "")
    }

    /// What came in so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no thread panicked").clone()
    }

    /// How much came in so far.
    pub fn count(&self) -> usize {
        self.seen.lock().expect("no thread panicked").len()
    }

    /// Method and path of what came in so far.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn serve(mut socket: TcpStream, log: &Mutex<Vec<Seen>>, answer: &Answering) {
    while let Some(seen) = read(&mut socket).await {
        let number = {
            let mut log = log.lock().expect("no thread panicked");
            log.push(seen.clone());
            log.len() - 1
        };
        let (reply, is_last) = match answer(number, &seen) {
            Reply::Answer(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{headers}");
                let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                (whole.into_bytes(), false)
            }
            Reply::Raw(bytes) => (bytes.into_owned(), true),
            Reply::Drop => return,
        };
        if socket.write_all(&reply).await.is_err() || is_last {
            return;
        }
    }
}

/// The next request, or nothing once the client is gone.
async fn read(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 65536];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        fill(socket, &mut bytes, &mut chunk).await?;
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a length is a number"));
    while body.len() < length {
        fill(socket, &mut body, &mut chunk).await?;
    }
    assert_eq!(body.len(), length, "no pipelining");
    let line = head.lines().next().unwrap_or_default();
    Some(Seen {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        head,
    })
}

/// Reads on, or says nothing once there is no more.
async fn fill(socket: &mut TcpStream, bytes: &mut Vec<u8>, chunk: &mut [u8]) -> Option<()> {
    let count = socket.read(chunk).await.ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(chunk.get(..count)?);
    Some(())
}

/// A name or value of a form, as it was before it was encoded.
fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let digit = |bytes: &mut std::str::Bytes<'_>| {
        let digit = bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        digit.expect("a percent sign comes before two digits")
    };
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => (digit(&mut bytes) * 16 + digit(&mut bytes)) as u8,
            byte => byte,
        });
    }
    String::from_utf8(decoded).expect("a form is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::wait;

    /// What a client of these bytes gets until the line is closed, if they come one by one.
    async fn ask(server: &Server, request: &str) -> String {
        let mut socket = TcpStream::connect(server.host()).await.unwrap();
        for byte in request.bytes() {
            socket.write_all(&[byte]).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn requests_are_kept_and_answered_in_turn() {
        let (server, answers) = wait(async {
            let server = Server::start(|number, _| match number {
                0 => json(201, &serde_json::json!({"a": 1})),
                1 => Reply::Raw(b"HTTP/1.1 200 OK\r\n".into()),
                _ => Reply::Drop,
            })
            .await;
            let mut answers = Vec::new();
            for request in [
                "POST /x?y=1 HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nä=%C3%A4",
                "GET /z HTTP/1.1\r\n\r\n",
                "GET / HTTP/1.1\r\n\r\n",
            ] {
                answers.push(ask(&server, request).await);
            }
            (server, answers)
        });
        assert_eq!(
            answers,
            [
                "HTTP/1.1 201 X\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
                "HTTP/1.1 200 OK\r\n",
                "",
            ]
        );
        assert_eq!(server.lines(), ["POST /x?y=1", "GET /z", "GET /"]);
        let seen = server.seen().remove(0);
        assert_eq!(
            seen.head,
            "POST /x?y=1 HTTP/1.1\r\nhost: h\r\ncontent-length: 9"
        );
        assert_eq!(seen.form()["ä"], "ä");
        assert_eq!(server.count(), 3);
    }

    #[test]
    fn a_form_is_decoded() {
        let seen = Seen {
            line: String::new(),
            head: String::new(),
            body: "a=1+2%2B3&b=&c&%C3%A4=%26%3d".to_owned(),
        };
        let form = seen.form();
        let wanted = [("a", "1 2+3"), ("b", ""), ("c", ""), ("ä", "&=")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form, HashMap::from(wanted));
    }
}
