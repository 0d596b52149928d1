//! Where the time of an utterance goes.

use super::graph::RunTime;
use serde::Serializer;
use std::time::Duration;

/// Where the time of one utterance went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StageTimes {
    /// Text to ids; measured by whoever did it, and no part of `total`.
    #[serde(rename = "front_end_ms", serialize_with = "milliseconds")]
    pub front_end: Duration,
    /// Reading the prompt.
    pub prefill: StageTime,
    /// One token after another, drawing included.
    pub decode: StageTime,
    /// Tokens to the flow's condition, and its noise.
    pub encode: StageTime,
    /// Euler steps.
    pub flow: StageTime,
    /// Mel to F0.
    pub pitch: StageTime,
    /// F0 to the vocoder's source, on the host.
    #[serde(rename = "source_ms", serialize_with = "milliseconds")]
    pub source: Duration,
    /// Mel and source to waveform.
    pub vocode: StageTime,
    /// From request to audio.
    #[serde(rename = "total_ms", serialize_with = "milliseconds")]
    pub total: Duration,
}

/// Time of one stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StageTime {
    /// On the clock.
    #[serde(rename = "wall_ms", serialize_with = "milliseconds")]
    pub wall: Duration,
    /// Of it, inside the backend.
    #[serde(rename = "in_backend_ms", serialize_with = "milliseconds")]
    pub in_backend: Duration,
    /// Runs of the stage's graph.
    pub runs: u32,
}

impl StageTimes {
    /// Time inside the backends, all stages together.
    pub fn in_backends(&self) -> Duration {
        let stages = [
            &self.prefill,
            &self.decode,
            &self.encode,
            &self.flow,
            &self.pitch,
            &self.vocode,
        ];
        stages.into_iter().map(|stage| stage.in_backend).sum()
    }

    /// Time that is neither a backend's nor the source's: what driving the graphs costs.
    pub fn driving(&self) -> Duration {
        self.total
            .saturating_sub(self.in_backends())
            .saturating_sub(self.source)
    }

    /// Share of [`Self::driving`] in the whole, 0 to 1.
    pub fn driving_share(&self) -> f64 {
        if self.total.is_zero() {
            return 0.0;
        }
        self.driving().as_secs_f64() / self.total.as_secs_f64()
    }
}

impl StageTime {
    pub(super) fn add(&mut self, wall: Duration, run: RunTime) {
        self.wall += wall;
        self.in_backend += run.inside;
        self.runs += run.runs;
    }
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driving_is_what_no_backend_and_no_source_took() {
        let milliseconds = Duration::from_millis;
        let mut times = StageTimes {
            source: milliseconds(5),
            total: milliseconds(100),
            ..StageTimes::default()
        };
        let run = RunTime {
            inside: milliseconds(30),
            runs: 10,
        };
        times.decode.add(milliseconds(40), run);
        times.flow.add(milliseconds(50), run);
        assert_eq!(times.driving(), milliseconds(35));
        assert!((times.driving_share() - 0.35).abs() < 1e-12);
        let json = serde_json::to_value(times).expect("serialises");
        assert_eq!(json["decode"]["in_backend_ms"], 30.0);
        assert_eq!(json["total_ms"], 100.0);
    }
}
