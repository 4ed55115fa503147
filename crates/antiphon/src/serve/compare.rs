//! States as leaves with paths, and what differs between two of them. No bookmark is understood.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::serve::view::{Change, Leaf};

/// All values of a state that hold no others, in the order of the state.
pub(crate) fn leaves(state: &Value) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    collect(state, &mut Vec::new(), &mut leaves);
    leaves
}

fn collect(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                path.push(key.clone());
                collect(member, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                collect(item, path, leaves);
                path.pop();
            }
        }
        // An empty object or array is a value of its own: it may come and go.
        leaf => leaves.push(Leaf {
            path: path.clone(),
            value: leaf.to_string(),
        }),
    }
}

/// What differs, by path, and how many values are the same.
pub(crate) fn changes(before: &Value, after: &Value) -> (Vec<Change>, usize) {
    let mut pairs: BTreeMap<Vec<String>, (Option<String>, Option<String>)> = BTreeMap::new();
    for leaf in leaves(before) {
        pairs.entry(leaf.path).or_default().0 = Some(leaf.value);
    }
    for leaf in leaves(after) {
        pairs.entry(leaf.path).or_default().1 = Some(leaf.value);
    }
    let total = pairs.len();
    let changes: Vec<Change> = pairs
        .into_iter()
        .filter(|(_, (before, after))| before != after)
        .map(|(path, (before, after))| Change {
            path,
            before,
            after,
        })
        .collect();
    let same = total - changes.len();
    (changes, same)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diff_names_what_came_went_and_moved() {
        let before =
            json!({"currently_syncing": null, "bookmarks": {"a.b": {"at": 1, "gone": []}}});
        let after =
            json!({"currently_syncing": null, "bookmarks": {"a.b": {"at": 2}, "new": {"at": [1]}}});
        let (changes, same) = changes(&before, &after);
        let told: Vec<(String, Option<&str>, Option<&str>)> = changes
            .iter()
            .map(|change| {
                (
                    change.path.join("/"),
                    change.before.as_deref(),
                    change.after.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("bookmarks/a.b/at".to_owned(), Some("1"), Some("2")),
                ("bookmarks/a.b/gone".to_owned(), Some("[]"), None),
                ("bookmarks/new/at/0".to_owned(), None, Some("1")),
            ]
        );
        assert_eq!(same, 1);
    }

    #[test]
    fn a_state_that_is_no_object_is_one_leaf() {
        assert_eq!(leaves(&json!(null))[0].value, "null");
        assert_eq!(leaves(&json!({}))[0].path, Vec::<String>::new());
    }
}
