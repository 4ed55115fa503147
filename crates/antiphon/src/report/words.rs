//! What a stage said last: its own explanation of its end, in whatever form it gives one.

use serde_json::Value;

use super::LastWords;

/// What a line weighs against what was said before: a later line of the same weight wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Weight {
    /// Any line.
    #[default]
    Plain,
    /// An error that may have been survived, or the end of a traceback.
    Error,
    /// The end of the program.
    Critical,
}

/// Listens to the lines of one stage.
#[derive(Debug, Default)]
pub(super) struct Words {
    weight: Weight,
    words: LastWords,
    /// The last line that says anything.
    last_line: String,
    traceback: Traceback,
    /// The line before was part of what `words` holds.
    is_open: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Traceback {
    #[default]
    None,
    /// Its lines are indented; the first that is not is its end.
    Begun {
        /// It belongs to the error on the line before it.
        explains: bool,
    },
}

/// Signs that the reader of a pipe has gone.
const BROKEN_PIPE: [&str; 5] = [
    "BrokenPipeError",
    "Broken pipe",
    "broken pipe",
    "EPIPE",
    "the reader of stdout has gone",
];

impl Words {
    /// Hears a line.
    pub(super) fn hear(&mut self, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        if self.is_open && self.belongs(line) {
            return;
        }
        if self.traceback != Traceback::None {
            if line.starts_with([' ', '\t']) {
                return;
            }
            self.end_traceback(line);
            self.keep(line);
            return;
        }
        if line.starts_with("Traceback (most recent call last):") {
            self.traceback = Traceback::Begun {
                explains: self.is_open,
            };
            self.is_open = false;
            return;
        }
        self.is_open = false;
        if let Some((weight, words)) = explanation(line) {
            self.say(weight, words);
            self.is_open = self.weight == weight;
        }
        self.keep(line);
    }

    /// What was said last.
    pub(super) fn last(&self) -> LastWords {
        let mut words = self.words.clone();
        if self.weight == Weight::Plain {
            words.message = without_level(&self.last_line).to_owned();
        }
        let said = [&words.message].into_iter().chain(&words.causes);
        let mut said: Vec<&str> = said.map(String::as_str).collect();
        // Python says it after everything else, whatever the error was; what is critical is no symptom.
        if self.weight < Weight::Critical {
            said.push(&self.last_line);
        }
        words.is_broken_pipe = said
            .iter()
            .any(|text| BROKEN_PIPE.iter().any(|sign| text.contains(sign)));
        words
    }

    fn keep(&mut self, line: &str) {
        self.last_line.clear();
        self.last_line.push_str(line);
    }

    fn say(&mut self, weight: Weight, words: LastWords) {
        if weight >= self.weight {
            self.weight = weight;
            self.words = words;
        }
    }

    /// A cause or a hint of the error on the lines before.
    fn belongs(&mut self, line: &str) -> bool {
        let rest = line.trim_start();
        if rest.len() == line.len() {
            return false;
        }
        if let Some(cause) = rest.strip_prefix("cause: ") {
            self.words.causes.push(cause.to_owned());
        } else if let Some(hint) = rest.strip_prefix("hint: ") {
            self.words.hints.push(hint.to_owned());
        } else {
            return false;
        }
        true
    }

    fn end_traceback(&mut self, line: &str) {
        let before = std::mem::take(&mut self.traceback);
        let explains = before == Traceback::Begun { explains: true };
        if explains && self.weight > Weight::Plain {
            if !line.contains(&self.words.message) {
                self.words.causes.push(line.to_owned());
            }
        } else {
            let words = LastWords {
                message: line.to_owned(),
                ..LastWords::default()
            };
            self.say(Weight::Error, words);
        }
    }
}

/// What a line says if it tells of an error.
fn explanation(line: &str) -> Option<(Weight, LastWords)> {
    if line.starts_with('{') {
        return of_object(line);
    }
    let (weight, message) = of_text(line)?;
    let words = LastWords {
        message: without_name(message).to_owned(),
        ..LastWords::default()
    };
    Some((weight, words))
}

/// A JSON log line: of ours, of the SDK, of the usual libraries.
fn of_object(line: &str) -> Option<(Weight, LastWords)> {
    let object: Value = serde_json::from_str(line).ok()?;
    let text = |keys: [&str; 3]| keys.iter().find_map(|key| object.get(key)?.as_str());
    let weight = weight_of(text(["level", "levelname", "severity"])?)?;
    let message = text(["message", "event", "msg"])?;
    let list = |key: &str| -> Vec<String> {
        let list = object.get(key).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(ToOwned::to_owned).collect()
    };
    let mut causes = list("causes");
    causes.extend(exception(&object, message));
    let words = LastWords {
        message: without_name(first_line(message)).to_owned(),
        causes,
        hints: list("hints"),
        is_broken_pipe: false,
    };
    Some((weight, words))
}

/// The last link of an exception: an object with a type and a message, or the text of a traceback.
fn exception(object: &Value, message: &str) -> Option<String> {
    let exception = ["exception", "exc_info", "exc_text"]
        .iter()
        .find_map(|key| object.get(key))?;
    let text = match exception {
        Value::String(text) => text
            .lines()
            .rfind(|line| !line.trim().is_empty())?
            .to_owned(),
        Value::Object(exception) => {
            let part = |key: &str| exception.get(key).and_then(Value::as_str);
            match (part("type"), part("message").or_else(|| part("value"))) {
                (Some(kind), Some(message)) => format!("{kind}: {}", first_line(message)),
                (Some(only), None) | (None, Some(only)) => first_line(only).to_owned(),
                (None, None) => return None,
            }
        }
        _ => return None,
    };
    (!text.trim().is_empty() && text != message).then_some(text)
}

/// A line of text with a level somewhere at its beginning, as Python's, Go's and our own loggers write it.
fn of_text(line: &str) -> Option<(Weight, &str)> {
    // `2022-12-05 19:46:46,744 | ERROR    | tap-x | text`
    let mut fields = line.splitn(4, " | ");
    if let (Some(_), Some(level), Some(_), Some(message)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
        && is_level(level.trim())
    {
        return Some((weight_of(level.trim())?, message));
    }
    // `time=2020-01-01 10:00:00 name=tap_x level=CRITICAL message=text`
    if let Some((_, rest)) = line.split_once(" level=")
        && let Some((level, rest)) = rest.split_once(' ')
        && let Some(message) = rest.split_once("message=").or(rest.split_once("msg="))
    {
        return Some((weight_of(level)?, message.1.trim_matches('"')));
    }
    // `2020-01-01 10:00:00,000 - root - ERROR - text`
    let mut fields = line.splitn(4, " - ");
    if let (Some(_), Some(_), Some(level), Some(message)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
        && is_level(level)
    {
        return Some((weight_of(level)?, message));
    }
    let rest = without_time(line);
    let (level, message) = split_level(rest)?;
    Some((weight_of(level)?, message))
}

/// `ERROR text`, `ERROR: text`, `ERROR:root:text`, `[ERROR] text`: the level in capitals and what follows.
fn split_level(line: &str) -> Option<(&str, &str)> {
    let bare = line.strip_prefix('[').unwrap_or(line);
    let end = bare.find(|letter: char| !letter.is_ascii_uppercase())?;
    let (level, rest) = bare.split_at(end);
    if !is_level(level) {
        return None;
    }
    let message = match rest.strip_prefix(':') {
        // Python's default: the logger's name has no space, and a colon behind it.
        Some(rest) if !rest.starts_with(' ') => match rest.split_once(':') {
            Some((name, message)) if !name.contains(' ') => message,
            _ => rest,
        },
        Some(rest) => rest,
        None => rest.strip_prefix(']').unwrap_or(rest),
    };
    Some((level, message.trim_start_matches([':', ' '])))
}

fn is_level(word: &str) -> bool {
    const LEVELS: [&str; 9] = [
        "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL",
    ];
    LEVELS.contains(&word)
}

fn weight_of(level: &str) -> Option<Weight> {
    let is = |word: &str| level.eq_ignore_ascii_case(word);
    if is("critical") || is("fatal") || is("panic") {
        Some(Weight::Critical)
    } else if is("error") {
        Some(Weight::Error)
    } else {
        None
    }
}

/// A line without the time that it begins with, bare or in brackets.
fn without_time(line: &str) -> &str {
    let mut rest = line;
    for _ in 0..2 {
        let Some((word, after)) = rest.split_once(' ') else {
            break;
        };
        let word = word.trim_start_matches('[').trim_end_matches(']');
        let is_time = word.starts_with(|letter: char| letter.is_ascii_digit())
            && word.contains([':', '-', '/'])
            && word
                .chars()
                .all(|letter| letter.is_ascii_digit() || "-:/.,+TZ".contains(letter));
        if !is_time {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

/// A line without its level, for a stage that told of no error.
fn without_level(line: &str) -> &str {
    match split_level(without_time(line)) {
        Some((_, message)) => without_name(message),
        None => line,
    }
}

/// A message without the name of the program that begins it: the stage is named beside it anyway.
fn without_name(message: &str) -> &str {
    const FAMILIES: [&str; 5] = ["tap", "target", "map", "mapper", "antiphon"];
    match message.split_once(": ") {
        Some((name, rest))
            if !rest.is_empty()
                && name
                    .split(['-', '_'])
                    .next()
                    .is_some_and(|first| FAMILIES.contains(&first))
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) =>
        {
            rest
        }
        _ => message,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
