"""Servers that never end, answer too much or repeat the key: one line, no memory, no key."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from loopback import Reply, serving

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe
from screader_lib.genes.missing_texts import ChatModel, fill_from_model
from screader_lib.genes.providers.openai import OpenAIEmbeddings, RateLimits
from screader_lib.genes.records import organism_of
from screader_lib.genes.services import downloads, service
from screader_lib.genes.services.bounded import TooLong, bounded_body, within
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.services.downloads import local_copy
from screader_lib.genes.services.service import TransientError, without_secret
from screader_lib.genes.sources.datasets import Datasets
from screader_lib.genes.sources.eutils import Eutils
from screader_lib.reporting import SILENT

KEY = "sk-planted-" + "".join(f"{number:02}" for number in range(26))
HUMAN = organism_of("human")
SETTINGS = {"attempts": 2, "first_pause": 0.01, "timeout": 5.0, "limit": 0.5, "max_bytes": 1 << 20}
Ask = Callable[[str, Path], object]


def embeddings(url: str, folder: Path) -> object:
    made = OpenAIEmbeddings(base_url=url, limits=RateLimits(1e6, 1e9), **SETTINGS)
    return made.embed(["one"], SILENT)


def chat(url: str, folder: Path) -> object:
    model, cache = ChatModel("some", url=url, requests_per_minute=1e6), DiskCache(folder / "c")
    return fill_from_model(describe(["one"], []), model, HUMAN, cache, **SETTINGS)


def eutils(url: str, folder: Path) -> object:
    return describe(["INS"], [Eutils(HUMAN, DiskCache(folder / "c"), url, **SETTINGS)])


def datasets(url: str, folder: Path) -> object:
    return describe(["INS"], [Datasets(HUMAN, DiskCache(folder / "c"), url, **SETTINGS)])


def bulk(url: str, folder: Path) -> object:
    return local_copy("gene_summary.gz", folder, url)


SERVICES: dict[str, Ask] = {ask.__name__: ask for ask in (embeddings, chat, eutils, datasets, bulk)}


@pytest.fixture(autouse=True)
def keys_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    monkeypatch.setattr(service.random, "uniform", lambda *_: 0.0)
    monkeypatch.setattr(downloads, "LIMIT", SETTINGS["limit"])
    monkeypatch.setattr(downloads, "MAX_BYTES", SETTINGS["max_bytes"])
    monkeypatch.setattr(downloads, "SLOWEST", 1e9)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(64 << 20))


def endless() -> Iterator[bytes]:
    yield CHUNKED
    while True:
        yield b"10000\r\n" + b" " * (1 << 16) + b"\r\n"


def bomb() -> Iterator[bytes]:
    yield HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB


def trickle() -> Iterator[bytes]:
    yield HEAD + b"Content-Length: 1000\r\n\r\n"
    while True:
        time.sleep(0.02)
        yield b"0"


def trickling_header() -> Iterator[bytes]:
    yield HEAD
    while True:
        time.sleep(0.02)
        yield b"X"


@contextmanager
def sending(pieces: Callable[[], Iterator[bytes]]) -> Iterator[tuple[str, list[int]]]:
    """A server whose answers are these pieces; its URL, and how many bytes went out."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent, ended = [0], threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            for piece in pieces():
                if ended.is_set():
                    break
                connection.sendall(piece)
                sent[0] += len(piece)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
    ended.set()


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("pieces", [endless, bomb, trickle, trickling_header])
def test_answers_without_end(
    tmp_path: Path, name: str, pieces: Callable[[], Iterator[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    start = time.monotonic()
    with sending(pieces) as (url, sent), pytest.raises(ScReaderError) as caught:
        SERVICES[name](url, tmp_path)
    assert time.monotonic() - start < 10
    assert sent[0] < 20 << 20 and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.rglob("gene_summary*")] == []
    expected = "more than 1 MB" if pieces in (endless, bomb) else "in time"
    if (name, pieces) == ("bulk", bomb):
        expected = "is not a file of genes"
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["embeddings", "chat", "eutils", "datasets"])
@pytest.mark.parametrize("before", [0, 60, 170, 197, 205, 290, 3_990])
@pytest.mark.parametrize("status", [400, 200])
def test_no_part_of_a_key_is_told(tmp_path: Path, name: str, before: int, status: int) -> None:
    """Wherever in the answer it is repeated, and however a message is cut."""
    said = b"." * before + KEY.encode() * 2
    body = said if status == 400 else b'{"esearchresult": {"ERROR": "%s"}, "error": 1}' % said
    with (
        serving(lambda _: Reply(body, status=status)) as server,
        pytest.raises(ScReaderError) as caught,
    ):
        SERVICES[name](server.url, tmp_path)
    told = str(caught.value)
    assert not any(KEY[start : start + 8] in told for start in range(len(KEY) - 7))
    assert len(told) < 600


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("abcdefghij", "***"),
        ("x abcdefgh y", "x *** y"),
        ("x abcdefg y", "x abcdefg y"),
        ("cdefghijcdefghij", "***"),
        ("", ""),
    ],
)
def test_parts_of_a_secret(text: str, shown: str) -> None:
    assert without_secret(text, "abcdefghij") == shown
    assert without_secret(text, "") == text


def test_a_short_secret_is_hidden_whole() -> None:
    assert without_secret("key abc, not ab", "abc") == "key ***, not ab"


def test_a_file_that_is_no_file_of_genes_is_not_kept(tmp_path: Path) -> None:
    with (
        serving(lambda _: Reply(gzip.compress(b"<html>\n"))) as server,
        pytest.raises(ScReaderError, match="is not a file of genes"),
    ):
        local_copy("gene_summary.gz", tmp_path, server.url)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_that_unpacks_without_end_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "SLACK", 1 << 20)
    content = gzip.compress(b"#tax_id\n" + bytes(64 << 20))
    with (
        serving(lambda _: Reply(content)) as server,
        pytest.raises(ScReaderError, match="unpacks to more"),
    ):
        local_copy("gene_summary.gz", tmp_path, server.url)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "", "identity"])
def test_bodies_up_to_the_limit(encoding: str) -> None:
    body = bytes(range(256)) * 100
    sent = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(body)
    blocks = [sent[:100], sent[100:]]
    assert bounded_body(blocks, encoding, len(body)) == body
    with pytest.raises(TooLong):
        bounded_body(blocks, encoding, len(body) - 1)


@pytest.mark.parametrize("case", ["unknown", "no gzip", "cut"])
def test_bodies_that_cannot_be_unpacked(case: str) -> None:
    body = gzip.compress(b"x" * 99)[:-9] if case == "cut" else b"x"
    with pytest.raises(TransientError):
        bounded_body([body], "br" if case == "unknown" else "gzip", 100)


def test_within_a_time() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(KeyError):
        within(5, lambda: {}["x"])
    with pytest.raises(TimeoutError):
        within(0.01, lambda: time.sleep(0.2))
