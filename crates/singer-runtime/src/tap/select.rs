//! Which streams a run is about: those selected in the catalog, or those that match a pattern.

use singer_core::catalog::Entry;
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
            .any(|pattern| names(entry).iter().any(|name| is_match(pattern, name)))
    }

    /// An error that names the patterns without any stream.
    pub(super) fn check_used(&self, entries: &[Entry]) -> Result<()> {
        let unused: Vec<&str> = self
            .patterns
            .iter()
            .map(String::as_str)
            .filter(|pattern| {
                let mut names = entries.iter().flat_map(names);
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

fn names(entry: &Entry) -> Vec<String> {
    let mut names = vec![entry.id().to_owned(), entry.stream().to_owned()];
    let table = entry.get("table_name").and_then(|name| name.as_str());
    if let Some(table) = table {
        names.push(table.to_owned());
        let schema = entry.stream_metadata("schema-name");
        if let Some(schema) = schema.and_then(|name| name.as_str()) {
            names.push(format!("{schema}.{table}"));
        }
    }
    names
}

/// Shell matching: `*` is any text, dots included, `?` any one character.
fn is_match(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut place) = (0, 0);
    // Where to go on if the text after the last `*` does not match here.
    let mut retry: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at, place));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[place] => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                at = star + 1;
                place = from + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaab", true),
            ("a", "ab", false),
            ("é?", "éü", true),
        ] {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

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
