"""One step of the Qwen2 body: prefill and decode in one graph, with the KV cache outside."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import LlmConfig
from .layers import Linear, RmsNorm, masked, reshaped


class LlmStep(nn.Module):
    """Runs new positions against the cached ones and returns logits and the new cache rows.

    `inputs_embeds` `[B, S, H]`, `position_ids` i32 `[B, S]`, `past_valid` `[B, P]` and `new_valid` `[B, S]` (1 = real),
    `last_index` i32 `[B]`, `past` = `k_0 v_0 k_1 v_1 …`, each `[B, Hkv, P, D]` → logits `[B, V]` of the row
    `last_index`, then `[B, Hkv, S, D]` per cache. New rows are causal among themselves.
    """

    SOURCE = {"layers.": "llm.model.model.layers.", "norm.": "llm.model.model.norm.", "head.": "llm_decoder."}

    def __init__(self, config: LlmConfig, max_positions: int):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.norm = RmsNorm(config.hidden, config.rms_norm_eps)
        self.head = Linear(config.hidden, config.head_rows, bias=config.head_bias)
        self.group = config.heads // config.kv_heads
        cos, sin = rotary_tables(config, max_positions)
        self.register_buffer("rotary_cos", cos)
        self.register_buffer("rotary_sin", sin)
        self.register_buffer("order", torch.arange(max_positions, dtype=torch.int32))

    def forward(self, inputs_embeds: Tensor, position_ids: Tensor, past_valid: Tensor, new_valid: Tensor,
                last_index: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        cos = F.embedding(position_ids, self.rotary_cos)[:, None]
        sin = F.embedding(position_ids, self.rotary_sin)[:, None]
        order = self.order[: inputs_embeds.shape[1]]
        causal = (order[None, :] <= order[:, None]).to(new_valid.dtype)
        new_rows = causal * new_valid[:, None, None, :]
        # One copy of the rows per query head of a group, in the order of the stacked queries.
        new_visible = torch.cat([new_rows] * self.group, dim=2) > 0.5
        past_visible = (past_valid > 0.5)[:, None, None, :]

        x = inputs_embeds
        rows = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, cos, sin, past[2 * index], past[2 * index + 1], past_visible, new_visible)
            rows += [key, value]

        chosen = (order[None, :] == last_index[:, None]).to(x.dtype)
        last = torch.matmul(chosen[:, None], x)[:, 0]
        return (self.head(self.norm(last)), *rows)


def rotary_tables(config: LlmConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the D/2 angles, each `[positions, D/2]`."""
    width = config.head_dim
    inverse = 1.0 / config.rope_theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * inverse
    return angles.cos(), angles.sin()


class _Layer(nn.Module):
    def __init__(self, config: LlmConfig):
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden, config.rms_norm_eps)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden, config.rms_norm_eps)
        self.mlp = _Mlp(config)

    def forward(self, x, cos, sin, past_key, past_value, past_visible, new_visible):
        attended, key, value = self.self_attn(
            self.input_layernorm(x), cos, sin, past_key, past_value, past_visible, new_visible
        )
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), key, value


class _Mlp(nn.Module):
    def __init__(self, config: LlmConfig):
        super().__init__()
        self.gate_proj = Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _Attention(nn.Module):
    """Grouped-query attention over past and new rows: two products under one softmax.

    The query heads of one KV head are stacked along the rows of one product (`[B, Hq, S, D]` read as
    `[B, Hkv, G * S, D]`), so keys and values are never repeated.
    """

    def __init__(self, config: LlmConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.q_proj = Linear(config.hidden, config.heads * config.head_dim)
        self.k_proj = Linear(config.hidden, config.kv_heads * config.head_dim)
        self.v_proj = Linear(config.hidden, config.kv_heads * config.head_dim)
        self.o_proj = Linear(config.heads * config.head_dim, config.hidden, bias=False)

    def forward(self, x, cos, sin, past_key, past_value, past_visible, new_visible):
        half = self.head_dim // 2
        query = _rotated(self._split(self.q_proj(x), self.heads), half, cos, sin) * (1 / math.sqrt(self.head_dim))
        key = _rotated(self._split(self.k_proj(x), self.kv_heads), half, cos, sin)
        value = self._split(self.v_proj(x), self.kv_heads)

        stacked = reshaped(query, 0, self.kv_heads, -1, self.head_dim)
        past_scores = masked(torch.matmul(stacked, past_key.transpose(2, 3)), past_visible)
        new_scores = masked(torch.matmul(stacked, key.transpose(2, 3)), new_visible)
        weights = torch.softmax(torch.cat([past_scores, new_scores], dim=-1), dim=-1)
        past = past_key.shape[2]
        mixed = torch.matmul(weights[..., :past], past_value) + torch.matmul(weights[..., past:], value)

        heads = reshaped(mixed, 0, self.heads, -1, self.head_dim).transpose(1, 2)
        return self.o_proj(reshaped(heads, 0, 0, -1)), key, value

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return reshaped(x, 0, 0, heads, -1).transpose(1, 2)


def _rotated(x: Tensor, half: int, cos: Tensor, sin: Tensor) -> Tensor:
    """Half-rotation layout: channel `m` pairs with `m + half`."""
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
