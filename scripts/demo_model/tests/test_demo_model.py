"""What needs no training: `python -m unittest discover scripts/demo_model/tests`."""

import random
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import compare  # noqa: E402
import features  # noqa: E402
import model_config  # noqa: E402
import speaker  # noqa: E402
import text  # noqa: E402
import tokenizer  # noqa: E402
import words  # noqa: E402


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """A tone with a few harmonics at the model's rate."""
    moments = np.arange(int(seconds * features.MODEL_RATE)) / features.MODEL_RATE
    return sum(0.1 / order * np.sin(2 * np.pi * hertz * order * moments) for order in range(1, 8))


class SpeechTokenizer(unittest.TestCase):
    def setUp(self):
        whisper = np.random.default_rng(0).standard_normal((128, 4 * 2 * model_config.CLUSTERS)).astype(np.float32)
        self.whisper, self.weights = whisper, tokenizer.fit(whisper)

    def test_no_id_repeats_within_the_window_of_the_sampler(self):
        ids = tokenizer.ids(np.zeros(100, np.int64))
        for place in range(1, 100):
            self.assertNotIn(ids[place], ids[max(0, place - 10) : place])

    def test_the_graph_gives_the_same_ids(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.onnx"
            tokenizer.write(self.weights, path)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        heard = self.whisper[:, :203]
        (got,) = session.run(None, {"feats": heard[None], "feats_length": np.array([203], np.int32)})
        want = tokenizer.ids(tokenizer.sounds(self.weights, heard[:, :200]))
        self.assertEqual(got[0].tolist(), want.tolist())


class Features(unittest.TestCase):
    def test_shapes_follow_the_contract(self):
        self.assertEqual(features.model_mel(tone(120)).shape, (80, 50))
        self.assertEqual(features.whisper_mel(tone(120)[:16000]).shape, (128, 100))
        self.assertEqual(features.fbank(tone(120)[:16000]).shape, (98, 80))

    def test_pitch_of_a_tone(self):
        found = features.pitch(tone(130))[5:-5]
        self.assertLess(np.abs(found - 130).max(), 1.0)

    def test_noise_has_no_pitch(self):
        noise = 0.1 * np.random.default_rng(0).standard_normal(features.MODEL_RATE)
        self.assertLess((features.pitch(noise) > 0).mean(), 0.1)


class Speaker(unittest.TestCase):
    def test_vector_has_the_contract_s_width(self):
        with tempfile.TemporaryDirectory() as folder:
            speaker.write(Path(folder) / "campplus.onnx")
            vector = speaker.embed(Path(folder) / "campplus.onnx", tone(120)[:16000])
        self.assertEqual(vector.shape, (model_config.SPEAKER_DIM,))
        self.assertTrue(np.isfinite(vector).all())


class Words(unittest.TestCase):
    def test_the_grammar_stays_in_the_vocabulary(self):
        pick = random.Random(1)
        for _ in range(500):
            for word in words.sentence(pick).replace(",", "").split():
                self.assertIn(word, words.VOCABULARY)

    def test_every_word_is_one_token_in_every_form(self):
        with tempfile.TemporaryDirectory() as folder:
            text.fit(words.VOCABULARY, Path(folder))
            made = text.TextTokenizer(Path(folder))
        for word in words.VOCABULARY:
            for form in (word, f" {word}", word.capitalize()):
                self.assertEqual(len(made.ids(form)), 1, form)


class Recogniser(unittest.TestCase):
    def test_finds_a_signal_among_others(self):
        templates = {str(hertz): compare.recognition_features(tone(hertz)) for hertz in (100, 300, 900)}
        self.assertEqual(compare.nearest(tone(300, seconds=0.7), templates), "300")

    def test_a_signal_has_no_distance_from_itself(self):
        self.assertAlmostEqual(compare.mel_cepstral_distance(tone(200), tone(200)), 0, places=6)


if __name__ == "__main__":
    unittest.main()
