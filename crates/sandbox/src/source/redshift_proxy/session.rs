//! One connection of a client: its start, then both directions until one side ends.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::source::redshift_proxy::answers::{Answers, Flow};
use crate::source::redshift_proxy::wire::{self, StartupPacket};
use crate::source::redshift_proxy::{Armed, Fault, Shared, lock, statement, strike};

const BUFFER: usize = 64 * 1024;

/// Serves a client until either side closes its connection.
pub(super) async fn serve(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(startup) = read_startup(&mut client, shared).await? else {
        return Ok(());
    };
    if let Some(refusal) = refuse_startup(&startup, shared) {
        client.write_all(&refusal).await?;
        // The client's answer, if it has one, is read so that it sees a close and not a reset.
        client.shutdown().await?;
        client
            .read_buf(&mut BytesMut::with_capacity(BUFFER))
            .await?;
        return Ok(());
    }
    let mut server = TcpStream::connect(&shared.upstream).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup.bytes).await?;

    let asked = Mutex::new(String::new());
    let (client_input, client_output) = client.split();
    let (server_input, server_output) = server.split();
    tokio::select! {
        result = forward_questions(client_input, server_output, shared, &asked) => result,
        result = forward_answers(server_input, client_output, shared, &asked) => result,
    }
}

/// Gets past the requests that may come before the real start. A cancel request is passed on.
async fn read_startup(
    client: &mut TcpStream,
    shared: &Shared,
) -> io::Result<Option<StartupPacket>> {
    loop {
        let packet = StartupPacket::read(client).await?;
        match packet.code {
            wire::TLS_REQUEST | wire::GSS_REQUEST => client.write_all(b"N").await?,
            wire::CANCEL_REQUEST => {
                let mut server = TcpStream::connect(&shared.upstream).await?;
                server.write_all(&packet.bytes).await?;
                server
                    .read_buf(&mut BytesMut::with_capacity(BUFFER))
                    .await?;
                return Ok(None);
            }
            _ => return Ok(Some(packet)),
        }
    }
}

fn refuse_startup(startup: &StartupPacket, shared: &Shared) -> Option<Bytes> {
    let refused = settings(startup)
        .into_iter()
        .find_map(|(name, value)| match name.as_str() {
            "extra_float_digits" => statement::float_digits_refusal(&value)
                .map(|refusal| wire::error("FATAL", refusal.code, &refusal.message)),
            "client_protocol_version" if value != "0" => {
                let text = "client_protocol_version above 0 is not spoken here";
                Some(wire::error("FATAL", "0A000", text))
            }
            _ => None,
        });
    if refused.is_some() {
        return refused;
    }
    let mut faults = lock(&shared.faults);
    let (index, answer) = faults.iter().enumerate().find_map(|(index, armed)| {
        let answer = match &armed.injection.fault {
            Fault::Authentication(kind) => wire::authentication(*kind),
            Fault::Refuse(code, message) => wire::error("FATAL", code, message),
            _ => return None,
        };
        Some((index, answer))
    })?;
    strike(&mut faults, index);
    Some(answer)
}

/// The parameters, those in `options` (as in `-c extra_float_digits=3`) included.
fn settings(startup: &StartupPacket) -> Vec<(String, String)> {
    let mut settings = startup.parameters();
    let options = settings.iter().find(|(name, _)| name == "options");
    let words = options
        .map(|(_, options)| options.clone())
        .unwrap_or_default();
    settings.extend(words.split_whitespace().filter_map(|word| {
        let (name, value) = word
            .trim_start_matches("-c")
            .trim_start_matches('-')
            .split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    }));
    settings
}

async fn forward_questions(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    shared: &Shared,
    asked: &Mutex<String>,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(BUFFER);
    while client.read_buf(&mut input).await? > 0 {
        let mut output = BytesMut::new();
        while let Some(length) = wire::whole_message(&input) {
            let message = input.split_to(length).freeze();
            output.extend_from_slice(&translate(&message, shared, asked).unwrap_or(message));
        }
        server.write_all(&output).await?;
    }
    Ok(())
}

/// Gives a message that asks for a statement as the server is to see it.
fn translate(message: &Bytes, shared: &Shared, asked: &Mutex<String>) -> Option<Bytes> {
    let payload = wire::payload(message);
    // A Parse message holds the name of the prepared statement first, and types behind the text.
    let start = match message.first()? {
        b'Q' => 0,
        b'P' => wire::text(payload).len() + 1,
        _ => return None,
    };
    let text = wire::text(payload.get(start..)?);
    let sql = String::from_utf8_lossy(text);
    lock(&shared.traffic).note(&sql);
    let translated = statement::translate(&sql);
    *lock(asked) = sql.into_owned();
    let rest = payload.get(start + text.len()..)?;
    let parts = [payload.get(..start)?, translated.as_bytes(), rest];
    Some(wire::message(*message.first()?, &parts.concat()))
}

async fn forward_answers(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    shared: &Shared,
    asked: &Mutex<String>,
) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(BUFFER);
    let mut answers = Answers::default();
    let mut output = Vec::new();
    loop {
        input.reserve(BUFFER);
        if server.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let (flow, delay) = {
            let statement = lock(asked);
            let mut faults = lock(&shared.faults);
            let flow = answers.process(&mut input, &statement, &mut faults, &mut output);
            (flow, delay(&statement, &mut faults))
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        for block in output.drain(..) {
            client.write_all(&block).await?;
        }
        if flow == Flow::Cut {
            return Ok(());
        }
    }
}

/// The delay of this block of answers, if one is armed for the statement.
fn delay(statement: &str, faults: &mut Vec<Armed>) -> Option<Duration> {
    let (index, delay) =
        faults
            .iter()
            .enumerate()
            .find_map(|(index, armed)| match armed.injection.fault {
                Fault::Delay(delay) if armed.matches(statement) => Some((index, delay)),
                _ => None,
            })?;
    strike(faults, index);
    Some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::redshift_proxy::Injection;

    #[test]
    fn a_delay_waits_for_its_statement_and_ends_after_its_times() {
        let late = Duration::from_millis(5);
        let injection = Injection {
            times: 2,
            statement_contains: Some("visitor".to_owned()),
            ..Injection::from(Fault::Delay(late))
        };
        let mut faults = vec![Armed { injection, seen: 0 }];
        assert_eq!(delay("SELECT 1", &mut faults), None);
        assert_eq!(delay("SELECT * FROM visitor", &mut faults), Some(late));
        assert_eq!(delay("SELECT * FROM visitor", &mut faults), Some(late));
        assert_eq!(delay("SELECT * FROM visitor", &mut faults), None);
    }
}
