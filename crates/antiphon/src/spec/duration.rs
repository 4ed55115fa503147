//! Spans of time as people write them.

use std::time::Duration;

/// What is told when one cannot be read.
pub(super) const EXPECTED: &str =
    "a duration such as \"90s\", \"15m\", \"1h30m\" or a number of seconds";

/// No span is longer: ten years, far from where sums of times overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

/// Numbers with units (`1h30m`), each unit once and smaller than the one before.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.ends_with(|letter: char| letter.is_ascii_digit()) {
        return seconds(rest);
    }
    let mut total: u64 = 0;
    let mut before = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *factor >= before {
            return None;
        }
        before = *factor;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(total)).filter(|span| before != u64::MAX && *span <= LONGEST)
}

/// A number of seconds, whole or not.
pub(super) fn seconds(number: &str) -> Option<Duration> {
    let seconds: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let millis = |text| parse(text).map(|span| span.as_millis());
        for (text, expected) in [
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1w2d", 777_600_000),
            ("250ms", 250),
            ("0s", 0),
            ("45", 45_000),
            ("0.5", 500),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for text in [
            "",
            " ",
            "h",
            "5 minutes",
            "1.5h",
            "-3s",
            "30m1h",
            "1h1h",
            "s5",
            "1y",
            "1H",
            "é",
            "5é",
            "99999999999999999999s",
            "999999d",
            "NaN",
            "inf",
            "1e300",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
