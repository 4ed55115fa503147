//! A query before it is sent: the platform answers a wrong one with an empty 400, so its form is checked here, and
//! what is wrong is named by its place.

use serde_json::{Map, Value, json};
use singer_core::nearest::nearest;
use singer_core::{Error, Result};

/// The engine's query clauses.
const CLAUSES: &[&str] = &[
    "bool",
    "boosting",
    "combined_fields",
    "common",
    "constant_score",
    "dis_max",
    "distance_feature",
    "exists",
    "function_score",
    "fuzzy",
    "geo_bounding_box",
    "geo_distance",
    "geo_polygon",
    "geo_shape",
    "has_child",
    "has_parent",
    "ids",
    "intervals",
    "match",
    "match_all",
    "match_bool_prefix",
    "match_none",
    "match_phrase",
    "match_phrase_prefix",
    "more_like_this",
    "multi_match",
    "nested",
    "parent_id",
    "percolate",
    "pinned",
    "prefix",
    "query_string",
    "range",
    "rank_feature",
    "regexp",
    "script",
    "script_score",
    "shape",
    "simple_query_string",
    "span_containing",
    "span_first",
    "span_multi",
    "span_near",
    "span_not",
    "span_or",
    "span_term",
    "span_within",
    "term",
    "terms",
    "terms_set",
    "type",
    "wildcard",
    "wrapper",
];

/// Clauses about exactly one field.
const OF_ONE_FIELD: &[&str] = &[
    "fuzzy",
    "match",
    "match_bool_prefix",
    "match_phrase",
    "match_phrase_prefix",
    "prefix",
    "range",
    "regexp",
    "term",
    "terms",
    "wildcard",
];

/// Keys that any clause may have beside its field.
const BESIDE_A_FIELD: &[&str] = &["boost", "_name"];

/// Lists of conditions in `bool`.
const CONDITIONS: &[&str] = &["must", "filter", "should", "must_not"];

/// Other keys of `bool`.
const BESIDE_CONDITIONS: &[&str] = &[
    "minimum_should_match",
    "boost",
    "_name",
    "adjust_pure_negative",
];

const RANGE_KEYS: &[&str] = &[
    "gt",
    "gte",
    "lt",
    "lte",
    "format",
    "relation",
    "time_zone",
    "boost",
    "_name",
];

/// Keys of a search body that are not for a person to set here.
const BODY_KEYS: &[&str] = &[
    "query",
    "size",
    "from",
    "sort",
    "search_after",
    "_source",
    "aggs",
    "aggregations",
    "track_total_hits",
    "fields",
    "highlight",
];

/// Checks the form of a query; `place` is its key with those around it.
///
/// # Errors
/// Of kind `Config`, naming the place and never a value.
pub(super) fn check(query: &Value, place: &str) -> Result<()> {
    let object = object(query, place)?;
    if object.keys().any(|key| BODY_KEYS.contains(&key.as_str())) {
        return Err(Error::config(format!("`{place}` is a whole search body")).with_hint(
            "give what stands under `query` in it; size, sort and fields are settings of their own",
        ));
    }
    clause(query, place)
}

/// The query as it is sent: one that everything matches if there is none; paths that an index does not have match
/// nothing there, where the engine would fail otherwise.
pub(super) fn prepared(query: Option<&Value>) -> Value {
    let mut query = query.cloned().unwrap_or_else(|| json!({"match_all": {}}));
    tolerate_unmapped(&mut query);
    query
}

fn tolerate_unmapped(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tolerate_unmapped),
        Value::Object(object) => {
            if let Some(Value::Object(nested)) = object.get_mut("nested")
                && nested.contains_key("path")
                && nested.contains_key("query")
            {
                nested.entry("ignore_unmapped").or_insert(json!(true));
            }
            object.values_mut().for_each(tolerate_unmapped);
        }
        _ => {}
    }
}

fn clause(value: &Value, place: &str) -> Result<()> {
    let object = object(value, place)?;
    let mut members = object.iter();
    let (Some((name, body)), None) = (members.next(), members.next()) else {
        return Err(wrong(
            place,
            &format!("must hold exactly one clause, found {}", object.len()),
        )
        .with_hint(
            "several conditions go into the lists of `bool`: {\"bool\": {\"filter\": [{…}, {…}]}}",
        ));
    };
    if !CLAUSES.contains(&name.as_str()) {
        return Err(unknown(place, name));
    }
    let place = format!("{place}.{name}");
    match name.as_str() {
        "bool" => conditions(self::object(body, &place)?, &place),
        "nested" => nested(self::object(body, &place)?, &place),
        "exists" => field_of_exists(body, &place),
        "constant_score" => match body.get("filter") {
            Some(filter) => clause(filter, &format!("{place}.filter")),
            None => Err(wrong(&place, "has no `filter`")),
        },
        "match_all" | "match_none" => self::object(body, &place).map(|_| ()),
        name if OF_ONE_FIELD.contains(&name) => {
            of_one_field(name, self::object(body, &place)?, &place)
        }
        _ => self::object(body, &place).map(|_| ()),
    }
}

fn conditions(object: &Map<String, Value>, place: &str) -> Result<()> {
    for (name, value) in object {
        let place = format!("{place}.{name}");
        if BESIDE_CONDITIONS.contains(&name.as_str()) {
            continue;
        }
        if !CONDITIONS.contains(&name.as_str()) {
            let known = CONDITIONS.iter().chain(BESIDE_CONDITIONS).copied();
            let error = wrong(&place, "is no key of `bool`");
            return Err(match nearest(name, known) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(format!("it has `{}`", CONDITIONS.join("`, `"))),
            });
        }
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    clause(item, &format!("{place}[{index}]"))?;
                }
            }
            Value::Object(_) => clause(value, &place)?,
            _ => return Err(wrong(&place, "must be a list of clauses")),
        }
    }
    Ok(())
}

fn nested(object: &Map<String, Value>, place: &str) -> Result<()> {
    if !object.get("path").is_some_and(Value::is_string) {
        return Err(wrong(place, "has no `path`"));
    }
    match object.get("query") {
        Some(query) => clause(query, &format!("{place}.query")),
        None => Err(wrong(place, "has no `query`")),
    }
}

fn field_of_exists(body: &Value, place: &str) -> Result<()> {
    let field = body.get("field").and_then(Value::as_str);
    match field {
        Some(field) if !field.is_empty() => Ok(()),
        _ => {
            Err(wrong(place, "has no `field`")
                .with_hint("{\"exists\": {\"field\": \"source.type\"}}"))
        }
    }
}

fn of_one_field(name: &str, object: &Map<String, Value>, place: &str) -> Result<()> {
    let is_field = |key: &&String| !BESIDE_A_FIELD.contains(&key.as_str());
    let mut fields = object.keys().filter(is_field);
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let count = object.keys().filter(is_field).count();
        return Err(wrong(
            place,
            &format!("must be about exactly one field, found {count}"),
        )
        .with_hint("one clause for each field, in the list `filter` of `bool`"));
    };
    let place = format!("{place}.{field}");
    let value = &object[field];
    match name {
        "terms" => match value {
            Value::Array(items) if items.iter().all(is_scalar) => Ok(()),
            Value::Object(_) => Ok(()),
            _ => Err(wrong(&place, "must be a list of values")),
        },
        "range" => range(value, &place),
        _ if is_scalar(value) => Ok(()),
        _ if value.get("value").is_some() || value.get("query").is_some() => Ok(()),
        _ => Err(wrong(&place, "must be a value").with_hint("several values go into `terms`")),
    }
}

fn range(value: &Value, place: &str) -> Result<()> {
    let bounds = object(value, place)?;
    for key in bounds.keys() {
        if !RANGE_KEYS.contains(&key.as_str()) {
            let error = wrong(&format!("{place}.{key}"), "is no key of `range`");
            return Err(match nearest(key, RANGE_KEYS.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint("it has `gt`, `gte`, `lt`, `lte`"),
            });
        }
    }
    if ["gt", "gte", "lt", "lte"]
        .iter()
        .any(|key| bounds.contains_key(*key))
    {
        return Ok(());
    }
    Err(wrong(place, "has no bound").with_hint("it has `gt`, `gte`, `lt`, `lte`"))
}

fn is_scalar(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| wrong(place, "must be an object"))
}

fn unknown(place: &str, name: &str) -> Error {
    let error = wrong(&format!("{place}.{name}"), "is no query clause");
    if CONDITIONS.contains(&name) {
        return error.with_hint(format!(
            "`{name}` belongs into `bool`, once, with a list: {{\"bool\": {{\"{name}\": [{{…}}, {{…}}]}}}}"
        ));
    }
    match nearest(name, CLAUSES.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint("such as `bool`, `term`, `terms`, `range`, `exists`, `nested`"),
    }
}

fn wrong(place: &str, what: &str) -> Error {
    Error::config(format!("`{place}` {what}"))
}
