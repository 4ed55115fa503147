//! The CONFIG object of a call: read strictly, with the codes that the service refuses it with.
//! Facts: sections 1.2 and 6.5.

use serde_json::{Map, Value};

use super::answer::Failure;

/// The most characters of CONFIG.
const LONGEST: usize = 100_000;

/// A CONFIG object whose keys are all known.
#[derive(Debug, Default)]
pub(crate) struct Config {
    keys: Map<String, Value>,
}

impl Config {
    /// Reads CONFIG for a call that cannot do without.
    pub(crate) fn required(text: Option<&str>, known: &[&str]) -> Result<Config, Failure> {
        let Some(text) = text else {
            return Err(Failure::new(
                8504,
                "The parameter CONFIG has to be sent at least once",
            ));
        };
        let config = Config::parse(text, known)?;
        if config.keys.is_empty() {
            return Err(Failure::new(8077, "CONFIG is empty"));
        }
        Ok(config)
    }

    /// Reads CONFIG for a call that has defaults for everything.
    pub(crate) fn optional(text: Option<&str>, known: &[&str]) -> Result<Config, Failure> {
        match text {
            Some(text) => Config::parse(text, known),
            None => Ok(Config::default()),
        }
    }

    fn parse(text: &str, known: &[&str]) -> Result<Config, Failure> {
        if text.chars().count() > LONGEST {
            let message = format!("CONFIG is longer than {LONGEST} characters");
            return Err(Failure::new(8507, message));
        }
        let Ok(Value::Object(keys)) = serde_json::from_str(text) else {
            return Err(Failure::new(8080, "CONFIG is no JSON object"));
        };
        Config::from_map(keys, known)
    }

    /// An object inside CONFIG, held to the same rules.
    pub(crate) fn from_map(keys: Map<String, Value>, known: &[&str]) -> Result<Config, Failure> {
        for key in keys.keys() {
            if !known.contains(&key.as_str()) {
                let message = format!("CONFIG has an unknown attribute `{key}`");
                return Err(Failure::new(8080, message));
            }
        }
        Ok(Config { keys })
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(key, "a text")),
        }
    }

    pub(crate) fn required_text(&self, key: &str) -> Result<&str, Failure> {
        self.text(key)?.ok_or_else(|| missing(key))
    }

    /// A truth value; the official clients send it as a text.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(wrong_type(key, "a boolean")),
        }
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Failure> {
        let value = match self.keys.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        value.map(Some).ok_or_else(|| wrong_type(key, "a number"))
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, Failure> {
        let list = match self.keys.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(wrong_type(key, "a list")),
        };
        let texts = list.iter().map(|entry| entry.as_str().map(str::to_owned));
        let texts: Option<Vec<String>> = texts.collect();
        texts
            .map(Some)
            .ok_or_else(|| wrong_type(key, "a list of texts"))
    }

    pub(crate) fn object(&self, key: &str) -> Result<Option<&Map<String, Value>>, Failure> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(wrong_type(key, "an object")),
        }
    }

    pub(crate) fn list(&self, key: &str) -> Result<Option<&Vec<Value>>, Failure> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(wrong_type(key, "a list")),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }
}

pub(crate) fn missing(key: &str) -> Failure {
    Failure::new(8079, format!("The attribute `{key}` is missing in CONFIG"))
}

pub(crate) fn bad_value(key: &str) -> Failure {
    Failure::new(
        8119,
        format!("The value of the attribute `{key}` is invalid"),
    )
}

fn wrong_type(key: &str, wanted: &str) -> Failure {
    Failure::new(8080, format!("The attribute `{key}` has to be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: Option<&str>) -> u32 {
        match Config::required(text, &["a", "b"]) {
            Ok(config) => match config.flag("a") {
                Ok(_) => 0,
                Err(failure) => failure.code,
            },
            Err(failure) => failure.code,
        }
    }

    #[test]
    fn what_is_wrong_with_config_has_a_code_each() {
        assert_eq!(code(None), 8504);
        assert_eq!(code(Some("{}")), 8077);
        assert_eq!(code(Some("[]")), 8080);
        assert_eq!(code(Some("{\"c\":1}")), 8080);
        assert_eq!(code(Some("{\"a\":1}")), 8080);
        assert_eq!(code(Some("{\"a\":\"TRUE\",\"b\":[]}")), 0);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST));
        assert_eq!(code(Some(&long)), 8507);
    }
}
