//! Faster and slower speech.

use crate::tensor::{Shape, Tensor};

/// Resizes a mel `[1, bins, frames]` to `frames / speed` frames, rounded down, by linear interpolation between frame
/// centres.
///
/// # Panics
/// If the mel is empty or not f32, or `speed` is not positive.
///
/// Source: CosyVoice `cosyvoice/cli/model.py`, `F.interpolate(tts_mel, size=int(tts_mel.shape[2] / speed), mode='linear')`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "frame counts are small and positive"
)]
pub fn stretch(mel: &Tensor, speed: f64, stretched: &mut Tensor) {
    let shape = mel.shape();
    let (bins, frames) = (shape.dims()[1], shape.dims()[2]);
    let size = ((frames as f64 / speed) as usize).max(1);
    stretched.reshape(Shape::new(&[1, bins, size]));
    let scale = frames as f32 / size as f32;
    let source = mel.elements::<f32>().expect("mels are f32");
    let target = stretched.elements_mut::<f32>().expect("mels are f32");
    for (row, source) in target
        .chunks_exact_mut(size)
        .zip(source.chunks_exact(frames))
    {
        for (index, value) in row.iter_mut().enumerate() {
            let position = ((index as f32 + 0.5) * scale - 0.5).max(0.0);
            let left = (position as usize).min(frames - 1);
            let right = (left + 1).min(frames - 1);
            let weight = position - left as f32;
            *value = source[left] * (1.0 - weight) + source[right] * weight;
        }
    }
}
