//! Whether the last import of a table is ours, when nobody has said what became of ours.
//!
//! Times do not tell: clocks differ, and files of equal length follow one another within seconds. So the
//! table is asked before a file is sent, and only an import that it did not know then may be ours.

use zoho::Class;

use crate::api::Table;
use crate::home::Home;
use crate::model::LastImport;

/// What a table said of its last import before ours was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// It could not be asked: nothing that it says later can be told from this.
    Unknown,
    /// When that import was, in milliseconds since 1970; `None` if there was none.
    At(Option<i64>),
}

impl Before {
    /// Asks the table.
    pub(crate) async fn of(home: &Home, table: &Table) -> Self {
        match home.api.last_import(table).await {
            Ok(last) => Self::At(last.map(|last| last.at)),
            Err(fault) if fault.class == Class::Missing => Self::At(None),
            // Whatever is wrong shows when the file is sent.
            Err(_) => Self::Unknown,
        }
    }

    /// Whether an import is new since then and has as many rows as ours.
    pub(crate) fn is_followed_by(self, last: &LastImport, rows: u64) -> bool {
        let is_new = match self {
            Self::Unknown => false,
            Self::At(at) => at != Some(last.at),
        };
        is_new && last.summary.total == rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Summary;

    #[test]
    fn an_import_that_was_there_before_is_never_ours() {
        let last = |at, total| LastImport {
            at,
            succeeded: true,
            summary: Summary {
                total,
                success: total,
                ..Summary::default()
            },
        };
        assert!(!Before::At(Some(7)).is_followed_by(&last(7, 5), 5));
        assert!(Before::At(Some(7)).is_followed_by(&last(8, 5), 5));
        assert!(Before::At(None).is_followed_by(&last(8, 5), 5));
        assert!(!Before::At(None).is_followed_by(&last(8, 4), 5));
        assert!(!Before::Unknown.is_followed_by(&last(8, 5), 5));
    }
}
