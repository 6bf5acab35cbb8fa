"""OpenAI-like servers on loopback: packing, faults, cache, cost, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock
from fake_openai import embeddings_server, sent_texts, vector_of
from loopback import HTML, Loopback, Reply, json_reply, serving

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers import request_batches
from screader_lib.genes.providers.cached_embedder import CachedEmbedder
from screader_lib.genes.providers.cost import check_cost, estimate
from screader_lib.genes.providers.openai import Limits, OpenAIEmbeddings, parse_answer
from screader_lib.genes.services.answers import BadAnswer
from screader_lib.genes.services.cache import DiskCache
from screader_lib.reporting import SILENT

KEY = "sk-planted-0123456789"
FAST = Limits(1e6, 1e9, 4)
TEXTS = [f"text {number}" for number in range(50)]
WANTED = np.stack([vector_of(text) for text in TEXTS])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def provider(server: Loopback, **settings: Any) -> OpenAIEmbeddings:
    settings = {"limits": FAST, "attempts": 3, "first_pause": 0.01, "timeout": 20.0} | settings
    return OpenAIEmbeddings(base_url=server.url, **settings)


def test_vectors_in_the_order_of_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_batches, "INPUTS_PER_REQUEST", 28)  # 7 for each of 4 at a time
    with serving(embeddings_server) as server:
        made = provider(server)
        assert np.array_equal(made.embed(TEXTS, SILENT), WANTED)
        assert made.tokens_spent == 7 * len(TEXTS)
        assert len(server.requests) == 8
        asked = server.requests[0]
        assert asked.json["model"] == "text-embedding-ada-002"
        assert asked.headers["Authorization"] == f"Bearer {KEY}"
        assert "dimensions" not in asked.json
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
        b'{"object":"list"}',
        b"[]",
    ],
)
def test_answers_that_are_not_believed(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(body, 1)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(Reply(b"", status=429, headers={"Retry-After": "0"}), "429", id="429"),
        pytest.param(Reply(b"", status=503), "503", id="503"),
        pytest.param(HTML, "HTML page", id="html"),
        pytest.param(Reply(b"y" * 99, cut=True), "cut", id="cut"),
        pytest.param(json_reply({"data": []}), "0 vectors instead of 50", id="too-few"),
    ],
)
def test_faults(fault: Reply, message: str) -> None:
    with serving(embeddings_server) as server:
        server.faults = [fault, fault]
        assert np.array_equal(provider(server).embed(TEXTS, SILENT), WANTED)
        server.faults = [fault] * 3
        with pytest.raises(ScReaderError, match=message):
            provider(server).embed(TEXTS, SILENT)


def test_refused_key_is_not_shown() -> None:
    body = f"Incorrect API key provided: {KEY[:5]}***".encode()
    with (
        serving(lambda _: Reply(body, status=401)) as server,
        pytest.raises(ScReaderError, match="status 401") as caught,
    ):
        provider(server).embed(TEXTS, SILENT)
    assert "sk-" not in str(caught.value)


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ScReaderError, match="OPENAI_API_KEY is not set"):
        OpenAIEmbeddings().embed(TEXTS, SILENT)


def test_second_run_sends_only_what_is_new(tmp_path: Path) -> None:
    with serving(embeddings_server) as server:
        made = CachedEmbedder(provider(server), DiskCache(tmp_path / "e"))
        assert np.array_equal(made.embed(TEXTS, SILENT), WANTED)
        server.requests.clear()
        assert np.array_equal(made.embed(TEXTS, SILENT), WANTED)
        assert not server.requests
        changed = [*TEXTS[:10], "changed", *TEXTS[11:]]
        assert np.array_equal(made.embed(changed, SILENT)[10], vector_of("changed"))
        assert sent_texts(server.requests) == ["changed"]
        server.requests.clear()
        other = CachedEmbedder(provider(server, dimensions=3), DiskCache(tmp_path / "e"))
        other.embed(TEXTS[:1], SILENT)
        assert sent_texts(server.requests) == TEXTS[:1]


def test_failed_run_keeps_finished_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_batches, "INPUTS_PER_REQUEST", 10)
    limits = Limits(1e6, 1e9, 1)

    def answer(request: Any) -> Reply:
        broken = "text 35" in request.json["input"]
        return Reply(b"no", status=400) if broken else embeddings_server(request)

    with serving(answer) as server:
        made = CachedEmbedder(provider(server, limits=limits), DiskCache(tmp_path / "e"))
        with pytest.raises(ScReaderError, match=r"status 400 \(no\)"):
            made.embed(TEXTS, SILENT)
        server.requests.clear()
        server.answer = embeddings_server
        assert np.array_equal(made.embed(TEXTS, SILENT), WANTED)
        assert not set(sent_texts(server.requests)) & set(TEXTS[:30])


def test_requests_keep_to_the_rate() -> None:
    texts = TEXTS[:8]
    with serving(embeddings_server) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_batches, "INPUTS_PER_REQUEST", 1)
        made = provider(server, limits=Limits(60 * 5, 1e9, 8))
        made.server.pace.clock = clock = FakeClock()
        made.embed(texts, SILENT)
        assert len(clock.starts) == len(server.requests) == 8
        assert clock.most_in_a_second() <= 5


def test_cost_before_anything_is_spent(tmp_path: Path) -> None:
    with serving(embeddings_server) as server:
        made = CachedEmbedder(provider(server), DiskCache(tmp_path / "e"))
        made.embed(TEXTS[:20], SILENT)
        server.requests.clear()
        told = estimate(made, TEXTS, None)
        assert (told.texts, told.new, told.requests) == (50, 30, 1)
        assert told.dollars == pytest.approx(told.tokens * 1e-7)
        assert "30 to embed" in str(told) and "$" in str(told)
        check_cost(told, 1.0)
        with pytest.raises(ScReaderError, match="more than --max-cost"):
            check_cost(told, 1e-6)
        unknown = estimate(provider(server, model="mine"), TEXTS, None)
        with pytest.raises(ScReaderError, match="--price"):
            check_cost(unknown, 1.0)
        assert not server.requests


def test_a_server_without_a_key_is_sent_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(embeddings_server) as server:
        provider(server).embed(TEXTS, SILENT)
        assert server.requests[0].headers["Authorization"] is None


def test_attempts_keep_to_the_rate_too() -> None:
    with serving(embeddings_server) as server:
        server.faults = [Reply(b"", status=503, headers={"retry-after-ms": "1"})] * 5
        limits = Limits(60 * 5, 1e9, 8)
        made = provider(server, limits=limits, attempts=6)
        made.server.pace.clock = clock = FakeClock()
        made.embed(TEXTS[:1], SILENT)
        assert len(clock.starts) == len(server.requests) == 6
        assert clock.most_in_a_second() <= 5


def test_without_a_network_nothing_is_tried() -> None:
    with pytest.raises(ScReaderError, match="SCREADER_OFFLINE is set"):
        OpenAIEmbeddings(limits=FAST).embed(TEXTS, SILENT)


def test_two_servers_with_a_model_of_one_name_share_no_vectors(tmp_path: Path) -> None:
    with serving(embeddings_server) as one, serving(embeddings_server) as other:
        for server in (one, other):
            CachedEmbedder(provider(server), DiskCache(tmp_path / "e")).embed(TEXTS, SILENT)
            assert sent_texts(server.requests) == TEXTS


def test_an_estimate_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert estimate(OpenAIEmbeddings(), TEXTS, None).new == len(TEXTS)
