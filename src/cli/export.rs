//! `cvtrt export`: hands an upstream checkpoint to the exporter, in a Python environment of its own, and lets the bundle
//! speak once.

mod ranges;

use super::context::{self, Context};
use super::failure::{Exit, Failure};
use super::printer::{self, Printer};
use crate::build::Cancel;
use crate::bundle::{Bundle, StatCache, check_checkpoint, checkpoint_digest};
use crate::ids::{GraphId, UnknownName};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Check an upstream checkpoint and export it to a bundle
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with the upstream checkpoint (llm.pt, flow.pt, hift.pt, cosyvoice2.yaml)
    #[arg(long, value_name = "DIR")]
    model_dir: PathBuf,
    /// Folder to write the bundle to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only these graphs; `hift` means both vocoder graphs
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = graphs_word)]
    graphs: Vec<String>,
    /// Only check files, keys and shapes
    #[arg(long)]
    check_only: bool,
    /// Do not let the bundle speak to record how far its values reach, which half precision is chosen by
    #[arg(long)]
    no_calibrate: bool,
    /// Folder of the exporter, where this is not a checkout
    #[arg(long, value_name = "DIR")]
    scripts_dir: Option<PathBuf>,
    /// A Python that already has the exporter's packages
    #[arg(long, value_name = "FILE")]
    export_python: Option<PathBuf>,
}

/// The bundle of an upstream checkpoint in `onnx/`, under the checkpoint folder's name.
#[derive(Debug)]
pub(super) enum Exported {
    /// It is there, and was exported from the weights as they are.
    Present(Box<Bundle>),
    /// It is not, or the weights have changed since.
    Missing(PathBuf),
}

/// Looks for the bundle of an upstream checkpoint; exports nothing.
pub(super) fn exported(
    model_dir: &Path,
    digests: &mut StatCache,
    context: &Context,
) -> Result<Exported, Failure> {
    let name = std::fs::canonicalize(model_dir)
        .ok()
        .and_then(|dir| dir.file_name().map(PathBuf::from));
    let Some(name) = name else {
        check_checkpoint(model_dir, &[])?;
        return Err(Failure::usage(anyhow::anyhow!(
            "{} has no name that its bundle could have",
            model_dir.display()
        )));
    };
    let out = context.places().onnx.join(name);
    let failed = |error| {
        let what = format!("cannot read {}", model_dir.display());
        Failure::usage(anyhow::Error::from(error).context(what))
    };
    let digest = checkpoint_digest(model_dir, digests).map_err(failed)?;
    match Bundle::open(&out) {
        Ok(bundle) if digest == Some(bundle.manifest().source.digest) => {
            Ok(Exported::Present(Box::new(bundle)))
        }
        _ => {
            // Only an export needs a folder that can be exported.
            check_checkpoint(model_dir, &[])?;
            Ok(Exported::Missing(out))
        }
    }
}

/// Exports an upstream checkpoint, and says nothing of it on stdout.
pub(super) fn export_to(
    out: &Path,
    model_dir: &Path,
    cancel: &Cancel,
    context: &Context,
) -> Result<Bundle, Failure> {
    let args = Args {
        model_dir: model_dir.to_owned(),
        out: out.to_owned(),
        graphs: Vec::new(),
        check_only: false,
        no_calibrate: false,
        scripts_dir: None,
        export_python: None,
    };
    let mut command = exporter(&args, context)?;
    // With this the exporter talks on stderr and ends with a document.
    command.arg("--json").stdout(Stdio::null());
    match exit_of(&mut command)? {
        Exit::Done => {
            printer::say(ranges::record(&Bundle::open(out)?, cancel, context)?);
            Ok(Bundle::open(out)?)
        }
        exit => Err(Failure::message(
            exit,
            format!("{} was not exported", model_dir.display()),
        )),
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<Exit, Failure> {
    let cancel = context::cancel_on_interrupt()?;
    let mut command = exporter(args, context)?;
    let speaks = !args.check_only && !args.no_calibrate;
    if context.json() {
        return run_json(&mut command, args, speaks, &cancel, context);
    }
    let exit = exit_of(&mut command)?;
    if exit == Exit::Done && speaks {
        let calibration = ranges::record(&Bundle::open(&args.out)?, &cancel, context)?;
        Printer::write(format!("{calibration}\n").as_bytes())?;
    }
    Ok(exit)
}

/// The exporter's own document, and in it what became of the ranges.
fn run_json(
    command: &mut Command,
    args: &Args,
    speaks: bool,
    cancel: &Cancel,
    context: &Context,
) -> Result<Exit, Failure> {
    let child = command.arg("--json").stdout(Stdio::piped()).spawn();
    let output = child
        .and_then(Child::wait_with_output)
        .map_err(|error| no_start(command, &error))?;
    let exit = exit_by(output.status);
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        return Err(no_document(command, output.status));
    };
    if exit != Exit::Done {
        context
            .printer()
            .result(&failed(document, exit), serde_json::Value::to_string)?;
        return Ok(exit);
    }
    if speaks {
        let calibration = ranges::record(&Bundle::open(&args.out)?, cancel, context)?;
        document["calibration"] =
            serde_json::to_value(calibration).map_err(|error| Failure::new(Exit::Failed, error))?;
    }
    context
        .printer()
        .result(&document, serde_json::Value::to_string)?;
    Ok(exit)
}

/// What the exporter says of its failure, in the form that every command has for one; it has said it to people already.
fn failed(mut document: serde_json::Value, exit: Exit) -> serde_json::Value {
    let problems = document["problems"].as_array();
    let problems = problems.map_or(&[][..], Vec::as_slice);
    let field = |value: &serde_json::Value, name: &str| value[name].as_str().map(str::to_owned);
    let causes: Vec<String> = problems
        .iter()
        .filter_map(|one| Some(format!("{}: {}", field(one, "file")?, field(one, "what")?)))
        .collect();
    let first = problems.first().and_then(|one| field(one, "fix"));
    document["error"] = serde_json::json!({
        "message": document["error"],
        "causes": causes,
        "hint": field(&document, "hint").or(first),
        "exit_code": exit.number(),
    });
    if let Some(document) = document.as_object_mut() {
        document.remove("hint");
    }
    document
}

/// The exporter's command line.
fn exporter(args: &Args, context: &Context) -> Result<Command, Failure> {
    // Before anything is installed; what else is wrong with the folder, the exporter says.
    check_checkpoint(&args.model_dir, &args.graphs())?;
    let scripts = scripts_dir(args, context)?;
    let python = match &args.export_python {
        Some(python) => python.clone(),
        None => environment(&scripts, context)?,
    };
    let mut command = Command::new(python);
    command
        .arg(scripts.join("export_onnx.py"))
        .arg("--model-dir")
        .arg(&args.model_dir)
        .arg("--out")
        .arg(&args.out);
    if !args.graphs.is_empty() {
        command.arg("--graphs").arg(args.graphs.join(","));
    }
    if args.check_only {
        command.arg("--check-only");
    }
    Ok(command)
}

impl Args {
    fn graphs(&self) -> Vec<GraphId> {
        let words = self.graphs.iter();
        // A word that names none was refused when the line was read.
        words
            .filter_map(|word| GraphId::expand(word).ok())
            .flatten()
            .collect()
    }
}

/// A word that names graphs; which of them a checkpoint has, the exporter knows.
fn graphs_word(word: &str) -> Result<String, UnknownName> {
    let word = word.trim();
    GraphId::expand(word).map(|_| word.to_owned())
}

fn exit_of(command: &mut Command) -> Result<Exit, Failure> {
    Ok(exit_by(status(command)?))
}

fn exit_by(status: ExitStatus) -> Exit {
    match status.code() {
        Some(0) => Exit::Done,
        // The exporter has already said what is wrong with the folder.
        Some(2) => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn scripts_dir(args: &Args, context: &Context) -> Result<PathBuf, Failure> {
    let candidates = args.scripts_dir.iter().cloned().chain(
        context
            .working_dir()
            .ancestors()
            .map(|dir| dir.join("scripts")),
    );
    candidates
        .into_iter()
        .find(|dir| dir.join("export_onnx.py").is_file())
        .ok_or_else(|| {
            Failure::message(
                Exit::Failed,
                "the exporter (scripts/export_onnx.py) was not found here or above",
            )
            .with_hint(
                "run this in a checkout of cvtrt, or name its scripts folder with --scripts-dir",
            )
        })
}

/// The exporter's own environment, made from its lock file on first use.
fn environment(scripts: &Path, context: &Context) -> Result<PathBuf, Failure> {
    let lock = scripts.join("export/requirements.lock");
    let folder = context.places().cache.join("export-env");
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.lock"));
    let wanted = std::fs::read(&lock).map_err(|error| Failure::new(Exit::Failed, error))?;
    if python.is_file() && std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    printer::say("making the exporter's Python environment; torch is large, this takes minutes");
    must(
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "python3 -m venv",
        "apt-get install python3-venv",
    )?;
    let mut install = Command::new(&python);
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&lock);
    must(
        &mut install,
        "pip install",
        "check pip's configuration and the network, then run the command again",
    )?;
    std::fs::write(&stamp, wanted).map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(python)
}

fn must(command: &mut Command, name: &str, hint: &str) -> Result<(), Failure> {
    let status = status(command.stdout(Stdio::null()))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::message(Exit::Failed, format!("{name} failed ({status})")).with_hint(hint))
}

fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    command.status().map_err(|error| no_start(command, &error))
}

fn no_start(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy();
    Failure::message(Exit::Failed, format!("cannot start {program}: {error}"))
        .with_hint("install Python 3 with venv and pip, or name one with --export-python FILE")
}

/// An exporter that ended before it could say how.
fn no_document(command: &Command, status: ExitStatus) -> Failure {
    let program = command.get_program().to_string_lossy();
    let what = format!("the exporter ended without a result ({status}), run by {program}");
    Failure::message(Exit::Failed, what).with_hint(
        "stderr says why; --export-python names another Python, and without it cvtrt makes one of its own",
    )
}
