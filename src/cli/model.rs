//! The bundle, the profile and the backends that several commands start from.

use super::context::Context;
use super::failure::{Exit, Failure};
use crate::backend::{BackendSettings, Backends, LoadOptions};
use crate::bundle::{Bundle, StatCache};
use crate::cache::EngineStore;
use crate::cuda;
use crate::deploy::{DeployRequest, Deployment, deploy};
use crate::ids::{BackendId, GraphId, Tier};
use crate::profile::{Profile, Shelf};
use crate::setup::library_roots;
use std::path::{Path, PathBuf};

/// The graphs an utterance needs.
pub(super) const SPEAKING: [GraphId; 5] = [
    GraphId::Llm,
    GraphId::FlowEncoder,
    GraphId::FlowEstimator,
    GraphId::HiftF0,
    GraphId::HiftDecode,
];

/// Flags that say what loads a bundle's graphs.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LoadFlags {
    /// Force every graph to one backend and precision
    #[arg(long, value_name = "TIER")]
    pub(super) tier: Option<Tier>,
    #[command(flatten)]
    pub(super) machine: MachineFlags,
}

/// Flags that say which shapes are planned for, and what of the machine is used.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MachineFlags {
    /// Profile: a file, or a name
    #[arg(long, value_name = "FILE")]
    profile: Option<String>,
    /// Processor threads per run; the same number gives the same bytes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// GPU ordinal
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u32,
}

impl LoadFlags {
    /// The same flags for graphs that no tier is forced on.
    pub(super) fn without_tier(&self) -> Self {
        Self {
            tier: None,
            ..self.clone()
        }
    }
}

/// Loads graphs of a bundle as the flags say.
pub(super) fn deployment(
    bundle: &Bundle,
    graphs: &[GraphId],
    flags: &LoadFlags,
    context: &Context,
) -> Result<Deployment, Failure> {
    let profile = flags.machine.profile(flags.tier, context)?;
    deployment_by(&profile, bundle, graphs, flags, context)
}

/// Loads graphs of a bundle by a profile, else as the flags say.
pub(super) fn deployment_by(
    profile: &Profile,
    bundle: &Bundle,
    graphs: &[GraphId],
    flags: &LoadFlags,
    context: &Context,
) -> Result<Deployment, Failure> {
    let LoadFlags { tier, machine } = flags;
    let request = DeployRequest {
        bundle,
        profile,
        backends: &backends_on(machine.device, context),
        store: &store(context),
        graphs,
        tier: *tier,
        options: &machine.options()?,
    };
    let mut digests = digests(context);
    let deployment = deploy(&request, &mut digests)?;
    keep_digests(&mut digests);
    Ok(deployment)
}

impl MachineFlags {
    /// The profile, or the one for this machine and tier.
    pub(super) fn profile(
        &self,
        tier: Option<Tier>,
        context: &Context,
    ) -> Result<Profile, Failure> {
        let backend = tier.map(|tier| tier.backend);
        profile(self.profile.as_deref(), backend, None, context)
    }

    /// How graphs are loaded.
    pub(super) fn options(&self) -> Result<LoadOptions, Failure> {
        check_device(self.device)?;
        let threads = self
            .threads
            .map(usize::from)
            .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        Ok(LoadOptions {
            threads,
            device: self.device,
        })
    }
}

/// The bundle a flag names, or the one that is used without a name.
pub(super) fn bundle(word: Option<&Path>, context: &Context) -> Result<Bundle, Failure> {
    let onnx = &context.places().onnx;
    let dir = match word {
        Some(word) => Bundle::resolve(word, std::slice::from_ref(onnx))?,
        None => only_bundle(onnx)?,
    };
    Ok(Bundle::open(&dir)?)
}

fn only_bundle(onnx: &Path) -> Result<PathBuf, Failure> {
    let bundles = Bundle::list(onnx)?;
    match bundles.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(
            Failure::usage(anyhow::anyhow!("there is no bundle in {}", onnx.display()))
                .with_hint("cvtrt export --model-dir DIR --out DIR makes one; --bundle names it"),
        ),
        several => {
            let names: Vec<String> = several
                .iter()
                .filter_map(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()))
                .collect();
            Err(
                Failure::usage(anyhow::anyhow!("{} holds several bundles", onnx.display()))
                    .with_hint(format!("name one with --bundle: {}", names.join(", "))),
            )
        }
    }
}

/// The profile a flag names, or the one for this machine and backend, widened to `concurrency` requests.
pub(super) fn profile(
    word: Option<&str>,
    backend: Option<BackendId>,
    concurrency: Option<std::num::NonZeroU16>,
    context: &Context,
) -> Result<Profile, Failure> {
    let name = word.unwrap_or_else(|| default_profile(backend));
    let profile = Shelf::with_folder(&context.places().profiles)
        .find(name)?
        .profile;
    Ok(match concurrency {
        Some(requests) => profile.for_concurrency(requests),
        None => profile,
    })
}

/// The ready-made profile for a backend; without one, for what this machine has.
fn default_profile(backend: Option<BackendId>) -> &'static str {
    match backend {
        Some(BackendId::TensorRtRtx) => "rtx",
        Some(BackendId::TensorRt | BackendId::OrtCuda) => "default",
        None if cuda::probe().is_ok() => "default",
        Some(BackendId::OrtCpu) | None => "cpu",
    }
}

/// Every backend, on the libraries of this run. Loads nothing.
pub(super) fn backends(context: &Context) -> Backends {
    backends_on(0, context)
}

/// As [`backends`], with engines for a device.
pub(super) fn backends_on(device: u32, context: &Context) -> Backends {
    Backends::open(&BackendSettings {
        device,
        ..settings(context.runtime_dir(), None)
    })
}

/// Where backends look: a run-time folder first, and a second one for ONNX Runtime last.
pub(super) fn settings(runtime_dir: &Path, reference_dir: Option<&Path>) -> BackendSettings {
    let mut settings = BackendSettings::with_roots(library_roots(runtime_dir));
    let reference = reference_dir.map(Path::to_owned);
    settings.onnxruntime.roots.extend(reference);
    settings
}

/// Refuses a device that is not here. The first one is not asked for: without it, backends say so themselves.
pub(super) fn check_device(device: u32) -> Result<(), Failure> {
    if device == 0 {
        return Ok(());
    }
    let (reason, hint) = match cuda::probe() {
        Ok(driver) => match (driver.device(device), driver.devices.len()) {
            (Ok(_), _) => return Ok(()),
            (Err(reason), 1) => (reason, "leave out --device: there is one".to_owned()),
            (Err(reason), found) => (reason, format!("--device takes 0 to {}", found - 1)),
        },
        Err(reason) => (reason, "cvtrt diagnose shows what is missing".to_owned()),
    };
    let list = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let seen = list.map_or_else(String::new, |list| {
        format!(", with CUDA_VISIBLE_DEVICES={list}")
    });
    let what = format!("--device {device}: {reason}{seen}");
    Err(Failure::message(Exit::Unavailable, what).with_hint(hint))
}

/// The engine cache.
pub(super) fn store(context: &Context) -> EngineStore {
    EngineStore::new(&context.places().engines)
}

/// Remembered digests of files.
pub(super) fn digests(context: &Context) -> StatCache {
    StatCache::open(&context.places().cache)
}

/// Keeps what was learnt; losing it costs time only.
pub(super) fn keep_digests(digests: &mut StatCache) {
    if let Err(error) = digests.save() {
        tracing::warn!(%error, "digests are not remembered");
    }
}
