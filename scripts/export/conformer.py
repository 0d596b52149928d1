"""Relative-position conformer layers of the flow encoder: no macaron, no convolution module."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import LayerNorm, Linear, declared, reshaped

LAYER_EPS = 1e-12


class PositionTables(NamedTuple):
    """`sin`, `cos` `[T, width / 2]` at the queries; `keys` `[width, T]`: cosines, then sines, at the keys."""

    sin: Tensor
    cos: Tensor
    keys: Tensor


class Positions(nn.Module):
    """Sines and cosines of the positions below `count`, `[count, width / 2]` each."""

    def __init__(self, width: int, count: int):
        super().__init__()
        frequency = 10000 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = torch.arange(count, dtype=torch.float64)[:, None] * frequency.double()
        self.register_buffer("sin", angles.sin().float())
        self.register_buffer("cos", angles.cos().float())

    def forward(self, like: Tensor) -> PositionTables:
        """The tables for the T positions of `like`, `[1, T, width]`."""
        length = like.shape[1]
        sin, cos = self.sin[:length], self.cos[:length]
        return PositionTables(sin, cos, torch.cat([cos, sin], dim=-1).transpose(0, 1))


class Stem(nn.Module):
    """Projection in front of a stack of layers."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.out = nn.ModuleList([Linear(inputs, width), LayerNorm(width, 1e-5)])
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out[1](self.out[0](x)) * self.scale


class ConformerLayer(nn.Module):
    """`x` `[1, T, width]`; `bias` `[1, 1, T, T]` is added to scores; `positions` those of the T positions."""

    def __init__(self, width: int, heads: int, ff: int):
        super().__init__()
        self.norm_mha = LayerNorm(width, LAYER_EPS)
        self.self_attn = RelativeAttention(width, heads)
        self.norm_ff = LayerNorm(width, LAYER_EPS)
        self.feed_forward = _FeedForward(width, ff)

    def forward(self, x: Tensor, positions: PositionTables, bias: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions, bias)
        return x + self.feed_forward(self.norm_ff(x))


class RelativeAttention(nn.Module):
    """Attention with scores `((q_i + u)·k_j + (q_i + v)·W pe(i - j)) / sqrt(D)`.

    `pe(r)` holds `sin(r w_m)` in its even and `cos(r w_m)` in its odd channels, so the angle-sum identities split
    `a_i·pe(i - j)`, with `a_i = Wᵀ(q_i + v)`, into a product of something that depends on `i` and the tables at `j`:
    the relative part is one matrix product, without a table of 2T-1 rows and without shifting its result.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.linear_q = Linear(width, width)
        self.linear_k = Linear(width, width)
        self.linear_v = Linear(width, width)
        self.linear_out = Linear(width, width)
        self.linear_pos = Linear(width, width, bias=False)
        self.pos_bias_u = declared(heads, self.head_dim)
        self.pos_bias_v = declared(heads, self.head_dim)

    def forward(self, x: Tensor, positions: PositionTables, bias: Tensor) -> Tensor:
        query, key, value = (self._split(part(x)) for part in (self.linear_q, self.linear_k, self.linear_v))
        query = query * (1 / math.sqrt(self.head_dim))
        content = (query + self._bias(self.pos_bias_u)).transpose(1, 2)
        relative = (query + self._bias(self.pos_bias_v)).transpose(1, 2)

        scores = torch.matmul(content, key.permute(0, 2, 3, 1)) + self._relative_scores(relative, positions)
        weights = torch.softmax(scores + bias, dim=-1)
        mixed = torch.matmul(weights, value.transpose(1, 2)).transpose(1, 2)
        return self.linear_out(reshaped(mixed, 0, 0, -1))

    def _relative_scores(self, query: Tensor, positions: PositionTables) -> Tensor:
        sin, cos, keys = positions
        # [width, width] → per head [D, width / 2] for the sine and for the cosine channels.
        per_head = self.linear_pos.weight.reshape(self.heads, self.head_dim, -1, 2)
        of_sin = torch.matmul(query, per_head[..., 0])
        of_cos = torch.matmul(query, per_head[..., 1])
        left = torch.cat([of_sin * sin + of_cos * cos, of_cos * sin - of_sin * cos], dim=-1)
        return torch.matmul(left, keys)

    def _bias(self, bias: Tensor) -> Tensor:
        return bias * (1 / math.sqrt(self.head_dim))

    def _split(self, x: Tensor) -> Tensor:
        return reshaped(x, 0, 0, self.heads, -1)


class _FeedForward(nn.Module):
    def __init__(self, width: int, ff: int):
        super().__init__()
        self.w_1 = Linear(width, ff)
        self.w_2 = Linear(ff, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(F.silu(self.w_1(x)))
