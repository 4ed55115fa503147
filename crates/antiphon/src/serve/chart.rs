//! Charts as SVG: bars of the last runs with axes, and small lines. Each bar links to its run and says in
//! its title what it shows; the table of the runs below has the same as text.

use maud::{Markup, html};

use crate::history::{Brief, Outcome};
use crate::serve::page;
use crate::serve::words;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 6.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 22.0;

/// Most bars of a chart: more would be thinner than a finger of a mouse can hit.
const BARS: usize = 60;

/// What a chart shows of each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Duration,
    Records,
}

impl Measure {
    fn of(self, run: &Brief) -> Option<f64> {
        match self {
            Self::Duration => Some(run.duration_seconds).filter(|seconds| seconds.is_finite()),
            Self::Records => run.records.map(words::precise),
        }
    }

    fn tell(self, value: Option<f64>, run: &Brief) -> String {
        match (self, value) {
            (Self::Duration, Some(value)) => words::duration(value),
            (Self::Records, Some(_)) => {
                let records = run.records.unwrap_or_default();
                words::plural(records, "record", "records")
            }
            (_, None) => "not counted".to_owned(),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Duration => "Duration",
            Self::Records => "Records",
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Duration => "chart-duration",
            Self::Records => "chart-records",
        }
    }
}

/// Steps of an axis from zero to at least a value, and the unit that they are told in.
struct Axis {
    ticks: Vec<f64>,
    top: f64,
    unit: &'static str,
    per_unit: f64,
}

impl Axis {
    fn of(measure: Measure, most: f64) -> Self {
        let (unit, per_unit) = match measure {
            Measure::Records => ("records", 1.0),
            Measure::Duration if most >= 2.0 * 86_400.0 => ("days", 86_400.0),
            Measure::Duration if most >= 2.0 * 3_600.0 => ("hours", 3_600.0),
            Measure::Duration if most >= 120.0 => ("minutes", 60.0),
            Measure::Duration => ("seconds", 1.0),
        };
        let most = (most / per_unit).max(if measure == Measure::Records {
            1.0
        } else {
            0.1
        });
        // The smallest of 1, 2, 5 times a power of ten that needs at most four steps.
        let power = 10f64.powf((most / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| step * 4.0 >= most * 0.999)
            .unwrap_or(power * 10.0)
            .max(if measure == Measure::Records {
                1.0
            } else {
                0.1
            });
        let mut ticks = vec![0.0];
        while ticks.last().is_some_and(|last| *last < most * 0.999) {
            ticks.push(words::precise(ticks.len() as u64) * step);
        }
        let top = ticks.last().copied().unwrap_or(1.0);
        Self {
            ticks,
            top,
            unit,
            per_unit,
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value / self.per_unit / self.top).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

/// A chart of the last runs, the newest at the right.
pub(crate) fn bars(pipeline: &str, runs: &[Brief], measure: Measure) -> Markup {
    let runs = &runs[runs.len().saturating_sub(BARS)..];
    let values: Vec<Option<f64>> = runs.iter().map(|run| measure.of(run)).collect();
    let axis = Axis::of(
        measure,
        values.iter().flatten().copied().fold(0.0, f64::max),
    );
    let failed = runs.iter().filter(|run| !run.outcome.is_good()).count();
    let id = measure.id();
    // Few runs do not become walls.
    let slot = (WIDTH - LEFT - RIGHT) / words::precise(runs.len().max(12) as u64);
    let start = WIDTH - RIGHT - slot * words::precise(runs.len() as u64);
    let gap = (slot * 0.2).clamp(0.8, 3.0);
    html! {
        figure .card {
            figcaption { (measure.title()) span .small { @if measure == Measure::Duration { (axis.unit) ", " } "the last " (words::plural(runs.len() as u64, "run", "runs")) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group" aria-labelledby=(id) {
                title #(id) { (summary(measure, runs, &values, failed)) }
                @for tick in &axis.ticks {
                    @let y = fixed(axis.y(tick * axis.per_unit));
                    line class=(if *tick == 0.0 { "base" } else { "axis" }) x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
                    text x=(LEFT - 6.0) y=(y) dy="4" text-anchor="end" aria-hidden="true" { (words::count_short(*tick)) }
                }
                g .bar {
                    @for (index, (run, value)) in runs.iter().zip(&values).enumerate() {
                        @let x = start + slot * words::precise(index as u64) + gap / 2.0;
                        @let y = axis.y(value.unwrap_or(0.0)).min(HEIGHT - BOTTOM - 1.5);
                        a href=(page::run_link(pipeline, &run.run)) tabindex="-1" {
                            title { (words::stamp(run.started_at)) ": " (words::outcome(run.outcome)) ", " (measure.tell(*value, run)) }
                            rect .hit x=(fixed(x - gap / 2.0)) y=(TOP) width=(fixed(slot)) height=(HEIGHT - TOP - BOTTOM) {}
                            rect class=(shape(run.outcome)) x=(fixed(x)) y=(fixed(y)) width=(fixed(slot - gap)) height=(fixed(HEIGHT - BOTTOM - y)) rx="1" {}
                            @if !run.outcome.is_good() {
                                text x=(fixed(x + (slot - gap) / 2.0)) y=(fixed(y - 3.0)) aria-hidden="true" { "×" }
                            }
                        }
                    }
                }
                @if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
                    @if runs.len() > 1 {
                        text x=(fixed(start.min(WIDTH - 200.0))) y=(HEIGHT - 6.0) aria-hidden="true" { (words::stamp_short(first.started_at)) }
                    }
                    text x=(WIDTH - RIGHT) y=(HEIGHT - 6.0) text-anchor="end" aria-hidden="true" { (words::stamp_short(last.started_at)) }
                }
            }
        }
    }
}

/// The chart in a sentence.
fn summary(measure: Measure, runs: &[Brief], values: &[Option<f64>], failed: usize) -> String {
    let known: Vec<(f64, &Brief)> = runs
        .iter()
        .zip(values)
        .filter_map(|(run, value)| Some(((*value)?, run)))
        .collect();
    let least = known.iter().min_by(|one, other| one.0.total_cmp(&other.0));
    let most = known.iter().max_by(|one, other| one.0.total_cmp(&other.0));
    let range = match (least, most) {
        (Some(least), Some(most)) => format!(
            "from {} to {}",
            measure.tell(Some(least.0), least.1),
            measure.tell(Some(most.0), most.1)
        ),
        _ => "nothing was counted".to_owned(),
    };
    format!(
        "{} of the last {}: {range}; {} of them did not succeed",
        measure.title(),
        words::plural(runs.len() as u64, "run", "runs"),
        words::count(failed as u64),
    )
}

/// The class of a bar or of a cell of a strip: colour, and the letter of its own where it has one.
pub(crate) fn shape(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "o",
        Outcome::Rejects => "w",
        Outcome::Failed => "b",
        Outcome::TimedOut => "b t",
        Outcome::Interrupted => "i",
        Outcome::Died => "b d",
    }
}

/// A small line of numbers over runs, the newest at the right; nothing for fewer than two.
pub(crate) fn spark(values: &[u64]) -> Markup {
    let most = words::precise(values.iter().copied().max().unwrap_or(0)).max(1.0);
    let points: Vec<(f64, f64)> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let share =
                words::precise(index as u64) / words::precise((values.len() - 1).max(1) as u64);
            (
                3.0 + share * 90.0,
                19.0 - words::precise(*value) / most * 16.0,
            )
        })
        .collect();
    let line: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{},{}", fixed(*x), fixed(*y)))
        .collect();
    let told: Vec<String> = values.iter().map(|value| words::count(*value)).collect();
    html! {
        @if let (true, Some((x, y))) = (points.len() > 1, points.last()) {
            svg .spark viewBox="0 0 96 22" role="img" {
                title { "Over the last runs: " (told.join(", ")) }
                polyline points=(line.join(" ")) {}
                circle cx=(fixed(*x)) cy=(fixed(*y)) r="2" {}
            }
        } @else {
            span .muted { "–" }
        }
    }
}

/// A coordinate, short.
fn fixed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps_and_cover_the_largest_value() {
        for (measure, most, ticks, unit) in [
            (Measure::Records, 0.0, vec![0.0, 1.0], "records"),
            (Measure::Records, 3.0, vec![0.0, 1.0, 2.0, 3.0], "records"),
            (
                Measure::Records,
                1_234.0,
                vec![0.0, 500.0, 1_000.0, 1_500.0],
                "records",
            ),
            (Measure::Duration, 90.0, vec![0.0, 50.0, 100.0], "seconds"),
            (Measure::Duration, 600.0, vec![0.0, 5.0, 10.0], "minutes"),
        ] {
            let axis = Axis::of(measure, most);
            assert_eq!(axis.ticks, ticks, "{measure:?} {most}");
            assert_eq!(axis.unit, unit);
            assert!(axis.y(most) >= TOP);
        }
    }

    #[test]
    fn a_line_needs_two_points_and_tells_its_numbers() {
        assert!(!spark(&[5]).into_string().contains("svg"));
        let two = spark(&[0, 1_000]).into_string();
        assert!(two.contains("Over the last runs: 0, 1,000"));
    }
}
