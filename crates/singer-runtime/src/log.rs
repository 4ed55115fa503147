//! The log: lines on stderr, as text for people or as JSON.
//!
//! Only our own crates are heard below warnings: what libraries log at debug may hold headers and
//! bodies, and with them secrets.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::clock::Clock;
use crate::stdio;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `LEVEL message field=value`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// The most detailed level that is shown.
    pub level: Level,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: Level::INFO,
        }
    }
}

static JSON: AtomicBool = AtomicBool::new(false);
static QUIET: AtomicBool = AtomicBool::new(false);

/// Starts the log of this process; a second call changes nothing but the form.
pub fn start(binary: &'static str, options: Options, clock: Clock) {
    JSON.store(options.format == Format::Json, Ordering::Relaxed);
    QUIET.store(options.level < Level::INFO, Ordering::Relaxed);
    let lines = Lines {
        binary,
        level: options.level,
        clock,
    };
    let subscriber = tracing_subscriber::registry().with(lines);
    // A test that runs in one process with others may have started it already.
    let _already = tracing::subscriber::set_global_default(subscriber);
}

/// The form of the log that was started.
pub fn format() -> Format {
    if JSON.load(Ordering::Relaxed) {
        return Format::Json;
    }
    Format::Text
}

/// Whether only warnings and errors are wanted.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line to stderr as it stands, whatever the level and the form.
pub fn raw(line: &str) {
    stdio::log_line(line);
}

/// Writes every event as one line.
struct Lines {
    binary: &'static str,
    level: Level,
    clock: Clock,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = if is_ours(metadata.target(), self.binary) {
            self.level
        } else {
            self.level.min(Level::WARN)
        };
        *metadata.level() <= level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let line = match format() {
            Format::Text => {
                let mut fields = Text::default();
                event.record(&mut fields);
                format!("{level} {}{}", fields.message, fields.rest)
            }
            Format::Json => {
                let mut fields = Json::default();
                event.record(&mut fields);
                self.json(level, event.metadata().target(), fields)
            }
        };
        stdio::log_line(&line);
    }
}

impl Lines {
    fn json(&self, level: Level, target: &str, fields: Json) -> String {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("ts", self.clock.timestamp().into());
        put("level", level.as_str().to_lowercase().into());
        put("app_name", self.binary.into());
        put("logger_name", target.into());
        put("message", fields.message.into());
        object.extend(fields.rest);
        Value::Object(object).to_string()
    }
}

/// Whether a module is of this workspace or of the connector that runs.
fn is_ours(target: &str, binary: &str) -> bool {
    const PREFIXES: [&str; 4] = ["singer_", "zoho", "map_records", "antiphon"];
    PREFIXES.iter().any(|prefix| target.starts_with(prefix))
        || target.starts_with(&binary.replace('-', "_"))
}

#[derive(Default)]
struct Text {
    message: String,
    rest: String,
}

impl Text {
    fn put(&mut self, field: &Field, value: &str) {
        let written = match field.name() {
            "message" => write!(self.message, "{}", value.replace('\n', " ")),
            name if value.is_empty() || value.contains([' ', '"', '=', '\n']) => {
                write!(self.rest, " {name}={value:?}")
            }
            name => write!(self.rest, " {name}={value}"),
        };
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }
}

#[derive(Default)]
struct Json {
    message: String,
    rest: Map<String, Value>,
}

impl Json {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // A field may not take the place of what every line has.
            ("level", value) => {
                self.rest.insert("level_".to_owned(), value);
            }
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Json {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_not_heard_below_warnings() {
        assert!(is_ours("singer_net::client", "tap-x"));
        assert!(is_ours("tap_x::read", "tap-x"));
        assert!(!is_ours("h2::codec", "tap-x"));
    }
}
