"""Bulk files from a server that has its troubles."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from loopback import Reply, serving
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.genes.services import waiting
from screader_lib.genes.services.downloads import ATTEMPTS, fetched

CONTENT = gzip.compress(b"#tax_id\n")
FILE = "gene_summary.gz"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", times.append)
    return times


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Reply(b"", status=503), id="503"),
        pytest.param(Reply(b"", status=429, headers={"Retry-After": "1"}), id="429"),
        pytest.param(Reply(CONTENT * 9, cut=True), id="cut"),
        pytest.param(Reply(b"", status=302, headers={"Location": "/elsewhere"}), id="moved"),
    ],
)
def test_what_passes_is_tried_again(tmp_path: Path, slept: list[float], fault: Reply) -> None:
    with serving(lambda _: Reply(CONTENT)) as server:
        server.faults = [fault] * 2
        path = fetched(FILE, tmp_path, server.url)
        assert path.read_bytes() == CONTENT
        assert fetched(FILE, tmp_path, server.url) == path
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "message", "asked"),
    [
        pytest.param(Reply(b"", status=404), "HTTP status 404", 1, id="404"),
        pytest.param(Reply(b"", status=500), "HTTP status 500, 5 times", ATTEMPTS, id="500"),
        pytest.param(Reply(CONTENT, cut=True), "connection was cut", ATTEMPTS, id="cut"),
        pytest.param(
            Reply(b"", status=503, headers={"Retry-After": "3600"}), "in 3,600 s", 1, id="hours"
        ),
    ],
)
def test_what_does_not_pass_is_one_line(
    tmp_path: Path, slept: list[float], fault: Reply, message: str, asked: int
) -> None:
    with serving(lambda _: fault) as server:
        with pytest.raises(ScReaderError, match=message) as caught:
            fetched(FILE, tmp_path, server.url)
        assert len(server.requests) == asked
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_long_wait_is_told(tmp_path: Path, slept: list[float]) -> None:
    told = RecordingReporter()
    with serving(lambda _: Reply(CONTENT)) as server:
        server.faults = [Reply(b"", status=429, headers={"Retry-After": "90"})]
        fetched(FILE, tmp_path, server.url, reporter=told)
    assert 90 in slept
    assert told.messages[1:] == ["the download: HTTP status 429; trying again in 90.0 s."]
