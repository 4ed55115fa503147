//! `antiphon select`: edits a catalog and prints what changed.
//!
//! The file is read as text and only the values that change are set in it ([`document`]); it is
//! written beside, synced, and renamed, and not touched at all if nothing changes or anything is wrong.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use singer_core::catalog::Catalog;
use singer_core::nearest::nearest;
use singer_core::pattern::is_match;
use singer_core::{Error, Result};
use singer_runtime::context::Context;
use singer_runtime::{exit, stdio};

use crate::cli::Format;
use document::Document;
use edit::{Editor, Method};

mod document;
mod edit;
mod interactive;
mod summary;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The catalog, as `--discover` prints it; `-` reads stdin and wants `--print` or `--output`
    #[arg(value_name = "CATALOG")]
    catalog: PathBuf,

    /// Streams to select, by id, name, table or `schema.table`; `*` and `?` match
    #[arg(value_name = "GLOB")]
    globs: Vec<String>,

    /// Read them incrementally by this column
    #[arg(long, value_name = "COLUMN")]
    replication_key: Option<String>,

    /// How they are replicated
    #[arg(long, value_enum, value_name = "METHOD")]
    method: Option<Method>,

    /// Leave columns out: `STREAM.COLUMN` with `*` and `?`, or a column's name alone
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Take columns in again that were left out
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Deselect every other stream
    #[arg(long, requires = "globs")]
    only: bool,

    /// Deselect streams
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    deselect: Vec<String>,

    /// The key of a view, or of a table that has none
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    keys: Vec<String>,

    /// Write the catalog here and leave the old one alone
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    output: Option<PathBuf>,

    /// Print the catalog on stdout and leave the file alone
    #[arg(long)]
    print: bool,

    /// Show the streams and change nothing
    #[arg(long, conflicts_with_all = ["globs", "interactive"])]
    list: bool,

    /// The form of `--list`
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "text",
        requires = "list"
    )]
    format: Format,

    /// Choose from lists with search
    #[arg(long, conflicts_with_all = ["globs", "exclude", "include", "deselect", "keys", "method", "replication_key"])]
    interactive: bool,
}

const EXAMPLES: &str = "Examples:
  antiphon select catalog.json --list
  antiphon select catalog.json 'public.account' --replication-key updated_at --exclude '*.secret'
  antiphon select catalog.json 'public.*' --only --deselect 'public.tmp_*'
  antiphon select catalog.json --interactive";

/// A catalog as it was read.
struct Source {
    /// The file; none for stdin.
    path: Option<PathBuf>,
    text: String,
    catalog: Catalog,
    document: Document,
}

pub(crate) async fn run(context: Context, arguments: Arguments) -> anyhow::Result<u8> {
    // A person may think for long; a signal ends that.
    let terminal = interactive::Terminal::as_it_is();
    let edit = tokio::task::spawn_blocking(move || edit_catalog(&arguments));
    tokio::select! {
        ended = edit => Ok(ended
            .map_err(|error| Error::internal("the edit ended by a defect").with_source(error))??),
        () = context.stop().wait() => {
            terminal.restore();
            Err(Error::interrupted().into())
        }
    }
}

fn edit_catalog(arguments: &Arguments) -> Result<u8> {
    let source = Source::read(&arguments.catalog)?;
    if arguments.list {
        list(&source.catalog, arguments.format)?;
        return Ok(exit::DONE);
    }
    if source.path.is_none() && !arguments.print && arguments.output.is_none() {
        return Err(
            Error::config("a catalog from stdin cannot be edited in its place")
                .with_hint("add `--print` or `--output FILE`"),
        );
    }
    let mut editor = Editor::new(&source.catalog);
    if arguments.interactive {
        match interactive::edit(&source.catalog, &mut editor)? {
            interactive::Answer::Write => {}
            interactive::Answer::Decline => {
                tracing::info!("nothing was changed");
                return Ok(exit::DONE);
            }
            interactive::Answer::Leave => {
                tracing::warn!("left; nothing was changed");
                return Ok(exit::INTERRUPTED);
            }
        }
    } else {
        make_changes(arguments, &source.catalog, &mut editor)?;
    }
    finish(arguments, &source, &editor)?;
    Ok(exit::DONE)
}

impl Source {
    fn read(path: &Path) -> Result<Self> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin {
            "stdin".to_owned()
        } else {
            format!("`{}`", path.display())
        };
        let mut bytes = Vec::new();
        stdio::input((!is_stdin).then_some(path))?
            .read_to_end(&mut bytes)
            .map_err(|error| Error::config(format!("cannot read {name}")).with_source(error))?;
        if bytes.trim_ascii().is_empty() {
            return Err(Error::config(format!("the catalog {name} is empty"))
                .with_hint("write one with the tap's `--discover`"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Error::config(format!("the catalog {name} is not UTF-8"))
                .with_source(error.utf8_error())
        })?;
        let catalog = Catalog::parse(text.as_bytes())
            .map_err(|error| Error::config(format!("cannot edit {name}")).with_source(error))?;
        if catalog.streams.is_empty() {
            return Err(Error::config(format!("the catalog {name} has no streams"))
                .with_hint("what the tap's `--discover` says on stderr may tell why"));
        }
        Ok(Self {
            path: (!is_stdin).then(|| path.to_owned()),
            document: Document::parse(&text)?,
            catalog,
            text,
        })
    }
}

fn list(catalog: &Catalog, format: Format) -> Result<()> {
    let text = match format {
        Format::Text => format!(
            "{}{}\n",
            summary::table(catalog),
            summary::total(&catalog.streams)
        ),
        Format::Json => format!("{}\n", summary::json(catalog)),
    };
    stdio::print(text.as_bytes())
}

/// Makes the changes that the command line asks for.
fn make_changes(arguments: &Arguments, catalog: &Catalog, editor: &mut Editor) -> Result<()> {
    let chosen = matching(catalog, &arguments.globs)?;
    let deselected = matching(catalog, &arguments.deselect)?;
    let asks_for_streams = arguments.method.is_some()
        || arguments.replication_key.is_some()
        || !arguments.keys.is_empty();
    let asks_for_columns = !arguments.exclude.is_empty() || !arguments.include.is_empty();
    if chosen.is_empty() && asks_for_streams {
        return Err(
            Error::config("no stream is named for the method or the key")
                .with_hint("name the streams behind the catalog, for example `'public.*'`"),
        );
    }
    if chosen.is_empty() && deselected.is_empty() && !asks_for_columns {
        return Err(Error::config("nothing is asked for")
            .with_hint("name streams, or see `--list` and `--interactive`"));
    }
    if arguments.method == Some(Method::FullTable) && arguments.replication_key.is_some() {
        return Err(Error::config("a full table has no replication key")
            .with_hint("leave out `--method full` or `--replication-key`"));
    }
    for stream in chosen.iter().filter(|stream| !deselected.contains(stream)) {
        editor.select(*stream);
    }
    for stream in deselected.iter().copied() {
        editor.deselect(stream);
    }
    if arguments.only {
        let others = (0..catalog.streams.len()).filter(|stream| !chosen.contains(stream));
        others.for_each(|stream| editor.deselect(stream));
    }
    let mut faults = Vec::new();
    let kept = chosen.iter().filter(|stream| !deselected.contains(stream));
    for stream in kept.copied() {
        faults.extend(change_stream(arguments, editor, stream).err());
    }
    combined(faults)?;
    // Columns come last: which of them stay depends on the keys.
    let streams: Vec<usize> = if chosen.is_empty() {
        let is_selected = |stream: &usize| editor.entries()[*stream].is_selected();
        (0..catalog.streams.len()).filter(is_selected).collect()
    } else {
        chosen
    };
    let named = |patterns| matching_columns(catalog, &streams, patterns);
    for (stream, column) in named(&arguments.include)? {
        editor.include(stream, &column);
    }
    for (stream, column) in named(&arguments.exclude)? {
        editor.exclude(stream, &column);
    }
    Ok(())
}

fn change_stream(arguments: &Arguments, editor: &mut Editor, stream: usize) -> Result<()> {
    if !arguments.keys.is_empty() {
        editor.set_keys(stream, &arguments.keys)?;
    }
    let key = arguments.replication_key.as_deref();
    let method = arguments.method.or(key.map(|_| Method::Incremental));
    match method {
        Some(method) => editor.replicate(stream, method, key),
        None => Ok(()),
    }
}

/// The first of many errors, with what else there is as hints.
fn combined(faults: Vec<Error>) -> Result<()> {
    const SHOWN: usize = 5;
    let more = faults.len().saturating_sub(SHOWN + 1);
    let mut faults = faults.into_iter();
    let Some(mut first) = faults.next() else {
        return Ok(());
    };
    for fault in faults.take(SHOWN) {
        first = first.with_hint(format!("also: {}", fault.message()));
    }
    if more > 0 {
        first = first.with_hint(format!("and {more} more streams"));
    }
    Err(first)
}

/// The streams that match any of the globs, in the catalog's order.
///
/// # Errors
/// Of kind `Config` for a glob that matches nothing.
fn matching(catalog: &Catalog, globs: &[String]) -> Result<Vec<usize>> {
    let names: Vec<Vec<String>> = catalog.streams.iter().map(|entry| entry.names()).collect();
    let fits = |glob: &String, stream: &usize| {
        let names = &names[*stream];
        names.iter().any(|name| is_match(glob, name))
    };
    let all = 0..names.len();
    for glob in globs {
        if !all.clone().any(|stream| fits(glob, &stream)) {
            let error = Error::config(format!("no stream matches `{glob}`"));
            let error = match nearest(glob, names.iter().flatten().map(String::as_str)) {
                Some(near) => error.with_hint(format!("the nearest name is `{near}`")),
                None => error,
            };
            let there = summary::all_names(catalog);
            return Err(error.with_hint(format!("the catalog has {there}")));
        }
    }
    Ok(all
        .filter(|stream| globs.iter().any(|glob| fits(glob, stream)))
        .collect())
}

/// The columns of these streams that match any of the patterns.
///
/// # Errors
/// Of kind `Config` for a pattern that matches nothing.
fn matching_columns(
    catalog: &Catalog,
    streams: &[usize],
    patterns: &[String],
) -> Result<Vec<(usize, String)>> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let mut is_known = false;
        for stream in streams.iter().copied() {
            let entry = &catalog.streams[stream];
            let names = entry.names();
            for (column, _) in entry.properties() {
                let in_stream = |name: &String| is_match(pattern, &format!("{name}.{column}"));
                let alone = !pattern.contains('.') && is_match(pattern, column);
                if alone || names.iter().any(in_stream) {
                    is_known = true;
                    if !found[..before].contains(&(stream, column.clone())) {
                        found.push((stream, column.clone()));
                    }
                }
            }
        }
        if !is_known {
            return Err(unknown_column(catalog, streams, pattern));
        }
    }
    Ok(found)
}

fn unknown_column(catalog: &Catalog, streams: &[usize], pattern: &str) -> Error {
    let entries = streams.iter().map(|stream| &catalog.streams[*stream]);
    let columns: Vec<String> = entries
        .flat_map(|entry| entry.properties().map(|(name, _)| name.clone()))
        .collect();
    let wanted = pattern.rsplit('.').next().unwrap_or(pattern);
    let error = Error::config(format!("no column matches `{pattern}`"));
    match nearest(wanted, columns.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("the nearest name is `{near}`")),
        None if columns.len() <= 20 => {
            error.with_hint(format!("there are {}", edit::quoted_some(&columns)))
        }
        None => error.with_hint("a pattern is `STREAM.COLUMN`, for example `*.secret`"),
    }
}

/// Writes the catalog if it changed, and tells what changed.
fn finish(arguments: &Arguments, source: &Source, editor: &Editor) -> Result<()> {
    let mut document = source.document.clone();
    editor.apply(&mut document);
    let text = document.text();
    check_text(&text, editor)?;
    if let Some(output) = &arguments.output {
        write_file(output, &text)?;
    } else if arguments.print {
        stdio::print(text.as_bytes())?;
    } else if let (Some(path), true) = (&source.path, text != source.text) {
        check_unchanged(path, &source.text)?;
        write_file(path, &text)?;
    }
    tell(arguments, source, editor)
}

/// What changed, in words; on stderr if the catalog itself stands on stdout.
fn tell(arguments: &Arguments, source: &Source, editor: &Editor) -> Result<()> {
    for note in &editor.notes {
        tracing::warn!("{note}");
    }
    let mut lines = changes(&source.catalog, editor);
    if lines.is_empty() {
        lines.push("nothing to change: the catalog says so already".to_owned());
    } else if arguments.interactive {
        // The person has just said yes to them.
        lines.clear();
    }
    lines.push(summary::total(editor.entries()));
    if arguments.print {
        lines.iter().for_each(|line| tracing::info!("{line}"));
        return Ok(());
    }
    stdio::print(format!("{}\n", lines.join("\n")).as_bytes())
}

/// A line for each stream that changed.
fn changes(catalog: &Catalog, editor: &Editor) -> Vec<String> {
    let labels = summary::labels(catalog);
    let touched = editor.touched();
    let streams = catalog.streams.iter().zip(editor.entries()).enumerate();
    streams
        .filter(|(stream, _)| touched[*stream])
        .map(|(stream, (before, after))| {
            let change = summary::change(before, after);
            let change = change.unwrap_or_else(|| "what held by default is written out".to_owned());
            format!("{}: {change}", labels[stream])
        })
        .collect()
}

/// The text must say what the entries say, whatever its form: a defect here must not cost a catalog.
fn check_text(text: &str, editor: &Editor) -> Result<()> {
    match Catalog::parse(text.as_bytes()) {
        Ok(catalog) if catalog.streams == editor.entries() => Ok(()),
        _ => Err(
            Error::internal("a defect: the edit went wrong; nothing was written")
                .with_hint("the catalog has a form that was not foreseen: please report it"),
        ),
    }
}

/// Somebody else may have written the file while a person was choosing.
fn check_unchanged(path: &Path, text: &str) -> Result<()> {
    match fs::read(path) {
        Ok(now) if now == text.as_bytes() => Ok(()),
        _ => Err(Error::config(format!(
            "`{}` was changed by somebody else meanwhile; nothing was written",
            path.display()
        ))
        .with_hint("call the command again")),
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    try_write(path, text).map_err(|error| {
        Error::config(format!("cannot write the catalog `{}`", path.display())).with_source(error)
    })
}

/// Writes beside, syncs, renames. A link stays a link; the permission bits stay.
fn try_write(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        // A pipe or a device is written to as it is.
        return fs::write(&path, text);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = File::create(&beside)?;
        if let Ok(old) = fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    let written = write();
    if written.is_err() {
        // The first error is the one to tell; the file beside may not even be there.
        drop(fs::remove_file(&beside));
    }
    written
}
