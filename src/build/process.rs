//! The parent's side of a worker: start, listen, and end it in time.

use super::cancel::Cancel;
use super::failure::WorkerError;
use super::job::{Job, Message};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How to start a worker: a program that ends in [`worker::run`](super::worker::run).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// Lines kept for an error.
const LOG_LINES: usize = 30;
/// A longer line is cut.
const MAX_LOG_LINE: usize = 500;

enum Heard {
    Output(String),
    Log(String),
    Closed,
    Cancelled,
}

/// What a worker said that ended well.
pub(super) enum Said<'a> {
    Step {
        phase: &'a str,
        done: u32,
        total: u32,
    },
    Log(&'a str),
}

impl WorkerCommand {
    /// A program with its arguments.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }

    /// This program again, with other arguments.
    ///
    /// # Errors
    /// When the system does not tell where this program is.
    pub fn this_program(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> io::Result<Self> {
        std::env::current_exe().map(|program| Self::new(program, arguments))
    }

    /// Sets a variable of the worker's environment, which is otherwise this process's.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(super) fn start(&self, job: &Job) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Ctrl-C on the terminal reaches this process, which then ends its workers itself.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let mut line = serde_json::to_vec(job).expect("string keys and plain values only");
        line.push(b'\n');
        let input = child.stdin.as_mut().expect("piped");
        // A worker that died before reading is found by its exit; what it wrote says more than a broken pipe.
        let _ = input.write_all(&line);
        Ok(child)
    }
}

/// Runs one job in a worker. The worker is gone when this returns, however it returns.
///
/// Closing its standard input, as the end of this process does, ends a worker too.
pub(super) fn run_job(
    command: &WorkerCommand,
    job: &Job,
    deadline: Duration,
    cancel: &Cancel,
    said: &mut dyn FnMut(Said<'_>),
) -> Result<Message, WorkerError> {
    if cancel.is_cancelled() {
        return Err(WorkerError::Cancelled);
    }
    let mut worker = Worker {
        child: command.start(job).map_err(WorkerError::Start)?,
    };
    let heard = worker.listen(cancel);
    let ends = Instant::now() + deadline;
    let mut log = VecDeque::new();
    let mut result = None;
    let mut open_pipes = 2;
    while open_pipes > 0 {
        let left = ends.saturating_duration_since(Instant::now());
        match heard.recv_timeout(left) {
            Ok(Heard::Output(line)) => match serde_json::from_str(&line) {
                Ok(Message::Step { phase, done, total }) => said(Said::Step {
                    phase: &phase,
                    done,
                    total,
                }),
                Ok(message) => result = Some(message),
                Err(_) => keep(&mut log, line, said),
            },
            Ok(Heard::Log(line)) => keep(&mut log, line, said),
            Ok(Heard::Closed) => open_pipes -= 1,
            Ok(Heard::Cancelled) => return Err(WorkerError::Cancelled),
            Err(RecvTimeoutError::Timeout) => {
                return Err(WorkerError::Hung {
                    deadline,
                    log: log.into(),
                });
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = worker.end();
    match result {
        Some(Message::Failed { failure }) => Err(WorkerError::Failed(failure)),
        Some(message) => Ok(message),
        None => Err(died(status, log.into())),
    }
}

/// Kills its process when dropped.
struct Worker {
    child: Child,
}

impl Worker {
    fn listen(&mut self, cancel: &Cancel) -> Receiver<Heard> {
        let (sender, heard) = channel();
        let output = self.child.stdout.take().expect("piped");
        let log = self.child.stderr.take().expect("piped");
        forward(output, sender.clone(), Heard::Output);
        forward(log, sender.clone(), Heard::Log);
        cancel.on_cancel(move || {
            // A build that is over no longer listens.
            let _ = sender.send(Heard::Cancelled);
        });
        heard
    }

    /// Waits for a process that has closed its pipes, which is to say has ended.
    fn end(&mut self) -> Option<ExitStatus> {
        // One that closed them and goes on has nothing more to say. An ended one keeps its status.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

fn forward(pipe: impl Read + Send + 'static, to: Sender<Heard>, heard: fn(String) -> Heard) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() && to.send(heard(text.to_owned())).is_err() {
                return;
            }
            line.clear();
        }
        let _ = to.send(Heard::Closed);
    });
}

fn keep(log: &mut VecDeque<String>, line: String, said: &mut dyn FnMut(Said<'_>)) {
    said(Said::Log(&line));
    if log.len() == LOG_LINES {
        log.pop_front();
    }
    log.push_back(match line.char_indices().nth(MAX_LOG_LINE) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    });
}

fn died(status: Option<ExitStatus>, log: Vec<String>) -> WorkerError {
    #[cfg(unix)]
    if let Some(signal) =
        status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status))
    {
        const SIGINT: i32 = 2;
        const SIGKILL: i32 = 9;
        const SIGTERM: i32 = 15;
        return match signal {
            SIGKILL => WorkerError::Killed { log },
            SIGINT | SIGTERM => WorkerError::Cancelled,
            signal => WorkerError::Crashed { signal, log },
        };
    }
    let code = status.and_then(|status| status.code()).unwrap_or(-1);
    WorkerError::Exited { code, log }
}
