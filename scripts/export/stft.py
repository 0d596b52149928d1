"""Short-time Fourier transforms as convolutions: no complex numbers in the graphs."""

import math

import torch
from torch import Tensor


def analysis_kernels(n_fft: int) -> Tensor:
    """`[n_fft + 2, 1, n_fft]`: windowed cosines, then negated windowed sines, of the `n_fft / 2 + 1` bins."""
    window, angles = _window(n_fft), _angles(n_fft)
    return torch.cat([torch.cos(angles) * window, -torch.sin(angles) * window])[:, None].float()


def synthesis_kernels(n_fft: int, hop: int) -> Tensor:
    """`[n_fft + 2, 1, n_fft]`: the transpose of the inverse transform of real and imaginary rows.

    Divided by the sum of squared windows that overlap in the inside of a signal; the ends overlap less and are
    corrected by the caller.
    """
    window, angles = _window(n_fft), _angles(n_fft)
    overlap = (window * window).reshape(-1, hop).sum(dim=0)
    if not torch.allclose(overlap, overlap[:1]):
        raise ValueError(f"squared windows of {n_fft} at hop {hop} do not sum to a constant")
    # Bins other than the first and the last stand for themselves and their conjugates.
    weights = torch.full((n_fft // 2 + 1, 1), 2.0, dtype=torch.float64)
    weights[0] = weights[-1] = 1.0
    scaled = weights * window / (n_fft * overlap[0])
    return torch.cat([torch.cos(angles) * scaled, -torch.sin(angles) * scaled])[:, None].float()


def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float64)


def _angles(n_fft: int) -> Tensor:
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None]
    return 2 * math.pi / n_fft * bins * torch.arange(n_fft, dtype=torch.float64)
