//! JSON with keys that an object has twice: the last one counts, or they are refused. Facts: section 3.1.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::options::EqualKeys;

/// Reads a body; `None` if it is no JSON, or has equal keys that are refused.
pub(super) fn read(bytes: &[u8], equal_keys: EqualKeys) -> Option<Value> {
    match equal_keys {
        EqualKeys::Last => {}
        EqualKeys::Refuse => {
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            Unique.deserialize(&mut reader).ok()?;
        }
    }
    serde_json::from_slice(bytes).ok()
}

/// Looks a value over and fails at a key that comes twice.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Unique)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key_seed(Name)? {
            if !names.insert(name) {
                return Err(A::Error::custom("a key comes twice"));
            }
            members.next_value_seed(Unique)?;
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
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_keys_are_taken_or_refused() {
        let twice = br#"{"bool":{"must":{"a":1},"must":{"b":2}}}"#;
        let last = json!({"bool": {"must": {"b": 2}}});
        assert_eq!(read(twice, EqualKeys::Last), Some(last));
        assert_eq!(read(twice, EqualKeys::Refuse), None);
        let once = br#"[{"a":1,"b":[null,true,"x",-1.5]}]"#;
        assert!(read(once, EqualKeys::Refuse).is_some());
        assert_eq!(read(b"{\"a\":}", EqualKeys::Last), None);
    }
}
