//! What goes into a run under test.

use std::io::{self, Read};

/// An input that gives lines when a test sends them, and ends when the sender is gone.
pub(super) struct Feed {
    receiver: std::sync::mpsc::Receiver<String>,
    rest: Vec<u8>,
}

pub(super) fn feed() -> (std::sync::mpsc::SyncSender<String>, Box<Feed>) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(100);
    let rest = Vec::new();
    (sender, Box::new(Feed { receiver, rest }))
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            let Ok(text) = self.receiver.recv() else {
                return Ok(0);
            };
            self.rest = text.into_bytes();
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

pub(super) fn schema(stream: &str) -> String {
    let properties = r#"{"id":{"type":"integer"},"n":{"type":["null","string"]}}"#;
    schema_of(stream, properties)
}

pub(super) fn schema_of(stream: &str, properties: &str) -> String {
    format!(
        r#"{{"type":"SCHEMA","stream":"{stream}","schema":{{"properties":{properties}}},"key_properties":["id"]}}"#
    ) + "\n"
}

pub(super) fn record(stream: &str, id: u64) -> String {
    format!(r#"{{"type":"RECORD","stream":"{stream}","record":{{"id":{id},"n":"x"}}}}"#) + "\n"
}

pub(super) fn versioned(stream: &str, id: u64, version: i64) -> String {
    format!(r#"{{"type":"RECORD","stream":"{stream}","record":{{"id":{id}}},"version":{version}}}"#)
        + "\n"
}

pub(super) fn activate(stream: &str, version: i64) -> String {
    format!(r#"{{"type":"ACTIVATE_VERSION","stream":"{stream}","version":{version}}}"#) + "\n"
}

pub(super) fn state(number: u64) -> String {
    format!(r#"{{"type":"STATE","value":{{"n": {number}}}}}"#) + "\n"
}

/// How a state looks that was printed.
pub(super) fn printed(number: u64) -> String {
    format!(r#"{{"n": {number}}}"#)
}
