//! Amounts as people read them.

use std::time::Duration;

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that suits them.
pub fn bytes(count: u64) -> String {
    let mut amount = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if amount < 1000.0 {
            let digits = usize::from(unit != "B");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1000.0;
    }
    format!("{amount:.1} TB")
}

/// A duration as people write it.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1000)],
            ["0", "999", "1,000"]
        );
        assert_eq!(
            [bytes(999), bytes(1500), bytes(2_500_000_000)],
            ["999 B", "1.5 kB", "2.5 GB"]
        );
        let texts = [5.25, 65.0, 3700.0].map(|amount| seconds(Duration::from_secs_f64(amount)));
        assert_eq!(texts, ["5.2s", "1m05s", "1h01m"]);
    }
}
