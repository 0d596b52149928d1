//! From ONNX bytes to a plan.

use super::handle::{BuilderHandle, PlanBytes, RawRange, ShimError, Status};
use super::library::TrtLibrary;
use super::log::{Kept, LogLine};
use super::network::{NetworkSummary, TensorInfo};
use super::plan_header::{PlanHeader, PlanHeaderError};
use super::request::{BuildProgress, BuildRequest, TimingCache};
use crate::cuda::{self, NoCuda};
use crate::hint::{Class, Hint};
use crate::profile::{InputRange, OptProfile};
use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::path::Path;
use std::sync::PoisonError;

/// What a build gives.
#[derive(Debug)]
pub struct BuiltPlan {
    /// The serialised engine.
    pub plan: PlanBytes,
    /// Its header, read back.
    pub header: PlanHeader,
    /// The network it was built from, before fusion. A plan cannot be listed without a device, so keep this beside it.
    pub network: NetworkSummary,
    /// Timings to begin the next build with, where a cache was asked for.
    pub timing_cache: Option<Vec<u8>>,
    /// Why the build did not begin with the timings it was given, where the library refused them.
    pub timings_refused: Option<String>,
    /// The library's warnings, in order, without repetition.
    pub warnings: Vec<String>,
}

/// One thing the ONNX parser did not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// `nvonnxparser::ErrorCode`.
    pub code: i32,
    /// Index of the node in the graph, where one is to blame.
    pub node: Option<usize>,
    /// The node's name; may be empty.
    pub name: String,
    /// The node's operator; may be empty.
    pub operator: String,
    /// The parser's words.
    pub message: String,
}

/// Why no plan was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// TensorRT proper builds on the device it builds for.
    #[error("TensorRT needs a CUDA device to build")]
    NoDevice(#[source] NoCuda),
    /// There is no model.
    #[error("the ONNX model is empty")]
    EmptyModel,
    /// A name or path has a NUL byte inside.
    #[error("{0:?} contains a NUL byte")]
    NulByte(String),
    /// The parser did not accept the model.
    #[error("the ONNX parser refused the model: {}", joined(.0))]
    Parse(Vec<ParseError>),
    /// An optimisation profile names an input the model does not have.
    #[error("profile `{profile}` has a range for `{input}`, which is no input of the model")]
    NoSuchInput {
        /// The profile.
        profile: String,
        /// The name.
        input: String,
    },
    /// A dynamic input has no range.
    #[error("profile `{profile}` has no range for the dynamic input `{input}`")]
    NoRange {
        /// The profile.
        profile: String,
        /// The input.
        input: String,
    },
    /// A range contradicts the model or itself.
    #[error("profile `{profile}`: {range} does not fit the input {input}")]
    Range {
        /// The profile.
        profile: String,
        /// The range, as min / opt / max.
        range: String,
        /// The input and its dimensions.
        input: String,
    },
    /// The library has no such feature.
    #[error("not possible: {0}")]
    Unsupported(String),
    /// A progress listener stopped the build.
    #[error("the build was cancelled")]
    Cancelled,
    /// Host or device memory ran out.
    #[error("out of memory{}", last_words(log))]
    OutOfMemory {
        /// The last lines of the library's log.
        log: Vec<LogLine>,
    },
    /// The library gave up.
    #[error("{message}{}", last_words(log))]
    Failed {
        /// What was being done.
        message: String,
        /// The last lines of the library's log.
        log: Vec<LogLine>,
    },
    /// What was built is no plan of this library.
    #[error("the library built something that is not its own plan")]
    Plan(#[from] PlanHeaderError),
}

impl TrtLibrary {
    /// Builds one plan, calling `progress` as it goes.
    ///
    /// One build runs at a time per library; others wait, so `progress` must not build itself. TensorRT-RTX needs no
    /// device.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(
        &self,
        request: &BuildRequest<'_>,
        progress: &dyn BuildProgress,
    ) -> Result<BuiltPlan, BuildError> {
        if self.needs_driver {
            cuda::probe().map_err(BuildError::NoDevice)?;
        }
        self.build_where_safe(request, progress)
    }

    /// [`Self::build`] behind the look for a device.
    pub(super) fn build_where_safe(
        &self,
        request: &BuildRequest<'_>,
        progress: &dyn BuildProgress,
    ) -> Result<BuiltPlan, BuildError> {
        if let Some(reason) = self.cannot_build() {
            return Err(BuildError::Unsupported(reason.to_string()));
        }
        if request.onnx.is_empty() {
            return Err(BuildError::EmptyModel);
        }
        // Whoever panicked in a build left nothing behind: the lock guards no data.
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        self.lead_to_resources();
        self.handle.log().take();
        let built = self.build_alone(request, progress);
        let Kept { last, warnings } = self.handle.log().take();
        match built {
            Ok(mut built) => {
                built.warnings = without_repetition(warnings);
                Ok(built)
            }
            Err(failure) => Err(failure.explained_by(last.into())),
        }
    }

    fn build_alone(
        &self,
        request: &BuildRequest<'_>,
        progress: &dyn BuildProgress,
    ) -> Result<BuiltPlan, BuildFailure> {
        let path = request.onnx_path.map(c_path).transpose()?;
        let mut timings_refused = None;
        let mut builder = match BuilderHandle::new(&self.handle, request, progress) {
            Err(error) if error.status == Status::ForeignTimings => {
                timings_refused = Some(error.message);
                let anew = BuildRequest {
                    timing_cache: TimingCache::Fresh,
                    ..*request
                };
                BuilderHandle::new(&self.handle, &anew, progress)?
            }
            made => made?,
        };
        if let Err(error) = builder.parse(path.as_deref()) {
            return Err(if error.status == Status::ParseFailed {
                BuildError::Parse(builder.parse_errors()).into()
            } else {
                error.into()
            });
        }
        let network = builder.network()?;
        if !self.version().types_bind_the_builder() && !request.fp32_nodes.is_empty() {
            let wanted = request.fp32_nodes.len();
            let kept = builder.keep_fp32(&c_strings(request.fp32_nodes)?)?;
            if kept < wanted {
                tracing::warn!(kept, wanted, "fewer nodes stay in fp32 than the plan says");
            }
        }
        for profile in request.profiles {
            builder.add_profile(&checked_ranges(profile, &network.inputs)?)?;
        }
        let plan = builder.build()?;
        let header = PlanHeader::read(&plan, plan.len() as u64).map_err(BuildError::Plan)?;
        let timing_cache = match request.timing_cache {
            TimingCache::Off => None,
            TimingCache::Fresh | TimingCache::From(_) => Some(builder.timing_cache()?.to_vec()),
        };
        Ok(BuiltPlan {
            plan,
            header,
            network,
            timing_cache,
            timings_refused,
            warnings: Vec::new(),
        })
    }
}

/// A failed build before the library's log was read.
enum BuildFailure {
    Known(BuildError),
    Shim(ShimError),
}

impl From<BuildError> for BuildFailure {
    fn from(error: BuildError) -> Self {
        Self::Known(error)
    }
}

impl From<ShimError> for BuildFailure {
    fn from(error: ShimError) -> Self {
        Self::Shim(error)
    }
}

impl BuildFailure {
    fn explained_by(self, log: Vec<LogLine>) -> BuildError {
        let error = match self {
            Self::Known(error) => return error,
            Self::Shim(error) => error,
        };
        match error.status {
            Status::Cancelled => BuildError::Cancelled,
            Status::Unsupported => BuildError::Unsupported(error.message),
            Status::OutOfMemory => BuildError::OutOfMemory { log },
            _ if log.iter().any(LogLine::tells_out_of_memory) => BuildError::OutOfMemory { log },
            _ => BuildError::Failed {
                message: error.message,
                log,
            },
        }
    }
}

/// Every range of a profile, checked against the parsed inputs: the library's own complaint names neither.
fn checked_ranges(
    profile: &OptProfile,
    inputs: &[TensorInfo],
) -> Result<Vec<RawRange>, BuildError> {
    for input in inputs {
        let dynamic = input.dims.contains(&None);
        if dynamic && !profile.inputs.iter().any(|range| range.name == input.name) {
            return Err(BuildError::NoRange {
                profile: profile.name.clone(),
                input: input.name.clone(),
            });
        }
    }
    profile
        .inputs
        .iter()
        .map(|range| {
            let input = inputs
                .iter()
                .find(|input| input.name == range.name)
                .ok_or_else(|| BuildError::NoSuchInput {
                    profile: profile.name.clone(),
                    input: range.name.clone(),
                })?;
            if !fits(range, input) {
                return Err(BuildError::Range {
                    profile: profile.name.clone(),
                    range: format!("{} / {} / {}", range.min, range.opt, range.max),
                    input: input.to_string(),
                });
            }
            Ok(RawRange {
                input: c_string(&range.name)?,
                min: range.min,
                opt: range.opt,
                max: range.max,
            })
        })
        .collect()
}

fn fits(range: &InputRange, input: &TensorInfo) -> bool {
    let shapes = [range.min, range.opt, range.max];
    if shapes.iter().any(|shape| shape.rank() != input.dims.len()) {
        return false;
    }
    input.dims.iter().enumerate().all(|(axis, fixed)| {
        let [min, opt, max] = shapes.map(|shape| shape.dims()[axis]);
        let ordered = min <= opt && opt <= max;
        ordered && fixed.is_none_or(|size| min == size && max == size)
    })
}

fn c_path(path: &Path) -> Result<CString, BuildError> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| BuildError::NulByte(path.display().to_string()))
}

fn c_strings(texts: &[String]) -> Result<Vec<CString>, BuildError> {
    texts.iter().map(|text| c_string(text)).collect()
}

fn c_string(text: &str) -> Result<CString, BuildError> {
    CString::new(text).map_err(|_| BuildError::NulByte(text.to_owned()))
}

fn without_repetition(lines: Vec<String>) -> Vec<String> {
    let mut seen = Vec::<String>::new();
    for line in lines {
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    seen
}

/// The last errors of a log, for a message.
fn last_words(log: &[LogLine]) -> String {
    let last = LogLine::last_error(log);
    last.map_or_else(String::new, |line| format!(": {line}"))
}

fn joined(errors: &[ParseError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = self.node {
            write!(f, "node {node}")?;
            if !self.name.is_empty() {
                write!(f, " `{}`", self.name)?;
            }
            if !self.operator.is_empty() {
                write!(f, " ({})", self.operator)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl Hint for BuildError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NoDevice(_) => {
                "build on the machine with the GPU, or use --backend tensorrt-rtx --target sm_86"
                    .into()
            }
            Self::OutOfMemory { .. } => "lower --max-workspace or the profile's maxima".into(),
            _ => return None,
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::NoDevice(_) | Self::Unsupported(_) => Class::Unavailable,
            Self::EmptyModel
            | Self::NulByte(_)
            | Self::Parse(_)
            | Self::NoSuchInput { .. }
            | Self::NoRange { .. }
            | Self::Range { .. } => Class::Input,
            _ => Class::Failed,
        }
    }
}
