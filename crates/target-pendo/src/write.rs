//! The sending of a batch: answers are read and not trusted, and every record ends as confirmed,
//! missing or refused, or the batch fails.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use singer_core::{Error, Result, scan};
use singer_net::redact;
use singer_runtime::target::{Outcome, Refusal, Verdict};

use crate::api::{Answered, Api, Place, Tally};
use crate::encode::Encoded;
use crate::model::Report;
use crate::size::Size;

#[cfg(test)]
mod tests;

/// How often a single record may run over Pendo's time before the batch fails.
const SLOW_SINGLE_ATTEMPTS: u32 = 3;

/// Sends the rows of one batch.
#[derive(Debug)]
pub struct Delivery<'a> {
    api: &'a Api,
    place: Place<'a>,
    size: &'a Size,
    encoded: &'a Encoded,
    names: &'a [&'a str],
    tally: Tally,
    resent: u64,
    slow_singles: u32,
    /// Places of rows that Pendo took.
    pub confirmed: Vec<usize>,
    /// Places of rows that Pendo does not know.
    pub missing: Vec<usize>,
    refusals: Vec<Refusal>,
}

impl<'a> Delivery<'a> {
    /// A delivery to a place. `names` may be shown in messages.
    pub fn new(
        api: &'a Api,
        place: Place<'a>,
        size: &'a Size,
        encoded: &'a Encoded,
        names: &'a [&'a str],
    ) -> Self {
        Self {
            api,
            place,
            size,
            encoded,
            names,
            tally: Tally::default(),
            resent: 0,
            slow_singles: 0,
            confirmed: Vec::new(),
            missing: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Sends these rows and returns once the fate of each is known. After an error the rows in
    /// [`Delivery::confirmed`] are confirmed all the same.
    pub async fn send(&mut self, rows: Vec<usize>) -> Result<()> {
        // The last element is sent next, so that records keep their order.
        let mut work = vec![rows];
        while let Some(mut rows) = work.pop() {
            // The size may have shrunk since the batch was cut.
            let size = self.size.current();
            if rows.len() > size {
                work.push(rows.split_off(size));
            }
            if rows.is_empty() {
                continue;
            }
            let again = self.send_once(rows).await?;
            self.resent += again.iter().filter(|rows| !rows.is_empty()).count() as u64;
            work.extend(again.into_iter().rev());
        }
        Ok(())
    }

    /// What became of all of it.
    pub fn into_outcome(self) -> Outcome {
        Outcome {
            sent: self.confirmed.len() as u64,
            retried: self.tally.retried.load(Ordering::Relaxed) + self.resent,
            requests: self.tally.requests.load(Ordering::Relaxed),
            bytes: self.tally.bytes.load(Ordering::Relaxed),
            refusals: self.refusals,
            ..Outcome::default()
        }
    }

    /// Sends one request. Returns the rows that are to be sent again, in the portions in which.
    async fn send_once(&mut self, rows: Vec<usize>) -> Result<Vec<Vec<usize>>> {
        let body = self.encoded.body(&rows);
        let answered = self
            .api
            .set_values(self.place, body, self.names, &self.tally)
            .await?;
        match answered {
            Answered::Report(report) => {
                self.size.went_well(rows.len());
                self.account(rows, report)
            }
            Answered::Malformed { code, reason } => Ok(match rows[..] {
                [row] => {
                    self.refuse(row, Verdict::Rejected, Some(code), reason);
                    Vec::new()
                }
                _ => halves(rows),
            }),
            Answered::TooBig => Ok(match rows[..] {
                [row] => {
                    let reason = "the record alone is more than Pendo takes".to_owned();
                    self.refuse(row, Verdict::Rejected, Some("413".to_owned()), reason);
                    Vec::new()
                }
                _ => {
                    self.shrink(&rows, "Pendo finds a request too big");
                    halves(rows)
                }
            }),
            Answered::TooSlow => {
                self.shrink(&rows, "Pendo ran over its time limit");
                if rows.len() == 1 {
                    self.wait_for_slow_single().await?;
                    return Ok(vec![rows]);
                }
                Ok(halves(rows))
            }
        }
    }

    fn shrink(&self, rows: &[usize], why: &str) {
        self.size.met_limit(rows.len());
        tracing::warn!(
            records = rows.len(),
            now_at_most = self.size.current(),
            "{why}; requests get smaller"
        );
    }

    async fn wait_for_slow_single(&mut self) -> Result<()> {
        self.slow_singles += 1;
        if self.slow_singles >= SLOW_SINGLE_ATTEMPTS {
            return Err(
                Error::transient("Pendo runs over its time limit for single records")
                    .with_hint("run again later"),
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Puts a report against the rows of its request.
    fn account(&mut self, mut rows: Vec<usize>, report: Report) -> Result<Vec<Vec<usize>>> {
        let sent = rows.len() as u64;
        let mut attributed = 0;
        let mut words = None;
        if !report.missing.is_empty() || !report.errors.is_empty() {
            let named = self.attribute(&rows, &report, &mut words);
            attributed = named.len() as u64;
            rows.retain(|row| !named.contains_key(row));
            let mut named: Vec<_> = named.into_iter().collect();
            named.sort_unstable_by_key(|(row, _)| *row);
            for (row, (verdict, code, reason)) in named {
                self.refuse(row, verdict, code, reason);
            }
        }
        let failed = report.failed.unwrap_or(attributed).max(attributed);
        let updated = report.updated.unwrap_or(sent.saturating_sub(failed));
        if updated + failed != sent {
            tracing::warn!(
                sent,
                updated,
                failed,
                missing = report.missing.len(),
                errors = report.errors.len(),
                "the numbers of Pendo's answer do not add up"
            );
        }
        if updated + failed < sent {
            return Err(Error::protocol(format!(
                "Pendo's answer accounts for {} of {sent} records",
                updated + failed
            ))
            .with_hint("nothing says what became of the others; a new run sends them again"));
        }
        let rest = rows.len() as u64;
        if updated >= rest {
            self.confirmed.append(&mut rows);
            return Ok(Vec::new());
        }
        // Some of these failed and nothing says which; sending them again, in halves, tells.
        match rows[..] {
            [row] => {
                let reason = words.unwrap_or_else(|| "Pendo counts it as failed".to_owned());
                self.refuse(row, Verdict::Rejected, Some("failed".to_owned()), reason);
                Ok(Vec::new())
            }
            _ => Ok(halves(rows)),
        }
    }

    /// Finds the rows that a report names, and the words of an error that names none.
    fn attribute(
        &self,
        rows: &[usize],
        report: &Report,
        words: &mut Option<String>,
    ) -> HashMap<usize, (Verdict, Option<String>, String)> {
        let by_id: HashMap<Cow<'_, str>, usize> = rows
            .iter()
            .map(|row| (scan::unescape_lossy(self.encoded.id(*row)), *row))
            .collect();
        let mut named = HashMap::new();
        for complaint in &report.errors {
            let row = complaint.id.as_ref().and_then(|id| by_id.get(id.as_str()));
            let message = match &complaint.message {
                // A bare id is no message.
                Some(message) if row.is_none() || Some(message) != complaint.id.as_ref() => {
                    redact::words(message, self.names, 300)
                }
                _ => "Pendo refused it without a word".to_owned(),
            };
            match row {
                Some(row) => {
                    let refusal = (Verdict::Rejected, complaint.code.clone(), message);
                    named.insert(*row, refusal);
                }
                None => *words = Some(message),
            }
        }
        for id in &report.missing {
            if let Some(row) = by_id.get(id.as_str()) {
                let reason = format!("Pendo does not know this {}", self.place.kind.word());
                named.insert(*row, (Verdict::Missing, Some("missing".to_owned()), reason));
            }
        }
        named
    }

    fn refuse(&mut self, row: usize, verdict: Verdict, code: Option<String>, reason: String) {
        if verdict == Verdict::Missing {
            self.missing.push(row);
        }
        self.refusals.push(Refusal {
            index: self.encoded.rows[row].index,
            verdict,
            code,
            reason,
        });
    }
}

fn halves(mut rows: Vec<usize>) -> Vec<Vec<usize>> {
    let second = rows.split_off(rows.len() / 2);
    vec![rows, second]
}
