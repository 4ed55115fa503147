//! Numbers, times and outcomes as a person reads them. Everything is UTC, as in the logs.

use chrono::{DateTime, TimeDelta, Utc};

use crate::history::Outcome;

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = round(seconds);
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => pair(whole / 60, "min", whole % 60, "s"),
        3_600..86_400 => pair(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1,234`, or a dash where nobody said.
pub(crate) fn count_or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "–".to_owned(), count)
}

/// `950`, `1.2k`, `35M`: for the ticks of an axis.
pub(crate) fn count_short(number: f64) -> String {
    let (value, unit) = match number {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    // A tick is a round number: at most one digit after the point says all of it.
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `812 B`, `1.4 MB`.
pub(crate) fn bytes(number: u64) -> String {
    let exact = precise(number);
    match exact {
        n if n >= 1e9 => format!("{:.1} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.1} MB", n / 1e6),
        n if n >= 1e3 => format!("{:.1} kB", n / 1e3),
        _ => format!("{number} B"),
    }
}

/// `just now`, `5 min ago`, `in 2 h`, `3 d ago`: one unit, the largest.
pub(crate) fn relative(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let past = now - at;
    let amount = past.abs();
    if amount < TimeDelta::seconds(5) {
        return if past < TimeDelta::zero() {
            "now"
        } else {
            "just now"
        }
        .to_owned();
    }
    let text = match amount.num_seconds() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    };
    if past < TimeDelta::zero() {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// `2026-11-23 18:04:36 UTC`.
pub(crate) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `23 Nov 18:04`.
pub(crate) fn stamp_short(at: DateTime<Utc>) -> String {
    at.format("%-d %b %H:%M").to_string()
}

/// A time for machines, as the `datetime` of a `time` element.
pub(crate) fn stamp_machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// At most so many characters, with an ellipsis where something is missing.
pub(crate) fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// An outcome in words.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Rejects => "with rejects",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed out",
        Outcome::Interrupted => "interrupted",
        Outcome::Died => "died",
    }
}

/// The mark beside the word, so that colour never stands alone.
pub(crate) fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "✓",
        Outcome::Rejects => "!",
        Outcome::Failed => "×",
        Outcome::TimedOut => "t",
        Outcome::Interrupted => "–",
        Outcome::Died => "†",
    }
}

/// The class of an outcome in the style sheet.
pub(crate) fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "ok",
        Outcome::Rejects => "warn",
        Outcome::Interrupted => "idle",
        Outcome::Failed | Outcome::TimedOut | Outcome::Died => "bad",
    }
}

/// A whole number as a float; exact enough for anything that is drawn.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is drawn or shortened needs no more than fifteen digits"
)]
pub(crate) fn precise(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float too large or below zero becomes the nearest number, which is what is wanted"
)]
fn round(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.6, "1 min"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
            (f64::NAN, "–"),
            (-1.0, "–"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn counts_are_grouped_or_shortened() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count_short(0.5), "0.5");
        assert_eq!(count_short(1_500.0), "1.5k");
        assert_eq!(count_short(20_000_000.0), "20M");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(1_400_000), "1.4 MB");
        assert_eq!(plural(1, "run", "runs"), "1 run");
    }

    #[test]
    fn times_are_told_from_now() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1_000);
        for (seconds, text) in [
            (0, "just now"),
            (-59, "59 s ago"),
            (-3_600, "1 h ago"),
            (-90_000, "25 h ago"),
            (-200_000, "2 d ago"),
            (90, "in 1 min"),
            (2, "now"),
        ] {
            assert_eq!(relative(now, now + TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn long_words_are_clipped_at_a_character() {
        assert_eq!(clip("ééé", 3), "ééé");
        assert_eq!(clip("éé éé", 4), "éé…");
    }
}
