//! The bodies that Catalyst posts: Signals, and the older event listeners, in all their shapes.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{JsonRow, plain};
use crate::schema::{ROWID, rowid_of};

/// The end of the year 9999, in milliseconds.
const LATEST: i64 = 253_402_300_799_999;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// It was inserted or updated: both are the same to whoever upserts.
    Upsert,
    /// It was deleted.
    Delete,
}

/// One change of one row, as the journal keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Event {
    /// What happened.
    pub(super) change: Change,
    /// The row.
    pub(super) rowid: String,
    /// The id of the event, if the sender gives any.
    pub(super) id: Option<String>,
    /// When it happened, in milliseconds since 1970.
    pub(super) at: Option<i64>,
    /// Whether it was sent before: what it says of the row may be old.
    #[serde(default)]
    pub(super) is_repeated: bool,
    /// What the event says of the row.
    pub(super) row: JsonRow,
}

/// The table of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableOf {
    /// Its id.
    pub(super) id: Option<String>,
    /// Its name.
    pub(super) name: Option<String>,
}

/// What a body holds.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// The changes, in the order of the body.
    pub(super) events: Vec<(TableOf, Event)>,
    /// Events that are about something else than rows.
    pub(super) others: u64,
}

/// A body that is none of the shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a body.
pub(super) fn parse(body: &[u8]) -> Result<Body, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
    let mut read = Body::default();
    for message in list(text)? {
        let message = object(message.get())?;
        match message.get("events") {
            Some(events) => {
                let attempt = field(&message, "attempt").and_then(|attempt| attempt.parse().ok());
                let is_repeated = attempt.is_some_and(|attempt: u64| attempt > 1);
                for event in list(events.get())? {
                    signal(&object(event.get())?, is_repeated, &mut read)?;
                }
            }
            None => listener_event(&message, &mut read)?,
        }
    }
    Ok(read)
}

/// An event of Signals: the columns stand beside the table's details.
fn signal(event: &JsonRow, is_repeated: bool, read: &mut Body) -> Result<(), Malformed> {
    let config = object(event.get("event_config").ok_or(Malformed)?.get())?;
    let kind = field(&config, "api_name").ok_or(Malformed)?;
    let Some(change) = change_of(&kind) else {
        read.others += 1;
        return Ok(());
    };
    let id = field(event, "id");
    let at = time_of(event, "time_in_ms");
    let data = list(event.get("data").ok_or(Malformed)?.get())?;
    let only = data.len() == 1;
    for (index, data) in data.into_iter().enumerate() {
        let mut row = object(data.get())?;
        let details = row
            .get("table_details")
            .map(|details| object(details.get()));
        let details = details.ok_or(Malformed)??;
        row.remove("table_details");
        let table = TableOf {
            id: field(&details, "table_id"),
            name: field(&details, "table_name"),
        };
        // Rows of one event share its id.
        let id = id.as_ref().map(|id| {
            if only {
                id.clone()
            } else {
                format!("{id}/{index}")
            }
        });
        let happened = Happened {
            change,
            id,
            at,
            is_repeated,
        };
        add(read, table, happened, row)?;
    }
    Ok(())
}

/// What an event function gets from an event listener.
fn listener_event(message: &JsonRow, read: &mut Body) -> Result<(), Malformed> {
    let action = field(message, "action").ok_or(Malformed)?;
    let Some(change) = change_of(&action) else {
        read.others += 1;
        return Ok(());
    };
    let at = time_of(message, "event_time");
    for data in list(message.get("data").ok_or(Malformed)?.get())? {
        let mut row = object(data.get())?;
        let mut table = TableOf {
            id: field(message, "source_entity_id"),
            name: None,
        };
        if let Some((name, inner)) = only_object(&row) {
            table.name = Some(name);
            row = inner;
        }
        let happened = Happened {
            change,
            id: None,
            at,
            is_repeated: false,
        };
        add(read, table, happened, row)?;
    }
    Ok(())
}

/// An event without its row.
struct Happened {
    change: Change,
    id: Option<String>,
    at: Option<i64>,
    is_repeated: bool,
}

fn add(read: &mut Body, table: TableOf, happened: Happened, row: JsonRow) -> Result<(), Malformed> {
    let rowid = field(&row, ROWID).and_then(|id| rowid_of(&id));
    let rowid = rowid.ok_or(Malformed)?;
    if table == TableOf::default() {
        return Err(Malformed);
    }
    let event = Event {
        change: happened.change,
        rowid,
        id: happened.id,
        at: happened.at,
        is_repeated: happened.is_repeated,
        row,
    };
    read.events.push((table, event));
    Ok(())
}

/// The word of an event, in the past tense or not: `row_inserted`, `Insert`.
fn change_of(word: &str) -> Option<Change> {
    let word = word.to_ascii_lowercase();
    let word = word.strip_prefix("row_").unwrap_or(&word);
    if word.starts_with("insert") || word.starts_with("update") {
        Some(Change::Upsert)
    } else if word.starts_with("delete") {
        Some(Change::Delete)
    } else {
        None
    }
}

/// When an event happened; nothing for a time that no calendar has.
fn time_of(event: &JsonRow, name: &str) -> Option<i64> {
    let at: i64 = field(event, name)?.parse().ok()?;
    (0..=LATEST).contains(&at).then_some(at)
}

/// A row that lies in an object under the name of its table.
fn only_object(row: &JsonRow) -> Option<(String, JsonRow)> {
    let mut entries = row.iter();
    let (name, value) = entries.next()?;
    if entries.next().is_some() {
        return None;
    }
    Some((name.clone(), object(value.get()).ok()?))
}

/// The items of a list; an object alone is a list of one.
fn list(text: &str) -> Result<Vec<&RawValue>, Malformed> {
    if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|_| Malformed)
    } else {
        serde_json::from_str(text)
            .map(|one| vec![one])
            .map_err(|_| Malformed)
    }
}

fn object(text: &str) -> Result<JsonRow, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed)
}

fn field(object: &JsonRow, name: &str) -> Option<String> {
    object.get(name).and_then(|value| plain(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(body: &str) -> Vec<(TableOf, Event)> {
        parse(body.as_bytes()).unwrap().events
    }

    fn table(id: Option<&str>, name: Option<&str>) -> TableOf {
        TableOf {
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn signals_carry_rows_beside_the_details_of_their_table() {
        let body = r#"{"version":1,"attempt":2,"account":{},"events":[
            {"id":"e1","time_in_ms":1738540800118,"source":"service:zohocatalyst",
             "event_config":{"api_name":"row_updated","id":"5"},
             "data":{"ROWID":"4000000101007","Km":413,"table_details":{"table_id":"93001","table_name":"Trips"}}},
            {"id":"e2","event_config":{"api_name":"row_deleted"},
             "data":{"ROWID":4000000101008,"table_details":{"table_id":93001}}},
            {"id":"e3","event_config":{"api_name":"table_renamed"},"data":{}}]}"#;
        let read = parse(body.as_bytes()).unwrap();
        assert_eq!(read.others, 1);
        let [(first_table, first), (second_table, second)] = &read.events[..] else {
            panic!("two events");
        };
        assert_eq!(*first_table, table(Some("93001"), Some("Trips")));
        assert_eq!(
            (first.change, first.at),
            (Change::Upsert, Some(1_738_540_800_118))
        );
        assert!(first.is_repeated, "it was sent before");
        assert_eq!(first.id.as_deref(), Some("e1"));
        assert_eq!(first.row["Km"].get(), "413");
        assert!(!first.row.contains_key("table_details"));
        assert_eq!(*second_table, table(Some("93001"), None));
        assert_eq!(
            (second.change, second.rowid.as_str()),
            (Change::Delete, "4000000101008")
        );
    }

    #[test]
    fn event_listeners_nest_their_rows_or_do_not() {
        let nested = r#"{"action":"Update","source_entity_id":"93001","event_time":1738540800000,
            "data":[{"Trips":{"ROWID":"1","Km":1}},{"Trips":{"ROWID":"2","Km":2}}]}"#;
        let read = events(nested);
        assert_eq!(read.len(), 2);
        assert!(
            read.iter()
                .all(|(of, _)| *of == table(Some("93001"), Some("Trips")))
        );
        assert_eq!(read[1].1.rowid, "2");
        let flat =
            r#"{"action":"Insert","source_entity_id":"93001","data":[{"ROWID":"1","Km":1}]}"#;
        assert_eq!(events(flat)[0].0, table(Some("93001"), None));
        let single = r#"{"action":"DELETE","source_entity_id":93001,"data":{"ROWID":"7"}}"#;
        assert_eq!(events(single)[0].1.change, Change::Delete);
        let alone =
            r#"{"action":"Delete","source_entity_id":93001,"data":{"Trips":{"ROWID":"7"}}}"#;
        assert_eq!(events(alone)[0].1.rowid, "7");
        let several = format!("[{flat},{single}]");
        assert_eq!(events(&several).len(), 2);
    }

    #[test]
    fn ids_and_times_are_those_that_a_record_can_hold() {
        let body = |rowid: &str, at: &str| {
            let event = format!(
                r#"{{"action":"Delete","source_entity_id":9,"event_time":{at},"data":{{"ROWID":{rowid}}}}}"#
            );
            parse(event.as_bytes())
                .map(|read| (read.events[0].1.rowid.clone(), read.events[0].1.at))
        };
        assert_eq!(body("\"007\"", "1"), Ok(("7".to_owned(), Some(1))));
        for at in ["9223372036854775807", "-1", "\"soon\"", "1e30", "null"] {
            assert_eq!(body("7", at), Ok(("7".to_owned(), None)), "{at}");
        }
        assert_eq!(body("9999999999999999999", "1"), Err(Malformed));
    }

    #[test]
    fn what_has_no_row_or_no_table_is_malformed() {
        for body in [
            "",
            "7",
            "[]x",
            "{}",
            r#"{"action":"Insert","source_entity_id":"9"}"#,
            r#"{"action":"Insert","source_entity_id":"9","data":[{"Km":1}]}"#,
            r#"{"action":"Insert","data":[{"ROWID":"1"}]}"#,
            r#"{"action":"Insert","source_entity_id":"9","data":[{"ROWID":"1 OR 1"}]}"#,
            r#"{"events":[{"event_config":{"api_name":"row_inserted"},"data":{"ROWID":"1"}}]}"#,
            r#"{"events":7}"#,
        ] {
            assert_eq!(parse(body.as_bytes()).err(), Some(Malformed), "{body}");
        }
        assert!(events("[]").is_empty());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = parse(&body);
        }
    }
}
