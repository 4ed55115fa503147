//! `--dry-run`: what would be written, counted and shown instead of sent.

use serde_json::{Value, json};

use super::{Lane, Run, Target, Work, Writer};
use crate::log::{self, Format};

/// So many requests of a stream are shown.
const REQUESTS: usize = 3;

/// What would be written of one stream.
#[derive(Debug, Default)]
pub(super) struct Preview {
    batches: u64,
    rows: u64,
    bytes: u64,
    requests: Vec<String>,
}

impl<T: Target> Run<T> {
    /// Counts the batch that stands first in a lane's queue, and shows the first requests.
    pub(super) fn preview_batch(&mut self, slot: usize) -> bool {
        let lane = &mut self.lanes[slot];
        let Some(Work::Batch(batch)) = lane.queue.pop_front() else {
            return false;
        };
        let preview = &mut self.previews[slot];
        preview.batches += 1;
        preview.rows += batch.batch.len() as u64;
        preview.bytes += batch.batch.bytes() as u64;
        if preview.requests.len() < REQUESTS
            && let Some(writer) = &lane.writer
        {
            let missing = REQUESTS - preview.requests.len();
            let requests = writer.preview(&batch.batch);
            preview.requests.extend(requests.into_iter().take(missing));
        }
        self.shared.ledger().confirm(batch.first);
        self.shared.free(batch);
        true
    }

    /// Prints what the dry run found, to where the log goes.
    pub(super) fn print_previews(&self) {
        for (lane, preview) in self.lanes.iter().zip(&self.previews) {
            match log::format() {
                Format::Json => log::raw(&json(lane, preview).to_string()),
                Format::Text => {
                    for line in text(lane, preview) {
                        log::raw(&line);
                    }
                }
            }
        }
    }
}

fn json<W>(lane: &Lane<W>, preview: &Preview) -> Value {
    let problems: Vec<Value> = lane
        .plan
        .problems
        .iter()
        .map(|problem| {
            json!({"kind": problem.kind, "message": problem.message, "hint": problem.hint})
        })
        .collect();
    json!({
        "level": "info",
        "message": "dry run",
        "stream": lane.handle.name(),
        "destination": lane.plan.destination,
        "records": lane.handle.counters.read.get(),
        "rejected": lane.handle.counters.rejected.get(),
        "rows": preview.rows,
        "batches": preview.batches,
        "bytes": preview.bytes,
        "creates": lane.plan.creates,
        "notes": lane.plan.notes,
        "problems": problems,
        "cost": lane.plan.cost,
        "requests": preview.requests,
    })
}

fn text<W>(lane: &Lane<W>, preview: &Preview) -> Vec<String> {
    let counters = &lane.handle.counters;
    let mut lines = vec![format!(
        "dry run: stream `{}` to {}: {} records, {} rows in {} batches, {} bytes, {} rejected",
        lane.handle.name(),
        lane.plan.destination,
        counters.read.get(),
        preview.rows,
        preview.batches,
        preview.bytes,
        counters.rejected.get(),
    )];
    lines.extend(
        lane.plan
            .creates
            .iter()
            .map(|it| format!("  would create: {it}")),
    );
    lines.extend(lane.plan.notes.iter().map(|it| format!("  note: {it}")));
    for problem in &lane.plan.problems {
        lines.push(format!("  problem: {}: {}", problem.kind, problem.message));
        lines.extend(problem.hint.iter().map(|hint| format!("    hint: {hint}")));
    }
    lines.extend(lane.plan.cost.iter().map(|cost| format!("  cost: {cost}")));
    for (number, request) in (1..).zip(&preview.requests) {
        let mut shown = request.lines();
        let first = shown.next().unwrap_or_default();
        lines.push(format!("  request {number}: {first}"));
        lines.extend(shown.map(|line| format!("    {line}")));
    }
    lines
}
