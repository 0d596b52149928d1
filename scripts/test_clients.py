"""The official OpenAI client, and CosyVoice's way of asking, against a running server.

usage: test_clients.py URL SECONDS_OF_LOAD
"""

import json
import pathlib
import socket
import sys
import threading
import time

import openai
import requests

CLIENTS = 16
TEXT = "The morning train leaves at half past seven."
SHORT_TEXT = "Good morning."
LONG_TEXT = " ".join([TEXT] * 3)
PROMPT = pathlib.Path(__file__).parent.parent / "tests/data/goldens/frontend/a_24k.wav"
MAGIC = {"mp3": b"\xff", "wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS"}


def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600)


def formats(url):
    speech = client(url).audio.speech
    for name, magic in MAGIC.items():
        whole = speech.create(model="default", voice="default", input=TEXT, response_format=name)
        assert whole.content.startswith(magic), name
        print(f"{name}: {len(whole.content)} bytes, {whole.response.headers['content-type']}")
    usual = speech.create(model="default", voice="default", input=TEXT)
    assert usual.response.headers["content-type"] == "audio/mpeg", "mp3 where nothing is asked for"


def streaming(url):
    arguments = dict(model="default", voice="default", input=TEXT, response_format="pcm")
    speech = client(url).audio.speech
    whole = speech.create(**arguments).content
    with speech.with_streaming_response.create(**arguments, stream_format="audio") as answer:
        assert b"".join(answer.iter_bytes()) == whole, "the stream is the whole in pieces"
    with speech.with_streaming_response.create(**arguments, stream_format="sse") as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert '"speech.audio.done"' in events[-1], events[-1]
    print(f"streaming: {len(whole)} bytes, {len(events)} events")


def errors(url):
    speech = client(url).audio.speech
    for wrong, kind in [
        (dict(model="no-such", voice="default", input=TEXT), openai.NotFoundError),
        (dict(model="default", voice="no-such", input=TEXT), openai.BadRequestError),
        (dict(model="default", voice="default", input=""), openai.BadRequestError),
        (dict(model="default", voice="default", input="a" * 5000), openai.APIStatusError),
    ]:
        try:
            speech.create(**wrong)
        except kind as error:
            assert error.body["message"] and error.body["param"], error.body
        else:
            raise AssertionError(f"{kind.__name__} was expected")
    names = [model.id for model in client(url).models.list()]
    print(f"errors: as the client knows them; models: {', '.join(names)}")


def cosyvoice(url):
    """As runtime/python/fastapi/client.py of CosyVoice asks: a form with GET, the prompt as a file without a type."""

    def ask(mode, fields, prompt=None, method="GET"):
        files = [("prompt_wav", ("prompt_wav", prompt, "application/octet-stream"))] if prompt else None
        answer = requests.request(method, f"{url}/inference_{mode}", data=fields, files=files, stream=True, timeout=120)
        answer.raise_for_status()
        return b"".join(answer.iter_content(chunk_size=16000))

    def same_whatever_the_method(mode, fields, prompt=None):
        streams = [ask(mode, fields, prompt, method) for method in ("GET", "POST")]
        assert streams[0] == streams[1] and len(streams[0]) > 1000, mode
        return streams[0]

    prompt = PROMPT.read_bytes()
    sizes = {
        "sft": len(same_whatever_the_method("sft", {"tts_text": TEXT, "spk_id": "default"})),
        "cross_lingual": len(same_whatever_the_method("cross_lingual", {"tts_text": TEXT}, prompt)),
        "instruct2": len(same_whatever_the_method("instruct2", {"tts_text": TEXT, "instruct_text": "Softly."}, prompt)),
    }
    fields = {"tts_text": TEXT, "prompt_text": "A tone."}
    sent_along = same_whatever_the_method("zero_shot", fields, prompt)
    voice = {"name": "tone", "transcript": "A tone."}
    requests.post(f"{url}/v1/audio/voices", data=voice, files={"file": prompt}, timeout=120).raise_for_status()
    assert ask("zero_shot", {"tts_text": TEXT, "spk_id": "tone"}) == sent_along, "a stored voice is the prompt it was made of"
    requests.delete(f"{url}/v1/audio/voices/tone", timeout=10).raise_for_status()
    whole = ask("zero_shot", {**fields, "format": "wav", "enable_smart_split": "False", "max_text_length": "50"}, prompt)
    assert whole.startswith(b"RIFF")
    print(f"CosyVoice's own API: {sizes}, zero_shot {len(sent_along)} bytes, sent along or stored")


def cancelling(url):
    """A client that goes frees its place at once, although its text would keep the lane busy for long."""
    began = time.monotonic()
    speak(url, 0, LONG_TEXT)
    whole = time.monotonic() - began
    slowest = 0.0
    for seed in range(5):
        thread = threading.Thread(target=give_up, args=(url, seed))
        thread.start()
        thread.join()
        began = time.monotonic()
        while running(url):
            assert time.monotonic() - began < whole / 2, "the place is still taken"
        slowest = max(slowest, time.monotonic() - began)
    print(f"cancelling: the text takes {whole:.2f} s, a client that goes is forgotten within {slowest * 1000:.0f} ms")


def give_up(url, seed):
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"input": LONG_TEXT, "seed": seed, "response_format": "pcm"}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        while not running(url):
            pass


def running(url):
    return requests.get(f"{url}/performance_info", timeout=10).json()["models"][0]["load"]["running"]


def crowd(url):
    """More clients at once than there are places: some are served, the others are told when to come back."""
    answers = []

    def ask(seed):
        try:
            answers.append(len(speak(url, seed)) > 0)
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) >= 1
            answers.append(None)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served, refused = answers.count(True), answers.count(None)
    assert served + refused == 40 and served >= 20 and refused > 0, answers
    print(f"a crowd of 40: {served} served, {refused} refused with 429")


def speak(url, seed, text=SHORT_TEXT):
    return client(url).audio.speech.create(
        model="default", voice="default", input=text, response_format="pcm", extra_body={"seed": seed}
    ).content


def load(url, seconds):
    alone = [speak(url, seed) for seed in range(CLIENTS)]
    spoken, refused, wrong = [0] * CLIENTS, [0] * CLIENTS, []
    end = time.monotonic() + seconds

    def run(seed):
        while time.monotonic() < end:
            try:
                same = speak(url, seed) == alone[seed]
            except openai.RateLimitError as error:
                refused[seed] += 1
                time.sleep(float(error.response.headers["retry-after"]))
                continue
            except Exception as error:
                wrong.append(f"client {seed}: {error!r}")
                return
            spoken[seed] += 1
            if not same:
                wrong.append(f"client {seed}: other samples than alone")

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert all(spoken), f"every client is served: {spoken}"
    print(f"{CLIENTS} clients, {seconds} s: {sum(spoken)} equal to their solo run, {sum(refused)} refused with 429")


def main():
    url, seconds = sys.argv[1], float(sys.argv[2])
    formats(url)
    streaming(url)
    errors(url)
    cosyvoice(url)
    cancelling(url)
    crowd(url)
    load(url, seconds)


if __name__ == "__main__":
    main()
