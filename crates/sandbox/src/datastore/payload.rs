//! The bodies of events, in the two shapes that receivers get. Facts: section 5.

use serde_json::{Value, json};

use super::PROJECT_NAME;
use super::options::{Environment, Shape};
use super::store::Action;
use crate::text::push_text;

/// One event. Its row is JSON text, so that no number loses a digit.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) action: Action,
    pub(super) environment: Environment,
    pub(super) table_id: i64,
    pub(super) table: String,
    pub(super) row: String,
    pub(super) time_ms: i64,
    /// How often it was posted before.
    pub(super) attempts: u32,
}

/// What the body says besides the events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) project: i64,
    pub(super) org: i64,
}

/// The body of events that agree in action and environment.
pub(super) fn body(events: &[Event], shape: Shape, sender: Sender) -> String {
    match (shape, events.first()) {
        (_, None) => "{}".to_owned(),
        (Shape::Signals, Some(first)) => signals(events, first, sender),
        (Shape::Listener, Some(first)) => listener(events, first, sender),
    }
}

fn signals(events: &[Event], first: &Event, sender: Sender) -> String {
    let attempt = first.attempts + 1;
    let mut head = json!({
        "version": 1, "rule_id": "5000000000031", "target_id": "5000000000032",
        "attempt": attempt,
        "account": {"org_id": sender.org.to_string(), "project": {
            "environment": first.environment.name(), "name": PROJECT_NAME,
            "id": sender.project.to_string()}},
    })
    .to_string();
    head.pop();
    let api_name = match first.action {
        Action::Insert => "row_inserted",
        Action::Update => "row_updated",
        Action::Delete => "row_deleted",
    };
    let config_id = (5_000_000_000_010 + first.action as i64).to_string();
    let one = |event: &Event| {
        let details = json!({"table_details": {
            "table_id": event.table_id.to_string(), "table_name": event.table}});
        format!(
            r#"{{"id":"{}","time_in_ms":{},"source":"service:zohocatalyst","event_config":{},"data":{}}}"#,
            event.id,
            event.time_ms,
            json!({"api_name": api_name, "id": config_id}),
            join(&event.row, &details)
        )
    };
    let events: Vec<String> = events.iter().map(one).collect();
    format!("{head},\"events\":[{}]}}", events.join(","))
}

fn listener(events: &[Event], first: &Event, sender: Sender) -> String {
    let project = json!({"id": sender.project.to_string(), "project_name": PROJECT_NAME});
    let action = match first.action {
        Action::Insert => "Insert",
        Action::Update => "Update",
        Action::Delete => "Delete",
    };
    let mut head = json!({
        "project_details": project,
        "event_bus_details": {"name": "Default", "id": "4000000006020"},
        "rule_identifier": "4000000120001", "current_project": project,
        "action": action, "source": "Datastore",
        "source_entity_id": first.table_id.to_string(), "event_time": first.time_ms,
    })
    .to_string();
    head.pop();
    let data = if first.action == Action::Delete && events.len() == 1 {
        // A deletion is seen as one flat object.
        first.row.clone()
    } else {
        let nested = |event: &Event| {
            let mut nested = String::from("{");
            push_text(&mut nested, &event.table);
            nested.push(':');
            nested.push_str(&event.row);
            nested.push('}');
            nested
        };
        let rows: Vec<String> = events.iter().map(nested).collect();
        format!("[{}]", rows.join(","))
    };
    format!("{head},\"data\":{data}}}")
}

/// An object's text with the members of another one behind its own.
fn join(object: &str, more: &Value) -> String {
    let more = more.to_string();
    let head = object.strip_suffix('}').unwrap_or(object);
    let tail = more.strip_prefix('{').unwrap_or(&more);
    format!("{head},{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: Action) -> Event {
        Event {
            id: "6f1f9a5e".to_owned(),
            action,
            environment: Environment::Production,
            table_id: 7,
            table: "Trips".to_owned(),
            row: r#"{"ROWID":"40000000001010008","Km":1.50}"#.to_owned(),
            time_ms: 1_738_540_800_118,
            attempts: 1,
        }
    }

    const SENDER: Sender = Sender { project: 1, org: 2 };

    #[test]
    fn a_signal_has_the_columns_beside_the_table() {
        let text = body(&[event(Action::Update)], Shape::Signals, SENDER);
        assert!(text.contains("\"Km\":1.50,\"table_details\":"), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["attempt"], 2);
        assert_eq!(
            value["events"][0]["event_config"]["api_name"],
            "row_updated"
        );
        assert_eq!(
            value["events"][0]["data"]["table_details"]["table_name"],
            "Trips"
        );
    }

    #[test]
    fn a_listener_gets_rows_under_the_name_of_their_table() {
        let events = [event(Action::Insert), event(Action::Insert)];
        let text = body(&events, Shape::Listener, SENDER);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["data"][1]["Trips"]["ROWID"], "40000000001010008");
        let text = body(&[event(Action::Delete)], Shape::Listener, SENDER);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&value["action"], &value["data"]["Km"]),
            (&json!("Delete"), &json!(1.5))
        );
    }
}
