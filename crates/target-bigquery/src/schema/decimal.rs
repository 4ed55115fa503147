//! How many digits a JSON schema promises, and which type keeps them all.

use serde_json::Value;

use super::Decimal;
use crate::model::Kind;

/// The type of an integer within the bounds of its schema.
pub(super) fn integer(schema: &Value) -> Kind {
    let bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
    let outside = bounds
        .into_iter()
        .filter_map(|word| schema.get(word))
        .any(|bound| !within_64_bits(bound));
    if outside {
        narrowest(whole_digits(schema), 0)
    } else {
        Kind::Integer
    }
}

/// The type of a number, or of a string that is a decimal, by what the schema says of its digits.
pub(super) fn decimal(schema: &Value, decimal: Decimal, plain: Decimal) -> Kind {
    let scale = schema.get("multipleOf").and_then(fraction_digits);
    let declared = |word: &str| schema.get(word).and_then(Value::as_u64);
    let scale = declared("scale").or(scale);
    let says_decimal = schema
        .get("format")
        .is_some_and(|format| format == "singer.decimal");
    match (scale, says_decimal) {
        (Some(scale), _) => fixed(decimal).unwrap_or_else(|| {
            let whole = declared("precision")
                .map(|precision| precision.saturating_sub(scale))
                .max(whole_digits(schema));
            narrowest(whole, scale)
        }),
        (None, true) => fixed(decimal).unwrap_or(Kind::BigNumeric),
        (None, false) => fixed(plain).unwrap_or(Kind::Float),
    }
}

fn fixed(choice: Decimal) -> Option<Kind> {
    match choice {
        Decimal::Auto => None,
        Decimal::Numeric => Some(Kind::Numeric),
        Decimal::BigNumeric => Some(Kind::BigNumeric),
        Decimal::Float => Some(Kind::Float),
        Decimal::String => Some(Kind::String),
    }
}

/// The narrowest type for so many digits ahead of the point and behind it.
fn narrowest(whole: Option<u64>, scale: u64) -> Kind {
    match (whole.unwrap_or(0), scale) {
        (0..=29, 0..=9) => Kind::Numeric,
        (0..=38, 0..=38) => Kind::BigNumeric,
        _ => Kind::String,
    }
}

/// Bounds of 64 bits are often written through a double, which makes 2^63 of the greatest integer.
fn within_64_bits(bound: &Value) -> bool {
    bound.as_i64().is_some()
        || (!bound.is_u64()
            && bound
                .as_f64()
                .is_some_and(|bound| (-(2f64.powi(63))..=2f64.powi(63)).contains(&bound)))
}

/// Digits ahead of the point of the greatest value that the bounds admit; none where a side is open.
fn whole_digits(schema: &Value) -> Option<u64> {
    ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
        .into_iter()
        .filter_map(|word| schema.get(word).filter(|bound| bound.is_number()))
        .map(|bound| {
            let (digits, power) = parts(bound);
            let exclusive_power = digits.trim_start_matches('0') == "1"
                && (schema.get("exclusiveMaximum") == Some(bound)
                    || schema.get("exclusiveMinimum") == Some(bound));
            let whole = i64::try_from(digits.len())
                .unwrap_or(i64::MAX)
                .saturating_add(power);
            // Below 10^5 there are five digits.
            let whole = if exclusive_power { whole - 1 } else { whole };
            u64::try_from(whole).unwrap_or(0)
        })
        .max()
}

/// Digits behind the point of a step: two of 0.01, none of 1 and of 10.
fn fraction_digits(step: &Value) -> Option<u64> {
    if !step.is_number() || step.as_f64().is_none_or(|step| step <= 0.0) {
        return None;
    }
    let (_, power) = parts(step);
    Some(u64::try_from(power.saturating_neg()).unwrap_or(0))
}

/// A number as its digits, without zeros at either end, and the power of ten that they are times.
fn parts(number: &Value) -> (String, i64) {
    let text = number.to_string();
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let power = exponent.parse::<i64>().unwrap_or(0) - fraction.len() as i64
        + (digits.len() - kept.len()) as i64;
    (kept.trim_start_matches('0').to_owned(), power)
}
