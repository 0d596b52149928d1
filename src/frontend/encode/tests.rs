use super::AudioFormat;
use opus_pure::{MAX_PACKET_SAMPLES, OggOpusReader, Trim};

const RATE: u32 = 24_000;

/// Half a second and a bit: no whole number of any format's frames.
fn tone() -> Vec<f32> {
    (0..12_345_u16)
        .map(|at| (f32::from(at) * 0.05).sin() * 0.5)
        .collect()
}

/// The file made in pieces of several sizes.
fn in_pieces(format: AudioFormat, samples: &[f32], promised: Option<u64>) -> Vec<u8> {
    let mut encoder = format
        .encoder(RATE, promised)
        .expect("a rate of the format");
    let mut bytes = Vec::new();
    let mut rest = samples;
    for size in [0, 1, 479, 4096, 5000, usize::MAX] {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        encoder.push(piece, &mut bytes).expect("encodes");
        rest = after;
    }
    encoder.finish(&mut bytes).expect("ends");
    bytes
}

#[test]
fn a_file_made_in_pieces_is_the_file_made_at_once() {
    let samples = tone();
    for &format in AudioFormat::ALL {
        let whole = format.encode(&samples, RATE).expect("encodes");
        let pieces = in_pieces(format, &samples, Some(samples.len() as u64));
        if format == AudioFormat::Opus {
            // Each Ogg stream has a serial number of its own.
            assert_eq!(whole.len(), pieces.len(), "{format:?}");
        } else {
            assert!(whole == pieces, "{format:?}");
        }
    }
}

#[test]
fn names_lead_back_to_the_format() {
    for &format in AudioFormat::ALL {
        assert_eq!(AudioFormat::named(format.as_str()), Some(format));
    }
    assert_eq!(AudioFormat::named("aac"), None);
}

#[test]
fn nothing_to_say_is_still_a_file() {
    for &format in AudioFormat::ALL {
        let bytes = format.encode(&[], RATE).expect("encodes");
        assert_eq!(bytes.is_empty(), format == AudioFormat::Pcm, "{format:?}");
    }
}

#[test]
fn opus_plays_for_as_long_as_was_spoken() {
    let samples = tone();
    let file = in_pieces(AudioFormat::Opus, &samples, None);
    let mut reader = OggOpusReader::new(file.as_slice()).expect("Ogg");
    let rate = i32::try_from(RATE).expect("small");
    let mut decoder = reader.head().decoder(rate).expect("Opus");
    let mut trim = Trim::new(reader.head(), rate, 1).expect("mono");
    let mut block = vec![0.0; MAX_PACKET_SAMPLES];
    let mut heard = Vec::new();
    for packet in reader.packets() {
        let packet = packet.expect("whole");
        let count = decoder
            .decode(&packet.data, MAX_PACKET_SAMPLES, &mut block)
            .expect("decodes");
        heard.extend_from_slice(trim.keep(&packet, &block[..count]));
    }
    assert_eq!(heard.len(), samples.len());
    let error: f32 = heard
        .iter()
        .zip(&samples)
        .map(|(heard, said)| (heard - said).powi(2))
        .sum();
    let power: f32 = samples.iter().map(|said| said.powi(2)).sum();
    assert!(error < 0.05 * power, "{error} of {power}");
}

#[test]
fn a_flac_stream_says_how_long_it_is_where_that_is_known() {
    let samples = tone();
    for (promised, said) in [(Some(12_345), 12_345), (None, 0)] {
        let file = in_pieces(AudioFormat::Flac, &samples, promised);
        assert_eq!(&file[..4], b"fLaC");
        let length = u32::from_be_bytes(file[22..26].try_into().expect("four"));
        assert_eq!(length, said);
        let frames = file.windows(2).filter(|pair| *pair == [0xff, 0xf8]).count();
        assert!(frames >= 4, "{frames} frames of 4096 samples at most");
    }
}

#[cfg(feature = "mp3")]
#[test]
fn mp3_has_as_many_frames_as_the_speech_needs() {
    let samples = tone();
    let file = in_pieces(AudioFormat::Mp3, &samples, None);
    assert_eq!(file[0], 0xff);
    // MPEG-2 layer 3: 576 samples per frame, 72 · bit rate / rate bytes.
    let frame_bytes = 72 * 128_000 / usize::try_from(RATE).expect("small");
    let frames = file.len() / frame_bytes;
    let needed = samples.len().div_ceil(576);
    assert_eq!(file.len() % frame_bytes, 0);
    assert!(
        (needed..=needed + 3).contains(&frames),
        "{frames}, needed {needed}"
    );
}
