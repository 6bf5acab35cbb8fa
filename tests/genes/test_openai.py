"""OpenAI-like servers on loopback: batches, faults, truncation, cache, cost, secrets, waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_openai import embeddings_server, sent_texts, vector_of
from loopback import HTML, FakeClock, Loopback, Reply, Request, json_reply, serving
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers import openai
from screader_lib.genes.providers.embedder import CachedEmbedder
from screader_lib.genes.providers.openai import (
    MAX_BYTES,
    OpenAIEmbeddings,
    RateLimits,
    check_cost,
    estimate,
    parse_answer,
    request_batches,
    truncated,
)
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.service import BadAnswer, retry_after
from screader_lib.reporting import SILENT

KEY = "sk-planted-0123456789"
TEXTS = [f"text {number}" for number in range(50)]
VECTORS = np.stack([vector_of(text) for text in TEXTS])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def provider(server: Loopback, concurrent: int = 4, **settings: Any) -> OpenAIEmbeddings:
    limits = RateLimits(1e6, 1e9, concurrent)
    settings = {"limits": limits, "attempts": 3, "first_pause": 0.01, "timeout": 20.0} | settings
    return OpenAIEmbeddings(base_url=server.url, **settings)


def cached(server: Loopback, folder: Path, *args: Any, **settings: Any) -> CachedEmbedder:
    return CachedEmbedder(provider(server, *args, **settings), DiskCache(folder / "e"))


@pytest.mark.parametrize(
    ("texts", "concurrent", "sizes"),
    [
        (["a"] * 5_000, 4, [512] * 9 + [392]),
        (["é" * 5_000] * 40, 1, [30, 10]),
        (["x" * 9_000] * 40, 8, [12, 12, 12, 4]),
        (["x" * 99_999] * 3, 64, [1, 1, 1]),
    ],
    ids=["inputs", "bytes", "tokens", "one-at-least"],
)
def test_request_batches(texts: list[str], concurrent: int, sizes: list[int]) -> None:
    batches = list(request_batches(texts, concurrent))
    assert [len(rows) for rows in batches] == sizes
    assert [row for rows in batches for row in rows] == list(range(len(texts)))


def test_no_request_can_have_too_many_tokens() -> None:
    texts = ["\U0001f9ec" * length for length in range(0, 6_000, 50)]  # 4 bytes, maybe 4 tokens
    for rows in request_batches(texts):
        assert sum(len(truncated(texts[row]).encode()) for row in rows) <= 300_000
    assert truncated("é" * 30_000) == "é" * (MAX_BYTES // 2)


def test_vectors_in_the_order_of_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "INPUTS_PER_REQUEST", 28)  # 7 for each of 4 at a time
    with serving(embeddings_server) as server:
        made = provider(server)
        assert np.array_equal(made.embed(TEXTS, SILENT), VECTORS)
        assert made.tokens_spent == 7 * len(TEXTS)
        assert len(server.requests) == 8
        request = server.requests[0]
        assert request.json["model"] == "text-embedding-ada-002"
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert request.headers["User-Agent"].startswith("OpenAI/Python")
        assert "dimensions" not in request.json
        assert provider(server, dimensions=3).embed(TEXTS[:2], SILENT).shape == (2, 3)


def test_base64_and_floats_are_read_alike() -> None:
    vector = b'{"data":[{"index":0,"embedding":[1.0,2.0]}],"usage":{"prompt_tokens":3}}'
    coded = b'{"data":[{"index":0,"embedding":"AACAPwAAAEA="}]}'
    assert parse_answer(vector, 1)[0].tolist() == parse_answer(coded, 1)[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[]}',
        b'{"data":[{"index":1,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[NaN]}]}',
        b'{"data":[{"index":0,"embedding":"?"}]}',
        b'{"data":[{"index":0,"embedding":[]}]}',
        b"[]",
    ],
)
def test_unusable_answers(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(body, 1)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Reply(b"", status=429, headers={"Retry-After": "0"}), "429"),
        (Reply(b"", status=503), "503"),
        (HTML, "HTML page"),
        (Reply(b"y" * 99, cut=True), "cut"),
        (json_reply({"data": []}), "0 vectors instead of 50"),
    ],
)
def test_faults(fault: Reply, message: str) -> None:
    with serving(embeddings_server) as server:
        server.faults = [fault, fault]
        assert np.array_equal(provider(server).embed(TEXTS, SILENT), VECTORS)
        server.faults = [fault] * 3
        with pytest.raises(ScReaderError, match=message):
            provider(server).embed(TEXTS, SILENT)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(f"Incorrect API key provided: {KEY[:5]}***".encode(), status=401), "status 401"),
        (Reply(b'{"error": "no such model"}', status=400), "no such model"),
        (json_reply({"error": {"code": "insufficient_quota"}}, status=429), "quota is used up"),
    ],
)
def test_final_refusals_are_not_retried(reply: Reply, message: str) -> None:
    with serving(lambda _: reply) as server:
        with pytest.raises(ScReaderError, match=message) as caught:
            provider(server).embed(["a", "b"], SILENT)
        assert len(server.requests) == 1 and "sk-" not in str(caught.value)


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI itself needs one, an estimate and other servers do not."""
    with pytest.raises(ScReaderError, match="SCREADER_OFFLINE is set"):
        OpenAIEmbeddings().embed(TEXTS, SILENT)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert estimate(OpenAIEmbeddings(), TEXTS, None).new == len(TEXTS)
    with pytest.raises(ScReaderError, match="OPENAI_API_KEY is not set"):
        OpenAIEmbeddings().embed(TEXTS, SILENT)
    with serving(embeddings_server) as server:
        provider(server).embed(TEXTS, SILENT)
        assert server.requests[0].headers["Authorization"] is None


def test_only_what_is_not_cached_is_sent(tmp_path: Path) -> None:
    with serving(embeddings_server) as server, serving(embeddings_server) as other_server:
        made = cached(server, tmp_path)
        assert np.array_equal(made.embed(TEXTS, SILENT), VECTORS)
        server.requests.clear()
        assert np.array_equal(made.embed(TEXTS, SILENT), VECTORS)
        assert not server.requests
        changed = [*TEXTS[:10], "changed", *TEXTS[11:]]
        assert np.array_equal(made.embed(changed, SILENT)[10], vector_of("changed"))
        assert sent_texts(server.requests) == ["changed"]
        for where, settings in ((server, {"dimensions": 3}), (other_server, {})):
            where.requests.clear()
            cached(where, tmp_path, **settings).embed(TEXTS[:1], SILENT)
            assert sent_texts(where.requests) == TEXTS[:1]


def test_requests_and_retries_keep_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "INPUTS_PER_REQUEST", 1)
    with serving(embeddings_server) as server:
        server.faults = [Reply(b"", status=503, headers={"retry-after-ms": "1"})] * 5
        made = provider(server, limits=RateLimits(60 * 5, 1e9, 8), attempts=6)
        made.server.pace.clock = clock = FakeClock()
        made.embed(TEXTS[:8], SILENT)
        assert len(clock.starts) == len(server.requests) == 13
        assert clock.most_in_a_second() <= 5


def test_cost_before_anything_is_spent(tmp_path: Path) -> None:
    with serving(embeddings_server) as server:
        made = cached(server, tmp_path)
        made.embed(TEXTS[:20], SILENT)
        server.requests.clear()
        cost = estimate(made, TEXTS, None)
        assert (cost.texts, cost.new, cost.requests) == (50, 30, 1)
        assert cost.dollars == pytest.approx(cost.tokens * 1e-7)
        assert "30 to embed" in str(cost) and "$" in str(cost)
        with pytest.raises(ScReaderError, match="more than --max-cost"):
            check_cost(cost, 1e-6)
        with pytest.raises(ScReaderError, match="--price"):
            check_cost(estimate(provider(server, model="mine"), TEXTS, None), 1.0)
        assert estimate(provider(server), ["x" * 10**6, "y"], None).tokens == 8_192 + 1
        assert not server.requests


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "maximum context length is {max} tokens, however you requested {length} tokens"),
        (400, "Invalid 'input': the text is too long."),
        (413, "`inputs` must have less than {max} tokens. Given: {length}"),
        (422, "maximum allowed batch tokens is {max}"),
    ],
)
def test_long_texts_are_truncated_and_reported(tmp_path: Path, status: int, message: str) -> None:
    """By a server that takes texts of 8,192 letters (its tokens) and refuses others."""

    def answer(request: Request) -> Reply:
        length = max(map(len, request.json["input"]))
        if length > 8_192:
            error = message.format(max=8_192, length=length)
            return json_reply({"error": {"message": error}}, status=status)
        return embeddings_server(request)

    texts = [*TEXTS[:7], "z" * 20_000, *TEXTS[8:20]]
    reporter = RecordingReporter()
    with serving(answer) as server:
        made = cached(server, tmp_path, 2)
        vectors = made.embed(texts, reporter)
        sent = {text for text in sent_texts(server.requests) if set(text) == {"z"}}
        server.requests.clear()
        assert np.array_equal(made.embed(texts, SILENT), vectors) and not server.requests
    (accepted,) = [text for text in sent if len(text) <= 8_192]
    assert len(accepted) > 5_000
    assert np.array_equal(vectors[7], vector_of(accepted))
    assert np.array_equal(vectors[[0, 19]], VECTORS[[0, 19]])
    assert "1 text truncated to the model's maximum length." in reporter.messages


def test_batches_that_are_too_large_are_halved() -> None:
    error = json_reply({"error": "batch size > maximum allowed batch size 8"}, status=422)

    def answer(request: Request) -> Reply:
        return error if len(request.json["input"]) > 8 else embeddings_server(request)

    reporter = RecordingReporter()
    with serving(answer) as server:
        assert np.array_equal(provider(server).embed(TEXTS, reporter), VECTORS)
    assert not reporter.messages


def test_a_server_that_takes_nothing_ends_in_one_line() -> None:
    with serving(lambda _: Reply(b"context length", status=400)) as server:
        with pytest.raises(ScReaderError, match=r"status 400 \(context length\)"):
            provider(server).embed(["a" * 200, "b"], SILENT)
        assert len(server.requests) < 10


def test_a_long_wait_is_reported_and_an_absurd_one_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    reporter = RecordingReporter()
    with serving(embeddings_server) as server:
        server.faults = [Reply(b"", status=429, headers={"Retry-After": "240"})]
        made = provider(server, reporter=reporter)
        monkeypatch.setattr(made.server.stopped, "wait", slept.append)
        made.embed(["a"], SILENT)
        assert slept == [240]
        assert reporter.messages == [
            "the embedding server: answered with HTTP status 429; trying again in 240.0 s."
        ]
        server.faults = [Reply(b"", status=503, headers={"Retry-After": "86400"})]
        with pytest.raises(ScReaderError, match="retry after 86,400 seconds"):
            provider(server).embed(["b"], SILENT)


def test_an_interrupted_run_does_not_wait_for_other_threads() -> None:
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


def test_retry_after() -> None:
    assert retry_after({}) == 0 and retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5
    for useless in ("soon", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert retry_after({"Retry-After": useless}) == 0
