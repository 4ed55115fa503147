//! Events: journalled before they are answered, emitted, and emitted again until a state confirms them.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use singer_test::bin::{Running, Signal};
use singer_test::poll;
use singer_test::stream::{Cut, Messages};

use crate::kit::{Store, ids, last_state, messages};

/// A tap that listens, and the address at which it does.
fn listening(store: &Store, state: &Value) -> (Running, String) {
    listening_with(store, state, &json!({"listen_secret": "shh"}))
}

fn listening_with(store: &Store, state: &Value, changes: &Value) -> (Running, String) {
    let state = store.folder.write_json("state.json", state);
    let mut config = changes.clone();
    config["listen"] = "127.0.0.1:0".into();
    let run = store
        .run(config)
        .args(["--select", "Trips", "--state"])
        .arg(state)
        .start();
    run.wait_for_log("listens for events");
    let log = run.stderr();
    let address = log.split("address=").nth(1).expect("an address");
    let address = address.split_whitespace().next().expect("an address");
    (run, address.to_owned())
}

/// Posts a body; the status of the answer.
fn post(address: &str, secret: &str, body: &Value) -> u16 {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(
        stream,
        "POST /events HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         catalyst-codelib-secret-key: {secret}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status");
    status.parse().expect("a number")
}

/// What Signals posts for one row of the trips.
fn signal(event: &str, api_name: &str, rowid: i64) -> Value {
    let details = json!({"table_id": "4000000093001", "table_name": "Trips"});
    json!({"version": 1, "attempt": 1, "events": [{
        "id": event, "time_in_ms": 1_738_540_800_118_u64, "source": "service:zohocatalyst",
        "event_config": {"api_name": api_name, "id": "5"},
        "data": {"ROWID": rowid.to_string(), "table_details": details},
    }]})
}

fn records_of(run: &Running) -> usize {
    Messages::parse(&run.stdout(), Cut::Allowed)
        .records("Trips")
        .len()
}

#[test]
fn events_are_emitted_and_after_a_kill_emitted_again() {
    let store = Store::of(50, 500);
    let first = messages(&store.sync(json!({}), None));
    let (state, rows) = (last_state(&first), ids(&first, "Trips"));
    let (run, address) = listening(&store, &state);
    for (event, api_name, row) in [
        ("e1", "row_inserted", rows[0]),
        ("e2", "row_updated", rows[1]),
        ("e2", "row_updated", rows[1]),
        ("e3", "row_deleted", rows[2]),
    ] {
        assert_eq!(post(&address, "shh", &signal(event, api_name, row)), 200);
    }
    assert_eq!(post(&address, "shh", &json!({"x": 1})), 400);
    assert_ne!(
        post(&address, "wrong", &signal("e4", "row_deleted", rows[3])),
        200
    );
    poll::until("three records", || records_of(&run) >= 3);
    // Nobody stored a state: all of it comes again.
    run.kill();
    let (run, _) = listening(&store, &state);
    poll::until("three records again", || records_of(&run) >= 3);
    run.signal(Signal::Terminate);
    let stopped = run.finish();
    stopped.expect_code(143);
    let second = messages(&stopped);
    let records = second.records("Trips");
    assert_eq!(
        ids(&second, "Trips"),
        rows[..3],
        "what came twice is emitted once"
    );
    assert!(records[0]["Driver"].is_string(), "the row was fetched");
    assert_eq!(records[2]["_sdc_deleted_at"], "2025-02-03T00:00:00.118000Z");
    let confirmed = last_state(&second);
    assert_eq!(
        confirmed["bookmarks"]["Trips"]["replication_key_value"],
        state["bookmarks"]["Trips"]["replication_key_value"],
        "a pull goes on where the last pull was"
    );
    let (run, _) = listening(&store, &confirmed);
    run.signal(Signal::Terminate);
    assert!(messages(&run.finish()).records("Trips").is_empty());
}

#[test]
fn a_row_that_comes_back_is_asked_for_and_no_body_is_too_long_for_an_empty_queue() {
    let store = Store::of(50, 500);
    let first = messages(&store.sync(json!({}), None));
    let (state, rows) = (last_state(&first), ids(&first, "Trips"));
    let callback = json!({"listen": "127.0.0.1:0", "public_url": "https://h/x", "secret": "shh"});
    let changes = json!({"callback": callback, "listen_backlog": 1});
    let (run, address) = listening_with(&store, &state, &changes);
    let listed = |action: &str, rows: &[i64]| {
        let data: Vec<Value> = rows.iter().map(|row| json!({"ROWID": row})).collect();
        json!({"action": action, "source_entity_id": "4000000093001", "event_time": 9, "data": data})
    };
    assert_eq!(post(&address, "shh", &listed("Insert", &rows[..3])), 200);
    poll::until("three records", || records_of(&run) >= 3);
    assert_eq!(post(&address, "shh", &listed("Delete", &rows[..1])), 200);
    poll::until("a deletion", || records_of(&run) >= 4);
    assert_eq!(post(&address, "shh", &listed("Insert", &rows[..1])), 200);
    poll::until("the row again", || records_of(&run) >= 5);
    run.signal(Signal::Terminate);
    let stopped = messages(&run.finish());
    let records = stopped.records("Trips");
    assert!(records[3]["_sdc_deleted_at"].is_string() && records[4]["Driver"].is_string());
}
