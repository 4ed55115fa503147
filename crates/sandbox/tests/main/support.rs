//! A plain HTTP/1.1 client over a socket: it shows what a client sees on the wire, half answers and
//! resets included, which a real client library hides.

use std::io;
use std::time::Duration;

use sandbox::bigquery::BigQueryOptions;
use sandbox::pendo::PendoOptions;
use sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A sandbox with a client.
pub(crate) struct Trial {
    pub(crate) sandbox: Sandbox,
}

impl Trial {
    pub(crate) async fn start() -> Trial {
        Trial::with(|_| {}).await
    }

    /// Starts with changed settings of the Pendo stand-in.
    pub(crate) async fn with(change: impl FnOnce(&mut PendoOptions)) -> Trial {
        let mut options = Options::default();
        change(&mut options.pendo);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// Starts with changed settings of the BigQuery stand-in.
    pub(crate) async fn with_bigquery(change: impl FnOnce(&mut BigQueryOptions)) -> Trial {
        let mut options = Options::default();
        change(&mut options.bigquery);
        Trial {
            sandbox: sandbox::start(options).await.unwrap(),
        }
    }

    /// A request to BigQuery's REST API, below the project `p`.
    pub(crate) async fn bigquery(&self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/bigquery/bigquery/v2/projects/p{path}");
        let headers = [("content-type", "application/json")];
        self.send(method, &path, &headers, text.as_bytes())
            .await
            .unwrap()
    }

    /// A request to the Pendo API with the writing key.
    pub(crate) async fn pendo(&self, method: &str, path: &str, body: &str) -> Answer {
        self.pendo_with(method, path, body, "").await.unwrap()
    }

    /// The same with a header `x-sandbox-fault`.
    pub(crate) async fn pendo_with(
        &self,
        method: &str,
        path: &str,
        body: &str,
        faults: &str,
    ) -> io::Result<Answer> {
        let mut headers = vec![("x-pendo-integration-key", "sandbox-key")];
        if !faults.is_empty() {
            headers.push(("x-sandbox-fault", faults));
        }
        self.send(
            method,
            &format!("/pendo/api/v1{path}"),
            &headers,
            body.as_bytes(),
        )
        .await
    }

    /// A bulk call to the custom fields of the visitors.
    pub(crate) async fn bulk(&self, body: &str) -> Answer {
        self.pendo("POST", "/metadata/visitor/custom/value", body)
            .await
    }

    /// Any request, on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.sandbox.addr()).await?;
            let mut head =
                format!("{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            parse(&bytes)
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .expect("an answer in time")
    }
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = headers
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap();
    Ok(Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    })
}
