//! Settings as a table: one list gives the loader, `--about`, the READMEs and the environment names.

use serde_json::Value;
use singer_core::Result;

/// The config of a connector: a serde struct and the table of its keys.
///
/// The loader applies the defaults of the table, resolves numeric strings, refuses unknown keys with
/// the nearest known one, and only then lets serde build the struct; so the struct has no defaults
/// of its own (an optional setting without a default is an `Option`).
pub trait Settings: serde::de::DeserializeOwned + Send + Sync + 'static {
    /// The keys, in the order in which people should read them.
    fn settings() -> Vec<Setting>;

    /// Checks that one key cannot make alone. Errors are of kind `Config` and name the key.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// One key of a config.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What it takes.
    pub shape: Shape,
    /// The default, if there is one.
    pub default: Option<Value>,
    /// Whether the config must have it.
    pub required: bool,
    /// One or two sentences for people; Markdown code marks are fine.
    pub about: &'static str,
    /// Whether the command line has a flag of the same name (hyphens and underscores both work).
    pub flag: Flag,
}

/// Whether a setting can be given on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Only in the config.
    None,
    /// Also as `--name VALUE`, which wins over the config.
    Value,
    /// Only as the switch `--name`; not a key of the config.
    Switch,
}

/// What a setting takes.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A secret: text or one of the three forms.
    Secret,
    /// An integer, or a string of one.
    Integer,
    /// A number, or a string of one.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An RFC 3339 date-time.
    DateTime,
    /// A list of these.
    List(Box<Shape>),
    /// Either of these (first match counts).
    Either(Vec<Shape>),
    /// An object with exactly these keys.
    Object(Vec<Setting>),
    /// A map from free names to this.
    Map(Box<Shape>),
    /// Any JSON.
    Any,
}
