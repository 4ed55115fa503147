//! Asks a program what it is: `--about --format json`, as the Meltano SDK and our own binaries answer it.
//! A program that does not know the flag is a classic one, and no fault.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// How long a program may take to answer; Python with many packages is slow to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most of an answer that is read.
const LONGEST_ANSWER: u64 = 4 << 20;

/// What a program says of itself.
#[derive(Debug)]
pub(super) struct About {
    pub(super) settings: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) required: bool,
    pub(super) secret: bool,
    /// Whether it says of itself that a starter has it, or does without.
    pub(super) starter: Option<bool>,
    /// Takes `{"env": …}` in place of its text.
    pub(super) takes_object: bool,
    pub(super) default: Option<Value>,
    /// Text that stands for a value that is still to be given.
    pub(super) placeholder: Value,
}

/// What stands where a person has to write something.
pub(super) const PLACEHOLDER: &str = "CHANGE-ME";

/// Asks a program; `None` if it has no answer.
pub(super) async fn ask(program: &Path) -> Option<About> {
    let mut child = Command::new(program)
        .args(["--about", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let stdout = child.stdout.take()?;
    let answer = async {
        let mut bytes = Vec::new();
        stdout
            .take(LONGEST_ANSWER)
            .read_to_end(&mut bytes)
            .await
            .ok()?;
        let status = child.wait().await.ok()?;
        status.success().then_some(bytes)
    };
    let bytes = tokio::time::timeout(PATIENCE, answer).await;
    if let (Err(_), Some(group)) = (&bytes, group) {
        tracing::warn!(
            "`{}` did not answer `--about` within {} s",
            program.display(),
            PATIENCE.as_secs()
        );
        // A script may have started others. They may be gone already.
        let _gone = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    read(&bytes.ok()??)
}

/// Some print log lines before the document.
fn read(bytes: &[u8]) -> Option<About> {
    let begin = bytes.iter().position(|byte| *byte == b'{')?;
    let document: Value = serde_json::from_slice(bytes.get(begin..)?).ok()?;
    let schema = document.get("settings")?.as_object()?;
    Some(About {
        settings: read_settings(schema),
    })
}

fn read_settings(schema: &Map<String, Value>) -> Vec<Setting> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    properties
        .iter()
        .map(|(name, property)| {
            let flag = |key: &str| {
                property
                    .get(key)
                    .and_then(Value::as_bool)
                    .unwrap_or_default()
            };
            Setting {
                name: name.clone(),
                description: described(property),
                required: required.contains(&name.as_str()),
                secret: flag("secret") || flag("writeOnly"),
                starter: property.get("starter").and_then(Value::as_bool),
                takes_object: is_of_type(property, "object"),
                default: property
                    .get("default")
                    .filter(|value| !value.is_null())
                    .cloned(),
                placeholder: placeholder(property),
            }
        })
        .collect()
}

fn is_of_type(property: &Value, wanted: &str) -> bool {
    match property.get("type") {
        Some(Value::String(name)) => name == wanted,
        Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
        _ => false,
    }
}

/// A value that is seen to be none yet, of the outer form that the setting has.
fn placeholder(property: &Value) -> Value {
    if let Some(default) = property.get("default").filter(|value| !value.is_null()) {
        return default.clone();
    }
    if is_of_type(property, "object") && !is_of_type(property, "string") {
        // Names that a person chooses and what stands under them: an example says more than an empty object.
        if let Some(example) = property.pointer("/examples/0").filter(|it| it.is_object()) {
            return example.clone();
        }
        let inner = property.as_object().map(read_settings).unwrap_or_default();
        return inner
            .into_iter()
            .filter(|setting| setting.required)
            .map(|setting| (setting.name, setting.placeholder))
            .collect::<Map<String, Value>>()
            .into();
    }
    if is_of_type(property, "array") {
        return Value::Array(Vec::new());
    }
    PLACEHOLDER.into()
}

/// What a setting is for, and the words that it may be.
fn described(property: &Value) -> String {
    let sentence = first_sentence(property);
    let words = property.get("enum").and_then(Value::as_array);
    let words: Vec<&str> = words
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if words.is_empty() {
        return sentence;
    }
    format!("{sentence} (one of {})", words.join(", "))
}

fn first_sentence(property: &Value) -> String {
    let text = property
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = line.split_once(". ").map_or(&*line, |(first, _)| first);
    sentence.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_of_the_sdk_is_understood_with_a_log_line_before_it() {
        let about = read(
            br#"2026-01-01 INFO started
{"name": "tap-shop", "capabilities": ["catalog", "discover"], "settings": {"type": "object",
 "properties": {"token": {"type": ["string"], "secret": true, "description": "The token.\nAsk for one. Or two."},
  "pages": {"type": ["integer", "null"], "default": 3, "enum": [3, 4]},
  "kind": {"type": "string", "enum": ["new", "old"], "description": "Which."},
  "auth": {"type": "object", "required": ["user"], "properties": {"user": {"type": "string"}, "x": {}}},
  "shops": {"type": ["array", "null"]},
  "streams": {"type": "object", "examples": [{"sales": {"query": "all"}}]}},
 "required": ["token", "auth", "shops", "streams"]}}"#,
        )
        .unwrap();
        let token = &about.settings[0];
        assert!(token.required && token.secret && !token.takes_object);
        assert_eq!(token.description, "The token");
        assert_eq!(about.settings[2].description, "Which (one of new, old)");
        let placeholders: Vec<&Value> = about
            .settings
            .iter()
            .map(|setting| &setting.placeholder)
            .collect();
        assert_eq!(
            placeholders,
            [
                &json!("CHANGE-ME"),
                &json!(3),
                &json!("CHANGE-ME"),
                &json!({"user": "CHANGE-ME"}),
                &json!([]),
                &json!({"sales": {"query": "all"}})
            ]
        );
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in ["", "usage: tap", "{", "[]", "{}", r#"{"settings": 3}"#] {
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
