"""The dimensions and constants of a model, from its YAML file, its Qwen2 configuration and its weights."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import tagged_yaml
from .errors import ModelFolderError, Problem
from .files import FAMILY_FILES, FLAT_FILE

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]

QWEN_FOLDER = "CosyVoice-BlankEN"
RESTORE = "restore the file that came with the model"
# What upstream builds with and its YAML does not say.
UP_BLOCKS = 4
EULER_STEPS = 10
LENGTH_RATIOS = (2, 20)
DIT_TIME_INPUTS, DIT_POSITION_KERNEL, DIT_POSITION_GROUPS = 256, 31, 16
QWEN2_HEAD_DIM, QWEN2_ROPE_THETA, QWEN2_RMS_EPS = 64, 1e6, 1e-6


@dataclass(frozen=True)
class LlmConfig:
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    rope_theta: float
    rms_norm_eps: float
    text_vocab: int
    speech_vocab: int
    head_rows: int
    head_bias: bool
    eos: int
    fill: int
    stop: tuple[int, int]

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class EncoderConfig:
    heads: int
    ff: int
    blocks: int
    up_blocks: int


@dataclass(frozen=True)
class UnetConfig:
    in_channels: int
    out_channels: int
    channels: int
    heads: int
    head_dim: int
    blocks: int
    mid_blocks: int


@dataclass(frozen=True)
class DitConfig:
    dim: int
    depth: int
    heads: int
    head_dim: int
    ff_mult: int
    out_channels: int
    time_inputs: int
    position_kernel: int
    position_groups: int


@dataclass(frozen=True)
class FlowConfig:
    vocab: int
    dim: int
    speaker_dim: int
    mel_bins: int
    look_ahead: int
    chunk_tokens: int
    frames_per_token: int
    guidance: float
    steps: int
    encoder: EncoderConfig | None  # none in v3, whose encoder has no layers of its own
    estimator: UnetConfig | DitConfig


@dataclass(frozen=True)
class HiftConfig:
    mel_bins: int
    channels: int
    f0_channels: int
    harmonics: int
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    resblock_kernels: tuple[int, ...]
    source_resblock_kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    n_fft: int
    hop: int
    leaky_slope: float
    audio_limit: float
    sine_amplitude: float
    noise_std: float
    voiced_threshold_hz: float

    @property
    def samples_per_frame(self) -> int:
        product = self.hop
        for rate in self.upsample_rates:
            product *= rate
        return product


@dataclass(frozen=True)
class SamplingConfig:
    top_p: float
    top_k: int
    window: int
    tau: float
    min_ratio: int
    max_ratio: int


@dataclass(frozen=True)
class ModelConfig:
    family: str
    file: str
    sample_rate: int
    token_rate: int
    llm: LlmConfig
    flow: FlowConfig
    hift: HiftConfig
    sampling: SamplingConfig
    endofprompt: int | None  # where the flat form gives it; otherwise the tokenizer knows


def find(folder: Path) -> tuple[str, Path]:
    """The family of a model folder and its configuration file."""
    for family, name in FAMILY_FILES.items():
        if (folder / name).is_file():
            return family, folder / name
    flat = folder / FLAT_FILE
    if not flat.is_file():
        names = ", ".join([*FAMILY_FILES.values(), FLAT_FILE])
        raise _bad(str(folder), "missing_file", f"holds none of {names}", "pass the folder of a released model")
    family = _parsed(flat).get("family")
    if family not in FAMILY_FILES:
        raise _bad(FLAT_FILE, "config", f"`family` is {family!r}", f"set it to one of {', '.join(FAMILY_FILES)}")
    return family, flat


def load(folder: Path, shapes: Shapes) -> ModelConfig:
    """The configuration of a `cosyvoice2` or `cosyvoice3` folder; `shapes` are those of its checkpoints, by file stem and name."""
    family, path = find(folder)
    document = _parsed(path)
    try:
        if path.name == FLAT_FILE:
            return _from_flat(document, path.name)
        return _from_upstream(family, document, path.name, _qwen(folder, shapes.get("llm", {})), shapes)
    except KeyError as error:
        raise _bad(path.name, "config", f"has no key {error}", RESTORE) from error
    except (TypeError, ValueError) as error:
        raise _bad(path.name, "config", str(error), RESTORE) from error


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tagged_yaml.parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        what = " ".join(str(error).split())
        raise _bad(path.name, "config", f"cannot be read: {what}", RESTORE) from error


def _bad(file: str, kind: str, what: str, fix: str) -> ModelFolderError:
    return ModelFolderError([Problem(file, kind, what, fix)])


@dataclass(frozen=True)
class _Qwen:
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    rope_theta: float
    rms_norm_eps: float
    text_vocab: int


def _qwen(folder: Path, llm: Mapping[str, tuple[int, ...]]) -> _Qwen:
    """From the folder's Qwen2 configuration where it has one, else from the weights and the constants of Qwen2-0.5B."""
    file = folder / QWEN_FOLDER / "config.json"
    embed = llm.get("llm.model.model.embed_tokens.weight")
    if file.is_file():
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            return _Qwen(
                hidden=document["hidden_size"],
                intermediate=document["intermediate_size"],
                layers=document["num_hidden_layers"],
                heads=document["num_attention_heads"],
                kv_heads=document["num_key_value_heads"],
                rope_theta=float(document["rope_theta"]),
                rms_norm_eps=float(document["rms_norm_eps"]),
                # The checkpoint's table may have been resized for added tokens.
                text_vocab=embed[0] if embed else document["vocab_size"],
            )
        except (ValueError, KeyError, TypeError) as error:
            name = f"{QWEN_FOLDER}/{file.name}"
            raise _bad(name, "config", f"cannot be used: {error}", RESTORE) from error
    layer = "llm.model.model.layers.0"
    queries = llm.get(f"{layer}.self_attn.q_proj.weight")
    keys = llm.get(f"{layer}.self_attn.k_proj.weight")
    gate = llm.get(f"{layer}.mlp.gate_proj.weight")
    if not (embed and queries and keys and gate) or queries[0] % QWEN2_HEAD_DIM:
        what = "is absent, and the weights of llm do not tell the head count"
        raise _bad(f"{QWEN_FOLDER}/config.json", "missing_file", what, f"copy the folder {QWEN_FOLDER} from the model")
    return _Qwen(
        hidden=embed[1],
        intermediate=gate[0],
        layers=_depth(llm, r"llm\.model\.model\.layers\.(\d+)\."),
        heads=queries[0] // QWEN2_HEAD_DIM,
        kv_heads=keys[0] // QWEN2_HEAD_DIM,
        rope_theta=QWEN2_ROPE_THETA,
        rms_norm_eps=QWEN2_RMS_EPS,
        text_vocab=embed[0],
    )


def _depth(names, pattern: str) -> int:
    found = [int(match[1]) for name in names if (match := re.match(pattern, name))]
    return max(found, default=-1) + 1


def _from_upstream(family: str, document: dict[str, Any], file: str, qwen: _Qwen, shapes: Shapes) -> ModelConfig:
    llm, flow, hift = document["llm"], document["flow"], document["hift"]
    estimator = flow["decoder"]["estimator"]
    vocab = llm["speech_token_size"]
    ratio = document["token_mel_ratio"]
    sampling = llm["sampling"]
    if family == "cosyvoice3":
        # Two hundred rows follow the speech ids; all of them end generation.
        head = dict(head_rows=vocab + 200, head_bias=False, eos=vocab + 1, fill=vocab + 3, stop=(vocab, vocab + 199))
    else:
        # Three rows follow the speech ids: end of sequence, task, fill. All three end generation.
        head = dict(head_rows=vocab + 3, head_bias=True, eos=vocab, fill=vocab + 2, stop=(vocab, vocab + 2))
    return ModelConfig(
        family=family,
        file=file,
        sample_rate=document["sample_rate"],
        token_rate=document["token_frame_rate"],
        llm=_llm(qwen, speech_vocab=vocab, **head),
        flow=FlowConfig(
            vocab=flow["vocab_size"],
            dim=flow["input_size"],
            speaker_dim=flow["spk_embed_dim"],
            mel_bins=flow["output_size"],
            look_ahead=flow["pre_lookahead_len"],
            chunk_tokens=document["chunk_size"],
            frames_per_token=ratio,
            guidance=float(flow["decoder"]["cfm_params"]["content"]["inference_cfg_rate"]),
            steps=EULER_STEPS,
            encoder=_upstream_encoder(flow["encoder"], shapes) if family == "cosyvoice2" else None,
            estimator=_upstream_unet(estimator) if family == "cosyvoice2" else _upstream_dit(estimator),
        ),
        hift=HiftConfig(
            mel_bins=hift["in_channels"],
            channels=hift["base_channels"],
            f0_channels=hift["f0_predictor"]["cond_channels"],
            harmonics=hift["nb_harmonics"] + 1,
            upsample_rates=tuple(hift["upsample_rates"]),
            upsample_kernels=tuple(hift["upsample_kernel_sizes"]),
            resblock_kernels=tuple(hift["resblock_kernel_sizes"]),
            source_resblock_kernels=tuple(hift["source_resblock_kernel_sizes"]),
            dilations=_one_row([*hift["resblock_dilation_sizes"], *hift["source_resblock_dilation_sizes"]]),
            n_fft=hift["istft_params"]["n_fft"],
            hop=hift["istft_params"]["hop_len"],
            leaky_slope=float(hift["lrelu_slope"]),
            audio_limit=float(hift["audio_limit"]),
            sine_amplitude=float(hift["nsf_alpha"]),
            noise_std=float(hift["nsf_sigma"]),
            voiced_threshold_hz=float(hift["nsf_voiced_threshold"]),
        ),
        sampling=_sampling(sampling, LENGTH_RATIOS),
        endofprompt=None,
    )


def _upstream_encoder(encoder: Mapping[str, Any], shapes: Shapes) -> EncoderConfig:
    return EncoderConfig(
        heads=encoder["attention_heads"],
        ff=encoder["linear_units"],
        blocks=encoder["num_blocks"],
        up_blocks=_depth(shapes.get("flow", {}), r"encoder\.up_encoders\.(\d+)\.") or UP_BLOCKS,
    )


def _upstream_unet(estimator: Mapping[str, Any]) -> UnetConfig:
    return UnetConfig(
        in_channels=estimator["in_channels"],
        out_channels=estimator["out_channels"],
        channels=_single_level(estimator["channels"]),
        heads=estimator["num_heads"],
        head_dim=estimator["attention_head_dim"],
        blocks=estimator["n_blocks"],
        mid_blocks=estimator["num_mid_blocks"],
    )


def _upstream_dit(estimator: Mapping[str, Any]) -> DitConfig:
    return DitConfig(
        dim=estimator["dim"],
        depth=estimator["depth"],
        heads=estimator["heads"],
        head_dim=estimator["dim_head"],
        ff_mult=estimator["ff_mult"],
        out_channels=estimator["out_channels"],
        time_inputs=DIT_TIME_INPUTS,
        position_kernel=DIT_POSITION_KERNEL,
        position_groups=DIT_POSITION_GROUPS,
    )


def _from_flat(document: dict[str, Any], file: str) -> ModelConfig:
    llm, flow, hift, sampling = (document[key] for key in ("llm", "flow", "hift", "sampling"))
    has_layers = document["family"] == "cosyvoice2"
    estimator = flow["estimator"]
    chunk_frames = estimator.get("static_chunk_frames")
    qwen = _Qwen(**{key: llm[key] for key in _Qwen.__dataclass_fields__})
    return ModelConfig(
        family=document["family"],
        file=file,
        sample_rate=document["sample_rate"],
        token_rate=document["token_rate_hz"],
        llm=_llm(qwen, llm["speech_vocab"], llm["head_rows"], llm["head_bias"], llm["eos"], llm["fill"],
                 tuple(llm["stop_ids"])),
        flow=FlowConfig(
            vocab=flow["vocab"],
            dim=flow["dim"],
            speaker_dim=document["spk_embed_dim"],
            mel_bins=document["mel_bins"],
            look_ahead=flow["pre_lookahead"]["len"],
            chunk_tokens=(
                flow["encoder"]["static_chunk_tokens"] if has_layers else chunk_frames // document["token_mel_ratio"]
            ),
            frames_per_token=document["token_mel_ratio"],
            guidance=document["cfm"]["cfg_rate"],
            steps=document["cfm"]["steps"],
            encoder=_flat_encoder(flow["encoder"]) if has_layers else None,
            estimator=_flat_unet(estimator) if has_layers else _flat_dit(estimator, document["mel_bins"]),
        ),
        hift=HiftConfig(
            mel_bins=document["mel_bins"],
            channels=hift["base_channels"],
            f0_channels=hift["f0_channels"],
            harmonics=hift["nb_harmonics"] + 1,
            upsample_rates=tuple(hift["upsample_rates"]),
            upsample_kernels=tuple(hift["upsample_kernels"]),
            resblock_kernels=tuple(hift["resblock_kernels"]),
            source_resblock_kernels=tuple(hift["source_resblock_kernels"]),
            dilations=tuple(hift["dilations"]),
            n_fft=hift["n_fft"],
            hop=hift["hop"],
            leaky_slope=hift["lrelu_slope"],
            audio_limit=hift["audio_limit"],
            sine_amplitude=hift["sine_amp"],
            noise_std=hift["noise_std"],
            voiced_threshold_hz=hift["voiced_threshold"],
        ),
        sampling=_sampling(sampling, (sampling["min_token_text_ratio"], sampling["max_token_text_ratio"])),
        endofprompt=llm.get("endofprompt_id_in_fixture"),
    )


def _flat_encoder(encoder: Mapping[str, Any]) -> EncoderConfig:
    return EncoderConfig(**{key: encoder[key] for key in EncoderConfig.__dataclass_fields__})


def _flat_unet(estimator: Mapping[str, Any]) -> UnetConfig:
    return UnetConfig(
        in_channels=estimator["in_channels"],
        out_channels=estimator["out_channels"],
        channels=_single_level(estimator["channels"]),
        heads=estimator["heads"],
        head_dim=estimator["head_dim"],
        blocks=estimator["n_blocks"],
        mid_blocks=estimator["mid_blocks"],
    )


def _flat_dit(estimator: Mapping[str, Any], mel_bins: int) -> DitConfig:
    return DitConfig(
        dim=estimator["dim"],
        depth=estimator["depth"],
        heads=estimator["heads"],
        head_dim=estimator["head_dim"],
        ff_mult=estimator["ff_mult"],
        out_channels=mel_bins,
        time_inputs=estimator["time_freq_dim"],
        position_kernel=estimator["conv_pos_kernel"],
        position_groups=estimator["conv_pos_groups"],
    )


def _llm(qwen: _Qwen, speech_vocab: int, head_rows: int, head_bias: bool, eos: int, fill: int,
         stop: tuple[int, int]) -> LlmConfig:
    return LlmConfig(**vars(qwen), speech_vocab=speech_vocab, head_rows=head_rows, head_bias=head_bias, eos=eos,
                     fill=fill, stop=stop)


def _sampling(keys: Mapping[str, Any], ratios: tuple[int, int]) -> SamplingConfig:
    return SamplingConfig(float(keys["top_p"]), keys["top_k"], keys["win_size"], float(keys["tau_r"]), *ratios)


def _single_level(channels: list[int]) -> int:
    if len(channels) != 1:
        raise ValueError(f"the estimator of cosyvoice2 has one level, `channels` lists {len(channels)}")
    return channels[0]


def _one_row(dilations: list[list[int]]) -> tuple[int, ...]:
    if any(row != dilations[0] for row in dilations):
        raise ValueError(f"all resblocks must share one list of dilations, got {dilations}")
    return tuple(dilations[0])
