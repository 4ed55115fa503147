//! A log that hands the fields of each warning to a test.

use std::fmt::{Debug, Write};

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

pub(super) struct Log(mpsc::Sender<String>);

/// A log, and the fields of its warnings but for the message.
pub(super) fn capture() -> (Log, mpsc::Receiver<String>) {
    let (sender, warnings) = mpsc::channel(8);
    (Log(sender), warnings)
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.0.try_send(fields.0).unwrap();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            let gap = if self.0.is_empty() { "" } else { " " };
            write!(self.0, "{gap}{}={value:?}", field.name()).unwrap();
        }
    }
}
