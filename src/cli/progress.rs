//! A build's progress: a row per graph under way on a terminal, plain lines elsewhere.

use super::printer;
use crate::build::{Event, Watch};
use crate::ids::GraphId;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

/// Draws a build's progress on stderr.
pub(super) struct BuildProgress {
    rows: MultiProgress,
    bars: BTreeMap<GraphId, ProgressBar>,
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
        Self {
            rows: MultiProgress::with_draw_target(target),
            bars: BTreeMap::new(),
            terminal,
            quiet,
        }
    }

    fn begin(&mut self, graph: GraphId, what: &str) {
        if self.terminal {
            let bar = self.bars.entry(graph).or_insert_with(|| {
                let bar = self.rows.add(ProgressBar::no_length());
                let style = "{spinner} {prefix} {wide_msg} {pos}/{len} {elapsed}";
                bar.set_style(
                    ProgressStyle::with_template(style).expect("the template is written here"),
                );
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_prefix(format!("{graph}: {what}"));
            bar.set_message("");
        } else if !self.quiet {
            printer::say(format!("{graph}: {what}"));
        }
    }

    /// Says a line that stays, above the rows.
    fn say(&self, line: String) {
        self.rows.suspend(|| printer::say(line));
    }
}

impl Watch for BuildProgress {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Waiting { graph } => self.begin(graph, "another process builds it; waiting"),
            Event::Compiling {
                graph,
                backend,
                precision,
            } => self.begin(graph, &format!("building {precision} with {backend}")),
            Event::Verifying { graph, backend } => {
                self.begin(graph, &format!("comparing {backend} with the reference"));
            }
            Event::Step {
                graph,
                phase,
                done,
                total,
            } => {
                if let Some(bar) = self.bars.get(&graph) {
                    bar.set_message(phase.to_owned());
                    bar.set_length(u64::from(total));
                    bar.set_position(u64::from(done));
                }
            }
            Event::Log { graph, line } => tracing::info!(%graph, line, "library"),
            Event::PassedOver {
                graph,
                backend,
                reason,
            } => {
                self.say(format!(
                    "{graph}: {backend} failed ({reason}); going on with the next backend"
                ));
            }
            Event::Stays { graph, entry } => {
                self.say(format!("{graph}: the engine built before stays: {entry}"));
            }
            Event::Done(built) => {
                if let Some(bar) = self.bars.remove(&built.graph) {
                    bar.finish_and_clear();
                    self.rows.remove(&bar);
                }
                if !self.terminal && !self.quiet {
                    printer::say(format!("{}: done", built.graph));
                }
            }
        }
    }
}

impl Drop for BuildProgress {
    fn drop(&mut self) {
        for bar in self.bars.values() {
            bar.finish_and_clear();
        }
    }
}
