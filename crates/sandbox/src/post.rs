//! What the stand-ins send by themselves: callbacks and events, as HTTP without TLS to an address that
//! a person or a test has named.

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of an answer is read: its first line is somewhere in it.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Posts JSON and says with which status it was answered.
pub(crate) async fn post_json(
    url: &str,
    headers: &[(String, String)],
    body: &str,
) -> anyhow::Result<u16> {
    let exchange = exchange(url, headers, body);
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .context("the receiver does not answer")?
}

async fn exchange(url: &str, headers: &[(String, String)], body: &str) -> anyhow::Result<u16> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| anyhow!("the sandbox posts to `http://` addresses alone"))?;
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (rest, "/".to_owned()),
    };
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        let is_clean = |text: &str| !text.contains(['\r', '\n']);
        anyhow::ensure!(is_clean(name) && is_clean(value), "a header has a line end");
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(address)
        .await
        .context("cannot reach the receiver")?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    status_of(&answer).ok_or_else(|| anyhow!("the receiver does not speak HTTP"))
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_body_and_its_headers_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?a=1", listener.local_addr().unwrap());
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        let headers = [("X-Secret".to_owned(), "s".to_owned())];
        assert_eq!(post_json(&url, &headers, "{}").await.unwrap(), 204);
        let request = receiver.await.unwrap();
        assert!(
            request.starts_with("POST /hook?a=1 HTTP/1.1\r\n") && request.contains("X-Secret: s")
        );
        assert!(post_json("https://example.org/", &[], "{}").await.is_err());
    }
}
