//! A config that stands in `antiphon.toml`: the JSON that its stage will read.

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::place::Node;
use super::reader::Reader;

/// The object; `None` if something in it has no JSON.
pub(super) fn object<'a>(reader: &mut Reader<'a>, table: &'a DeTable<'a>) -> Option<Value> {
    let mut object = Map::new();
    let mut is_whole = true;
    for (name, node) in table.iter() {
        match value(reader, node) {
            Some(value) => {
                object.insert(name.get_ref().to_string(), value);
            }
            // The others are looked at all the same.
            None => is_whole = false,
        }
    }
    is_whole.then_some(Value::Object(object))
}

fn value<'a>(reader: &mut Reader<'a>, node: &'a Node<'a>) -> Option<Value> {
    let number = match node.get_ref() {
        DeValue::String(text) => return Some(Value::String(text.to_string())),
        DeValue::Boolean(flag) => return Some(Value::Bool(*flag)),
        DeValue::Datetime(time) => return Some(Value::String(time.to_string())),
        DeValue::Table(table) => return object(reader, table),
        DeValue::Array(items) => {
            let values: Vec<Option<Value>> = items.iter().map(|item| value(reader, item)).collect();
            return values
                .into_iter()
                .collect::<Option<Vec<Value>>>()
                .map(Value::Array);
        }
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(Number::from),
        DeValue::Float(float) => float.as_str().parse().ok().and_then(Number::from_f64),
    };
    if number.is_none() {
        reader.wrong(node, "a number that JSON knows, of at most 64 bits");
    }
    number.map(Value::Number)
}
