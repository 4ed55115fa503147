//! Webhooks over a real socket: what arrives, what is tried again, what is not.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::notify::tests::Project;

/// A server that gives these answers in turn, the last one for ever, and keeps the requests. An answer of
/// nothing leaves the client waiting.
struct Receiver {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/hooks/T0-path-secret",
            listener.local_addr().unwrap()
        );
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read(&mut stream).await;
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(request);
                    kept.len() - 1
                };
                let answer = answers.get(number).or(answers.last()).unwrap();
                if answer.is_empty() {
                    held.push(stream);
                    continue;
                }
                let answer = format!(
                    "HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn project(&self, more: &str) -> Project {
        Project::new(&format!(
            "[notify.ops]\ntype = \"webhook\"\nurl = \"{}\"\n{more}",
            self.url
        ))
        .await
    }
}

/// One request, whole.
async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut block = [0; 4096];
        let length = stream.read(&mut block).await.unwrap();
        bytes.extend_from_slice(&block[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let wanted: usize = header(head, "content-length").parse().unwrap();
            if body.len() >= wanted || length == 0 {
                return text;
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

#[test]
fn the_signature_is_the_one_that_openssl_computes() {
    // printf '%s.%s' 1767225600 '{"event":"test","text":"é"}' | openssl dgst -sha256 -hmac s3cret
    let signature = sign(
        &Secret::new("s3cret"),
        "1767225600",
        "{\"event\":\"test\",\"text\":\"\u{e9}\"}".as_bytes(),
    );
    assert_eq!(
        signature,
        "sha256=10d77f0c123331796a20e4e19641ebba58da08c45ef3e4caa5a0adb196ac225d"
    );
}

#[tokio::test]
async fn a_notice_is_posted_as_json_with_own_headers_and_a_signature() {
    let receiver = Receiver::start(&["204 No Content"]).await;
    let more = "secret = \"s3cret\"\nheaders = { X-Team = \"data\", Authorization = { file = \"token\" } }\n";
    let project = receiver.project(more).await;
    project.folder.write("token", "Bearer hunter2\n");
    project.test().await.unwrap();
    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hooks/T0-path-secret HTTP/1.1"));
    assert_eq!(header(head, "content-type"), "application/json");
    assert_eq!(header(head, "x-team"), "data");
    assert_eq!(header(head, "authorization"), "Bearer hunter2");
    let timestamp = header(head, "x-antiphon-timestamp");
    assert!(timestamp.parse::<i64>().unwrap() > 0);
    let wanted = sign(&Secret::new("s3cret"), timestamp, body.as_bytes());
    assert_eq!(header(head, "x-antiphon-signature"), wanted);
    let notice: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(notice["event"], "test");
    assert!(notice["text"].as_str().unwrap().contains("this is a test"));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let receiver = Receiver::start(&[
        "500 Internal Server Error",
        "429 Too Many Requests\r\nretry-after: 0",
        "200 OK",
    ])
    .await;
    receiver.project("").await.test().await.unwrap();
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn what_does_not_pass_is_not_tried_again_and_says_what_to_do() {
    for (answer, message, kind) in [
        (&["404 Not Found"], "there is no webhook", Kind::Config),
        (&["403 Forbidden"], "does not let us in", Kind::Auth),
        (&["400 Bad Request"], "refuses the notice", Kind::Rejected),
        (
            &["302 Found\r\nlocation: http://127.0.0.1:1/"],
            "is elsewhere",
            Kind::Config,
        ),
    ] {
        let receiver = Receiver::start(answer).await;
        let error = receiver.project("").await.test().await.unwrap_err();
        assert!(error.message().contains(message), "{error:?}");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error:?}").contains("path-secret"), "{error:?}");
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_webhook_that_hangs_is_given_up_and_its_path_is_not_told() {
    let receiver = Receiver::start(&[""]).await;
    let project = receiver.project("timeout = \"300ms\"\n").await;
    let error = project.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(!format!("{error:?}").contains("path-secret"), "{error:?}");
    let project = Project::new(
        "[notify.ops]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/path-secret\"\ntimeout = \"300ms\"\n",
    )
    .await;
    let error = project.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(!format!("{error:?}").contains("path-secret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_wants_a_long_rest_is_left_alone() {
    let receiver = Receiver::start(&["503 Service Unavailable\r\nretry-after: 3600"]).await;
    let error = receiver.project("").await.test().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert_eq!(receiver.requests().len(), 1);
}
