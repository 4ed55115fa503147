//! The least and greatest value of some columns in a batch, as literals of SQL: with them a MERGE
//! reads only the parts of its table that the batch can meet.

use std::cmp::Ordering;
use std::fmt::Write as _;

use singer_core::number;
use singer_core::scan::ValueKind;
use singer_runtime::target::Record;

use super::{Fractions, Given, Options, decimal, number as numbers, temporal, text};
use crate::model::Kind;
use crate::schema::Column;

/// Bytes of a text bound at most.
const TEXT_LENGTH: usize = 1024;

/// Collects the bounds of some columns over the records of a batch.
#[derive(Debug, Clone)]
pub struct Bounds {
    columns: Vec<(Column, Range)>,
    fractions: Fractions,
    /// A decimal that is being read.
    scratch: Vec<u8>,
}

/// What is known of a column's values so far.
#[derive(Debug, Clone, PartialEq)]
enum Range {
    None,
    Whole(i64, i64),
    Text(Vec<u8>, Vec<u8>),
    /// There was a value without an order that the table shares.
    Unusable,
}

impl Bounds {
    /// Bounds of these columns; rows are read as the encoders read them under these options.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a Column>, options: &Options) -> Self {
        let columns = columns.into_iter().map(|column| {
            // Text under a collation has an order of its own.
            let is_ordered = !column.is_repeated()
                && !column.field.other.contains_key("collation")
                && matches!(
                    column.field.kind,
                    Kind::Integer
                        | Kind::String
                        | Kind::Date
                        | Kind::Timestamp
                        | Kind::DateTime
                        | Kind::Numeric
                        | Kind::BigNumeric
                );
            let range = if is_ordered {
                Range::None
            } else {
                Range::Unusable
            };
            (column.clone(), range)
        });
        Self {
            columns: columns.collect(),
            fractions: options.fractions,
            scratch: Vec::new(),
        }
    }

    /// Takes in a record. Only those that were encoded count.
    pub fn add(&mut self, record: &Record<'_>) {
        for (column, range) in &mut self.columns {
            if *range == Range::Unusable {
                continue;
            }
            if record
                .field(column.index)
                .and_then(|given| widen(range, column, given, self.fractions, &mut self.scratch))
                .is_none()
            {
                *range = Range::Unusable;
            }
        }
    }

    /// The columns with the literals of their least and greatest value; without those that have no
    /// usable bounds: a null or a missing value, no order, a text that is too long.
    pub fn literals(&self) -> impl Iterator<Item = (&Column, String, String)> {
        self.columns.iter().filter_map(|(column, range)| {
            let (least, most) = match range {
                Range::None | Range::Unusable => return None,
                Range::Whole(least, most) => {
                    (whole_literal(column, *least), whole_literal(column, *most))
                }
                Range::Text(least, most) => (
                    text_literal(column, &shortened(least)?)?,
                    text_literal(
                        column,
                        most.get(..).filter(|most| most.len() <= TEXT_LENGTH)?,
                    )?,
                ),
            };
            Some((column, least, most))
        })
    }
}

/// `None` if the value leaves no bounds.
fn widen(
    range: &mut Range,
    column: &Column,
    given: Given<'_>,
    fractions: Fractions,
    scratch: &mut Vec<u8>,
) -> Option<()> {
    let whole = match column.field.kind {
        Kind::Integer => numbers::integer(given).ok()?,
        Kind::Date => temporal::date(given).ok()?,
        Kind::Timestamp | Kind::DateTime => temporal::timestamp(given, fractions).ok()?,
        Kind::String => {
            let text = match given {
                (ValueKind::String, json) => text::plain(text::inner(json)).ok()?,
                (ValueKind::Integer | ValueKind::Number | ValueKind::Boolean, json) => json.into(),
                _ => return None,
            };
            return widen_text(range, &text, |one, other| one.cmp(other));
        }
        _ => {
            scratch.clear();
            decimal::write(&column.field, given, scratch).ok()?;
            return widen_text(range, scratch, number::compare);
        }
    };
    *range = match *range {
        Range::Whole(least, most) => Range::Whole(least.min(whole), most.max(whole)),
        _ => Range::Whole(whole, whole),
    };
    Some(())
}

fn widen_text(
    range: &mut Range,
    text: &[u8],
    order: impl Fn(&[u8], &[u8]) -> Ordering,
) -> Option<()> {
    let Range::Text(least, most) = range else {
        *range = Range::Text(text.to_vec(), text.to_vec());
        return Some(());
    };
    for (bound, outside) in [(least, Ordering::Less), (most, Ordering::Greater)] {
        if order(text, bound) == outside {
            bound.clear();
            bound.extend_from_slice(text);
        }
    }
    Some(())
}

/// A text that is not greater and not too long: its beginning is one.
fn shortened(least: &[u8]) -> Option<String> {
    let start = least.get(..TEXT_LENGTH).unwrap_or(least);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character was cut through.
        Err(error) => std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?,
    };
    Some(text.to_owned())
}

fn whole_literal(column: &Column, value: i64) -> String {
    let mut text = Vec::new();
    let word = match column.field.kind {
        Kind::Date => {
            temporal::write_date(value, &mut text);
            "DATE"
        }
        Kind::Timestamp => {
            temporal::write_timestamp(value, &mut text);
            "TIMESTAMP"
        }
        Kind::DateTime => {
            temporal::write_datetime(value, &mut text);
            "DATETIME"
        }
        _ => return value.to_string(),
    };
    format!("{word} '{}'", String::from_utf8_lossy(&text))
}

fn text_literal(column: &Column, text: impl AsRef<[u8]>) -> Option<String> {
    let text = std::str::from_utf8(text.as_ref()).ok()?;
    Some(match column.field.kind {
        Kind::Numeric => format!("NUMERIC '{text}'"),
        Kind::BigNumeric => format!("BIGNUMERIC '{text}'"),
        _ => string_literal(text),
    })
}

/// A text as a literal of SQL, with its quotes.
pub fn string_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            control if control.is_control() => {
                write!(literal, "\\u{:04x}", u32::from(control))
                    .expect("a string takes what is written to it");
            }
            plain => literal.push(plain),
        }
    }
    literal.push('\'');
    literal
}
