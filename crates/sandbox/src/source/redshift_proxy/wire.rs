//! Messages of the PostgreSQL protocol, version 3: taking them out of a byte stream and composing
//! the few that the proxy says on its own.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) const CANCEL_REQUEST: u32 = 80_877_102;
pub(super) const TLS_REQUEST: u32 = 80_877_103;
pub(super) const GSS_REQUEST: u32 = 80_877_104;

const HEADER: usize = 5;
/// Longer than any start-up packet that a sane client sends.
const MOST_STARTUP_BYTES: usize = 64 * 1024;

/// The first packet of a connection, which has no type byte.
pub(super) struct StartupPacket {
    /// The protocol version or the code of a special request.
    pub(super) code: u32,
    /// The packet as it came.
    pub(super) bytes: Bytes,
}

impl StartupPacket {
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let length = stream.read_u32().await?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if !(8..=MOST_STARTUP_BYTES).contains(&size) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "start-up packet of odd length",
            ));
        }
        let mut bytes = BytesMut::zeroed(size);
        (&mut bytes[..4]).put_u32(length);
        stream.read_exact(&mut bytes[4..]).await?;
        let code = (&bytes[4..8]).get_u32();
        Ok(Self {
            code,
            bytes: bytes.freeze(),
        })
    }

    /// Names and values of the start-up parameters.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let mut texts = self
            .bytes
            .get(8..)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
            .map(|text| String::from_utf8_lossy(text).into_owned());
        let mut parameters = Vec::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            if name.is_empty() {
                break;
            }
            parameters.push((name, value));
        }
        parameters
    }
}

/// How long the first message in the buffer is, type byte included, once it is there as a whole.
pub(super) fn whole_message(buffer: &[u8]) -> Option<usize> {
    let length = buffer.get(1..HEADER)?;
    let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()? + 1;
    (buffer.len() >= length).then_some(length)
}

/// What a message holds behind its type and length.
pub(super) fn payload(message: &[u8]) -> &[u8] {
    message.get(HEADER..).unwrap_or_default()
}

/// Composes a message.
pub(super) fn message(kind: u8, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(HEADER + payload.len());
    message.put_u8(kind);
    message.put_u32(u32::try_from(payload.len() + 4).unwrap_or(u32::MAX));
    message.put_slice(payload);
    message.freeze()
}

/// Composes an error answer.
pub(super) fn error(severity: &str, code: &str, text: &str) -> Bytes {
    let mut payload = Vec::new();
    for (field, value) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', code),
        (b'M', text),
    ] {
        payload.push(field);
        payload.extend_from_slice(value.as_bytes());
        payload.push(0);
    }
    payload.push(0);
    message(b'E', &payload)
}

/// Composes a request for authentication of a kind, with room for what such a request carries.
pub(super) fn authentication(kind: u32) -> Bytes {
    let mut payload = kind.to_be_bytes().to_vec();
    payload.extend_from_slice(&[0; 16]);
    message(b'R', &payload)
}

/// The text up to the first zero byte.
pub(super) fn text(payload: &[u8]) -> &[u8] {
    payload.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_when_its_last_byte_is_there() {
        let whole = message(b'C', b"SELECT 1\0");
        assert_eq!(whole_message(&whole), Some(whole.len()));
        assert_eq!(whole_message(&whole[..whole.len() - 1]), None);
        assert_eq!(whole_message(&whole[..3]), None);
        assert_eq!(text(payload(&whole)), b"SELECT 1");
    }

    #[tokio::test]
    async fn start_up_parameters_are_read() {
        let mut packet = vec![0, 0, 0, 0, 0, 3, 0, 0];
        packet.extend_from_slice(b"user\0ana\0extra_float_digits\x003\0\0");
        packet[3] = u8::try_from(packet.len()).unwrap();
        let packet = StartupPacket::read(&mut packet.as_slice()).await.unwrap();
        let expected = [("user", "ana"), ("extra_float_digits", "3")];
        assert_eq!(
            packet.parameters(),
            expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
