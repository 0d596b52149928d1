//! Where the audio goes.

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::frontend::wav;
use crate::pipeline::Speech;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub(super) fn is_stdout(output: &Path) -> bool {
    output.as_os_str() == "-"
}

/// Nobody wants to hear after the work that the file cannot be written.
pub(super) fn check_output(output: &Path) -> Result<(), Failure> {
    if is_stdout(output) {
        return Ok(());
    }
    if output.is_dir() || output.file_name().is_none() {
        return Err(Failure::write(output, io::ErrorKind::IsADirectory.into()));
    }
    match fs::metadata(folder_of(output)) {
        Ok(folder) if folder.is_dir() => Ok(()),
        Ok(_) => Err(Failure::write(output, io::ErrorKind::NotADirectory.into())),
        Err(error) => Err(Failure::write(output, error)),
    }
}

fn folder_of(output: &Path) -> &Path {
    output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

pub(super) fn write_audio(output: &Path, spoken: &[Speech]) -> Result<(), Failure> {
    let sample_rate = spoken.first().map_or(0, |speech| speech.sample_rate);
    let pcm: Vec<f32> = spoken
        .iter()
        .flat_map(|speech| &speech.pcm)
        .copied()
        .collect();
    if is_stdout(output) {
        let mut bytes = Vec::new();
        wav::write(&mut bytes, &pcm, sample_rate)?;
        return Printer::write(&bytes);
    }
    let failed = |error: io::Error| Failure::write(output, error);
    // A pipe or a device is written to; a link's file is replaced, not the link.
    let known = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
    if fs::metadata(&known).is_ok_and(|data| !data.is_file()) {
        let file = fs::OpenOptions::new().write(true).open(&known);
        wav::write(file.map_err(failed)?, &pcm, sample_rate)?;
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder_of(&known))
        .map_err(failed)?;
    wav::write(&mut file, &pcm, sample_rate)?;
    file.persist(&known).map_err(|error| failed(error.error))?;
    Ok(())
}
