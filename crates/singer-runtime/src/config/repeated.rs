//! A key that stands twice in one object of a config: JSON readers keep the last one and lose the other without
//! a word, which in a filter means another filter.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The first key that stands twice in an object of a JSON text, with the keys around it; nothing if there is
/// none or if the text is not JSON.
pub(super) fn first(text: &[u8]) -> Option<String> {
    let found = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let walk = Walk {
        place: String::new(),
        found: &found,
    };
    walk.deserialize(&mut deserializer).ok()?;
    found.into_inner()
}

struct Walk<'a> {
    place: String,
    found: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        let inner = |index: usize| Walk {
            place: format!("{}[{index}]", self.place),
            found: self.found,
        };
        while items.next_element_seed(inner(index))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names: Vec<String> = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let place = super::check::join(&self.place, &name);
            if names.contains(&name) {
                self.found.borrow_mut().get_or_insert_with(|| place.clone());
            }
            names.push(name);
            members.next_value_seed(Walk {
                place,
                found: self.found,
            })?;
        }
        Ok(())
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_named_with_the_keys_around_it() {
        let text = br#"{"a": [1, {"b": {"c": 1.5, "d": null, "\u0063": true}}], "a": "x"}"#;
        assert_eq!(first(text).as_deref(), Some("a[1].b.c"));
        for text in ["{\"a\": {\"a\": 1}}", "[]", "no JSON", "{\"a\": 1, \"a\""] {
            assert_eq!(first(text.as_bytes()), None, "{text}");
        }
    }
}
