//! Recordings that are none, or that nothing can be heard in.

use super::{Case, line};
use crate::place::Place;
use crate::recording::{self, wav};
use std::fs;

/// Makes a file's bytes.
type Make = fn() -> Vec<u8>;

/// A recording, and what the message must say of it.
const RECORDINGS: &[(&str, Make, &str)] = &[
    ("empty", Vec::new, "no WAV, FLAC, MP3 or Ogg"),
    ("a text", || b"no sound at all".to_vec(), "no WAV"),
    ("zeros", || vec![0; 5000], "no WAV"),
    ("a header alone", || second()[..44].to_vec(), "0 are left"),
    ("cut within its header", || second()[..30].to_vec(), "fmt"),
    (
        "cut within its samples",
        || second()[..20_000].to_vec(),
        "claims 48000 bytes",
    ),
    (
        "a lying length",
        || with(40, &u32::MAX.wrapping_sub(9).to_le_bytes()),
        "claims 4294967286",
    ),
    ("no channel", || with(22, &0u16.to_le_bytes()), "0 channels"),
    (
        "too many channels",
        || with(22, &999u16.to_le_bytes()),
        "999 channels",
    ),
    ("no rate", || with(24, &0u32.to_le_bytes()), "0 Hz"),
    (
        "an absurd rate",
        || with(24, &u32::MAX.to_le_bytes()),
        "4294967295 Hz",
    ),
    (
        "a coding of its own",
        || with(20, &0x4242u16.to_le_bytes()),
        "recording",
    ),
    (
        "a telephone's rate",
        || wav(8000, 16_000, 0.5),
        "8000 samples per second",
    ),
    ("silent", || wav(24_000, 24_000, 0.0), "silent"),
    ("next to silent", || wav(24_000, 24_000, 2e-4), "silent"),
    ("too short", || wav(24_000, 700, 0.5), "29 ms"),
    (
        "too long",
        || wav(16_000, 31 * 16_000, 0.5),
        "longer than 30 s",
    ),
    ("FLAC cut", || half("audio/voice.flac"), "recording"),
    ("FLAC damaged", || damaged("audio/voice.flac"), "recording"),
    (
        "MP3 without a frame",
        || b"\xff\xfb\x90\x64".to_vec(),
        "recording",
    ),
    ("Ogg of nothing", || b"OggS\0\x02".to_vec(), "recording"),
];

/// Command lines that hear `sound.bin`.
const HEARING: &[&[&str]] = &[
    &["synth", "a", "--bundle", "@", "--prompt-wav", "sound.bin"],
    &["synth", "--bundle", "@", "--source-wav", "sound.bin"],
    &[
        "voices",
        "add",
        "new",
        "--bundle",
        "@",
        "--wav",
        "sound.bin",
    ],
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = RECORDINGS
        .iter()
        .zip(HEARING.iter().cycle())
        .map(|(&(name, make, said), words)| {
            Case::new(format!("recording {name}"), said, move |place: &Place| {
                place.write("sound.bin", make());
                line(words)
            })
        })
        .collect();
    cases.extend(HEARING.iter().map(|words| {
        Case::new("a recording that is not there", "sound.bin", |_| {
            line(words)
        })
    }));
    cases.extend(HEARING.iter().map(|words| {
        Case::new("a folder as a recording", "sound.bin", |place: &Place| {
            fs::create_dir(place.path("sound.bin")).expect("a folder");
            line(words)
        })
    }));
    cases
}

fn second() -> Vec<u8> {
    wav(24_000, 24_000, 0.5)
}

fn with(place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = second();
    file[place..][..bytes.len()].copy_from_slice(bytes);
    file
}

fn half(name: &str) -> Vec<u8> {
    let file = fs::read(recording::path(name)).expect("a recording");
    file[..file.len() / 2].to_vec()
}

fn damaged(name: &str) -> Vec<u8> {
    let mut file = fs::read(recording::path(name)).expect("a recording");
    let middle = file.len() / 2;
    file[middle] ^= 0xff;
    file
}
