//! A proxy in front of a receiver: it adds the secret that a service of Zoho cannot send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes on what is posted, with the header `x-antiphon-secret: psst`. It ends with the process.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    passed: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens on a free port, for a receiver on this one.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(to: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let passed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&passed);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if pass_on(stream, to).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 2")) {
                    counter.fetch_add(1, Ordering::AcqRel);
                }
            }
        });
        Proxy { address, passed }
    }

    /// How many calls the receiver took.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::Acquire)
    }
}

fn pass_on(mut from: TcpStream, to: u16) -> Option<Vec<u8>> {
    let request = read_request(&mut from)?;
    let end_of_line = request.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let (line, rest) = request.split_at(end_of_line);
    let mut stream = TcpStream::connect(("127.0.0.1", to)).ok()?;
    stream.write_all(line).ok()?;
    stream.write_all(b"x-antiphon-secret: psst\r\n").ok()?;
    stream.write_all(rest).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    from.write_all(&answer).ok()?;
    Some(answer)
}

fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut block = [0; 4096];
    loop {
        let length = stream.read(&mut block).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&block[..length]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let declared = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let body: usize = declared
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        if request.len() >= end + 4 + body {
            return Some(request);
        }
    }
}
