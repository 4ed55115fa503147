//! Settings as a table: one list gives the loader, `--about`, the READMEs and the environment names.

use serde_json::Value;
use singer_core::Result;

pub use by_stream::ByStream;
pub(crate) use shared::PROXY;
pub use shared::{http, start_date, target_settings, user_agent, zoho, zoho_crm, zoho_crm_uploads};

mod by_stream;
mod shared;

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
    /// Whether a starter config has it; if nothing is said, what is required and secrets.
    pub starter: Option<bool>,
    /// What a starter config has in place of nothing, where a value that works can be guessed.
    pub example: Option<Value>,
}

impl Setting {
    /// A setting of any shape: optional, without default, without flag.
    pub fn new(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            default: None,
            required: false,
            about: "",
            flag: Flag::None,
            starter: None,
            example: None,
        }
    }

    /// A text.
    pub fn text(name: &'static str) -> Self {
        Self::new(name, Shape::Text)
    }

    /// One of these words.
    pub fn word(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(name, Shape::Word(words))
    }

    /// A secret in any of its forms.
    pub fn secret(name: &'static str) -> Self {
        Self::new(name, Shape::Secret)
    }

    /// An integer.
    pub fn integer(name: &'static str) -> Self {
        Self::new(name, Shape::Integer)
    }

    /// A number.
    pub fn number(name: &'static str) -> Self {
        Self::new(name, Shape::Number)
    }

    /// `true` or `false`.
    pub fn boolean(name: &'static str) -> Self {
        Self::new(name, Shape::Boolean)
    }

    /// An RFC 3339 date-time.
    pub fn date_time(name: &'static str) -> Self {
        Self::new(name, Shape::DateTime)
    }

    /// A list.
    pub fn list(name: &'static str, of: Shape) -> Self {
        Self::new(name, Shape::List(Box::new(of)))
    }

    /// An object with these keys.
    pub fn object(name: &'static str, keys: Vec<Self>) -> Self {
        Self::new(name, Shape::Object(keys))
    }

    /// A map from free names to objects with these keys.
    pub fn map(name: &'static str, keys: Vec<Self>) -> Self {
        Self::new(name, Shape::Map(Box::new(Shape::Object(keys))))
    }

    /// A switch of the command line, which is no key of the config: `context.switch(name)` asks for it.
    pub fn switch(name: &'static str) -> Self {
        let mut setting = Self::new(name, Shape::Boolean);
        setting.flag = Flag::Switch;
        setting
    }

    /// The same setting, which the config must have.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same setting with a default.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// The same setting with one or two sentences for people.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// The same setting, which a starter config has although it is not required.
    #[must_use]
    pub fn in_starter(mut self) -> Self {
        self.starter = Some(true);
        self
    }

    /// The same setting, which a starter config does without although it is a secret.
    #[must_use]
    pub fn not_in_starter(mut self) -> Self {
        self.starter = Some(false);
        self
    }

    /// The same setting with a value that a starter config has, which a person then changes.
    #[must_use]
    pub fn example(mut self, value: impl Into<Value>) -> Self {
        self.example = Some(value.into());
        self
    }

    /// The same setting, also as a flag `--name VALUE` of the command line.
    #[must_use]
    pub fn flag(mut self) -> Self {
        self.flag = Flag::Value;
        self
    }
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

impl Shape {
    /// A list of these.
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// A map from free names to these.
    pub fn map(of: Self) -> Self {
        Self::Map(Box::new(of))
    }

    /// What a value of this shape is called in an error.
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Word(words) => format!("one of `{}`", words.join("`, `")),
            Self::Secret => {
                "a secret: a text, {\"env\": \"NAME\"}, {\"file\": \"PATH\"} or {\"command\": \"…\"}"
                    .to_owned()
            }
            Self::Integer => "an integer".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::DateTime => "a date-time such as 2026-01-31T00:00:00Z".to_owned(),
            Self::List(of) => format!("a list, each item {}", of.noun()),
            Self::Either(shapes) => {
                let nouns: Vec<String> = shapes.iter().map(Self::noun).collect();
                nouns.join(", or ")
            }
            Self::Object(_) | Self::Map(_) => "an object".to_owned(),
            Self::Any => "any JSON".to_owned(),
        }
    }
}
