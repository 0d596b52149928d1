"""HiFT's harmonic source, as the product makes it, for batches of segments in training."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE, HOP, HARMONICS, PAD = 24000, 480, 9, 8
AMPLITUDE, NOISE, VOICED_HZ = 0.1, 0.003, 10.0


class Source(nn.Module):
    """Merges nine sines of the pitch into one signal; named as in `hift.pt`."""

    def __init__(self):
        super().__init__()
        self.l_linear = nn.Linear(HARMONICS, 1)
        with torch.no_grad():
            self.l_linear.weight.fill_(1.0)
            self.l_linear.bias.zero_()

    def forward(self, f0: Tensor, start: Tensor) -> Tensor:
        """`f0` `[B, F]` in Hz, `start` `[B]` phase in cycles before the first frame → `[B, 1, 480 F + 16]`."""
        waves = harmonics(f0, start)
        merged = torch.tanh(self.l_linear(waves.transpose(1, 2))).transpose(1, 2)
        return F.pad(merged, (PAD, PAD), mode="reflect")


def harmonics(f0: Tensor, start: Tensor) -> Tensor:
    """`[B, 9, 480 F]`: phases interpolated between frames, noise where unvoiced."""
    order = torch.arange(1, HARMONICS + 1, dtype=torch.float64)[None, :, None]
    cycles = start[:, None, None].double() * order + HOP * torch.cumsum((f0[:, None].double() * order / RATE) % 1, -1)
    frames = f0.shape[1]
    phase = F.interpolate(cycles, scale_factor=HOP, mode="linear", align_corners=False)
    sines = AMPLITUDE * torch.sin(2 * math.pi * (phase % 1)).float()
    voiced = (f0 > VOICED_HZ).float().repeat_interleave(HOP, dim=1)[:, None]
    noise = torch.randn(f0.shape[0], HARMONICS, frames * HOP)
    return sines * voiced + (NOISE * voiced + AMPLITUDE / 3 * (1 - voiced)) * noise
