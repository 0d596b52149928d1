//! `cvtrt setup`.

use super::context::Context;
use super::failure::{Exit, Failure};
use super::printer;
use crate::cuda;
use crate::setup::{self, Installed, Origin, SetupError};
use std::path::PathBuf;

/// Install the run-time libraries into a project-local folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// ONNX Runtime for the processor, and TensorRT-RTX to build with (the default without a GPU)
    #[arg(long, conflicts_with = "gpu")]
    cpu: bool,
    /// Also the CUDA build of ONNX Runtime and its CUDA libraries (the default with a GPU)
    #[arg(long)]
    gpu: bool,
    /// Take the wheels from this folder instead of fetching them
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    if let Some(from) = args.from.as_ref().filter(|from| !from.is_dir()) {
        let what = format!("--from: {} is not a folder", from.display());
        return Err(
            Failure::message(Exit::Usage, what).with_hint("name the folder that holds the wheels")
        );
    }
    let driver = match cuda::probe() {
        Ok(driver) => Some(driver).filter(|_| !args.cpu),
        Err(reason) if args.gpu => return Err(SetupError::NoGpu(reason).into()),
        Err(_) => None,
    };
    let mut installed = Vec::new();
    for wheel in setup::wheels(driver.as_ref()) {
        let spinner = printer::spinner(
            format!("{} {}", wheel.package, wheel.version),
            context.quiet(),
        );
        let done = setup::install(&wheel, context.runtime_dir(), args.from.as_deref());
        spinner.finish_and_clear();
        installed.push(done?);
    }
    context
        .printer()
        .result(&installed, |installed| installed.iter().map(line).collect())?;
    if driver
        .as_ref()
        .is_some_and(|driver| driver.cuda_version < 13_000)
    {
        printer::say(
            "ONNX Runtime's CUDA provider wants a driver for CUDA 13, which this one is not; ort-cuda stays unavailable.",
        );
    }
    if driver.is_some() {
        printer::say(
            "TensorRT 10 and 11 come from NVIDIA's own package index; where your pip may use it, \
             `pip install tensorrt` and cvtrt finds it. Until then TensorRT-RTX builds the engines.",
        );
    }
    Ok(Exit::Done)
}

fn line(library: &Installed) -> String {
    let how = match library.origin {
        Origin::Present => "already in",
        Origin::Adopted => "installed by pip, used in",
        Origin::Unpacked => "put into",
    };
    let (size, folder) = (printer::bytes(library.bytes), library.folder.display());
    format!(
        "{} {} ({size}) {how} {folder}\n",
        library.package, library.version
    )
}
