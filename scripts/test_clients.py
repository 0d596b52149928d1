"""The official OpenAI client, and CosyVoice's way of asking, against a running server.

usage: test_clients.py URL SECONDS_OF_LOAD
"""

import sys
import threading
import time

import openai
import requests

CLIENTS = 16
TEXT = "The morning train leaves at half past seven."
MAGIC = {"mp3": b"\xff", "wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS"}


def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)


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
    fields = {"tts_text": TEXT, "spk_id": "default"}
    streams = [
        b"".join(requests.request(method, f"{url}/inference_sft", data=fields, stream=True, timeout=120).iter_content(16000))
        for method in ("GET", "POST")
    ]
    assert streams[0] == streams[1] and len(streams[0]) > 1000
    print(f"CosyVoice's own API: {len(streams[0])} bytes")


def speak(url, seed):
    return client(url).audio.speech.create(
        model="default", voice="default", input=TEXT, response_format="pcm", extra_body={"seed": seed}
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
    load(url, seconds)


if __name__ == "__main__":
    main()
