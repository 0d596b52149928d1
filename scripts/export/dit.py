"""The v3 flow estimator: a diffusion transformer whose norms are modulated by the solver time."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DitConfig
from .flow_encoder import visibility_bias
from .layers import Conv1d, Linear, Sinusoids, declared, mish, reshaped

EPS = 1e-6
CONDITIONS = 4  # x, cond, mu and the speaker, each as wide as a mel frame


class DitEstimator(nn.Module):
    """One evaluation of the vector field; inputs and output as those of the v2 estimator.

    Positions are `kpos`, so that a padded frame, whose position is far off, changes no other. Upstream leaves frames
    outside `mask` as they come; here they are zero.
    """

    SOURCE = {"": "decoder.estimator."}

    def __init__(self, config: DitConfig):
        super().__init__()
        self.time_embed = _TimeEmbedding(config.time_inputs, config.dim)
        self.input_embed = _InputEmbedding(config)
        self.rotary_embed = _Rotary(config.head_dim)
        self.transformer_blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = _Norm(config.dim)
        self.norm_out = _Modulation(config.dim, (1, 0))
        self.proj_out = Linear(config.dim, config.out_channels)

    def forward(self, x, mask, mu, t, spks, cond, qend, kpos) -> Tensor:
        time = F.silu(self.time_embed(t))
        angles = self.rotary_embed(kpos)
        bias = visibility_bias(qend, kpos)
        h = self.input_embed(torch.cat([x, cond, mu, spks[:, :, None].expand_as(x)], dim=1).transpose(1, 2))
        for block in self.transformer_blocks:
            h = block(h, time, angles, bias)
        scale, shift = self.norm_out(time)
        return self.proj_out(self.norm(h) * scale + shift).transpose(1, 2) * mask


class _TimeEmbedding(nn.Module):
    """Indices follow the checkpoint: 0 and 2."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.sinusoids = Sinusoids(inputs)
        self.time_mlp = nn.ModuleDict({"0": Linear(inputs, width), "2": Linear(width, width)})

    def forward(self, t: Tensor) -> Tensor:
        return self.time_mlp["2"](F.silu(self.time_mlp["0"](self.sinusoids(t))))


class _InputEmbedding(nn.Module):
    def __init__(self, config: DitConfig):
        super().__init__()
        self.proj = Linear(CONDITIONS * config.out_channels, config.dim)
        self.conv_pos_embed = nn.ModuleDict({name: _position_convolution(config) for name in ("conv1", "conv2")})

    def forward(self, x: Tensor) -> Tensor:
        h = self.proj(x)
        y = h.transpose(1, 2)
        for convolution in self.conv_pos_embed.values():
            y = mish(convolution[0](y))
        return h + y.transpose(1, 2)


def _position_convolution(config: DitConfig) -> nn.ModuleList:
    kernel = config.position_kernel
    return nn.ModuleList([Conv1d(config.dim, config.dim, kernel, (kernel - 1, 0), groups=config.position_groups)])


class _Rotary(nn.Module):
    """Cosine and sine `[B, T, D/2]` of the rotation at each position."""

    def __init__(self, head_dim: int):
        super().__init__()
        self.inv_freq = declared(head_dim // 2)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions.float()[:, :, None] * self.inv_freq
        return angles.cos(), angles.sin()


class _Block(nn.Module):
    def __init__(self, config: DitConfig):
        super().__init__()
        self.norm = _Norm(config.dim)
        # Shift, scale, gate; first of the attention, then of the feed-forward layer.
        self.attn_norm = _Modulation(config.dim, (0, 1, 0, 0, 1, 0))
        self.attn = _Attention(config)
        self.ff = _FeedForward(config.dim, config.ff_mult * config.dim)

    def forward(self, h: Tensor, time: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.attn_norm(time)
        h = h + gate_a * self.attn(self.norm(h) * scale_a + shift_a, angles, bias)
        return h + gate_f * self.ff(self.norm(h) * scale_f + shift_f)


class _Norm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, h: Tensor) -> Tensor:
        return F.layer_norm(h, (self.width,), eps=EPS)


class _Modulation(nn.Module):
    """Vectors `[B, 1, width]` from the time embedding. `offsets` are added: a scale is stored as its excess over one."""

    def __init__(self, width: int, offsets: tuple[int, ...]):
        super().__init__()
        self.linear = Linear(width, len(offsets) * width)
        self.parts = len(offsets)
        self.register_buffer("offset", torch.tensor(offsets, dtype=torch.float32).repeat_interleave(width))

    def forward(self, time: Tensor) -> tuple[Tensor, ...]:
        vectors = F.linear(time, self.linear.weight, self.linear.bias + self.offset)
        return vectors[:, None].chunk(self.parts, dim=-1)


class _Attention(nn.Module):
    """Attention in which only the first head knows positions.

    Upstream rotates the channels of one head before it splits them into heads. The rotation takes neighbouring channels
    as pairs; here all first ones come before all second ones, in queries and keys alike, which leaves their product as
    it is. The three projections are one.
    """

    def __init__(self, config: DitConfig):
        super().__init__()
        self.heads, self.head_dim, self.dim = config.heads, config.head_dim, config.dim
        self.to_q, self.to_k, self.to_v = (Linear(config.dim, config.dim) for _ in range(3))
        self.to_out = nn.ModuleList([Linear(config.dim, config.dim)])
        channels = torch.arange(config.dim)
        self.register_buffer("order", torch.cat([
            channels[: self.head_dim : 2], channels[1 : self.head_dim : 2], channels[self.head_dim :],
        ]))

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        projected = F.linear(x, self._joined("weight"), self._joined("bias"))
        half, rest = self.head_dim // 2, self.dim - self.head_dim
        first_q, second_q, rest_q, first_k, second_k, rest_k, value = projected.split(
            [half, half, rest, half, half, rest, self.dim], dim=-1
        )
        query = self._heads(torch.cat([*_rotated(first_q, second_q, angles), rest_q], dim=-1)).transpose(1, 2)
        key = self._heads(torch.cat([*_rotated(first_k, second_k, angles), rest_k], dim=-1)).permute(0, 2, 3, 1)
        weights = torch.softmax(torch.matmul(query, key) + bias, dim=-1)
        mixed = torch.matmul(weights, self._heads(value).transpose(1, 2)).transpose(1, 2)
        return self.to_out[0](reshaped(mixed, 0, 0, -1))

    def _joined(self, part: str) -> Tensor:
        query, key, value = (getattr(linear, part) for linear in (self.to_q, self.to_k, self.to_v))
        scale = 1 / math.sqrt(self.head_dim)
        return torch.cat([query[self.order] * scale, key[self.order], value])

    def _heads(self, x: Tensor) -> Tensor:
        return reshaped(x, 0, 0, self.heads, -1)


def _rotated(first: Tensor, second: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    cosine, sine = angles
    return first * cosine - second * sine, second * cosine + first * sine


class _FeedForward(nn.Module):
    """Indices follow the checkpoint: `ff.0.0` and `ff.2`."""

    def __init__(self, width: int, wide: int):
        super().__init__()
        self.ff = nn.ModuleDict({"0": nn.ModuleList([Linear(width, wide)]), "2": Linear(wide, width)})

    def forward(self, x: Tensor) -> Tensor:
        return self.ff["2"](F.gelu(self.ff["0"][0](x), approximate="tanh"))
