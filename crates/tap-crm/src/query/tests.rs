//! What criteria may be, and how a window joins them.

use super::*;

fn leaf(field: &str, comparator: &str, value: Value) -> Value {
    json!({"field": {"api_name": field}, "comparator": comparator, "value": value})
}

fn parse(value: &Value) -> Result<Criteria> {
    Criteria::parse("criteria.Leads", value)
}

const WINDOW: Window = Window {
    from: Some(1_772_323_200),
    to: Some(1_772_409_600),
};

#[test]
fn a_window_alone_is_a_group_of_two_bounds() {
    let wanted = json!({"group_operator": "and", "group": [
        leaf("Modified_Time", "greater_equal", json!("2026-03-01T00:00:00+00:00")),
        leaf("Modified_Time", "less_than", json!("2026-03-02T00:00:00+00:00")),
    ]});
    assert_eq!(WINDOW.criteria(None).unwrap(), Some(wanted));
    assert_eq!(Window::ALL.criteria(None).unwrap(), None);
    let upper = Window {
        from: None,
        ..WINDOW
    };
    assert_eq!(
        upper.criteria(None).unwrap(),
        Some(leaf(
            "Modified_Time",
            "less_than",
            json!("2026-03-02T00:00:00+00:00")
        ))
    );
}

#[test]
fn criteria_of_the_config_are_joined_by_and() {
    let own = leaf("Stage", "equal", json!("Won"));
    let criteria = parse(&own).unwrap();
    assert_eq!(
        Window::ALL.criteria(Some(&criteria)).unwrap(),
        Some(own.clone())
    );
    let joined = WINDOW.criteria(Some(&criteria)).unwrap().unwrap();
    assert_eq!(joined["group"][2], own);
    assert_eq!(
        WINDOW.query(Some(&criteria), None).unwrap().unwrap(),
        "(Modified_Time >= '2026-03-01T00:00:00+00:00' and Modified_Time < '2026-03-02T00:00:00+00:00') and Stage = 'Won'"
    );
}

#[test]
fn a_query_goes_on_behind_a_record() {
    assert_eq!(
        WINDOW
            .query(None, Some((1_772_323_201, "42")))
            .unwrap()
            .unwrap(),
        "(Modified_Time >= '2026-03-01T00:00:01+00:00' and Modified_Time < '2026-03-02T00:00:00+00:00') and (Modified_Time > '2026-03-01T00:00:01+00:00' or id > 42)"
    );
}

#[test]
fn what_a_query_may_understand_otherwise_is_not_said_in_one() {
    for (comparator, value) in [
        ("contains", json!("x")),
        ("not_equal", json!("x")),
        ("equal", json!("O'Neil")),
        ("not_equal", json!("${EMPTY}")),
    ] {
        let criteria = parse(&leaf("Last_Name", comparator, value)).unwrap();
        assert_eq!(
            WINDOW.query(Some(&criteria), None).unwrap(),
            None,
            "{comparator}"
        );
    }
    let group = json!({"group_operator": "or", "group": [
        leaf("A", "in", json!(["x", "y"])), leaf("B", "equal", json!("${EMPTY}")), leaf("C", "equal", json!(true)),
    ]});
    let criteria = parse(&group).unwrap();
    assert_eq!(
        Window::ALL.query(Some(&criteria), None).unwrap().unwrap(),
        "((A in ('x', 'y') or B is null) or C = true)"
    );
}

#[test]
fn what_breaks_the_grammar_is_named_by_its_place() {
    for (value, wanted) in [
        (json!([]), "`criteria.Leads` is no object"),
        (
            json!({"group_operator": "xor", "group": []}),
            "`criteria.Leads` needs a `group_operator`, which is `and` or `or`",
        ),
        (
            json!({"group_operator": "and", "group": [], "field": {}}),
            "`criteria.Leads` has a key `field` that does not belong there",
        ),
        (
            json!({"group_operator": "and", "group": [leaf("A", "like", json!(1))]}),
            "`criteria.Leads.group[0]` needs a `comparator` that the service knows",
        ),
        (
            json!({"field": "A", "comparator": "equal", "value": 1}),
            "`criteria.Leads` needs a `field` of the form {\"api_name\": \"…\"}",
        ),
        (
            leaf("A", "between", json!([1])),
            "`criteria.Leads` needs a `value` of two elements for its comparator",
        ),
        (
            leaf("A", "equal", json!([1])),
            "`criteria.Leads` needs one `value` for its comparator, no list",
        ),
        (
            leaf("A", "equal", json!(null)),
            "`criteria.Leads` has a `value` that is no text, number or boolean",
        ),
        (
            leaf("A", "greater_than", json!("2026-03-01T00:00:00.5Z")),
            "`criteria.Leads` has a time with a fraction of a second, which the service refuses",
        ),
        (
            leaf("A", "equal", json!("x".repeat(256))),
            "`criteria.Leads` has a `value` of more than 255 characters",
        ),
    ] {
        assert_eq!(parse(&value).unwrap_err().message(), wanted);
    }
}

#[test]
fn there_are_at_most_25_conditions_with_those_of_the_window() {
    let group = |count| {
        let leaves: Vec<Value> = (0..count).map(|_| leaf("A", "equal", json!(1))).collect();
        json!({"group_operator": "or", "group": leaves})
    };
    assert!(parse(&group(26)).is_err());
    let most = parse(&group(23)).unwrap();
    assert!(WINDOW.criteria(Some(&most)).is_ok());
    let more = parse(&group(24)).unwrap();
    assert!(WINDOW.criteria(Some(&more)).is_err());
    assert!(Window::ALL.criteria(Some(&more)).is_ok());
    assert_eq!(more.leaves().len(), 24);
}
