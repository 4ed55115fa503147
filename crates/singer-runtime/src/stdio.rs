//! Stdin, stdout and stderr: the only place in the workspace that touches them.
//!
//! A tap's data goes through a pipe: blocks of whole lines to a thread of its own, so that reading
//! the source and writing the pipe overlap. A target reads with [`input`] and prints states with
//! [`StateOut`]. Logs go to stderr line by line, above the live progress lines if there are any.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use singer_core::{Error, Result};

#[cfg(test)]
pub(crate) use pipe::PipeEnd;
pub(crate) use pipe::{BLOCK_SIZE, Pipe};

mod pipe;

/// Where a target's messages come from: a file, or stdin. Unbuffered: read it in large pieces.
pub fn input(path: Option<&Path>) -> Result<Box<dyn Read + Send>> {
    let Some(path) = path else {
        return Ok(stdin());
    };
    let open = || {
        let file = File::open(path)?;
        // Opening a folder succeeds, and reading it does not.
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(file)
    };
    let file = open().map_err(|error: io::Error| {
        Error::config(format!("cannot read the input `{}`", path.display())).with_source(error)
    })?;
    Ok(Box::new(file))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module is the reader of stdin"
)]
fn stdin() -> Box<dyn Read + Send> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        tracing::warn!("reading messages from the terminal: pipe a tap into this program");
    }
    // Large reads pass by the small buffer inside.
    Box::new(stdin)
}

/// Stdin and stdout without any buffer, for what passes bytes on as they come. Whoever uses it is the only
/// one who does.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the reader of stdin and the writer of stdout"
)]
pub fn passage() -> Result<(File, File)> {
    let own = |descriptor: io::Result<OwnedFd>| {
        let failed = |error| Error::internal("cannot use stdin and stdout").with_source(error);
        Ok(File::from(descriptor.map_err(failed)?))
    };
    Ok((
        own(io::stdin().as_fd().try_clone_to_owned())?,
        own(io::stdout().as_fd().try_clone_to_owned())?,
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module is the writer of stdout"
)]
pub(crate) fn stdout() -> io::Stdout {
    io::stdout()
}

/// Writes a whole document (a catalog, a help text) to stdout.
pub fn print(text: &[u8]) -> Result<()> {
    let mut stdout = stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(write_error)
}

/// Prints states: one line each, out at once.
#[derive(Debug)]
pub struct StateOut<W = io::Stdout> {
    sink: W,
    line: Vec<u8>,
}

impl StateOut {
    /// Prints to stdout.
    pub fn stdout() -> Self {
        Self::new(stdout())
    }
}

impl<W: Write> StateOut<W> {
    /// Prints to a sink of the caller's.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            line: Vec::new(),
        }
    }

    /// Prints one state, which is JSON text without a line end, and flushes.
    pub fn print(&mut self, state: &[u8]) -> Result<()> {
        self.line.clear();
        self.line.extend_from_slice(state);
        self.line.push(b'\n');
        self.sink
            .write_all(&self.line)
            .and_then(|()| self.sink.flush())
            .map_err(write_error)
    }
}

/// What an error says when whoever read our stdout has ended.
const READER_GONE: &str = "the reader of stdout has gone";
/// What an error says when stdout cannot be written for another reason.
const CANNOT_WRITE: &str = "cannot write to stdout";

/// The error of a failed write to stdout.
pub(crate) fn write_error(error: io::Error) -> Error {
    let message = if error.kind() == ErrorKind::BrokenPipe {
        READER_GONE
    } else {
        CANNOT_WRITE
    };
    Error::internal(message).with_source(error)
}

/// Whether an error says that stdout cannot be written.
pub(crate) fn is_write_error(error: &Error) -> bool {
    [READER_GONE, CANNOT_WRITE].contains(&error.message())
}

/// Whether an error says that the reader of stdout has gone: a symptom, not a fault of this process.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    crate::exit::outermost(error).is_some_and(|error| error.message() == READER_GONE)
}

/// Prints a line above the live progress lines.
pub type PrintAbove = Box<dyn Fn(&str) + Send>;

/// What keeps live lines at the foot of the terminal, while it does.
static LIVE_LINES: Mutex<Option<PrintAbove>> = Mutex::new(None);

/// Sends the lines of stderr through `print_above` until it is `None` again.
pub fn set_live_lines(print_above: Option<PrintAbove>) {
    *LIVE_LINES.lock().unwrap_or_else(PoisonError::into_inner) = print_above;
}

/// Writes one line (without its end) to stderr. A closed stderr is nobody's fault and no reason to
/// stop moving data.
pub(crate) fn log_line(line: &str) {
    let live = LIVE_LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(print_above) = &*live {
        print_above(line);
        return;
    }
    let mut bytes = Vec::with_capacity(line.len() + 1);
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    let _closed = io::stderr().lock().write_all(&bytes);
}

/// Whether a person looks at stdout.
pub(crate) fn stdout_is_terminal() -> bool {
    stdout().is_terminal()
}

/// Whether a person looks at stderr.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
