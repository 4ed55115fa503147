//! The binary: its line on stdout, its flags, its end.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The longest that a test waits for the program.
const PATIENCE: Duration = Duration::from_secs(20);

fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_antiphon-sandbox"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn address(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    line.strip_prefix("antiphon-sandbox listening on http://")
        .expect("the line")
        .to_owned()
}

async fn end(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn it_announces_its_address_and_ends_cleanly_on_signals() {
    for signal in ["INT", "TERM"] {
        let mut child = program(&["serve", "--listen", "127.0.0.1:0"]);
        let address = address(&mut child).await;
        // A connection that is kept open must not keep the program from ending.
        let mut idle = TcpStream::connect(&address).await.unwrap();
        idle.write_all(b"GET /_sandbox/health HTTP/1.1\r\nhost: sandbox\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 15];
        idle.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let process = child.id().unwrap().to_string();
        Command::new("kill")
            .args([&format!("-{signal}"), &process])
            .status()
            .await
            .unwrap();
        assert!(end(&mut child).await.success(), "{signal}");
    }
}

#[tokio::test]
async fn a_request_that_has_only_begun_does_not_hold_up_a_stop() {
    let sandbox = sandbox::start(sandbox::Options::default()).await.unwrap();
    let mut begun = TcpStream::connect(sandbox.addr()).await.unwrap();
    begun.write_all(b"GET /_sandbox/health HT").await.unwrap();
    // HTTP/2 without the acknowledgements of a client that says goodbye.
    let mut silent = TcpStream::connect(sandbox.addr()).await.unwrap();
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    silent.write_all(hello).await.unwrap();
    silent.read_exact(&mut [0; 9]).await.unwrap();
    let began = Instant::now();
    sandbox.stop().await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn a_stop_waits_for_an_answer_that_is_being_made() {
    let sandbox = sandbox::start(sandbox::Options::default()).await.unwrap();
    sandbox.set_faults(&["slow:ms=600"]).unwrap();
    let mut stream = TcpStream::connect(sandbox.addr()).await.unwrap();
    let request = "GET /pendo/api/v1/token/verify HTTP/1.1\r\nhost: sandbox\r\nx-pendo-integration-key: sandbox-key\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    while sandbox.status().active_faults[0].seen == 0 {
        tokio::task::yield_now().await;
    }
    sandbox.stop().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn flags_reach_the_stand_in() {
    let mut child = program(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--pendo-key=one",
        "--pendo-key=two",
        "--pendo-denial=json",
        "--fault=throttle:every=2,retry-after=7",
    ]);
    let address = address(&mut child).await;
    let verify = async |key: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET /pendo/api/v1/token/verify HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\nx-pendo-integration-key: {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(verify("two").await.starts_with("HTTP/1.1 200"));
    assert!(verify("one").await.contains("retry-after: 7"));
    let denied = verify("sandbox-key").await;
    assert!(
        denied.starts_with("HTTP/1.1 403") && denied.ends_with('}'),
        "{denied}"
    );
}

#[tokio::test]
async fn wrong_usage_says_what_is_wrong() {
    for (arguments, code, named) in [
        (["serve", "--fault=explode"], 2, "explode"),
        (["serve", "--pendo-mode=keep"], 2, "drain"),
        (
            ["serve", "--pendo-ids=/nonexistent/ids.json"],
            1,
            "/nonexistent/ids.json",
        ),
    ] {
        let child = program(&arguments);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(named), "{stderr}");
    }
}
