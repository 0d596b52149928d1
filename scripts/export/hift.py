"""The HiFT vocoder of v2: the F0 predictor, and the generator from mel and source to waveform."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HiftConfig
from .layers import Conv1d, ConvTranspose1d, Linear, declared
from .stft import analysis_kernels, synthesis_kernels

F0_LAYERS = 5
F0_KERNEL = 3
OUTER_KERNEL = 7  # of the convolutions before the first and after the last stage
LAST_SLOPE = 0.01  # of the leaky ReLU after the last stage
MAX_MAGNITUDE = 100.0


class F0Predictor(nn.Module):
    """`mel` `[1, 80, F]` → `f0` `[1, F]` in Hz."""

    SOURCE = {"": "f0_predictor."}

    def __init__(self, config: HiftConfig):
        super().__init__()
        widths = [config.mel_bins] + [config.f0_channels] * F0_LAYERS
        pads = _symmetric(F0_KERNEL)
        # Even indices are convolutions, odd ones the activations between them.
        self.condnet = nn.ModuleDict({
            str(2 * index): Conv1d(widths[index], widths[index + 1], F0_KERNEL, pads) for index in range(F0_LAYERS)
        })
        self.classifier = Linear(config.f0_channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        x = mel
        for convolution in self.condnet.values():
            x = F.elu(convolution(x))
        return self.classifier(x.transpose(1, 2)).abs()[..., 0]


class HiftDecoder(nn.Module):
    """`mel` `[1, 80, F]`, `source_pad` `[1, 1, F * samples_per_frame + n_fft]` → `wav_raw`
    `[1, F * samples_per_frame]`, before the correction of its ends and before the limiter.
    """

    SOURCE: dict[str, str] = {}

    def __init__(self, config: HiftConfig):
        super().__init__()
        self.config = config
        bins, stages = config.n_fft + 2, len(config.upsample_rates)
        widths = [config.channels >> stage for stage in range(stages + 1)]
        strides = [math.prod(config.upsample_rates[stage + 1 :]) for stage in range(stages)]

        self.conv_pre = Conv1d(config.mel_bins, widths[0], OUTER_KERNEL, _symmetric(OUTER_KERNEL))
        self.ups = nn.ModuleList(
            ConvTranspose1d(widths[stage], widths[stage + 1], kernel, rate)
            for stage, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernels, strict=True))
        )
        self.source_downs = nn.ModuleList(
            _source_down(bins, width, stride) for width, stride in zip(widths[1:], strides, strict=True)
        )
        self.source_resblocks = nn.ModuleList(
            _ResBlock(width, kernel, config.dilations)
            for width, kernel in zip(widths[1:], config.source_resblock_kernels, strict=True)
        )
        self.resblocks = nn.ModuleList(
            _ResBlock(width, kernel, config.dilations) for width in widths[1:] for kernel in config.resblock_kernels
        )
        self.conv_post = Conv1d(widths[-1], bins, OUTER_KERNEL, _symmetric(OUTER_KERNEL))
        self.register_buffer("analysis", analysis_kernels(config.n_fft))
        self.register_buffer("synthesis", synthesis_kernels(config.n_fft, config.hop))

    def forward(self, mel: Tensor, source_pad: Tensor) -> Tensor:
        config = self.config
        source = F.conv1d(source_pad, self.analysis, stride=config.hop)
        x = self.conv_pre(mel)
        per_stage = len(config.resblock_kernels)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, config.leaky_slope))
            if stage == len(self.ups) - 1:
                # The source has one frame more; the mirror image of the second sample goes in front.
                x = torch.cat([x[:, :, 1:2], x], dim=2)
            x = x + self.source_resblocks[stage](self.source_downs[stage](source))
            blocks = self.resblocks[stage * per_stage : (stage + 1) * per_stage]
            x = sum((block(x) for block in blocks[1:]), start=blocks[0](x)) * (1 / per_stage)

        spectrum = self.conv_post(F.leaky_relu(x, LAST_SLOPE))
        bins = config.n_fft // 2 + 1
        magnitude = torch.exp(spectrum[:, :bins]).clamp(max=MAX_MAGNITUDE)
        phase = torch.sin(spectrum[:, bins:])
        rows = torch.cat([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], dim=1)
        return F.conv_transpose1d(rows, self.synthesis, stride=config.hop, padding=config.n_fft // 2)[:, 0]


def _symmetric(kernel: int, dilation: int = 1) -> tuple[int, int]:
    pad = dilation * (kernel - 1) // 2
    return pad, pad


def _source_down(bins: int, width: int, stride: int) -> Conv1d:
    if stride == 1:
        return Conv1d(bins, width, kernel=1)
    return Conv1d(bins, width, kernel=2 * stride, pads=(stride // 2, stride // 2), stride=stride)


class _ResBlock(nn.Module):
    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs1 = nn.ModuleList(
            Conv1d(width, width, kernel, _symmetric(kernel, dilation), dilation=dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(Conv1d(width, width, kernel, _symmetric(kernel)) for _ in dilations)
        self.activations1 = nn.ModuleList(_Snake(width) for _ in dilations)
        self.activations2 = nn.ModuleList(_Snake(width) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        steps = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for before, first, between, second in steps:
            # Each Snake leaves its signal times its `a`; the convolution behind it takes that out again, and the first
            # one also brings in the second Snake's. So the graph multiplies once for two activations.
            once = before.rate()
            twice = between.rate()
            y = first(wave(x * once[:, None]), inputs=1 / once, outputs=twice)
            x = x + second(wave(y), inputs=1 / twice)
        return x


class _Snake(nn.Module):
    """`x + sin²(a x) / a`, with one `a` per channel; `wave` computes `a` times that from `a x`."""

    def __init__(self, width: int):
        super().__init__()
        self.alpha = declared(width)

    def rate(self) -> Tensor:
        """`a` `[channels]`, never zero."""
        return self.alpha + 1e-9


def wave(x: Tensor) -> Tensor:
    """`x + sin² x`."""
    sine = torch.sin(x)
    return x + sine * sine
