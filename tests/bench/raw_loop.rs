//! The bare loop that target-pendo is compared with: lines from stdin, each parsed just so far that
//! its type and the bytes of its record are known. Nothing is done with them.

use std::io::BufRead;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

/// Reads all lines; returns the number of records and their bytes.
pub(crate) fn run(mut input: impl BufRead) -> Result<(u64, u64)> {
    let (mut records, mut bytes) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = input.read_until(b'\n', &mut line);
        if length.context("cannot read stdin")? == 0 {
            return Ok((records, bytes));
        }
        let envelope: Envelope<'_> =
            serde_json::from_slice(&line).context("cannot parse a line")?;
        if let ("RECORD", Some(record)) = (envelope.kind, envelope.record) {
            records += 1;
            bytes += record.get().len() as u64;
        }
    }
}
