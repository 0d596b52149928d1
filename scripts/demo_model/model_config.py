"""The dimensions of the demo model, in the tagged YAML of a released one."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from export import config as configuration  # noqa: E402
from export import preflight  # noqa: E402

CLUSTERS = 256  # sounds the speech tokenizer tells apart
# Every sound has one id per place in its word, so that a token says how far its word has come; the last turn is for
# all later places and for the silence before the first word.
TURNS = 15
SPEECH_VOCAB = CLUSTERS * TURNS
# The text decides what is said, so the sampler takes the likeliest id; and nothing is a repetition but a window full of
# one id, since a vowel may last longer than its word has turns.
TOP_P, TOP_K, REPETITION_WINDOW = 0.8, 1, 10
SPEAKER_DIM = 192
MAX_TOKENS, MAX_POSITIONS = 512, 1024

YAML = f"""\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]

sample_rate: 24000
llm_input_size: 128
llm_output_size: 128
spk_embed_dim: {SPEAKER_DIM}
qwen_pretrain_path: ''
token_frame_rate: 25
token_mel_ratio: 2

chunk_size: 25
num_decoding_left_chunks: -1

llm: !new:cosyvoice.llm.llm.Qwen2LM
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    speech_token_size: {SPEECH_VOCAB}
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: {TOP_P}
        top_k: {TOP_K}
        win_size: {REPETITION_WINDOW}
        tau_r: 1.0

flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 80
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {SPEECH_VOCAB}
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: 80
        attention_heads: 4
        linear_units: 320
        num_blocks: 2
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 80
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
            channels: [80]
            dropout: 0.0
            attention_head_dim: 40
            n_blocks: 1
            num_mid_blocks: 2
            num_heads: 2
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: 128
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
    resblock_kernel_sizes: [3, 7]
    resblock_dilation_sizes: [[1, 3], [1, 3]]
    source_resblock_kernel_sizes: [3, 3, 7]
    source_resblock_dilation_sizes: [[1, 3], [1, 3], [1, 3]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: 64

get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
allowed_special: 'all'
"""
UP_BLOCKS = 2  # conformer layers after the upsample; the YAML does not say it, the checkpoint does


def qwen2(text_vocab: int) -> dict:
    """`CosyVoice-BlankEN/config.json`."""
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 128, "intermediate_size": 256,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-06, "max_position_embeddings": MAX_POSITIONS, "vocab_size": text_vocab,
        "tie_word_embeddings": True,
    }


def write(folder: Path, text_vocab: int) -> None:
    """Both configuration files of a model folder."""
    import json

    qwen = folder / configuration.QWEN_FOLDER
    qwen.mkdir(parents=True, exist_ok=True)
    (qwen / "config.json").write_text(json.dumps(qwen2(text_vocab), indent=2) + "\n", encoding="utf-8")
    (folder / configuration.FAMILY_FILES["cosyvoice2"]).write_text(YAML, encoding="utf-8")


def load(text_vocab: int = 1024) -> configuration.ModelConfig:
    """The configuration as the exporter will read it."""
    depth = {f"encoder.up_encoders.{UP_BLOCKS - 1}.": ()}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), text_vocab)
        return configuration.load(Path(folder), {"flow": depth})


__all__ = ["load", "write", "preflight"]
