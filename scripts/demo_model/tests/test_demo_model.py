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
from composer import Composer, Forms, Sequences  # noqa: E402
from sentences import Spoken  # noqa: E402


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    """A tone with a few harmonics at the model's rate."""
    moments = np.arange(int(seconds * features.MODEL_RATE)) / features.MODEL_RATE
    return sum(0.1 / order * np.sin(2 * np.pi * hertz * order * moments) for order in range(1, 8))


class SpeechTokenizer(unittest.TestCase):
    def setUp(self):
        whisper = np.random.default_rng(0).standard_normal((128, 4 * 2 * model_config.CLUSTERS)).astype(np.float32)
        whisper[:, np.arange(whisper.shape[1]) // 4 % 9 < 2] -= 1  # two silent tokens in nine
        self.whisper, self.weights = whisper, tokenizer.fit(whisper)

    def test_a_turn_is_the_place_in_a_word(self):
        silent, last = np.array([True, False]), model_config.TURNS - 1
        for clusters, turns in (
            ([0, 0, 1, 1, 0, 1], [last, last, 0, 1, 2, 3]),  # a stop of one silent token is within the word
            ([0, 0, 1, 0, 0, 1, 1], [last, last, 0, 1, 2, 0, 1]),
            ([1, *[1] * last, 1, 0, 0, 1], [*range(last), last, last, last, last, 0]),
        ):
            self.assertEqual(tokenizer.turns(np.array(clusters), silent).tolist(), turns)

    def test_the_graph_gives_the_same_ids(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.onnx"
            tokenizer.write(self.weights, path)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        heard = self.whisper[:, :203]
        (got,) = session.run(None, {"feats": heard[None], "feats_length": np.array([203], np.int32)})
        want = tokenizer.ids(tokenizer.sounds(self.weights, heard[:, :200]), self.weights["silent"])
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


class Sentences(unittest.TestCase):
    """Two sentences of two and three words; sound 0 is silence and 1 is not."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        text.fit(words.VOCABULARY, Path(folder.name))
        self.tokenizer = text.TextTokenizer(Path(folder.name))
        self.forms = Forms(self.tokenizer)
        known = [
            Spoken("the cat", np.array([0, 0, 1, 1, 0, 0, 1, 0, 0, 0]), np.array([2, 6])),
            Spoken("cat, the cat", np.array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]), np.array([2, 7, 10])),
        ]
        self.composer = Composer(known, self.tokenizer, self.forms, np.array([True, False]), seed=1)

    def test_forms_of_a_word_share_it(self):
        plain = self.tokenizer.ids(" cat")[0]
        for form, written in enumerate((" cat", "cat", " Cat", "Cat")):
            number = self.tokenizer.ids(written)[0]
            self.assertEqual((self.forms.word[number].item(), self.forms.form[number].item()), (plain, form), written)

    def test_every_speech_token_points_at_its_word(self):
        for batch in self.composer.batches(longest=4):
            kind, number, word = (table.numpy() for table in (batch.kind, batch.id, batch.word))
            for row in range(len(kind)):
                speech = kind[row] == Sequences.SPEECH
                begins = np.flatnonzero(speech & (number[row] % model_config.TURNS == 0))
                texts = [place for place in np.flatnonzero(kind[row] == Sequences.TEXT)
                         if self.forms.is_word[number[row, place]]]
                self.assertEqual(word[row, begins].tolist(), texts)
                self.assertTrue((np.diff(word[row, speech]) >= 0).all())


class Recogniser(unittest.TestCase):
    def test_counts_wrong_words(self):
        said = "the cat sees a dog".split()
        for heard, wrong in ((said, 0), (said[1:], 1), ([*said, "yes"], 1), (["a", *said[2:]], 2), ([], 5)):
            self.assertEqual(compare.edits(said, heard), wrong, heard)

    def test_finds_a_signal_among_others(self):
        templates = {str(hertz): compare.recognition_features(tone(hertz)) for hertz in (100, 300, 900)}
        self.assertEqual(compare.nearest(tone(300, seconds=0.7), templates), "300")

    def test_a_signal_has_no_distance_from_itself(self):
        self.assertAlmostEqual(compare.mel_cepstral_distance(tone(200), tone(200)), 0, places=6)


if __name__ == "__main__":
    unittest.main()
