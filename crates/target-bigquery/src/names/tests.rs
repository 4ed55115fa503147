//! Tests of names.

use proptest::prelude::*;

use super::*;

fn columns(properties: &[&str]) -> Vec<String> {
    let names = ColumnNames::new(properties.iter().copied()).unwrap();
    (0..properties.len())
        .map(|index| names.column(index).to_owned())
        .collect()
}

#[test]
fn plain_names_stay() {
    assert_eq!(
        columns(&["id", "First_Name", "_x9"]),
        ["id", "First_Name", "_x9"]
    );
}

#[test]
fn what_a_column_cannot_be_called_is_changed() {
    for (property, wanted) in [
        ("first-name", "first_name"),
        ("a.b c", "a_b_c"),
        ("2fa", "_2fa"),
        ("", "_"),
        ("_partitiontime", "x_partitiontime"),
        ("_CHANGE_TYPE", "x_CHANGE_TYPE"),
        ("_table_", "x_table_"),
        ("größe", "gr__e_cd38f49a"),
    ] {
        assert_eq!(column(property), wanted, "{property}");
    }
}

#[test]
fn names_of_other_scripts_do_not_meet() {
    let names = columns(&["名前", "住所"]);
    assert_ne!(names[0], names[1]);
}

#[test]
fn an_exact_name_is_kept_and_the_other_gets_a_suffix_in_either_order() {
    let one = columns(&["first_name", "first-name"]);
    assert_eq!(one[0], "first_name");
    let mut other = columns(&["first-name", "first_name"]);
    other.reverse();
    assert_eq!(one, other);
    assert!(one[1].starts_with("first_name_"), "{}", one[1]);
}

#[test]
fn names_that_only_differ_by_case_are_a_problem_with_both_names() {
    for properties in [["id", "ID"], ["a-b", "a b"]] {
        let problems = ColumnNames::new(properties).unwrap_err();
        assert_eq!(problems.len(), 1);
        for property in properties {
            assert!(problems[0].message.contains(&format!("`{property}`")));
        }
    }
}

#[test]
fn changed_names_are_listed() {
    let names = ColumnNames::new(["id", "a-b"]).unwrap();
    assert_eq!(names.changed().collect::<Vec<_>>(), [("a-b", "a_b")]);
}

#[test]
fn ids_are_checked() {
    assert_eq!(dataset_id("raw_1").unwrap(), "raw_1");
    for wrong in ["", "a-b", "p.d", &"x".repeat(1025)] {
        assert!(dataset_id(wrong).is_err(), "{wrong}");
    }
    assert_eq!(table_id("public-orders").unwrap(), "public_orders");
    assert!(table_id("--").is_err());
    assert_eq!(job_id_part("a.b-c d"), "a_b-c_d");
}

proptest! {
    #[test]
    fn every_property_gets_a_name_that_the_service_takes(property in "\\PC{0,400}") {
        let name = column(&property);
        prop_assert!(name.len() <= COLUMN_LENGTH);
        prop_assert!(name.chars().all(is_plain));
        prop_assert!(!name.starts_with(|first: char| first.is_ascii_digit()));
        prop_assert!(!RESERVED.iter().any(|prefix| starts_with_any_case(&name, prefix)));
        prop_assert_eq!(column(&name), name);
    }
}
