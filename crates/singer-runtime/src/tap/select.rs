//! Which streams a run is about: those selected in the catalog, or those that match a pattern.

use singer_core::catalog::Entry;
use singer_core::pattern::is_match;
use singer_core::{Error, Result};

/// Patterns of `--select`.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    patterns: Vec<String>,
}

impl Patterns {
    pub(super) fn new(patterns: Vec<String>) -> Self {
        Self { patterns }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a stream matches any pattern: by `tap_stream_id`, by `schema.table`, by its name, or
    /// by the name of its table.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        self.patterns
            .iter()
            .any(|pattern| entry.names().iter().any(|name| is_match(pattern, name)))
    }

    /// An error that names the patterns without any stream.
    pub(super) fn check_used(&self, entries: &[Entry]) -> Result<()> {
        let unused: Vec<&str> = self
            .patterns
            .iter()
            .map(String::as_str)
            .filter(|pattern| {
                let mut names = entries.iter().flat_map(Entry::names);
                !names.any(|name| is_match(pattern, &name))
            })
            .collect();
        if unused.is_empty() {
            return Ok(());
        }
        Err(Error::config(format!(
            "no stream matches `--select {}`",
            unused.join("`, `--select ")
        ))
        .with_hint("`--discover` lists all streams"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_known_by_its_id_its_table_and_its_schema() {
        let mut entry = Entry::new("dev.public.order.s", "order.s");
        entry.set("table_name", "order.s");
        entry.set_stream_metadata("schema-name", "public");
        for pattern in ["dev.*", "public.order*", "order.s"] {
            assert!(
                Patterns::new(vec![pattern.to_owned()]).matches(&entry),
                "{pattern}"
            );
        }
        assert!(!Patterns::new(vec!["public".to_owned()]).matches(&entry));
        let error = Patterns::new(vec!["order.s".to_owned(), "x*".to_owned()])
            .check_used(&[entry])
            .unwrap_err();
        assert_eq!(error.message(), "no stream matches `--select x*`");
    }
}
