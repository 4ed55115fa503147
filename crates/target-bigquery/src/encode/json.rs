//! JSON columns: the value as it came, without white space, once it is known that the service keeps
//! every text and number of it.
//!
//! A key that comes twice in one object stays so: the service keeps the first.

use singer_core::scan::find_escape;
use singer_core::value::write_escaped;

use super::number::check_json_number;
use super::text;
use super::unfit::Unfit;
use super::{JsonForm, Numbers};

/// What is asked of the numbers in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// They become numbers of a JSON column.
    Numbers(Numbers),
    /// They are text and stay so.
    Text,
}

/// Appends a scanned value that has nothing in it that is not finite.
pub(super) fn write(json: &[u8], rule: Rule, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let mut clean = 0;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = string_end(json, at);
                text::check(json.get(at + 1..end - 1).unwrap_or_default())?;
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let end = number_end(json, at);
                if let Rule::Numbers(numbers) = rule {
                    check_json_number(json.get(at..end).unwrap_or_default(), numbers)?;
                }
                at = end;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                out.extend_from_slice(json.get(clean..at).unwrap_or_default());
                at += 1;
                clean = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(json.get(clean..).unwrap_or_default());
    Ok(())
}

/// Appends the value for a JSON column of a line of JSON.
pub(super) fn write_column(
    json: &[u8],
    numbers: Numbers,
    form: JsonForm,
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    match form {
        JsonForm::Value => write(json, Rule::Numbers(numbers), out),
        JsonForm::Text => write_as_text(json, Rule::Numbers(numbers), out),
    }
}

/// Appends a string that holds the value's JSON.
pub(super) fn write_as_text(json: &[u8], rule: Rule, out: &mut Vec<u8>) -> Result<(), Unfit> {
    let start = out.len();
    write(json, rule, out)?;
    let text = out.split_off(start);
    let text = String::from_utf8(text).map_err(|_| Unfit::Format)?;
    out.push(b'"');
    write_escaped(out, &text);
    out.push(b'"');
    Ok(())
}

/// One past the closing quote of a string that the scanner took.
fn string_end(json: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(found) = find_escape(json, at) {
        if json.get(found) == Some(&b'"') {
            return found + 1;
        }
        at = found + 2;
    }
    json.len()
}

fn number_end(json: &[u8], start: usize) -> usize {
    json.get(start..)
        .unwrap_or_default()
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .map_or(json.len(), |length| start + length)
}
