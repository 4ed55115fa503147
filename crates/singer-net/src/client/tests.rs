//! The client against servers of a few lines: what they answer, and what they saw.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use singer_core::{Kind, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers each connection's requests with these bytes; what came in is kept.
async fn server(answer: &'static str) -> (Base, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/prefix", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    log.lock().unwrap().push(text);
                    if socket.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (Base::parse("base_url", &base).unwrap(), seen)
}

fn config() -> HttpConfig {
    HttpConfig {
        attempts: 1,
        request_timeout_seconds: 0.5,
        proxy: None,
        ca_file: None,
    }
}

fn client(base: &Base) -> Client {
    Client::new(base.clone(), &config(), "test/1").unwrap()
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    let (base, seen) =
        server("HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nslow").await;
    let request = Request::post_json(base.url(&["a b"]).unwrap(), Bytes::from_static(b"[1]"))
        .secret_header("x-key", &Secret::new("hidden"))
        .unwrap();
    let answer = client(&base).send(request).await.unwrap();
    assert_eq!(answer.status.as_u16(), 429);
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(&answer.body[..], b"slow");
    let seen = seen.lock().unwrap().concat();
    assert!(seen.starts_with("POST /prefix/a%20b HTTP/1.1"), "{seen}");
    for part in [
        "x-key: hidden",
        "user-agent: test/1",
        "content-type: application/json",
        "\r\n\r\n[1]",
    ] {
        assert!(seen.contains(part), "{seen}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (base, seen) = server(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let answer = client(&base)
        .send(Request::get(base.url(&["x"]).unwrap()))
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 302);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_secret_goes_to_its_own_host_alone() {
    let (base, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (other, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let request = Request::get(other.url(&["x"]).unwrap())
        .secret_header("x-key", &Secret::new("hidden"))
        .unwrap();
    let error = client(&base).send(request).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(!format!("{error:?}").contains("hidden"));
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::parse(
        "base_url",
        &format!("http://{}", listener.local_addr().unwrap()),
    )
    .unwrap();
    // Only one connection is ever accepted.
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut buffer = vec![0; 65536];
        for _ in 0..3 {
            assert!(socket.read(&mut buffer).await.unwrap() > 0);
            socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .await
                .unwrap();
        }
    });
    let client = client(&base);
    for _ in 0..3 {
        let answer = client
            .send(Request::get(base.url(&["x"]).unwrap()))
            .await
            .unwrap();
        assert_eq!(answer.json(), Some(serde_json::json!({})));
    }
    server.await.unwrap();
}

#[tokio::test]
async fn no_answer_is_transient_and_names_the_request_without_secrets() {
    // Nobody listens; a server that never answers; a body that breaks off.
    let closed = Base::parse("base_url", "http://127.0.0.1:1").unwrap();
    let (silent, _) = server("").await;
    let (cut, _) = server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz").await;
    for base in [closed, silent, cut] {
        let mut url = base.url(&["x"]).unwrap();
        url.set_query(Some("key=hidden"));
        let error = client(&base).send(Request::get(url)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Transient);
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Base::parse(
        "base_url",
        &format!("http://{}", listener.local_addr().unwrap()),
    )
    .unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 65536];
        let _request = socket.read(&mut buffer).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while socket.write_all(&buffer).await.is_ok() {}
    });
    let mut config = config();
    config.request_timeout_seconds = 60.0;
    let client = Client::new(base.clone(), &config, "test/1").unwrap();
    let error = client
        .send(Request::get(base.url(&["x"]).unwrap()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
}

#[test]
fn wrong_numbers_are_named() {
    let mut wrong = config();
    wrong.attempts = 0;
    assert!(wrong.validate().unwrap_err().message().contains("attempts"));
    for seconds in [0.0, -1.0, f64::NAN] {
        let mut wrong = config();
        wrong.request_timeout_seconds = seconds;
        assert!(wrong.validate().is_err());
    }
}

#[test]
fn the_password_of_a_proxy_is_never_shown() {
    let config: HttpConfig = serde_json::from_value(serde_json::json!({
        "attempts": 1, "request_timeout_seconds": 1, "proxy": "http://user:hunter2@proxy:port",
    }))
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let base = Base::parse("base_url", "http://127.0.0.1:1").unwrap();
    let error = Client::new(base, &config, "test/1").unwrap_err();
    assert_eq!(error.message(), "`proxy` is no URL");
    let shown = format!("{error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_streamed_answer_comes_in_pieces_and_ends() {
    let (base, _) = server(
        "HTTP/1.1 200 OK\r\nx-kind: zip\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let request = Request::get(base.url(&["x"]).unwrap());
    let mut incoming = client(&base).stream(request.clone()).await.unwrap();
    assert_eq!(incoming.status.as_u16(), 200);
    assert_eq!(incoming.headers["x-kind"], "zip");
    let mut body = Vec::new();
    while let Some(piece) = incoming.chunk().await.unwrap() {
        body.extend_from_slice(&piece);
    }
    assert_eq!(body, b"abcde");
    let incoming = client(&base).stream(request.clone()).await.unwrap();
    assert_eq!(&incoming.whole(5).await.unwrap().body[..], b"abcde");
    let incoming = client(&base).stream(request).await.unwrap();
    assert_eq!(incoming.whole(4).await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_streamed_answer_that_breaks_off_or_stands_still_is_an_error() {
    // Cut by a broken length, and by silence.
    let (cut, _) =
        server("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz").await;
    let (silent, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    for base in [cut, silent] {
        let request = Request::get(base.url(&["x"]).unwrap());
        let incoming = client(&base).stream(request).await.unwrap();
        assert_eq!(
            incoming.whole(99).await.unwrap_err().kind(),
            Kind::Transient
        );
    }
    // No head at all.
    let (none, _) = server("").await;
    let request = Request::get(none.url(&["x"]).unwrap());
    let error = client(&none).stream(request).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(!was_never_sent(&error));
}

#[tokio::test]
async fn a_streamed_request_keeps_its_secret_for_its_own_host() {
    let (base, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (other, seen) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let request = Request::get(other.url(&["x"]).unwrap())
        .secret_header("x-key", &Secret::new("hidden"))
        .unwrap();
    let error = client(&base).stream(request).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_a_missing_connection_means_that_nothing_was_sent() {
    let closed = Base::parse("base_url", "http://127.0.0.1:1").unwrap();
    let request = |base: &Base| Request::get(base.url(&["x"]).unwrap());
    let error = client(&closed).send(request(&closed)).await.unwrap_err();
    assert!(was_never_sent(&error));
    let (silent, _) = server("").await;
    let error = client(&silent).send(request(&silent)).await.unwrap_err();
    assert!(!was_never_sent(&error));
    assert!(!was_never_sent(&Error::transient("something else")));
}

#[tokio::test]
async fn a_file_is_sent_whole_at_each_attempt() {
    let path = std::env::temp_dir().join(format!("singer-net-upload-{}", std::process::id()));
    let content = "0123456789".repeat(30_000);
    std::fs::write(&path, &content).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let base = Base::parse("base_url", &address).unwrap();
    let wanted = content.clone();
    let server = tokio::spawn(async move {
        // The first attempt is cut in the middle, the second read to its end.
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 65536];
        assert!(socket.read(&mut buffer).await.unwrap() > 0);
        drop(socket);
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"0123456789") || seen.len() < wanted.len() + 100 {
            let count = socket.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            seen.extend_from_slice(&buffer[..count]);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        let text = String::from_utf8(seen).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(body == wanted);
        head.to_owned()
    });
    let url = base.url(&["x"]).unwrap();
    let request = Request::with_file(crate::Method::POST, url, "text/csv", path.clone()).unwrap();
    assert_eq!(request.body_len(), content.len());
    let client = client(&base);
    let error = client.send(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    client.send(request.clone()).await.unwrap();
    let head = server.await.unwrap();
    assert!(head.contains("content-length: 300000"), "{head}");
    assert!(head.contains("content-type: text/csv"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    // A file that changed meanwhile would be sent with the wrong length.
    std::fs::write(&path, "short").unwrap();
    let error = client.send(request.clone()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    std::fs::remove_file(&path).unwrap();
    let error = client.send(request).await.unwrap_err();
    assert!(error.message().contains("singer-net-upload"));
}
