//! The table that `make bench` prints: one row for each measured thing, with its goal beside it.

use std::time::Duration;

use crate::measure::Usage;

/// Where the goals begin: behind the name and six columns.
const INDENT: usize = 58 + 1 + 10 + 1 + 6 + 1 + 8 + 1 + 6 + 1 + 7 + 1 + 7;

/// One measured thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Records that went through, if that means something here.
    pub(crate) records: u64,
    /// Bytes of those records as Singer lines or as csv.
    pub(crate) bytes: u64,
    /// The runs, in order.
    pub(crate) usages: Vec<Usage>,
    /// For each run, its wall time over that of the reference of the same round.
    pub(crate) ratios: Vec<f64>,
    /// What stands against it.
    pub(crate) goals: Vec<Goal>,
}

/// One goal and what was reached.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    text: String,
    met: bool,
}

impl Goal {
    /// The value must not be above the bound.
    pub(crate) fn at_most(what: &str, value: f64, bound: f64, unit: &str) -> Self {
        Self {
            text: Self::describe(what, value, "≤", bound, unit),
            met: value <= bound,
        }
    }

    /// The value must not be below the bound.
    pub(crate) fn at_least(what: &str, value: f64, bound: f64, unit: &str) -> Self {
        Self {
            text: Self::describe(what, value, "≥", bound, unit),
            met: value >= bound,
        }
    }

    fn describe(what: &str, value: f64, sign: &str, bound: f64, unit: &str) -> String {
        format!(
            "{what} {}{unit} {sign} {}{unit}",
            short(value),
            short(bound)
        )
    }
}

impl Row {
    /// A row of which only the name is known.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Median wall time in seconds.
    pub(crate) fn wall(&self) -> f64 {
        median(self.usages.iter().map(|usage| usage.wall.as_secs_f64()))
    }

    /// Records a second, by the median wall time.
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.wall()
    }

    /// Records for a second of one processor.
    pub(crate) fn rate_of_cpu(&self) -> f64 {
        self.records as f64 / self.cpu().unwrap_or_else(|| self.wall())
    }

    /// Median of the ratios within each round.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ratios.iter().copied())
    }

    /// Median CPU time in seconds, where it is known.
    pub(crate) fn cpu(&self) -> Option<f64> {
        let known: Option<Vec<Duration>> = self.usages.iter().map(|usage| usage.cpu).collect();
        known.map(|times| median(times.iter().map(Duration::as_secs_f64)))
    }

    /// The largest memory of all runs in MB, where it is known.
    pub(crate) fn peak_megabytes(&self) -> Option<f64> {
        let peak = self
            .usages
            .iter()
            .filter_map(|usage| usage.peak_bytes)
            .max();
        peak.map(|bytes| bytes as f64 / 1e6)
    }

    /// Adds the goal that holds for every binary: under 64 MB.
    pub(crate) fn with_memory_goal(mut self, megabytes: f64) -> Self {
        if let Some(peak) = self.peak_megabytes() {
            self.goals
                .push(Goal::at_most("memory", peak, megabytes, " MB"));
        }
        self
    }
}

/// The table's head, as wide as [`render`] makes its rows.
pub(crate) fn head() -> String {
    format!(
        "{:<58} {:>10} {:>6} {:>8} {:>6} {:>7} {:>7}  goal",
        "what", "rows/s", "MB/s", "wall s", "ratio", "CPU s", "peak MB"
    )
}

/// One row, with further goals on lines of their own.
pub(crate) fn render(row: &Row) -> String {
    let optional = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => String::new(),
    };
    let known = |condition: bool, value: f64| condition.then_some(value);
    let timed = !row.usages.is_empty();
    let mut line = format!(
        "{:<58} {:>10} {:>6} {:>8} {:>6} {:>7} {:>7}",
        row.name,
        known(timed && row.records > 0, row.rate())
            .map(thousands)
            .unwrap_or_default(),
        optional(
            known(timed && row.bytes > 0, row.bytes as f64 / row.wall() / 1e6),
            0
        ),
        optional(
            known(timed, row.wall()),
            if row.wall() < 1.0 { 4 } else { 2 }
        ),
        optional(known(!row.ratios.is_empty(), row.ratio()), 2),
        optional(
            row.cpu().filter(|_| timed),
            if row.wall() < 1.0 { 4 } else { 2 }
        ),
        optional(row.peak_megabytes(), 0),
    );
    for (index, goal) in row.goals.iter().enumerate() {
        let word = if goal.met { "met" } else { "NOT MET" };
        if index > 0 {
            line.push('\n');
            line.push_str(&" ".repeat(INDENT));
        }
        line.push_str(&format!("  {word}: {}", goal.text));
    }
    line.trim_end().to_owned()
}

/// The middle value, or the mean of the two middle ones; not a number if there are none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// An integer with a comma for each three digits.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1000.0 => thousands(value),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}
