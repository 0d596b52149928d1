//! What thirty seconds of prompt cost.

use cvtrt::frontend::audio::{PromptMelSpec, kaldi_fbank, prompt_mel, resample, whisper_mel};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Thirty seconds of a rising tone.
#[expect(clippy::cast_possible_truncation, reason = "samples are f32")]
fn speech(rate_hz: u32) -> Vec<f32> {
    (0..rate_hz * 30)
        .map(|i| {
            let seconds = f64::from(i) / f64::from(rate_hz);
            (0.5 * (seconds * (200.0 + 100.0 * seconds)).sin()) as f32
        })
        .collect()
}

#[divan::bench(args = [(44_100, 16_000), (48_000, 24_000), (24_000, 16_000), (192_000, 16_000)])]
fn resampling(bencher: Bencher, (from_hz, to_hz): (u32, u32)) {
    let samples = speech(from_hz);
    bencher.bench_local(|| resample(black_box(&samples), from_hz, to_hz));
}

#[divan::bench]
fn whisper(bencher: Bencher) {
    let samples = speech(16_000);
    bencher.bench_local(|| whisper_mel(black_box(&samples)));
}

#[divan::bench]
fn fbank(bencher: Bencher) {
    let samples = speech(16_000);
    bencher.bench_local(|| kaldi_fbank(black_box(&samples)));
}

#[divan::bench]
fn prompt(bencher: Bencher) {
    let samples = speech(24_000);
    let spec = PromptMelSpec {
        rate_hz: 24_000,
        hop: 480,
        window: 1920,
        bins: 80,
        max_hz: 8000.0,
    };
    bencher.bench_local(|| prompt_mel(black_box(&samples), &spec));
}
