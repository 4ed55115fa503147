//! `tap-datastore --listen`: what becomes of events when the tap is killed, when they come twice, are no
//! events, or come faster than the pipe takes them. Every event that was answered with 200 arrives.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use sandbox::datastore::{EventHook, Shape};
use serde_json::{Value, json};
use singer_test::bin::{Running, Signal};
use singer_test::pipe::{self, Cut, Pipeline};
use singer_test::poll;
use singer_test::stream::{self, Messages};
use singer_test::zoho::TABLE;

use crate::pair::{Method, Pair};

const SECRET: &str = "hunter2-hunter2";

/// The header that the old solution had, and that is the usual one.
const HEADER: &str = "catalyst-codelib-secret-key";

/// A table that is in its view, and a tap that is going to listen; a batch waits no longer than a second.
fn pair() -> Pair {
    let pair = Pair::new(Method::Incremental)
        .tap_keys(&json!({"listen_secret": SECRET}))
        .target_keys(&json!({"batch": {"max_records": 60, "max_age_seconds": 1}}))
        .stream_keys(&json!({"on_delete": "delete"}));
    pair.sync_equal();
    pair
}

fn listening_tap(pair: &Pair) -> singer_test::bin::Run {
    pair.tap().args(["--listen", "127.0.0.1:0"])
}

/// Both, and the address of the tap, to which the service posts from now on.
fn listening(pair: &Pair) -> (Pipeline, String) {
    let pipeline = pipe::start(listening_tap(pair), pair.target(), Cut::Never);
    let address = address_of(&pipeline.tap);
    posts_to(pair, &address, Shape::Signals);
    (pipeline, address)
}

fn posts_to(pair: &Pair, address: &str, shape: Shape) {
    let hook = EventHook {
        // The service does not give up while a test restarts the tap.
        attempts: 10_000,
        retry_ms: 5,
        shape,
        ..EventHook::new(&format!("http://{address}/events"), SECRET)
    };
    pair.zoho.datastore().set_events(Some(hook));
}

fn address_of(tap: &Running) -> String {
    tap.wait_for_log("listens for events");
    let log = tap.stderr();
    let address = log.split("address=").nth(1).expect("an address");
    let address = address.split_whitespace().next().expect("an address");
    address.to_owned()
}

fn delivered(pair: &Pair) -> u64 {
    pair.zoho.datastore().event_counts().delivered
}

/// Stops a pipeline as a supervisor does, and looks that nothing is missing.
#[track_caller]
fn stop(pair: &Pair, pipeline: Pipeline) {
    pipeline.tap.signal(Signal::Terminate);
    let ended = pipeline.finish();
    ended.tap.expect_code(143);
    ended.target.expect_code(0);
    pair.zoho.assert_equal();
}

/// Posts a body by hand; the status, or 0 if there was no answer.
fn post(address: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    try_post(address, headers, body).unwrap_or(0)
}

fn try_post(address: &str, headers: &[(&str, &str)], body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    let timeout = Some(Duration::from_secs(20));
    stream.set_read_timeout(timeout).ok()?;
    let mut head = format!(
        "POST /events HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    // A body that is refused ahead of its end may find nobody who reads it.
    let sent = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        sent.ok()?;
        read.ok()?;
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.split(' ').nth(1)?.parse().ok()
}

/// An event of Signals about a row.
fn event(id: &str, row: &Value) -> String {
    let mut data = row.clone();
    data["table_details"] = json!({"table_name": TABLE});
    json!({"version": 1, "events": [{"id": id, "time_in_ms": 1_738_540_800_118_u64,
        "event_config": {"api_name": "row_updated"}, "data": data}]})
    .to_string()
}

fn segments(pair: &Pair) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(pair.folder.file("journal")).expect("there is a journal") {
        let folder = folder.expect("a folder can be listed").path();
        for file in std::fs::read_dir(folder).expect("a folder can be listed") {
            found.push(file.expect("a folder can be listed").path());
        }
    }
    found.retain(|path| path.metadata().is_ok_and(|it| it.len() > 0));
    found.sort();
    found
}

#[test]
fn inserts_updates_and_deletions_arrive_as_they_happen() {
    for shape in [Shape::Signals, Shape::Listener] {
        let pair = pair();
        let (pipeline, address) = listening(&pair);
        posts_to(&pair, &address, shape);
        let ids = pair.zoho.ids();
        pair.zoho.add(3, "2025-02-03 10:00:00:000");
        pair.zoho.revise(&ids[..5], 2, "2025-02-03 10:00:01:000");
        pair.zoho.revise(&ids[..2], 3, "2025-02-03 10:00:02:000");
        pair.zoho.delete(&ids[7..9]);
        poll::until("all events were taken", || delivered(&pair) >= 12);
        // While it listens, not only at its end.
        poll::until("the view follows", || {
            pair.zoho.stored().len() == pair.zoho.rows().len()
        });
        stop(&pair, pipeline);
        pair.zoho.datastore().set_events(None);
        // The next sync finds nothing that is not there.
        pair.sync_equal();
    }
}

#[test]
fn killed_before_an_answer_or_after_it_the_event_is_not_lost() {
    let pair = pair();
    let (mut pipeline, _) = listening(&pair);
    let ids = pair.zoho.ids();
    // More events than are taken at once: some are on disk, some were answered, some are on their way.
    for round in 0..3_u64 {
        let before = delivered(&pair);
        pair.zoho
            .revise(&ids, 2 + round, &format!("2025-02-03 10:00:0{round}:000"));
        poll::until("some events were taken", || {
            delivered(&pair) > before + 20 + round * 30
        });
        pipeline.tap.signal(Signal::Kill);
        assert_eq!(pipeline.finish().tap.signal(), Some(9));
        (pipeline, _) = listening(&pair);
    }
    let all = 3 * ids.len() as u64;
    poll::until("all events were taken", || delivered(&pair) >= all);
    stop(&pair, pipeline);
}

#[test]
fn killed_between_the_journal_and_the_pipe() {
    let pair = pair();
    // Nobody reads what the tap prints.
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let stdout = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let tap = listening_tap(&pair).stdout(stdout).start();
    posts_to(&pair, &address_of(&tap), Shape::Signals);
    pair.zoho
        .revise(&pair.zoho.ids()[..40], 2, "2025-02-03 10:00:00:000");
    poll::until("all events were taken", || delivered(&pair) >= 40);
    tap.kill();
    drop(reader);
    let (pipeline, _) = listening(&pair);
    pipeline
        .tap
        .wait_for_log("events that no state has confirmed are emitted again");
    stop(&pair, pipeline);
}

#[test]
fn killed_between_its_records_and_their_state() {
    let pair = pair();
    let tap = listening_tap(&pair).start();
    posts_to(&pair, &address_of(&tap), Shape::Signals);
    pair.zoho
        .revise(&pair.zoho.ids()[..25], 2, "2025-02-03 10:00:00:000");
    poll::until("all were emitted", || {
        let messages = Messages::parse(&tap.stdout(), stream::Cut::Allowed);
        messages.records(TABLE).len() >= 25
    });
    tap.kill();
    let (pipeline, _) = listening(&pair);
    stop(&pair, pipeline);
}

#[test]
fn a_target_that_is_killed_gets_the_events_again() {
    let pair = pair();
    pair.zoho
        .set_faults(&["slow:ms=600000,method=POST,path=/bulk/workspaces,times=1"]);
    let (pipeline, _) = listening(&pair);
    let ids = pair.zoho.ids();
    pair.zoho.revise(&ids[..25], 2, "2025-02-03 10:00:00:000");
    pair.zoho.wait_for_strikes(1);
    pipeline.target.signal(Signal::Kill);
    pipeline.tap.signal(Signal::Kill);
    pipeline.finish();
    pair.zoho.set_faults(&[]);
    let (pipeline, _) = listening(&pair);
    poll::until("all events were taken", || delivered(&pair) >= 25);
    stop(&pair, pipeline);
    let position = pair.bookmark().expect("a bookmark")["journal"]["position"].clone();
    assert!(position.as_u64() >= Some(25), "{position}");
}

#[test]
fn half_a_line_of_the_journal_is_cut_off() {
    let pair = pair();
    let (pipeline, _) = listening(&pair);
    let ids = pair.zoho.ids();
    pair.zoho.revise(&ids[..10], 2, "2025-02-03 10:00:00:000");
    poll::until("all events were taken", || delivered(&pair) >= 10);
    pipeline.tap.signal(Signal::Kill);
    pipeline.finish();
    // What a machine leaves that loses its power while it writes.
    let last = segments(&pair).pop().expect("a segment");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(last)
        .expect("a journal");
    file.write_all(b"11 deadbeef {\"change\":\"upsert\",\"row")
        .expect("a journal can be written");
    drop(file);
    let (pipeline, _) = listening(&pair);
    pipeline.tap.wait_for_log("half written");
    pair.zoho.revise(&ids[20..30], 2, "2025-02-03 10:00:01:000");
    poll::until("all events were taken", || delivered(&pair) >= 20);
    stop(&pair, pipeline);
}

#[test]
fn what_is_no_event_is_refused_and_says_nothing() {
    let pair = pair();
    let (pipeline, address) = listening(&pair);
    let signed = [(HEADER, SECRET)];
    let id = pair.zoho.ids()[0];
    let good = event("e1", &json!({"ROWID": id.to_string(), "Km": 1}));
    let large = event(
        "e2",
        &json!({"ROWID": id.to_string(), "Note": "x".repeat(2 << 20)}),
    );
    let unsigned = post(&address, &[], &good);
    assert!((400..500).contains(&unsigned), "{unsigned}");
    assert_eq!(
        post(&address, &[(HEADER, "hunter2-hunter3")], &good),
        unsigned
    );
    let other_path = good.clone();
    assert_eq!(post_to("/other", &address, &signed, &other_path), unsigned);
    for body in [
        "",
        "{",
        "[1]",
        "null",
        "{\"events\":[{}]}",
        &good.replace("ROWID", "RowId"),
    ] {
        let status = post(&address, &signed, body);
        assert!((400..500).contains(&status), "{status} for {body}");
    }
    let status = post(&address, &signed, &large);
    assert!(status == 413 || status == 0, "{status}");
    // None of it harms what comes after it.
    pair.zoho.revise(&[id], 2, "2025-02-03 10:00:00:000");
    poll::until("the event was taken", || delivered(&pair) >= 1);
    let log = pipeline.tap.stderr();
    assert!(!log.contains("hunter2"), "{log}");
    stop(&pair, pipeline);
}

fn post_to(path: &str, address: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("the tap listens");
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .expect("a request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status");
    status.parse().expect("a status")
}

#[test]
fn an_event_that_comes_again_or_too_late_changes_nothing() {
    let pair = pair();
    let (pipeline, address) = listening(&pair);
    let id = pair.zoho.ids()[0];
    pair.zoho.revise(&[id], 2, "2025-02-03 10:00:00:000");
    pair.zoho.revise(&[id], 3, "2025-02-03 10:00:01:000");
    poll::until("both were taken", || delivered(&pair) >= 2);
    assert_eq!(pair.zoho.resend_events(2), 2);
    poll::until("both came again", || delivered(&pair) >= 4);
    // Somebody who has seen a body posts it later, with the row as it was.
    let old = json!({"ROWID": id.to_string(), "Km": 1, "MODIFIEDTIME": "2025-02-03 09:00:00:000"});
    assert_eq!(
        post(&address, &[(HEADER, SECRET)], &event("replayed", &old)),
        200
    );
    stop(&pair, pipeline);
}

#[test]
fn senders_are_slowed_down_while_the_pipe_is_slow() {
    let pair = pair().tap_keys(&json!({"listen_backlog": 20}));
    pair.zoho
        .set_faults(&["slow:ms=600000,method=POST,path=/bulk/workspaces,times=1"]);
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    let stdout = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let tap = listening_tap(&pair).stdout(stdout).start();
    let address = address_of(&tap);
    let id = pair.zoho.ids()[0];
    let mut refused = 0;
    let note = "x".repeat(9_000);
    for number in 0..200 {
        let row = json!({"ROWID": id.to_string(), "Note": note, "Km": number,
            "MODIFIEDTIME": format!("2025-02-03 10:00:00:{number:03}")});
        match post(
            &address,
            &[(HEADER, SECRET)],
            &event(&format!("b{number}"), &row),
        ) {
            200 => {}
            429 => {
                refused += 1;
                break;
            }
            other => panic!("status {other}"),
        }
    }
    assert_eq!(refused, 1, "nobody was slowed down");
    tap.kill();
    drop(reader);
}
