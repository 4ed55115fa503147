//! What a bulk read is asked for: table, page, columns and criteria. Facts: section 2.6.

use serde_json::Value;

use super::answer::ApiError;
use super::condition::{Comparison, Condition, Operand, Test, operand};
use super::options::{Comparators, DataStoreOptions};
use super::table::{Place, Table};

/// Comparators that are seen in samples.
const SEEN: [&str; 3] = ["equal", "greater_than", "starts_with"];

/// What one bulk read takes of its table.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// From 1.
    pub(super) page: usize,
    /// In the order of the result's header.
    pub(super) places: Vec<Place>,
    pub(super) condition: Option<Condition>,
}

pub(super) fn read(
    query: &Value,
    table: &Table,
    options: &DataStoreOptions,
) -> Result<Selection, ApiError> {
    if !(query.is_object() || query.is_null()) {
        return Err(ApiError::invalid("query is not a valid object"));
    }
    let page = match &query["page"] {
        Value::Null => Some(1),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|page| usize::try_from(page).ok()),
    };
    let page = page
        .filter(|page| *page > 0)
        .ok_or_else(|| ApiError::invalid("Invalid value for page"))?;
    let places = columns(&query["select_columns"], table)?;
    let condition = match &query["criteria"] {
        Value::Null => None,
        criteria => Some(condition(criteria, table, options)?),
    };
    Ok(Selection {
        page,
        places,
        condition,
    })
}

/// The columns of the result, whose order is not that of the request.
fn columns(selected: &Value, table: &Table) -> Result<Vec<Place>, ApiError> {
    let mut places = match selected {
        Value::Null => table.places(),
        Value::Array(names) if !names.is_empty() => names
            .iter()
            .map(|name| place(name, table))
            .collect::<Result<_, _>>()?,
        _ => return Err(ApiError::invalid("Invalid value for select_columns")),
    };
    let key = |place: &Place| match *place {
        Place::Own(own) => (0, own),
        // The last of the system columns first.
        Place::System(system) => (1, usize::MAX - system as usize),
    };
    places.sort_by_key(key);
    places.dedup();
    Ok(places)
}

fn condition(
    criteria: &Value,
    table: &Table,
    options: &DataStoreOptions,
) -> Result<Condition, ApiError> {
    let group = criteria["group"]
        .as_array()
        .filter(|group| !group.is_empty())
        .ok_or_else(|| ApiError::invalid("Invalid value for criteria"))?;
    let parts = group
        .iter()
        .map(|criterion| one(criterion, table, options))
        .collect::<Result<_, _>>()?;
    match criteria["group_operator"].as_str() {
        Some("and") | None => Ok(Condition::All(parts)),
        Some("or") => Ok(Condition::Any(parts)),
        Some(_) => Err(ApiError::invalid("Invalid value for group_operator")),
    }
}

fn one(
    criterion: &Value,
    table: &Table,
    options: &DataStoreOptions,
) -> Result<Condition, ApiError> {
    let place = place(&criterion["column_name"], table)?;
    let name = table.name_of(place);
    if matches!(place, Place::System(_)) && !options.system_criteria {
        return Err(ApiError::invalid(format!(
            "The column {name} cannot be used in criteria"
        )));
    }
    let comparator = criterion["comparator"].as_str().unwrap_or_default();
    let is_taken = match options.comparators {
        Comparators::Seen => SEEN.contains(&comparator),
        Comparators::All => true,
    };
    if !is_taken {
        return Err(ApiError::invalid("Invalid value for comparator"));
    }
    let text = match &criterion["value"] {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => criterion["value"].to_string(),
        _ => return Err(ApiError::invalid(format!("Invalid value for {name}"))),
    };
    let value = |text: &str| -> Result<Operand, ApiError> {
        operand(table, place, text.trim())
            .ok_or_else(|| ApiError::invalid(format!("Invalid value for {name}")))
    };
    let values = || text.split(',').map(value).collect::<Result<Vec<_>, _>>();
    let compare = |comparison| value(&text).map(|value| Test::Compare(comparison, value));
    let contains = || Test::Like(vec![String::new(), text.clone(), String::new()]);
    let (is_negated, test) = match comparator {
        "equal" => (false, compare(Comparison::Equal)?),
        "not_equal" => (false, compare(Comparison::NotEqual)?),
        "greater_than" => (false, compare(Comparison::Greater)?),
        "greater_equal" => (false, compare(Comparison::GreaterEqual)?),
        "less_than" => (false, compare(Comparison::Less)?),
        "less_equal" => (false, compare(Comparison::LessEqual)?),
        "starts_with" => (false, Test::Like(vec![text.clone(), String::new()])),
        "ends_with" => (false, Test::Like(vec![String::new(), text.clone()])),
        "contains" => (false, contains()),
        "not_contains" => (true, contains()),
        "in" => (false, Test::In(values()?)),
        "not_in" => (true, Test::In(values()?)),
        "between" => match values()?.as_slice() {
            [low, high] => (false, Test::Between(low.clone(), high.clone())),
            _ => return Err(ApiError::invalid(format!("Invalid value for {name}"))),
        },
        _ => return Err(ApiError::invalid("Invalid value for comparator")),
    };
    let asked = Condition::Column(place, test);
    if !is_negated {
        return Ok(asked);
    }
    let is_known = Condition::Not(Box::new(Condition::Column(place, Test::Null)));
    Ok(Condition::All(vec![
        Condition::Not(Box::new(asked)),
        is_known,
    ]))
}

fn place(name: &Value, table: &Table) -> Result<Place, ApiError> {
    let name = name.as_str().unwrap_or_default();
    table
        .place(name)
        .ok_or_else(|| ApiError::invalid(format!("No such column {name} exists")))
}
