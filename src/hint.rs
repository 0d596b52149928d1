//! What a user can do about an error, and what kind of error it is.

use std::borrow::Cow;

/// What kind of failure an error is; decides exit codes and HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Something went wrong.
    #[default]
    Failed,
    /// Arguments or an input file are wrong.
    Input,
    /// The requested backend or precision is not available here.
    Unavailable,
    /// A verification failed.
    Unverified,
}

/// An error that can name its own fix.
///
/// The command line, the HTTP body and `diagnose` all print this, so the three tell the same story.
pub trait Hint: std::error::Error {
    /// A command to type or a setting to change, or `None` where no single step helps.
    fn hint(&self) -> Option<Cow<'static, str>>;

    /// What kind of failure this is.
    fn class(&self) -> Class {
        Class::Failed
    }
}
