//! Runs commands, alone or joined by pipes, and tells what each cost: wall time, CPU time, peak memory.
//! CPU time and memory come from `/proc`; where that is missing they are unknown, not zero.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// `/proc` counts CPU time in hundredths of a second on every Linux that matters here.
const TICK: Duration = Duration::from_millis(10);

const MEMORY_POLL_PAUSE: Duration = Duration::from_millis(5);

/// What one process cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// From the start of the first process to the end of this one.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Option<Duration>,
    /// The largest resident set, in bytes.
    pub(crate) peak_bytes: Option<u64>,
}

/// Where the first command reads from and the last one writes to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// A file for the first command's stdin; nothing if left out.
    pub(crate) input: Option<PathBuf>,
    /// A file for the last command's stdout; thrown away if left out.
    pub(crate) output: Option<PathBuf>,
}

/// Runs one command with its output thrown away.
pub(crate) fn run(command: Command) -> Result<Usage> {
    run_pipe(vec![command], &Ends::default()).map(|usages| usages[0])
}

/// Runs commands joined by pipes and waits for all of them, in order. Fails unless all succeed.
pub(crate) fn run_pipe(commands: Vec<Command>, ends: &Ends) -> Result<Vec<Usage>> {
    let started = Instant::now();
    let mut stdin = match &ends.input {
        Some(path) => Stdio::from(open(path)?),
        None => Stdio::null(),
    };
    let last = commands.len() - 1;
    let mut running = Vec::new();
    for (index, mut command) in commands.into_iter().enumerate() {
        let stdout = match &ends.output {
            _ if index < last => Stdio::piped(),
            Some(path) => Stdio::from(create(path)?),
            None => Stdio::null(),
        };
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        stdin = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
        running.push(Running::watch(child, command.get_program().into()));
    }
    drop(stdin);
    running.into_iter().map(|one| one.finish(started)).collect()
}

/// The time from the start of a command to the first byte that it writes.
pub(crate) fn time_to_first_byte(mut command: Command) -> Result<Duration> {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let mut stdout = child.stdout.take().context("stdout is a pipe")?;
    let read = stdout
        .read(&mut [0])
        .context("cannot read the first byte")?;
    let elapsed = started.elapsed();
    drop(stdout);
    drop(child.kill());
    child.wait().context("cannot wait for the command")?;
    if read == 0 {
        bail!("{:?} ended without a byte of output", command.get_program());
    }
    Ok(elapsed)
}

/// CPU time of all processes that this one has started and waited for.
pub(crate) fn cpu_of_children() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold blanks; 13 numbers come before.
    let (_, numbers) = stat.rsplit_once(')')?;
    let ticks = numbers
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(str::parse::<u32>);
    ticks.map(|tick| Some(TICK * tick.ok()?)).sum()
}

struct Running {
    child: Child,
    program: PathBuf,
    stderr: thread::JoinHandle<String>,
    memory: thread::JoinHandle<Option<u64>>,
}

impl Running {
    fn watch(mut child: Child, program: PathBuf) -> Self {
        let pipe = child.stderr.take();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                // What was read before a failure is still worth showing.
                drop(pipe.read_to_end(&mut bytes));
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let memory = watch_memory(child.id());
        Self {
            child,
            program,
            stderr,
            memory,
        }
    }

    fn finish(mut self, started: Instant) -> Result<Usage> {
        // The watch ends with the process, and before the process id can be given to another one.
        let peak_bytes = self.memory.join().ok().flatten();
        let before = cpu_of_children();
        let status = self.child.wait().context("cannot wait for a command")?;
        let wall = started.elapsed();
        let cpu = before
            .zip(cpu_of_children())
            .map(|(before, after)| after - before);
        let stderr = self.stderr.join().unwrap_or_default();
        if !status.success() {
            let tail: Vec<&str> = stderr.lines().rev().take(8).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!(
                "`{}` failed ({status}):\n{}",
                self.program.display(),
                tail.join("\n")
            );
        }
        Ok(Usage {
            wall,
            cpu,
            peak_bytes,
        })
    }
}

/// Follows the peak memory of a process until the process has ended.
fn watch_memory(process: u32) -> thread::JoinHandle<Option<u64>> {
    let status = PathBuf::from(format!("/proc/{process}/status"));
    thread::spawn(move || {
        let mut peak = None;
        // A process that has ended and was not waited for has no memory lines any more.
        while let Some(bytes) = peak_memory(&status) {
            peak = Some(bytes);
            thread::sleep(MEMORY_POLL_PAUSE);
        }
        peak
    })
}

fn peak_memory(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn create(path: &Path) -> Result<fs::File> {
    fs::File::create(path).with_context(|| format!("cannot write `{}`", path.display()))
}
