//! Which rows a read is about, and the ways to say so to the service.

use singer_core::{Error, Result};

use crate::schema::{CREATEDTIME, MODIFIEDTIME};
use crate::time::{Form, SECOND, Zone};

/// The rows between two instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Rows that were changed at this instant or later; all if there is none.
    pub(super) lower: Option<i64>,
    /// Rows before this instant. With a lower bound, those that were changed before it. Without, those that
    /// were created before it: a row that is changed meanwhile must not leave the set, or the pages behind
    /// it would shift.
    pub(super) upper: Option<i64>,
}

/// How a window is told to the service. What a bulk read takes is not documented to the end, so the ways
/// are tried in this order until one is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Both bounds.
    Both(Form),
    /// Rows are read beyond the upper bound.
    LowerOnly(Form),
    /// The whole table is read, and rows are left out here.
    Local,
}

/// Column, comparator, value.
pub(super) type Criterion = (&'static str, &'static str, String);

impl Style {
    /// What is tried first.
    pub(crate) const FIRST: Self = Self::Both(Form::Seconds);

    /// What is tried after it was refused.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Both(Form::Seconds) => Some(Self::Both(Form::Milliseconds)),
            Self::Both(Form::Milliseconds) => Some(Self::LowerOnly(Form::Seconds)),
            Self::LowerOnly(Form::Seconds) => Some(Self::LowerOnly(Form::Milliseconds)),
            Self::LowerOnly(Form::Milliseconds) => Some(Self::Local),
            Self::Local => None,
        }
    }

    /// What a log calls it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Both(Form::Seconds) => "criteria",
            Self::Both(Form::Milliseconds) => "criteria with milliseconds",
            Self::LowerOnly(Form::Seconds) => "a criterion for the lower bound",
            Self::LowerOnly(Form::Milliseconds) => {
                "a criterion with milliseconds for the lower bound"
            }
            Self::Local => "a local filter over the whole table",
        }
    }

    fn form(self) -> Option<Form> {
        match self {
            Self::Both(form) | Self::LowerOnly(form) => Some(form),
            Self::Local => None,
        }
    }
}

impl Window {
    /// Every row.
    pub(super) const ALL: Self = Self {
        lower: None,
        upper: None,
    };

    /// The criteria of a bulk read.
    ///
    /// # Errors
    /// Of kind `Internal` for an instant that no calendar has.
    pub(super) fn criteria(&self, style: Style, zone: &Zone) -> Result<Vec<Criterion>> {
        let bounds = self.texts(style, zone)?;
        let criteria = bounds.into_iter().map(|(column, after, text)| {
            let comparator = if after { "greater_than" } else { "less_than" };
            (column, comparator, text)
        });
        Ok(criteria.collect())
    }

    /// The same rows as the condition of a query, so that their numbers can be compared.
    ///
    /// # Errors
    /// As [`Window::criteria`].
    pub(super) fn condition(&self, style: Style, zone: &Zone) -> Result<Option<String>> {
        let bounds = self.texts(style, zone)?;
        let conditions: Vec<String> = bounds
            .into_iter()
            .map(|(column, after, text)| {
                let sign = if after { '>' } else { '<' };
                format!("{column} {sign} '{text}'")
            })
            .collect();
        Ok((!conditions.is_empty()).then(|| conditions.join(" AND ")))
    }

    /// Column, whether its values are after the text, and the text.
    fn texts(&self, style: Style, zone: &Zone) -> Result<Vec<(&'static str, bool, String)>> {
        let mut texts = Vec::new();
        let Some(form) = style.form() else {
            return Ok(texts);
        };
        let text = |instant: i64| {
            zone.text(instant, form)
                .ok_or_else(|| Error::internal("a bound of the read lies outside of the calendar"))
        };
        if let Some(lower) = self.lower {
            // The comparator excludes its value, and texts of old rows have no milliseconds.
            texts.push((MODIFIEDTIME, true, text(lower - SECOND)?));
        }
        if let (Some(upper), Style::Both(_)) = (self.upper, style) {
            let column = match self.lower {
                Some(_) => MODIFIEDTIME,
                None => CREATEDTIME,
            };
            // Rounded up: what was changed just before the run began is in.
            let unit = match form {
                Form::Seconds => SECOND,
                Form::Milliseconds => SECOND / 1000,
            };
            texts.push((column, false, text(upper + unit - 1)?));
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use singer_core::value::time::parse_timestamp;

    use super::*;

    fn window(lower: Option<&str>) -> Window {
        let instant = |text: &str| parse_timestamp(text).unwrap();
        Window {
            lower: lower.map(instant),
            upper: Some(instant("2025-07-02T00:00:00.5Z")),
        }
    }

    #[test]
    fn criteria_and_conditions_mean_the_same_rows() {
        let zone = Zone::new("Europe/Berlin".parse().unwrap());
        let changed = window(Some("2025-07-01T00:00:00Z"));
        let criteria = changed.criteria(Style::FIRST, &zone).unwrap();
        assert_eq!(
            criteria,
            [
                (
                    "MODIFIEDTIME",
                    "greater_than",
                    "2025-07-01 01:59:59".to_owned()
                ),
                (
                    "MODIFIEDTIME",
                    "less_than",
                    "2025-07-02 02:00:01".to_owned()
                ),
            ]
        );
        assert_eq!(
            changed.condition(Style::FIRST, &zone).unwrap().unwrap(),
            "MODIFIEDTIME > '2025-07-01 01:59:59' AND MODIFIEDTIME < '2025-07-02 02:00:01'"
        );
        let whole = window(None);
        let style = Style::Both(Form::Milliseconds);
        assert_eq!(
            whole.condition(style, &zone).unwrap().unwrap(),
            "CREATEDTIME < '2025-07-02 02:00:00:500'"
        );
        assert_eq!(Window::ALL.condition(style, &zone).unwrap(), None);
    }

    #[test]
    fn every_way_is_tried_and_the_last_one_asks_for_nothing() {
        let zone = Zone::new("UTC".parse().unwrap());
        let window = window(Some("2025-07-01T00:00:00Z"));
        let mut style = Some(Style::FIRST);
        let mut lengths = Vec::new();
        while let Some(way) = style {
            lengths.push(window.criteria(way, &zone).unwrap().len());
            style = way.next();
        }
        assert_eq!(lengths, [2, 2, 1, 1, 0]);
    }
}
