//! Which names the service takes. Facts: section 2, "Names".

use super::answer::ApiError;

/// The longest id of a dataset, table or job.
const LONGEST_ID: usize = 1024;

/// The longest name of a column, in characters.
const LONGEST_COLUMN: usize = 300;

/// Beginnings of column names that the service keeps for itself.
const RESERVED_PREFIXES: [&str; 6] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
];

/// Column names that CDC keeps for itself.
const RESERVED_COLUMNS: [&str; 2] = ["_CHANGE_TYPE", "_CHANGE_SEQUENCE_NUMBER"];

/// Letters, digits and underscores.
pub(crate) fn check_dataset(id: &str) -> Result<(), ApiError> {
    let good = id
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || character == '_');
    if good && !id.is_empty() && id.len() <= LONGEST_ID {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Invalid dataset ID \"{id}\". Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long."
    )))
}

/// Letters, marks and digits of any script, connectors, dashes and spaces.
pub(crate) fn check_table(id: &str) -> Result<(), ApiError> {
    let good = id
        .chars()
        .all(|character| character.is_alphanumeric() || matches!(character, '_' | '-' | ' '));
    if good && !id.is_empty() && id.len() <= LONGEST_ID {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Invalid table ID \"{id}\". Table IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long."
    )))
}

/// Letters, digits, underscores and dashes.
pub(crate) fn check_job(id: &str) -> Result<(), ApiError> {
    let good = id
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
    if good && !id.is_empty() && id.len() <= LONGEST_ID {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Invalid job ID \"{id}\". Job IDs must be alphanumeric (plus underscores and dashes) and must be at most 1024 characters long."
    )))
}

/// A plain column name: the flexible ones are more than loaders should use.
pub(crate) fn check_column(name: &str) -> Result<(), ApiError> {
    let starts_well =
        name.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_');
    let good = starts_well
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
        && name.len() <= LONGEST_COLUMN;
    if !good {
        return Err(ApiError::invalid(format!(
            "Invalid field name \"{name}\". Fields must contain only letters, numbers, and underscores, start with a letter or underscore, and be at most 300 characters long."
        )));
    }
    let upper = name.to_ascii_uppercase();
    let is_reserved = RESERVED_PREFIXES
        .iter()
        .any(|prefix| upper.starts_with(prefix))
        || RESERVED_COLUMNS.contains(&upper.as_str());
    if is_reserved {
        return Err(ApiError::invalid(format!(
            "Invalid field name \"{name}\". Field names are not allowed to start with a reserved prefix."
        )));
    }
    Ok(())
}

/// A label: a key that begins with a letter, both in lower case, at most 63 characters each.
pub(crate) fn check_label(key: &str, value: &str) -> Result<(), ApiError> {
    let good = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|character| {
                (character.is_alphanumeric() && !character.is_uppercase())
                    || matches!(character, '_' | '-')
            })
    };
    let starts_well = key.starts_with(|character: char| character.is_alphabetic());
    if !starts_well || !good(key) {
        return Err(ApiError::invalid(format!(
            "Label key \"{key}\" has invalid characters."
        )));
    }
    if !good(value) {
        return Err(ApiError::invalid(format!(
            "The value of label \"{key}\" has invalid characters."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_own_characters() {
        assert!(check_dataset("a_1").is_ok() && check_dataset("a-1").is_err());
        assert!(check_table("a-1 ü").is_ok() && check_table("a.b").is_err());
        assert!(check_job("a-1_B").is_ok() && check_job("a:b").is_err());
        assert!(check_job("").is_err() && check_job(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn columns_are_plain_and_not_reserved() {
        assert!(check_column("_sdc_batched_at").is_ok());
        for bad in ["1a", "a b", "", "ü", "_partition_x", "_change_type"] {
            assert!(check_column(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_in_lower_case() {
        assert!(check_label("loader", "target-bigquery").is_ok());
        assert!(check_label("loader", "").is_ok());
        assert!(check_label("Loader", "x").is_err());
        assert!(check_label("1", "x").is_err());
        assert!(check_label("a", "X").is_err());
    }
}
