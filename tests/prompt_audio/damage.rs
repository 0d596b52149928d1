//! Broken, cut, lying and foreign files: an error each, and never a panic.

use super::files::{decode, read, tone_wav};
use cvtrt::frontend::audio::{AudioError, Clip};
use cvtrt::hint::{Class, Hint};
use hound::SampleFormat;
use proptest::prelude::*;

/// One file per format, short enough to damage in many ways.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("pcm", tone_wav(16_000, 2, 16, SampleFormat::Int)),
        ("float", tone_wav(16_000, 1, 32, SampleFormat::Float)),
        ("extensible", tone_wav(16_000, 6, 24, SampleFormat::Int)),
        ("flac", read("audio/voice.flac")),
        ("mp3", read("audio/voice.mp3")),
        ("ogg", read("audio/voice.ogg")),
    ]
}

/// Bytes of a file in which headers lie; the rest is sampled.
const HEADER_BYTES: usize = 400;
const STRIDE: usize = 211;

fn places(file: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let end = file.len();
    (0..HEADER_BYTES.min(end)).chain((HEADER_BYTES..end).step_by(STRIDE))
}

#[test]
fn files_cut_anywhere_never_panic_and_lossless_ones_are_refused() {
    for (name, file) in files() {
        for end in places(&file) {
            let result = decode(&file[..end]);
            if !matches!(name, "mp3" | "ogg") {
                let error = result.expect_err(&format!("{name} cut at {end}"));
                assert_eq!(error.class(), Class::Input);
            }
        }
    }
}

#[test]
fn files_with_a_wrong_byte_never_panic() {
    for (name, file) in files() {
        for place in places(&file) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[place] ^= flip;
                if let Ok(clip) = decode(&damaged) {
                    assert!(
                        clip.samples().iter().all(|sample| sample.is_finite()),
                        "{name} at {place}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_header_that_lies_is_an_error_of_its_own() {
    type Expected = fn(&AudioError) -> bool;
    let good = || tone_wav(16_000, 1, 16, SampleFormat::Int);
    let with = |place: usize, bytes: &[u8]| {
        let mut file = good();
        file[place..][..bytes.len()].copy_from_slice(bytes);
        file
    };
    let without_data = || good()[..44].to_vec();
    let cases: [(&str, Vec<u8>, Expected); 13] = [
        (
            "data longer than the file",
            with(40, &3202u32.to_le_bytes()),
            |error| {
                matches!(
                    error,
                    AudioError::ChunkLength {
                        id: [b'd', ..],
                        promised: 3202,
                        left: 3200
                    }
                )
            },
        ),
        (
            "format longer than the file",
            with(16, &u32::MAX.to_le_bytes()),
            |error| matches!(error, AudioError::ChunkLength { id: [b'f', ..], .. }),
        ),
        ("format too short", with(16, &4u32.to_le_bytes()), |error| {
            matches!(error, AudioError::MissingChunk { id: "fmt " })
        }),
        ("no format", with(12, b"junk"), |error| {
            matches!(error, AudioError::MissingChunk { id: "fmt " })
        }),
        ("no data", with(36, b"junk"), |error| {
            matches!(error, AudioError::MissingChunk { id: "data" })
        }),
        ("no channel", with(22, &0u16.to_le_bytes()), |error| {
            matches!(error, AudioError::Channels { channels: 0, .. })
        }),
        (
            "65535 channels",
            with(22, &u16::MAX.to_le_bytes()),
            |error| {
                matches!(
                    error,
                    AudioError::Channels {
                        channels: u16::MAX,
                        ..
                    }
                )
            },
        ),
        ("rate 0", with(24, &0u32.to_le_bytes()), |error| {
            matches!(error, AudioError::Rate { rate_hz: 0 })
        }),
        (
            "rate 2^32 - 1",
            with(24, &u32::MAX.to_le_bytes()),
            |error| matches!(error, AudioError::Rate { rate_hz: u32::MAX }),
        ),
        ("17 bits", with(34, &17u16.to_le_bytes()), |error| {
            matches!(error, AudioError::Broken(_))
        }),
        (
            "a coding nobody knows",
            with(20, &0x1234u16.to_le_bytes()),
            |error| {
                matches!(
                    error,
                    AudioError::UnsupportedCoding(_) | AudioError::UnknownFormat
                )
            },
        ),
        (
            "no sample",
            {
                let mut file = without_data();
                file[40..].fill(0);
                file
            },
            |error| matches!(error, AudioError::FewSamples { samples: 0, .. }),
        ),
        ("header alone", without_data(), |error| {
            matches!(error, AudioError::ChunkLength { left: 0, .. })
        }),
    ];
    for (name, file, expected) in cases {
        let error = decode(&file).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
    }
}

#[test]
fn a_channel_mask_beyond_the_speakers_is_refused() {
    let mut file = tone_wav(16_000, 6, 24, SampleFormat::Int);
    file[40..44].copy_from_slice(&0x8000_0000u32.to_le_bytes());
    assert!(matches!(
        decode(&file),
        Err(AudioError::ChannelMask { mask: 0x8000_0000 })
    ));
}

#[test]
fn a_list_that_claims_gigabytes_reserves_nothing() {
    let mut file = tone_wav(16_000, 1, 16, SampleFormat::Int);
    let mut list = b"LIST\x00\x00\x00\xf0INFOINAM\xf0\xff\xff\xef".to_vec();
    list.extend([0; 16]);
    file.splice(36..36, list);
    file[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        decode(&file),
        Err(AudioError::ChunkLength { id: [b'L', ..], .. })
    ));
}

#[test]
fn samples_that_are_no_numbers_are_found() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut file = tone_wav(16_000, 1, 32, SampleFormat::Float);
        let end = file.len();
        file[end - 4..].copy_from_slice(&value.to_le_bytes());
        let error = decode(&file).expect_err("not finite");
        assert!(
            matches!(error, AudioError::NotFinite { sample: 1599 }),
            "{error:?}"
        );
    }
    assert!(matches!(
        Clip::new(vec![0.0, f32::NAN], 16_000),
        Err(AudioError::NotFinite { sample: 1 })
    ));
}

#[test]
fn files_that_are_no_audio_are_said_to_be_none() {
    for (name, file) in [
        ("nothing", Vec::new()),
        ("a byte", vec![0xff]),
        (
            "text",
            b"this is no audio file at all, only text".repeat(100),
        ),
        ("zeros", vec![0; 100_000]),
        ("a tag alone", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f".to_vec()),
        (
            "another RIFF file",
            b"RIFF\x10\x00\x00\x00AVI LIST\x00\x00\x00\x00".to_vec(),
        ),
    ] {
        let error = decode(&file).expect_err(name);
        assert!(
            matches!(error, AudioError::UnknownFormat),
            "{name}: {error:?}"
        );
        assert!(error.hint().is_some());
    }
}

proptest! {
    #[test]
    fn files_with_a_part_replaced_never_panic(
        which in 0usize..6,
        start in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 0..40),
        removed in 0usize..40,
    ) {
        let (_, mut file) = files().swap_remove(which);
        let start = start.index(file.len());
        let end = (start + removed).min(file.len());
        file.splice(start..end, junk);
        let _ = decode(&file);
    }

    #[test]
    fn junk_behind_a_known_begin_never_panics(
        which in 0usize..6,
        kept in 4usize..200,
        junk in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let (_, mut file) = files().swap_remove(which);
        file.truncate(kept);
        file.extend(junk);
        let _ = decode(&file);
    }
}
