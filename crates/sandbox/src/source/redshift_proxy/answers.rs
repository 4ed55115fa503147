//! The way back: what the server answers, message by message, worded as Redshift does and cut or
//! spoiled where a fault is armed.

use bytes::{Bytes, BytesMut};

use crate::source::redshift_proxy::{Armed, Fault, strike, wire};

const SERVER_VERSION: &[u8] = b"server_version\0";

/// Whether the connection goes on after a block of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It does.
    GoOn,
    /// It is cut once the block was sent.
    Cut,
}

/// The state of one connection's way back.
#[derive(Default)]
pub(super) struct Answers {
    /// After an injected error the rest of the server's answer is not passed on.
    swallowing: bool,
}

/// What one row makes of the connection.
enum RowFate {
    Passes,
    IsCut,
    Fails { code: String, text: String },
}

impl Answers {
    /// Takes all whole messages out of `input` and gives what the client is to get for them.
    /// `statement` is what the client asked last.
    pub(super) fn process(
        &mut self,
        input: &mut BytesMut,
        statement: &str,
        faults: &mut Vec<Armed>,
        output: &mut Vec<Bytes>,
    ) -> Flow {
        // Messages that pass unchanged are sent as one block without a copy.
        let mut unchanged = 0;
        while let Some(length) = wire::whole_message(&input[unchanged..]) {
            let message = &input[unchanged..unchanged + length];
            let kind = message[0];
            if self.swallowing && kind != b'Z' {
                flush(input, &mut unchanged, output);
                drop(input.split_to(length));
                continue;
            }
            let replacement = match kind {
                b'D' => match row_fate(statement, faults) {
                    RowFate::Passes => None,
                    RowFate::IsCut => {
                        unchanged += length / 2;
                        flush(input, &mut unchanged, output);
                        return Flow::Cut;
                    }
                    RowFate::Fails { code, text } => {
                        self.swallowing = true;
                        Some(wire::error("ERROR", &code, &text))
                    }
                },
                b'Z' => {
                    let after_error = std::mem::take(&mut self.swallowing);
                    let in_transaction = wire::payload(message) == b"T";
                    (after_error && in_transaction).then(|| wire::message(b'Z', b"E"))
                }
                b'C' => command_complete(wire::payload(message)),
                b'S' => parameter_status(wire::payload(message)),
                _ => None,
            };
            match replacement {
                None => unchanged += length,
                Some(replacement) => {
                    flush(input, &mut unchanged, output);
                    drop(input.split_to(length));
                    output.push(replacement);
                }
            }
        }
        flush(input, &mut unchanged, output);
        cut_by_bytes(statement, faults, output)
    }
}

fn flush(input: &mut BytesMut, unchanged: &mut usize, output: &mut Vec<Bytes>) {
    if *unchanged > 0 {
        output.push(input.split_to(*unchanged).freeze());
        *unchanged = 0;
    }
}

fn row_fate(statement: &str, faults: &mut Vec<Armed>) -> RowFate {
    let mut fate = RowFate::Passes;
    let mut struck = None;
    for (index, armed) in faults.iter_mut().enumerate() {
        let (Fault::DropAfterRows(limit) | Fault::ErrorAfterRows(limit, ..)) =
            armed.injection.fault
        else {
            continue;
        };
        if !armed.matches(statement) {
            continue;
        }
        if armed.seen < limit {
            armed.seen += 1;
        } else if struck.is_none() {
            struck = Some(index);
            fate = match &armed.injection.fault {
                Fault::ErrorAfterRows(_, code, text) => RowFate::Fails {
                    code: code.clone(),
                    text: text.clone(),
                },
                _ => RowFate::IsCut,
            };
        }
    }
    if let Some(index) = struck {
        strike(faults, index);
    }
    fate
}

fn cut_by_bytes(statement: &str, faults: &mut Vec<Armed>, output: &mut Vec<Bytes>) -> Flow {
    let size: u64 = output.iter().map(|block| block.len() as u64).sum();
    let counted = |armed: &&mut Armed| {
        matches!(armed.injection.fault, Fault::DropAfterBytes(_)) && armed.matches(statement)
    };
    for armed in faults.iter_mut().filter(counted) {
        armed.seen += size;
    }
    let reached = faults.iter().position(|armed| match armed.injection.fault {
        Fault::DropAfterBytes(limit) => armed.seen > limit,
        _ => false,
    });
    let Some(index) = reached else {
        return Flow::GoOn;
    };
    let Fault::DropAfterBytes(limit) = faults[index].injection.fault else {
        return Flow::GoOn;
    };
    let mut left = usize::try_from(limit - (faults[index].seen - size)).unwrap_or(usize::MAX);
    strike(faults, index);
    output.retain_mut(|block| {
        block.truncate(left);
        left -= block.len();
        !block.is_empty()
    });
    Flow::Cut
}

/// Redshift tells the end of a SELECT without the number of rows.
fn command_complete(payload: &[u8]) -> Option<Bytes> {
    payload
        .starts_with(b"SELECT ")
        .then(|| wire::message(b'C', b"SELECT\0"))
}

fn parameter_status(payload: &[u8]) -> Option<Bytes> {
    payload
        .starts_with(SERVER_VERSION)
        .then(|| wire::message(b'S', b"server_version\x008.0.2\0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::redshift_proxy::Injection;

    fn armed(fault: Fault) -> Vec<Armed> {
        vec![Armed {
            injection: Injection::from(fault),
            seen: 0,
        }]
    }

    fn stream(messages: &[(u8, &[u8])]) -> BytesMut {
        messages
            .iter()
            .flat_map(|(kind, payload)| wire::message(*kind, payload))
            .collect()
    }

    fn run(messages: &[(u8, &[u8])], faults: &mut Vec<Armed>) -> (Vec<u8>, Flow) {
        let mut output = Vec::new();
        let flow =
            Answers::default().process(&mut stream(messages), "SELECT 1", faults, &mut output);
        (output.concat(), flow)
    }

    const ANSWER: [(u8, &[u8]); 5] = [
        (b'T', b"names"),
        (b'D', b"one"),
        (b'D', b"two"),
        (b'C', b"SELECT 2\0"),
        (b'Z', b"T"),
    ];

    #[test]
    fn the_row_count_is_taken_out() {
        let (output, flow) = run(&ANSWER, &mut Vec::new());
        assert_eq!(flow, Flow::GoOn);
        let mut expected = ANSWER;
        expected[3].1 = b"SELECT\0";
        assert_eq!(output, stream(&expected));
    }

    #[test]
    fn a_connection_is_cut_inside_the_row_after_the_last() {
        let mut faults = armed(Fault::DropAfterRows(1));
        let (output, flow) = run(&ANSWER, &mut faults);
        assert_eq!(flow, Flow::Cut);
        assert!(output.starts_with(&stream(&ANSWER[..2])));
        assert!(output.len() < stream(&ANSWER[..3]).len());
        assert!(faults.is_empty());
    }

    #[test]
    fn a_connection_is_cut_after_the_exact_number_of_bytes() {
        let (output, flow) = run(&ANSWER, &mut armed(Fault::DropAfterBytes(21)));
        assert_eq!((output.len(), flow), (21, Flow::Cut));
    }

    #[test]
    fn an_error_replaces_the_rest_and_fails_the_transaction() {
        let fault = Fault::ErrorAfterRows(1, "40001".to_owned(), "1023".to_owned());
        let (output, flow) = run(&ANSWER, &mut armed(fault));
        assert_eq!(flow, Flow::GoOn);
        let expected = [
            stream(&ANSWER[..2]).to_vec(),
            wire::error("ERROR", "40001", "1023").to_vec(),
            stream(&[(b'Z', b"E")]).to_vec(),
        ];
        assert_eq!(output, expected.concat());
    }

    #[test]
    fn rows_of_other_statements_do_not_count() {
        let fault = Fault::DropAfterRows(0);
        let injection = Injection {
            statement_contains: Some("visitor".to_owned()),
            ..Injection::from(fault)
        };
        let mut faults = vec![Armed { injection, seen: 0 }];
        assert_eq!(run(&ANSWER, &mut faults).1, Flow::GoOn);
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn a_message_in_two_pieces_waits_for_its_end() {
        let whole = stream(&ANSWER);
        let mut input = BytesMut::from(&whole[..15]);
        let (mut answers, mut output) = (Answers::default(), Vec::new());
        answers.process(&mut input, "", &mut Vec::new(), &mut output);
        assert_eq!(output.concat(), stream(&ANSWER[..1]));
        input.extend_from_slice(&whole[15..]);
        answers.process(&mut input, "", &mut Vec::new(), &mut output);
        assert!(input.is_empty());
    }
}
