//! What a tap printed, line by line, as a test reads it: plain JSON values and no code of the
//! programs under test. Whether the values fit their schemas is asked in `fit`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fit;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A SCHEMA.
    Schema {
        /// The stream.
        stream: String,
        /// The JSON schema.
        schema: Value,
        /// The key.
        key_properties: Vec<String>,
    },
    /// A RECORD.
    Record {
        /// The stream.
        stream: String,
        /// The values.
        record: Value,
        /// The version, if it has one.
        version: Option<i64>,
    },
    /// The value of a STATE.
    State(Value),
    /// An ACTIVATE_VERSION.
    ActivateVersion {
        /// The stream.
        stream: String,
        /// The version.
        version: i64,
    },
    /// Any other type, as it came.
    Other(Value),
}

/// The lines of a tap in their order.
#[derive(Debug, Clone, Default)]
pub struct Messages(pub Vec<Message>);

/// Reads whole lines; a last line without its end is an error unless `cut` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Every line is whole.
    Never,
    /// The program was killed: what stands after the last line end does not count.
    Allowed,
}

impl Messages {
    /// Reads what a tap printed; panics with the line's number where a line is no Singer message.
    pub fn parse(bytes: &[u8], cut: Cut) -> Messages {
        let end = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |place| place + 1);
        let (whole, rest) = bytes.split_at(end);
        assert!(
            cut == Cut::Allowed || rest.is_empty(),
            "the last line is cut off after {} bytes",
            rest.len()
        );
        let whole = std::str::from_utf8(whole).expect("a tap prints UTF-8");
        let lines = whole.strip_suffix('\n').map(|whole| whole.split('\n'));
        Messages(
            (1usize..)
                .zip(lines.into_iter().flatten())
                .map(|(number, line)| {
                    let value: Value = serde_json::from_str(line)
                        .unwrap_or_else(|error| panic!("line {number} is no JSON: {error}"));
                    message(value)
                        .unwrap_or_else(|missing| panic!("line {number} lacks `{missing}`"))
                })
                .collect(),
        )
    }

    /// The records of a stream in their order.
    pub fn records(&self, wanted: &str) -> Vec<&Value> {
        self.0
            .iter()
            .filter_map(|message| match message {
                Message::Record { stream, record, .. } if stream == wanted => Some(record),
                _ => None,
            })
            .collect()
    }

    /// All records of a stream by key; of several with one key the last.
    pub fn by_key(&self, wanted: &str) -> BTreeMap<String, &Value> {
        let keys = self.key_properties(wanted);
        self.records(wanted)
            .into_iter()
            .map(|record| (key_of(record, &keys), record))
            .collect()
    }

    /// The key of a stream by its last SCHEMA; empty if it has none.
    pub fn key_properties(&self, wanted: &str) -> Vec<String> {
        self.0
            .iter()
            .rev()
            .find_map(|message| match message {
                Message::Schema {
                    stream,
                    key_properties,
                    ..
                } if stream == wanted => Some(key_properties.clone()),
                _ => None,
            })
            .unwrap_or_default()
    }

    /// The streams that have a SCHEMA, in the order of the first.
    pub fn streams(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        for message in &self.0 {
            if let Message::Schema { stream, .. } = message
                && !seen.contains(&stream.as_str())
            {
                seen.push(stream);
            }
        }
        seen
    }

    /// The values of all STATE messages.
    pub fn states(&self) -> Vec<&Value> {
        self.0
            .iter()
            .filter_map(|message| match message {
                Message::State(value) => Some(value),
                _ => None,
            })
            .collect()
    }

    /// The value of the last STATE.
    pub fn last_state(&self) -> Option<&Value> {
        self.states().last().copied()
    }

    /// The versions that were activated for a stream.
    pub fn activated(&self, wanted: &str) -> Vec<i64> {
        self.0
            .iter()
            .filter_map(|message| match message {
                Message::ActivateVersion { stream, version } if stream == wanted => Some(*version),
                _ => None,
            })
            .collect()
    }

    /// Fails the test unless every record comes after its SCHEMA and fits it, has its key, and no
    /// key comes twice.
    #[track_caller]
    pub fn assert_sound(&self) {
        let mut schemas: BTreeMap<&str, (&Value, &[String])> = BTreeMap::new();
        let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
        for (number, message) in (1..).zip(&self.0) {
            match message {
                Message::Schema {
                    stream,
                    schema,
                    key_properties,
                } => {
                    schemas.insert(stream, (schema, key_properties));
                }
                Message::Record { stream, record, .. } => {
                    let Some((schema, keys)) = schemas.get(stream.as_str()) else {
                        panic!("message {number}: a record of `{stream}` before its SCHEMA");
                    };
                    if let Err(problem) = fit::check(record, schema) {
                        panic!("message {number}: a record of `{stream}` does not fit: {problem}");
                    }
                    for key in *keys {
                        let value = record.get(key).unwrap_or(&Value::Null);
                        assert!(
                            !value.is_null(),
                            "message {number}: `{stream}` without key `{key}`"
                        );
                    }
                    if !keys.is_empty() {
                        let key = key_of(record, keys);
                        assert!(
                            seen.insert((stream, key)),
                            "message {number}: a key of `{stream}` comes twice"
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

/// The key of a record as text that sorts and compares.
fn key_of(record: &Value, keys: &[String]) -> String {
    let values: Vec<&Value> = keys
        .iter()
        .map(|key| record.get(key).unwrap_or(&Value::Null))
        .collect();
    serde_json::to_string(&values).expect("JSON values can be written")
}

fn message(mut value: Value) -> Result<Message, &'static str> {
    let version = value.get("version").and_then(Value::as_i64);
    // Suites read millions of records, so that nothing is copied.
    let mut member = |name: &'static str| value.get_mut(name).map(Value::take).ok_or(name);
    let text = |value: Value, name: &'static str| match value {
        Value::String(text) => Ok(text),
        _ => Err(name),
    };
    let kind = text(member("type")?, "type")?;
    match kind.as_str() {
        "SCHEMA" => {
            let Value::Array(keys) = member("key_properties")? else {
                return Err("key_properties");
            };
            let keys = keys.into_iter().map(|key| text(key, "key_properties"));
            Ok(Message::Schema {
                stream: text(member("stream")?, "stream")?,
                key_properties: keys.collect::<Result<_, _>>()?,
                schema: member("schema")?,
            })
        }
        "RECORD" => Ok(Message::Record {
            stream: text(member("stream")?, "stream")?,
            record: Some(member("record")?)
                .filter(Value::is_object)
                .ok_or("record")?,
            version,
        }),
        "STATE" => Ok(Message::State(member("value")?)),
        "ACTIVATE_VERSION" => Ok(Message::ActivateVersion {
            stream: text(member("stream")?, "stream")?,
            version: version.ok_or("version")?,
        }),
        _ => {
            value["type"] = kind.into();
            Ok(Message::Other(value))
        }
    }
}

/// The values that a target printed: one JSON value a line. Where the target was killed the last
/// line may be cut; it does not count then.
pub fn states(bytes: &[u8], cut: Cut) -> Vec<Value> {
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |place| place + 1);
    assert!(
        cut == Cut::Allowed || end == bytes.len(),
        "the last state is cut off"
    );
    bytes[..end]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a target prints JSON values only"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"SCHEMA","stream":"a","key_properties":["id"],"schema":{"properties":{"id":{"type":"integer"}}}}"#;

    fn sound(lines: &[&str]) -> Result<(), String> {
        let text = lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        std::panic::catch_unwind(|| Messages::parse(text.as_bytes(), Cut::Never).assert_sound())
            .map_err(|panic| *panic.downcast::<String>().unwrap_or_default())
    }

    fn record(id: &str) -> String {
        format!(r#"{{"type":"RECORD","stream":"a","record":{{"id":{id}}}}}"#)
    }

    #[test]
    fn sound_messages_pass() {
        sound(&[SCHEMA, &record("1"), &record("2")]).unwrap();
    }

    #[test]
    fn each_fault_is_named() {
        for (lines, words) in [
            (vec![record("1")], "before its SCHEMA"),
            (vec![SCHEMA.to_owned(), record("\"x\"")], "does not fit"),
            (
                vec![SCHEMA.to_owned(), record("1"), record("1")],
                "comes twice",
            ),
            (vec!["[".to_owned()], "no JSON"),
            (vec![r#"{"type":"STATE"}"#.to_owned()], "lacks `value`"),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let error = sound(&lines).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_cut_line_counts_only_where_it_is_allowed() {
        let bytes = b"{\"type\":\"STATE\",\"value\":{\"n\":1}}\n{\"type\":\"ST";
        let messages = Messages::parse(bytes, Cut::Allowed);
        assert_eq!(messages.last_state(), Some(&serde_json::json!({"n": 1})));
        assert!(std::panic::catch_unwind(|| Messages::parse(bytes, Cut::Never)).is_err());
        assert_eq!(states(b"{\"n\":1}\n{\"n\":", Cut::Allowed).len(), 1);
    }
}
