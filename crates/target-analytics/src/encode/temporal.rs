//! Dates and times, all of them in UTC and without a zone: with one Analytics would convert them.

use singer_core::value::time::{self, DAY, Fraction};
use zoho::encode::text::string;
use zoho::encode::{Given, Unfit, day};

use crate::config::Milliseconds;

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// Appends `yyyy-MM-dd HH:mm:ss`, and milliseconds behind a point if they are kept.
pub(super) fn date_time(
    given: Given<'_>,
    milliseconds: Milliseconds,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let text = string(given)?;
    let micros = instant(&text)?;
    if let Some((date, time)) = in_utc(&text) {
        out.extend_from_slice(date);
        out.push(b' ');
        out.extend_from_slice(time);
    } else if time::write_date(out, micros.div_euclid(DAY)) {
        out.push(b' ');
        let of_day = micros.rem_euclid(DAY);
        time::write_time(out, of_day - of_day % SECOND, Fraction::AsNeeded);
    } else {
        return Err(Unfit::Range);
    }
    if milliseconds == Milliseconds::Keep {
        let rest = micros.rem_euclid(SECOND) / 1_000;
        out.push(b'.');
        out.extend([rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8));
    }
    Ok(())
}

/// Appends `yyyy-MM-dd`; a time stamp is a day if it is midnight in UTC.
pub(super) fn date(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    day(instant(&string(given)?)?, out)
}

/// Appends `HH:mm:ss`; an offset may only be that of UTC.
pub(super) fn time(given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let text = string(given)?;
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(&text);
    let (micros, offset) = time::parse_time(text).ok_or(Unfit::Format)?;
    if offset.is_some_and(|offset| offset != 0) {
        return Err(Unfit::Format);
    }
    if micros >= DAY {
        return Err(Unfit::Range);
    }
    time::write_time(out, micros - micros % SECOND, Fraction::AsNeeded);
    Ok(())
}

/// Microseconds since 1970 of a time stamp, also of one with a colon before its milliseconds, as the
/// Data Store of Catalyst writes them.
fn instant(text: &str) -> Result<i64, Unfit> {
    if let Some(micros) = time::parse_timestamp(text) {
        return Ok(micros);
    }
    let seconds = text.get(..19);
    let rest = text.get(19..).and_then(|rest| rest.strip_prefix(':'));
    let (Some(seconds), Some(rest)) = (seconds, rest) else {
        return Err(Unfit::Format);
    };
    time::parse_timestamp(&format!("{seconds}.{rest}")).ok_or(Unfit::Format)
}

/// The date and the time of a text that is a time stamp, if they are those of UTC and need no reckoning: the
/// text is then copied, instead of being made of numbers again.
fn in_utc(text: &str) -> Option<(&[u8], &[u8])> {
    let (date, rest) = text.as_bytes().split_at_checked(10)?;
    let (time, rest) = rest.split_first()?.1.split_at_checked(8)?;
    // The end of a day and the leap second belong to the next minute.
    let is_whole = time.get(..2)? < b"24".as_slice() && time.get(6..)? < b"60".as_slice();
    let has_offset = rest.iter().any(|byte| matches!(byte, b'+' | b'-'));
    (is_whole && !has_offset).then_some((date, time))
}
