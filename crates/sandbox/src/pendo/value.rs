//! Which JSON values a field takes, and how they are kept. Facts: section 3.2.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

use super::options::{Dates, EmptyString, NullValue, PendoOptions};
use super::schema::Field;

/// A number of so many characters without an exponent is within the range of a float.
const SURE_DIGITS: usize = 300;

/// What becomes of a value that is taken.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken<'body> {
    /// JSON text to keep; empty text empties the field.
    Keep(Cow<'body, str>),
    /// Nothing changes.
    Leave,
}

/// Why a value is not taken. Names the field, never the value.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) String);

/// Judges one value, given as the JSON text of the body.
pub(crate) fn take<'body>(
    field: &Field,
    raw: &'body str,
    options: &PendoOptions,
) -> Result<Taken<'body>, Refusal> {
    let keep = |raw| Ok(Taken::Keep(Cow::Borrowed(raw)));
    let empty = || Ok(Taken::Keep(Cow::Borrowed("")));
    let wrong = || {
        Err(Refusal(format!(
            "wrong value type for field `{}`: {} expected",
            field.name,
            expected(field)
        )))
    };
    let Some(form) = Form::of(raw) else {
        return wrong();
    };
    match form {
        Form::Null => match options.null {
            NullValue::Clear => return empty(),
            NullValue::Ignore => return Ok(Taken::Leave),
            NullValue::Refuse => return wrong(),
        },
        Form::Object => {
            return Err(Refusal(format!(
                "field `{}` takes no nested object",
                field.name
            )));
        }
        Form::Text if raw == "\"\"" && options.empty_string == EmptyString::Clear => {
            return empty();
        }
        _ => {}
    }
    if form == Form::List && (field.group == "custom" || !is_flat_list(raw)) {
        return wrong();
    }
    if !is_readable(form, raw) {
        return wrong();
    }
    if !field.checked {
        return keep(raw);
    }
    let fits = match field.type_name.as_str() {
        "string" => form == Form::Text,
        "boolean" => form == Form::Boolean,
        "integer" => form == Form::Number && is_whole(raw),
        "float" | "number" => form == Form::Number,
        "list" => form == Form::List,
        "time" => {
            return take_time(form, raw, options.dates).map_or_else(wrong, |millis| {
                Ok(Taken::Keep(Cow::Owned(millis.to_string())))
            });
        }
        // The type is not decided yet, or one that only the real service knows.
        _ => true,
    };
    if fits { keep(raw) } else { wrong() }
}

/// The type word of a field that comes into being with this value.
pub(crate) fn guess_type(raw: &str) -> &'static str {
    match Form::of(raw) {
        Some(Form::Text) => "string",
        Some(Form::Boolean) => "boolean",
        Some(Form::Number) => "float",
        Some(Form::List) => "list",
        Some(Form::Null | Form::Object) | None => "",
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Text,
    Number,
    Boolean,
    Null,
    List,
    Object,
}

impl Form {
    /// The form of a value whose text is known to be JSON.
    fn of(raw: &str) -> Option<Form> {
        Some(match raw.as_bytes().first()? {
            b'"' => Form::Text,
            b't' | b'f' => Form::Boolean,
            b'n' => Form::Null,
            b'[' => Form::List,
            b'{' => Form::Object,
            _ => Form::Number,
        })
    }
}

fn expected(field: &Field) -> &str {
    match field.type_name.as_str() {
        "" => "a scalar",
        known => known,
    }
}

fn is_flat_list(raw: &str) -> bool {
    let elements: Result<Vec<&serde_json::value::RawValue>, _> = serde_json::from_str(raw);
    elements.is_ok_and(|elements| {
        elements.iter().all(|element| {
            !matches!(
                Form::of(element.get()),
                Some(Form::List | Form::Object) | None
            )
        })
    })
}

/// Whether a value can be read back: JSON's grammar also allows numbers that no float holds and
/// halves of surrogate pairs.
fn is_readable(form: Form, raw: &str) -> bool {
    let suspicious = match form {
        Form::Text => raw.contains("\\u"),
        Form::Number => raw.len() > SURE_DIGITS || raw.contains(['e', 'E']),
        Form::List => true,
        Form::Boolean | Form::Null | Form::Object => false,
    };
    !suspicious || serde_json::from_str::<Value>(raw).is_ok()
}

fn is_whole(raw: &str) -> bool {
    let plain = raw
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    plain
        || raw
            .parse::<f64>()
            .is_ok_and(|number| number.is_finite() && number.fract() == 0.0)
}

/// Epoch milliseconds of a date value.
fn take_time(form: Form, raw: &str, dates: Dates) -> Option<i64> {
    match form {
        Form::Number if dates != Dates::Iso8601 => raw.parse().ok(),
        Form::Text if dates != Dates::EpochMs => {
            let text: Cow<'_, str> = serde_json::from_str(raw).ok()?;
            parse_iso8601(&text)
        }
        _ => None,
    }
}

fn parse_iso8601(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    // ISO 8601 allows a time without an offset and a date without a time; both count as UTC.
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z") {
        return Some(time.timestamp_millis());
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pendo::options::tests::defaults;

    fn kept(type_name: &str, raw: &str) -> Option<String> {
        match take(&Field::new("custom", "f", type_name), raw, &defaults()) {
            Ok(Taken::Keep(text)) => Some(text.into_owned()),
            Ok(Taken::Leave) => panic!("left alone"),
            Err(_) => None,
        }
    }

    #[test]
    fn each_type_takes_its_own_json_form_only() {
        let forms = ["\"a\"", "25", "2.5", "true", "[\"a\"]", "{\"a\":1}"];
        for (type_name, taken) in [
            ("string", [true, false, false, false, false, false]),
            ("integer", [false, true, false, false, false, false]),
            ("float", [false, true, true, false, false, false]),
            ("number", [false, true, true, false, false, false]),
            ("boolean", [false, false, false, true, false, false]),
            ("", [true, true, true, true, false, false]),
            ("a_new_word", [true, true, true, true, false, false]),
        ] {
            let found = forms.map(|raw| kept(type_name, raw).is_some());
            assert_eq!(found, taken, "{type_name}");
        }
    }

    #[test]
    fn a_quoted_number_is_no_number() {
        assert_eq!(kept("float", "\"2.5\""), None);
        assert_eq!(kept("integer", "25.0").as_deref(), Some("25.0"));
    }

    #[test]
    fn what_could_not_be_read_back_is_refused() {
        let long = "9".repeat(400);
        for raw in ["1e400", "-1E+999", long.as_str()] {
            assert_eq!(kept("float", raw), None, "{raw}");
            assert_eq!(kept("", raw), None, "{raw}");
        }
        assert_eq!(kept("float", "1e30").as_deref(), Some("1e30"));
        for raw in [r#""\ud800""#, r#""a\udc00b""#] {
            assert_eq!(kept("string", raw), None, "{raw}");
        }
        assert_eq!(
            kept("string", r#""\ud83d\ude00""#).as_deref(),
            Some(r#""\ud83d\ude00""#)
        );
        let list = Field::new("agent", "tags", "list");
        assert!(take(&list, r#"["a","\ud800"]"#, &defaults()).is_err());
    }

    #[test]
    fn dates_are_kept_as_epoch_milliseconds() {
        for (raw, millis) in [
            ("\"2024-02-29\"", Some("1709164800000")),
            ("\"2024-02-29T12:30:00Z\"", Some("1709209800000")),
            ("\"2024-02-29T13:30:00.250+01:00\"", Some("1709209800250")),
            ("\"2024-02-29T13:30:00+0100\"", Some("1709209800000")),
            ("\"2024-02-29T12:30:00\"", Some("1709209800000")),
            ("1709209800000", Some("1709209800000")),
            ("-1", Some("-1")),
            ("\"2024-02-30\"", None),
            ("\"yesterday\"", None),
            ("1.5", None),
            ("true", None),
        ] {
            assert_eq!(kept("time", raw).as_deref(), millis, "{raw}");
        }
    }

    #[test]
    fn date_forms_can_be_narrowed() {
        let field = Field::new("custom", "f", "time");
        let iso = PendoOptions {
            dates: Dates::Iso8601,
            ..defaults()
        };
        let epoch = PendoOptions {
            dates: Dates::EpochMs,
            ..defaults()
        };
        assert!(take(&field, "1", &iso).is_err());
        assert!(take(&field, "\"2024-01-01\"", &iso).is_ok());
        assert!(take(&field, "1", &epoch).is_ok());
        assert!(take(&field, "\"2024-01-01\"", &epoch).is_err());
    }

    #[test]
    fn only_agent_fields_hold_lists() {
        let list = Field::new("agent", "tags", "list");
        assert!(take(&list, "[\"a\",1]", &defaults()).is_ok());
        assert!(take(&list, "[{\"a\":1}]", &defaults()).is_err());
        assert!(take(&list, "[[1]]", &defaults()).is_err());
        assert!(take(&list, "\"a\"", &defaults()).is_err());
        assert_eq!(kept("list", "[\"a\"]"), None);
    }

    #[test]
    fn a_guessed_type_is_not_enforced() {
        let field = Field {
            checked: false,
            ..Field::new("agent", "role", "string")
        };
        assert!(take(&field, "5", &defaults()).is_ok());
        assert!(take(&field, "{}", &defaults()).is_err());
    }

    #[test]
    fn null_and_the_empty_string_follow_their_settings() {
        let field = Field::new("custom", "f", "float");
        let with_null = |null| take(&field, "null", &PendoOptions { null, ..defaults() }).ok();
        assert_eq!(with_null(NullValue::Clear), Some(Taken::Keep("".into())));
        assert_eq!(with_null(NullValue::Ignore), Some(Taken::Leave));
        assert_eq!(with_null(NullValue::Refuse), None);
        let with_empty = |empty_string| {
            take(
                &field,
                "\"\"",
                &PendoOptions {
                    empty_string,
                    ..defaults()
                },
            )
            .ok()
        };
        assert_eq!(with_empty(EmptyString::Clear), Some(Taken::Keep("".into())));
        assert_eq!(with_empty(EmptyString::Typed), None);
        assert_eq!(kept("string", "\"\"").as_deref(), Some("\"\""));
    }

    #[test]
    fn refusals_name_the_field_and_hide_the_value() {
        let refusal = take(
            &Field::new("custom", "seats", "integer"),
            "\"hidden\"",
            &defaults(),
        );
        let Err(Refusal(text)) = refusal else {
            panic!("taken")
        };
        assert!(text.contains("seats") && !text.contains("hidden"), "{text}");
    }
}
