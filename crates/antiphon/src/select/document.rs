//! A catalog's text, in which single values are set and everything else stays byte for byte: white
//! space, the order of keys, the digits of numbers, keys that nobody here knows. What is added takes
//! the form of its neighbours. What the values mean is left to `singer_core::catalog`.

use serde_json::{Value, json};
use singer_core::scan::{self, MAX_DEPTH, ScanError, TOO_DEEP};
use singer_core::{Error, Result};

/// A JSON text.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// A byte order mark and white space.
    before: String,
    root: Node,
    after: String,
    style: Style,
}

/// Where in a stream's entry a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The entry itself.
    Entry,
    /// Its `schema`; set only where there is one.
    Schema,
    /// The schema of a property; set only where there is one.
    Property(String),
    /// The metadata of the stream.
    StreamMetadata,
    /// The metadata of a property.
    FieldMetadata(String),
}

/// How what is added without neighbours is written.
#[derive(Debug, Clone)]
struct Style {
    /// One level of indentation, if the text is spread over lines.
    indent: Option<String>,
    /// Whether a space stands behind commas and colons.
    spaced: bool,
}

#[derive(Debug, Clone)]
enum Node {
    Scalar(String),
    Array(List<()>),
    Object(List<Key>),
}

/// The elements of an array, the members of an object.
#[derive(Debug, Clone)]
struct List<K> {
    items: Vec<Item<K>>,
    /// White space between the brackets of an empty one.
    inside: String,
}

#[derive(Debug, Clone)]
struct Item<K> {
    /// White space before it.
    lead: String,
    key: K,
    value: Node,
    /// White space between it and the comma or bracket.
    trail: String,
}

#[derive(Debug, Clone)]
struct Key {
    name: String,
    /// As it is written, with its quotes, the colon and the white space around that.
    text: String,
}

impl Document {
    /// Takes a text apart.
    ///
    /// # Errors
    /// Of kind `Config` if it is not JSON.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let not_json =
            |error: ScanError| Error::config("the catalog is not JSON").with_source(error);
        let mark = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
        let start = scan::skip_space(text.as_bytes(), mark);
        let mut parser = Parser { text, at: start };
        let root = parser.value(0).map_err(not_json)?;
        let end = parser.at;
        let rest = scan::skip_space(text.as_bytes(), end);
        if rest != text.len() {
            let what = "more text after the catalog";
            return Err(not_json(ScanError { at: rest, what }));
        }
        Ok(Self {
            style: Style::of(&root, text),
            before: parser.between(0, start),
            after: parser.between(end, text.len()),
            root,
        })
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let mut out = self.before.clone();
        self.root.write(&mut out);
        out.push_str(&self.after);
        out
    }

    /// Sets a key of the stream with this index. What the place needs on the way is made, but for
    /// schemas.
    pub(super) fn set(&mut self, stream: usize, place: &Place, key: &str, value: &Value) {
        let style = &self.style;
        let Some(entry) = self
            .root
            .member("streams")
            .and_then(|streams| streams.element(stream))
        else {
            return;
        };
        match place {
            Place::Entry => entry.set(key, value, style, 3),
            Place::Schema => {
                if let Some(schema) = entry.member("schema") {
                    schema.set(key, value, style, 4);
                }
            }
            Place::Property(name) => {
                let property = entry
                    .member("schema")
                    .and_then(|schema| schema.member("properties")?.member(name));
                if let Some(property) = property {
                    property.set(key, value, style, 6);
                }
            }
            Place::StreamMetadata => set_metadata(entry, &[], key, value, style),
            Place::FieldMetadata(name) => {
                set_metadata(entry, &["properties", name], key, value, style);
            }
        }
    }
}

fn set_metadata(entry: &mut Node, breadcrumb: &[&str], key: &str, value: &Value, style: &Style) {
    let item = json!({"breadcrumb": breadcrumb, "metadata": {key: value}});
    let Some(Node::Array(list)) = entry.member("metadata") else {
        entry.set("metadata", &json!([item]), style, 3);
        return;
    };
    let at = list
        .items
        .iter()
        .position(|item| item.value.is_at(breadcrumb));
    let Some(at) = at else {
        list.push((), &item, style, 4);
        return;
    };
    let found = &mut list.items[at].value;
    match found.member("metadata") {
        Some(words @ Node::Object(_)) => words.set(key, value, style, 6),
        _ => found.set("metadata", &json!({key: value}), style, 5),
    }
}

impl Style {
    fn of(root: &Node, text: &str) -> Self {
        let lead = match root {
            Node::Object(list) => list.items.first().map(|item| item.lead.as_str()),
            _ => None,
        };
        let indent = lead
            .and_then(|lead| Some(lead.rsplit_once('\n')?.1))
            .map(str::to_owned);
        Self {
            indent,
            spaced: text.contains("\": "),
        }
    }

    /// White space before the first thing on a line of this depth; nothing in a compact text.
    fn line(&self, depth: usize) -> String {
        match &self.indent {
            Some(indent) => format!("\n{}", indent.repeat(depth)),
            None => String::new(),
        }
    }

    fn colon(&self) -> &'static str {
        if self.spaced { ": " } else { ":" }
    }

    fn gap(&self) -> String {
        (if self.spaced { " " } else { "" }).to_owned()
    }

    /// The same without lines, for what stands among neighbours that are on one line each.
    fn on_one_line(&self) -> Self {
        Self {
            indent: None,
            spaced: self.spaced,
        }
    }
}

impl Node {
    /// A new value at a depth of the text.
    fn new(value: &Value, style: &Style, depth: usize) -> Self {
        match value {
            Value::Array(values) => {
                let mut list = List::empty();
                for value in values {
                    list.push((), value, style, depth + 1);
                }
                Self::Array(list)
            }
            Value::Object(values) => {
                let mut list = List::empty();
                for (name, value) in values {
                    list.push(Key::new(name, style), value, style, depth + 1);
                }
                Self::Object(list)
            }
            scalar => Self::Scalar(scalar.to_string()),
        }
    }

    /// Of a key that comes twice the last one counts.
    fn member(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(list) = self else {
            return None;
        };
        let found = list.items.iter_mut().rev();
        found
            .into_iter()
            .find(|item| item.key.name == name)
            .map(|item| &mut item.value)
    }

    fn element(&mut self, index: usize) -> Option<&mut Self> {
        match self {
            Self::Array(list) => list.items.get_mut(index).map(|item| &mut item.value),
            _ => None,
        }
    }

    /// Whether this is the metadata item of a breadcrumb.
    fn is_at(&self, breadcrumb: &[&str]) -> bool {
        let Self::Object(list) = self else {
            return false;
        };
        let mut found = list.items.iter().rev();
        let Some(Node::Array(path)) = found
            .find(|item| item.key.name == "breadcrumb")
            .map(|item| &item.value)
        else {
            return false;
        };
        path.items.len() == breadcrumb.len()
            && path
                .items
                .iter()
                .zip(breadcrumb)
                .all(|(item, step)| match &item.value {
                    Node::Scalar(text) => unquoted(text).is_some_and(|text| text == **step),
                    _ => false,
                })
    }

    /// Sets a key of an object whose members are at a depth.
    fn set(&mut self, name: &str, value: &Value, style: &Style, depth: usize) {
        if let Some(old) = self.member(name) {
            let one_line = style.on_one_line();
            let style = if old.is_flat() { &one_line } else { style };
            *old = Node::new(value, style, depth);
        } else if let Self::Object(list) = self {
            let key = match list.items.last() {
                Some(neighbour) => neighbour.key.renamed(name),
                None => Key::new(name, style),
            };
            list.push(key, value, style, depth);
        }
    }

    /// Whether this is an array or object with something in it, all on one line.
    fn is_flat(&self) -> bool {
        let has_items = match self {
            Self::Scalar(_) => false,
            Self::Array(list) => !list.items.is_empty(),
            Self::Object(list) => !list.items.is_empty(),
        };
        has_items && !self.has_lines()
    }

    fn has_lines(&self) -> bool {
        fn any<K>(list: &List<K>) -> bool {
            let mut items = list.items.iter();
            items.any(|item| item.lead.contains('\n') || item.value.has_lines())
        }
        match self {
            Self::Scalar(_) => false,
            Self::Array(list) => any(list),
            Self::Object(list) => any(list),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::Array(list) => list.write(out, ('[', ']'), |_, ()| {}),
            Self::Object(list) => list.write(out, ('{', '}'), |out, key| out.push_str(&key.text)),
        }
    }
}

impl<K> List<K> {
    fn empty() -> Self {
        Self {
            items: Vec::new(),
            inside: String::new(),
        }
    }

    /// Appends a value in the form of the one before it.
    fn push(&mut self, key: K, value: &Value, style: &Style, depth: usize) {
        let one_line = style.on_one_line();
        let is_only = self.items.len() == 1;
        let (lead, trail, style) = match self.items.last_mut() {
            Some(last) => {
                let is_on_lines = last.lead.contains('\n');
                // The first one's white space belongs to the bracket.
                let lead = if is_on_lines || !is_only {
                    last.lead.clone()
                } else {
                    style.gap()
                };
                let flat = !is_on_lines || last.value.is_flat();
                let trail = std::mem::take(&mut last.trail);
                (lead, trail, if flat { &one_line } else { style })
            }
            // Between brackets on one line there is nothing to take a form from.
            None => (
                style.line(depth),
                style.line(depth.saturating_sub(1)),
                style,
            ),
        };
        self.inside.clear();
        self.items.push(Item {
            lead,
            key,
            value: Node::new(value, style, depth),
            trail,
        });
    }

    fn write(&self, out: &mut String, (open, close): (char, char), key: impl Fn(&mut String, &K)) {
        out.push(open);
        out.push_str(&self.inside);
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&item.lead);
            key(out, &item.key);
            item.value.write(out);
            out.push_str(&item.trail);
        }
        out.push(close);
    }
}

impl Key {
    fn new(name: &str, style: &Style) -> Self {
        Self {
            name: name.to_owned(),
            text: format!("{}{}", Value::from(name), style.colon()),
        }
    }

    /// Another key with the same white space around its colon.
    fn renamed(&self, name: &str) -> Self {
        let colon = self.text.rfind('"').map_or(0, |quote| quote + 1);
        let colon = self.text.get(colon..).unwrap_or(":");
        Self {
            name: name.to_owned(),
            text: format!("{}{colon}", Value::from(name)),
        }
    }
}

fn unquoted(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: u32) -> Result<Node, ScanError> {
        if depth > MAX_DEPTH {
            let what = TOO_DEEP;
            return Err(ScanError { at: self.at, what });
        }
        match self.text.as_bytes().get(self.at) {
            Some(b'[') => Ok(Node::Array(self.list(b']', depth, |_| Ok(()))?)),
            Some(b'{') => Ok(Node::Object(self.list(b'}', depth, Self::key)?)),
            _ => Ok(Node::Scalar(self.scalar()?)),
        }
    }

    fn list<K>(
        &mut self,
        close: u8,
        depth: u32,
        key: impl Fn(&mut Self) -> Result<K, ScanError>,
    ) -> Result<List<K>, ScanError> {
        self.at += 1;
        let mut list = List::empty();
        let mut lead = self.space();
        if self.text.as_bytes().get(self.at) == Some(&close) {
            self.at += 1;
            list.inside = lead;
            return Ok(list);
        }
        loop {
            let key = key(self)?;
            let value = self.value(depth + 1)?;
            let trail = self.space();
            list.items.push(Item {
                lead,
                key,
                value,
                trail,
            });
            match self.text.as_bytes().get(self.at) {
                Some(b',') => self.at += 1,
                Some(byte) if *byte == close => {
                    self.at += 1;
                    return Ok(list);
                }
                _ => {
                    return Err(ScanError {
                        at: self.at,
                        what: "a comma or a closing bracket was expected",
                    });
                }
            }
            lead = self.space();
        }
    }

    fn key(&mut self) -> Result<Key, ScanError> {
        let start = self.at;
        let name = self.scalar()?;
        let name = unquoted(&name).ok_or(ScanError {
            at: start,
            what: "a key in quotes was expected",
        })?;
        self.space();
        if self.text.as_bytes().get(self.at) != Some(&b':') {
            return Err(ScanError {
                at: self.at,
                what: "a colon was expected",
            });
        }
        self.at += 1;
        self.space();
        Ok(Key {
            name,
            text: self.between(start, self.at),
        })
    }

    fn scalar(&mut self) -> Result<String, ScanError> {
        let span = scan::scan_value(self.text.as_bytes(), self.at, 0)?;
        self.at = span.end;
        Ok(self.between(span.start, span.end))
    }

    fn space(&mut self) -> String {
        let start = self.at;
        self.at = scan::skip_space(self.text.as_bytes(), start);
        self.between(start, self.at)
    }

    fn between(&self, start: usize, end: usize) -> String {
        self.text.get(start..end).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, place: &Place, key: &str, value: Value) -> String {
        let mut document = Document::parse(text).unwrap();
        assert_eq!(document.text(), text, "untouched");
        document.set(0, place, key, &value);
        document.text()
    }

    #[test]
    fn what_is_not_set_stays_byte_for_byte() {
        let text = "\u{feff} {\"x\": 1.10, \"streams\" : [ {\"stream\":\"a\",\"schema\":{ },\n\"n\":12345678901234567890123.0e5,\"metadata\":[{\"breadcrumb\":[],\"metadata\":{\"selected\" :false,\"é\\u00e9\":[ ]}}]}]}\n\n";
        assert_eq!(
            set(text, &Place::StreamMetadata, "selected", json!(true)),
            text.replace("false", "true")
        );
    }

    #[test]
    fn additions_take_the_form_of_their_neighbours() {
        let compact = r#"{"streams":[{"stream":"a","metadata":[]}]}"#;
        assert_eq!(
            set(compact, &Place::StreamMetadata, "selected", json!(true)),
            r#"{"streams":[{"stream":"a","metadata":[{"breadcrumb":[],"metadata":{"selected":true}}]}]}"#
        );
        let python = r#"{"streams": [{"stream": "a", "metadata": [{"breadcrumb": [], "metadata": {"x": 1}}]}]}"#;
        assert_eq!(
            set(
                python,
                &Place::FieldMetadata("b".to_owned()),
                "selected",
                json!(true)
            ),
            r#"{"streams": [{"stream": "a", "metadata": [{"breadcrumb": [], "metadata": {"x": 1}}, {"breadcrumb": ["properties", "b"], "metadata": {"selected": true}}]}]}"#
        );
        assert_eq!(
            set(python, &Place::StreamMetadata, "selected", json!(true)),
            python.replace(r#"{"x": 1}"#, r#"{"x": 1, "selected": true}"#)
        );
    }

    #[test]
    fn pretty_texts_stay_as_serde_and_python_print_them() {
        let mut value = json!({"streams": [{"stream": "a", "metadata": [
            {"breadcrumb": [], "metadata": {"row-count": 5}},
            {"breadcrumb": ["properties", "b"], "metadata": {}}
        ]}]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let added = set(
            &text,
            &Place::FieldMetadata("c".to_owned()),
            "selected",
            json!(false),
        );
        let list = value["streams"][0]["metadata"].as_array_mut().unwrap();
        list.push(json!({"breadcrumb": ["properties", "c"], "metadata": {"selected": false}}));
        assert_eq!(added, serde_json::to_string_pretty(&value).unwrap());
        let added = set(
            &added,
            &Place::FieldMetadata("b".to_owned()),
            "x",
            json!(["y", {}]),
        );
        value["streams"][0]["metadata"][1]["metadata"]["x"] = json!(["y", {}]);
        assert_eq!(added, serde_json::to_string_pretty(&value).unwrap());
        let added = set(&added, &Place::Entry, "replication_key", json!("b"));
        value["streams"][0]["replication_key"] = json!("b");
        assert_eq!(added, serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn one_item_a_line_stays_one_item_a_line() {
        let text = "{\n  \"streams\": [\n    {\"stream\": \"a\", \"metadata\": [\n      {\"breadcrumb\": [], \"metadata\": {\"x\": 1}}\n    ]}\n  ]\n}\n";
        assert_eq!(
            set(text, &Place::FieldMetadata("b".to_owned()), "selected", json!(false)),
            text.replace(
                "{\"x\": 1}}\n",
                "{\"x\": 1}},\n      {\"breadcrumb\": [\"properties\", \"b\"], \"metadata\": {\"selected\": false}}\n"
            )
        );
    }

    #[test]
    fn broken_and_bottomless_texts_are_errors() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "{\"a\" 1}",
            "[1,]",
            "{} x",
            deep.as_str(),
            "{1:2}",
            "[1 2]",
        ] {
            assert!(Document::parse(text).is_err());
        }
    }
}
