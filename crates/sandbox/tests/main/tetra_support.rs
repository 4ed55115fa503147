//! A client of the Tetra Data Platform's stand-in, for its tests.

use std::io;

use sandbox::tetra::{Sample, TetraOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Trial, send_to};

/// The credentials that the stand-in knows at the start.
pub(crate) const HEADERS: [(&str, &str); 3] = [
    ("ts-auth-token", "sandbox-token"),
    ("x-org-slug", "acme"),
    ("content-type", "application/json"),
];

/// The path of a search.
pub(crate) const SEARCH: &str = "/tetra/v1/datalake/searchEql";

impl Trial {
    /// Starts with changed settings of the platform, the sample, and an index without delay.
    pub(crate) async fn with_tetra(change: impl FnOnce(&mut TetraOptions)) -> Trial {
        Trial::with_options(|options| {
            options.tetra.sample = Sample::Instruments;
            options.tetra.index_ms = 0;
            change(&mut options.tetra);
        })
        .await
    }

    /// A search with the usual credentials.
    pub(crate) async fn search(&self, body: &Value) -> Answer {
        self.search_at(SEARCH, body).await
    }

    /// The same with parameters.
    pub(crate) async fn search_at(&self, path: &str, body: &Value) -> Answer {
        let text = body.to_string();
        let answer = self.send("POST", path, &HEADERS, text.as_bytes()).await;
        answer.unwrap()
    }

    /// Ids of the hits of a query, at most 10,000 of them.
    pub(crate) async fn ids(&self, query: &Value) -> Vec<String> {
        let body = json!({"query": query, "size": 10_000, "_source": false,
            "sort": [{"indexedAt": "asc"}, {"fileId": "asc"}]});
        let answer = self.search(&body).await;
        assert_eq!(answer.status, 200, "{} {}", answer.headers, answer.text());
        ids_of(&answer.json())
    }

    /// A request to the platform with the usual credentials.
    pub(crate) async fn tetra(&self, method: &str, path: &str, body: &Value) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/tetra{path}");
        let answer = self.send(method, &path, &HEADERS, text.as_bytes()).await;
        answer.unwrap()
    }

    /// A link to a file.
    pub(crate) async fn link(&self, id: &str) -> String {
        let path = format!("/v1/datalake/retrieve?fileId={id}&getPresigned=true");
        let answer = self.tetra("GET", &path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["url"].as_str().unwrap().to_owned()
    }
}

/// Asks the storage for what a link leads to.
pub(crate) async fn follow(link: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let rest = link.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    send_to(address, "GET", &format!("/{path}"), headers, b"").await
}

/// The ids of the hits of an answer.
pub(crate) fn ids_of(answer: &Value) -> Vec<String> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    let id = |hit: &Value| hit["_id"].as_str().unwrap().to_owned();
    hits.iter().map(id).collect()
}

/// The start of an answer whose end nobody waits for; the connection is open while this is kept.
pub(crate) struct Begun {
    pub(crate) text: String,
    _socket: TcpStream,
}

/// Asks for what a link leads to, and reads no more than some bytes of it.
pub(crate) async fn begin(link: &str) -> Begun {
    let rest = link.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < 100_000 {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
    }
    Begun {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        _socket: socket,
    }
}
