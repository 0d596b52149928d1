//! What Prometheus reads.

use super::model::Model;
use crate::ids::Tier;
use crate::pipeline::End;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Every metric of the server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram>,
    first_audio: Family<OfModel, Histogram>,
    audio: Family<OfModel, Counter<f64, AtomicU64>>,
    rtf: Family<OfModel, Histogram>,
    segments: Family<Ended, Counter>,
    loops: Family<OfModel, Counter>,
    running: Family<OfModel, Gauge>,
    waiting: Family<OfModel, Gauge>,
    places: Family<OfModel, Gauge>,
    ready: Family<OfModel, Gauge>,
    graphs: Family<OfGraph, Gauge>,
    falls: Family<OfFall, Counter>,
    looking: Mutex<()>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGraph {
    model: String,
    graph: &'static str,
    backend: &'static str,
    precision: &'static str,
    /// Whether it is not served as the profile wants.
    fallback: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFall {
    model: String,
    graph: &'static str,
    from: &'static str,
    to: &'static str,
    /// `call` or `link`.
    recovery: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    model: String,
    end: &'static str,
}

/// Around what a listener notices: a tenth of a second, and whole seconds.
const SECONDS: [f64; 12] = [
    0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];
/// Around real time, which is 1.
const RTFS: [f64; 10] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.5, 3.0];

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("cvtrt");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", version);
        let new = &mut registry;
        Self {
            requests: counted(new, "http_requests", "Answers by route and status"),
            durations: timed(
                new,
                "http_request_duration",
                "Time to the head of an answer",
            ),
            first_audio: timed(
                new,
                "time_to_first_audio",
                "Time from a request to its first audio",
            ),
            audio: summed(new, "audio", "Speech made"),
            rtf: related(new, "real_time_factor", "Time of a lane per time of speech"),
            segments: counted(
                new,
                "speech_segments",
                "Segments spoken, by what ended them",
            ),
            loops: counted(
                new,
                "speech_loops_broken",
                "Loops of speech tokens that models were led out of",
            ),
            running: counted(new, "requests_running", "Requests being spoken"),
            waiting: counted(new, "requests_waiting", "Requests in the queue"),
            places: counted(new, "requests_limit", "Both at most"),
            ready: counted(new, "ready", "Whether a model is ready"),
            graphs: counted(new, "graph_info", "What serves each graph"),
            falls: counted(
                new,
                "graph_falls",
                "Calls and lanes that the next link of a chain took over",
            ),
            looking: Mutex::default(),
            registry,
        }
    }

    /// The head of an answer is on its way.
    pub(super) fn answered(&self, route: &str, status: u16, after: Duration) {
        let route = route.to_owned();
        self.durations
            .get_or_create(&Route {
                route: route.clone(),
            })
            .observe(after.as_secs_f64());
        self.requests
            .get_or_create(&Request { route, status })
            .inc();
    }

    /// A request's first audio is there.
    pub(super) fn begun(&self, model: &str, after: Duration) {
        let histogram = self.first_audio.get_or_create(&of(model));
        histogram.observe(after.as_secs_f64());
    }

    /// A request was spoken to its end.
    pub(super) fn spoken(&self, model: &str, seconds: f64, rtf: f64) {
        let model = of(model);
        self.audio.get_or_create(&model).inc_by(seconds);
        self.rtf.get_or_create(&model).observe(rtf);
    }

    /// A segment was spoken.
    pub(super) fn segment(&self, model: &str, end: End, loops_broken: usize) {
        let end = match end {
            End::Stop(_) => "stop",
            End::MaxTokens => "max_tokens",
            End::Loop => "loop",
            End::Given => "given",
        };
        let loops_broken = u64::try_from(loops_broken).unwrap_or(u64::MAX);
        let model = of(model);
        self.loops.get_or_create(&model).inc_by(loops_broken);
        let OfModel { model } = model;
        self.segments.get_or_create(&Ended { model, end }).inc();
    }

    /// Everything, in the `OpenMetrics` text format.
    pub(super) fn render(&self, models: &[Model]) -> String {
        // Two readers at once would find the family half filled.
        let _alone = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // What served a graph before it fell no longer does.
        self.graphs.clear();
        for model in models {
            self.look_at(model);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all");
        text
    }

    fn look_at(&self, model: &Model) {
        let load = model.scheduler.load();
        let label = of(&model.name);
        self.running.get_or_create(&label).set(count(load.running));
        self.waiting.get_or_create(&label).set(count(load.waiting));
        self.places.get_or_create(&label).set(count(load.places));
        let ready = model.not_ready().is_none();
        self.ready.get_or_create(&label).set(ready.into());
        for one in &model.served {
            let graph = one.graph.as_str();
            let Tier { backend, precision } = one.now();
            let label = OfGraph {
                model: model.name.clone(),
                graph,
                backend: backend.as_str(),
                precision: precision.as_str(),
                fallback: one.is_fallback(),
            };
            self.graphs.get_or_create(&label).set(1);
            for fall in one.falls.list() {
                let label = OfFall {
                    model: model.name.clone(),
                    graph,
                    from: fall.from.as_str(),
                    to: fall.to.as_str(),
                    recovery: fall.recovery.as_str(),
                };
                let counter = self.falls.get_or_create(&label);
                counter.inner().store(fall.times, Ordering::Relaxed);
            }
        }
    }

    /// Content type of [`Self::render`].
    pub(super) const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn of(model: &str) -> OfModel {
    let model = model.to_owned();
    OfModel { model }
}

fn counted<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn summed<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn timed<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Histogram> {
    let metric = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn related<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Histogram> {
    let metric = Family::new_with_constructor((|| Histogram::new(RTFS)) as fn() -> Histogram);
    registry.register(name, help, metric.clone());
    metric
}

/// What tells the members of a family apart.
trait Labels: EncodeLabelSet + Clone + Eq + Hash + Debug + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + Eq + Hash + Debug + Send + Sync + 'static> Labels for L {}
