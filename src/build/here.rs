//! What this machine gives engines to run on, and whether one serves here.

use crate::backend::{Backends, Capabilities, Unavailable};
use crate::cache::{Change, Here, KeyInputs};
use crate::ids::BackendId;
use std::collections::BTreeMap;

/// What every device of a machine gives engines to run on, and what it can run at all.
#[derive(Debug)]
pub struct Machine {
    here: Here,
    /// What each backend said, once for every device.
    probes: BTreeMap<BackendId, Vec<Result<Capabilities, Unavailable>>>,
}

/// Whether an engine serves on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Valid,
    /// What it was built from has changed here.
    Stale(Vec<Change>),
    /// It is for another machine, or for a library that is not here.
    Elsewhere(String),
}

impl Standing {
    /// What has changed, nothing where nothing has, and why it is for elsewhere, where it is.
    pub fn into_parts(self) -> (Vec<Change>, Option<String>) {
        match self {
            Self::Valid => (Vec::new(), None),
            Self::Stale(changes) => (changes, None),
            Self::Elsewhere(why) => (Vec::new(), Some(why)),
        }
    }
}

impl Machine {
    /// A machine by the backends of every device of it.
    pub fn of(devices: &[Backends]) -> Self {
        let mut probes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for backend in devices.iter().flat_map(Backends::iter) {
            let known = probes.entry(backend.id()).or_default();
            known.push(backend.probe());
        }
        Self {
            here: here_on(devices),
            probes,
        }
    }

    /// What engines are compared with.
    pub fn here(&self) -> &Here {
        &self.here
    }

    /// Whether the engine of these inputs serves here.
    pub fn standing(&self, built: &KeyInputs) -> Standing {
        let stale = self.here.stale(built);
        if !stale.is_empty() {
            return Standing::Stale(stale);
        }
        let probes = self.probes.get(&built.backend);
        let mut reason = format!("this program has no adapter for {}", built.backend);
        for probe in probes.map_or(&[][..], Vec::as_slice) {
            match cannot_run(probe, built) {
                None => return Standing::Valid,
                Some(why) => reason = why,
            }
        }
        Standing::Elsewhere(reason)
    }
}

/// Why a device does not run an engine that nothing has made stale.
fn cannot_run(
    probe: &Result<Capabilities, Unavailable>,
    KeyInputs {
        backend, options, ..
    }: &KeyInputs,
) -> Option<String> {
    let targets: Vec<String> = options.targets.iter().map(ToString::to_string).collect();
    let built_for = match targets.as_slice() {
        [] => String::new(),
        targets => format!("built for {}; ", targets.join(" ")),
    };
    match probe {
        Err(Unavailable { reasons, .. }) => {
            let why = reasons.first().map_or("", String::as_str);
            Some(format!("{built_for}{backend} is not available here: {why}"))
        }
        Ok(Capabilities { run: Err(why), .. }) => Some(format!("{built_for}here: {why}")),
        Ok(Capabilities {
            device: Some(device),
            ..
        }) if !targets.is_empty() && !options.targets.contains(device) => {
            Some(format!("{built_for}this GPU is {device}"))
        }
        Ok(_) => None,
    }
}

/// What devices give engines to run on; backends that are not installed are left out.
fn here_on(devices: &[Backends]) -> Here {
    let mut here = Here {
        host: KeyInputs::this_host(),
        backends: BTreeMap::new(),
    };
    for backend in devices.iter().flat_map(Backends::iter) {
        if let Ok(fingerprint) = backend.fingerprint() {
            let known = here.backends.entry(backend.id()).or_default();
            if !known.contains(&fingerprint) {
                known.push(fingerprint);
            }
        }
    }
    here
}
