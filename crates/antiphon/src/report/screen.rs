//! The stages' lines on our own stderr while the run lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use singer_core::{Error, Result};
use singer_runtime::{amount, log, stdio};

use super::queue::Queue;

/// What may wait for a slow terminal. What comes beyond stands in the log alone.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// How long the end of a run waits for a terminal that does not take its last lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thread that writes lines to stderr, so that a terminal that stands still stops nobody.
#[derive(Debug)]
pub(super) struct Screen {
    /// Before the label of a stage: empty, or `accounts/`.
    prefix: String,
    is_terminal: bool,
    has_colour: bool,
    left_out: AtomicU64,
    queue: Arc<Queue>,
}

impl Screen {
    pub(super) fn start(prefix: String) -> Result<Self> {
        let queue = Arc::new(Queue::new(MOST_WAITING));
        let is_terminal = stdio::stderr_is_terminal();
        std::thread::Builder::new()
            .name("screen".to_owned())
            .spawn({
                let queue = Arc::clone(&queue);
                move || {
                    while let Some(text) = queue.take() {
                        text.lines().for_each(log::raw);
                    }
                }
            })
            .map_err(|error| Error::internal("cannot start a thread").with_source(error))?;
        Ok(Self {
            prefix,
            is_terminal,
            has_colour: is_terminal && wants_colour(),
            left_out: AtomicU64::new(0),
            queue,
        })
    }

    /// Whether a person sees it, who has no use for metric lines.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A line as it is shown, with its end, added to `text`.
    pub(super) fn format(&self, text: &mut String, time: &str, label: &str, line: &str) {
        let label = format!("{}{label:<7}", self.prefix);
        if log::format() == log::Format::Json {
            let object = json!({
                "ts": time,
                "level": "info",
                "app_name": "antiphon",
                "stage": label.trim_end(),
                "message": line,
            });
            text.push_str(&object.to_string());
        } else if self.has_colour {
            text.push_str(&format!(
                "\u{1b}[{}m{label} |\u{1b}[0m {line}",
                colour(label.trim_end())
            ));
        } else {
            text.push_str(&format!("{label} | {line}"));
        }
        text.push('\n');
    }

    /// Shows lines if the terminal takes them; else says later how many it did not.
    pub(super) fn show(&self, time: &str, lines: &str) {
        let before = self.left_out.load(Ordering::Relaxed);
        let shown = if before == 0 {
            self.queue.push_if_room(lines)
        } else {
            let mut text = String::new();
            let said = format!(
                "{} lines of the stages are not shown here; the log has them",
                amount::grouped(before)
            );
            self.format(&mut text, time, super::OWN, &said);
            text.push_str(lines);
            self.queue.push_if_room(&text)
        };
        if shown {
            self.left_out.fetch_sub(before, Ordering::Relaxed);
        } else {
            let count = memchr::memchr_iter(b'\n', lines.as_bytes()).count() as u64;
            self.left_out.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Everything was shown, or the terminal does not take it.
    pub(super) fn finish(&self) {
        self.queue.close(PATIENCE);
    }
}

/// A stage keeps its colour from run to run.
fn colour(label: &str) -> &'static str {
    let stage = label.rsplit('/').next().unwrap_or(label);
    match stage.split('-').next().unwrap_or(stage) {
        "tap" => "36",
        "map" => "35",
        "target" => "32",
        _ => "2",
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "NO_COLOR is a convention of terminals, not a setting"
)]
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
