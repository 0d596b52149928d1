//! The backends this process can offer.

use super::ort::Ort;
use super::{Backend, TensorRt, Unavailable, ort};
use crate::ids::BackendId;
use crate::trt;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the backends find their libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackendSettings {
    /// ONNX Runtime.
    pub onnxruntime: ort::SearchPath,
    /// TensorRT and TensorRT-RTX.
    pub tensorrt: trt::SearchPath,
    /// The device that engines are built for, by its ordinal after `CUDA_VISIBLE_DEVICES`.
    pub device: u32,
}

impl BackendSettings {
    /// Settings that look in these folders, best first, and for ONNX Runtime in the system's own path after them.
    pub fn with_roots(roots: Vec<PathBuf>) -> Self {
        let onnxruntime = ort::SearchPath {
            roots: roots.clone(),
            system: true,
            ..ort::SearchPath::default()
        };
        let tensorrt = trt::SearchPath {
            roots,
            ..trt::SearchPath::default()
        };
        Self {
            onnxruntime,
            tensorrt,
            device: 0,
        }
    }
}

/// One adapter per backend. Making it loads no library.
#[derive(Debug, Clone, Default)]
pub struct Backends {
    known: BTreeMap<BackendId, Arc<dyn Backend>>,
}

impl Backends {
    /// Every adapter there is, on these settings.
    pub fn open(settings: &BackendSettings) -> Self {
        let mut backends = Self::default();
        backends.insert(Arc::new(Ort::cpu(settings.onnxruntime.clone())));
        backends.insert(Arc::new(Ort::cuda(settings.onnxruntime.clone())));
        backends.insert(Arc::new(TensorRt::proper(
            settings.tensorrt.clone(),
            settings.device,
        )));
        backends.insert(Arc::new(TensorRt::rtx(
            settings.tensorrt.clone(),
            settings.device,
        )));
        backends
    }

    /// Adds an adapter, in the place of one with the same id.
    pub fn insert(&mut self, backend: Arc<dyn Backend>) {
        self.known.insert(backend.id(), backend);
    }

    /// One backend, whether or not it works here: [`Backend::probe`] tells.
    ///
    /// # Errors
    /// [`Unavailable`] where there is no adapter for it.
    pub fn get(&self, id: BackendId) -> Result<&Arc<dyn Backend>, Unavailable> {
        self.known.get(&id).ok_or_else(|| Unavailable {
            backend: id,
            reasons: vec!["this program has no adapter for it".to_owned()],
        })
    }

    /// Every adapter, in the order of [`BackendId`].
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Backend>> {
        self.known.values()
    }
}
