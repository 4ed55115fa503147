//! Runs binaries of this workspace as a shell would: built once, with an environment of their own,
//! under a deadline, killed or signalled at a chosen moment. It does not look into what they print.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capture::Capture;

/// How long a run may take unless it says otherwise: generous, because a debug build on a busy
/// machine is slow, and bounded, because a test that hangs tells nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a binary of this workspace, built on the first request of this process with the
/// profile that the test itself was built with.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let built = BUILT.get_or_init(Mutex::default);
    let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .entry(name.to_owned())
        .or_insert_with(|| build(name))
        .clone()
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn build(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test
        .ancestors()
        .find(|folder| folder.join("deps").is_dir())
        .expect("a test lies in the `deps` folder of its profile");
    let profile = match folder.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            name,
            "--profile",
            profile,
        ])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .expect("cargo, which built this test, is there");
    assert!(
        output.status.success(),
        "`{name}` cannot be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "`{name}` is not where cargo puts it: {}",
        path.display()
    );
    path
}

/// Where a program's stdin comes from.
#[derive(Debug)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    From(File),
    Held,
}

/// A program that is going to be run.
#[derive(Debug)]
pub struct Run {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Input,
    stdout: Option<File>,
    patience: Duration,
}

impl Run {
    /// A binary of this workspace.
    pub fn of(name: &str) -> Run {
        Run::program(binary(name))
    }

    /// Any program.
    pub fn program(path: impl Into<PathBuf>) -> Run {
        Run {
            program: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            input: Input::Nothing,
            stdout: None,
            patience: PATIENCE,
        }
    }

    /// Appends one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable; nothing but PATH and HOME comes from the test's own environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Run {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Run {
        self.folder = Some(folder.into());
        self
    }

    /// Gives the program these bytes on stdin, then the end.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Keeps stdin open, to be fed by [`Running::feed`].
    #[must_use]
    pub fn held_stdin(mut self) -> Run {
        self.input = Input::Held;
        self
    }

    /// Reads stdin from a file or pipe.
    #[must_use]
    pub fn stdin_from(mut self, file: File) -> Run {
        self.input = Input::From(file);
        self
    }

    /// Sends stdout to a file or pipe instead of capturing it.
    #[must_use]
    pub fn stdout(mut self, file: File) -> Run {
        self.stdout = Some(file);
        self
    }

    /// How long the run may take in all.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Run {
        self.patience = patience;
        self
    }

    /// Runs to the end.
    pub fn finish(self) -> Finished {
        self.start().finish()
    }

    /// Starts, and returns while the program runs.
    pub fn start(self) -> Running {
        let name = self
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(inherited())
            .envs(self.env);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let (stdin, bytes) = match self.input {
            Input::Nothing => (Stdio::null(), None),
            Input::From(file) => (Stdio::from(file), None),
            Input::Held => (Stdio::piped(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
        };
        command.stdin(stdin);
        command
            .stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", self.program.display()));
        let stdout = child
            .stdout
            .take()
            .map_or_else(Capture::nothing, Capture::of);
        let stderr = child
            .stderr
            .take()
            .map_or_else(Capture::nothing, Capture::of);
        let mut held = None;
        let feeder = match (bytes, child.stdin.take()) {
            (Some(bytes), Some(pipe)) => Some(feed_in_background(pipe, bytes)),
            (_, pipe) => {
                held = pipe;
                None
            }
        };
        let deadline = Instant::now() + self.patience;
        Running {
            name,
            child,
            stdin: held,
            feeder,
            stdout,
            stderr,
            deadline,
        }
    }
}

/// What a program needs of the surroundings to start at all.
#[expect(
    clippy::disallowed_methods,
    reason = "the surroundings are handed on, not read as settings"
)]
fn inherited() -> Vec<(&'static str, OsString)> {
    ["PATH", "HOME"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect()
}

fn feed_in_background(mut pipe: ChildStdin, bytes: Vec<u8>) -> JoinHandle<()> {
    thread::spawn(move || match pipe.write_all(&bytes) {
        // A program may end before it has read everything; what it printed says whether it should.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("cannot feed stdin: {error}"),
        _ => {}
    })
}

/// A signal that a person or a supervisor sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Control-C.
    Interrupt,
    /// The polite end.
    Terminate,
    /// The terminal was closed.
    Hangup,
    /// The end without a word.
    Kill,
    /// Stands still until `Continue`.
    Stop,
    /// Goes on.
    Continue,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Signal::Interrupt => "INT",
            Signal::Terminate => "TERM",
            Signal::Hangup => "HUP",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        }
    }
}

/// Sends a signal to a process of this test by its id.
pub fn send_signal(process: u32, signal: Signal) {
    // The shell's own `kill`: the program of that name is missing in small containers.
    let script = format!("kill -s {} {process}", signal.word());
    // The status is of no use: where the process has ended on its own in the meantime, the test sees
    // that by its exit code.
    Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("there is a shell");
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    feeder: Option<JoinHandle<()>>,
    stdout: Capture,
    stderr: Capture,
    deadline: Instant,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything on stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.bytes()
    }

    /// Everything on stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Writes to a stdin that is held open; false if the program no longer reads.
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let stdin = self.stdin.as_mut().expect("stdin is held open");
        stdin
            .write_all(bytes.as_ref())
            .and_then(|()| stdin.flush())
            .is_ok()
    }

    /// Ends a stdin that was held open.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until stdout has this many whole lines.
    pub fn wait_for_lines(&self, count: usize) {
        self.stdout
            .wait_for_lines(count, self.deadline)
            .unwrap_or_else(|seen| {
                panic!(
                    "`{}` printed {seen} of {count} lines; stderr:\n{}",
                    self.name,
                    self.stderr()
                );
            });
    }

    /// Waits until stderr holds a text.
    pub fn wait_for_log(&self, text: &str) {
        let found = self.stderr.wait_for(self.deadline, |bytes| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        });
        assert!(
            found,
            "`{}` never logged `{text}`; stderr:\n{}",
            self.name,
            self.stderr()
        );
    }

    /// Closes the reading end of stdout, as `head` does when it has seen enough.
    pub fn close_stdout_after_lines(&self, count: usize) {
        self.stdout.close_after_lines(count);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.id(), signal);
    }

    /// Whether the program has ended on its own.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    /// What the process has used of the processor, in ticks; 0 where the system does not show it.
    pub fn processor_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The name, in brackets, may hold anything; the times are the 12th and 13th after it.
        let fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        fields
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum()
    }

    /// What the process has in memory; 0 where the system does not show it.
    pub fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = size.and_then(|size| size.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kibibytes.unwrap_or(0) << 10
    }

    /// Kills without a word and waits for the end.
    pub fn kill(mut self) -> Finished {
        self.child.kill().expect("a child can be killed");
        self.finish()
    }

    /// Waits for the end; a held stdin is closed first.
    pub fn finish(mut self) -> Finished {
        self.stdin = None;
        let status = self.wait();
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("the feeder of stdin does not panic");
        }
        Finished {
            status,
            stdout: self.stdout.finish(),
            stderr: String::from_utf8_lossy(&self.stderr.finish()).into_owned(),
        }
    }

    fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > self.deadline {
                // Both fail only if the process has ended by now.
                drop(self.child.kill());
                drop(self.child.wait());
                panic!(
                    "`{}` did not end in time; stderr:\n{}",
                    self.name,
                    self.stderr()
                );
            }
            thread::sleep(POLL_PAUSE);
        }
    }
}

/// Between two looks at a process: std has no way to wait for one with a deadline.
const POLL_PAUSE: Duration = Duration::from_millis(2);

impl Drop for Running {
    fn drop(&mut self) {
        // A process that has ended already is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    status: ExitStatus,
    /// Everything on stdout.
    pub stdout: Vec<u8>,
    /// Everything on stderr.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` if a signal ended the program.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended the program.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("stdout is UTF-8")
    }

    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Finished {
        assert_eq!(
            self.status.code(),
            Some(code),
            "exit: {}; stderr:\n{}",
            self.status,
            self.stderr
        );
        self
    }

    /// Fails the test unless stderr holds a text.
    #[track_caller]
    pub fn expect_log(&self, text: &str) -> &Finished {
        assert!(
            self.stderr.contains(text),
            "stderr lacks `{text}`:\n{}",
            self.stderr
        );
        self
    }
}
