"""The three spectral inputs of the model and the pitch of a recording, in float64 NumPy."""

import numpy as np
from scipy.signal import lfilter

MODEL_RATE, ENCODER_RATE = 24000, 16000
HOP, MEL_FFT, MEL_BINS = 480, 1920, 80
TOKEN_SAMPLES = 960  # of one speech token at the model's rate
PITCH_RANGE_HZ = (75.0, 220.0)
VOICED_CORRELATION = 0.55
VOICED_RMS = 0.004


def model_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel of 24 kHz samples as the flow and the vocoder know it, `[80, samples / 480]`."""
    side = (MEL_FFT - HOP) // 2
    padded = np.pad(samples, side, mode="reflect")
    spectrum = np.fft.rfft(_frames(padded, MEL_FFT, HOP) * _hann(MEL_FFT))
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    bank = mel_bank(MODEL_RATE, MEL_FFT, MEL_BINS, 0, 8000)
    return np.log(np.maximum(magnitude @ bank.T, 1e-5)).T.astype(np.float32)


def whisper_mel(samples: np.ndarray) -> np.ndarray:
    """Input of the speech tokenizer from 16 kHz samples, `[128, samples / 160]`."""
    padded = np.pad(samples, 200, mode="reflect")
    spectrum = np.fft.rfft(_frames(padded, 400, 160)[:-1] * _hann(400))
    bank = mel_bank(ENCODER_RATE, 400, 128, 0, 8000)
    logs = np.log10(np.maximum((np.abs(spectrum) ** 2) @ bank.T, 1e-10))
    return ((np.maximum(logs, logs.max() - 8) + 4) / 4).T.astype(np.float32)


def fbank(samples: np.ndarray) -> np.ndarray:
    """Input of the speaker encoder from 16 kHz samples, `[frames, 80]`, mean over time removed."""
    frames = _frames(samples, 400, 160)
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(frames * window, 512)) ** 2
    logs = np.log(np.maximum(power @ _kaldi_bank().T, np.finfo(np.float32).eps))
    return (logs - logs.mean(axis=0)).astype(np.float32)


def pitch(samples: np.ndarray) -> np.ndarray:
    """F0 in Hz per mel frame of 24 kHz samples, 0 where unvoiced: peak of the normalised autocorrelation."""
    low, high = (MODEL_RATE / bound for bound in PITCH_RANGE_HZ[::-1])
    first, last, window = int(low), int(high) + 1, 720
    # Low-passed, so that formants do not look like harmonics.
    smooth = lfilter(np.hanning(23) / np.hanning(23).sum(), 1, np.pad(samples, (0, 11)))[11:]
    side = (window + last - HOP) // 2
    frames = _frames(np.pad(smooth, (side, side + window)), window + last, HOP)[: len(samples) // HOP]
    head = frames[:, :window]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    lagged = energy[:, window : window + last + 1] - energy[:, : last + 1]
    size = 2048
    cross = np.fft.irfft(np.conj(np.fft.rfft(head, size)) * np.fft.rfft(frames, size))[:, : last + 1]
    correlation = cross / np.sqrt(lagged[:, :1] * lagged + 1e-9)
    f0 = np.zeros(len(frames), np.float32)
    for index, row in enumerate(correlation):
        if row[first:last].max() < VOICED_CORRELATION or np.sqrt(lagged[index, 0] / window) < VOICED_RMS:
            continue
        f0[index] = MODEL_RATE / _first_strong_peak(row, first, last)
    return _without_blips(f0)


def mel_bank(rate: int, n_fft: int, bins: int, low: float, high: float) -> np.ndarray:
    """Slaney's triangular filters, normalised to equal area, `[bins, n_fft / 2 + 1]`."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(low), _hz_to_mel(high), bins + 2))
    frequencies = np.arange(n_fft // 2 + 1) * rate / n_fft
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _first_strong_peak(row: np.ndarray, first: int, last: int) -> float:
    """Lag of the shortest peak almost as high as the highest, refined by a parabola."""
    peaks = [
        lag for lag in range(first, last)
        if row[lag] >= row[lag - 1] and row[lag] >= row[lag + 1] and row[lag] > 0.9 * row[first:last].max()
    ]
    lag = peaks[0] if peaks else first + int(row[first:last].argmax())
    before, here, after = row[lag - 1], row[lag], row[lag + 1]
    curvature = before - 2 * here + after
    return lag if curvature >= 0 else lag + 0.5 * (before - after) / curvature


def _without_blips(f0: np.ndarray) -> np.ndarray:
    """Single voiced frames become unvoiced, single gaps are filled, the rest is a median of three."""
    before, here, after = (np.pad(f0, 1)[start : start + len(f0)] for start in range(3))
    lonely = (before == 0) & (after == 0)
    gap = (here == 0) & (before > 0) & (after > 0)
    inside = (before > 0) & (here > 0) & (after > 0)
    median = np.median([before, here, after], axis=0)
    return np.select([lonely, gap, inside], [0, (before + after) / 2, median], here).astype(np.float32)


def _frames(samples: np.ndarray, width: int, hop: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(samples, width)[::hop]


def _hann(width: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) * 27 / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def _kaldi_bank() -> np.ndarray:
    """80 triangles on the HTK scale from 20 Hz to 8 kHz over the bins of a 512-point transform."""
    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    edges = np.linspace(mel(20), mel(8000), 82)
    at = mel(np.arange(257) * ENCODER_RATE / 512)
    rising = (at - edges[:-2, None]) / (edges[1] - edges[0])
    falling = (edges[2:, None] - at) / (edges[1] - edges[0])
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[:, 256] = 0  # the transform's last bin is left out
    return bank
