//! Rewriting graphs: passes, the recipe that names them, and what comes out.

mod dead_code;
mod free_batch;
mod half;
mod instance_norm;
mod names;
mod observe;
mod recipe;
mod snake;
mod tabulate;
mod twin;

pub use dead_code::DeadCode;
pub use free_batch::FreeBatch;
pub use half::{Half, HalfType, Islands};
pub use instance_norm::PlainInstanceNorm;
pub use observe::Observe;
pub use recipe::{Recipe, RecipeStep};
pub use snake::FusedSnake;
pub use tabulate::Tabulate;
pub use twin::RoundingTwin;

use super::error::OnnxError;
use super::evaluate::{Evaluator, NoEvaluator};
use super::file::{MAX_MODEL_BYTES, ModelFile};
use super::graph::Graph;
use super::interface;
use crate::ids::Precision;
use crate::tensor::Signature;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// One step that changes a graph.
///
/// Running a pass on its own result changes nothing.
pub trait Pass: fmt::Debug {
    /// The name in recipes.
    fn name(&self) -> &'static str;

    /// Raised whenever the pass gives another result for some graph, so that engines are built anew.
    fn version(&self) -> u32;

    /// Everything the result depends on besides the graph, as text by name.
    fn parameters(&self) -> BTreeMap<String, String>;

    /// Changes the graph; `evaluator` computes what the pass wants to know the values of.
    ///
    /// # Errors
    /// [`OnnxError`]; the graph is then of no more use.
    fn run(
        &self,
        graph: &mut Graph,
        evaluator: &dyn Evaluator,
        report: &mut Report,
    ) -> Result<(), OnnxError>;
}

/// What passes did, for `inspect` and logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Nodes that nothing needed.
    pub removed_nodes: usize,
    /// Constants that nothing needed.
    pub removed_constants: usize,
    /// Tables in place of what depends on one input alone.
    #[serde(default)]
    pub tables: usize,
    /// Inputs and outputs whose batch was a number and is an axis.
    #[serde(default)]
    pub freed_ports: usize,
    /// Nodes that became several.
    #[serde(default)]
    pub decomposed_nodes: usize,
    /// Nodes that became part of an operator of our own.
    #[serde(default)]
    pub fused_nodes: usize,
    /// Constants stored in the half type.
    pub converted_constants: usize,
    /// Conversions in the rewritten graph that change only the floating-point type.
    pub casts: usize,
    /// Conversions of integers that now give a half type, which is exact only for small integers.
    pub integers_to_half: Vec<String>,
    /// Constants with non-zero values that became zero, and how many each has.
    pub flushed: BTreeMap<String, u64>,
    /// Nodes that keep the types they were exported with because their operator is unknown or has no half form.
    pub kept_nodes: Vec<String>,
    /// Nodes with names that compute in FP32 inside a half-precision graph: the islands, and what only moves elements
    /// between them.
    #[serde(default)]
    pub fp32_nodes: Vec<String>,
    /// The values of a twin that are about to be rounded, and the half value that each is.
    #[serde(skip)]
    pub(super) exact: BTreeMap<String, String>,
    /// Values whose range the graph gives as its last output, in the order of that output's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<String>,
}

/// How to rewrite a graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rewrite {
    /// The axis that a batch becomes which the interface alone fixes.
    pub batch_axis: Option<String>,
    /// What depends on one input alone, by table.
    pub tables: Option<Tabulate>,
    /// Whether Snake activations become one operator where the precision is FP32; the backend must compute it.
    pub fused_snake: bool,
    /// Whether instance normalisations become primitives.
    pub plain_instance_norm: bool,
    /// What stays in FP32 where the rest becomes half.
    pub islands: Islands,
    /// FP32 inputs and outputs that become half as well, such as those of a KV cache.
    pub half_io: BTreeSet<String>,
}

/// A graph ready for a backend to compile.
#[derive(Clone)]
pub struct RewrittenOnnx {
    /// The serialised model; where nothing was rewritten, the mapped file.
    pub bytes: Bytes,
    /// The folder that external data of `bytes` is relative to; `None` where there is none.
    pub external_folder: Option<PathBuf>,
    /// What was done to the graph.
    pub recipe: Recipe,
    /// Inputs and outputs.
    pub signature: Signature,
    /// The type the graph computes in.
    pub precision: Precision,
    /// What the passes found.
    pub report: Report,
}

impl RewrittenOnnx {
    /// Rewrites a model to a precision.
    ///
    /// FP32 without any other wish is the file as it is. The half precisions turn float constants and computations into half, with
    /// conversions at inputs, outputs and islands. Constants that a pass converts come into `bytes`; all others stay
    /// where they are. Takes at most the size of the converted constants twice, besides the mapped file.
    ///
    /// # Errors
    /// [`OnnxError`].
    pub fn of(
        file: &ModelFile,
        precision: Precision,
        rewrite: &Rewrite,
        evaluator: &dyn Evaluator,
    ) -> Result<Self, OnnxError> {
        run(file, precision, &passes_for(precision, rewrite), evaluator)
    }

    /// The FP32 model with the range of every value it computes as a last output, for recording ranges.
    ///
    /// # Errors
    /// [`OnnxError`].
    pub fn observed(file: &ModelFile) -> Result<Self, OnnxError> {
        let observe = Box::new(Observe { half_values: false });
        run(
            file,
            Precision::Fp32,
            &[Box::new(DeadCode), observe],
            &NoEvaluator,
        )
    }

    /// The FP32 twin of what [`Self::of`] gives for a half precision ([`RoundingTwin`]); `observed` also gives the range
    /// of every half value before it was rounded. For FP32, the file as it is.
    ///
    /// # Errors
    /// [`OnnxError`].
    pub fn twin(
        file: &ModelFile,
        precision: Precision,
        rewrite: &Rewrite,
        observed: bool,
        evaluator: &dyn Evaluator,
    ) -> Result<Self, OnnxError> {
        let mut passes = passes_for(precision, rewrite);
        if let Some(of) = HalfType::of(precision) {
            passes.push(Box::new(RoundingTwin { of }));
            if observed {
                passes.push(Box::new(Observe { half_values: true }));
            }
        }
        run(file, Precision::Fp32, &passes, evaluator)
    }
}

impl fmt::Debug for RewrittenOnnx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenOnnx")
            .field("bytes", &self.bytes.len())
            .field("external_folder", &self.external_folder)
            .field("recipe", &self.recipe)
            .field("precision", &self.precision)
            .finish_non_exhaustive()
    }
}

/// The passes that bring a graph to a precision, in order.
pub fn passes_for(precision: Precision, rewrite: &Rewrite) -> Vec<Box<dyn Pass>> {
    let to = HalfType::of(precision);
    let Rewrite {
        batch_axis,
        tables,
        fused_snake,
        plain_instance_norm,
        islands,
        half_io,
    } = rewrite.clone();
    let mut passes: Vec<Box<dyn Pass>> = Vec::new();
    passes.extend(batch_axis.map(|axis| Box::new(FreeBatch { axis }) as Box<dyn Pass>));
    let is_rewritten = tables.is_some() || to.is_some();
    // Before the precision changes, so that tables are computed in FP32.
    passes.extend(tables.map(|tabulate| Box::new(tabulate) as Box<dyn Pass>));
    if is_rewritten {
        passes.push(Box::new(DeadCode));
    }
    if fused_snake && to.is_none() {
        passes.push(Box::new(FusedSnake));
    }
    passes.extend(to.map(|to| {
        Box::new(Half {
            to,
            islands,
            half_io,
        }) as Box<dyn Pass>
    }));
    // Last, so that islands are named in the graph as it was exported.
    if plain_instance_norm {
        passes.push(Box::new(PlainInstanceNorm));
    }
    passes
}

fn run(
    file: &ModelFile,
    precision: Precision,
    passes: &[Box<dyn Pass>],
    evaluator: &dyn Evaluator,
) -> Result<RewrittenOnnx, OnnxError> {
    let recipe = Recipe::of(passes);
    let mut report = Report::default();
    if passes.is_empty() {
        return Ok(RewrittenOnnx {
            bytes: file.bytes().clone(),
            external_folder: external_folder(file, !file.external().is_empty()),
            recipe,
            signature: interface::signature(file.path(), file.graph())?,
            precision,
            report,
        });
    }
    let mut graph = Graph::of(file);
    for pass in passes {
        pass.run(&mut graph, evaluator, &mut report)?;
    }
    let size = graph.model().encoded_len() as u64;
    if size > MAX_MODEL_BYTES {
        return Err(OnnxError::TooLarge {
            file: file.path().to_owned(),
            bytes: size,
            limit: MAX_MODEL_BYTES,
        });
    }
    Ok(RewrittenOnnx {
        bytes: graph.model().encode_to_vec().into(),
        external_folder: external_folder(file, graph.has_external()),
        recipe,
        signature: interface::signature(file.path(), graph.proto())?,
        precision,
        report,
    })
}

fn external_folder(file: &ModelFile, needed: bool) -> Option<PathBuf> {
    file.folder().filter(|_| needed).map(Into::into)
}
