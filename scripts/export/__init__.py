"""Exports a CosyVoice checkpoint to a bundle: ONNX graphs, tables, tokenizer, voices and the manifest.

The contract of a bundle is `onnx/README.md`. The modules here carry the parameter names of the checkpoints, so the
same classes say what a checkpoint must hold (`preflight`) and compute what the graphs compute (`graphs`).
"""
