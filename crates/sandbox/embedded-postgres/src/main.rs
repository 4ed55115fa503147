//! A PostgreSQL inside one process. It keeps its tables in memory, serves one connection at a
//! time on a free port of 127.0.0.1, prints the connection's URL as its only line on stdout, and
//! ends when its stdin does: the process that started it needs no signal to stop it, and cannot
//! leave it running by dying. What the tables hold is the business of that process.

use std::io::{self, Write};

use oliphaunt_wasix::OliphauntServer;

#[expect(
    clippy::disallowed_methods,
    reason = "stdin and stdout are how the parent process talks with this one"
)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut server = OliphauntServer::builder().start()?;
    writeln!(io::stdout(), "{}", server.connection_string())?;
    io::stdout().flush()?;
    // The parent writes nothing: this returns when it closes the pipe or is gone.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    server.close()?;
    Ok(())
}
