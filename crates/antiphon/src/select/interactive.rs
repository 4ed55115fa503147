//! `select --interactive`: lists with search and check boxes. It asks, and changes only what the
//! answers say; the catalog's file is left to the caller.

use std::fmt;

use inquire::error::InquireError;
use inquire::{Confirm, MultiSelect, Select};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use singer_core::catalog::{Catalog, Entry, Inclusion};
use singer_core::{Error, Result};
use singer_runtime::stdio;

use super::edit::{Editor, Method, forced_method, method_of, possible_keys};
use super::{changes, summary};

/// Lines of a list that are seen at once.
const PAGE: usize = 15;
const HELP: &str = "type to search, space to tick, → all, ← none, enter to go on, esc to leave";

/// What the person wants in the end.
pub(super) enum Answer {
    Write,
    /// No, but in good order.
    Decline,
    /// Esc or Ctrl-C.
    Leave,
}

/// The mode of the terminal before any question: a question that a signal cuts short leaves its own.
pub(super) struct Terminal(Option<Termios>);

impl Terminal {
    /// The mode now; nothing if there is no terminal.
    pub(super) fn as_it_is() -> Self {
        Self(tcgetattr(std::io::stderr()).ok())
    }

    /// Puts the mode back.
    pub(super) fn restore(self) {
        if let Some(mode) = self.0 {
            // A terminal that has gone needs no mode.
            let _gone = tcsetattr(std::io::stderr(), SetArg::TCSANOW, &mode);
        }
    }
}

/// A line of a list.
struct Choice<T> {
    value: T,
    text: String,
}

impl<T> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a stream can be replicated.
enum Replication {
    AsItIs,
    Full,
    By(String),
}

/// Asks for the streams, then for what is to be known of each, then whether to write.
///
/// # Errors
/// Of kind `Config` without a terminal.
pub(super) fn edit(catalog: &Catalog, editor: &mut Editor) -> Result<Answer> {
    if !stdio::stderr_is_terminal() {
        return Err(no_terminal());
    }
    match ask(catalog, editor) {
        Ok(answer) => Ok(answer),
        Err(Refusal::Left) => Ok(Answer::Leave),
        Err(Refusal::Failed(error)) => Err(error),
    }
}

fn no_terminal() -> Error {
    Error::config("`--interactive` needs a terminal")
        .with_hint("name streams and columns on the command line; `--list` shows them")
}

/// Why there is no answer.
enum Refusal {
    Left,
    Failed(Error),
}

impl From<InquireError> for Refusal {
    fn from(error: InquireError) -> Self {
        match error {
            InquireError::OperationCanceled | InquireError::OperationInterrupted => Self::Left,
            InquireError::NotTTY => Self::Failed(no_terminal()),
            error => {
                Self::Failed(Error::internal("the terminal cannot be used").with_source(error))
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn ask(catalog: &Catalog, editor: &mut Editor) -> Result<Answer, Refusal> {
    let labels = summary::labels(catalog);
    let was_selected: Vec<bool> = catalog.streams.iter().map(Entry::is_selected).collect();
    let all: Vec<usize> = (0..labels.len()).collect();
    let selected = tick("Streams to read", &all, &was_selected, |stream| {
        format!("{}{}", labels[stream], details(&catalog.streams[stream]))
    })?;
    for stream in all {
        // What was selected by default stays as it is.
        match (was_selected[stream], selected.contains(&stream)) {
            (false, true) => editor.select(stream),
            (true, false) => editor.deselect(stream),
            _ => {}
        }
    }
    let closer = if selected.len() > 1 {
        let is_new: Vec<bool> = selected
            .iter()
            .map(|stream| !was_selected[*stream])
            .collect();
        tick(
            "Of these, set replication and columns of",
            &selected,
            &is_new,
            |stream| labels[stream].clone(),
        )?
    } else {
        selected
    };
    for stream in closer {
        ask_replication(editor, stream, &labels[stream])?;
        ask_columns(editor, stream, &labels[stream])?;
    }
    let lines = changes(catalog, editor);
    if lines.is_empty() {
        return Ok(Answer::Write);
    }
    stdio::print(format!("\n{}\n\n", lines.join("\n")).as_bytes())?;
    match Confirm::new("Write these changes?")
        .with_default(true)
        .prompt()?
    {
        true => Ok(Answer::Write),
        false => Ok(Answer::Decline),
    }
}

/// ` (INCREMENTAL, 1200 rows)`
fn details(entry: &Entry) -> String {
    let method = method_of(entry).map(str::to_owned);
    let rows = entry.stream_metadata("row-count");
    let rows = rows
        .filter(|rows| !rows.is_null())
        .map(|rows| format!("{rows} rows"));
    let parts: Vec<String> = method.into_iter().chain(rows).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("  ({})", parts.join(", "))
    }
}

/// A list with check boxes; gives back the values that are ticked in the end.
fn tick(
    message: &str,
    values: &[usize],
    ticked: &[bool],
    text: impl Fn(usize) -> String,
) -> Result<Vec<usize>, InquireError> {
    let choices: Vec<Choice<usize>> = values
        .iter()
        .map(|value| Choice {
            value: *value,
            text: text(*value),
        })
        .collect();
    let ticked: Vec<usize> = (0..values.len()).filter(|index| ticked[*index]).collect();
    let of = choices.len();
    let answer = MultiSelect::new(message, choices)
        .with_default(&ticked)
        .with_page_size(PAGE)
        .with_help_message(HELP)
        .with_formatter(&|chosen| format!("{} of {of}", chosen.len()))
        .prompt()?;
    Ok(answer.into_iter().map(|choice| choice.value).collect())
}

fn ask_replication(editor: &mut Editor, stream: usize, label: &str) -> Result<(), Refusal> {
    let entry = &editor.entries()[stream];
    if forced_method(entry).is_some() {
        return Ok(());
    }
    let now = method_of(entry).map(|method| match entry.replication_key() {
        Some(key) if method.eq_ignore_ascii_case("INCREMENTAL") => format!("{method} by {key}"),
        _ => method.to_owned(),
    });
    let mut choices: Vec<Choice<Replication>> = vec![Choice {
        value: Replication::AsItIs,
        text: match now {
            Some(now) => format!("as it is: {now}"),
            None => "as it is: the tap decides".to_owned(),
        },
    }];
    choices.extend(possible_keys(entry).into_iter().map(|key| Choice {
        text: format!("INCREMENTAL by {key}"),
        value: Replication::By(key),
    }));
    choices.push(Choice {
        value: Replication::Full,
        text: "FULL_TABLE".to_owned(),
    });
    let message = format!("Replication of {label}");
    let answer = Select::new(&message, choices)
        .with_page_size(PAGE)
        .with_help_message("type to search, enter to choose, esc to leave")
        .prompt()?;
    match answer.value {
        Replication::AsItIs => {}
        Replication::Full => editor.replicate(stream, Method::FullTable, None)?,
        Replication::By(key) => editor.replicate(stream, Method::Incremental, Some(&key))?,
    }
    Ok(())
}

fn ask_columns(editor: &mut Editor, stream: usize, label: &str) -> Result<(), Refusal> {
    let entry = &editor.entries()[stream];
    let keys = entry.key_properties();
    let is_free = |name: &str| {
        entry.inclusion(name) == Inclusion::Available
            && !keys.iter().any(|key| key == name)
            && entry.replication_key() != Some(name)
    };
    let columns: Vec<String> = entry
        .properties()
        .map(|(name, _)| name.clone())
        .filter(|name| is_free(name))
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let out: Vec<bool> = columns
        .iter()
        .map(|name| !entry.is_field_selected(name))
        .collect();
    let all: Vec<usize> = (0..columns.len()).collect();
    let message = format!("Columns of {label} to leave out");
    let chosen = tick(&message, &all, &out, |column| columns[column].clone())?;
    for column in all {
        match (out[column], chosen.contains(&column)) {
            (false, true) => editor.exclude(stream, &columns[column]),
            (true, false) => editor.include(stream, &columns[column]),
            _ => {}
        }
    }
    Ok(())
}
