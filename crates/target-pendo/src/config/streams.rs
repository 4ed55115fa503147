//! Settings by stream: names, patterns, and the guess of the kind from a stream's name.

use std::collections::HashMap;

use singer_core::{Error, Result};
use singer_runtime::setting::ByStream;

use super::{Choices, Group, Kind};

/// The key of `fields` that stands for every column it does not list; its value is the same.
pub(crate) const EVERY_OTHER: &str = "*";

/// Settings by name or pattern, in the order of the config.
pub type Streams = ByStream<StreamConfig>;

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

/// All kinds that are named.
pub fn kinds(streams: &Streams) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (name, config) in streams.iter() {
        if let Some(kind) = config.kind.or_else(|| guess_kind(name))
            && !kinds.contains(&kind)
        {
            kinds.push(kind);
        }
    }
    kinds
}

/// Checks the settings of each stream.
pub(super) fn validate(streams: &Streams) -> Result<()> {
    for (stream, config) in streams.iter() {
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
            .with_hint("`\"*\": \"*\"` sends every other column to the field of its own name"));
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::config(format!(
                "`streams.{stream}.fields` names the field `{}` twice",
                twice[0]
            ))
            .with_hint("each field of Pendo takes one column; upper and lower case are the same"));
        }
    }
    Ok(())
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
}
