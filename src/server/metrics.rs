//! What Prometheus reads.

use super::model::Model;
use crate::pipeline::End;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Every metric of the server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram>,
    audio: Family<OfModel, Counter<f64, AtomicU64>>,
    rtf: Family<OfModel, Histogram>,
    segments: Family<Ended, Counter>,
    loops: Family<OfModel, Counter>,
    running: Family<OfModel, Gauge>,
    waiting: Family<OfModel, Gauge>,
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
        let requests = Family::default();
        let durations =
            Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let audio = Family::default();
        let rtf = Family::new_with_constructor((|| Histogram::new(RTFS)) as fn() -> Histogram);
        let segments = Family::default();
        let loops = Family::default();
        let running = Family::default();
        let waiting = Family::default();
        let mut registry = Registry::with_prefix("cvtrt");
        registry.register(
            "http_requests",
            "Answers by route and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time to the head of an answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit("audio", "Speech made", Unit::Seconds, audio.clone());
        registry.register_with_unit(
            "speech_rtf",
            "Time of a lane per time of speech",
            Unit::Ratios,
            rtf.clone(),
        );
        registry.register(
            "speech_segments",
            "Segments spoken, by what ended them",
            segments.clone(),
        );
        registry.register(
            "speech_loops_broken",
            "Loops of speech tokens that models were led out of",
            loops.clone(),
        );
        registry.register("requests_running", "Requests being spoken", running.clone());
        registry.register("requests_waiting", "Requests in the queue", waiting.clone());
        Self {
            registry,
            requests,
            durations,
            audio,
            rtf,
            segments,
            loops,
            running,
            waiting,
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

    /// A request was spoken to its end.
    pub(super) fn spoken(&self, model: &str, seconds: f64, rtf: f64) {
        let label = OfModel {
            model: model.to_owned(),
        };
        self.audio.get_or_create(&label).inc_by(seconds);
        self.rtf.get_or_create(&label).observe(rtf);
    }

    /// A segment was spoken.
    pub(super) fn segment(&self, model: &str, end: End, loops_broken: usize) {
        let model = model.to_owned();
        let end = match end {
            End::Stop(_) => "stop",
            End::MaxTokens => "max_tokens",
            End::Loop => "loop",
            End::Given => "given",
        };
        let of_model = OfModel {
            model: model.clone(),
        };
        self.segments.get_or_create(&Ended { model, end }).inc();
        let loops_broken = u64::try_from(loops_broken).unwrap_or(u64::MAX);
        self.loops.get_or_create(&of_model).inc_by(loops_broken);
    }

    /// Everything, in the `OpenMetrics` text format.
    pub(super) fn render(&self, models: &[Model]) -> String {
        for model in models {
            let label = OfModel {
                model: model.name.clone(),
            };
            let load = model.scheduler.load();
            self.running.get_or_create(&label).set(count(load.running));
            self.waiting.get_or_create(&label).set(count(load.waiting));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all");
        text
    }

    /// Content type of [`Self::render`].
    pub(super) const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
