//! WAV headers, checked before they are believed.

use super::clip::check_rate;
use super::error::AudioError;

/// Refuses a WAV file whose header asks for what the file does not hold; other files pass.
///
/// The decoder behind it trusts chunk lengths and channel counts enough to reserve memory for them.
pub(super) fn check(file: &[u8]) -> Result<(), AudioError> {
    let Some(mut rest) = chunks_of_wave(file) else {
        return Ok(());
    };
    let mut has_format = false;
    while let Some((header, body)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let [i, d, s, f, length @ ..] = *header;
        let id = [i, d, s, f];
        let length = u32::from_le_bytes(length);
        if &id == b"data" && !has_format {
            return Err(AudioError::MissingChunk { id: "fmt " });
        }
        if &id == b"data" && length == ENDLESS {
            return Ok(());
        }
        let chunk = usize::try_from(length)
            .ok()
            .and_then(|length| body.get(..length))
            .ok_or(AudioError::ChunkLength {
                id,
                promised: length.into(),
                left: body.len() as u64,
            })?;
        match &id {
            b"data" => return Ok(()),
            b"fmt " => {
                check_format(chunk)?;
                has_format = true;
            }
            _ => {}
        }
        let padded = chunk.len() + chunk.len() % 2;
        rest = body.get(padded..).unwrap_or_default();
    }
    Err(AudioError::MissingChunk { id: "data" })
}

/// Name and length.
const HEADER_BYTES: usize = 8;
/// What programs write that cannot go back and set the length.
const ENDLESS: u32 = u32::MAX;
/// Speaker positions WAV can name, one bit each in the mask.
const MAX_CHANNELS: u16 = 18;
/// The coding that names speaker positions.
const EXTENSIBLE: u16 = 0xfffe;
const MASK_AT: usize = 20;

fn chunks_of_wave(file: &[u8]) -> Option<&[u8]> {
    let (header, chunks) = file.split_first_chunk::<12>()?;
    (header.starts_with(b"RIFF") && header.ends_with(b"WAVE")).then_some(chunks)
}

fn check_format(chunk: &[u8]) -> Result<(), AudioError> {
    let missing = AudioError::MissingChunk { id: "fmt " };
    let Some([t0, t1, c0, c1, rate @ ..]) = chunk.first_chunk::<8>() else {
        return Err(missing);
    };
    let channels = u16::from_le_bytes([*c0, *c1]);
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(AudioError::Channels {
            channels,
            max_channels: MAX_CHANNELS,
        });
    }
    check_rate(u32::from_le_bytes(*rate))?;
    if u16::from_le_bytes([*t0, *t1]) != EXTENSIBLE {
        return Ok(());
    }
    let mask = chunk.get(MASK_AT..).and_then(<[u8]>::first_chunk);
    match mask.map(|mask| u32::from_le_bytes(*mask)).ok_or(missing)? {
        mask if mask >> MAX_CHANNELS == 0 => Ok(()),
        mask => Err(AudioError::ChannelMask { mask }),
    }
}
