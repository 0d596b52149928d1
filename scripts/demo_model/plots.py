"""Pictures: `plots.py losses STATES OUT.png` and `plots.py speech BUNDLE OUT.png [TEXT]`."""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import corpus  # noqa: E402
import features  # noqa: E402

SENTENCE = "Hello world, the small engine speaks with a clear voice."
RUNS = ("hift", "f0", "flow", "llm")
SMOOTHED = 0.1  # share of the reports averaged in a point of a curve


def losses(states: Path, out: Path) -> None:
    """One panel per training, over its minutes."""
    figure, panels = plt.subplots(1, len(RUNS), figsize=(3 * len(RUNS), 2.6), layout="constrained")
    for name, panel in zip(RUNS, panels):
        with (states / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        minutes = [float(row["minutes"]) for row in rows]
        for loss in (key for key in rows[0] if key not in ("step", "minutes", "rate")):
            values = np.array([float(row[loss]) for row in rows])
            width = max(1, round(SMOOTHED * len(values)))
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            panel.plot(minutes[width - 1 :], smooth, label=loss)
        panel.set(title=f"{name}, {rows[-1]['step']} steps", xlabel="minutes", yscale="log")
        panel.legend(fontsize=7)
    figure.savefig(out, dpi=70)


def speech(bundle_folder: Path, out: Path, text: str) -> None:
    """Log-mel and pitch of espeak-ng's rendering above those of the bundle's."""
    from inference import Bundle

    bundle = Bundle(bundle_folder)
    spoken = text.rstrip(".").lower()
    pictures = {
        "espeak-ng": corpus.render(spoken).at_24k,
        "from text, without a prompt": bundle.speak(text, bundle.voice("espeak")),
        "from text, with a prompt": bundle.speak(text, bundle.voice("espeak-prompt")),
    }
    figure, panels = plt.subplots(len(pictures), 1, figsize=(9, 2 * len(pictures)), layout="constrained")
    for (name, samples), panel in zip(pictures.items(), panels):
        mel = features.model_mel(samples)
        seconds = mel.shape[1] * features.HOP / features.MODEL_RATE
        panel.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=-9, vmax=1.5, extent=(0, seconds, 0, 80))
        pitch = features.pitch(samples)
        moments = (np.arange(len(pitch)) + 0.5) * features.HOP / features.MODEL_RATE
        scale = panel.twinx()
        scale.plot(moments[pitch > 0], pitch[pitch > 0], ".", color="cyan", markersize=2)
        scale.set(ylim=(0, 300), ylabel="F0, Hz")
        panel.set(title=name, ylabel="mel bin")
    panels[-1].set(xlabel="seconds")
    figure.suptitle(text)
    figure.savefig(out, dpi=75)
    Image.open(out).convert("RGB").quantize(48).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("losses", "speech"):
        chosen = kinds.add_parser(kind)
        chosen.add_argument("folder", type=Path)
        chosen.add_argument("out", type=Path)
        if kind == "speech":
            chosen.add_argument("text", nargs="?", default=SENTENCE)
    options = parser.parse_args()
    if options.kind == "losses":
        losses(options.folder, options.out)
    else:
        speech(options.folder, options.out, options.text)


if __name__ == "__main__":
    main()
