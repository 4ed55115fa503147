//! Progress while a run lasts: live lines at the foot of a terminal, or a log line now and then.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Counters;
use crate::amount::{bytes, grouped, seconds};
use crate::stdio;

/// A person follows no more lines than this, and a terminal shows few more.
const MOST_LINES: usize = 8;

/// The live lines, one for each stream at work.
pub(super) struct Live {
    area: MultiProgress,
    bars: Vec<(String, ProgressBar)>,
    recent: Recent,
}

/// Which streams moved last: of many at work, these are shown.
#[derive(Debug, Default)]
struct Recent {
    now: u64,
    /// For each stream its records, and when they became so many.
    moved: HashMap<String, (u64, u64)>,
}

impl Recent {
    /// The streams that moved last, at most so many, in the order in which they came.
    fn of(&mut self, streams: &[Arc<Counters>], most: usize) -> Vec<Arc<Counters>> {
        self.now += 1;
        if streams.len() <= most {
            return streams.to_vec();
        }
        let mut ranked: Vec<(u64, usize)> = Vec::with_capacity(streams.len());
        for (place, counters) in streams.iter().enumerate() {
            let records = counters.read.get();
            let name = counters.name().to_owned();
            let (seen, at) = self.moved.entry(name).or_insert((0, 0));
            if *seen != records {
                (*seen, *at) = (records, self.now);
            }
            ranked.push((*at, place));
        }
        ranked.sort_by_key(|(at, place)| (Reverse(*at), *place));
        let mut places: Vec<usize> = ranked.iter().take(most).map(|(_, place)| *place).collect();
        places.sort_unstable();
        let shown = places.iter().map(|place| Arc::clone(&streams[*place]));
        shown.collect()
    }
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
            recent: Recent::default(),
        }
    }

    /// Draws the streams that are at work now; of many, those that moved last.
    pub(super) fn draw(&mut self, at_work: &[Arc<Counters>]) {
        let streams = &self.recent.of(at_work, MOST_LINES);
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
    fn of_many_streams_those_that_moved_last_are_shown() {
        let names = ["a", "b", "c", "d"];
        let streams: Vec<_> = names.map(|name| Arc::new(Counters::new(name))).into();
        let mut recent = Recent::default();
        let mut shown = |most| {
            let shown = recent.of(&streams, most);
            shown
                .iter()
                .map(|it| it.name().to_owned())
                .collect::<String>()
        };
        assert_eq!(shown(4), "abcd");
        streams[3].read.add(1);
        assert_eq!(shown(2), "ad");
        streams[1].read.add(1);
        assert_eq!(shown(2), "bd");
        streams[2].read.add(1);
        assert_eq!(shown(2), "bc");
    }

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
