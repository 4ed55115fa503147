//! Times in the zone of the project, without an offset, as the service writes them. Facts: section 3.

use anyhow::anyhow;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

/// The time zone of a project.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone(Tz);

impl Zone {
    /// That of the moments themselves.
    pub(super) const UTC: Zone = Zone(Tz::UTC);

    pub(super) fn from_name(name: &str) -> anyhow::Result<Zone> {
        let zone = name
            .parse()
            .map_err(|_| anyhow!("`{name}` is no time zone of the IANA list"))?;
        Ok(Zone(zone))
    }

    /// Milliseconds of the zone's own clock: of one that repeats an hour in autumn.
    pub(super) fn local_ms(self, epoch_ms: i64) -> i64 {
        let Some(utc) = DateTime::from_timestamp_millis(epoch_ms) else {
            return epoch_ms;
        };
        let offset = self.0.offset_from_utc_datetime(&utc.naive_utc());
        epoch_ms + i64::from(offset.fix().local_minus_utc()) * 1000
    }

    /// Writes a time as in `2021-08-16 16:29:10:499`, with a colon before the milliseconds.
    pub(super) fn write(self, out: &mut String, epoch_ms: i64) {
        let local = DateTime::from_timestamp_millis(self.local_ms(epoch_ms)).unwrap_or_default();
        // A result has hundreds of thousands of these: the general way takes many times as long.
        let digits = [
            (u32::try_from(local.year()).unwrap_or_default(), 4, '-'),
            (local.month(), 2, '-'),
            (local.day(), 2, ' '),
            (local.hour(), 2, ':'),
            (local.minute(), 2, ':'),
            (local.second(), 2, ':'),
        ];
        for (number, width, behind) in digits {
            push_digits(out, number, width);
            out.push(behind);
        }
        push_digits(out, local.timestamp_subsec_millis(), 3);
    }

    /// As [`Zone::write`], as a text of its own.
    pub(super) fn text(self, epoch_ms: i64) -> String {
        let mut text = String::new();
        self.write(&mut text, epoch_ms);
        text
    }

    /// As the service shows times to people: `Jan 14, 2025 10:04 AM`.
    pub(super) fn display(self, epoch_ms: i64) -> String {
        let local = DateTime::from_timestamp_millis(self.local_ms(epoch_ms)).unwrap_or_default();
        local.format("%b %d, %Y %I:%M %p").to_string()
    }

    /// The moment that a time of the zone's clock means; of two the earlier.
    pub(super) fn epoch_ms(self, local_ms: i64) -> Option<i64> {
        let local = DateTime::from_timestamp_millis(local_ms)?.naive_utc();
        let moment = self.0.from_local_datetime(&local).earliest()?;
        Some(moment.timestamp_millis())
    }
}

fn push_digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10u32.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

/// Reads a time without a zone: a date, a date with seconds, or one with milliseconds behind a colon
/// or a point.
pub(super) fn read_local_ms(text: &str) -> Option<i64> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(
            date.and_time(chrono::NaiveTime::MIN)
                .and_utc()
                .timestamp_millis(),
        );
    }
    [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M:%S:%3f",
        "%Y-%m-%d %H:%M:%S%.f",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    .map(|time| time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_zone_with_a_colon_before_the_milliseconds() {
        let zone = Zone::from_name("Asia/Kolkata").unwrap();
        assert_eq!(zone.text(1_629_111_550_499), "2021-08-16 16:29:10:499");
        assert_eq!(zone.display(1_629_111_550_499), "Aug 16, 2021 04:29 PM");
        assert!(Zone::from_name("Asia/Nowhere").is_err());
    }

    #[test]
    fn a_time_is_read_with_and_without_milliseconds() {
        let whole = read_local_ms("2021-08-16 16:29:10").unwrap();
        assert_eq!(read_local_ms("2021-08-16 16:29:10:499"), Some(whole + 499));
        assert_eq!(read_local_ms("2021-08-16 16:29:10.499"), Some(whole + 499));
        assert!(read_local_ms("2021-08-16").unwrap() < whole);
        assert_eq!(read_local_ms("16.08.2021"), None);
        let zone = Zone::from_name("Europe/Berlin").unwrap();
        assert_eq!(zone.local_ms(zone.epoch_ms(whole).unwrap()), whole);
    }

    #[test]
    fn the_hour_that_autumn_repeats_looks_the_same_twice() {
        let zone = Zone::from_name("Europe/Berlin").unwrap();
        let first = 1_635_639_300_000;
        assert_eq!(zone.text(first), zone.text(first + 3_600_000));
    }
}
