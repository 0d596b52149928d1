"""What is spoken when stages are timed: 5 s of audio behind a prompt of 3 s, by `bench_peer.py` and `gpu_check.py`."""

from pathlib import Path

SPEECH_TOKENS = 125
STAGE_GRAPHS = {
    "prefill": ["llm"],
    "decode step": ["llm"],
    "flow": ["flow_encoder", "flow_estimator"],
    "vocoder": ["hift_f0", "hift_decode"],
}
VOICE = "prompted"
# Long enough that no stop is allowed before the limit, and each its own segment; the first one warms up.
SENTENCES = [
    "the morning train leaves the old station at half past seven every day.",
    "she opened the window because the room was warm and read her letters.",
]


def positions(bundle: Path) -> int:
    """Of the second sentence's prompt: a mark, transcript and text, a second mark, the prompt's tokens."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    with safe_open(bundle / "voices" / f"{VOICE}.safetensors", "np") as voice:
        prompt, transcript = len(voice.get_tensor("prompt_token")), voice.metadata()["transcript"]
    return 2 + len(tokenizer.encode(transcript).ids) + len(tokenizer.encode(SENTENCES[1]).ids) + prompt


def stage_times(spoken: dict) -> dict[str, float]:
    """Milliseconds per stage of the second sentence, from what `cvtrt synth --json` says."""
    segments = spoken["segments"]
    if [len(segment["tokens"]) for segment in segments] != [SPEECH_TOKENS] * len(SENTENCES):
        raise ValueError(f"the sentences do not have {SPEECH_TOKENS} tokens each")
    times = segments[1]["times"]
    return {
        "prefill": times["prefill"]["wall_ms"],
        "decode step": times["decode"]["wall_ms"] / times["decode"]["runs"],
        "flow": times["encode"]["wall_ms"] + times["flow"]["wall_ms"],
        "vocoder": times["pitch"]["wall_ms"] + times["source_ms"] + times["vocode"]["wall_ms"],
    }


def stage_precisions(spoken: dict) -> dict[str, str]:
    """In which precisions the graphs of each stage were served."""
    served = {graph["graph"]: graph["precision"] for graph in spoken["served"]}
    return {stage: "/".join(dict.fromkeys(served[graph] for graph in graphs)) for stage, graphs in STAGE_GRAPHS.items()}
