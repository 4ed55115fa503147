//! `tap | target` with a hand on the pipe: the messages may be counted, cut at a chosen place (which
//! is what a tap that was killed there leaves behind) or recorded. Each half is a [`Run`] of its own.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::bin::{Finished, Run, Running, Signal, send_signal};
use crate::poll;

/// What happens to the tap, and so to the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Everything goes through.
    Never,
    /// The tap is killed once so many whole lines went through.
    AfterLines(usize),
    /// The tap is killed once so many bytes went through, most likely within a line.
    AfterBytes(usize),
}

/// Both halves, running.
#[derive(Debug)]
pub struct Pipeline {
    /// The first half.
    pub tap: Running,
    /// The second half.
    pub target: Running,
    pump: JoinHandle<()>,
    passed: Arc<Mutex<Vec<u8>>>,
}

/// Both halves, ended.
#[derive(Debug)]
pub struct Ended {
    /// The first half; its stdout is what went through the pipe.
    pub tap: Finished,
    /// The second half.
    pub target: Finished,
}

impl Ended {
    /// Fails the test unless both halves ended with 0.
    #[track_caller]
    pub fn expect_success(&self) -> &Ended {
        self.target.expect_code(0);
        self.tap.expect_code(0);
        self
    }
}

/// Starts both halves.
pub fn start(tap: Run, target: Run, cut: Cut) -> Pipeline {
    let (from_tap, tap_stdout) = pipe().expect("a pipe can be made");
    let tap = tap.stdout(File::from(OwnedFd::from(tap_stdout))).start();
    let (target_stdin, to_target) = pipe().expect("a pipe can be made");
    let target = target
        .stdin_from(File::from(OwnedFd::from(target_stdin)))
        .start();
    let process = tap.id();
    let passed = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&passed);
    let pump = thread::spawn(move || {
        let (mut from_tap, mut to_target) = (from_tap, to_target);
        pump(&mut from_tap, &mut to_target, cut, &log);
        if cut != Cut::Never {
            // Before the pipe is closed, so that the tap dies of nothing else.
            send_signal(process, Signal::Kill);
        }
    });
    Pipeline {
        tap,
        target,
        pump,
        passed,
    }
}

/// Runs both halves to their ends.
pub fn run(tap: Run, target: Run, cut: Cut) -> Ended {
    start(tap, target, cut).finish()
}

impl Pipeline {
    /// What both halves have used of the processor, in ticks; 0 where the system does not show it.
    pub fn processor_time(&self) -> u64 {
        [&self.tap, &self.target]
            .map(Running::processor_time)
            .iter()
            .sum()
    }

    /// What both halves have in memory; 0 where the system does not show it.
    pub fn memory_bytes(&self) -> u64 {
        [&self.tap, &self.target]
            .map(Running::memory_bytes)
            .iter()
            .sum()
    }

    /// Waits until a text has gone through the pipe: what a tap does next may be seen before what it wrote.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        poll::until(&format!("`{text}` went through the pipe"), || {
            String::from_utf8_lossy(&lock(&self.passed)).contains(text)
        });
    }

    /// Waits for both halves.
    pub fn finish(self) -> Ended {
        let target = self.target.finish();
        let mut tap = self.tap.finish();
        self.pump
            .join()
            .expect("the pump of the pipe does not panic");
        tap.stdout = std::mem::take(&mut lock(&self.passed));
        Ended { tap, target }
    }
}

/// Copies until the tap ends, the target no longer reads, or the cut is reached; the rest of what the
/// tap wrote is lost with it, as it is when a process dies. What was copied is logged.
fn pump(from: &mut PipeReader, to: &mut PipeWriter, cut: Cut, log: &Mutex<Vec<u8>>) {
    let mut passed = 0;
    let mut lines = 0;
    let mut block = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut block).unwrap_or(0);
        let (piece, done) = up_to_cut(&block[..length], passed, &mut lines, cut);
        passed += piece.len();
        let is_read = to.write_all(piece).is_ok();
        lock(log).extend_from_slice(piece);
        if !is_read || done || length == 0 {
            return;
        }
    }
}

fn lock(log: &Mutex<Vec<u8>>) -> std::sync::MutexGuard<'_, Vec<u8>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn up_to_cut<'block>(
    block: &'block [u8],
    passed: usize,
    lines: &mut usize,
    cut: Cut,
) -> (&'block [u8], bool) {
    match cut {
        Cut::Never => (block, false),
        Cut::AfterBytes(count) => {
            let rest = count - passed;
            if block.len() < rest {
                (block, false)
            } else {
                (&block[..rest], true)
            }
        }
        Cut::AfterLines(count) => {
            for (place, byte) in block.iter().enumerate() {
                *lines += usize::from(*byte == b'\n');
                if *lines == count {
                    return (&block[..=place], true);
                }
            }
            (block, false)
        }
    }
}
