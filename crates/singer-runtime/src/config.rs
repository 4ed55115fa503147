//! Loading a config: files and environment merged, checked against the settings, defaults filled in.
//!
//! The only reader of the environment beside the secrets (what a connector asks its context for is read here). Messages name keys, files and kinds, never
//! a value: any value may be a secret in the wrong place.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use singer_core::{Error, Result, SecretSource};

use crate::secret;
use crate::setting::{Flag, PROXY, Setting, Settings, Shape};
use check::Problem;

mod check;
mod repeated;

/// Where a part of the config comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A JSON file.
    File(PathBuf),
    /// The word `ENV`: variables named after the binary and the settings.
    Environment,
}

impl Source {
    /// The argument of `--config`.
    pub(crate) fn from_argument(argument: PathBuf) -> Self {
        if argument.as_os_str() == "ENV" {
            return Self::Environment;
        }
        Self::File(argument)
    }
}

/// A checked config: every value has the shape of its setting, nulls are gone, defaults are there.
#[derive(Clone, Default)]
pub(crate) struct Document {
    values: Map<String, Value>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Document {
    /// A config that a test made.
    #[cfg(test)]
    pub(crate) fn of(values: Map<String, Value>) -> Self {
        Self { values }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The text of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Reads the proxy from where the config says that it is, if it is a secret: HTTP clients are built
    /// at once and cannot wait for it.
    ///
    /// # Errors
    /// Of kind `Config`, naming the place and never the value.
    pub(crate) async fn read_proxy(&mut self) -> Result<()> {
        let Some(form @ Value::Object(_)) = self.values.get(PROXY) else {
            return Ok(());
        };
        let source: SecretSource = serde_json::from_value(form.clone())
            .map_err(|_| Error::config(format!("`{PROXY}` in the config is no secret")))?;
        let proxy = secret::read(&source)
            .await
            .map_err(|error| error.at(format_args!("`{PROXY}` in the config")))?;
        self.values.insert(PROXY.to_owned(), proxy.expose().into());
        Ok(())
    }

    /// Builds the connector's config from the keys of its own table, and lets it check itself.
    pub(crate) fn build<S: Settings>(&self) -> Result<S> {
        let own: Map<String, Value> = S::settings()
            .iter()
            .filter(|setting| setting.flag != Flag::Switch)
            .filter_map(|setting| {
                let value = self.values.get(setting.name)?;
                Some((setting.name.to_owned(), value.clone()))
            })
            .collect();
        let config: S = serde_json::from_value(Value::Object(own.clone()))
            .map_err(|error| misfit::<S>(&own, &error))?;
        config.validate()?;
        Ok(config)
    }
}

/// What the table admits and the struct does not: mostly a number out of its range. serde names
/// neither key nor place, so the key is the one without which the complaint changes.
fn misfit<S: Settings>(own: &Map<String, Value>, error: &serde_json::Error) -> Error {
    let complaint = error.to_string();
    let culprit = own.keys().find(|key| {
        let mut rest = own.clone();
        rest.shift_remove(*key);
        match serde_json::from_value::<S>(Value::Object(rest)) {
            Ok(_) => true,
            Err(error) => error.to_string() != complaint,
        }
    });
    let wanted = complaint
        .rsplit_once(", expected ")
        .map(|(_, wanted)| format!(": {wanted} is expected"))
        .unwrap_or_default();
    match culprit {
        Some(key) => Error::config(format!(
            "`{key}` in the config has a value that cannot be used{wanted}"
        )),
        None => Error::config(format!("the config cannot be used{wanted}")),
    }
}

/// Reads and merges all sources; `flags` are settings given on the command line, by name.
///
/// Later files override earlier ones key by key, the environment overrides every file, a flag
/// overrides all. A null counts as not given. All problems of a config are reported together.
pub(crate) fn load(
    binary: &str,
    settings: &[Setting],
    sources: &[Source],
    flags: &[(String, String)],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Document> {
    let mut values = Map::new();
    let mut problems = Vec::new();
    for source in sources {
        if let Source::File(path) = source {
            let object = read_file(path)?;
            let place = format!(" in `{}`", path.display());
            values.extend(check::object(settings, object, &place, &mut problems));
        }
    }
    if sources.contains(&Source::Environment) {
        for setting in keys(settings) {
            let variable = variable(binary, setting.name);
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                let place = format!(" in the variable `{variable}`");
                add_text(&mut values, setting, &text, &place, &mut problems);
            }
        }
    }
    for (name, text) in flags {
        if let Some(setting) = settings.iter().find(|setting| setting.name == name) {
            let place = format!(" in `--{name}`");
            add_text(&mut values, setting, text, &place, &mut problems);
        }
    }
    let mut missing = Vec::new();
    check::complete(settings, &mut values, "", &mut missing);
    // A key whose value is wrong is not lacking.
    missing.retain(|key| !problems.iter().any(|problem| problem.key == *key));
    if !missing.is_empty() {
        let in_environment = keys(settings)
            .map(|setting| variable(binary, setting.name))
            .find(|variable| environment(variable).is_some())
            .filter(|_| !sources.contains(&Source::Environment));
        problems.push(missing_keys(&missing, sources, in_environment));
    }
    check::all_of(problems, "the config")?;
    Ok(Document { values })
}

/// The keys of the config: everything but switches.
fn keys(settings: &[Setting]) -> impl Iterator<Item = &Setting> {
    settings
        .iter()
        .filter(|setting| setting.flag != Flag::Switch)
}

/// The environment variable of a setting.
pub(crate) fn variable(binary: &str, setting: &str) -> String {
    format!("{binary}_{setting}")
        .to_uppercase()
        .replace('-', "_")
}

/// The environment as the loader sees it.
#[expect(
    clippy::disallowed_methods,
    reason = "the config loader reads the environment"
)]
pub(crate) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn add_text(
    values: &mut Map<String, Value>,
    setting: &Setting,
    text: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) {
    let value = from_text(&setting.shape, text);
    if let Some(value) = check::value(&setting.shape, value, setting.name, place, problems) {
        values.insert(setting.name.to_owned(), value);
    }
}

/// A value from a variable or a flag: JSON where the setting takes an object or a list, else text,
/// which the check turns into a number or a boolean where one is wanted.
fn from_text(shape: &Shape, text: &str) -> Value {
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    let takes_json = match shape {
        Shape::Text | Shape::Word(_) | Shape::DateTime => false,
        Shape::Any => true,
        _ => looks_like_json,
    };
    takes_json
        .then(|| serde_json::from_str(text).ok())
        .flatten()
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn read_file(path: &Path) -> Result<Map<String, Value>> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::config(format!("cannot read the config `{}`", path.display())).with_source(error)
    })?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let not_json = |what: String| Error::config(format!("the config `{}` {what}", path.display()));
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(
            not_json("is empty".to_owned()).with_hint("the smallest config is an empty object: {}")
        );
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => match repeated::first(text) {
            None => Ok(object),
            Some(key) => Err(not_json(format!("has the key `{key}` twice"))
                .with_hint("one of the two would be lost; several conditions go into a list")),
        },
        Ok(other) => Err(not_json(format!(
            "holds {}, not an object",
            check::kind_of(&other)
        ))),
        Err(error) => Err(not_json(format!(
            "is not JSON at line {}, column {}",
            error.line(),
            error.column()
        ))
        .with_source(error)),
    }
}

fn missing_keys(missing: &[String], sources: &[Source], variable: Option<String>) -> Problem {
    let hint = match variable {
        Some(variable) => {
            format!("`{variable}` is set in the environment: add `--config ENV` to use it")
        }
        None if sources.is_empty() => {
            "give a config with `--config FILE`, or `--config ENV` to read the environment"
                .to_owned()
        }
        None => "`--about` lists all keys".to_owned(),
    };
    Problem {
        key: String::new(),
        message: format!("the config lacks `{}`", missing.join("`, `")),
        hint: Some(hint),
    }
}

#[cfg(test)]
mod tests;
