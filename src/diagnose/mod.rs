//! What of a machine keeps cvtrt from working, and what to do about each.
//!
//! Every check gives [`Finding`]s; none fails. [`Diagnosis::of`] runs them all and ends with the tier that would run.

mod backends;
mod bundles;
mod engines;
mod libraries;
mod machine;

pub use machine::memory_mib;

use crate::backend::Backends;
use crate::cache::EngineStore;
use crate::config::Places;
use crate::cuda;
use crate::ids::Tier;
use crate::profile::Profile;
use crate::trt::SearchPath;
use std::path::Path;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at: `driver`, `ort-cpu`, `bundle`.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub what: String,
    /// The command or setting that mends it.
    pub fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Missing or lesser, and speech works without it.
    Note,
    /// In the way.
    Problem,
}

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct Subjects<'a> {
    /// Folders.
    pub places: &'a Places,
    /// What compiles and runs graphs.
    pub backends: &'a Backends,
    /// Where TensorRT is looked for.
    pub tensorrt: &'a SearchPath,
    /// The one bundle to check; `None`: every bundle in its place.
    pub bundle: Option<&'a Path>,
    /// The engine cache.
    pub store: &'a EngineStore,
    /// The profile that would be used.
    pub profile: &'a Profile,
    /// The port a server would listen on.
    pub port: u16,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnosis {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// The best tier that can run here, if any can.
    pub tier: Option<Tier>,
}

impl Diagnosis {
    /// Looks at everything.
    pub fn of(subjects: &Subjects<'_>) -> Self {
        let driver = cuda::probe();
        let mut findings = vec![machine::driver(&driver)];
        if let Ok(driver) = &driver {
            findings.extend(machine::devices(driver));
        }
        let (found, tier) = backends::check(subjects.backends, subjects.profile);
        findings.extend(found);
        findings.extend(libraries::check(subjects.tensorrt, &driver));
        let (found, speakable) = bundles::check(subjects.places, subjects.bundle);
        findings.extend(found);
        findings.push(engines::check(subjects.store, subjects.backends));
        findings.push(machine::memory(subjects.profile));
        findings.push(machine::disk(&subjects.places.engines));
        findings.push(machine::port(subjects.port));
        Self {
            findings,
            tier: tier.filter(|_| speakable),
        }
    }
}

impl Finding {
    fn ok(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            state: State::Ok,
            what: what.into(),
            fix: None,
        }
    }

    fn note(subject: impl Into<String>, what: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            subject: subject.into(),
            state: State::Note,
            what: what.into(),
            fix,
        }
    }

    fn problem(
        subject: impl Into<String>,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            state: State::Problem,
            what: what.into(),
            fix: Some(fix.into()),
        }
    }
}
