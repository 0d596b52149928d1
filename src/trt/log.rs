//! What a library says while it works: to `tracing`, and the last lines kept for an error.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How bad a library thinks a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A bug in the library.
    InternalError,
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warning,
    /// Information.
    Info,
    /// Everything else.
    Verbose,
}

/// One line of a library's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How bad it is.
    pub severity: Severity,
    /// The library's words, cut to 2 KiB.
    pub text: String,
}

/// The log of one library: the last lines, and the first warnings, since it was last emptied.
#[derive(Debug, Default)]
pub(super) struct LogTail {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) last: VecDeque<LogLine>,
    pub(super) warnings: Vec<String>,
}

const LAST_LINES: usize = 64;
const WARNINGS: usize = 64;
const LINE_BYTES: usize = 2048;

impl LogTail {
    /// Writes one line. Called from any thread of the library.
    pub(super) fn write(&self, severity: Severity, text: &str) {
        match severity {
            Severity::InternalError | Severity::Error => {
                tracing::error!(target: "cvtrt::trt", "{text}");
            }
            Severity::Warning => tracing::warn!(target: "cvtrt::trt", "{text}"),
            Severity::Info => tracing::debug!(target: "cvtrt::trt", "{text}"),
            Severity::Verbose => {
                tracing::trace!(target: "cvtrt::trt", "{text}");
                return;
            }
        }
        let text = text[..text.floor_char_boundary(LINE_BYTES)].to_owned();
        let mut kept = self.lock();
        if severity == Severity::Warning && kept.warnings.len() < WARNINGS {
            kept.warnings.push(text.clone());
        }
        if kept.last.len() == LAST_LINES {
            kept.last.pop_front();
        }
        kept.last.push_back(LogLine { severity, text });
    }

    /// What was kept, leaving nothing.
    pub(super) fn take(&self) -> Kept {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every state of the two lists is a valid one.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogLine {
    /// The last error among lines, which tells most of why a call failed.
    pub(super) fn last_error(lines: &[Self]) -> Option<&Self> {
        let mut latest_first = lines.iter().rev();
        latest_first.find(|line| line.severity <= Severity::Error)
    }

    /// Whether the line is an error for want of memory: `ErrorCode::kFAILED_ALLOCATION` prints as `OutOfMemory`.
    pub(super) fn tells_out_of_memory(&self) -> bool {
        self.severity <= Severity::Error
            && (self.text.contains("OutOfMemory") || self.text.contains("out of memory"))
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_and_the_first_warnings_are_kept() {
        let log = LogTail::default();
        log.write(Severity::Warning, "early");
        for number in 0..LAST_LINES {
            log.write(Severity::Info, &number.to_string());
        }
        log.write(Severity::Verbose, "chatter");
        let kept = log.take();
        assert_eq!(kept.warnings, ["early"]);
        assert_eq!(kept.last.len(), LAST_LINES);
        assert_eq!(kept.last[0].text, "0");
        assert!(log.take().last.is_empty());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let log = LogTail::default();
        log.write(Severity::Error, &"語".repeat(LINE_BYTES));
        assert_eq!(log.take().last[0].text.len(), LINE_BYTES / 3 * 3);
    }
}
