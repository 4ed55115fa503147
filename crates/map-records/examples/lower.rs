//! What `lower.json` says, in Rust: test records are left out, mail addresses are written in small letters.

use std::io::{BufRead, BufReader, BufWriter, Write};

use singer_core::line::{self, Line};
use singer_core::scan::{Fields, Layout};

fn main() -> anyhow::Result<()> {
    let (input, output) = singer_runtime::stdio::passage()?;
    let (mut output, mut fields) = (BufWriter::new(output), Fields::default());
    let leads = Layout::new(["email", "test"]);
    let layout = |stream: &str| (stream == "leads").then_some(&leads);
    for line in BufReader::new(input).split(b'\n') {
        let mut line = line?;
        if let Line::Record(found) = line::parse(&line, &mut fields, layout)?
            && found.scanned
        {
            let record = found.record.as_ptr() as usize - line.as_ptr() as usize;
            let [email, test] = [0, 1].map(|field| fields.as_slice()[field]);
            if line[record + test.start as usize..].starts_with(b"true") {
                continue;
            }
            line[record + email.start as usize..record + email.end as usize].make_ascii_lowercase();
        }
        output.write_all(&line)?;
        output.write_all(b"\n")?;
    }
    Ok(output.flush()?)
}
