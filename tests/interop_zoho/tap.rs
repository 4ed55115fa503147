//! `tap-datastore` over tables that Zoho's SDK filled and changed: each row that it emits is the row that
//! the SDK reads, whichever way the tap took.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::Options;
use sandbox::datastore::{Comparators, Written};
use serde_json::{Value, json};
use singer_test::bin::{Finished, Run, Signal};
use singer_test::poll;
use singer_test::stream::{Cut, Messages};

use crate::case::{Case, PROJECT, TIME_ZONE, environment, program, text_of};
use crate::client::every_type;

const TABLE: &str = "Judged";

#[test]
fn the_tap_emits_the_rows_that_the_sdk_reads() {
    let Some(case) = filled(750) else { return };
    emits_all_rows(&case, 200_000);
}

#[test]
fn the_tap_emits_them_in_other_readings_of_the_service() {
    let Some(case) = filled_with(750, |options| {
        let datastore = &mut options.datastore;
        datastore.page_rows = 100;
        datastore.booleans = Written::Text;
        datastore.numbers = Written::Text;
        datastore.csv_bom = true;
        datastore.csv_crlf = true;
        datastore.comparators = Comparators::Seen;
    }) else {
        return;
    };
    emits_all_rows(&case, 100);
}

fn emits_all_rows(case: &Case, page_size: u64) {
    let wanted = case.rows(TABLE);
    // By a bulk job, then by pages of rows.
    for small_table_rows in [0, 10_000] {
        let settings = json!({"small_table_rows": small_table_rows, "page_size": page_size});
        let ended = tap(case, settings, &["--select", TABLE]).finish();
        ended.expect_code(0);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        messages.assert_sound();
        assert_eq!(messages.key_properties(TABLE), ["ROWID"]);
        assert_records(&messages, &wanted);
    }
}

#[test]
fn the_tap_follows_what_the_sdk_changes() {
    let Some(case) = filled(300) else { return };
    follows_changes(&case);
}

#[test]
fn the_tap_follows_them_where_the_service_takes_no_criteria() {
    let Some(case) = filled_with(300, |options| {
        options.datastore.system_criteria = false;
    }) else {
        return;
    };
    follows_changes(&case);
}

fn follows_changes(case: &Case) {
    let incremental = json!({"lookback_seconds": 0, "small_table_rows": 0, "deletions": "diff"});
    let catalog = incremental_catalog(case, &incremental);
    let run = |state: Option<&str>| {
        let mut arguments = vec!["--catalog", "catalog.json"];
        if state.is_some() {
            arguments.extend(["--state", "state.json"]);
        }
        let ended = tap(case, incremental.clone(), &arguments).finish();
        ended.expect_code(0);
        let last = ended.text().lines().last().map(str::to_owned);
        case.folder
            .write("state.json", state_of(&last.expect("a message")));
        Messages::parse(&ended.stdout, Cut::Never)
    };
    case.folder.write_json("catalog.json", &catalog);
    let first = run(None);
    first.assert_sound();
    assert_records(&first, &case.rows(TABLE));

    let ids: Vec<String> = case.rows(TABLE).into_keys().collect();
    edit(case, &ids[..20], &ids[30..35]);
    let second = run(Some("state.json"));
    second.assert_sound();
    let wanted = case.rows(TABLE);
    let (gone, there): (Vec<&Value>, Vec<&Value>) = second
        .records(TABLE)
        .into_iter()
        .partition(|record| record["_sdc_deleted_at"].is_string());
    let known: BTreeSet<&String> = ids.iter().collect();
    let expected: BTreeSet<&String> = ids[..20]
        .iter()
        .chain(wanted.keys().filter(|id| !known.contains(id)))
        .collect();
    let found: BTreeMap<String, &Value> = there
        .into_iter()
        .map(|record| (text_of(&record["ROWID"]), record))
        .collect();
    assert!(
        expected.iter().all(|id| found.contains_key(*id)),
        "{} of {} rows that changed",
        found.len(),
        expected.len()
    );
    for (id, record) in &found {
        assert_same(record, &wanted[id]);
    }
    let gone: BTreeSet<String> = gone
        .iter()
        .map(|record| text_of(&record["ROWID"]))
        .collect();
    assert_eq!(gone, ids[30..35].iter().cloned().collect());
}

/// The SDK changes some rows, adds ten, and deletes others.
fn edit(case: &Case, changed: &[String], deleted: &[String]) {
    let changed: Vec<Value> = changed
        .iter()
        .map(|id| json!({"ROWID": id, "Prose": "changed, \"twice\"\n", "Small": null}))
        .collect();
    let added: Vec<Value> = (1000..1010).map(row).collect();
    case.sdk(&[
        json!({"update": changed, "table": TABLE}),
        json!({"insert": added, "table": TABLE}),
        json!({"delete": deleted, "table": TABLE}),
    ]);
}

#[test]
fn single_rows_are_those_that_the_sdk_reads() {
    let Some(case) = filled(20) else { return };
    let wanted = case.rows(TABLE);
    let ids: Vec<&str> = wanted.keys().take(3).map(String::as_str).collect();
    let rows = format!("{TABLE}/{}", ids.join(","));
    let ended = tap(&case, json!({}), &["--row", &rows]).finish();
    ended.expect_code(0);
    let messages = Messages::parse(&ended.stdout, Cut::Never);
    let some = wanted.into_iter().take(3).collect();
    assert_records(&messages, &some);
}

#[test]
fn events_of_what_the_sdk_changes_become_records() {
    for shape in ["signals", "listener"] {
        let Some(case) = filled(30) else { return };
        let settings = json!({"listen_secret": "sesame"});
        let listening = tap(
            &case,
            settings,
            &["--listen", "127.0.0.1:0", "--select", TABLE],
        );
        let running = listening.start();
        running.wait_for_log("listens for events");
        let log = running.stderr();
        let mut words = log.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("address="));
        let address = address.expect("the address is logged");
        let hook = json!({
            "url": format!("http://{address}/events"), "secret": "sesame", "shape": shape, "bundle": 7,
        });
        let hook = serde_json::from_value(hook).expect("a receiver of events");
        case.sandbox.datastore().set_events(Some(hook));
        let ids: Vec<String> = case.rows(TABLE).into_keys().collect();
        edit(&case, &ids[..10], &ids[20..25]);
        let records = || {
            let text = String::from_utf8(running.stdout()).expect("UTF-8");
            text.matches("\"RECORD\"").count()
        };
        poll::until("each event has become a record", || records() >= 25);
        running.signal(Signal::Terminate);
        let ended = running.finish();
        ended.expect_code(143);
        let messages = Messages::parse(&ended.stdout, Cut::Never);
        let wanted = case.rows(TABLE);
        let (mut there, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for record in messages.records(TABLE) {
            let id = text_of(&record["ROWID"]);
            if record["_sdc_deleted_at"].is_string() {
                gone.insert(id);
            } else {
                assert_same(record, &wanted[&id]);
                there.insert(id);
            }
        }
        assert_eq!(gone, ids[20..25].iter().cloned().collect());
        let added = wanted.keys().filter(|id| !ids.contains(id));
        let expected: BTreeSet<String> = ids[..10].iter().chain(added).cloned().collect();
        assert_eq!(there, expected);
    }
}

#[test]
fn singer_check_tap_finds_our_messages_valid() {
    let Some(classic) = environment("classic") else {
        return;
    };
    let Some(case) = filled(400) else { return };
    for small_table_rows in [0, 10_000] {
        let settings = json!({"small_table_rows": small_table_rows});
        let messages = tap(&case, settings, &["--select", TABLE]).finish();
        messages.expect_code(0);
        let verdict = program(&classic, "singer-check-tap")
            .stdin(messages.stdout)
            .finish();
        verdict.expect_code(0);
        let text = verdict.text();
        assert!(
            text.contains("The output is valid.") && text.contains("400 record messages"),
            "{text}"
        );
    }
}

/// A table with so many rows, written by Zoho's SDK.
pub(crate) fn filled(count: u64) -> Option<Case> {
    filled_with(count, |_| {})
}

/// The same with other options of the sandbox.
fn filled_with(count: u64, change: impl FnOnce(&mut Options)) -> Option<Case> {
    let case = Case::with(change)?;
    let datastore = case.sandbox.datastore();
    datastore
        .create_table(&every_type(TABLE))
        .expect("the table is made");
    let rows: Vec<Value> = (0..count).map(row).collect();
    case.sdk(&[json!({"insert": rows, "table": TABLE})]);
    Some(case)
}

/// A row that its number decides; some cells are null, and some are at the limit of their type.
pub(crate) fn row(number: u64) -> Value {
    let unless = |every: u64, value: Value| {
        if number % every == every - 1 {
            Value::Null
        } else {
            value
        }
    };
    let proses = [
        "plain",
        "with, comma",
        "say \"no\"",
        "two\nlines",
        "a\r\nb, \"c\"\n",
        " edges ",
        "Zo\u{eb} \u{6f22}\u{5b57}",
        "# no comment",
        "null",
        "=1+1",
    ];
    json!({
        "Code": format!("code {number}"),
        "Prose": unless(7, json!(proses[(number % 10) as usize])),
        "Hidden": unless(5, json!(format!("secret {number}"))),
        "Day": unless(3, json!(format!("20{:02}-0{}-{:02}", number % 100, number % 9 + 1, number % 28 + 1))),
        "Moment": unless(4, json!(format!("2026-03-{:02} {:02}:59:59", number % 28 + 1, number % 24))),
        "Small": unless(6, json!(2_147_483_000 - (number % 450) as i64 * 9_000_000)),
        // Above what a float can hold.
        "Large": unless(8, json!(9_007_199_254_740_993 + number)),
        "Ratio": unless(9, json!(number as f64 / 7.0)),
        "Price": unless(10, json!(format!("{number}.10"))),
        "Done": unless(11, json!(number.is_multiple_of(2))),
    })
}

/// The tap in the folder of a case.
pub(crate) fn tap(case: &Case, settings: Value, arguments: &[&str]) -> Run {
    let Value::Object(settings) = settings else {
        panic!("settings are an object")
    };
    let mut all = json!({
        "api_url": case.sandbox.zoho_url(), "project_id": PROJECT, "time_zone": TIME_ZONE,
        "environment": "Production",
    });
    all.as_object_mut()
        .expect("a config is an object")
        .extend(settings);
    Run::of("tap-datastore")
        .arg("--config")
        .arg(case.config("tap-datastore.json", all))
        .args(arguments)
        .folder(case.folder.path())
}

/// The catalog of discovery with the table chosen, to be read by its changes.
pub(crate) fn incremental_catalog(case: &Case, settings: &Value) -> Value {
    let ended: Finished = tap(case, settings.clone(), &["--discover"]).finish();
    ended.expect_code(0);
    let mut catalog: Value =
        serde_json::from_slice(&ended.stdout).expect("discovery prints a catalog");
    let streams = catalog["streams"].as_array_mut().expect("streams");
    for stream in streams {
        let is_chosen = stream["stream"] == TABLE;
        let metadata = stream["metadata"].as_array_mut().expect("metadata");
        let whole = metadata
            .iter_mut()
            .find(|entry| entry["breadcrumb"] == json!([]))
            .expect("metadata of the stream");
        whole["metadata"]["selected"] = json!(is_chosen);
        whole["metadata"]["replication-method"] = json!("INCREMENTAL");
        whole["metadata"]["replication-key"] = json!("MODIFIEDTIME");
    }
    catalog
}

/// The value of a STATE line.
fn state_of(line: &str) -> String {
    let message: Value = serde_json::from_str(line).expect("a message is JSON");
    assert_eq!(message["type"], "STATE", "the last message is a state");
    message["value"].to_string()
}

/// The records of the table are these rows, each once.
#[track_caller]
fn assert_records(messages: &Messages, wanted: &BTreeMap<String, Value>) {
    let mut found: BTreeMap<String, &Value> = BTreeMap::new();
    for record in messages.records(TABLE) {
        let id = text_of(&record["ROWID"]);
        assert!(
            found.insert(id.clone(), record).is_none(),
            "{id} comes twice"
        );
    }
    assert!(
        found.keys().eq(wanted.keys()),
        "{} records of {} rows",
        found.len(),
        wanted.len()
    );
    for (id, record) in found {
        assert_same(record, &wanted[&id]);
    }
}

/// A record is the row: ids and large numbers are texts to the SDK and numbers to us.
#[track_caller]
fn assert_same(record: &Value, row: &Value) {
    for (name, wanted) in row.as_object().expect("a row is an object") {
        let found = record.get(name).unwrap_or(&Value::Null);
        let is_same = match (found, wanted) {
            (Value::Number(found), wanted) if found.is_f64() || wanted.is_f64() => {
                found.as_f64() == text_of(wanted).parse().ok()
            }
            // A fraction has as many digits as there are, or six.
            (Value::String(found), Value::String(wanted)) if name.ends_with("TIME") => {
                without_zeros(found) == without_zeros(wanted)
            }
            _ => text_of(found) == text_of(wanted),
        };
        assert!(is_same, "`{name}` is {found}, and {wanted} to the SDK");
    }
}

fn without_zeros(time: &str) -> &str {
    let time = time.trim_end_matches('Z');
    if time.contains('.') {
        time.trim_end_matches('0').trim_end_matches('.')
    } else {
        time
    }
}
