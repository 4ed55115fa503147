//! A mail server that keeps what it gets: enough of SMTP for a client that sends notices, with the ways in
//! which a real one refuses. No TLS of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How a server behaves.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// Receivers that are refused for good (550).
    pub refused: Vec<String>,
    /// So many letters are put off (451) before one is taken.
    pub put_off: usize,
    /// The user and the password that are asked for; AUTH is offered then.
    pub login: Option<(String, String)>,
    /// Says hello and then nothing.
    pub hangs: bool,
}

/// A letter as it came.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    /// The sender of the envelope.
    pub from: String,
    /// The receivers of the envelope.
    pub to: Vec<String>,
    /// Head and body, without the dots that SMTP adds.
    pub text: String,
}

/// A server on a port of 127.0.0.1; it ends with the test.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manners: Mutex<Manners>,
    letters: Mutex<Vec<Letter>>,
    ended: AtomicBool,
}

impl MailServer {
    /// Starts a server.
    pub fn start(manners: Manners) -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            manners: Mutex::new(manners),
            letters: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let shared = Arc::clone(&accepting);
                // A client that goes away in the middle ends its conversation, nothing else.
                thread::spawn(move || drop(converse(&shared, &stream)));
            }
        });
        MailServer { address, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The letters so far.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared
            .letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the listener; that it cannot be reached would mean that it has ended.
        drop(TcpStream::connect(self.address));
    }
}

fn converse(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    let manners = || {
        let manners = shared
            .manners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        manners.clone()
    };
    let mut lines = BufReader::new(stream).lines();
    let say = |text: &str| {
        let mut stream = stream;
        stream.write_all(format!("{text}\r\n").as_bytes())
    };
    say("220 sink ESMTP")?;
    let mut letter = Letter::default();
    let mut is_let_in = manners().login.is_none();
    while let Some(line) = lines.next().transpose()? {
        if manners().hangs {
            continue;
        }
        let (verb, rest) = line.split_at(line.len().min(4));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                let auth = manners().login.map_or("", |_| "250-AUTH PLAIN\r\n");
                say(&format!("250-sink\r\n{auth}250 8BITMIME"))?;
            }
            "AUTH" => {
                let wanted = manners().login.map(|(user, password)| {
                    encode_base64(format!("\0{user}\0{password}").as_bytes())
                });
                is_let_in = wanted.as_deref() == rest.trim().strip_prefix("PLAIN ");
                say(if is_let_in {
                    "235 welcome"
                } else {
                    "535 5.7.8 wrong user or password"
                })?;
            }
            _ if !is_let_in => say("530 5.7.0 who are you")?,
            "MAIL" => {
                letter = Letter {
                    from: address(rest),
                    ..Letter::default()
                };
                say("250 go on")?;
            }
            "RCPT" => {
                let receiver = address(rest);
                if manners().refused.contains(&receiver) {
                    say("550 5.1.1 no such mailbox here")?;
                } else {
                    letter.to.push(receiver);
                    say("250 go on")?;
                }
            }
            "DATA" => {
                say("354 end with a dot")?;
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    letter.text += line.strip_prefix('.').unwrap_or(&line);
                    letter.text.push('\n');
                }
                say(keep(shared, &mut letter))?;
            }
            "QUIT" => return say("221 bye"),
            "RSET" | "NOOP" => say("250 done")?,
            _ => say("502 never heard of it")?,
        }
    }
    Ok(())
}

fn keep(shared: &Shared, letter: &mut Letter) -> &'static str {
    let mut manners = shared
        .manners
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if manners.put_off > 0 {
        manners.put_off -= 1;
        return "451 4.7.1 try again later";
    }
    let mut letters = shared
        .letters
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    letters.push(std::mem::take(letter));
    "250 taken"
}

/// What stands between the angle brackets.
fn address(rest: &str) -> String {
    let (_, rest) = rest.split_once('<').unwrap_or(("", rest));
    rest.split('>').next().unwrap_or_default().to_owned()
}

fn encode_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            if place > group.len() {
                out.push('=');
            } else {
                let index = (bits >> (18 - 6 * place)) & 63;
                out.push(char::from(LETTERS[index as usize]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        assert_eq!(encode_base64(b"\0u\0pw"), "AHUAcHc=");
        assert_eq!(encode_base64(b"abc"), "YWJj");
        assert_eq!(encode_base64(b"a"), "YQ==");
    }
}
