//! The tensors that `run` and `compare` give to a graph.

use super::context::Context;
use super::failure::Failure;
use super::graph::GraphSource;
use crate::build::random_inputs;
use crate::ids::Axis;
use crate::tensor::{AxisSizes, Tensor, read_npz};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

/// Flags that say what a graph is given.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = true, args = ["inputs", "random"])]
pub(super) struct InputFlags {
    /// Numpy archive with one array per input
    #[arg(long, value_name = "IN.npz", conflicts_with = "random")]
    inputs: Option<PathBuf>,
    /// Random inputs instead, drawn this many times
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    random: Option<NonZeroU32>,
    /// Seed of the first random draw; the next ones count on
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Sizes of random inputs, as batch=2,frames=100; without, the opt sizes of the profile's shape sets in turn
    #[arg(
        long,
        value_name = "AXIS=N",
        value_delimiter = ',',
        conflicts_with = "inputs"
    )]
    sizes: Vec<AxisSize>,
}

/// One `axis=size`.
#[derive(Debug, Clone, Copy)]
struct AxisSize(Axis, usize);

/// One set of inputs, in the graph's order.
pub(super) struct Draw {
    /// Where they come from.
    pub(super) label: String,
    pub(super) tensors: Vec<Tensor>,
}

impl FromStr for AxisSize {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let (axis, size) = word
            .split_once('=')
            .ok_or_else(|| format!("`{word}` is no AXIS=N"))?;
        let axis = axis.parse::<Axis>().map_err(|error| error.to_string())?;
        let size: usize = size
            .parse()
            .map_err(|error| format!("the size of `{axis}`: {error}"))?;
        Ok(Self(axis, size))
    }
}

impl InputFlags {
    /// Every set of inputs that the flags ask for.
    pub(super) fn draws(
        &self,
        source: &GraphSource,
        context: &Context,
    ) -> Result<Vec<Draw>, Failure> {
        if let Some(path) = &self.inputs {
            return Ok(vec![Draw {
                label: path.display().to_string(),
                tensors: source.signature.in_order(read_npz(path)?)?,
            }]);
        }
        let own: AxisSizes = self.sizes.iter().map(|size| (size.0, size.1)).collect();
        let sets = source.shape_sets(context)?;
        let draws = self.random.map_or(1, NonZeroU32::get);
        let vocabulary = source.vocabulary();
        (0..draws)
            .map(|draw| {
                let set = sets.get(draw as usize % sets.len().max(1));
                let mut sizes = set.map_or_else(AxisSizes::new, |set| set.sizes(|extent| extent.opt));
                sizes.extend(&own);
                let seed = self.seed.wrapping_add(u64::from(draw));
                let tensors = random_inputs(source.id, &source.signature, &sizes, vocabulary, seed)
                    .map_err(|error| {
                        Failure::usage(error).with_hint(
                            "give every axis a size, as --sizes batch=2,frames=100, or tensors with --inputs",
                        )
                    })?;
                Ok(Draw {
                    label: label(seed, &sizes),
                    tensors,
                })
            })
            .collect()
    }
}

fn label(seed: u64, sizes: &AxisSizes) -> String {
    let sizes: Vec<String> = sizes
        .iter()
        .map(|(axis, size)| format!("{axis}={size}"))
        .collect();
    format!("seed {seed} {}", sizes.join(","))
        .trim_end()
        .to_owned()
}
