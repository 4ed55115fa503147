//! Dates and times as values of a record: RFC 3339 where it has a form for them, else null or the
//! server's text.

use singer_core::value::time::{self, DAY, Fraction};
use singer_core::value::write_string;

use super::{Formats, SpecialValues, Tally};

/// Days from 1970-01-01 to 2000-01-01, where the server's binary forms begin.
const EPOCH_DAYS: i64 = 10_957;

/// Appends a binary `date`: days since 2000.
pub(super) fn write_binary_date(
    out: &mut Vec<u8>,
    days: i32,
    formats: &Formats,
    tally: &mut Tally,
) {
    let (start, day) = (out.len(), i64::from(days) + EPOCH_DAYS);
    out.push(b'"');
    if time::write_date(out, day) {
        out.push(b'"');
        return;
    }
    out.truncate(start);
    let text = match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        _ => any_date(day, ""),
    };
    write_out_of_range(out, &text, formats, tally);
}

/// Appends a binary `timestamp` or `timestamptz`: microseconds since 2000.
pub(super) fn write_binary_timestamp(
    out: &mut Vec<u8>,
    micros: i64,
    formats: &Formats,
    tally: &mut Tally,
) {
    let start = out.len();
    let since_1970 = micros.checked_add(EPOCH_DAYS * DAY);
    out.push(b'"');
    if since_1970.is_some_and(|micros| time::write_timestamp(out, micros, Fraction::AsNeeded)) {
        out.push(b'"');
        return;
    }
    out.truncate(start);
    let text = match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        _ => {
            let mut clock = Vec::new();
            time::write_time(&mut clock, micros.rem_euclid(DAY), Fraction::AsNeeded);
            let clock = String::from_utf8_lossy(&clock);
            any_date(micros.div_euclid(DAY) + EPOCH_DAYS, &format!(" {clock}"))
        }
    };
    write_out_of_range(out, &text, formats, tally);
}

/// Appends the text of a `date`.
pub(super) fn write_text_date(out: &mut Vec<u8>, text: &str, formats: &Formats, tally: &mut Tally) {
    match time::parse_date(text) {
        // What was parsed is in the form already.
        Some(_) => {
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
        None => write_out_of_range(out, text, formats, tally),
    }
}

/// Appends the text of a `timestamp` or `timestamptz`, converted to UTC.
pub(super) fn write_text_timestamp(
    out: &mut Vec<u8>,
    text: &str,
    formats: &Formats,
    tally: &mut Tally,
) {
    let start = out.len();
    out.push(b'"');
    let written = time::parse_timestamp(text)
        .is_some_and(|micros| time::write_timestamp(out, micros, Fraction::AsNeeded));
    if written {
        out.push(b'"');
    } else {
        out.truncate(start);
        write_out_of_range(out, text, formats, tally);
    }
}

/// Appends a time of day with an offset east of UTC, if it has one.
pub(super) fn write_time(out: &mut Vec<u8>, micros: i64, offset: Option<i64>) {
    out.push(b'"');
    time::write_time(out, micros, Fraction::AsNeeded);
    if let Some(seconds) = offset {
        time::write_offset(out, seconds);
    }
    out.push(b'"');
}

fn write_out_of_range(out: &mut Vec<u8>, text: &str, formats: &Formats, tally: &mut Tally) {
    tally.out_of_range += 1;
    match formats.special {
        SpecialValues::Null => out.extend_from_slice(b"null"),
        SpecialValues::Text => write_string(out, text),
    }
}

/// A date of any year as the server prints it, with the time of day behind it.
fn any_date(days: i64, clock: &str) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    if year < 1 {
        format!("{:04}-{month:02}-{day:02}{clock} BC", 1 - year)
    } else {
        format!("{year:04}-{month:02}-{day:02}{clock}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(micros: i64, special: SpecialValues) -> String {
        let formats = Formats {
            special,
            ..Formats::default()
        };
        let mut out = Vec::new();
        let mut tally = Tally::default();
        write_binary_timestamp(&mut out, micros, &formats, &mut tally);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_that_rfc_3339_lacks_is_null_or_text_and_never_wrong() {
        use SpecialValues::{Null, Text};
        assert_eq!(timestamp(0, Null), r#""2000-01-01T00:00:00Z""#);
        assert_eq!(timestamp(1, Null), r#""2000-01-01T00:00:00.000001Z""#);
        assert_eq!(timestamp(i64::MAX, Null), "null");
        assert_eq!(timestamp(i64::MAX, Text), r#""infinity""#);
        assert_eq!(
            timestamp(-63_113_904_000_000_000, Text),
            r#""0001-01-01 00:00:00 BC""#
        );
        assert_eq!(
            timestamp(252_455_616_000_000_000, Text),
            r#""10000-01-01 00:00:00""#
        );
        // The last moment that the server can hold.
        timestamp(9_223_371_331_199_999_999, Text);
        timestamp(i64::MAX - 1, Text);
    }

    #[test]
    fn zoned_text_is_written_once_and_in_utc() {
        let mut out = Vec::new();
        let mut tally = Tally::default();
        let formats = Formats::default();
        write_text_timestamp(
            &mut out,
            "2024-05-01 02:00:00.5+05:30",
            &formats,
            &mut tally,
        );
        write_text_timestamp(&mut out, "0044-03-15 00:00:00 BC", &formats, &mut tally);
        assert_eq!(out, br#""2024-04-30T20:30:00.500000Z"null"#);
        assert_eq!(tally.out_of_range, 1);
    }
}
