//! Times of the organisation's zone, with their offset. Facts: sections 2, 4 and 9.

use std::fmt::Write;

use anyhow::anyhow;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

/// The time zone of the organisation and of its users.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone(Tz);

impl Zone {
    pub(super) fn from_name(name: &str) -> anyhow::Result<Zone> {
        let zone = name
            .parse()
            .map_err(|_| anyhow!("`{name}` is no time zone of the IANA list"))?;
        Ok(Zone(zone))
    }

    /// Writes a time as in `2026-02-11T09:30:00+05:30`.
    pub(super) fn write(self, out: &mut String, seconds: i64) {
        let utc = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let offset = self.0.offset_from_utc_datetime(&utc.naive_utc()).fix();
        let (local, east) = (utc.naive_utc() + offset, offset.local_minus_utc());
        let sign = if east < 0 { '-' } else { '+' };
        let minutes = east.abs() / 60;
        // A large read writes a million of them: chrono's patterns take ten times as long.
        out.write_fmt(format_args!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
            minutes / 60,
            minutes % 60
        ))
        .expect("writing to a string cannot fail");
    }

    /// As [`Zone::write`], as a text of its own.
    pub(super) fn text(self, seconds: i64) -> String {
        let mut text = String::new();
        self.write(&mut text, seconds);
        text
    }

    /// The moment that a time of the zone's clock means; of two the earlier.
    pub(super) fn seconds(self, local: NaiveDateTime) -> Option<i64> {
        Some(self.0.from_local_datetime(&local).earliest()?.timestamp())
    }
}

/// Reads a time with an offset or `Z`, in whole seconds.
pub(super) fn read_time(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    (!text.contains('.')).then(|| time.timestamp())
}

/// Reads the time of a header, whose offset may have no colon: connectors in use send it like that.
pub(super) fn read_header_time(text: &str) -> Option<i64> {
    let without_colon = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%z").ok();
    read_time(text).or_else(|| Some(without_colon()?.timestamp()))
}

/// Whether a text is a date as it is kept.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// A pattern for dates such as `dd.MM.yyyy HH:mm`, taken apart; nothing if it has unknown letters.
pub(super) fn pattern(text: &str) -> Option<String> {
    let mut translated = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix('\'') {
            let (literal, behind) = behind.split_once('\'')?;
            translated.push_str(literal);
            rest = behind;
            continue;
        }
        let end = rest.find(|other| other != first).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        translated.push_str(match run {
            "yyyy" => "%Y",
            "yy" => "%y",
            "MMMM" => "%B",
            "MMM" => "%b",
            "MM" | "M" => "%m",
            "dd" | "d" => "%d",
            "HH" | "H" => "%H",
            "hh" | "h" => "%I",
            "mm" => "%M",
            "ss" => "%S",
            "a" => "%p",
            "XXX" => "%:z",
            _ if first.is_alphabetic() || first == '%' => return None,
            other => other,
        });
        rest = behind;
    }
    Some(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_offset_of_the_zone() {
        let zone = Zone::from_name("Europe/Oslo").unwrap();
        assert_eq!(zone.text(1_770_795_000), "2026-02-11T08:30:00+01:00");
        assert_eq!(read_time("2026-02-11T08:30:00+01:00"), Some(1_770_795_000));
        assert_eq!(read_time("2026-02-11T07:30:00Z"), Some(1_770_795_000));
        assert_eq!(read_time("2026-02-11T07:30:00.5Z"), None);
        assert_eq!(read_time("2026-02-11T08:30:00+0100"), None);
        for text in ["2026-02-11T08:30:00+0100", "2026-02-11T07:30:00Z"] {
            assert_eq!(read_header_time(text), Some(1_770_795_000), "{text}");
        }
        assert_eq!(read_header_time("2026-02-11T07:30:00.5Z"), None);
        let local = NaiveDateTime::parse_from_str("2026-02-11 08:30:00", "%Y-%m-%d %H:%M:%S");
        assert_eq!(zone.seconds(local.unwrap()), Some(1_770_795_000));
    }

    #[test]
    fn patterns_are_taken_apart() {
        let written = pattern("dd.MM.yyyy HH:mm:ss");
        assert_eq!(written.as_deref(), Some("%d.%m.%Y %H:%M:%S"));
        assert_eq!(
            pattern("yyyy-MM-dd'T'HH:mm:ssXXX").as_deref(),
            Some("%Y-%m-%dT%H:%M:%S%:z")
        );
        assert_eq!(pattern("yyyy-QQ"), None);
    }
}
