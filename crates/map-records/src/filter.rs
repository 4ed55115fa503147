//! A filter in jq: compiled once, run over one record after the other, within bounds of time and stack.
//!
//! What goes wrong is told in words that hold no value of the record.

use std::time::Instant;

use jaq_core::{Ctx, Vars};
use jaq_json::Val;
use singer_core::{Error, Result};

pub(crate) use compile::Wrong;
pub(crate) use engine::Watch;
use engine::{End, Engine, Running};

mod compile;
mod engine;
mod touch;
pub(crate) mod value;
mod words;

/// The longest part of a filter that an error shows.
const LONGEST_EXCERPT: usize = 80;

/// A compiled filter.
pub(crate) struct Filter {
    code: String,
    program: jaq_core::Filter<Engine>,
    touched: Option<Touched>,
}

/// The fields that a filter touches, if its text shows which.
pub(crate) struct Touched {
    /// Their names, as text and as the engine's values.
    pub(crate) names: Vec<(String, Val)>,
    /// Whether the filter yields the record with these fields changed, or something else made of them.
    pub(crate) keeps_the_rest: bool,
}

impl Filter {
    /// Compiles a filter; `name` says in errors where it stands.
    ///
    /// # Errors
    /// Of kind `Config`, with the place and the line of it.
    pub(crate) fn new(code: &str, name: &str) -> Result<Self> {
        match compile::compile(code) {
            Ok((program, touch)) => Ok(Self {
                code: code.to_owned(),
                program,
                touched: touch.map(|touch| Touched {
                    names: touch
                        .names
                        .into_iter()
                        .map(|name| (name.clone(), Val::from(name)))
                        .collect(),
                    keeps_the_rest: touch.keeps_the_rest,
                }),
            }),
            Err(wrong) => Err(report(code, name, &wrong)),
        }
    }

    /// Runs over one record and hands every value that comes out to `take`, until that fails.
    ///
    /// # Errors
    /// What the filter failed with, or what `take` said.
    pub(crate) fn run<E: From<String>>(
        &self,
        watch: &Watch,
        started: Instant,
        record: Val,
        mut take: impl FnMut(Val) -> Result<(), E>,
    ) -> Result<(), E> {
        watch.begin(started);
        let running = Running {
            lut: &self.program.lut,
            watch,
        };
        let context = Ctx::<Engine>::new(running, Vars::new([]));
        for result in self.program.id.run((context, record)) {
            match result {
                Ok(value) => take(value)?,
                Err(exception) => {
                    let what = match exception.get_err() {
                        Ok(error) => self.failed(&words::of(error, &self.code)),
                        Err(exception) => {
                            let code = exception.get_halt().unwrap_or_default();
                            self.ended(End::of(code), watch)
                        }
                    };
                    return Err(what.into());
                }
            }
            if watch.is_late() {
                return Err(self.ended(Some(End::Late), watch).into());
            }
        }
        Ok(())
    }

    /// The fields that it touches; `None` if it may touch any.
    pub(crate) fn touched(&self) -> Option<&Touched> {
        self.touched.as_ref()
    }

    /// What is to be said of the filter.
    pub(crate) fn said(&self, what: &str) -> String {
        format!("the filter `{}` {what}", self.excerpt())
    }

    fn failed(&self, what: &str) -> String {
        self.said(&format!("failed: {what}"))
    }

    fn ended(&self, end: Option<End>, watch: &Watch) -> String {
        self.said(&match end {
            Some(End::Late) => format!("did not end within {} s", watch.limit().as_secs_f64()),
            Some(End::Deep) => "calls itself too often".to_owned(),
            None => "ended itself".to_owned(),
        })
    }

    /// The filter as one short line.
    fn excerpt(&self) -> String {
        let line: Vec<&str> = self.code.split_whitespace().collect();
        let line = line.join(" ");
        if line.chars().count() <= LONGEST_EXCERPT {
            return line;
        }
        line.chars().take(LONGEST_EXCERPT).chain(['…']).collect()
    }
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filter").field(&self.code).finish()
    }
}

/// The error of a filter that does not compile: what, where, and the line with a mark below it.
fn report(code: &str, name: &str, wrong: &Wrong) -> Error {
    let before = code.get(..wrong.at).unwrap_or(code);
    let line_number = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    let line = code.get(line_start..).unwrap_or_default();
    let line = line.lines().next().unwrap_or_default();
    let mut error = Error::config(format!(
        "{name} does not compile: {} at line {line_number}, column {column}",
        wrong.what
    ));
    if !line.trim().is_empty() {
        // The mark stands below its place, behind as many characters as the word before the line has.
        let shown = line.replace('\t', " ");
        let indent = " ".repeat("  hint: ".len() + column - 1);
        error = error.with_hint(format!("{shown}\n{indent}^"));
    }
    match &wrong.near {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

#[cfg(test)]
mod tests;
