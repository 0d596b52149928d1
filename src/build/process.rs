//! The parent's side of a worker: start, listen, and end it in time.

use super::cancel::{Cancel, Listening};
use super::failure::WorkerError;
use super::job::{Job, Message};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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
/// Characters of such a line; a longer one is cut.
const MAX_LOG_LINE: usize = 500;
/// Lines read and not yet looked at; a worker that writes faster waits.
const QUEUED_LINES: usize = 256;
/// Bytes of any line; a longer one is cut.
const MAX_LINE: usize = 64 << 10;
/// Bytes of a message, which may hold the report on every layer of an engine.
const MAX_MESSAGE: usize = 64 << 20;
/// How the line of a [`Message`] starts, its tag being written first.
const MESSAGE: &[u8] = br#"{"cvtrt":"#;

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

    /// Lets the worker see one device only, which is number 0 to it.
    ///
    /// `device` counts what this process sees: the entries of `CUDA_VISIBLE_DEVICES`, where that is set.
    pub(super) fn on_device(self, device: u32) -> Self {
        const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
        if device == 0 {
            return self;
        }
        let own = std::env::var(VISIBLE).ok();
        self.with_variable(VISIBLE, visible(own.as_deref(), device))
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

/// The name of a device, given the list of those that can be seen.
fn visible(list: Option<&str>, device: u32) -> String {
    let named = list.filter(|list| !list.is_empty()).and_then(|list| {
        let at = usize::try_from(device).ok()?;
        list.split(',').nth(at).map(|name| name.trim().to_owned())
    });
    named.unwrap_or_else(|| device.to_string())
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
    let (heard, _listening) = worker.listen(cancel);
    let ends = Instant::now() + deadline;
    let mut log = VecDeque::new();
    let mut result = None;
    let mut open_pipes = 2;
    while open_pipes > 0 {
        // Asked before each line, so that neither is missed between the lines of a worker that never stops writing.
        if cancel.is_cancelled() {
            return Err(WorkerError::Cancelled);
        }
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(WorkerError::Hung {
                deadline,
                log: log.into(),
            });
        }
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
            Err(RecvTimeoutError::Timeout) => {}
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
    fn listen(&mut self, cancel: &Cancel) -> (Receiver<Heard>, Listening) {
        let (sender, heard) = sync_channel(QUEUED_LINES);
        let output = self.child.stdout.take().expect("piped");
        let log = self.child.stderr.take().expect("piped");
        forward(output, sender.clone(), Heard::Output);
        forward(log, sender.clone(), Heard::Log);
        let listening = cancel.on_cancel(move || {
            // Where the queue is full, the loop comes by to ask; a build that is over no longer listens.
            let _ = sender.try_send(Heard::Cancelled);
        });
        (heard, listening)
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

fn forward(pipe: impl Read + Send + 'static, to: SyncSender<Heard>, heard: fn(String) -> Heard) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while read_line(&mut pipe, &mut line).is_ok_and(|is_line| is_line) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            if !text.is_empty() && to.send(heard(text.to_owned())).is_err() {
                return;
            }
        }
        let _ = to.send(Heard::Closed);
    });
}

/// Reads the next line without its end, or the part of it that is kept; gives `false` where there is none.
fn read_line(pipe: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut is_line = false;
    loop {
        let chunk = match pipe.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return Ok(is_line);
        }
        is_line = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
        line.truncate(if line.starts_with(MESSAGE) {
            MAX_MESSAGE
        } else {
            MAX_LINE
        });
        let read = end.map_or(chunk.len(), |end| end + 1);
        pipe.consume(read);
        if end.is_some() {
            return Ok(true);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_a_long_message_is_not() {
        let noise = "n".repeat(3 * MAX_LINE);
        let message = format!(r#"{{"cvtrt":"failed","{noise}":0}}"#);
        let text = format!("{noise}\n\nshort\n{message}\n{noise}");
        let mut pipe = BufReader::new(text.as_bytes());
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while read_line(&mut pipe, &mut line).expect("in memory") {
            lines.push(String::from_utf8(line.clone()).expect("text"));
        }
        let cut = &noise[..MAX_LINE];
        assert!(lines == [cut, "", "short", &message, cut]);
    }

    #[test]
    fn a_device_is_counted_among_those_that_can_be_seen() {
        for (list, device, name) in [
            (None, 1, "1"),
            (Some(""), 2, "2"),
            (Some("2,3"), 1, "3"),
            (Some("GPU-aa, GPU-bb"), 1, "GPU-bb"),
        ] {
            assert_eq!(visible(list, device), name, "{list:?}");
        }
    }

    #[test]
    fn a_message_starts_with_its_tag() {
        let message = Message::Step {
            phase: "compiling".to_owned(),
            done: 0,
            total: 1,
        };
        let text = serde_json::to_vec(&message).expect("plain values");
        assert!(text.starts_with(MESSAGE));
    }
}
