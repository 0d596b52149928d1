//! A TensorRT that computes through ONNX Runtime, for tests of all that stands on TensorRT.

use super::backend_or_skip;
use crate::backend::{
    Artifact, Backend, Bindings, Lane, LoadOptions, OutputSlot, Session, TensorRt,
};
use crate::cuda::HostGpu;
use crate::ids::BackendId;
use crate::tensor::{BytesMut, Shape, Signature, TensorView, TensorViewMut};
use crate::trt::{Computation, Compute, ComputingLibrary};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// TensorRT's real shim over a fake library of this version, whose device is host memory and whose arithmetic is
/// ONNX Runtime's; a skip, which is heard, where that is not here.
///
/// External weights of the models it builds are looked up in `folder`.
pub fn tensorrt_on_ort_or_skip(
    raw_version: i32,
    folder: PathBuf,
    test: &str,
) -> Option<(Arc<dyn Backend>, ComputingLibrary)> {
    let backend = backend_or_skip(BackendId::OrtCpu, test)?;
    let compute = Arc::new(OnOrt { backend, folder });
    let library = ComputingLibrary::new(raw_version, compute, &HostGpu::default());
    let backend = TensorRt::given(library.library(), library.host().gpu());
    Some((Arc::new(backend), library))
}

#[derive(Debug)]
struct OnOrt {
    backend: Arc<dyn Backend>,
    folder: PathBuf,
}

#[derive(Debug)]
struct OrtModel {
    signature: Signature,
    session: Mutex<Box<dyn Session>>,
}

impl Compute for OnOrt {
    fn open(&self, onnx: &[u8]) -> Result<Arc<dyn Computation>, String> {
        let artifact = Artifact::Memory {
            bytes: onnx,
            folder: &self.folder,
        };
        let options = LoadOptions {
            threads: 1,
            device: 0,
        };
        let loaded = self.backend.load(artifact, &options);
        let graph = loaded.map_err(|error| error.to_string())?;
        let signature = graph.signature().clone();
        let opened = graph.open(&Lane::on_host(0));
        let session = Mutex::new(opened.map_err(|error| error.to_string())?);
        Ok(Arc::new(OrtModel { signature, session }))
    }
}

impl Computation for OrtModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn output_shapes(&self, inputs: &[Shape]) -> Option<Vec<Shape>> {
        let sizes = self.signature.sizes_from_inputs(inputs).ok()?;
        let outputs = self.signature.outputs.iter();
        outputs.map(|port| port.shape(&sizes).ok()).collect()
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &mut [TensorViewMut<'_>],
    ) -> Result<(), String> {
        let outputs = outputs.iter_mut().map(|view| {
            let (dtype, shape) = (view.as_view().dtype(), view.as_view().shape());
            let BytesMut::Host(bytes) = view.bytes_mut() else {
                panic!("the fake's device is host memory")
            };
            let view = TensorViewMut::new(dtype, shape, BytesMut::Host(bytes));
            OutputSlot::Into(view.expect("as it was"))
        });
        let mut io = Bindings {
            inputs: inputs.to_vec(),
            outputs: outputs.collect(),
        };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.run(&mut io).map_err(|error| error.to_string())
    }
}
