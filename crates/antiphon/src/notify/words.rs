//! Numbers, spans of time and short texts as people read them.

/// `3 h 12 min`, `4 min 5 s`, `2.5 s`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0)
    } else {
        0.0
    };
    if seconds < 59.95 {
        return format!("{} s", decimal(seconds));
    }
    let whole = seconds.round() as u64;
    let (days, hours) = (whole / 86_400, whole / 3600 % 24);
    let (minutes, rest) = (whole / 60 % 60, whole % 60);
    let parts = match (days, hours, minutes) {
        (0, 0, _) => [(minutes, "min"), (rest, "s")],
        (0, _, _) => [(hours, "h"), (minutes, "min")],
        _ => [(days, "d"), (hours, "h")],
    };
    let shown: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    shown.join(" ")
}

/// A number with one digit after the point, if that is not a zero.
pub(crate) fn decimal(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// A number with commas: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 failed run`, `14 failed runs`.
pub(crate) fn plural(number: u64, one: &str) -> String {
    if number == 1 {
        return format!("1 {one}");
    }
    format!("{} {one}s", count(number))
}

/// The start of a text, at most so many characters of it, with a sign that it was cut.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}\u{2026}", start.trim_end())
}

/// One line: line breaks and other control characters become spaces.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_two_units_at_most() {
        for (seconds, wanted) in [
            (0.0, "0 s"),
            (2.46, "2.5 s"),
            (59.97, "1 min"),
            (245.0, "4 min 5 s"),
            (11_520.0, "3 h 12 min"),
            (3600.0, "1 h"),
            (200_000.0, "2 d 7 h"),
            (f64::NAN, "0 s"),
        ] {
            assert_eq!(duration(seconds), wanted);
        }
    }

    #[test]
    fn numbers_are_grouped_and_words_agree() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(plural(1, "run"), "1 run");
        assert_eq!(plural(1000, "run"), "1,000 runs");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("\u{e9}\u{e9}\u{e9}", 2), "\u{e9}\u{2026}");
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(one_line("a\r\nb\tc\u{7}"), "a b c");
    }
}
