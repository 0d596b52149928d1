//! What every command knows of its surroundings.

use super::failure::{Exit, Failure};
use super::global::Global;
use super::origin::{FlagOrigin, Origin};
use super::printer::{self, Printer};
use crate::build::Cancel;
use crate::config::Places;
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// What every command knows of its surroundings.
#[derive(Debug)]
pub(super) struct Context {
    printer: Printer,
    origin: Origin,
    places: Places,
    runtime_dir: Option<PathBuf>,
    verbosity: usize,
    matches: ArgMatches,
    quiet: bool,
}

impl Context {
    pub(super) fn new(global: &Global, origin: Origin, matches: ArgMatches) -> Self {
        let color = printer::color_wanted(global.color);
        crate::telemetry::start(global.verbosity(), color);
        let mut places = Places::from(origin.working_dir());
        if let Some(engines) = &global.engines_dir {
            places.engines.clone_from(engines);
        }
        let runtime_dir = global.runtime_dir.clone();
        Self {
            printer: Printer::new(global.json, color),
            origin,
            places,
            runtime_dir,
            verbosity: usize::try_from(global.verbosity()).unwrap_or(0),
            matches,
            quiet: global.verbosity() < 0,
        }
    }

    pub(super) fn printer(&self) -> Printer {
        self.printer
    }

    pub(super) fn json(&self) -> bool {
        self.printer.json()
    }

    pub(super) fn color(&self) -> bool {
        self.printer.color()
    }

    /// Whether `-q` asked for less.
    pub(super) fn quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn working_dir(&self) -> &Path {
        self.origin.working_dir()
    }

    /// The folder `setup` fills, and the first that run-time libraries are looked for in.
    pub(super) fn runtime_dir(&self) -> &Path {
        self.runtime_dir.as_deref().unwrap_or(&self.places.runtime)
    }

    /// How many `-v` were given and not taken back by `-q`.
    pub(super) fn verbosity(&self) -> usize {
        self.verbosity
    }

    /// The run-time folder, where one was named.
    pub(super) fn named_runtime_dir(&self) -> Option<&Path> {
        self.runtime_dir.as_deref()
    }

    /// Every flag of this run with its value and where it came from.
    pub(super) fn flag_origins(&self) -> Vec<FlagOrigin> {
        self.origin.of_flags(&self.matches)
    }
}

/// A build's stop, raised by Ctrl-C or SIGTERM; a second one ends the process.
pub(super) fn cancel_on_interrupt() -> Result<Cancel, Failure> {
    let cancel = Cancel::default();
    let raised = cancel.clone();
    ctrlc::set_handler(move || {
        if raised.is_cancelled() {
            std::process::exit(130);
        }
        raised.cancel();
    })
    .map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(cancel)
}
