//! The pipeline speaking on ONNX Runtime while someone listens.

use super::QualifyError;
use super::prompter::Prompter;
use super::tap::{Ear, Tapped};
use crate::backend::{Artifact, Backend, CompiledGraph, Lane, LoadOptions};
use crate::build;
use crate::bundle::Bundle;
use crate::ids::GraphId;
use crate::onnx::RewrittenOnnx;
use crate::pipeline::{Graphs, LoadedGraph, NEEDED, SpeechRequest, Synthesizer};
use crate::tensor::{Tensor, TensorView};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is spoken, by what, and until when.
#[derive(Clone, Copy)]
pub struct Rehearsal<'a> {
    /// The model.
    pub bundle: &'a Bundle,
    /// `ort-cpu`.
    pub reference: &'a dyn Backend,
    /// Processor threads.
    pub options: &'a LoadOptions,
    /// What is said.
    pub requests: &'a [SpeechRequest],
    /// Asked before each piece of work.
    pub cancelled: &'a dyn Fn() -> bool,
    /// Told of each piece of work that takes long.
    pub say: &'a dyn Fn(&str),
}

/// One utterance as it was spoken.
#[derive(Debug)]
pub(super) struct Spoken {
    /// `[1, bins, frames]`.
    pub(super) mel: Tensor,
    /// F0 as it was computed of the mel, `[1, frames]`, Hz.
    pub(super) pitch: Tensor,
    pub(super) pcm: Vec<f32>,
}

impl fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal")
            .field("bundle", &self.bundle.dir())
            .field("requests", &self.requests.len())
            .finish_non_exhaustive()
    }
}

impl Rehearsal<'_> {
    /// The file of a graph, which takes no weights that the bundle does not list.
    pub(super) fn model(&self, graph: GraphId) -> Result<PathBuf, QualifyError> {
        let file = self.bundle.graph_file(graph)?;
        build::check_weights(graph, file)?;
        Ok(file.path.clone())
    }

    /// A graph as it was exported.
    pub(super) fn exported(&self, graph: GraphId) -> Result<Arc<dyn CompiledGraph>, QualifyError> {
        let path = self.model(graph)?;
        Ok(self.reference.load(Artifact::Onnx(&path), self.options)?)
    }

    /// A graph that was rewritten.
    pub(super) fn rewritten(
        &self,
        graph: GraphId,
        model: &RewrittenOnnx,
    ) -> Result<Arc<dyn CompiledGraph>, QualifyError> {
        let file = self.model(graph)?;
        let artifact = Artifact::Memory {
            bytes: &model.bytes,
            folder: file.parent().unwrap_or(Path::new(".")),
        };
        Ok(self.reference.load(artifact, self.options)?)
    }

    /// Speaks every request. `load` gives each graph; `begin` hears of each utterance before it starts; the source is
    /// made of `pitches`, one per utterance, where there are any, instead of the F0 computed.
    pub(super) fn speak(
        &self,
        mut load: impl FnMut(GraphId) -> Result<Arc<dyn CompiledGraph>, QualifyError>,
        mut begin: impl FnMut(),
        pitches: &Arc<[Tensor]>,
    ) -> Result<Vec<Spoken>, QualifyError> {
        if self.requests.is_empty() {
            return Err(QualifyError::Silent {
                bundle: self.bundle.manifest().name.clone(),
            });
        }
        let heard: Heard = Arc::default();
        let mut graphs = Graphs::new();
        for graph in NEEDED {
            let mut compiled = load(graph)?;
            if graph == GraphId::HiftF0 {
                let heard = heard_by(compiled, None, mel_and_pitch(&heard));
                compiled = Arc::new(Prompter::new(heard, Arc::clone(pitches)));
            }
            let backend = self.reference.id();
            graphs.insert(graph, LoadedGraph { backend, compiled });
        }
        let lane = Lane::on_host(0);
        let mut synthesizer = Synthesizer::open(self.bundle, &graphs, &lane)?;
        // The sessions hold what they need; the loaded graphs would only hold memory.
        drop(graphs);
        let mut spoken = Vec::with_capacity(self.requests.len());
        for request in self.requests {
            begin();
            // Utterances are cut short on purpose, which is nothing to warn anyone of.
            let unheard = tracing::subscriber::NoSubscriber::default();
            let speech = tracing::subscriber::with_default(unheard, || {
                synthesizer.speak_until(request, self.cancelled)
            })?;
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (mel, pitch) = heard.expect("the vocoder ran on a mel");
            spoken.push(Spoken {
                mel,
                pitch,
                pcm: speech.pcm,
            });
        }
        Ok(spoken)
    }
}

/// Shows `shown` outputs of a graph to the pipeline, and all to `ear`; `None` shows all.
pub(super) fn heard_by(
    graph: Arc<dyn CompiledGraph>,
    shown: Option<usize>,
    ear: Arc<Ear>,
) -> Arc<dyn CompiledGraph> {
    let shown = shown.unwrap_or(graph.signature().outputs.len());
    Arc::new(Tapped::new(graph, shown, ear))
}

/// Mel and F0 of the utterance spoken last.
type Heard = Arc<Mutex<Option<(Tensor, Tensor)>>>;

fn mel_and_pitch(kept: &Heard) -> Arc<Ear> {
    let kept = Arc::clone(kept);
    Arc::new(move |inputs, outputs, _| {
        let copy = |views: &[TensorView<'_>]| Tensor::copy_of(*views.first()?).ok();
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = copy(inputs).zip(copy(outputs));
    })
}
