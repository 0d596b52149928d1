//! Logs: everything said goes to stderr, fields before prose.

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr.
///
/// `verbosity` counts `-v` minus `-q`: 0 shows warnings, 1 info, 2 debug, 3 and more trace; below 0 only errors.
/// `RUST_LOG`, where set, wins. Later calls do nothing.
pub fn start(verbosity: i8, color: bool) {
    let level = match verbosity {
        ..=-1 => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        3.. => "trace",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,cvtrt={level}")));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color);
    if subscriber.try_init().is_err() {
        tracing::debug!("logging was started before");
    }
}
