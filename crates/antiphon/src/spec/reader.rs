//! Walks `antiphon.toml` and collects what is wrong with it: the line, the key, what was expected, the
//! nearest known key; never a value, which may be a secret. It knows no key itself.

use std::path::{Path, PathBuf};

use singer_core::nearest::nearest;
use singer_core::{Error, Result, Secret, SecretSource};
use toml::de::{DeTable, DeValue};

use super::duration;
use super::keys::Key;
use super::place::{self, Name, Node, Place, line_and_column};

#[derive(Debug)]
struct Fault<'a> {
    place: Place<'a>,
    /// What is wrong, to stand behind the key.
    message: String,
    hint: Option<String>,
}

/// A table whose keys are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) place: Place<'a>,
    pub(super) entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Node<'a>> {
        self.entries.get(key)
    }
}

/// Reads values and collects faults.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: &'a Path,
    folder: &'a Path,
    text: &'a str,
    root: &'a DeTable<'a>,
    faults: Vec<Fault<'a>>,
}

/// How many faults are told; a file that was mangled has thousands.
const MOST_FAULTS: usize = 20;

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: &'a Path,
        folder: &'a Path,
        text: &'a str,
        root: &'a DeTable<'a>,
    ) -> Self {
        Self {
            file,
            folder,
            text,
            root,
            faults: Vec::new(),
        }
    }

    /// No fault is fine; one is the error; of many the error names the number, and each is a cause.
    pub(super) fn finish(mut self) -> Result<()> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.sort_by_key(|fault| place::offset(self.root, fault.place));
        let count = faults.len();
        let file = self.file.display();
        if let [only] = faults.as_slice() {
            let place = match self.line(only.place) {
                Some(line) => format!("{file} line {line}"),
                None => file.to_string(),
            };
            let error = Error::config(self.message(only)).at(place);
            return Err(match &only.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        let mut told: Vec<Error> = faults
            .iter()
            .take(MOST_FAULTS)
            .map(|fault| {
                let mut message = self.message(fault);
                // Hints are told after all causes, where nobody would know whose they are.
                if let Some(hint) = &fault.hint {
                    message = format!("{message} ({hint})");
                }
                let error = Error::config(message);
                match self.line(fault.place) {
                    Some(line) => error.at(format!("line {line}")),
                    None => error,
                }
            })
            .collect();
        if count > told.len() {
            told.push(Error::config(format!("and {} more", count - told.len())));
        }
        let causes = told
            .into_iter()
            .rev()
            .reduce(|inner, outer| outer.with_source(inner));
        match causes {
            Some(causes) => {
                Err(Error::config(format!("{file} has {count} faults")).with_source(causes))
            }
            None => Ok(()),
        }
    }

    /// Notes a fault; `{key}` in the message stands for the key that it is about.
    pub(super) fn fault(&mut self, place: Place<'a>, message: impl Into<String>) {
        self.fault_with_hint(place, message, None);
    }

    pub(super) fn fault_with_hint(
        &mut self,
        place: Place<'a>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.faults.push(Fault {
            place,
            message: message.into(),
            hint,
        });
    }

    /// Notes that a value is not what it must be.
    pub(super) fn expected(&mut self, node: &'a Node<'a>, what: &str) {
        let found = kind_of(node.get_ref());
        self.fault(
            Place::Value(node),
            format!("{{key}} must be {what}, found {found}"),
        );
    }

    /// Notes that a text, number or list is of the right kind and says what it cannot.
    pub(super) fn wrong(&mut self, node: &'a Node<'a>, what: &str) {
        self.fault(Place::Value(node), format!("{{key}} must be {what}"));
    }

    /// A table with these keys and no other.
    pub(super) fn table(&mut self, node: &'a Node<'a>, keys: &[Key]) -> Option<Table<'a>> {
        let table = self.open_table(node, "a table")?;
        self.check_keys(table.entries, keys);
        Some(table)
    }

    /// A table whose keys are the user's own.
    pub(super) fn open_table(&mut self, node: &'a Node<'a>, what: &str) -> Option<Table<'a>> {
        let DeValue::Table(entries) = node.get_ref() else {
            self.expected(node, what);
            return None;
        };
        Some(Table {
            place: Place::Value(node),
            entries,
        })
    }

    /// Notes every key that is not known.
    pub(super) fn check_keys(&mut self, entries: &'a DeTable<'a>, keys: &[Key]) {
        for name in entries.keys() {
            let typed: &str = name.get_ref();
            if !keys.iter().any(|key| key.name == typed) {
                self.unknown(name, keys.iter().map(|key| key.name));
            }
        }
    }

    /// Notes a key that is not known.
    pub(super) fn unknown<'k>(
        &mut self,
        name: &'a Name<'a>,
        known: impl Iterator<Item = &'k str> + Clone,
    ) {
        let hint = match nearest(name.get_ref(), known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.fault_with_hint(Place::Key(name), "unknown key {key}", Some(hint));
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, node: &'a Node<'a>) -> Option<&'a str> {
        match node.get_ref() {
            DeValue::String(text) if text.trim().is_empty() => {
                self.fault(Place::Value(node), "{key} is empty");
                None
            }
            DeValue::String(text) => Some(text),
            _ => {
                self.expected(node, "a text");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, node: &'a Node<'a>) -> Option<bool> {
        let flag = node.get_ref().as_bool();
        if flag.is_none() {
            self.expected(node, "true or false");
        }
        flag
    }

    /// A whole number between two others.
    pub(super) fn integer(&mut self, node: &'a Node<'a>, least: i64, most: i64) -> Option<i64> {
        let what = if most == i64::MAX {
            format!("a whole number, {least} or more")
        } else {
            format!("a whole number from {least} to {most}")
        };
        let Some(integer) = node.get_ref().as_integer() else {
            self.expected(node, &what);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(node, &what);
        }
        number
    }

    /// A number above `above`, whole or not.
    pub(super) fn decimal(&mut self, node: &'a Node<'a>, above: f64, what: &str) -> Option<f64> {
        let number: Option<f64> = match node.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            _ => {
                self.expected(node, what);
                return None;
            }
        };
        let number = number.filter(|number| number.is_finite() && *number > above);
        if number.is_none() {
            self.wrong(node, what);
        }
        number
    }

    /// A span of time: `"90s"`, `"1h30m"`, or a number of seconds.
    pub(super) fn duration(&mut self, node: &'a Node<'a>) -> Option<std::time::Duration> {
        let parsed = match node.get_ref() {
            DeValue::String(text) => duration::parse(text),
            DeValue::Integer(number) if number.radix() == 10 => duration::seconds(number.as_str()),
            DeValue::Float(number) => duration::seconds(number.as_str()),
            _ => {
                self.expected(node, duration::EXPECTED);
                return None;
            }
        };
        if parsed.is_none() {
            self.wrong(node, duration::EXPECTED);
        }
        parsed
    }

    /// A span of time that is longer than nothing.
    pub(super) fn positive_duration(&mut self, node: &'a Node<'a>) -> Option<std::time::Duration> {
        let duration = self.duration(node)?;
        if duration.is_zero() {
            self.wrong(node, "longer than nothing");
            return None;
        }
        Some(duration)
    }

    /// One of a few words, and what it stands for.
    pub(super) fn word<T: Copy>(&mut self, node: &'a Node<'a>, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        let mut what: Vec<String> = names().map(|word| format!("`{word}`")).collect();
        let last = what.pop().unwrap_or_default();
        let what = format!("{} or {last}", what.join(", "));
        let DeValue::String(text) = node.get_ref() else {
            self.expected(node, &what);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == text);
        if found.is_none() {
            let hint = nearest(text, names()).map(|near| format!("did you mean `{near}`?"));
            self.fault_with_hint(Place::Value(node), format!("{{key}} must be {what}"), hint);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A path; a relative one counts from the folder of the file.
    pub(super) fn path(&mut self, node: &'a Node<'a>) -> Option<PathBuf> {
        self.text(node).map(|path| self.folder.join(path))
    }

    /// The items of a list, or the one value that stands in its place.
    pub(super) fn items(&self, node: &'a Node<'a>) -> Vec<&'a Node<'a>> {
        match node.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![node],
        }
    }

    /// A text, or where one is found: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = "…" }`.
    pub(super) fn secret(&mut self, node: &'a Node<'a>) -> Option<SecretSource> {
        const EXPECTED: &str =
            "a text, { env = \"NAME\" }, { file = \"PATH\" } or { command = \"…\" }";
        match node.get_ref() {
            DeValue::String(text) => Some(SecretSource::Text(Secret::new(text.as_ref()))),
            DeValue::Table(form) => {
                let mut entries = form.iter();
                let (Some((name, value)), None) = (entries.next(), entries.next()) else {
                    self.wrong(node, EXPECTED);
                    return None;
                };
                let name: &str = name.get_ref();
                match name {
                    "env" => self
                        .text(value)
                        .map(|name| SecretSource::Env(name.to_owned())),
                    "file" => {
                        let path = self.path(value)?;
                        match path.into_os_string().into_string() {
                            Ok(path) => Some(SecretSource::File(path)),
                            Err(_) => {
                                self.wrong(value, "a path of UTF-8, with the folders around it");
                                None
                            }
                        }
                    }
                    "command" => self
                        .text(value)
                        .map(|line| SecretSource::Command(line.to_owned())),
                    _ => {
                        self.wrong(node, EXPECTED);
                        None
                    }
                }
            }
            _ => {
                self.expected(node, EXPECTED);
                None
            }
        }
    }

    fn message(&self, fault: &Fault<'a>) -> String {
        let key = match place::key_path(self.root, fault.place) {
            Some(path) => format!("`{path}`"),
            None => "the file".to_owned(),
        };
        fault.message.replace("{key}", &key)
    }

    fn line(&self, place: Place<'_>) -> Option<usize> {
        match place {
            Place::File => None,
            _ => Some(line_and_column(self.text, place::offset(self.root, place)).0),
        }
    }
}

/// What a value is called in an error.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
