//! Every format, rate, channel count and sample format that is read.

use cvtrt::frontend::audio::{AudioError, Clip, DecodeLimits, resample};
use cvtrt::frontend::wav::{self, WavStream};
use cvtrt::hint::{Class, Hint};
use cvtrt::testkit::data_path;
use hound::{SampleFormat, WavSpec, WavWriter};
use std::io::Cursor;

/// Loss of the lossy codecs, relative to the clip's own level.
const LOSSY_TOLERANCE: f64 = 0.3;

pub(crate) fn decode(file: &[u8]) -> Result<Clip, AudioError> {
    Clip::decode(file, DecodeLimits::default())
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    std::fs::read(data_path(name)).expect("a test file")
}

/// A tenth of a second of a tone.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the formats have fewer bits than the tone"
)]
pub(crate) fn tone_wav(rate_hz: u32, channels: u16, bits: u16, format: SampleFormat) -> Vec<u8> {
    let spec = WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).expect("a format WAV has");
    let scale = f64::from(1u32 << (bits - 1));
    for i in 0..rate_hz / 10 {
        for channel in 0..channels {
            let value = tone(i, rate_hz) * channel_level(channel);
            match format {
                SampleFormat::Float => writer.write_sample(value as f32),
                SampleFormat::Int => writer.write_sample((value * scale).round() as i32),
            }
            .expect("memory takes it");
        }
    }
    writer.finalize().expect("memory takes it");
    file.into_inner()
}

fn tone(i: u32, rate_hz: u32) -> f64 {
    0.5 * (f64::from(i) * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin()
}

fn channel_level(channel: u16) -> f64 {
    1.0 / f64::from(channel + 1)
}

#[test]
fn wav_of_every_rate_channel_count_and_sample_format() {
    let formats = [
        (8, SampleFormat::Int, 1.0 / 128.0),
        (16, SampleFormat::Int, 1.0 / 32_768.0),
        (24, SampleFormat::Int, 1e-6),
        (32, SampleFormat::Int, 1e-6),
        (32, SampleFormat::Float, 1e-6),
    ];
    for (bits, format, tolerance) in formats {
        for (rate_hz, channels) in [(8000, 1), (16_000, 2), (44_100, 6), (192_000, 1)] {
            let case = format!("{bits} bits {format:?}, {rate_hz} Hz, {channels} channels");
            let clip = decode(&tone_wav(rate_hz, channels, bits, format)).expect(&case);
            assert_eq!(clip.rate_hz(), rate_hz, "{case}");
            assert_eq!(clip.samples().len(), (rate_hz / 10) as usize, "{case}");
            let mean: f64 = (0..channels).map(channel_level).sum::<f64>() / f64::from(channels);
            for (i, sample) in (0..).zip(clip.samples()) {
                let error = (f64::from(*sample) - tone(i, rate_hz) * mean).abs();
                assert!(error <= tolerance, "{case}, sample {i}: {error:e}");
            }
        }
    }
}

#[test]
fn flac_is_the_wav_it_was_made_from() {
    let wav = decode(&read("goldens/frontend/a_24k.wav")).unwrap();
    let flac = decode(&read("audio/voice.flac")).unwrap();
    assert_eq!(flac.rate_hz(), 24_000);
    assert_eq!(flac.samples(), &wav.samples()[2400..][..14_400]);
}

#[test]
fn lossy_formats_sound_like_the_wav_they_were_made_from() {
    let a = decode(&read("goldens/frontend/a_24k.wav")).unwrap();
    let b = decode(&read("goldens/frontend/b_44k1.wav")).unwrap();
    // The second channel was written at half the level of the first.
    let b: Vec<f32> = b.samples().iter().map(|sample| sample * 0.75).collect();
    for (name, rate_hz, original) in [
        ("audio/voice.ogg", 24_000, &a.samples()[2400..][..14_400]),
        ("audio/voice.mp3", 44_100, &b[4410..][..22_050]),
    ] {
        let clip = decode(&read(name)).expect(name);
        assert_eq!(clip.rate_hz(), rate_hz, "{name}");
        assert_eq!(clip.samples().len(), original.len(), "{name}");
        let energy = |samples: &mut dyn Iterator<Item = f32>| -> f64 {
            samples.map(|sample| f64::from(sample).powi(2)).sum()
        };
        let error = energy(&mut clip.samples().iter().zip(original).map(|(a, b)| a - b));
        let level = energy(&mut original.iter().copied());
        let relative = (error / level).sqrt();
        assert!(relative < LOSSY_TOLERANCE, "{name}: {relative}");
    }
}

#[test]
fn own_wav_files_come_back_finished_or_not() {
    let samples: Vec<f32> = (-50..50i8).map(|i| f32::from(i) / 64.0).collect();
    let mut whole = Vec::new();
    wav::write(&mut whole, &samples, 24_000).unwrap();
    assert_eq!(decode(&whole).unwrap().samples(), samples);

    let mut endless = WavStream::new(Vec::new(), 24_000, None).unwrap();
    endless.push(&samples).unwrap();
    assert_eq!(
        decode(&endless.finish().unwrap()).unwrap().samples(),
        samples
    );
}

#[test]
fn a_tag_in_front_is_skipped() {
    for name in ["audio/voice.mp3", "audio/voice.flac"] {
        let file = read(name);
        let mut tagged = b"ID3\x04\x00\x00\x00\x00\x7f\x00".to_vec();
        // Bytes that look like the begin of another file.
        tagged.extend(b"RIFF\xff\xfb\x90\x64".repeat(16_256 / 8));
        tagged.extend(&file);
        assert_eq!(decode(&tagged).unwrap(), decode(&file).unwrap(), "{name}");
    }
}

#[test]
fn limits_hold() {
    let file = tone_wav(16_000, 1, 16, SampleFormat::Int);
    let limits = |max_bytes, max_seconds| DecodeLimits {
        max_bytes,
        max_seconds,
    };
    let bytes = file.len() as u64;
    assert!(Clip::decode(&file, limits(bytes, 1)).is_ok());
    assert!(matches!(
        Clip::decode(&file, limits(bytes - 1, 1)),
        Err(AudioError::TooManyBytes { .. })
    ));
    assert!(matches!(
        Clip::decode(&file, limits(bytes, 0)),
        Err(AudioError::TooLong { max_seconds: 0 })
    ));
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file).unwrap();
    assert!(Clip::open(path.path(), limits(bytes, 1)).is_ok());
    assert!(matches!(
        Clip::open(path.path(), limits(bytes - 1, 1)),
        Err(AudioError::TooManyBytes { .. })
    ));
}

#[test]
fn a_missing_file_is_named() {
    let path = data_path("audio/none.wav");
    let error = Clip::open(&path, DecodeLimits::default()).unwrap_err();
    assert!(error.to_string().contains("none.wav"), "{error}");
    assert_eq!(error.class(), Class::Input);
}

#[test]
fn a_clip_is_resampled_only_when_it_must() {
    let clip = decode(&tone_wav(16_000, 1, 16, SampleFormat::Int)).unwrap();
    assert!(matches!(
        clip.at_rate(16_000).unwrap(),
        std::borrow::Cow::Borrowed(_)
    ));
    assert_eq!(
        clip.at_rate(24_000).unwrap(),
        resample(clip.samples(), 16_000, 24_000).unwrap()
    );
    assert!((clip.seconds() - 0.1).abs() < 1e-12);
}
