//! What the target prints: each state becomes a version before the next line is read.
//!
//! A store that is slow slows the target, which is right. After trouble the lines are still read, so
//! that the target can end in good order, but nothing more is stored: the newest state that could
//! not be stored is kept, to be tried once more when the stages have ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use singer_core::{Error, Result};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::watch;

use crate::live::Display;
use crate::spec::Backwards;
use crate::state::backwards::{self, Finding};
use crate::state::{States, Stored};

/// A line above this is no state.
const LONGEST_LINE: usize = 64 << 20;

/// How long the last lines of a target that has ended are waited for, where something else holds its
/// stdout open.
const REST: Duration = Duration::from_millis(500);

/// What is known of the states of a run; lives through all its attempts.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) run: String,
    pub(super) rule: Backwards,
    /// What the next state is compared with.
    pub(super) baseline: Option<String>,
    /// The newest version that is known.
    pub(super) version: Option<u64>,
    pub(super) warnings: Vec<String>,
    /// Lines that were no state.
    pub(super) ignored: u64,
    pub(super) trouble: Option<Trouble>,
    /// The newest state that could not be stored.
    pub(super) unsaved: Option<String>,
    lost: BTreeSet<String>,
    /// What happens to states.
    pub(super) states_are: StatesAre,
}

/// What a state of this run is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatesAre {
    Stored,
    /// A replay moves no bookmark.
    Ignored,
}

/// Why the stages must be ended.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The states cannot be trusted.
    Refused(Error),
    /// The store failed.
    Store(Error),
    /// Somebody else has taken over.
    Fenced,
}

impl Intake {
    pub(super) fn new(
        run: &str,
        rule: Backwards,
        states_are: StatesAre,
        version: Option<u64>,
        baseline: Option<String>,
    ) -> Self {
        Self {
            run: run.to_owned(),
            rule,
            baseline,
            version,
            warnings: Vec::new(),
            ignored: 0,
            trouble: None,
            unsaved: None,
            lost: BTreeSet::new(),
            states_are,
        }
    }

    /// Reads the target's stdout to its end, or until the target has ended and nothing more comes.
    /// `trouble` is told as soon as there is some.
    pub(super) async fn read(
        &mut self,
        mut stdout: impl AsyncBufRead + Unpin,
        states: &mut States,
        display: &Display,
        now: impl Fn() -> String,
        mut ended: watch::Receiver<bool>,
        trouble: &watch::Sender<bool>,
    ) {
        let mut line = Line::default();
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = stdout.fill_buf() => chunk,
                () = rest_is_over(&mut ended) => {
                    self.warn("something that the target left behind holds its stdout open".to_owned());
                    break;
                }
            };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    let error =
                        Error::internal("cannot read the target's stdout").with_source(error);
                    self.fail(Trouble::Store(error), trouble);
                    break;
                }
            };
            if chunk.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', chunk);
            line.push(&chunk[..end.unwrap_or(chunk.len())]);
            let used = end.map_or(chunk.len(), |end| end + 1);
            stdout.consume(used);
            if end.is_some() {
                self.take(&line, states, display, &now(), trouble).await;
                line.clear();
            }
        }
        // A last line without its end may have been cut off, and is no state unless it is whole JSON.
        self.take(&line, states, display, &now(), trouble).await;
    }

    async fn take(
        &mut self,
        line: &Line,
        states: &mut States,
        display: &Display,
        now: &str,
        trouble: &watch::Sender<bool>,
    ) {
        if line.is_too_long {
            let error = Error::protocol("the target printed a line above 64 MiB: that is no state");
            self.fail(Trouble::Refused(error), trouble);
            return;
        }
        let state = match find_state(&line.bytes) {
            Found::State(state) => state,
            Found::Nothing => return,
            Found::Other => {
                self.ignored += 1;
                if self.ignored == 1 {
                    tracing::warn!(
                        "the target printed a line that is no state; such lines are ignored"
                    );
                }
                return;
            }
        };
        if self.states_are == StatesAre::Ignored {
            self.warn_once(
                "a replay moves no bookmark: a state that the target printed was ignored",
            );
            return;
        }
        match &self.trouble {
            // What came after a state that was refused cannot be trusted.
            Some(Trouble::Refused(_) | Trouble::Fenced) => return,
            Some(Trouble::Store(_)) => {
                self.unsaved = Some(state.to_owned());
                return;
            }
            None => {}
        }
        if let Err(error) = self.judge(state) {
            self.fail(Trouble::Refused(error), trouble);
            return;
        }
        match states.append(state, &self.run, now).await {
            Ok(Stored::Version(version)) => {
                display.state(version);
                self.version = Some(version);
                self.baseline = Some(state.to_owned());
            }
            Ok(Stored::Same(version)) => {
                self.version = Some(version);
                self.baseline = Some(state.to_owned());
            }
            Ok(Stored::Fenced) => self.fail(Trouble::Fenced, trouble),
            Err(error) => {
                self.unsaved = Some(state.to_owned());
                self.fail(Trouble::Store(error), trouble);
            }
        }
    }

    /// Compares a state with the one before; an error refuses it.
    fn judge(&mut self, state: &str) -> Result<()> {
        let Some(before) = &self.baseline else {
            return Ok(());
        };
        for finding in backwards::compare(before, state) {
            let (stream, key) = match finding {
                Finding::Lost { stream } => {
                    if self.lost.insert(stream.clone()) {
                        self.warn(format!(
                            "the bookmark of the stream `{stream}` is gone from the state: the next run reads it from its start"
                        ));
                    }
                    continue;
                }
                Finding::Backwards { stream, key } => (stream, key),
            };
            let than = match self.version {
                Some(version) => format!("version {version}"),
                None => "the state before it".to_owned(),
            };
            let message = format!(
                "the target printed a state that goes backwards: `{key}` of the stream `{stream}` lies before that of {than}"
            );
            match self.rule {
                Backwards::Accept => {}
                Backwards::Warn => self.warn(message),
                Backwards::Refuse => {
                    return Err(Error::protocol(message)
                        .with_hint("if that is meant: `state_backwards = \"accept\"` in the pipeline, or a run with `--full-refresh`"));
                }
            }
        }
        Ok(())
    }

    /// Notes something that deserves attention, and logs it.
    pub(super) fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }

    fn warn_once(&mut self, warning: &str) {
        if !self.warnings.iter().any(|known| known == warning) {
            self.warn(warning.to_owned());
        }
    }

    /// The first trouble counts.
    fn fail(&mut self, what: Trouble, trouble: &watch::Sender<bool>) {
        if self.trouble.is_none() {
            self.trouble = Some(what);
            trouble.send_replace(true);
        }
    }
}

/// Returns a while after the target has ended.
async fn rest_is_over(ended: &mut watch::Receiver<bool>) {
    if ended.wait_for(|ended| *ended).await.is_err() {
        // The run is over, and this future with it.
        return;
    }
    tokio::time::sleep(REST).await;
}

/// A line so far, bounded.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Line {
    fn push(&mut self, piece: &[u8]) {
        if self.bytes.len() + piece.len() > LONGEST_LINE {
            self.is_too_long = true;
            self.bytes = Vec::new();
        }
        if !self.is_too_long {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.is_too_long = false;
    }
}

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    State(&'a str),
    /// An empty line, or a state that says nothing.
    Nothing,
    Other,
}

/// Finds the state in a line: a JSON object, or the `value` of a STATE message around it.
fn find_state(line: &[u8]) -> Found<'_> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        value: Option<&'a RawValue>,
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return Found::Other;
    };
    let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r']);
    if text.is_empty() {
        return Found::Nothing;
    }
    if !text.starts_with('{') {
        return Found::Other;
    }
    let Ok(message) = serde_json::from_str::<Message<'_>>(text) else {
        return Found::Other;
    };
    let kind = message.kind.map_or("", RawValue::get).trim_matches('"');
    let is = |word: &str| kind.eq_ignore_ascii_case(word);
    let state = match message.value {
        Some(value) if is("STATE") => value.get(),
        _ if is("STATE") => "null",
        // A target that echoes its input prints no states.
        _ if ["RECORD", "SCHEMA", "ACTIVATE_VERSION", "BATCH"]
            .into_iter()
            .any(is) =>
        {
            return Found::Other;
        }
        _ => text,
    };
    match state {
        "null" => Found::Nothing,
        object if !object.starts_with('{') => Found::Other,
        object if object.trim_matches(['{', '}', ' ', '\t']).is_empty() => Found::Nothing,
        object => Found::State(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_an_object_or_the_value_of_a_state_message() {
        let state = |text: &'static str| Found::State(text);
        for (line, found) in [
            (
                r#"{"bookmarks":{"a":1}}"#,
                state(r#"{"bookmarks":{"a":1}}"#),
            ),
            ("{\"a\": 1}\r", state(r#"{"a": 1}"#)),
            (
                r#"{"type":"STATE","value":{"a":12345678901234567890.10}}"#,
                state(r#"{"a":12345678901234567890.10}"#),
            ),
            (r#"{"type":"state","value":{}}"#, Found::Nothing),
            (r#"{"type":"STATE","value":null}"#, Found::Nothing),
            (r#"{"type":"STATE"}"#, Found::Nothing),
            (r#"{"type":"STATE","value":[1]}"#, Found::Other),
            (r#"{"type":"RECORD","record":{}}"#, Found::Other),
            (
                r#"{"type":"mine","value":{}}"#,
                state(r#"{"type":"mine","value":{}}"#),
            ),
            ("{ }", Found::Nothing),
            ("", Found::Nothing),
            ("  ", Found::Nothing),
            ("null", Found::Other),
            ("[1]", Found::Other),
            ("loaded 3 rows", Found::Other),
            (r#"{"bookmarks":{"a":1}"#, Found::Other),
            (r#"{"a":1} {"b":1}"#, Found::Other),
        ] {
            assert_eq!(find_state(line.as_bytes()), found, "{line}");
        }
        assert_eq!(find_state(b"{\"a\":\"\xff\"}"), Found::Other);
    }

    #[test]
    fn a_line_that_is_too_long_holds_no_memory() {
        let mut line = Line::default();
        let piece = vec![b'x'; LONGEST_LINE / 2 + 1];
        line.push(&piece);
        line.push(&piece);
        line.push(b"}");
        assert!(line.is_too_long && line.bytes.is_empty());
        line.clear();
        line.push(b"{}");
        assert_eq!(line.bytes, b"{}");
    }
}
