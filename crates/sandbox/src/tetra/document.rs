//! A document of the index. It is kept as text, which takes a fraction of the memory of a tree; the
//! fields that most queries ask for stand beside it, so that the text is seldom read. Facts: section 6.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use super::date::read_ms;

/// One document as it was indexed.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// No other document has it.
    pub(super) number: u64,
    text: Arc<str>,
    /// Where its members stand in the text.
    members: Box<[Member]>,
    pub(super) file_id: Arc<str>,
    pub(super) category: Category,
    pub(super) indexed_ms: i64,
    created_ms: Option<i64>,
    file_path: Option<Box<str>>,
    ids_type: Option<Box<str>>,
    source_type: Option<Box<str>>,
}

/// Where a member of a document stands in its text.
#[derive(Clone, Copy, Debug)]
struct Member {
    name: usize,
    value: usize,
    end: usize,
}

/// What kind of file a document is of; each kind has its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Category {
    Raw,
    Ids,
    Processed,
}

impl Category {
    pub(super) const ALL: [Category; 3] = [Category::Raw, Category::Ids, Category::Processed];

    pub(super) fn name(self) -> &'static str {
        match self {
            Category::Raw => "RAW",
            Category::Ids => "IDS",
            Category::Processed => "PROCESSED",
        }
    }

    /// The category of a name in any capitalisation.
    pub(super) fn from_name(name: &str) -> Option<Category> {
        let is_named = |category: &Category| category.name().eq_ignore_ascii_case(name);
        Category::ALL.into_iter().find(is_named)
    }
}

/// One value that a query compares.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Number(&'a serde_json::Number),
    Bool(bool),
    /// A time that the index knows as such, in milliseconds since 1970.
    Time(i64),
}

impl Document {
    /// Takes a document that has a `fileId`, a `category` and a time in `indexedAt`.
    pub(super) fn new(value: &Value, number: u64) -> Option<Document> {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str);
        let boxed = |path: &str| text(path).map(Box::from);
        let mut written = String::from("{");
        let mut places = Vec::new();
        for (name, value) in value.as_object()? {
            if !places.is_empty() {
                written.push(',');
            }
            let start = written.len();
            written.push_str(&Value::from(name.as_str()).to_string());
            written.push(':');
            let after_name = written.len();
            written.push_str(&value.to_string());
            places.push(Member {
                name: start,
                value: after_name,
                end: written.len(),
            });
        }
        written.push('}');
        Some(Document {
            number,
            file_id: text("/fileId")?.into(),
            category: Category::from_name(text("/category")?)?,
            indexed_ms: read_ms(text("/indexedAt")?)?,
            created_ms: text("/createdAt").and_then(read_ms),
            file_path: boxed("/filePath"),
            ids_type: boxed("/idsType"),
            source_type: boxed("/source/type"),
            text: written.into(),
            members: places.into(),
        })
    }

    /// The names, in quotes, and the values of its members, as texts.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        let between = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let texts = move |member: &Member| {
            let name = between(member.name, member.value);
            let name = name.strip_suffix(':').unwrap_or(name);
            (name, between(member.value, member.end))
        };
        self.members.iter().map(texts)
    }

    /// The whole document.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The whole document as it is kept.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(super) fn path(&self) -> &str {
        self.file_path.as_deref().unwrap_or_default()
    }

    pub(super) fn ids_type(&self) -> Option<&str> {
        self.ids_type.as_deref()
    }
}

/// A document that a query looks at; a member of it is read when a field asks for it.
pub(super) struct Look<'a> {
    document: &'a Document,
    read: OnceCell<Vec<OnceCell<Value>>>,
}

/// Where a query looks: in a document, or in one object of a nested list, whose path is known.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root(&'a Look<'a>),
    Element { path: &'a str, object: &'a Value },
}

impl<'a> Look<'a> {
    pub(super) fn new(document: &'a Document) -> Look<'a> {
        Look {
            document,
            read: OnceCell::new(),
        }
    }

    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    /// The member that a path begins with, and the rest of the path.
    fn member<'path>(&self, path: &'path str) -> Option<(&Value, Option<&'path str>)> {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let quoted = Value::from(first).to_string();
        let mut members = self.document.members();
        let (place, text) = members
            .by_ref()
            .enumerate()
            .find_map(|(place, (name, text))| (name == quoted).then_some((place, text)))?;
        let read = self.read.get_or_init(|| {
            let cells = self.document.members.iter().map(|_| OnceCell::new());
            cells.collect()
        });
        let value = read.get(place)?;
        let value = value.get_or_init(|| serde_json::from_str(text).unwrap_or_default());
        Some((value, rest))
    }
}

impl Place<'_> {
    /// Whether any value of a field passes. Objects in lists are nested: they are not seen from outside.
    pub(super) fn any(&self, field: &str, mut passes: impl FnMut(Scalar<'_>) -> bool) -> bool {
        let look = match *self {
            Place::Element { path, object } => {
                let below = field
                    .strip_prefix(path)
                    .and_then(|rest| rest.strip_prefix('.'));
                return below.is_some_and(|below| any_below(object, below, &mut passes));
            }
            Place::Root(look) => look,
        };
        let document = look.document;
        let text = |text: &Option<Box<str>>, passes: &mut dyn FnMut(Scalar<'_>) -> bool| {
            text.as_deref()
                .is_some_and(|text| passes(Scalar::Text(text)))
        };
        match field {
            "fileId" | "_id" => passes(Scalar::Text(&document.file_id)),
            "category" => passes(Scalar::Text(document.category.name())),
            "indexedAt" => passes(Scalar::Time(document.indexed_ms)),
            "createdAt" => document
                .created_ms
                .is_some_and(|ms| passes(Scalar::Time(ms))),
            "filePath" => text(&document.file_path, &mut passes),
            "idsType" => text(&document.ids_type, &mut passes),
            "source.type" => text(&document.source_type, &mut passes),
            _ => match look.member(field) {
                Some((value, Some(rest))) => any_below(value, rest, &mut passes),
                Some((value, None)) => any_of(value, &mut passes),
                None => false,
            },
        }
    }

    /// Whether a field is there with anything but nulls.
    pub(super) fn has(&self, field: &str) -> bool {
        let value = match *self {
            Place::Element { path, object } => {
                let below = field
                    .strip_prefix(path)
                    .and_then(|rest| rest.strip_prefix('.'));
                below.and_then(|below| member(object, below))
            }
            Place::Root(look) => match look.member(field) {
                Some((value, Some(rest))) => member(value, rest),
                found => found.map(|(value, _)| value),
            },
        };
        value.is_some_and(|value| match value {
            Value::Null => false,
            Value::Array(items) => items
                .iter()
                .any(|item| !item.is_null() && !item.is_object()),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        })
    }

    /// The objects of the nested list at a path.
    pub(super) fn elements(&self, path: &str) -> Vec<&Value> {
        let (mut found, below) = match *self {
            Place::Element {
                path: outer,
                object,
            } => {
                let below = path
                    .strip_prefix(outer)
                    .and_then(|rest| rest.strip_prefix('.'));
                match below {
                    Some(below) => (vec![object], Some(below)),
                    None => return Vec::new(),
                }
            }
            Place::Root(look) => match look.member(path) {
                Some((value, rest)) => (items(value), rest),
                None => return Vec::new(),
            },
        };
        for name in below.into_iter().flat_map(|below| below.split('.')) {
            let values = found.into_iter().filter_map(|value| value.get(name));
            found = values.flat_map(items).collect();
        }
        found.retain(|value| value.is_object());
        found
    }
}

/// The items of a list, or the value itself.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

/// The value at a path of names that leads through no list.
fn member<'value>(object: &'value Value, path: &str) -> Option<&'value Value> {
    path.split('.')
        .try_fold(object, |value, name| value.get(name))
}

fn any_below(object: &Value, path: &str, passes: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
    member(object, path).is_some_and(|value| any_of(value, passes))
}

fn any_of(value: &Value, passes: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
    let mut test = |value: &Value| match value {
        Value::String(text) => passes(Scalar::Text(text)),
        Value::Number(number) => passes(Scalar::Number(number)),
        Value::Bool(truth) => passes(Scalar::Bool(*truth)),
        _ => false,
    };
    match value {
        Value::Array(items) => items.iter().any(test),
        value => test(value),
    }
}

/// What stands at a path of a document, as its index maps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapped {
    /// A list of objects.
    Nested,
    /// Values.
    Values,
}

/// Tells all paths of a document.
pub(super) fn paths(value: &Value, path: &str, found: &mut dyn FnMut(&str, Mapped)) {
    let Value::Object(members) = value else {
        return;
    };
    for (name, value) in members {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        match value {
            Value::Object(_) => paths(value, &path, found),
            Value::Array(items) => {
                if items.iter().any(Value::is_object) {
                    found(&path, Mapped::Nested);
                } else if items.iter().any(|item| !item.is_null()) {
                    found(&path, Mapped::Values);
                }
                for item in items {
                    paths(item, &path, found);
                }
            }
            Value::Null => {}
            _ => found(&path, Mapped::Values),
        }
    }
}
