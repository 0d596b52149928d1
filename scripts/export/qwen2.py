"""One step of the Qwen2 body: prefill and decode in one graph, with the KV cache outside."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import LlmConfig
from .layers import Linear, RmsNorm, reshaped, score_bias


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
        order = self.order[: inputs_embeds.shape[1]]
        causal = (order[None, :] <= order[:, None]).to(new_valid.dtype)
        visible = causal * new_valid[:, None, None, :]
        every = _Rows(
            F.embedding(position_ids, self.rotary_cos)[:, None],
            F.embedding(position_ids, self.rotary_sin)[:, None],
            # One copy of the rows per query head of a group, in the order of the stacked queries.
            score_bias(torch.cat([visible] * self.group, dim=2) > 0.5),
        )
        # Logits depend on one row of the last layer: there, only keys and values are made of the others.
        pick = (order[None, :] == last_index[:, None]).to(new_valid.dtype)[:, None]
        one = _Rows(*(torch.matmul(pick[:, None], table) for table in every[:2]),
                    score_bias(torch.matmul(pick[:, None], visible) > 0.5))
        past_bias = score_bias(past_valid > 0.5)[:, None, None, :]

        x = inputs_embeds
        caches = []
        for index, layer in enumerate(self.layers):
            cached = _Cached(past[2 * index], past[2 * index + 1], past_bias)
            if index + 1 < len(self.layers):
                x, key, value = layer(x, every, cached)
            else:
                x, key, value = layer.of_one(x, every, cached, pick, one)
            caches += [key, value]
        return (self.head(self.norm(x[:, 0])), *caches)


def rotary_tables(config: LlmConfig, positions: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the D/2 angles, each `[positions, D/2]`."""
    width = config.head_dim
    inverse = 1.0 / config.rope_theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * inverse
    return angles.cos(), angles.sin()


class _Rows(NamedTuple):
    """New positions: `cos`, `sin` `[B, 1, S, D/2]`, and what is added to their scores of the new keys."""

    cos: Tensor
    sin: Tensor
    bias: Tensor


class _Cached(NamedTuple):
    """Keys and values `[B, Hkv, P, D]` of positions before, and what is added to their scores."""

    key: Tensor
    value: Tensor
    bias: Tensor


class _Layer(nn.Module):
    def __init__(self, config: LlmConfig):
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden, config.rms_norm_eps)
        self.self_attn = _Attention(config)
        self.post_attention_layernorm = RmsNorm(config.hidden, config.rms_norm_eps)
        self.mlp = _Mlp(config)

    def forward(self, x: Tensor, rows: _Rows, past: _Cached) -> tuple[Tensor, Tensor, Tensor]:
        normed = self.input_layernorm(x)
        key, value = self.self_attn.new_cache(normed, rows)
        return self._transformed(x, normed, rows, (key, value), past), key, value

    def of_one(self, x: Tensor, rows: _Rows, past: _Cached, pick: Tensor, picked: _Rows):
        """The same for one of the rows, which `pick` `[B, 1, S]` chooses; keys and values are of all."""
        normed = self.input_layernorm(x)
        key, value = self.self_attn.new_cache(normed, rows)
        one, normed = torch.matmul(pick, x), torch.matmul(pick, normed)
        return self._transformed(one, normed, picked, (key, value), past), key, value

    def _transformed(self, x: Tensor, normed: Tensor, rows: _Rows, new: tuple[Tensor, Tensor], past: _Cached):
        x = x + self.self_attn(normed, rows, new, past)
        return x + self.mlp(self.post_attention_layernorm(x))


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

    def new_cache(self, x: Tensor, rows: _Rows) -> tuple[Tensor, Tensor]:
        """Rotated keys and values of `x`, each `[B, Hkv, S, D]`."""
        return self._rotated(self.k_proj(x), self.kv_heads, rows), self._split(self.v_proj(x), self.kv_heads)

    def forward(self, x: Tensor, rows: _Rows, new: tuple[Tensor, Tensor], past: _Cached) -> Tensor:
        """What the queries of `x` find among `new` keys and values and those of the `past`."""
        query = self._rotated(self.q_proj(x), self.heads, rows) * (1 / math.sqrt(self.head_dim))
        stacked = reshaped(query, 0, self.kv_heads, -1, self.head_dim)
        past_scores = torch.matmul(stacked, past.key.transpose(2, 3)) + past.bias
        new_scores = torch.matmul(stacked, new[0].transpose(2, 3)) + rows.bias
        weights = torch.softmax(torch.cat([past_scores, new_scores], dim=-1), dim=-1)
        split = past.key.shape[2]
        mixed = torch.matmul(weights[..., :split], past.value) + torch.matmul(weights[..., split:], new[1])

        heads = reshaped(mixed, 0, self.heads, -1, self.head_dim).transpose(1, 2)
        return self.o_proj(reshaped(heads, 0, 0, -1))

    def _rotated(self, x: Tensor, heads: int, rows: _Rows) -> Tensor:
        return _rotated(self._split(x, heads), self.head_dim // 2, rows.cos, rows.sin)

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return reshaped(x, 0, 0, heads, -1).transpose(1, 2)


def _rotated(x: Tensor, half: int, cos: Tensor, sin: Tensor) -> Tensor:
    """Half-rotation layout: channel `m` pairs with `m + half`."""
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
