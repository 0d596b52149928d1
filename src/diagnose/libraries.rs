//! Every TensorRT and TensorRT-RTX library there is.

use super::Finding;
use crate::cuda::{Driver, NoCuda};
use crate::trt::{Flavour, SearchPath, Surveyed, TrtLibrary, rtx_targets};

/// One finding per library: what it is good for, or why for nothing, and whether it is the one that is used.
pub(super) fn check(search: &SearchPath, driver: &Result<Driver, NoCuda>) -> Vec<Finding> {
    [Flavour::TensorRt, Flavour::TensorRtRtx]
        .into_iter()
        .flat_map(|flavour| TrtLibrary::survey(flavour, search))
        .map(|found| finding(&found, driver))
        .collect()
}

fn finding(found: &Surveyed, driver: &Result<Driver, NoCuda>) -> Finding {
    const SUBJECT: &str = "library";
    let path = found.path.display();
    let library = match &found.library {
        Ok(library) => library,
        Err(refusal) => {
            return Finding::note(SUBJECT, format!("{path}: not usable: {refusal}"), None);
        }
    };
    let mut words = vec![match library.cannot_build() {
        None => "builds and runs engines".to_owned(),
        Some(reason) => format!("only runs engines: {reason}"),
    }];
    words.extend(library.remarks().iter().cloned());
    let proper = library.version().flavour == Flavour::TensorRt;
    match driver {
        Err(reason) if proper => words.push(format!("neither here: {reason}")),
        Err(reason) => words.push(format!("runs none here: {reason}")),
        Ok(_) if proper => {}
        Ok(driver) => words.extend(foreign_devices(driver)),
    }
    let taken = if found.taken { "used" } else { "not used" };
    let what = format!(
        "{} at {path} ({taken}): {}",
        library.version(),
        words.join("; ")
    );
    if found.taken && (driver.is_ok() || !proper) {
        Finding::ok(SUBJECT, what)
    } else {
        Finding::note(SUBJECT, what, None)
    }
}

/// The devices here that TensorRT-RTX refuses to build for.
fn foreign_devices(driver: &Driver) -> impl Iterator<Item = String> {
    let foreign = driver
        .devices
        .iter()
        .filter(|device| !rtx_targets().any(|known| known == device.capability));
    foreign.map(|device| format!("has no code for {} ({})", device.name, device.capability))
}
