//! NUMERIC and BIGNUMERIC: digits counted and printed, never rounded.

use std::cmp::Ordering;
use std::io::{self, Write};

use singer_core::number;
use singer_core::scan::ValueKind;
use singer_core::value::is_number;

use super::Given;
use super::text::inner;
use super::unfit::Unfit;
use crate::model::{Field, Kind};

/// The ends of BIGNUMERIC: 2^255 by 10^38, and one step less on the upper side.
const BIG_LEAST: &[u8] =
    b"-578960446186580977117854925043439539266.34992332820282019728792003956564819968";
const BIG_MOST: &[u8] =
    b"578960446186580977117854925043439539266.34992332820282019728792003956564819967";

/// A decimal's digits: the value is `0.DIGITS × 10^point`, `DIGITS` without zeros at either end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits<'a> {
    is_negative: bool,
    head: &'a [u8],
    tail: &'a [u8],
    point: i64,
}

impl<'a> Digits<'a> {
    /// The digits of a text in JSON's spelling.
    pub(super) fn of(text: &'a [u8]) -> Self {
        let (is_negative, text) = match text.strip_prefix(b"-") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let split = |text: &'a [u8], at: Option<usize>| match at {
            Some(at) => (
                text.get(..at).unwrap_or_default(),
                text.get(at + 1..).unwrap_or_default(),
            ),
            None => (text, <&[u8]>::default()),
        };
        let (mantissa, exponent) = split(text, memchr::memchr2(b'e', b'E', text));
        let (head, tail) = split(mantissa, memchr::memchr(b'.', mantissa));
        let mut point = (head.len() as i64).saturating_add(exponent_of(exponent));
        let (mut head, mut tail) = (head, tail);
        let zeros = leading_zeros(head);
        head = head.get(zeros..).unwrap_or_default();
        point = point.saturating_sub(zeros as i64);
        if head.is_empty() {
            let zeros = leading_zeros(tail);
            tail = tail.get(zeros..).unwrap_or_default();
            point = point.saturating_sub(zeros as i64);
        }
        tail = tail.trim_suffix_zeros();
        if tail.is_empty() {
            head = head.trim_suffix_zeros();
        }
        let is_zero = head.is_empty() && tail.is_empty();
        Self {
            is_negative: is_negative && !is_zero,
            head,
            tail,
            point: if is_zero { 0 } else { point },
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Digits ahead of the point, once it is printed without an exponent.
    pub(super) fn whole(&self) -> i64 {
        self.point.max(0)
    }

    /// Digits behind the point.
    pub(super) fn scale(&self) -> i64 {
        (self.count() as i64).saturating_sub(self.point).max(0)
    }

    /// Whether it is a whole number that has a double of its own.
    pub(super) fn is_whole_double(&self) -> bool {
        if self.point > 38 || self.scale() > 0 {
            return false;
        }
        let digits = self
            .all()
            .fold(0u128, |sum, digit| sum * 10 + u128::from(digit & 15));
        let size = (self.count() as i64..self.point).fold(digits, |size, _| size * 10);
        (size as f64) as u128 == size
    }

    fn all(&self) -> impl Iterator<Item = u8> {
        self.head.iter().chain(self.tail).copied()
    }

    /// Prints it without an exponent: `-12.5`. Only for one whose size has been checked.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if self.count() == 0 {
            return out.write_all(b"0");
        }
        if self.is_negative {
            out.write_all(b"-")?;
        }
        if self.point <= 0 {
            out.write_all(b"0.")?;
            zeros(out, self.point.unsigned_abs())?;
            out.write_all(self.head)?;
            return out.write_all(self.tail);
        }
        let whole = self.whole() as usize;
        for (part, before) in [(self.head, 0), (self.tail, self.head.len())] {
            match part.split_at_checked(whole.saturating_sub(before)) {
                Some((ahead, behind)) if before <= whole => {
                    out.write_all(ahead)?;
                    if !behind.is_empty() {
                        out.write_all(b".")?;
                        out.write_all(behind)?;
                    }
                }
                _ => out.write_all(part)?,
            }
        }
        zeros(out, whole.saturating_sub(self.count()) as u64)
    }
}

trait Zeros {
    fn trim_suffix_zeros(self) -> Self;
}

impl Zeros for &[u8] {
    fn trim_suffix_zeros(self) -> Self {
        let end = self
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(0, |last| last + 1);
        self.get(..end).unwrap_or_default()
    }
}

fn zeros(out: &mut impl Write, count: u64) -> io::Result<()> {
    for _ in 0..count {
        out.write_all(b"0")?;
    }
    Ok(())
}

fn leading_zeros(digits: &[u8]) -> usize {
    digits.iter().take_while(|digit| **digit == b'0').count()
}

fn exponent_of(text: &[u8]) -> i64 {
    let (is_negative, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    // Far beyond every type, yet small enough that lengths can be added to it.
    let size = digits.iter().fold(0i64, |sum, digit| {
        (sum.saturating_mul(10).saturating_add(i64::from(digit & 15))).min(i64::MAX / 4)
    });
    if is_negative { -size } else { size }
}

/// Appends a decimal as the digits that its column keeps, without an exponent.
pub(super) fn write(field: &Field, given: Given<'_>, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let (kind, json) = given;
    let text = match kind {
        ValueKind::Integer | ValueKind::Number => json,
        ValueKind::String => {
            let raw = inner(json);
            if !std::str::from_utf8(raw).is_ok_and(is_number) {
                return Err(Unfit::Format);
            }
            raw
        }
        other => return Err(Unfit::Kind(other)),
    };
    let digits = Digits::of(text);
    check(field, text, &digits)?;
    digits.write(out).map_err(|_| Unfit::Range)
}

fn check(field: &Field, text: &[u8], digits: &Digits<'_>) -> Result<(), Unfit> {
    let is_big = field.kind == Kind::BigNumeric;
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
    let (whole, scale) = match (number(&field.precision), number(&field.scale)) {
        (Some(precision), scale) => (precision - scale.unwrap_or(0), scale.unwrap_or(0)),
        (None, _) if is_big => (39, 38),
        (None, _) => (29, 9),
    };
    if digits.whole() > whole {
        return Err(Unfit::Range);
    }
    if digits.scale() > scale {
        return Err(Unfit::Precision);
    }
    if is_big
        && digits.whole() == 39
        && (number::compare(text, BIG_LEAST) == Ordering::Less
            || number::compare(text, BIG_MOST) == Ordering::Greater)
    {
        return Err(Unfit::Range);
    }
    Ok(())
}
