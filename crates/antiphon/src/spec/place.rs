//! Where things stand in `antiphon.toml`: lines, and the keys that lead to a value.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A value and its place in the text.
pub(super) type Node<'a> = Spanned<DeValue<'a>>;
/// A key and its place in the text.
pub(super) type Name<'a> = Spanned<DeString<'a>>;

/// What a fault is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// A value; its key is found again when the fault is told.
    Value(&'a Node<'a>),
    Key(&'a Name<'a>),
    /// The file as a whole.
    File,
}

/// Where the text of a place begins.
pub(super) fn offset(root: &DeTable<'_>, place: Place<'_>) -> usize {
    match place {
        Place::File => 0,
        Place::Key(name) => name.span().start,
        // The header of a table tells more than its first key.
        Place::Value(node) => find(root, &Place::Value(node))
            .and_then(|steps| match steps.last() {
                Some(Step::Key(name)) => Some(name.span().start),
                _ => None,
            })
            .unwrap_or_else(|| node.span().start),
    }
}

/// The keys that lead to a place, as a person would write them: `pipelines.accounts.tap.args[0]`.
pub(super) fn key_path(root: &DeTable<'_>, place: Place<'_>) -> Option<String> {
    let mut path = String::new();
    for step in find(root, &place)? {
        match step {
            Step::Key(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&written_key(name.get_ref()));
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    Some(path)
}
/// The line and the column of a byte, both from 1; the column counts characters.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    text.char_indices().take_while(|(at, _)| *at < offset).fold(
        (1, 1),
        |(line, column), (_, letter)| match letter {
            '\n' => (line + 1, 1),
            _ => (line, column + 1),
        },
    )
}

/// A key of the file as it is written: bare if it can be.
pub(crate) fn written_key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_bare {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// A step down from the root.
enum Step<'a> {
    Key(&'a Name<'a>),
    Index(usize),
}

/// The steps to a place. Faults are few and the file is small: searching is cheaper than to carry the
/// path through the whole walk.
fn find<'a>(table: &'a DeTable<'a>, wanted: &Place<'_>) -> Option<Vec<Step<'a>>> {
    for (name, value) in table.iter() {
        let found = match wanted {
            Place::Key(key) => same(name, *key),
            Place::Value(node) => same(value, *node),
            Place::File => return None,
        };
        let rest = if found {
            Some(Vec::new())
        } else {
            find_in(value, wanted)
        };
        if let Some(mut steps) = rest {
            steps.insert(0, Step::Key(name));
            return Some(steps);
        }
    }
    None
}

fn find_in<'a>(value: &'a Node<'a>, wanted: &Place<'_>) -> Option<Vec<Step<'a>>> {
    match value.get_ref() {
        DeValue::Table(table) => find(table, wanted),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let mut steps = match wanted {
                Place::Value(node) if same(item, *node) => Vec::new(),
                _ => find_in(item, wanted)?,
            };
            steps.insert(0, Step::Index(index));
            Some(steps)
        }),
        _ => None,
    }
}

/// Whether two references are to one thing.
fn same<T, U>(one: &T, other: &U) -> bool {
    std::ptr::eq(
        std::ptr::from_ref(one).cast::<u8>(),
        std::ptr::from_ref(other).cast::<u8>(),
    )
}
