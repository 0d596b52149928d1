"""The v2 flow estimator: a causal one-dimensional UNet with one level and no change of rate."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import UnetConfig
from .flow_encoder import visibility_bias
from .layers import Conv1d, LayerNorm, Linear, Sinusoids, mish, reshaped

KERNEL = 3
CAUSAL = (KERNEL - 1, 0)
EPS = 1e-5
WIDENING = 4  # of the time embedding and of the feed-forward layers, over the width of a level


class FlowEstimator(nn.Module):
    """One evaluation of the vector field.

    `x`, `mu`, `cond` `[B, 80, T]`, `mask` `[B, 1, T]`, `t` `[B]`, `spks` `[B, 80]`, `qend`, `kpos` i32 `[B, T]`
    → `[B, 80, T]`.
    """

    SOURCE = {"": "decoder.estimator."}

    def __init__(self, config: UnetConfig):
        super().__init__()
        width, wide = config.channels, WIDENING * config.channels
        self.time_mlp = _TimeMlp(config.in_channels, wide)
        self.down_blocks = nn.ModuleList([_level(config, config.in_channels, wide, resampled=True)])
        self.mid_blocks = nn.ModuleList(_level(config, width, wide, resampled=False) for _ in range(config.mid_blocks))
        self.up_blocks = nn.ModuleList([_level(config, 2 * width, wide, resampled=True)])
        self.final_block = _Block(width, width)
        self.final_proj = Conv1d(width, config.out_channels, kernel=1)

    def forward(self, x, mask, mu, t, spks, cond, qend, kpos) -> Tensor:
        bias = visibility_bias(qend, kpos)
        time = mish(self.time_mlp(t))
        speaker = spks[:, :, None].expand_as(x)
        x = torch.cat([x, mu, speaker, cond], dim=1)

        skip = _applied(self.down_blocks[0], x, mask, time, bias)
        x = self.down_blocks[0][2](skip * mask)
        for block in self.mid_blocks:
            x = _applied(block, x, mask, time, bias)
        x = _applied(self.up_blocks[0], torch.cat([x, skip], dim=1), mask, time, bias)
        x = self.up_blocks[0][2](x * mask)
        return self.final_proj(self.final_block(x, mask) * mask) * mask


def _level(config: UnetConfig, inputs: int, wide: int, resampled: bool) -> nn.ModuleList:
    width = config.channels
    parts = [
        _ResNet(inputs, width, wide),
        nn.ModuleList(_Transformer(width, config.heads, config.head_dim) for _ in range(config.blocks)),
    ]
    return nn.ModuleList([*parts, Conv1d(width, width, KERNEL, CAUSAL)] if resampled else parts)


def _applied(level: nn.ModuleList, x: Tensor, mask: Tensor, time: Tensor, bias: Tensor) -> Tensor:
    x = level[0](x, mask, time).transpose(1, 2)
    for block in level[1]:
        x = block(x, bias)
    return x.transpose(1, 2)


class _TimeMlp(nn.Module):
    """Sinusoids of the solver time, then two linear layers."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.sinusoids = Sinusoids(inputs)
        self.linear_1 = Linear(inputs, width)
        self.linear_2 = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(self.sinusoids(t))))


class _Block(nn.Module):
    """Causal convolution, LayerNorm over channels, Mish. Indices follow the checkpoint: 0 and 2."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.block = nn.ModuleDict({"0": Conv1d(inputs, outputs, KERNEL, CAUSAL), "2": LayerNorm(outputs, EPS)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.block["0"](x * mask)
        return mish(self.block["2"](x.transpose(1, 2)).transpose(1, 2))


class _ResNet(nn.Module):
    def __init__(self, inputs: int, outputs: int, time_width: int):
        super().__init__()
        self.mlp = nn.ModuleDict({"1": Linear(time_width, outputs)})
        self.block1 = _Block(inputs, outputs)
        self.block2 = _Block(outputs, outputs)
        self.res_conv = Conv1d(inputs, outputs, kernel=1)

    def forward(self, x: Tensor, mask: Tensor, time: Tensor) -> Tensor:
        """`time` is the embedding after its Mish, which all blocks share."""
        h = self.block1(x, mask) * mask + self.mlp["1"](time)[:, :, None]
        return self.block2(h, mask) * mask + self.res_conv(x * mask)


class _Transformer(nn.Module):
    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.norm1 = LayerNorm(width, EPS)
        self.attn1 = _Attention(width, heads, head_dim)
        self.norm3 = LayerNorm(width, EPS)
        self.ff = _FeedForward(width, WIDENING * width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x), bias)
        return x + self.ff(self.norm3(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.to_q = Linear(width, heads * head_dim, bias=False)
        self.to_k = Linear(width, heads * head_dim, bias=False)
        self.to_v = Linear(width, heads * head_dim, bias=False)
        self.to_out = nn.ModuleList([Linear(heads * head_dim, width)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (
            reshaped(part(x), 0, 0, self.heads, -1) for part in (self.to_q, self.to_k, self.to_v)
        )
        query = query.transpose(1, 2) * (1 / math.sqrt(self.head_dim))
        weights = torch.softmax(torch.matmul(query, key.permute(0, 2, 3, 1)) + bias, dim=-1)
        mixed = torch.matmul(weights, value.transpose(1, 2)).transpose(1, 2)
        return self.to_out[0](reshaped(mixed, 0, 0, -1))


class _FeedForward(nn.Module):
    """Indices follow the checkpoint: `net.0.proj` and `net.2`."""

    def __init__(self, width: int, wide: int):
        super().__init__()
        self.net = nn.ModuleDict({"0": nn.ModuleDict({"proj": Linear(width, wide)}), "2": Linear(wide, width)})

    def forward(self, x: Tensor) -> Tensor:
        return self.net["2"](F.gelu(self.net["0"]["proj"](x)))
