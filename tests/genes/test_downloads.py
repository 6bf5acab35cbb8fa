"""Bulk files from a server that has its troubles."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from loopback import HTML, Reply, serving

from screader_lib.errors import ScReaderError
from screader_lib.genes.services import service
from screader_lib.genes.services.downloads import ATTEMPTS, local_copy
from screader_lib.genes.services.service import Unreachable

CONTENT = gzip.compress(b"#tax_id\n")
FILE = "gene_summary.gz"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.random, "uniform", lambda *_: 0.0)


@pytest.mark.parametrize(
    "fault",
    [
        Reply(b"", status=429, headers={"Retry-After": "0"}),
        Reply(CONTENT * 9, cut=True),
        Reply(b"", status=302, headers={"Location": "/elsewhere"}),
    ],
)
def test_passing_faults_are_retried_and_one_copy_is_kept(tmp_path: Path, fault: Reply) -> None:
    with serving(lambda _: Reply(CONTENT)) as server:
        server.faults = [fault] * 2
        path = local_copy(FILE, tmp_path, server.url)
        assert path.read_bytes() == CONTENT
        assert local_copy(FILE, tmp_path, server.url) == path
        assert len(server.requests) == 3
        note = json.loads(path.with_name(f"{FILE}.json").read_text())
        assert note["url"] == f"{server.url}/{FILE}" and note["downloaded"]
        path.write_bytes(b"damaged")
        assert local_copy(FILE, tmp_path, server.url).read_bytes() == CONTENT
        local_copy(FILE, tmp_path, server.url, refresh=True)
        assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        (Reply(b"", status=404), "HTTP status 404", 1),
        (Reply(b"", status=500), "HTTP status 500", ATTEMPTS),
        (Reply(CONTENT, cut=True), "connection was cut", ATTEMPTS),
        (Reply(b"", status=503, headers={"Retry-After": "3600"}), "in 3,600 s", 1),
        (HTML, "complete gzip file", 1),
    ],
)
def test_other_faults_are_one_line_and_leave_no_file(
    tmp_path: Path, fault: Reply, message: str, requests: int
) -> None:
    with serving(lambda _: fault) as server:
        with pytest.raises(ScReaderError, match=message) as caught:
            local_copy(FILE, tmp_path, server.url)
        assert len(server.requests) == requests
    assert "\n" not in str(caught.value) and not isinstance(caught.value, Unreachable)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_a_connection_the_options_for_local_copies_are_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"reached\. Give local copies with --gene-info"):
        local_copy(FILE, tmp_path, NOBODY)
    with pytest.raises(Unreachable, match=r"Give a local copy with --orthologs"):
        local_copy("gene_orthologs.gz", tmp_path, NOBODY)
