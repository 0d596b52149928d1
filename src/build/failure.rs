//! How a worker fails.

use crate::hint::{Class, Hint};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

/// An error that crossed the border between two processes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What failed, then why, outermost first.
    pub messages: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What kind of failure it is.
    pub kind: FailureKind,
}

/// [`Class`] in a form that crosses the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something went wrong.
    Failed,
    /// Arguments or an input file are wrong.
    Input,
    /// The backend or precision is not available here.
    Unavailable,
    /// The engine does not compute what the reference does.
    Unverified,
    /// The disk or the quota is full.
    Storage,
    /// Memory ran out, of host or device.
    Memory,
}

/// How a worker ended that did not do its job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The worker could not be started.
    #[error("the worker did not start")]
    Start(#[source] io::Error),
    /// It said why it failed.
    #[error("{0}")]
    Failed(Failure),
    /// It crashed.
    #[error("the worker crashed with signal {signal}{}", with_log(log))]
    Crashed {
        /// 11 for a wild pointer, 6 for an abort.
        signal: i32,
        /// The last lines it wrote.
        log: Vec<String>,
    },
    /// The system killed it.
    #[error(
        "the worker was killed by the system, as it does when memory runs out{}",
        with_log(log)
    )]
    Killed {
        /// The last lines it wrote.
        log: Vec<String>,
    },
    /// It ended without a result.
    #[error(
        "the worker ended with code {code} and without a result{}",
        with_log(log)
    )]
    Exited {
        /// Its exit code; -1 where the system tells none.
        code: i32,
        /// The last lines it wrote.
        log: Vec<String>,
    },
    /// It did not end in time.
    #[error("the worker was stopped after {} s{}", deadline.as_secs_f64(), with_log(log))]
    Hung {
        /// The time it had.
        deadline: Duration,
        /// The last lines it wrote.
        log: Vec<String>,
    },
    /// The build was asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl Failure {
    /// What crosses of an error.
    pub fn of(error: &(impl Hint + 'static), kind: FailureKind) -> Self {
        let mut messages = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            messages.push(cause.to_string());
            source = cause.source();
        }
        // A transparent error repeats its source.
        messages.dedup();
        Self {
            messages,
            hint: error.hint().map(Cow::into_owned),
            kind,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join(": "))
    }
}

impl WorkerError {
    /// Whether it failed for want of memory, as it need not where it has the machine to itself.
    pub(super) fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.kind == FailureKind::Memory,
            Self::Killed { .. } => true,
            _ => false,
        }
    }
}

impl Hint for WorkerError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Failed(failure) => failure.hint.clone().map(Cow::from),
            Self::Killed { .. } => {
                Some("lower --max-workspace or the profile's largest shapes, or free memory".into())
            }
            Self::Crashed { .. } | Self::Exited { .. } => {
                Some("run again with -v for the whole log, or choose another --backend".into())
            }
            Self::Hung { .. } => Some("choose another --backend or smaller shapes".into()),
            Self::Start(_) | Self::Cancelled => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Failed(failure) => match failure.kind {
                FailureKind::Failed | FailureKind::Storage | FailureKind::Memory => Class::Failed,
                FailureKind::Input => Class::Input,
                FailureKind::Unavailable => Class::Unavailable,
                FailureKind::Unverified => Class::Unverified,
            },
            _ => Class::Failed,
        }
    }
}

fn with_log(log: &[String]) -> String {
    if log.is_empty() {
        return "; it wrote nothing".to_owned();
    }
    format!("; it last wrote:\n  {}", log.join("\n  "))
}
