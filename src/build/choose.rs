//! Which backend of a chain builds a graph here, and in which precision.

use super::BuildError;
use crate::backend::{Backends, Capabilities, Refusal, Unavailable};
use crate::hint::Hint;
use crate::ids::{BackendId, Fingerprint, GraphId, Precision};
use crate::profile::{Chain, CompileOptions, Fallback};
use std::collections::BTreeMap;
use std::fmt;

/// A link of a chain that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PassedOver {
    /// The link.
    pub backend: BackendId,
    /// Why.
    pub reason: String,
}

/// A link that was tried and failed.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) link: PassedOver,
    /// The precision that failed; `None` where the link does not build the graph at all.
    pub(super) precision: Option<Precision>,
}

/// What a graph asks for.
#[derive(Debug, Clone)]
pub(super) struct Wish<'a> {
    pub(super) graph: GraphId,
    pub(super) precision: Precision,
    pub(super) chain: &'a Chain,
    pub(super) options: &'a CompileOptions,
    /// Why the precision is not good enough for the graph, on any backend; `None` where it is, or nobody knows.
    pub(super) unfit: Option<&'a str>,
    /// Links that were tried and failed.
    pub(super) failed: &'a [Tried],
    /// Whether engines are to be loaded rather than built: a library that only runs them will do.
    pub(super) to_serve: bool,
}

/// Who builds the graph.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) backend: BackendId,
    pub(super) fingerprint: Fingerprint,
    pub(super) precision: Precision,
    /// The options this backend takes.
    pub(super) options: CompileOptions,
    /// Whether an engine can run here, or why not.
    pub(super) run: Result<(), String>,
    pub(super) passed_over: Vec<PassedOver>,
    pub(super) notes: Vec<String>,
}

/// What the backends of this machine said, each asked once.
#[derive(Debug)]
pub(super) struct Probes<'a> {
    backends: &'a Backends,
    known: BTreeMap<BackendId, Result<(Capabilities, Fingerprint), Unavailable>>,
}

impl<'a> Probes<'a> {
    pub(super) fn new(backends: &'a Backends) -> Self {
        Self {
            backends,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn of(
        &mut self,
        id: BackendId,
    ) -> &Result<(Capabilities, Fingerprint), Unavailable> {
        let backends = self.backends;
        self.known.entry(id).or_insert_with(|| {
            let backend = backends.get(id)?;
            Ok((backend.probe()?, backend.fingerprint()?))
        })
    }

    /// The first link that builds the graph here.
    ///
    /// A chain that may fall back also takes FP32 where no link builds the precision asked for.
    pub(super) fn choose(&mut self, wish: &Wish<'_>) -> Result<Choice, BuildError> {
        let failed = wish.failed.iter();
        let mut passed_over: Vec<_> = failed.map(|tried| tried.link.clone()).collect();
        let mut precisions = vec![wish.precision];
        if wish.chain.fallback != Fallback::Never && wish.precision != Precision::Fp32 {
            precisions.push(Precision::Fp32);
        }
        for &precision in &precisions {
            for &link in links(wish.chain) {
                if wish
                    .failed
                    .iter()
                    .any(|tried| tried.rules_out(link, precision))
                {
                    continue;
                }
                let unfit = wish.unfit.filter(|_| precision == wish.precision);
                let refusal = unfit
                    .map(|reason| format!("{precision} was not qualified: {reason}"))
                    .or_else(|| self.refusal(link, precision, wish));
                match refusal {
                    None => return Ok(self.choice(link, precision, wish, passed_over)),
                    Some(reason) if precision == wish.precision => passed_over.push(PassedOver {
                        backend: link,
                        reason,
                    }),
                    Some(_) => {}
                }
            }
        }
        if let Some(reason) = wish.unfit {
            return Err(BuildError::Unqualified {
                graph: wish.graph,
                precision: wish.precision,
                reason: reason.to_owned(),
            });
        }
        Err(BuildError::NothingBuilds {
            graph: wish.graph,
            precision: wish.precision,
            fix: self.fix(wish),
            passed_over,
        })
    }

    fn choice(
        &mut self,
        backend: BackendId,
        precision: Precision,
        wish: &Wish<'_>,
        passed_over: Vec<PassedOver>,
    ) -> Choice {
        let (capabilities, fingerprint) = self
            .of(backend)
            .as_ref()
            .expect("only an available backend is chosen")
            .clone();
        let (mut options, ignored) = options_for(backend, wish.options);
        if backend == BackendId::TensorRtRtx && options.targets.is_empty() {
            options.targets.extend(capabilities.device);
        }
        let run = match (capabilities.run, capabilities.device) {
            (Ok(()), Some(device))
                if !options.targets.is_empty() && !options.targets.contains(&device) =>
            {
                Err(format!("this GPU is {device}"))
            }
            (run, _) => run,
        };
        let mut notes = Vec::new();
        if precision != wish.precision {
            notes.push(format!(
                "{} was asked for and no link gives it: {precision} instead",
                wish.precision
            ));
        }
        if !ignored.is_empty() {
            notes.push(format!("{backend} has no use for {}", ignored.join(", ")));
        }
        if let Err(reason) = &run {
            let built_for = match options.targets.as_slice() {
                [] => "this device".to_owned(),
                _ => said(&options),
            };
            notes.push(format!("built for {built_for}, cannot run here: {reason}"));
        }
        Choice {
            backend,
            fingerprint,
            precision,
            options,
            run,
            passed_over,
            notes,
        }
    }

    /// Why a link does not build the graph here; `None` when it does.
    fn refusal(
        &mut self,
        link: BackendId,
        precision: Precision,
        wish: &Wish<'_>,
    ) -> Option<String> {
        let backends = self.backends;
        let (capabilities, _) = match self.of(link) {
            Ok(known) => known,
            Err(unavailable) => return Some(unavailable.reasons.join("; ")),
        };
        let only_runs = wish.to_serve && capabilities.precisions.is_empty();
        if !only_runs && !capabilities.precisions.contains(&precision) {
            return Some(format!("does not build {precision}"));
        }
        // An engine that is there already may serve.
        let refused = refused(backends, link, wish).filter(|_| !wish.to_serve);
        if let Some(refused) = refused {
            return Some(refused.reason);
        }
        let options = wish.options;
        match &capabilities.run {
            // Only this backend builds for a GPU that is not here, and only where it is named.
            Err(reason) if link == BackendId::TensorRtRtx && options.targets.is_empty() => Some(
                format!("{reason}, and no --target names another machine's GPU"),
            ),
            _ => None,
        }
    }

    /// The last link asks least of a machine, so its fix is the nearest.
    fn fix(&mut self, wish: &Wish<'_>) -> Option<String> {
        let last = *links(wish.chain).last()?;
        let backends = self.backends;
        match self.of(last) {
            Err(unavailable) => unavailable.hint().map(Into::into),
            Ok((capabilities, _)) if !capabilities.precisions.contains(&wish.precision) => {
                Some(
                    "build with --fp32, let the profile's chain fall back, or name a backend that builds it: --backend tensorrt-rtx --target sm_86 builds for a GPU that is not here".to_owned(),
                )
            }
            Ok(_) if let Some(refused) = refused(backends, last, wish) => Some(refused.fix),
            Ok(_) => Some("name a GPU generation with --target sm_86 or the like".to_owned()),
        }
    }
}

impl Tried {
    fn rules_out(&self, link: BackendId, precision: Precision) -> bool {
        self.link.backend == link && self.precision.is_none_or(|failed| failed == precision)
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.reason)
    }
}

/// Why a link takes no model of the graph, or none with these options.
fn refused(backends: &Backends, link: BackendId, wish: &Wish<'_>) -> Option<Refusal> {
    backends.get(link).ok()?.refuses(wish.graph, wish.options)
}

/// The links a chain may use.
fn links(chain: &Chain) -> &[BackendId] {
    match chain.fallback {
        Fallback::Never => &chain.links[..1.min(chain.links.len())],
        Fallback::AtLoad | Fallback::AtRun => &chain.links,
    }
}

/// The options a backend has a use for, and the flags it has none for.
///
/// ONNX Runtime decides all of them itself; targets are for the one backend that builds without the GPU. What a backend
/// does not take must not enter its engine's key either.
fn options_for(
    backend: BackendId,
    options: &CompileOptions,
) -> (CompileOptions, Vec<&'static str>) {
    let mut taken = options.clone();
    let mut ignored = Vec::new();
    if !options.targets.is_empty() && backend != BackendId::TensorRtRtx {
        taken.targets.clear();
        ignored.push("--target");
    }
    if backend == BackendId::TensorRtRtx {
        // Its plans run on every device of their targets, and only with the version that built them.
        for (flag, given) in [
            ("--version-compatible", &mut taken.version_compatible),
            ("--hardware-compatible", &mut taken.hardware_compatible),
        ] {
            if std::mem::take(given) {
                ignored.push(flag);
            }
        }
    }
    if backend.runs_models() {
        let CompileOptions {
            tf32: _,
            workspace_bytes,
            optimization_level,
            version_compatible,
            hardware_compatible,
            targets: _,
        } = options;
        let flags = [
            ("--max-workspace", workspace_bytes.is_some()),
            ("--optimization-level", optimization_level.is_some()),
            ("--version-compatible", *version_compatible),
            ("--hardware-compatible", *hardware_compatible),
        ];
        ignored.extend(
            flags
                .iter()
                .filter(|(_, given)| *given)
                .map(|(flag, _)| *flag),
        );
        taken = CompileOptions::default();
    }
    (taken, ignored)
}

fn said(options: &CompileOptions) -> String {
    let targets: Vec<String> = options.targets.iter().map(ToString::to_string).collect();
    targets.join(" ")
}
