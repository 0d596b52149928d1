//! Which profile fits a machine.

use super::{Memory, Profile};
use crate::ids::BackendId;
use std::fmt;

/// What a machine has, as far as profiles ask.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Machine {
    /// Host memory, in MiB; `None` where the system does not tell.
    pub host_mib: Option<u64>,
    /// Memory of the GPU, in MiB; `None` without one.
    pub device_mib: Option<u64>,
    /// Backends that can run graphs here.
    pub runs: Vec<BackendId>,
}

/// How a profile fits a machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fit {
    /// The profile.
    pub profile: String,
    /// Memory it needs with every slot in use.
    pub needs: Memory,
    /// The first backend of its chain that runs here.
    pub runs_on: Option<BackendId>,
    /// Utterances at a time.
    pub slots: u16,
    /// Everything that keeps it from fitting; empty where it fits.
    pub misfits: Vec<Misfit>,
}

/// One reason why a profile does not fit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "misfit", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Misfit {
    /// It serves from a GPU's memory and there is no GPU.
    NoDevice {
        /// Memory it needs there, in MiB.
        needed_mib: u64,
    },
    /// The GPU has too little memory.
    DeviceMemory {
        /// Memory it needs, in MiB.
        needed_mib: u64,
        /// Memory there is, in MiB.
        found_mib: u64,
    },
    /// The host has too little memory.
    HostMemory {
        /// Memory it needs, in MiB.
        needed_mib: u64,
        /// Memory there is, in MiB.
        found_mib: u64,
    },
    /// No backend of its chain runs here.
    NoBackend {
        /// Its chain.
        links: Vec<BackendId>,
    },
}

impl Fit {
    /// How `profile` fits `machine`.
    pub fn of(profile: &Profile, machine: &Machine) -> Self {
        let needs = profile.memory_needed();
        let links = &profile.chain.links;
        let runs_on = links
            .iter()
            .copied()
            .find(|link| machine.runs.contains(link));
        let mut misfits = Vec::new();
        match machine.device_mib {
            None if needs.device_mib > 0 => misfits.push(Misfit::NoDevice {
                needed_mib: needs.device_mib,
            }),
            Some(found_mib) if needs.device_mib > found_mib => misfits.push(Misfit::DeviceMemory {
                needed_mib: needs.device_mib,
                found_mib,
            }),
            _ => {}
        }
        if let Some(found_mib) = machine.host_mib.filter(|&found| found < needs.host_mib) {
            misfits.push(Misfit::HostMemory {
                needed_mib: needs.host_mib,
                found_mib,
            });
        }
        if runs_on.is_none() {
            misfits.push(Misfit::NoBackend {
                links: links.clone(),
            });
        }
        Self {
            profile: profile.name.clone(),
            needs,
            runs_on,
            slots: profile.decode_slots.get(),
            misfits,
        }
    }

    /// Whether nothing keeps the profile from serving.
    pub fn is_fit(&self) -> bool {
        self.misfits.is_empty()
    }
}

/// The profile to take: the one with the best backend, written for the memory that backend uses, with the most utterances
/// at a time.
pub fn recommended(fits: &[Fit]) -> Option<&Fit> {
    let fitting = fits.iter().filter(|fit| fit.is_fit());
    // Backends are declared best first.
    fitting.min_by_key(|fit| {
        let on_host = fit.runs_on == Some(BackendId::OrtCpu);
        let for_host = fit.needs.device_mib == 0;
        (
            fit.runs_on,
            on_host != for_host,
            u16::MAX - fit.slots,
            fit.profile.clone(),
        )
    })
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice { needed_mib } => {
                write!(f, "needs {needed_mib} MiB on a GPU, and there is no GPU")
            }
            Self::DeviceMemory {
                needed_mib,
                found_mib,
            } => write!(
                f,
                "needs {needed_mib} MiB on the GPU, which has {found_mib}"
            ),
            Self::HostMemory {
                needed_mib,
                found_mib,
            } => write!(f, "needs {needed_mib} MiB of memory, {found_mib} are there"),
            Self::NoBackend { links } => {
                let links: Vec<&str> = links.iter().map(|link| link.as_str()).collect();
                write!(f, "none of its backends runs here: {}", links.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Shelf;

    fn recommend(host_mib: u64, device_mib: Option<u64>, runs: &[BackendId]) -> Option<String> {
        let machine = Machine {
            host_mib: Some(host_mib),
            device_mib,
            runs: runs.to_vec(),
        };
        let shelf = Shelf::ready_made();
        let fits: Vec<Fit> = ["cpu", "default", "rtx"]
            .map(|name| Fit::of(&shelf.find(name).expect("ready-made").profile, &machine))
            .into();
        recommended(&fits).map(|fit| fit.profile.clone())
    }

    #[test]
    fn a_machine_gets_what_it_can_serve() {
        use BackendId::{OrtCpu, OrtCuda, TensorRt, TensorRtRtx};
        type Case = (u64, Option<u64>, &'static [BackendId], Option<&'static str>);
        let cases: [Case; 7] = [
            (32_768, None, &[OrtCpu], Some("cpu")),
            (2_048, None, &[OrtCpu], None),
            (32_768, None, &[], None),
            (
                32_768,
                Some(24_576),
                &[TensorRt, OrtCuda, OrtCpu],
                Some("default"),
            ),
            (32_768, Some(24_576), &[OrtCpu], Some("cpu")),
            (32_768, Some(2_048), &[TensorRt, OrtCpu], Some("cpu")),
            (
                32_768,
                Some(24_576),
                &[TensorRtRtx, OrtCpu],
                Some("default"),
            ),
        ];
        for (host, device, runs, wanted) in cases {
            assert_eq!(
                recommend(host, device, runs).as_deref(),
                wanted,
                "{host} {device:?} {runs:?}"
            );
        }
    }
}
