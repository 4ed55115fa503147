//! The bytes of the row that is being read, and what was read beyond it: one buffer that moves along the
//! input and grows only for a row that is longer than it.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use singer_core::{Error, Result};

/// What is asked of the input at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// A window on the input; positions count from the first byte of the row.
pub(super) struct Block<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the row begins.
    start: usize,
    /// Where the bytes end that have been read.
    filled: usize,
    /// Whether the input has ended.
    ended: bool,
    max_row_bytes: usize,
}

impl<R: Read> Block<R> {
    pub(super) fn new(reader: R, max_row_bytes: usize) -> Self {
        Self {
            reader,
            buffer: vec![0; BLOCK_BYTES],
            start: 0,
            filled: 0,
            ended: false,
            max_row_bytes,
        }
    }

    /// Whether the input goes on with these bytes.
    pub(super) fn starts_with(&mut self, bytes: &[u8]) -> Result<bool> {
        for (position, byte) in bytes.iter().enumerate() {
            if self.byte(position)? != Some(*byte) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The byte there, read if it has to be; nothing after the end of the input.
    pub(super) fn byte(&mut self, position: usize) -> Result<Option<u8>> {
        while self.start + position >= self.filled {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(self.buffer.get(self.start + position).copied())
    }

    /// Where `look` finds what it looks for, from a position on; the end of the input if it does not.
    pub(super) fn find(
        &mut self,
        mut from: usize,
        look: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<usize> {
        loop {
            let read = self.filled - self.start;
            if let Some(found) = look(self.get(from.min(read)..read)) {
                return Ok(from + found);
            }
            from = read.max(from);
            if !self.fill()? {
                return Ok(from);
            }
        }
    }

    /// Bytes of the row.
    pub(super) fn get(&self, span: Range<usize>) -> &[u8] {
        let span = self.start + span.start..self.start + span.end;
        self.buffer.get(span).unwrap_or_default()
    }

    /// Bytes of the row that was left by `advance(by)`, from its beginning on.
    pub(super) fn behind(&self, by: usize, length: usize) -> &[u8] {
        let start = self.start - by;
        self.buffer.get(start..start + length).unwrap_or_default()
    }

    /// Moves bytes of the row towards its beginning.
    pub(super) fn shift(&mut self, span: Range<usize>, to: usize) {
        if span.start != to {
            let span = self.start + span.start..self.start + span.end;
            self.buffer.copy_within(span, self.start + to);
        }
    }

    /// Makes bytes of the row blank.
    pub(super) fn blank(&mut self, span: Range<usize>) {
        let span = self.start + span.start..self.start + span.end;
        if let Some(bytes) = self.buffer.get_mut(span) {
            bytes.fill(b' ');
        }
    }

    /// The row ends here, and the next begins.
    pub(super) fn advance(&mut self, by: usize) {
        self.start = (self.start + by).min(self.filled);
    }

    /// Whether nothing comes from this position on.
    pub(super) fn is_last(&mut self, position: usize) -> Result<bool> {
        Ok(self.byte(position)?.is_none())
    }

    /// Whether a row of so many bytes is within the bound.
    pub(super) fn check_length(&self, length: usize) -> Result<()> {
        if length <= self.max_row_bytes {
            return Ok(());
        }
        let most = self.max_row_bytes;
        Err(
            Error::protocol(format!("the row is longer than {most} bytes"))
                .with_hint("a quote that is never closed makes one row of all that follows"),
        )
    }

    /// Reads more of the row; false at the end of the input.
    fn fill(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        // A row without its end is all that has been read; one of the greatest length may still lack its
        // line end of two bytes.
        self.check_length((self.filled - self.start).saturating_sub(2))?;
        if self.filled == self.buffer.len() {
            self.make_room();
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = loop {
            match self.reader.read(room) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ours(error)),
            }
        };
        self.filled += read;
        self.ended = read == 0;
        Ok(read > 0)
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        } else {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

/// The error that a reader of ours put into an `io::Error`, or one about the reading.
fn ours(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::internal("cannot read the table").with_source(error),
    }
}
