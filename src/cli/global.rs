//! Flags every command takes.

use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// Flags every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Print JSON on stdout (one document, or one per line for streams)
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Say more on stderr; repeat for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Say less on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) quiet: u8,
    /// Colour on a terminal
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
    /// Folder of the run-time libraries
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) runtime_dir: Option<PathBuf>,
    /// Folder of the engine cache
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) engines_dir: Option<PathBuf>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Global {
    /// `-v` minus `-q`.
    pub(super) fn verbosity(&self) -> i8 {
        let level = i16::from(self.verbose) - i16::from(self.quiet);
        i8::try_from(level.clamp(-1, 3)).expect("clamped")
    }
}
