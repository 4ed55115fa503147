//! Metric lines: what taps and targets of others count of themselves.

use memchr::memmem;
use serde_json::Value;

/// The counter of records; the others are of no use for a history.
const RECORD_COUNT: &str = "record_count";
/// Tags that name the stream, in the order in which they are looked for.
const STREAM_TAGS: [&str; 3] = ["stream", "endpoint", "table"];

/// What a line measures.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// So many more records of a stream.
    Records { stream: String, count: u64 },
    /// Something else.
    Other,
}

/// Reads a metric line: `INFO METRIC: {…}`, the same behind any prefix, or a JSON log line that holds
/// one.
pub(super) fn parse(line: &str) -> Option<Metric> {
    let json = line.starts_with('{');
    if let Some(at) = memmem::find(line.as_bytes(), b"METRIC") {
        let point = if json {
            of_log_object(line)
        } else {
            of_text(line.get(at..)?)
        };
        return point.map(|point| measure(&point));
    }
    if json && memmem::find(line.as_bytes(), b"metric_info").is_some() {
        return of_log_object(line).map(|point| measure(&point));
    }
    None
}

/// The object behind `METRIC:`; what follows it is no part of it.
fn of_text(text: &str) -> Option<Value> {
    let object = text
        .strip_prefix("METRIC")?
        .trim_start_matches(':')
        .trim_start();
    if !object.starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(object).into_iter::<Value>();
    values.next()?.ok()
}

/// The metric of a JSON log line: a field of its own, or in the text of its message.
fn of_log_object(line: &str) -> Option<Value> {
    let object: Value = serde_json::from_str(line).ok()?;
    if let Some(point) = object.get("metric_info").filter(|point| point.is_object()) {
        return Some(point.clone());
    }
    let message = ["message", "event", "msg"]
        .iter()
        .find_map(|key| object.get(key)?.as_str())?;
    of_text(message.get(message.find("METRIC")?..)?)
}

fn measure(point: &Value) -> Metric {
    records(point).unwrap_or(Metric::Other)
}

fn records(point: &Value) -> Option<Metric> {
    let part = |names: [&str; 2]| names.iter().find_map(|name| point.get(name));
    if part(["metric", "metric_name"])?.as_str()? != RECORD_COUNT {
        return None;
    }
    // Python writes a counter that was increased by a fraction, or by NumPy, as a decimal.
    let value = part(["value", "metric_value"])?;
    let count = match value.as_u64() {
        Some(count) => count,
        None => value.as_f64().filter(|value| *value >= 0.0)? as u64,
    };
    let tags = part(["tags", "metric_tags"])?;
    let stream = STREAM_TAGS.iter().find_map(|tag| tags.get(tag)?.as_str())?;
    Some(Metric::Records {
        stream: stream.to_owned(),
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(line: &str) -> Option<(String, u64)> {
        match parse(line)? {
            Metric::Records { stream, count } => Some((stream, count)),
            Metric::Other => Some(("-".to_owned(), 0)),
        }
    }

    #[test]
    fn counters_of_every_maker_are_read() {
        for line in [
            r#"INFO METRIC: {"type": "counter", "metric": "record_count", "value": 250, "tags": {"endpoint": "a"}}"#,
            r#"2022-12-05 19:46:46,747 | INFO     | singer_sdk.metrics   | INFO METRIC: {"metric_type": "counter", "metric": "record_count", "value": 250, "tags": {"stream": "a", "context": {"parent_id": 1}}}"#,
            r#"time=2020-01-01 name=singer level=INFO message=METRIC: {"type": "counter", "metric": "record_count", "value": 250.0, "tags": {"database": "d", "table": "a"}}"#,
            r#"{"level": "info", "message": "METRIC", "metric_info": {"metric_type": "counter", "metric": "record_count", "value": 250, "tags": {"stream": "a"}}}"#,
            r#"{"level":"info","message":"METRIC: {\"type\":\"counter\",\"metric\":\"record_count\",\"value\":250,\"tags\":{\"stream\":\"a\"}}"}"#,
        ] {
            assert_eq!(counted(line), Some(("a".to_owned(), 250)), "{line}");
        }
    }

    #[test]
    fn timers_are_metrics_and_other_lines_are_none() {
        let timer = r#"INFO METRIC: {"type":"timer","metric":"job_duration","value":1.5,"tags":{"job_type":"sync"}}"#;
        assert_eq!(parse(timer), Some(Metric::Other));
        for line in [
            "INFO METRICS are on",
            "INFO METRIC: {broken",
            "METRIC",
            r#"{"level":"info","message":"the METRIC system"}"#,
            r#"{"metric_info": 7}"#,
            "",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
