//! Walks a chain to the first backend that loads.

use super::fallback::{Ladder, Rung};
use super::{Backends, CompiledGraph, Falls, LoadError, LoadOptions, StoredArtifact};
use crate::hint::{Class, Hint};
use crate::ids::BackendId;
use crate::profile::{Chain, Fallback};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What each backend has to load for one graph; a backend without an entry has nothing.
pub type Artifacts = BTreeMap<BackendId, StoredArtifact>;

/// The link that loaded, and the better ones that did not.
#[derive(Debug)]
pub struct Selected {
    /// Who serves the graph.
    pub backend: BackendId,
    /// The loaded graph.
    pub compiled: Arc<dyn CompiledGraph>,
    /// Links before it, in the chain's order.
    pub passed_over: Vec<PassedOver>,
    /// What becomes of the links behind it; stays empty where the chain ends with it.
    pub falls: Falls,
}

/// A link that was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{backend}: {reason}")]
pub struct PassedOver {
    /// The link.
    pub backend: BackendId,
    /// Why.
    #[source]
    pub reason: LinkError,
}

/// Why a link was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing was compiled for it.
    #[error("there is no engine for it")]
    NoArtifact,
    /// It did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// No link of a chain loaded.
#[derive(Debug, thiserror::Error)]
#[error("no backend loads the graph: {}", passed_over.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct NoBackend {
    /// Every link tried, in the chain's order.
    pub passed_over: Vec<PassedOver>,
}

/// Loads a graph on the first link that can, and keeps why the ones before it could not.
///
/// With [`Fallback::Never`] only the first link is tried. With [`Fallback::AtRun`] the links behind it stay at hand: the
/// loaded graph goes on with them where a run fails.
///
/// # Errors
/// [`NoBackend`] with the reason of every link tried.
pub fn select(
    chain: &Chain,
    backends: &Backends,
    artifacts: &Artifacts,
    options: &LoadOptions,
) -> Result<Selected, NoBackend> {
    let allowed = match chain.fallback {
        Fallback::Never => 1,
        Fallback::AtLoad | Fallback::AtRun => chain.links.len(),
    };
    let mut passed_over = Vec::new();
    for (at, &backend) in chain.links.iter().take(allowed).enumerate() {
        match load_link(backend, backends, artifacts.get(&backend), options) {
            Ok(compiled) => {
                let falls = Falls::default();
                let compiled = match chain.fallback {
                    Fallback::Never | Fallback::AtLoad => compiled,
                    Fallback::AtRun => {
                        let behind = rungs(&chain.links[at + 1..], backends, artifacts, options);
                        with_rungs(backend, compiled, behind, &falls)
                    }
                };
                return Ok(Selected {
                    backend,
                    compiled,
                    passed_over,
                    falls,
                });
            }
            Err(reason) => {
                tracing::info!(%backend, %reason, "link passed over");
                passed_over.push(PassedOver { backend, reason });
            }
        }
    }
    Err(NoBackend { passed_over })
}

/// The links that have something to load.
fn rungs(
    links: &[BackendId],
    backends: &Backends,
    artifacts: &Artifacts,
    options: &LoadOptions,
) -> Vec<Rung> {
    let links = links.iter().filter_map(|link| {
        let artifact = artifacts.get(link)?.clone();
        let (link, backends, options) = (*link, backends.clone(), options.clone());
        let load = move || load_link(link, &backends, Some(&artifact), &options);
        Some(Rung::new(link, Box::new(load)))
    });
    links.collect()
}

fn with_rungs(
    backend: BackendId,
    compiled: Arc<dyn CompiledGraph>,
    behind: Vec<Rung>,
    falls: &Falls,
) -> Arc<dyn CompiledGraph> {
    if behind.is_empty() {
        return compiled;
    }
    Arc::new(Ladder::new(backend, compiled, behind, falls.clone()))
}

fn load_link(
    id: BackendId,
    backends: &Backends,
    artifact: Option<&StoredArtifact>,
    options: &LoadOptions,
) -> Result<Arc<dyn CompiledGraph>, LinkError> {
    let backend = backends.get(id).map_err(LoadError::from)?;
    // The library first: an engine that could not run here is no loss.
    backend.probe().map_err(LoadError::from)?;
    let artifact = artifact.ok_or(LinkError::NoArtifact)?;
    Ok(backend.load(artifact.get(), options)?)
}

impl Hint for PassedOver {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match &self.reason {
            LinkError::NoArtifact => Some(format!("cvtrt build --backend {}", self.backend).into()),
            LinkError::Load(error) => error.hint(),
        }
    }

    fn class(&self) -> Class {
        match &self.reason {
            LinkError::NoArtifact => Class::Unavailable,
            LinkError::Load(error) => error.class(),
        }
    }
}

impl Hint for NoBackend {
    /// The last link is the one least asked of, so its fix is the nearest.
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.passed_over.last().and_then(Hint::hint)
    }

    fn class(&self) -> Class {
        self.passed_over
            .last()
            .map_or(Class::Unavailable, Hint::class)
    }
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;
    use crate::backend::{Fake, Fault, Faulty, When};
    use crate::tensor::Signature;
    use std::path::PathBuf;

    fn engine() -> StoredArtifact {
        StoredArtifact::Engine {
            path: PathBuf::from("fake.engine"),
            signature: Signature::default(),
            host_code: false,
        }
    }

    fn fake(id: BackendId) -> Arc<Fake> {
        Arc::new(Fake::new(id, Signature::default(), |_| {}))
    }

    fn chain(fallback: Fallback) -> Chain {
        Chain {
            links: vec![BackendId::TensorRt, BackendId::OrtCuda, BackendId::OrtCpu],
            fallback,
        }
    }

    fn options() -> LoadOptions {
        LoadOptions {
            threads: 1,
            device: 0,
        }
    }

    fn backends() -> Backends {
        let mut backends = Backends::default();
        let broken = Faulty::new(fake(BackendId::TensorRt)).with(Fault::RefusedLoad, When::Always);
        backends.insert(Arc::new(broken));
        backends.insert(fake(BackendId::OrtCuda));
        backends.insert(fake(BackendId::OrtCpu));
        backends
    }

    #[test]
    fn the_first_link_that_loads_is_taken_and_the_others_are_named() {
        let artifacts = Artifacts::from([
            (BackendId::TensorRt, engine()),
            (BackendId::OrtCpu, engine()),
        ]);
        let selected = select(
            &chain(Fallback::AtLoad),
            &backends(),
            &artifacts,
            &options(),
        )
        .expect("the processor is left");
        assert_eq!(selected.backend, BackendId::OrtCpu);
        let [refused, missing] = &selected.passed_over[..] else {
            panic!("{:?}", selected.passed_over)
        };
        assert!(
            matches!(refused.reason, LinkError::Load(LoadError::Refused { .. })),
            "{refused}"
        );
        assert!(matches!(missing.reason, LinkError::NoArtifact), "{missing}");
        assert_eq!(
            missing.hint().as_deref(),
            Some("cvtrt build --backend ort-cuda")
        );
    }

    #[test]
    fn a_strict_chain_has_one_link() {
        let artifacts = Artifacts::from([
            (BackendId::TensorRt, engine()),
            (BackendId::OrtCpu, engine()),
        ]);
        let error = select(&chain(Fallback::Never), &backends(), &artifacts, &options())
            .expect_err("the first link is broken");
        assert_eq!(error.passed_over.len(), 1, "{error}");
        assert!(error.to_string().contains("tensorrt"), "{error}");
    }

    #[test]
    fn a_backend_without_an_adapter_is_unavailable() {
        let error = select(
            &chain(Fallback::AtLoad),
            &Backends::default(),
            &Artifacts::new(),
            &options(),
        )
        .expect_err("no backends");
        assert_eq!(error.passed_over.len(), 3, "{error}");
        assert_eq!(error.hint().as_deref(), Some("cvtrt setup --cpu"));
    }
}
