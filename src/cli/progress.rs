//! A build's progress: a bar on a terminal, plain lines elsewhere.

use super::printer;
use crate::build::{Event, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Draws a build's progress on stderr.
pub(super) struct BuildProgress {
    bar: ProgressBar,
    terminal: bool,
    quiet: bool,
}

impl BuildProgress {
    /// A quiet one says only what went wrong.
    pub(super) fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = "{spinner} {prefix} {wide_msg} {pos}/{len} {elapsed}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is written here"));
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self {
            bar,
            terminal,
            quiet,
        }
    }

    fn begin(&self, what: String) {
        if self.terminal {
            self.bar.set_prefix(what);
            self.bar.set_message("");
        } else if !self.quiet {
            printer::say(what);
        }
    }
}

impl Watch for BuildProgress {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Waiting { graph } => {
                self.begin(format!("{graph}: another process builds it; waiting"));
            }
            Event::Compiling {
                graph,
                backend,
                precision,
            } => self.begin(format!("{graph}: building {precision} with {backend}")),
            Event::Verifying { graph, backend } => {
                self.begin(format!("{graph}: comparing {backend} with the reference"));
            }
            Event::Step {
                phase, done, total, ..
            } => {
                self.bar.set_message(phase.to_owned());
                self.bar.set_length(u64::from(total));
                self.bar.set_position(u64::from(done));
            }
            Event::Log { graph, line } => tracing::info!(%graph, line, "library"),
            Event::PassedOver {
                graph,
                backend,
                reason,
            } => {
                self.bar.suspend(|| {
                    printer::say(format!(
                        "{graph}: {backend} failed ({reason}); going on with the next backend"
                    ));
                });
            }
            Event::Done(built) if !self.terminal && !self.quiet => {
                printer::say(format!("{}: done", built.graph));
            }
            Event::Done(_) => {}
        }
    }
}

impl Drop for BuildProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
