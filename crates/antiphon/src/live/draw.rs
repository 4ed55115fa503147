//! The lines of the runs at work at the foot of the terminal; the log goes above them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use singer_runtime::amount::{bytes, grouped, seconds};
use singer_runtime::stdio;

use super::{Showing, lock_progress};
use crate::history::Counts;

/// A person follows no more streams of one run than this.
const MOST_STREAMS: usize = 8;

/// The foot of the terminal and how many runs are drawn there.
static FOOT: Mutex<Option<(MultiProgress, usize)>> = Mutex::new(None);

/// The lines of one run.
pub(super) struct Drawing {
    area: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Drawing {
    /// Joins those who draw already, or takes the foot of the terminal.
    pub(super) fn start() -> Self {
        let mut foot = FOOT.lock().unwrap_or_else(PoisonError::into_inner);
        let (area, runs) = foot.get_or_insert_with(|| {
            let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            stdio::set_live_lines(Some(Box::new({
                let area = area.clone();
                move |line| {
                    // Only a terminal that has gone fails, and then nobody reads.
                    let _gone = area.println(line);
                }
            })));
            (area, 0)
        });
        *runs += 1;
        Self {
            area: area.clone(),
            bars: Vec::new(),
        }
    }

    /// Draws these lines in the place of those before.
    pub(super) fn draw(&mut self, lines: &[String]) {
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.area.remove(&bar);
            }
        }
        for (place, line) in lines.iter().enumerate() {
            if place == self.bars.len() {
                let bar = ProgressBar::no_length().with_style(
                    // What does not fit into the terminal's width is cut.
                    ProgressStyle::with_template("{wide_msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                );
                let bar = match self.bars.last() {
                    Some(last) => self.area.insert_after(last, bar),
                    None => self.area.add(bar),
                };
                self.bars.push(bar);
            }
            self.bars[place].set_message(line.clone());
        }
    }
}

impl Drop for Drawing {
    /// The last who draws gives the foot of the terminal back.
    fn drop(&mut self) {
        self.draw(&[]);
        let mut foot = FOOT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, runs)) = &mut *foot {
            *runs -= 1;
            if *runs == 0 {
                *foot = None;
                stdio::set_live_lines(None);
                // Only a terminal that has gone fails.
                let _gone = self.area.clear();
            }
        }
    }
}

impl Showing {
    /// What is to be seen of the run now.
    pub(super) fn lines(&self) -> Vec<String> {
        let progress = lock_progress(&self.shared);
        let mut head = format!("{}  {}", self.pipeline, seconds(self.began.elapsed()));
        if progress.attempt > 1 {
            head.push_str(&format!("  attempt {}", progress.attempt));
        }
        let rate = self.rate().unwrap_or_default();
        if self.counts.len() > 1 {
            head.push_str(&format!("  {} records", grouped(self.records())));
        }
        if rate >= 1.0 {
            head.push_str(&format!("  {}/s", grouped(rate as u64)));
        }
        if let Some(version) = progress.state {
            head.push_str(&format!("  state {version}"));
        }
        let mut lines = vec![head];
        let widths = progress.stages.iter().map(|stage| program(&stage.exec));
        let width = widths.map(|name| name.chars().count()).max().unwrap_or(0);
        for (stage, (began, took)) in progress.stages.iter().zip(&progress.times) {
            let how = stage.ended.as_deref().unwrap_or("running");
            let took = took.unwrap_or_else(|| began.elapsed());
            lines.push(format!(
                "  {:<7} {:<width$}  {how}  {}",
                stage.label,
                program(&stage.exec),
                seconds(took)
            ));
        }
        lines.extend(streams(&self.counts, self.began.elapsed()));
        lines
    }
}

fn program(exec: &str) -> &str {
    exec.rsplit('/').next().unwrap_or(exec)
}

/// A line for each stream that has moved; of many, those with the most records.
fn streams(counts: &BTreeMap<String, Counts>, elapsed: Duration) -> Vec<String> {
    let moved = |counts: &Counts| counts.records.unwrap_or_default();
    let mut streams: Vec<(&String, &Counts)> = counts
        .iter()
        .filter(|(_, counts)| moved(counts) > 0)
        .collect();
    streams.sort_by_key(|(name, counts)| (std::cmp::Reverse(moved(counts)), *name));
    let left_out = streams.len().saturating_sub(MOST_STREAMS);
    streams.truncate(MOST_STREAMS);
    streams.sort_by_key(|(name, _)| *name);
    let width = streams.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut lines: Vec<String> = streams
        .iter()
        .map(|(name, counts)| format!("    {name:<width$}  {}", pieces(counts, elapsed).join("  ")))
        .collect();
    if left_out > 0 {
        lines.push(format!("    and {left_out} more"));
    }
    lines
}

fn pieces(counts: &Counts, elapsed: Duration) -> Vec<String> {
    let records = counts.records.unwrap_or_default();
    let rate = records as f64 / elapsed.as_secs_f64().max(0.001);
    let mut pieces = vec![
        format!("{} records", grouped(records)),
        format!("{}/s", grouped(rate as u64)),
    ];
    pieces.extend(counts.bytes.filter(|count| *count > 0).map(bytes));
    let named = [
        (counts.sent, "sent"),
        (counts.unchanged, "unchanged"),
        (counts.missing, "missing"),
        (counts.rejected, "rejected"),
    ];
    for (count, word) in named {
        if let Some(count) = count.filter(|count| *count > 0) {
            pieces.push(format!("{} {word}", grouped(count)));
        }
    }
    pieces
}
