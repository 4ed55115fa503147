//! Fetching rows: by binary COPY, as text, or through a cursor. Rows are handed over one by one; the
//! server waits while the pipe is full.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use singer_core::Error;
use tokio_postgres::SimpleQueryMessage;

use super::sink::{Sink, final_failure};
use super::statement::{Rows, Statement};
use crate::connect::Session;
use crate::failure::{self, Attempt};

/// Runs the statement to its end.
pub(super) async fn fetch(
    session: &mut Session,
    statement: &Statement,
    sink: &mut Sink<'_>,
) -> Attempt<()> {
    match statement.rows {
        Rows::Copy => copy(session, statement, sink).await,
        Rows::Text => text(session, &statement.select, &statement.doing, sink)
            .await
            .map(|_| ()),
        Rows::Cursor(rows) => cursor(session, statement, rows, sink).await,
    }
}

/// What a binary COPY begins with, before flags and the length of an extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

async fn copy(session: &mut Session, statement: &Statement, sink: &mut Sink<'_>) -> Attempt<()> {
    let sql = format!("COPY ({}) TO STDOUT (FORMAT binary)", statement.select);
    let judge = |error| failure::judge(error, statement.doing.as_str());
    let Session { client, link, .. } = session;
    let started = link.drive(client.copy_out(sql.as_str()));
    let stream = sink.wait_for(started).await?.map_err(judge)?;
    let mut stream = std::pin::pin!(stream);
    let mut begun = false;
    // The end of a message that did not end with a row: servers send whole rows, others may not.
    let mut left = BytesMut::new();
    while let Some(chunk) = sink.wait_for(link.drive(stream.next())).await? {
        let mut chunk: Bytes = chunk.map_err(judge)?;
        if sink.rows() == MANY {
            link.read_at_ease();
        }
        if !left.is_empty() {
            left.extend_from_slice(&chunk);
            chunk = left.split().freeze();
        }
        let mut rest: &[u8] = &chunk;
        if !begun {
            match after_header(rest).map_err(final_failure)? {
                Some(rows) => rest = rows,
                None => {
                    left.extend_from_slice(rest);
                    continue;
                }
            }
            begun = true;
        }
        while !rest.is_empty() {
            if rest == [0xff, 0xff] {
                // The trailer: a row of minus one columns.
                rest = &[];
                continue;
            }
            let Some(length) = sink.split_binary(rest)? else {
                left.extend_from_slice(rest);
                break;
            };
            let (row, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            sink.binary_row(row).await?;
            rest = after;
        }
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(final_failure(Error::protocol(format!(
            "{}: the last row is cut",
            statement.doing
        ))))
    }
}

/// So many rows make a table large.
const MANY: u64 = 2000;

/// What follows the header of a binary COPY; `None` if it is not there as a whole.
fn after_header(bytes: &[u8]) -> singer_core::Result<Option<&[u8]>> {
    const FIXED: usize = SIGNATURE.len() + 8;
    let Some((header, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(None);
    };
    let (signature, numbers) = header.split_at(SIGNATURE.len());
    let number = |at: usize| {
        let four = numbers
            .get(at..at + 4)
            .and_then(|four| four.try_into().ok());
        four.map_or(0, u32::from_be_bytes)
    };
    // The upper half of the flags is for changes that a reader must know of.
    if signature != SIGNATURE || number(0) >> 16 != 0 {
        return Err(Error::protocol("the server's COPY is in an unknown format"));
    }
    let extension = number(4) as usize;
    Ok(rest.get(extension..))
}

/// Runs a statement and hands over its rows as texts; returns how many there were.
async fn text(session: &mut Session, sql: &str, doing: &str, sink: &mut Sink<'_>) -> Attempt<u64> {
    let started = session.stream(sql, doing);
    let stream = sink.wait_for(started).await??;
    let mut stream = std::pin::pin!(stream);
    let mut rows = 0;
    while let Some(message) = sink.wait_for(session.link.drive(stream.next())).await? {
        let message = message.map_err(|error| failure::judge(error, doing))?;
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        rows += 1;
        if sink.rows() == MANY {
            session.link.read_at_ease();
        }
        sink.text_row(|index| {
            row.try_get(index)
                .map_err(|error| failure::judge(error, doing).error)
        })
        .await?;
    }
    Ok(rows)
}

async fn cursor(
    session: &mut Session,
    statement: &Statement,
    rows: u32,
    sink: &mut Sink<'_>,
) -> Attempt<()> {
    let doing = statement.doing.as_str();
    let declare = format!("BEGIN; DECLARE antiphon CURSOR FOR {}", statement.select);
    let declared = session.query(&declare, doing);
    sink.wait_for(declared).await??;
    let fetch = format!("FETCH FORWARD {rows} FROM antiphon");
    loop {
        let fetched = text(session, &fetch, doing, sink).await?;
        if fetched < u64::from(rows) {
            break;
        }
    }
    session.query("CLOSE antiphon; COMMIT", doing).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_taken_off_and_an_unknown_one_refused() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 9, 9, 1]);
        assert_eq!(after_header(&bytes).unwrap(), Some(&[1][..]));
        assert_eq!(after_header(&bytes[..12]).unwrap(), None);
        bytes[11] = 1;
        bytes[12] = 1;
        assert!(after_header(&bytes).is_err());
    }
}
