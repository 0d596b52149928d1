"""The v2 flow encoder: speech tokens and look-ahead context to the decoder condition `mu`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import FlowConfig
from .conformer import ConformerLayer, Positions, PositionTables, Stem
from .layers import Conv1d, Embedding, LayerNorm, Linear, reshaped, score_bias


class FlowEncoder(nn.Module):
    """`token` i32 `[1, N]`, `context` i32 `[1, 3]`, `context_valid` `[1, 3, 1]`, `qend`, `kpos` i32 `[1, N]`,
    `embedding` `[1, 192]` → `mu` `[1, 80, 2N]`, `spks` `[1, 80]`.

    Key `j` is visible to query `i` iff `kpos[j] < qend[i]`, in tokens before the upsample and doubled after it.
    """

    SOURCE: dict[str, str] = {}

    def __init__(self, config: FlowConfig, max_tokens: int):
        super().__init__()
        self.input_embedding = Embedding(config.vocab, config.dim)
        self.spk_embed_affine_layer = Linear(config.speaker_dim, config.mel_bins)
        self.encoder = _UpsampleEncoder(config, max_tokens)
        self.encoder_proj = Linear(config.dim, config.mel_bins)

    def forward(self, token, context, context_valid, qend, kpos, embedding) -> tuple[Tensor, Tensor]:
        x = self.input_embedding(torch.cat([token, context], dim=1))
        x = self.encoder(x, context_valid, qend, kpos)
        mu = self.encoder_proj(x).transpose(1, 2)
        norm = torch.sqrt((embedding * embedding).sum(dim=-1, keepdim=True))
        return mu, self.spk_embed_affine_layer(embedding / norm.clamp_min(1e-12))


class _UpsampleEncoder(nn.Module):
    def __init__(self, config: FlowConfig, max_tokens: int):
        super().__init__()
        width, encoder = config.dim, config.encoder
        self.look_ahead, self.ratio = config.look_ahead, config.frames_per_token
        self.embed = Stem(width, width)
        self.pre_lookahead_layer = _LookAhead(width, config.look_ahead)
        self.encoders = nn.ModuleList(ConformerLayer(width, encoder.heads, encoder.ff) for _ in range(encoder.blocks))
        self.up_layer = _Upsample(width, self.ratio)
        self.up_embed = Stem(width, width)
        self.up_encoders = nn.ModuleList(
            ConformerLayer(width, encoder.heads, encoder.ff) for _ in range(encoder.up_blocks)
        )
        self.after_norm = LayerNorm(width, 1e-5)
        self.positions = Positions(width, max_tokens * self.ratio)

    def forward(self, x: Tensor, context_valid: Tensor, qend: Tensor, kpos: Tensor) -> Tensor:
        x = self.embed(x)
        context = x[:, -self.look_ahead :] * context_valid
        x = self.pre_lookahead_layer(x[:, : -self.look_ahead], context)
        x = _stacked(self.encoders, x, self.positions(x), visibility_bias(qend, kpos))

        x = self.up_embed(self.up_layer(x))
        ends = torch.stack([qend * self.ratio] * self.ratio, dim=-1)
        keys = torch.stack([kpos * self.ratio + phase for phase in range(self.ratio)], dim=-1)
        bias = visibility_bias(reshaped(ends, 0, -1), reshaped(keys, 0, -1))
        return self.after_norm(_stacked(self.up_encoders, x, self.positions(x), bias))


def visibility_bias(qend: Tensor, kpos: Tensor) -> Tensor:
    """`[B, 1, T, T]`, for scores: query `i` sees key `j` iff `kpos[j] < qend[i]`."""
    return score_bias(kpos[:, None, None, :] < qend[:, None, :, None])


def _stacked(layers: nn.ModuleList, x: Tensor, positions: PositionTables, bias: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x, positions, bias)
    return x


class _LookAhead(nn.Module):
    """Mixes every position with the next few; `context` stands in for what follows the last one."""

    def __init__(self, width: int, look_ahead: int):
        super().__init__()
        self.conv1 = Conv1d(width, width, kernel=look_ahead + 1)
        self.conv2 = Conv1d(width, width, kernel=3, pads=(2, 0))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        y = torch.cat([x, context], dim=1).transpose(1, 2)
        y = self.conv2(F.leaky_relu(self.conv1(y), 0.01))
        return y.transpose(1, 2) + x


class _Upsample(nn.Module):
    """Repeats every position `ratio` times and smooths with a causal convolution."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.width, self.ratio = width, ratio
        self.conv = Conv1d(width, width, kernel=2 * ratio + 1, pads=(2 * ratio, 0))

    def forward(self, x: Tensor) -> Tensor:
        repeated = torch.stack([x] * self.ratio, dim=2)
        repeated = reshaped(repeated, 0, -1, self.width).transpose(1, 2)
        return self.conv(repeated).transpose(1, 2)
