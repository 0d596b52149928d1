//! Recordings that tests have heard.

use cvtrt::frontend::wav;
use cvtrt::testkit::data_path;
use std::path::PathBuf;

/// One per format, by the format's name.
pub(crate) const FILES: [(&str, &str); 4] = [
    ("wav", "goldens/frontend/a_24k.wav"),
    ("flac", "audio/voice.flac"),
    ("mp3", "audio/voice.mp3"),
    ("ogg", "audio/voice.ogg"),
];

/// Where one of them is.
pub(crate) fn path(name: &str) -> PathBuf {
    data_path(name)
}

/// A WAV file of a vowel-like sound at a pitch of 140 Hz; silent at level 0.
#[expect(clippy::cast_possible_truncation, reason = "samples are f32")]
pub(crate) fn wav(rate_hz: u32, samples: u32, level: f32) -> Vec<u8> {
    let sample = |index: u32| {
        let phase = f64::from(index) / f64::from(rate_hz) * 140.0 * std::f64::consts::TAU;
        let sum: f64 = (1..20)
            .map(|n| (phase * f64::from(n)).sin() / f64::from(n))
            .sum();
        level * (sum / 2.0) as f32
    };
    let pcm: Vec<f32> = (0..samples).map(sample).collect();
    let mut file = Vec::new();
    wav::write(&mut file, &pcm, rate_hz).expect("memory takes it");
    file
}
