//! `antiphon check`: judges Singer messages on stdin.
//!
//! It passes nothing on. What our own targets tolerate but others refuse is a warning; what a target
//! would fail on, reject, or lose is an error. Findings name lines, streams and properties, never
//! values.

use std::path::PathBuf;

use singer_core::{Error, Result};
use singer_runtime::context::Context;
use singer_runtime::target::read::{Blocks, Lines, MAX_LINE_BYTES};
use singer_runtime::{exit, stdio};

use crate::cli::Format;
use findings::{Level, Strictness};
use judge::Judge;
use report::Size;

mod audit;
mod bookmarks;
mod findings;
mod format;
mod judge;
mod report;
mod schema;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Messages of a tap [default: stdin]
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,

    /// Most findings that are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// The form of the report on stdout
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    format: Format,

    /// Take warnings for errors, and tell of numbers that many JSON readers would lose
    #[arg(long)]
    strict: bool,
}

const HELP: &str = "Examples:
  tap-redshift -c config.json --catalog catalog.json | antiphon check
  antiphon check messages.jsonl --strict --format json

Exit codes: 0 no errors (there may be warnings), 1 errors, 2 wrong usage.";

pub(crate) async fn run(context: Context, arguments: Arguments) -> anyhow::Result<u8> {
    let strictness = if arguments.strict {
        Strictness::Strict
    } else {
        Strictness::Usual
    };
    let path = arguments.input.as_deref();
    let input = stdio::input(path.filter(|path| path.as_os_str() != "-"))?;
    let mut reading = Reading::new(Judge::new(strictness));
    let ended = reading.read(Blocks::start(input)?, &context).await;
    let Reading { mut judge, .. } = reading;
    judge.end();
    let elapsed = context.now() - context.started_at();
    let size = Size {
        lines: reading.lines_read,
        bytes: reading.bytes,
        elapsed: elapsed.to_std().unwrap_or_default(),
    };
    let text = match arguments.format {
        Format::Text => report::text(&judge, size, arguments.limit),
        Format::Json => format!("{}\n", report::json(&judge, size, arguments.limit)),
    };
    stdio::print(text.as_bytes())?;
    ended?;
    Ok(if judge.findings.total(Level::Error) == 0 {
        exit::DONE
    } else {
        exit::FAILED
    })
}

/// The way through an input.
struct Reading {
    judge: Judge,
    /// The number of the last line that was not blank.
    lines_read: u64,
    bytes: u64,
    /// The first bytes, until it is known whether they are a byte order mark.
    start: Vec<u8>,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Reading {
    fn new(judge: Judge) -> Self {
        Self {
            judge,
            lines_read: 0,
            bytes: 0,
            start: Vec::new(),
        }
    }

    /// Judges everything that comes. What was judged counts, whatever ends the reading.
    async fn read(&mut self, mut blocks: Blocks, context: &Context) -> Result<()> {
        let mut lines = Lines::new(MAX_LINE_BYTES);
        loop {
            let block = tokio::select! {
                block = blocks.next() => block,
                () = context.stop().wait() => return Err(Error::interrupted()),
            };
            let Some(block) = block else { break };
            let block = block
                .map_err(|error| Error::internal("cannot read the input").with_source(error))?;
            self.bytes += block.len() as u64;
            self.look_for_mark(&block);
            let mut at = 0;
            loop {
                match lines.next(&block, &mut at) {
                    Ok(Some((number, line))) => self.take(line, number),
                    Ok(None) => break,
                    Err(error) => {
                        // Where the line ends is not looked for.
                        let message = format!("{}; nothing behind it was read", error.message());
                        self.judge.note(Level::Error, 0, &message);
                        return Ok(());
                    }
                }
            }
            blocks.give_back(block);
        }
        if let Some((number, line)) = lines.last() {
            self.take(line, number);
        }
        self.note_blank_before(lines.count() + 1);
        Ok(())
    }

    fn take(&mut self, line: &[u8], number: u64) {
        self.note_blank_before(number);
        self.lines_read = number;
        self.judge.line(line, number);
    }

    fn note_blank_before(&mut self, number: u64) {
        for blank in self.lines_read + 1..number {
            let message = "a blank line, which most targets refuse";
            self.judge.note(Level::Warning, blank, message);
        }
    }

    fn look_for_mark(&mut self, block: &[u8]) {
        if self.start.len() >= MARK.len() {
            return;
        }
        let missing = MARK.len() - self.start.len();
        self.start.extend(block.iter().take(missing));
        if self.start == MARK {
            let message = "a byte order mark, which most targets refuse";
            self.judge.note(Level::Warning, 1, message);
        }
    }
}
