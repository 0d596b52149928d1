//! What a user can do about an error.

use std::borrow::Cow;

/// An error that can name its own fix.
///
/// The command line, the HTTP body and `diagnose` all print this, so the three tell the same story.
pub trait Hint: std::error::Error {
    /// A command to type or a setting to change, or `None` where no single step helps.
    fn hint(&self) -> Option<Cow<'static, str>>;
}
