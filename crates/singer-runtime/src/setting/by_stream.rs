//! Settings by stream: a map from names and patterns, in the order of the config.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use singer_core::pattern;

/// The settings of streams, by name or pattern (`*`, `?`).
#[derive(Debug, Clone)]
pub struct ByStream<S>(Vec<(String, S)>);

impl<S> Default for ByStream<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> ByStream<S> {
    /// The settings of a stream: those of its name, else of the first pattern that fits.
    pub fn get(&self, stream: &str) -> Option<&S> {
        let by_name = self.0.iter().find(|(name, _)| name == stream);
        by_name
            .or_else(|| {
                self.0
                    .iter()
                    .find(|(pattern, _)| pattern::is_match(pattern, stream))
            })
            .map(|(_, settings)| settings)
    }

    /// All of them with their names and patterns.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &S)> {
        self.0
            .iter()
            .map(|(name, settings)| (name.as_str(), settings))
    }

    /// Whether no stream has settings of its own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, S: Deserialize<'de>> Deserialize<'de> for ByStream<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<S>(PhantomData<S>);
        impl<'de, S: Deserialize<'de>> Visitor<'de> for InOrder<S> {
            type Value = ByStream<S>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map from stream names to their settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut streams = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    streams.push(entry);
                }
                Ok(ByStream(streams))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_wins_over_patterns_and_of_these_the_first() {
        let json = r#"{"sales_*": 1, "*": 2, "sales_eu": 3}"#;
        let streams: ByStream<i32> = serde_json::from_str(json).unwrap();
        assert_eq!(streams.get("sales_us"), Some(&1));
        assert_eq!(streams.get("sales_eu"), Some(&3));
        assert_eq!(streams.get("x"), Some(&2));
        assert_eq!(ByStream::<i32>::default().get("x"), None);
    }
}
