"""What one request holds, what a server finds too large, and long waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_openai import embeddings_server, sent_texts, vector_of
from loopback import Loopback, Reply, Request, json_reply, serving
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.cached_embedder import CachedEmbedder
from screader_lib.genes.providers.cost import estimate
from screader_lib.genes.providers.openai import Limits, OpenAIEmbeddings
from screader_lib.genes.providers.request_batches import LONGEST, packed, shortened
from screader_lib.genes.services import waiting
from screader_lib.genes.services.cache import DiskCache
from screader_lib.reporting import SILENT


def provider(server: Loopback, concurrent: int = 1, **settings: Any) -> OpenAIEmbeddings:
    settings = {"attempts": 3, "first_pause": 0.01, "timeout": 5.0} | settings
    limits = Limits(1e6, 1e9, concurrent)
    return OpenAIEmbeddings(base_url=server.url, limits=limits, **settings)


@pytest.mark.parametrize(
    ("texts", "together", "sizes"),
    [
        pytest.param(["a"] * 5_000, 1, [2_048, 2_048, 904], id="inputs"),
        pytest.param(["a"] * 5_000, 4, [512] * 9 + [392], id="inputs-of-four-at-a-time"),
        pytest.param(["é" * 5_000] * 40, 1, [30, 10], id="bytes"),
        pytest.param(["x" * 9_000] * 40, 8, [12, 12, 12, 4], id="tokens-of-eight-at-a-time"),
        pytest.param(["x" * 99_999] * 3, 64, [1, 1, 1], id="one-at-least"),
        pytest.param([], 4, [], id="none"),
    ],
)
def test_packing(texts: list[str], together: int, sizes: list[int]) -> None:
    packs = list(packed(texts, together))
    assert [len(rows) for rows in packs] == sizes
    assert [row for rows in packs for row in rows] == list(range(len(texts)))


def test_no_request_can_have_too_many_tokens() -> None:
    texts = ["\U0001f9ec" * length for length in range(0, 6_000, 50)]  # 4 bytes, maybe 4 tokens
    for rows in packed(texts):
        assert sum(len(shortened(texts[row]).encode()) for row in rows) <= 300_000


def test_texts_are_cut_after_a_whole_character() -> None:
    assert shortened("é" * 30_000) == "é" * (LONGEST // 2)


def test_estimates_cap_a_text_at_what_is_sent() -> None:
    with serving(embeddings_server) as server:
        told = estimate(provider(server), ["x" * 10**6, "y"], None)
    assert told.tokens == 8_192 + 1


def test_a_local_model_costs_nothing_whatever_the_price() -> None:
    class Local(OpenAIEmbeddings.__base__):  # type: ignore[name-defined,misc]
        provider, model = "packaged", "m"

        def embed(self, *_: Any) -> np.ndarray:
            raise AssertionError

    assert estimate(Local(), ["a"], 5.0).dollars == 0.0


def answers_up_to(most: int, status: int, message: str) -> Any:
    """A server that takes texts of ``most`` letters (its tokens), and says so otherwise."""

    def answer(request: Request) -> Reply:
        longest = max(map(len, request.json["input"]))
        if longest > most:
            said = message.format(most=most, longest=longest)
            return json_reply({"error": {"message": said}}, status=status)
        return embeddings_server(request)

    return answer


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(
            400,
            "This model's maximum context length is {most} tokens, however you requested "
            "{longest} tokens ({longest} in your prompt). Please reduce your prompt.",
            id="openai",
        ),
        pytest.param(400, "Invalid 'input': the text is too long.", id="no-numbers"),
        pytest.param(413, "`inputs` must have less than {most} tokens. Given: {longest}", id="tei"),
        pytest.param(422, "maximum allowed batch tokens is {most}", id="422"),
    ],
)
def test_what_is_too_long_is_cut_and_told(tmp_path: Path, status: int, message: str) -> None:
    texts = [f"text {number}" for number in range(20)]
    texts[7] = "z" * 20_000
    told = RecordingReporter()
    with serving(answers_up_to(8_192, status, message)) as server:
        made = CachedEmbedder(provider(server, 2), DiskCache(tmp_path / "e"))
        vectors = made.embed(texts, told)
        sent = {text for text in sent_texts(server.requests) if set(text) == {"z"}}
        server.requests.clear()
        assert np.array_equal(made.embed(texts, SILENT), vectors) and not server.requests
    cut = [text for text in sent if len(text) <= 8_192]
    assert len(cut) == 1 and len(cut[0]) > 5_000
    assert np.array_equal(vectors[7], vector_of(cut[0]))
    assert np.array_equal(vectors[[0, 19]], [vector_of("text 0"), vector_of("text 19")])
    assert "1 texts were longer than the model takes and were cut." in told.messages


def test_batches_that_are_too_large_are_halved() -> None:
    def answer(request: Request) -> Reply:
        size = len(request.json["input"])
        if size > 32:
            said = f"batch size {size} > maximum allowed batch size 32"
            return json_reply({"error": said}, status=422)
        return embeddings_server(request)

    texts = [f"text {number}" for number in range(100)]
    told = RecordingReporter()
    with serving(answer) as server:
        vectors = provider(server).embed(texts, told)
    assert np.array_equal(vectors, np.stack([vector_of(text) for text in texts]))
    assert not told.messages


def test_other_refusals_are_not_tried_in_halves() -> None:
    with (
        serving(lambda _: Reply(b'{"error": "no such model"}', status=400)) as server,
        pytest.raises(ScReaderError, match="no such model"),
    ):
        provider(server).embed(["a", "b"], SILENT)
    assert len(server.requests) == 1


def test_a_server_that_takes_nothing_ends_in_one_line() -> None:
    with serving(lambda _: Reply(b"context length", status=400)) as server:
        with pytest.raises(ScReaderError, match=r"status 400 \(context length\)"):
            provider(server).embed(["a" * 200, "b"], SILENT)
        assert len(server.requests) < 10


def test_no_quota_is_not_waited_for() -> None:
    said = {"error": {"message": "x" * 300, "code": "insufficient_quota"}}
    with serving(lambda _: json_reply(said, status=429)) as server:
        with pytest.raises(ScReaderError, match="no quota left"):
            provider(server).embed(["a"], SILENT)
        assert len(server.requests) == 1


def test_what_came_is_kept_though_another_request_hangs(tmp_path: Path) -> None:
    """Vectors are on disk before anyone collects them, and while the others are under way."""
    texts = [f"text {number}" for number in range(2_048)]
    arrived, release = threading.Event(), threading.Event()

    def answer(request: Request) -> Reply:
        if "text 0" in request.json["input"]:
            arrived.set()
            release.wait(20)
        return embeddings_server(request)

    with serving(answer) as server:
        made = CachedEmbedder(provider(server, 2, timeout=30.0), DiskCache(tmp_path / "e"))
        work = threading.Thread(target=made.embed, args=(texts, SILENT))
        work.start()
        assert arrived.wait(10)
        other = CachedEmbedder(made.embedder, DiskCache(tmp_path / "e"))
        for _ in range(200):
            lacking = other.lacking(texts)
            if len(lacking) < len(texts):
                break
            release.wait(0.05)
        release.set()
        work.join()
    assert lacking == texts[:1_024]


def test_a_long_wait_is_told_and_an_absurd_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    told = RecordingReporter()
    with serving(embeddings_server) as server:
        server.faults = [Reply(b"", status=429, headers={"Retry-After": "240"})]
        made = provider(server, reporter=told)
        monkeypatch.setattr(made.server.stopped, "wait", slept.append)
        made.embed(["a"], SILENT)
        assert slept == [240]
        assert told.messages == [
            "the embedding server: answered with HTTP status 429; trying again in 240.0 s."
        ]
        server.faults = [Reply(b"", status=503, headers={"Retry-After": "86400"})]
        with pytest.raises(ScReaderError, match="come back in 86,400 seconds"):
            provider(server).embed(["b"], SILENT)


def test_who_stops_does_not_wait_for_others_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control-C while a thread keeps to a server's Retry-After."""

    def answer(request: Request) -> Reply:
        if "text 0" in request.json["input"]:
            return Reply(b"", status=429, headers={"Retry-After": "300"})
        return embeddings_server(request)

    class Interrupted(RecordingReporter):
        @contextmanager
        def progress(self, *_: Any) -> Iterator[Any]:
            def advance(_: int) -> None:
                raise KeyboardInterrupt

            yield advance

    with serving(answer) as server, pytest.raises(KeyboardInterrupt):
        provider(server, 2).embed([f"text {number}" for number in range(2_048)], Interrupted())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float) -> None:
    assert waiting.retry_after(headers) == seconds
