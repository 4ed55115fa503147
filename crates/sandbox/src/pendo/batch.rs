//! The body of a bulk call, read without building a tree: ids and values stay slices of the body.
//! Facts: section 3.1.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::options::PendoOptions;
use super::schema::{Field, Schema, is_field_name};
use super::value::{Refusal, Taken, guess_type, take};
use crate::store::Column;

/// The records of a bulk call, with their values judged.
#[derive(Default)]
pub(crate) struct Batch<'body> {
    pub(crate) records: Vec<Record<'body>>,
    cells: Vec<(Column, Cow<'body, str>)>,
    /// Agent fields that the schema does not have yet: the batch has to be read again once it does.
    pub(crate) unborn: Vec<Field>,
}

/// One record of a bulk call.
pub(crate) struct Record<'body> {
    pub(crate) id: Cow<'body, str>,
    pub(crate) refusal: Option<Refusal>,
    cells: Range<usize>,
}

impl<'body> Batch<'body> {
    /// The values of a record, ready to be merged into its row.
    pub(crate) fn cells(&self, record: &Record<'body>) -> &[(Column, Cow<'body, str>)] {
        &self.cells[record.cells.clone()]
    }
}

/// What a batch is read against.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'call> {
    pub(crate) schema: &'call Schema,
    pub(crate) group: &'call str,
    pub(crate) id_key: &'call str,
    pub(crate) options: &'call PendoOptions,
}

impl Reader<'_> {
    /// Reads a whole body; an error is malformed JSON, or not an array of objects.
    pub(crate) fn read<'body>(&self, body: &'body str) -> serde_json::Result<Batch<'body>> {
        let mut deserializer = serde_json::Deserializer::from_str(body);
        let state = State {
            reader: *self,
            batch: Batch::default(),
            known: Vec::new(),
            unborn_names: HashSet::new(),
        };
        let batch = Records(state).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(batch)
    }
}

/// Counts the records of a body that is only checked for being a JSON array.
pub(crate) fn count_records(body: &[u8]) -> serde_json::Result<usize> {
    struct Count;
    impl<'de> Visitor<'de> for Count {
        type Value = usize;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array of records")
        }

        fn visit_seq<Access: SeqAccess<'de>>(
            self,
            mut records: Access,
        ) -> Result<usize, Access::Error> {
            let mut count = 0;
            while records.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let count = deserializer.deserialize_seq(Count)?;
    deserializer.end()?;
    Ok(count)
}

struct State<'call, 'body> {
    reader: Reader<'call>,
    batch: Batch<'body>,
    /// Name and column by place: records of one batch mostly name the same fields in the same order.
    known: Vec<(&'body str, Column)>,
    /// Names of the unborn fields in lower case: a body may name very many.
    unborn_names: HashSet<String>,
}

#[derive(Deserialize)]
struct Key<'body>(#[serde(borrow)] Cow<'body, str>);

struct Records<'call, 'body>(State<'call, 'body>);

impl<'de> DeserializeSeed<'de> for Records<'_, 'de> {
    type Value = Batch<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Batch<'de>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, 'de> {
    type Value = Batch<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of records")
    }

    fn visit_seq<Access: SeqAccess<'de>>(
        mut self,
        mut records: Access,
    ) -> Result<Batch<'de>, Access::Error> {
        while let Some(record) = records.next_element_seed(RecordSeed(&mut self.0))? {
            self.0.batch.records.push(record);
        }
        Ok(self.0.batch)
    }
}

struct RecordSeed<'state, 'call, 'body>(&'state mut State<'call, 'body>);

impl<'de> DeserializeSeed<'de> for RecordSeed<'_, '_, 'de> {
    type Value = Record<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_, '_, 'de> {
    type Value = Record<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record with an id and values")
    }

    fn visit_map<Access: MapAccess<'de>>(
        self,
        mut map: Access,
    ) -> Result<Record<'de>, Access::Error> {
        let state = self.0;
        let begin = state.batch.cells.len();
        let mut id = None;
        let mut refusal = None;
        let mut has_values = false;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            if key == state.reader.id_key {
                id = Some(map.next_value::<Key<'de>>()?.0);
            } else if key == "values" {
                has_values = true;
                refusal = map.next_value_seed(ValuesSeed(state))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let id = id.ok_or_else(|| {
            Access::Error::custom(format!("`{}` is missing", state.reader.id_key))
        })?;
        if !has_values {
            return Err(Access::Error::custom("`values` is missing"));
        }
        Ok(Record {
            id,
            refusal,
            cells: begin..state.batch.cells.len(),
        })
    }
}

struct ValuesSeed<'state, 'call, 'body>(&'state mut State<'call, 'body>);

impl<'de> DeserializeSeed<'de> for ValuesSeed<'_, '_, 'de> {
    type Value = Option<Refusal>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<Refusal>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_, '_, 'de> {
    type Value = Option<Refusal>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of field values")
    }

    fn visit_map<Access: MapAccess<'de>>(
        self,
        mut map: Access,
    ) -> Result<Option<Refusal>, Access::Error> {
        let state = self.0;
        let mut refusal = None;
        let mut place = 0;
        while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            if let Err(reason) = state.add(place, name, raw) {
                refusal.get_or_insert(reason);
            }
            place += 1;
        }
        Ok(refusal)
    }
}

impl<'body> State<'_, 'body> {
    fn add(&mut self, place: usize, name: Cow<'body, str>, raw: &'body str) -> Result<(), Refusal> {
        let column = match self.known.get(place) {
            Some((known, column)) if *known == name => *column,
            _ => match self.find(place, name, raw)? {
                Some(column) => column,
                None => return Ok(()),
            },
        };
        let field = self.reader.schema.field(column);
        if let Taken::Keep(text) = take(field, raw, self.reader.options)? {
            self.batch.cells.push((column, text));
        }
        Ok(())
    }

    /// Looks a field up; `None` if it is an agent field that is about to come into being.
    fn find(
        &mut self,
        place: usize,
        name: Cow<'body, str>,
        raw: &str,
    ) -> Result<Option<Column>, Refusal> {
        if let Some(column) = self.reader.schema.live_column(self.reader.group, &name) {
            if let Cow::Borrowed(name) = name {
                // Places fill up in order; a later record with other fields takes the place over.
                if let Some(known) = self.known.get_mut(place) {
                    *known = (name, column);
                } else if self.known.len() == place {
                    self.known.push((name, column));
                }
            }
            return Ok(Some(column));
        }
        if self.reader.group != "agent" {
            return Err(Refusal(format!(
                "field `{name}` has no mapping in group `{}`",
                self.reader.group
            )));
        }
        if !is_field_name(&name) {
            return Err(Refusal(
                "a field name is made of letters, digits and underscores".to_owned(),
            ));
        }
        if self.unborn_names.insert(name.to_ascii_lowercase()) {
            let field = Field::new(self.reader.group, &name, guess_type(raw));
            self.batch.unborn.push(Field {
                checked: false,
                ..field
            });
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pendo::options::tests::defaults;
    use crate::pendo::schema::Kind;

    fn read<'body>(
        schema: &Schema,
        group: &str,
        body: &'body str,
    ) -> serde_json::Result<Batch<'body>> {
        Reader {
            schema,
            group,
            id_key: "visitorId",
            options: &defaults(),
        }
        .read(body)
    }

    #[test]
    fn values_are_found_by_name_in_any_order() {
        let schema = Schema::built_in(Kind::Visitor);
        let body = r#"[
            {"visitorId": "a", "values": {"role": "admin", "nps": 9}},
            {"values": {"NPS": 8, "role": "user"}, "visitorId": "b"},
            {"visitorId": "c", "values": {}, "other": [1, {"x": 2}]}
        ]"#;
        let batch = read(&schema, "custom", body).unwrap();
        let role = schema.column("custom", "role").unwrap();
        let nps = schema.column("custom", "nps").unwrap();
        let cells = |index: usize| batch.cells(&batch.records[index]).to_vec();
        assert_eq!(cells(0), [(role, "\"admin\"".into()), (nps, "9".into())]);
        assert_eq!(cells(1), [(nps, "8".into()), (role, "\"user\"".into())]);
        assert_eq!(cells(2), []);
        assert_eq!(batch.records[1].id, "b");
    }

    #[test]
    fn a_refused_value_does_not_hide_the_other_records() {
        let schema = Schema::built_in(Kind::Visitor);
        let body = r#"[{"visitorId":"a","values":{"nps":"nine"}},{"visitorId":"b","values":{"nps":9}},
            {"visitorId":"c","values":{"legacy_tier":"x"}},{"visitorId":"d","values":{"unheard":1}}]"#;
        let batch = read(&schema, "custom", body).unwrap();
        let refused: Vec<_> = batch
            .records
            .iter()
            .filter(|record| record.refusal.is_some())
            .map(|record| &*record.id)
            .collect();
        assert_eq!(refused, ["a", "c", "d"]);
    }

    #[test]
    fn agent_fields_announce_themselves() {
        let schema = Schema::built_in(Kind::Visitor);
        let body = r#"[{"visitorId":"a","values":{"Team":"x","size":3}},{"visitorId":"b","values":{"team":"y"}}]"#;
        let unborn = read(&schema, "agent", body).unwrap().unborn;
        let names: Vec<_> = unborn
            .iter()
            .map(|field| (&*field.name, &*field.type_name))
            .collect();
        assert_eq!(names, [("team", "string"), ("size", "float")]);
    }

    #[test]
    fn what_is_no_array_of_records_is_an_error() {
        let schema = Schema::built_in(Kind::Visitor);
        for body in [
            "",
            "{}",
            "[1]",
            r#"[{"visitorId":"a"}]"#,
            r#"[{"values":{}}]"#,
            r#"[{"accountId":"a","values":{}}]"#,
            r#"[{"visitorId":7,"values":{}}]"#,
            r#"[{"visitorId":"a","values":[]}]"#,
            r#"[{"visitorId":"a","values":{}}"#,
            r#"[{"visitorId":"a","values":{}}] x"#,
        ] {
            assert!(read(&schema, "custom", body).is_err(), "{body}");
        }
    }

    #[test]
    fn records_are_counted_without_being_kept() {
        assert_eq!(count_records(br#"[{"a":[1,2]},{"values":{}}]"#).unwrap(), 2);
        assert_eq!(count_records(b"[]").unwrap(), 0);
        assert!(count_records(b"[{").is_err());
        assert!(count_records(b"[] []").is_err());
    }
}
