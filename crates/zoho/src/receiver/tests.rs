//! Tests of the receiver over plain TCP and TLS, with a client that knows nothing of HTTP but its text.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use singer_core::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::testing::Around;

mod log;

const SECRET: &str = "open sesame";
const SHORT: Duration = Duration::from_millis(50);

fn config() -> ReceiverConfig {
    ReceiverConfig {
        listen: "127.0.0.1:0".to_owned(),
        path: "/hook/a".to_owned(),
        header: "X-Key".to_owned(),
        secret: Secret::new(SECRET),
        max_body_bytes: 100,
        tls: None,
    }
}

fn certificate() -> TlsFiles {
    let file = |name| format!("{}/src/receiver/{name}", env!("CARGO_MANIFEST_DIR"));
    TlsFiles {
        certificate: file("self-signed.pem"),
        key: file("self-signed-key.pem"),
    }
}

/// What takes a body, and answers always the same.
fn always(reply: Reply) -> Take {
    Arc::new(move |_| Box::pin(std::future::ready(reply)))
}

/// What takes a body, and hands it to the test.
fn collect() -> (Take, mpsc::Receiver<Bytes>) {
    let (sender, bodies) = mpsc::channel(8);
    let take: Take = Arc::new(move |body| {
        let sender = sender.clone();
        Box::pin(async move {
            sender.send(body).await.unwrap();
            Reply::Taken
        })
    });
    (take, bodies)
}

async fn start(config: ReceiverConfig, take: Take) -> Receiver {
    Receiver::start(config, Around::new(&[]), take)
        .await
        .unwrap()
}

async fn start_within(limits: Limits, take: Take) -> Receiver {
    Receiver::start_within(limits, config(), Around::new(&[]), take)
        .await
        .unwrap()
}

/// A request to the right path with the right secret, after which the connection ends.
fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /hook/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-key: {SECRET}\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

async fn connect(receiver: &Receiver) -> TcpStream {
    TcpStream::connect(receiver.address()).await.unwrap()
}

/// Sends a text and returns all that comes back until the end.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn the_secret_may_stand_in_the_query() {
    let in_query = |secret: &str| ReceiverConfig {
        header: "?key".to_owned(),
        secret: Secret::new(secret),
        ..config()
    };
    let (take, mut bodies) = collect();
    let receiver = start(in_query("open-sesame"), take).await;
    for (query, wanted) in [
        ("?a=1&key=open-sesame", "200"),
        ("?key=open", "404"),
        ("?xkey=open-sesame", "404"),
        ("", "404"),
    ] {
        let request = post("x").replace("/hook/a", &format!("/hook/a{query}"));
        let answer = exchange(connect(&receiver).await, &request).await;
        assert_eq!(status(&answer), wanted, "{query}");
    }
    assert_eq!(bodies.recv().await.unwrap(), "x");
    let refused = Receiver::start(in_query(SECRET), Around::new(&[]), always(Reply::Taken));
    assert!(refused.await.is_err(), "a blank cannot stand in a query");
}

#[tokio::test]
async fn a_post_with_the_secret_is_taken() {
    let (take, mut bodies) = collect();
    let receiver = start(config(), take).await;
    let answer = exchange(connect(&receiver).await, &post("{\"a\":1}")).await;
    assert_eq!(status(&answer), "200");
    assert!(answer.ends_with("\r\n\r\n"), "an empty body");
    assert_eq!(bodies.recv().await.unwrap(), "{\"a\":1}");

    // Zoho adds parameters to the address where it is told to.
    let query = post("x").replace("/hook/a", "/hook/a?run=1");
    let answer = exchange(connect(&receiver).await, &query).await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn every_reply_has_its_status() {
    for (reply, expected) in [
        (Reply::Taken, "200"),
        (Reply::Later(7), "429"),
        (Reply::Malformed, "400"),
        (Reply::Failed, "503"),
    ] {
        let receiver = start(config(), always(reply)).await;
        let answer = exchange(connect(&receiver).await, &post("x")).await;
        assert_eq!(status(&answer), expected);
        let told = answer.contains("retry-after: 7\r\n");
        assert_eq!(told, reply == Reply::Later(7));
    }
}

#[tokio::test]
async fn a_refusal_tells_nothing_of_its_cause() {
    let receiver = start(config(), always(Reply::Taken)).await;
    let good = post("x");
    let mut answers = Vec::new();
    for request in [
        good.replace("/hook/a", "/hook/b"),
        good.replace("/hook/a", "/hook/a/"),
        good.replace("/hook/a", "/HOOK/A"),
        good.replace("POST", "GET"),
        good.replace("POST", "PUT"),
        good.replace("x-key", "x-other"),
        good.replace(SECRET, "open sesam"),
        good.replace(SECRET, "open sesame!"),
        good.replace(SECRET, ""),
        good.replace("/hook/a", "/").replace(SECRET, "x"),
        good.replace("content-length: 1", "content-length: 5000"),
    ] {
        if request.contains("5000") {
            // Only who has the secret hears that a body is too large.
            let answer = exchange(connect(&receiver).await, &request).await;
            assert_eq!(status(&answer), "413");
            let blind = request.replace(SECRET, "x");
            answers.push(exchange(connect(&receiver).await, &blind).await);
        } else {
            answers.push(exchange(connect(&receiver).await, &request).await);
        }
    }
    for answer in &mut answers {
        let lines = answer.lines().filter(|line| !line.starts_with("date: "));
        *answer = lines.collect::<Vec<_>>().join("\n");
    }
    assert_eq!(status(&answers[0]), "404");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn without_the_secret_no_body_is_asked_for() {
    let receiver = start(config(), always(Reply::Taken)).await;
    let waits = post("").replace(
        "content-length: 0",
        "content-length: 9\r\nexpect: 100-continue",
    );
    let blind = waits.replace(SECRET, "x");
    let answer = exchange(connect(&receiver).await, &blind).await;
    assert_eq!(status(&answer), "404");

    let mut stream = connect(&receiver).await;
    stream.write_all(waits.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(status(&exchange(stream, "123456789").await), "200");
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let receiver = start(config(), always(Reply::Taken)).await;
    let chunked = post("").replace("content-length: 0", "transfer-encoding: chunked");
    let within = format!("{chunked}64\r\n{}\r\n0\r\n\r\n", "x".repeat(100));
    assert_eq!(
        status(&exchange(connect(&receiver).await, &within).await),
        "200"
    );
    let beyond = format!("{chunked}65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
    assert_eq!(
        status(&exchange(connect(&receiver).await, &beyond).await),
        "413"
    );
    let broken = format!("{chunked}zz\r\n");
    assert_eq!(
        status(&exchange(connect(&receiver).await, &broken).await),
        "400"
    );
}

#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let limits = Limits {
        head: SHORT,
        body: SHORT,
        ..LIMITS
    };
    let receiver = start_within(limits, always(Reply::Taken)).await;
    for head in ["", "POST /hook/a HTTP/1.1\r\nx-key: "] {
        let answer = exchange(connect(&receiver).await, head).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    let cut = post("x").replace("content-length: 1", "content-length: 9");
    let answer = exchange(connect(&receiver).await, &cut).await;
    assert_eq!(status(&answer), "408");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let (begun, mut begins) = mpsc::channel(8);
    let open = Arc::new(Notify::new());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let take: Take = {
        let (open, most) = (Arc::clone(&open), Arc::clone(&most));
        Arc::new(move |_| {
            let (open, now, most) = (Arc::clone(&open), Arc::clone(&now), Arc::clone(&most));
            let begun = begun.clone();
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(()).await.unwrap();
                open.notified().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Reply::Taken
            })
        })
    };
    let limits = Limits {
        connections: 2,
        ..LIMITS
    };
    let receiver = start_within(limits, take).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let stream = connect(&receiver).await;
        clients.push(tokio::spawn(
            async move { exchange(stream, &post("x")).await },
        ));
    }
    for _ in 0..5 {
        begins.recv().await.unwrap();
        open.notify_one();
    }
    for client in clients {
        assert_eq!(status(&client.await.unwrap()), "200");
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn what_is_begun_is_finished_after_the_end() {
    for dropped in [true, false] {
        let (begun, mut begins) = mpsc::channel(1);
        let open = Arc::new(Notify::new());
        let take: Take = {
            let open = Arc::clone(&open);
            Arc::new(move |_| {
                let (open, begun) = (Arc::clone(&open), begun.clone());
                Box::pin(async move {
                    begun.send(()).await.unwrap();
                    open.notified().await;
                    Reply::Taken
                })
            })
        };
        let around = Around::new(&[]);
        let surroundings: Arc<dyn Surroundings> = Arc::clone(&around) as _;
        let receiver = Receiver::start(config(), surroundings, take).await.unwrap();
        let address = receiver.address();
        let (busy, mut idle) = (connect(&receiver).await, connect(&receiver).await);
        // Without `connection: close`: the server's end is what ends it.
        let request = post("x").replace("connection: close\r\n", "");
        let client = tokio::spawn(async move { exchange(busy, &request).await });
        begins.recv().await.unwrap();
        if dropped {
            drop(receiver);
        } else {
            around.stop();
        }
        assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
        open.notify_one();
        assert_eq!(status(&client.await.unwrap()), "200");
    }
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_break_off_what_is_begun() {
    let (step, mut steps) = mpsc::channel(1);
    let open = Arc::new(Notify::new());
    let take: Take = {
        let open = Arc::clone(&open);
        Arc::new(move |_| {
            let (open, step) = (Arc::clone(&open), step.clone());
            Box::pin(async move {
                step.send("begun").await.unwrap();
                open.notified().await;
                step.send("done").await.unwrap();
                Reply::Taken
            })
        })
    };
    let limits = Limits {
        connections: 1,
        ..LIMITS
    };
    let receiver = start_within(limits, take).await;
    let mut stream = connect(&receiver).await;
    stream.write_all(post("x").as_bytes()).await.unwrap();
    assert_eq!(steps.recv().await, Some("begun"));
    drop(stream);
    open.notify_one();
    assert_eq!(steps.recv().await, Some("done"));
    // Its slot is free again.
    open.notify_one();
    let client = tokio::spawn(exchange_owned(connect(&receiver).await));
    assert_eq!(steps.recv().await, Some("begun"));
    assert_eq!(steps.recv().await, Some("done"));
    assert_eq!(status(&client.await.unwrap()), "200");
}

async fn exchange_owned(stream: TcpStream) -> String {
    exchange(stream, &post("x")).await
}

#[tokio::test]
async fn a_panic_of_what_takes_is_a_fault_of_ours() {
    let take: Take = Arc::new(|_| Box::pin(async { panic!("a defect") }));
    let receiver = start(config(), take).await;
    let answer = exchange(connect(&receiver).await, &post("x")).await;
    assert_eq!(status(&answer), "503");
}

#[tokio::test]
async fn https_is_served_with_the_certificate() {
    let mut config = config();
    config.tls = Some(certificate());
    let (take, mut bodies) = collect();
    let receiver = start(config, take).await;

    let mut trusted = rustls::RootCertStore::empty();
    let der = CertificateDer::from_pem_file(certificate().certificate).unwrap();
    trusted.add(der).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector
        .connect(name, connect(&receiver).await)
        .await
        .unwrap();
    assert_eq!(status(&exchange(stream, &post("x")).await), "200");
    assert_eq!(bodies.recv().await.unwrap(), "x");

    // Who speaks no TLS hears no HTTP.
    let mut plain = connect(&receiver).await;
    plain.write_all(post("x").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _end_or_reset = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
}

#[tokio::test]
async fn what_cannot_work_is_an_error_of_the_config() {
    let taken = start(config(), always(Reply::Taken)).await;
    let wrong = |change: fn(&mut ReceiverConfig)| {
        let mut config = config();
        change(&mut config);
        config
    };
    let mut occupied = config();
    occupied.listen = taken.address().to_string();
    for (config, words) in [
        (occupied, "cannot listen on"),
        (
            wrong(|config| config.path = "hook".to_owned()),
            "not the path",
        ),
        (
            wrong(|config| config.path = "/a?b=c".to_owned()),
            "not the path",
        ),
        (
            wrong(|config| config.header = "a b".to_owned()),
            "name of a header",
        ),
        (wrong(|config| config.secret = Secret::new("")), "is empty"),
        (
            wrong(|config| config.secret = Secret::new(" s")),
            "stand in no header",
        ),
        (
            wrong(|config| config.secret = Secret::new("s\n")),
            "stand in no header",
        ),
        (
            wrong(|config| {
                let certificate = certificate();
                config.tls = Some(TlsFiles {
                    key: certificate.certificate.clone(),
                    ..certificate
                });
            }),
            "cannot read the private key",
        ),
        (
            wrong(|config| {
                let certificate = certificate();
                config.tls = Some(TlsFiles {
                    certificate: certificate.key.clone(),
                    ..certificate
                });
            }),
            "cannot read the certificate chain",
        ),
    ] {
        let started = Receiver::start(config, Around::new(&[]), always(Reply::Taken)).await;
        let error = started.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains(words), "{error}");
    }
}

#[tokio::test]
async fn refusals_are_told_once_a_minute_with_their_count() {
    let (log, mut warnings) = log::capture();
    let _guard = tracing::subscriber::set_default(log);
    let receiver = start(config(), always(Reply::Taken)).await;
    for _ in 0..3 {
        let blind = post("x").replace(SECRET, "x");
        exchange(connect(&receiver).await, &blind).await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(
        warnings.recv().await.unwrap(),
        "refused=3 failed_handshakes=0"
    );
    // A minute without refusals has no line of its own.
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let blind = post("x").replace(SECRET, "x");
    exchange(connect(&receiver).await, &blind).await;
    drop(receiver);
    assert_eq!(
        warnings.recv().await.unwrap(),
        "refused=1 failed_handshakes=0"
    );
}
