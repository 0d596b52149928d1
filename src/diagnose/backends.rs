//! Which libraries are here, and which tier they make.

use super::Finding;
use crate::backend::{Backends, Capabilities, Unavailable};
use crate::hint::Hint;
use crate::ids::{BackendId, Precision, Tier};
use crate::profile::Profile;

/// One finding per backend, and the first tier of the profile's chain that runs here.
///
/// A library that is missing is a problem only where nothing else of the chain runs.
pub(super) fn check(backends: &Backends, profile: &Profile) -> (Vec<Finding>, Option<Tier>) {
    let probed: Vec<_> = backends
        .iter()
        .map(|backend| (backend.id(), backend.probe()))
        .collect();
    let capabilities = |link: &BackendId| {
        probed
            .iter()
            .find(|(id, _)| id == link)
            .and_then(|(_, probe)| probe.as_ref().ok())
    };
    let tier = profile
        .chain
        .links
        .iter()
        .find_map(|link| Some(tier_of(*link, capabilities(link)?, profile)).flatten());
    let findings = probed
        .iter()
        .map(|(id, probe)| finding(*id, probe, tier.is_none()))
        .collect();
    (findings, tier)
}

fn tier_of(backend: BackendId, capabilities: &Capabilities, profile: &Profile) -> Option<Tier> {
    capabilities.run.as_ref().ok()?;
    let wanted = profile.precision;
    let precision = if capabilities.precisions.contains(&wanted) {
        wanted
    } else {
        Precision::Fp32
    };
    Some(Tier { backend, precision })
}

fn finding(
    id: BackendId,
    probe: &Result<Capabilities, Unavailable>,
    nothing_runs: bool,
) -> Finding {
    match probe {
        Ok(capabilities) => {
            let Capabilities {
                library,
                path,
                precisions,
                device: _,
                run,
            } = capabilities;
            let precisions: Vec<&str> = precisions
                .iter()
                .map(|precision| precision.as_str())
                .collect();
            let what = format!(
                "{library} at {}, builds {}",
                path.display(),
                precisions.join(" ")
            );
            match run {
                Ok(()) => Finding::ok(id.as_str(), what),
                Err(reason) => Finding::note(
                    id.as_str(),
                    format!("{what}; does not run here: {reason}"),
                    None,
                ),
            }
        }
        Err(unavailable) => {
            let (what, fix) = (
                unavailable.reasons.join("; "),
                unavailable.hint().map(String::from),
            );
            if nothing_runs && id == BackendId::OrtCpu {
                Finding::problem(id.as_str(), what, fix.unwrap_or_default())
            } else {
                Finding::note(id.as_str(), what, fix)
            }
        }
    }
}
