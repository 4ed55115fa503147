//! Progress while a run lasts: live lines at the foot of a terminal, or a log line now and then.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Counters;
use super::summary::{bytes, grouped, seconds};
use crate::stdio;

/// The live lines, one for each stream at work.
pub(super) struct Live {
    area: MultiProgress,
    bars: Vec<(String, ProgressBar)>,
}

impl Live {
    /// Takes the foot of the terminal; log lines go above it from now on.
    pub(super) fn start() -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        stdio::set_live_lines(Some(Box::new({
            let area = area.clone();
            move |line| {
                // Only a terminal that has gone fails, and then nobody reads.
                let _gone = area.println(line);
            }
        })));
        Self {
            area,
            bars: Vec::new(),
        }
    }

    /// Draws the streams that are at work now.
    pub(super) fn draw(&mut self, streams: &[Arc<Counters>]) {
        self.bars.retain(|(name, bar)| {
            let stays = streams.iter().any(|counters| counters.name() == name);
            if !stays {
                bar.finish_and_clear();
                self.area.remove(bar);
            }
            stays
        });
        for counters in streams {
            let known = self
                .bars
                .iter()
                .position(|(name, _)| name == counters.name());
            let index = known.unwrap_or_else(|| {
                let bar = ProgressBar::no_length().with_style(
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| {
                        // A template without any key but `msg` is always well formed.
                        ProgressStyle::default_spinner()
                    }),
                );
                let bar = self.area.add(bar);
                self.bars.push((counters.name().to_owned(), bar));
                self.bars.len() - 1
            });
            let line = format!("{}  {}", counters.name(), pieces(counters).join("  "));
            self.bars[index].1.set_message(line);
        }
    }

    /// Gives the foot of the terminal back.
    pub(super) fn end(self) {
        stdio::set_live_lines(None);
        for (_, bar) in &self.bars {
            bar.finish_and_clear();
        }
        // Only a terminal that has gone fails.
        let _gone = self.area.clear();
    }
}

/// Logs how far a stream is.
pub(super) fn plain_line(counters: &Counters) {
    tracing::info!(stream = counters.name(), "{}", pieces(counters).join(", "));
}

/// Records, speed, bytes, batches in flight, and how far that is, as far as they are known.
fn pieces(counters: &Counters) -> Vec<String> {
    let records = counters.read.get();
    let elapsed = counters.duration().as_secs_f64().max(0.001);
    let rate = records as f64 / elapsed;
    let mut pieces = vec![
        format!("{} records", grouped(records)),
        format!("{}/s", grouped(rate as u64)),
        bytes(counters.bytes.get()),
    ];
    let in_flight = counters.in_flight.get();
    if in_flight > 0 {
        pieces.push(format!("{in_flight} in flight"));
    }
    let expected = counters.expected.get();
    if expected >= records && expected > 0 {
        pieces.push(format!("{}%", records * 100 / expected));
        if rate >= 1.0 {
            let left = Duration::from_secs_f64((expected - records) as f64 / rate);
            pieces.push(format!("{} left", seconds(left)));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_only_where_the_total_is_known() {
        let counters = Counters::new("a");
        counters.read.add(1500);
        assert!(!pieces(&counters).iter().any(|piece| piece.contains('%')));
        counters.expected.set(6000);
        counters.in_flight.set(2);
        let pieces = pieces(&counters);
        assert_eq!(pieces[0], "1,500 records");
        assert!(pieces.contains(&"25%".to_owned()));
        assert!(pieces.contains(&"2 in flight".to_owned()));
    }
}
