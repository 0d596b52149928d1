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
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = left_to_the_groups(Path::new("/sys/fs/cgroup"), &groups);
    Some(machine.min(left.unwrap_or(u64::MAX)))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The files of one version of control groups.
struct GroupFiles {
    /// The memory groups' folder below the mount point.
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    /// What pages of files that can be dropped are called in `memory.stat`.
    droppable: &'static str,
}

const VERSION_1: GroupFiles = GroupFiles {
    folder: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};
const VERSION_2: GroupFiles = GroupFiles {
    folder: "",
    limit: "memory.max",
    used: "memory.current",
    droppable: "inactive_file",
};

/// The least that the limits on this process's groups and those around them leave; `None` where there are none.
///
/// `groups` is `/proc/self/cgroup`. A container may show a path that it cannot see; its own group is at the mount point
/// then, where every path ends.
fn left_to_the_groups(mount: &Path, groups: &str) -> Option<u64> {
    let left = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let files = match controllers {
            "" => VERSION_2,
            v1 if v1.split(',').any(|one| one == "memory") => VERSION_1,
            _ => return None,
        };
        let own = Path::new(path.trim_start_matches('/'));
        let root = mount.join(files.folder);
        own.ancestors()
            .filter_map(|group| files.left(&root.join(group)))
            .min()
    });
    left.min()
}

impl GroupFiles {
    /// What one group's limit leaves; pages of files it can drop count as free.
    fn left(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| -> Option<u64> {
            let text = fs::read_to_string(group.join(name)).ok()?;
            text.trim().parse().ok()
        };
        let (limit, used) = (number(self.limit)?, number(self.used)?);
        let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let droppable = statistics.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            (name == self.droppable).then(|| bytes.parse::<u64>().ok())?
        });
        Some(limit.saturating_sub(used.saturating_sub(droppable.unwrap_or(0))))
    }
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

    #[test]
    fn the_tightest_group_around_this_process_counts() {
        let mount = tempfile::tempdir().expect("temporary folder");
        let group = |path: &str, [limit, used, stat]: [(&str, &str); 3]| {
            let folder = mount.path().join(path);
            fs::create_dir_all(&folder).expect("own folder");
            for (name, text) in [limit, used, stat] {
                fs::write(folder.join(name), text).expect("own folder");
            }
        };
        let v2 = |limit, used, stat| {
            [
                ("memory.max", limit),
                ("memory.current", used),
                ("memory.stat", stat),
            ]
        };
        group("user/app", v2("max\n", "70\n", "inactive_file 0\n"));
        group("user", v2("100\n", "80\n", "anon 5\ninactive_file 30\n"));
        group("other", v2("9\n", "9\n", ""));
        let left = |groups: &str| left_to_the_groups(mount.path(), groups);
        assert_eq!(left("0::/user/app\n"), Some(50), "the group around it");
        assert_eq!(left("0::/\n"), None, "no limit at the mount point");
        assert_eq!(left(""), None);

        let v1 = [
            ("memory.limit_in_bytes", "1000\n"),
            ("memory.usage_in_bytes", "400\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ];
        group("memory", v1);
        let unseen = "12:cpuset:/other\n11:cpu,memory:/docker/0123\n";
        assert_eq!(left(unseen), Some(700), "a path from outside the container");
        assert_eq!(left(&format!("{unseen}0::/user\n")), Some(50));
    }
}
