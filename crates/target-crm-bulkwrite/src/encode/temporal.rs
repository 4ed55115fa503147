//! Dates, and times as the organisation's clocks show them: the service takes no offset.

use chrono::{DateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;
use singer_core::value::time::{self, DAY, Fraction};
use zoho::encode::text::string;
use zoho::encode::{Given, Unfit, day};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// The pattern of what [`date_time`] writes.
pub(crate) const DATE_TIME_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// The pattern of what [`date`] writes.
pub(crate) const DATE_PATTERN: &str = "yyyy-MM-dd";

/// Appends the wall time of an instant in a time zone; fractions of a second are cut off.
pub(super) fn date_time(given: Given<'_>, zone: Tz, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let micros = instant(given)?;
    let seconds = micros.div_euclid(SECOND);
    let utc = DateTime::from_timestamp(seconds, 0).ok_or(Unfit::Range)?;
    let offset = zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
    let local = (seconds + i64::from(offset.local_minus_utc())) * SECOND;
    if !time::write_date(out, local.div_euclid(DAY)) {
        return Err(Unfit::Range);
    }
    out.push(b' ');
    time::write_time(out, local.rem_euclid(DAY), Fraction::AsNeeded);
    Ok(())
}

/// Appends a day; a time stamp is one if it is midnight in UTC.
pub(super) fn date(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    day(instant(given)?, out)
}

/// Microseconds since 1970.
fn instant(given: Given<'_>) -> Result<i64, Unfit> {
    time::parse_timestamp(&string(given)?).ok_or(Unfit::Format)
}
