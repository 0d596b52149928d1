//! Driver, devices, memory, disk and port.

use super::Finding;
use crate::cuda::{Driver, NoCuda};
use crate::profile::Profile;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

const MIB: u64 = 1 << 20;
/// What a full-size model's engines take, with room to replace them.
const ENGINES_MIB: u64 = 6 * 1024;

pub(super) fn driver(probe: &Result<Driver, NoCuda>) -> Finding {
    match probe {
        Ok(driver) => {
            let version = driver.cuda_version;
            Finding::ok(
                "driver",
                format!("supports CUDA {}.{}", version / 1000, version % 1000 / 10),
            )
        }
        Err(reason) => Finding::note(
            "driver",
            reason.to_string(),
            Some("install the NVIDIA driver to use a GPU".to_owned()),
        ),
    }
}

pub(super) fn devices(driver: &Driver) -> Vec<Finding> {
    let describe = |device: &crate::cuda::Device| {
        let (name, capability, memory) =
            (&device.name, device.capability, device.memory_bytes / MIB);
        Finding::ok(
            format!("gpu {}", device.ordinal),
            format!("{name}, {capability}, {memory} MiB"),
        )
    };
    driver.devices.iter().map(describe).collect()
}

/// Whether the memory the profile asks for is free.
pub(super) fn memory(profile: &Profile) -> Finding {
    let needed = profile.memory_needed().host_mib;
    let Some(available) = available_mib() else {
        return Finding::note("memory", "this system does not tell how much is free", None);
    };
    let what = format!(
        "{available} MiB free, profile `{}` asks for {needed}",
        profile.name
    );
    if available >= needed {
        Finding::ok("memory", what)
    } else {
        Finding::note(
            "memory",
            what,
            Some("choose a smaller model, or a profile with fewer slots".to_owned()),
        )
    }
}

/// Memory of the machine, in MiB, in use or not; `None` where the system does not tell.
pub fn memory_mib() -> Option<u64> {
    meminfo_mib("MemTotal:")
}

fn available_mib() -> Option<u64> {
    meminfo_mib("MemAvailable:")
}

fn meminfo_mib(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// Whether the disk has room for a model's engines.
pub(super) fn disk(engines: &Path) -> Finding {
    let existing = engines
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("/"));
    match fs4::available_space(existing) {
        Err(error) => Finding::note("disk", format!("{}: {error}", existing.display()), None),
        Ok(bytes) if bytes / MIB >= ENGINES_MIB => Finding::ok(
            "disk",
            format!("{} MiB free at {}", bytes / MIB, existing.display()),
        ),
        Ok(bytes) => Finding::note(
            "disk",
            format!(
                "{} MiB free at {}; a full-size model's engines take up to {ENGINES_MIB}",
                bytes / MIB,
                existing.display()
            ),
            Some("cvtrt engines gc --max-size 1G, or --engines-dir on another disk".to_owned()),
        ),
    }
}

/// Whether a server could listen.
pub(super) fn port(port: u16) -> Finding {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Finding::ok("port", format!("{port} is free")),
        Err(error) => Finding::note(
            "port",
            format!("{port}: {error}"),
            Some("choose another port with --port".to_owned()),
        ),
    }
}
