//! The flags of `cvtrt build`, and what they ask for.

use crate::build::{Scope, TimingsAt};
use crate::cli::failure::{Exit, Failure};
use crate::cli::values::{parse_size, positive};
use crate::ids::{BackendId, GraphId, Precision};
use crate::profile::{CompileOptions, ComputeCapability};
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;

/// Compile every graph of a bundle into verified, cached engines
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("precision"))]
#[command(group = clap::ArgGroup::new("timings"))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in crate::cli) struct Args {
    /// Bundle: a folder, or a name under onnx/
    #[arg(long, value_name = "DIR", conflicts_with = "model_dir")]
    pub(super) bundle: Option<PathBuf>,
    /// Upstream checkpoint to export first; the bundle goes to onnx/
    #[arg(long, value_name = "DIR")]
    pub(super) model_dir: Option<PathBuf>,
    /// Half precision; inputs and outputs stay FP32
    #[arg(long, group = "precision")]
    pub(super) fp16: bool,
    /// bfloat16; inputs and outputs stay FP32
    #[arg(long, group = "precision")]
    pub(super) bf16: bool,
    /// Single precision
    #[arg(long, group = "precision")]
    pub(super) fp32: bool,
    /// Keep FP32 products exact instead of rounding them to TF32
    #[arg(long)]
    pub(super) no_tf32: bool,
    /// Requests to serve at once; widens the profile's batches
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroU16>)]
    pub(super) concurrency: Option<NonZeroU16>,
    /// GPU ordinal
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) device: u32,
    /// Profile: a file, or a name
    #[arg(long, value_name = "FILE")]
    pub(super) profile: Option<String>,
    /// Backend; `auto` walks the profile's chain
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub(super) backend: String,
    /// Only these graphs; `hift` means both vocoder graphs
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(super) graphs: Vec<String>,
    /// Build what the cache already has, too
    #[arg(long)]
    pub(super) force: bool,
    /// Do not compare engines with the FP32 reference
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Timings of earlier builds, in this file instead of beside the engines
    #[arg(long, value_name = "FILE", group = "timings")]
    pub(super) timing_cache: Option<PathBuf>,
    /// Begin without the timings of earlier builds, and keep none
    #[arg(long, group = "timings")]
    pub(super) no_timing_cache: bool,
    /// Scratch memory a layer may use: 512M, 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) max_workspace: Option<u64>,
    /// 0 builds fast, 5 makes fast engines
    #[arg(long, value_name = "0-5", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(super) optimization_level: Option<u8>,
    /// Plans that later minor versions of the library load elsewhere; here, each version builds its own
    #[arg(long)]
    pub(super) version_compatible: bool,
    /// Plans that later GPU generations run elsewhere; here, each GPU model builds its own
    #[arg(long)]
    pub(super) hardware_compatible: bool,
    /// GPUs to build for where there is none: `sm_86,sm_120`
    #[arg(long, value_name = "SM", value_delimiter = ',')]
    pub(super) target: Vec<ComputeCapability>,
    /// Build for the libraries of this run-time folder, which is not the active one yet
    #[arg(long, value_name = "DIR")]
    pub(super) for_runtime: Option<PathBuf>,
    /// Graphs to build at once; without, half as many as there are processors, as far as memory is free
    #[arg(long, value_name = "N", value_parser = positive::<NonZeroUsize>)]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Longest time one graph may take to compile, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) build_timeout: u64,
}

impl Args {
    pub(super) fn precision(&self) -> Option<Precision> {
        let asked = [
            (self.fp16, Precision::Fp16),
            (self.bf16, Precision::Bf16),
            (self.fp32, Precision::Fp32),
        ];
        asked
            .into_iter()
            .find_map(|(flag, precision)| flag.then_some(precision))
    }

    pub(super) fn backend(&self) -> Result<Option<BackendId>, Failure> {
        match self.backend.as_str() {
            "auto" => Ok(None),
            name => name
                .parse()
                .map(Some)
                .map_err(|error| Failure::message(Exit::Usage, format!("--backend: {error}"))),
        }
    }

    pub(super) fn scope(&self) -> Result<Scope, Failure> {
        if self.graphs.is_empty() {
            return Ok(Scope::All);
        }
        let expanded: Result<Vec<_>, _> = self
            .graphs
            .iter()
            .map(|word| GraphId::expand(word.trim()))
            .collect();
        match expanded {
            Ok(graphs) => Ok(Scope::Named(graphs.concat())),
            Err(error) => Err(Failure::message(Exit::Usage, format!("--graphs: {error}"))),
        }
    }

    /// A path that cannot be such a file is refused, whether or not a library here takes timings.
    pub(super) fn timings(&self) -> Result<TimingsAt, Failure> {
        let Some(file) = &self.timing_cache else {
            return Ok(if self.no_timing_cache {
                TimingsAt::Nowhere
            } else {
                TimingsAt::Store
            });
        };
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let reason = if file.is_dir() {
            "it is a folder".to_owned()
        } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            format!("there is no folder {}", folder.display())
        } else {
            return Ok(TimingsAt::File(file.clone()));
        };
        let what = format!("--timing-cache {}: {reason}", file.display());
        Err(Failure::message(Exit::Usage, what)
            .with_hint("name a file, there already or not, in a folder that is there"))
    }

    pub(super) fn options(&self) -> CompileOptions {
        let mut targets = self.target.clone();
        targets.sort_unstable();
        targets.dedup();
        CompileOptions {
            tf32: !self.no_tf32,
            workspace_bytes: self.max_workspace,
            optimization_level: self.optimization_level,
            version_compatible: self.version_compatible,
            hardware_compatible: self.hardware_compatible,
            targets,
        }
    }
}
