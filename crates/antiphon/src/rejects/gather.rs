//! Gathers the open rejects of several runs into one file for a replay: the oldest first, and a record that
//! was refused several times only once, where it was refused last.
//!
//! Records of one key that differ are all sent, in their order: a target that appends wants each, one that
//! upserts ends with the newest.

use std::collections::HashMap;
use std::path::Path;

use singer_core::Result;

use super::FILE;
use super::lines::{Filter, Lines, Reject};
use super::settle::Out;
use crate::session::Session;

/// The most records of which a duplicate is noticed, so that memory is bounded (some 100 bytes each). Those
/// beyond may be sent twice.
const MOST_KNOWN: usize = 2_000_000;

/// What was gathered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gathered {
    /// Records in the file.
    pub(super) records: u64,
    /// Lines that are no record of a stream, or cannot be read: they stay open.
    pub(super) unfit: u64,
    /// Records that were refused more than once.
    pub(super) repeated: u64,
}

/// Writes the open rejects of these runs that a filter takes into `scratch/<name>`.
pub(super) async fn gather(
    session: &Session,
    pipeline: &str,
    runs: &[String],
    stream: Option<&str>,
    scratch: &Path,
    name: &str,
) -> Result<Gathered> {
    let mut known: HashMap<[u8; 16], u64> = HashMap::new();
    let mut gathered = Gathered::default();
    let mut number: u64 = 0;
    walk(session, pipeline, runs, stream, |line| {
        let Some(line) = line else {
            gathered.unfit += 1;
            return Ok(());
        };
        number += 1;
        let print = fingerprint(line);
        if known.len() < MOST_KNOWN || known.contains_key(&print) {
            let before = known.insert(print, number);
            gathered.repeated += u64::from(before.is_some());
        }
        Ok(())
    })
    .await?;
    let path = scratch.join(name);
    let mut out = Out::create(&path)?;
    let mut number: u64 = 0;
    walk(session, pipeline, runs, stream, |line| {
        let Some(line) = line else { return Ok(()) };
        number += 1;
        let is_last = known
            .get(&fingerprint(line))
            .is_none_or(|last| *last <= number);
        if is_last {
            gathered.records += 1;
            out.write(line)?;
        }
        Ok(())
    })
    .await?;
    out.finish()?;
    Ok(gathered)
}

/// Shows every line of the runs: those that can be replayed, and `None` for those that cannot be.
async fn walk(
    session: &Session,
    pipeline: &str,
    runs: &[String],
    stream: Option<&str>,
    mut each: impl FnMut(Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let meant = Filter::chosen(&super::Chosen {
        run: None,
        stream: stream.map(str::to_owned),
    });
    let filter = Filter::replayable(stream.map(str::to_owned));
    for run in runs {
        let Some(mut lines) = Lines::open(session, pipeline, run, FILE).await? else {
            continue;
        };
        while let Some(line) = lines.next().await? {
            if filter.takes(&line, None) {
                each(Some(&line))?;
            } else if meant.takes(&line, None) {
                each(None)?;
            }
        }
    }
    Ok(())
}

/// What two lines share if they are the same record of the same stream; so long that two records do not
/// share it by chance.
fn fingerprint(line: &[u8]) -> [u8; 16] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    match Reject::parse(line) {
        Some(reject) => {
            context.update(reject.stream.as_deref().unwrap_or_default().as_bytes());
            context.update(&[0]);
            let record = reject.record.map_or("", |record| record.get());
            context.update(record.as_bytes());
        }
        None => context.update(line),
    }
    let mut print = [0; 16];
    let digest = context.finish();
    for (to, from) in print.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    print
}
