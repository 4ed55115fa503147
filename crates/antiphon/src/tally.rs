//! `antiphon tally`: a stage that counts the records that pass through it, for pipelines of foreign taps
//! and targets. Bytes go on as they came; counts go to the report file as those of our own stages do.
//!
//! What was read is written before anything else is done, so that nothing waits in here. A wish to stop is
//! not heeded: the tap stops by itself, and the end of its output is the end of this stage.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use singer_core::Error;
use singer_runtime::context::Context;
use singer_runtime::report::{self, Report, ReportFile};
use singer_runtime::{exit, stdio};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use count::Tally;

mod count;

/// What is read at once.
const BLOCK_BYTES: usize = 512 * 1024;
/// How often the report is brought up to date.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The exit code of a program whose reader has gone, as a shell shows SIGPIPE.
const READER_GONE: u8 = 141;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Passes stdin on to stdout until it ends.
pub(crate) async fn run(context: Context, _: Arguments) -> anyhow::Result<u8> {
    let (input, output) = stdio::passage()?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (done, mut ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("passage".to_owned())
        .spawn({
            let tally = Arc::clone(&tally);
            // If nobody listens any more, this process is at its end anyway.
            move || drop(done.send(pass(input, output, &tally)))
        })
        .map_err(|error| Error::internal("cannot start a thread").with_source(error))?;

    let mut file = report::wanted().map(ReportFile::new);
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            ended = &mut ended => break ended,
            _ = tick.tick(), if file.is_some() => {
                if let Some(file) = &mut file {
                    file.write(report_of(&context, &tally, "running"));
                }
            }
        }
    };
    let ended = ended.map_err(|_| Error::internal("the thread that passes data on panicked"))?;
    let status = if ended.is_ok() { "succeeded" } else { "failed" };
    let report = report_of(&context, &tally, status);
    match &mut file {
        Some(file) => file.write(report),
        None => log(&report),
    }
    match ended {
        Ok(()) => Ok(exit::DONE),
        Err(Broken::Reader) => {
            // The words by which the runner knows that the cause lies behind this stage.
            tracing::warn!("stopped: the reader of stdout has gone");
            Ok(READER_GONE)
        }
        Err(Broken::Read(error)) => Err(Error::internal("cannot read stdin")
            .with_source(error)
            .into()),
        Err(Broken::Write(error)) => Err(Error::internal("cannot write to stdout")
            .with_source(error)
            .into()),
    }
}

/// Why the passage ended before its input did.
#[derive(Debug)]
enum Broken {
    Reader,
    Read(io::Error),
    Write(io::Error),
}

/// Reads, writes, counts, until nothing follows.
fn pass(mut input: impl Read, mut output: impl Write, tally: &Mutex<Tally>) -> Result<(), Broken> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = match input.read(&mut block) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Read(error)),
        };
        let block = &block[..length];
        output
            .write_all(block)
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Broken::Reader,
                _ => Broken::Write(error),
            })?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        if length == 0 {
            tally.end();
            return Ok(());
        }
        tally.take(block);
    }
}

fn report_of(context: &Context, tally: &Mutex<Tally>, status: &str) -> Report {
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let of_stream = |mut stream: report::Stream| {
        status.clone_into(&mut stream.status);
        (stream.stream.clone(), stream)
    };
    Report {
        binary: context.binary().to_owned(),
        role: "tally".to_owned(),
        run_id: context.run_id().to_owned(),
        status: status.to_owned(),
        streams: tally.streams().map(of_stream).collect(),
        rejects_path: None,
    }
}

/// For a person who counts by hand.
fn log(report: &Report) {
    for (stream, counted) in &report.streams {
        tracing::info!(
            stream,
            records = counted.records,
            bytes = counted.bytes,
            "counted"
        );
    }
}
