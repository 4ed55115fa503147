//! Counts values that could not be written as they are, so that nothing is lost in silence and no
//! log line is written for a single row.

use tracing::warn;

/// What was noticed while the rows of one stream were decoded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// `NaN` and infinite numbers.
    pub(crate) not_finite: u64,
    /// Dates and times that RFC 3339 has no form for: infinity, BC, years past 9999.
    pub(crate) out_of_range: u64,
    /// JSON columns whose text is no JSON, or is nested too deeply; written as a string.
    pub(crate) not_json: u64,
    /// Texts that are not UTF-8; the bytes at fault were replaced.
    pub(crate) not_utf8: u64,
}

impl Tally {
    /// Tells what was counted, one line a kind.
    pub(crate) fn report(&self, stream: &str, became: &str) {
        for (count, what, became) in [
            (self.not_finite, "numbers that are not finite", became),
            (
                self.out_of_range,
                "dates or times outside of the years 1 to 9999",
                became,
            ),
            (self.not_json, "JSON values that are no JSON", "a string"),
            (
                self.not_utf8,
                "texts that are not UTF-8",
                "texts with replacement characters",
            ),
        ] {
            if count > 0 {
                warn!(stream, count, "{what} became {became}");
            }
        }
    }
}
