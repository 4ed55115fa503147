//! Settings by stream: names, patterns, and the guess of the kind from a stream's name.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use singer_core::{Error, Result};

use super::{Choices, Group, Kind};

/// The key of `fields` that stands for every column it does not list; its value is the same.
pub(crate) const EVERY_OTHER: &str = "*";

/// Settings by name or pattern, in the order of the config.
#[derive(Debug, Default)]
pub struct Streams(Vec<(String, StreamConfig)>);

/// The settings of one stream.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct StreamConfig {
    /// What the rows are; guessed if left out.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The group of fields.
    #[serde(default)]
    pub group: Option<Group>,
    /// The column with the id.
    #[serde(default)]
    pub id: Option<String>,
    /// The key of the id in requests.
    #[serde(default)]
    pub id_key: Option<String>,
    /// Pendo fields by column; the key `*` stands for every other column.
    #[serde(default)]
    pub fields: HashMap<String, String>,
    /// What differs from the top level.
    #[serde(flatten)]
    pub choices: Choices,
}

impl Streams {
    /// The settings of a stream: those of its name, else of the first pattern that fits, else none.
    pub fn of(&self, stream: &str) -> StreamConfig {
        let by_name = self.0.iter().find(|(name, _)| name == stream);
        by_name
            .or_else(|| {
                self.0
                    .iter()
                    .find(|(pattern, _)| fits(pattern.as_bytes(), stream.as_bytes()))
            })
            .map(|(_, config)| config.clone())
            .unwrap_or_default()
    }

    /// All kinds that are named.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for (name, config) in &self.0 {
            if let Some(kind) = config.kind.or_else(|| guess_kind(name))
                && !kinds.contains(&kind)
            {
                kinds.push(kind);
            }
        }
        kinds
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (stream, config) in &self.0 {
            for (key, text) in [("id", &config.id), ("id_key", &config.id_key)] {
                if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                    return Err(Error::config(format!("`streams.{stream}.{key}` is empty")));
                }
            }
            let mut names: Vec<String> = config
                .fields
                .iter()
                .filter(|(column, field)| *column != EVERY_OTHER && !field.is_empty())
                .map(|(_, field)| field.to_lowercase())
                .collect();
            if config
                .fields
                .get(EVERY_OTHER)
                .is_some_and(|field| field != EVERY_OTHER)
            {
                return Err(Error::config(format!(
                    "`streams.{stream}.fields` maps `*` to something else than `*`"
                ))
                .with_hint(
                    "`\"*\": \"*\"` sends every other column to the field of its own name",
                ));
            }
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::config(format!(
                    "`streams.{stream}.fields` names the field `{}` twice",
                    twice[0]
                ))
                .with_hint(
                    "each field of Pendo takes one column; upper and lower case are the same",
                ));
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Streams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Streams;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map from stream names to their settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Streams, A::Error> {
                let mut streams = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    streams.push(entry);
                }
                Ok(Streams(streams))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Whether a pattern with `*` (any text) and `?` (any byte) fits a whole name.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n + 1));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                p = after_star;
                n = from;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// What a stream's rows are, from the last telling word of its name.
pub fn guess_kind(stream: &str) -> Option<Kind> {
    let words = words(stream);
    let singular = |word: &str| match word {
        "visitor" | "visitors" | "user" | "users" => Some(Kind::Visitor),
        "account" | "accounts" | "organization" | "organizations" | "organisation"
        | "organisations" | "company" | "companies" => Some(Kind::Account),
        "parentaccount" | "parentaccounts" => Some(Kind::ParentAccount),
        _ => None,
    };
    let (place, kind) = words
        .iter()
        .enumerate()
        .rev()
        .find_map(|(place, word)| Some((place, singular(word)?)))?;
    let parent = place > 0 && words[place - 1] == "parent";
    Some(match kind {
        Kind::Account if parent => Kind::ParentAccount,
        kind => kind,
    })
}

/// The words of a name in lower case, cut at everything but letters and before capitals.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for character in name.chars() {
        if !character.is_alphabetic() || (character.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if character.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        after_small = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_guessed_from_the_last_telling_word() {
        for (stream, wanted) in [
            ("dev.public.pendo_account", Some(Kind::Account)),
            ("dev.public.pendo_visitors", Some(Kind::Visitor)),
            ("users", Some(Kind::Visitor)),
            ("account_users", Some(Kind::Visitor)),
            ("accounts-2024", Some(Kind::Account)),
            ("Organizations", Some(Kind::Account)),
            ("parentAccount", Some(Kind::ParentAccount)),
            ("x.parent_accounts", Some(Kind::ParentAccount)),
            ("invoices", None),
            ("accounting", None),
        ] {
            assert_eq!(guess_kind(stream), wanted, "{stream}");
        }
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("dev.*.account?", "dev.public.accounts", true),
            ("dev.*.account?", "dev.public.account", false),
            ("*a*b", "xaabab", true),
            ("*a*b", "xaaba", false),
            ("a", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                wanted,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_name_wins_over_patterns_and_the_first_pattern_counts() {
        let streams: Streams = serde_json::from_str(
            r#"{"*": {"id": "star"}, "a*": {"id": "a star"}, "ab": {"id": "name"}}"#,
        )
        .unwrap();
        assert_eq!(streams.of("ab").id.as_deref(), Some("name"));
        assert_eq!(streams.of("ac").id.as_deref(), Some("star"));
    }
}
