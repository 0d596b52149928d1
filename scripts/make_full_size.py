#!/usr/bin/env python3
"""Writes a full-size model folder with random weights in the released layout: `--family cosyvoice2 --out DIR`.

For measuring and for testing at the real sizes. Activations stay finite; the audio is noise. The unused text head of
`llm.pt` is left out, and of cosyvoice3 everything but what is exported: the flow estimator.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch

from export import config as configuration
from export import preflight
from export.errors import ModelFolderError
from export.tokenizer import byte_alphabet

# What the released configuration says, in its tagged form.
COSYVOICE2_YAML = """\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]

sample_rate: 24000
llm_input_size: 896
llm_output_size: 896
spk_embed_dim: 192
qwen_pretrain_path: ''
token_frame_rate: 25
token_mel_ratio: 2

chunk_size: 25
num_decoding_left_chunks: -1

llm: !new:cosyvoice.llm.llm.Qwen2LM
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    speech_token_size: 6561
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1

flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 512
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 6561
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: 512
        attention_heads: 8
        linear_units: 2048
        num_blocks: 6
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 512
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: !ref <chunk_size>
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [256]
            dropout: 0.0
            attention_head_dim: 64
            n_blocks: 4
            num_mid_blocks: 12
            num_heads: 8
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: 512
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: 512

get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
allowed_special: 'all'
"""
# Where the third family differs.
COSYVOICE3_FLOW_YAML = """\
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithDiT
    input_size: 80
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 6561
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        in_channels: 80
        channels: 1024
        pre_lookahead_len: 3
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: 1024
            depth: 22
            heads: 16
            dim_head: 64
            ff_mult: 2
            mel_dim: 80
            mu_dim: 80
            spk_dim: 80
            out_channels: 80
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

"""
QWEN2_CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
    "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-06, "max_position_embeddings": 32768, "vocab_size": 151936, "tie_word_embeddings": True,
}
BASE_VOCABULARY = 151643  # ids before the specials
PROMPT_TOKENS = 75
TRANSCRIPT = b"A voice with random features."
ROTARY_BASE = 10000.0  # of the estimator's first head
GRAPHS = {"cosyvoice3": ["flow_estimator"]}  # where not all of a family are made
GAINS = {"f0_predictor.classifier": 100.0, "conv_post": 0.3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=["cosyvoice2", "cosyvoice3"], default="cosyvoice2")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    out, random = options.out, torch.Generator().manual_seed(options.seed)
    qwen = out / configuration.QWEN_FOLDER
    qwen.mkdir(parents=True, exist_ok=True)
    (qwen / "config.json").write_text(json.dumps(QWEN2_CONFIG, indent=2) + "\n")
    _write_vocabulary(qwen)
    (out / configuration.FAMILY_FILES[options.family]).write_text(_yaml(options.family))
    # The vocabulary size comes from the embedding table where there is one; here from the Qwen2 configuration.
    expected = preflight.expected_shapes(configuration.load(out, shapes={}))
    for stem, shapes in expected.items():
        if not shapes:
            continue
        path = out / f"{stem}.pt"
        torch.save(_state_dict(stem, shapes, random), path)
        print(f"{path}: {len(shapes)} parameters, {path.stat().st_size} bytes")
    torch.save(_voices(random), out / "spk2info.pt")
    try:
        preflight.check(out, GRAPHS.get(options.family))
    except ModelFolderError as error:
        print("\n".join(f"error: {problem}" for problem in error.problems), file=sys.stderr)
        return 1
    return 0


def _yaml(family: str) -> str:
    if family == "cosyvoice2":
        return COSYVOICE2_YAML
    start, end = COSYVOICE2_YAML.index("flow: "), COSYVOICE2_YAML.index("hift: ")
    return COSYVOICE2_YAML[:start] + COSYVOICE3_FLOW_YAML + COSYVOICE2_YAML[end:]


def _state_dict(stem: str, shapes: dict[str, tuple[int, ...]], random: torch.Generator) -> dict[str, torch.Tensor]:
    """As released: weight-normed convolutions of the vocoder in their two parts."""
    state = {}
    for name, shape in shapes.items():
        tensor = _initial(name, shape, random)
        if stem == "hift" and _weight_normed(name, shape):
            stem_name = f"{name.removesuffix('.weight')}.parametrizations.weight.original"
            state[f"{stem_name}0"] = torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)
            state[f"{stem_name}1"] = tensor
        else:
            state[name] = tensor
    return state


def _initial(name: str, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    """Zero-mean weights that keep the variance of their input; norms are the identity."""
    if len(shape) == 1 and name.endswith((".weight", ".alpha")):
        return torch.ones(shape)
    if name.endswith("rotary_embed.inv_freq"):
        return ROTARY_BASE ** (-torch.arange(shape[0]) / shape[0])
    scale = 0.02 if len(shape) == 1 or "embed" in name else 1 / math.sqrt(_fan_in(name, shape))
    scale *= next((gain for part, gain in GAINS.items() if part in name and name.endswith(".weight")), 1.0)
    return torch.randn(shape, generator=random).mul_(scale)


def _fan_in(name: str, shape: tuple[int, ...]) -> int:
    # Transposed convolutions have their inputs first, and each output sees two of the kernel's taps per input.
    return 2 * shape[0] if name.startswith("ups.") else math.prod(shape[1:])


def _weight_normed(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and not name.startswith("source_downs.")


def _write_vocabulary(folder: Path) -> None:
    """Bytes only: every byte of a text is one id. The other ids exist and are never reached."""
    alphabet = list(byte_alphabet().values())
    unused = [f"<unused {index}>" for index in range(BASE_VOCABULARY - len(alphabet))]
    vocabulary = {token: index for index, token in enumerate([*alphabet, *unused])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def _voices(random: torch.Generator) -> dict[str, dict]:
    """One voice with a three-second prompt, one with an embedding only."""
    ids = [list(byte_alphabet()).index(byte) for byte in TRANSCRIPT]
    embedding = torch.randn(1, 192, generator=random)
    tokens = torch.randint(0, 6561, (1, PROMPT_TOKENS), generator=random, dtype=torch.int32)
    mel = torch.randn(1, 2 * PROMPT_TOKENS, 80, generator=random)
    prompted = {
        "prompt_text": torch.tensor([ids], dtype=torch.int32),
        "llm_prompt_speech_token": tokens,
        "flow_prompt_speech_token": tokens,
        "prompt_speech_feat": mel,
        "llm_embedding": embedding,
        "flow_embedding": embedding,
    }
    return {"prompted": prompted, "plain": {"embedding": torch.randn(1, 192, generator=random)}}


if __name__ == "__main__":
    sys.exit(main())
