//! How much memory is free, and how much building a graph takes.

use super::PlannedGraph;
use crate::bundle::Bundle;
use crate::ids::BackendId;
use std::fs;
use std::path::Path;

/// What a worker holds before it reads a model.
const WORKER_BYTES: u64 = 512 << 20;
/// What a TensorRT worker holds besides: its kernel library and a context on the device.
const DEVICE_WORKER_BYTES: u64 = 2 << 30;
/// Bytes held per byte of the model: the most of any graph at full size, whose peaks README.md lists.
const PER_MODEL_BYTE: u64 = 6;

/// An upper estimate of the host memory that building and verifying a graph takes.
pub(super) fn estimate(planned: &PlannedGraph, bundle: &Bundle) -> u64 {
    let model: u64 = bundle.graph_file(planned.graph).map_or(0, |file| {
        let files = std::iter::once(&file.path).chain(&file.data);
        files.map(|path| size(path)).sum()
    });
    let library = match planned.backend {
        BackendId::TensorRt => DEVICE_WORKER_BYTES,
        BackendId::TensorRtRtx | BackendId::OrtCuda | BackendId::OrtCpu => 0,
    };
    WORKER_BYTES + library + PER_MODEL_BYTE * model
}

/// Host memory that can be had without swapping, control groups regarded; `None` where the system does not tell.
pub(super) fn free_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = available(&text)?;
    Some(machine.min(left_to_the_group().unwrap_or(u64::MAX)))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// What the group's limit leaves; pages of files it can drop count as free.
fn left_to_the_group() -> Option<u64> {
    let folder = Path::new("/sys/fs/cgroup");
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let (limit, used) = (number("memory.max")?, number("memory.current")?);
    let statistics = fs::read_to_string(folder.join("memory.stat")).ok()?;
    let droppable = statistics
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok())
        .unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(droppable)))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let text = "MemTotal:       24 kB\nMemAvailable:   23 kB\n";
        assert_eq!(available(text), Some(23 * 1024));
        assert_eq!(available("MemTotal: 24 kB\n"), None);
    }
}
