//! Skips that are heard.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Reports that a test checks nothing here, and why.
///
/// The line goes to the standard error handle, past the capture of the test harness, and to the file named by
/// `CVTRT_SKIP_TALLY`, which `scripts/test` prints last.
///
/// # Panics
/// If the variable `require` is set to `1`: the machine was promised to have what is missing. If the tally cannot be
/// written.
pub fn skip(test: &str, reason: &str, require: &str) {
    let required = env::var_os(require).is_some_and(|value| value == "1");
    assert!(
        !required,
        "{test}: {reason}, and {require}=1 forbids to skip"
    );
    let line = format!("SKIP {test}: {reason}\n");
    // A closed handle must not turn a skip into a failure.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    if let Some(tally) = env::var_os("CVTRT_SKIP_TALLY") {
        append(Path::new(&tally), &line).expect("the tally can be written, or skips go unheard");
    }
}

fn append(tally: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(tally)?;
    file.write_all(line.as_bytes())
}
