"""The way to services: proxies, no way at all, the pace of requests, and downloads."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from loopback import HTML, FakeClock, Reply, serving
from recording_reporter import RecordingReporter

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.genes.records import organism_of
from screader_lib.genes.services import service
from screader_lib.genes.services.downloads import ATTEMPTS, local_copy
from screader_lib.genes.services.service import (
    RATE_MARGIN,
    Pace,
    Unreachable,
    check_allowed,
    checked_url,
    is_this_machine,
    pool_for,
)
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources

NCBI = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture(autouse=True)
def no_proxies_and_short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.random, "uniform", lambda *_: 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, NCBI, None),
        ({"HTTPS_PROXY": "http://p.example:3128"}, NCBI, "p.example"),
        ({"https_proxy": "p.example:3128"}, NCBI, "p.example"),
        ({"all_proxy": "http://p.example:3128"}, NCBI, "p.example"),
        ({"HTTP_PROXY": "http://p.example:3128"}, NCBI, None),
        ({"HTTPS_PROXY": "http://p.example:1", "NO_PROXY": "nih.gov"}, NCBI, None),
        ({"HTTP_PROXY": "http://p.example:1"}, NOBODY, None),
    ],
)
def test_proxies(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pool = pool_for(url)
    assert (pool.proxy.host if isinstance(pool, urllib3.ProxyManager) else None) == proxy


def test_password_of_a_proxy_goes_into_its_header_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:s%40cret@p.example:3128")
    pool = pool_for(NCBI)
    assert isinstance(pool, urllib3.ProxyManager)
    assert "cret" not in str(pool.proxy)
    assert pool.proxy_headers["proxy-authorization"] == "Basic bWU6c0BjcmV0"


def test_this_machine() -> None:
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_this_machine, ("10.0.0.1", "localhost.example", "")))


@pytest.mark.parametrize("value", ["1", "yes", "0", ""])
def test_word_that_there_is_no_network(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(offline.VARIABLE, value)
    check_allowed(NOBODY)
    if value in ("0", ""):
        check_allowed(NCBI)
    else:
        with pytest.raises(Unreachable, match="SCREADER_OFFLINE is set"):
            check_allowed(NCBI)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "x", "http://a:pass@c", "https://c?key=1"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ScReaderError) as caught:
        checked_url(url)
    assert "pass" not in str(caught.value)


def test_packaged_facts_are_used_where_no_source_is_asked_for(tmp_path: Path) -> None:
    options, reporter = SourceOptions(cache=str(tmp_path)), RecordingReporter()
    human, rat = organism_of("human"), organism_of("rat")
    assert [one.name for one in make_sources((), human, options, reporter)] == ["packaged"]
    assert (
        len(reporter.warnings) == 1
        and "the packaged gene annotations instead" in reporter.warnings[0]
    )
    summary = SourceOptions(cache=str(tmp_path), gene_summary=("s",))
    for names, organism, given_options in (
        (("ncbi-files",), human, options),
        ((), rat, options),
        ((), human, summary),
    ):
        with pytest.raises(Unreachable):
            make_sources(names, organism, given_options, reporter)
    assert len(reporter.warnings) == 1


@given(per_second=st.integers(1, 20), late=st.floats(0, 3), count=st.integers(1, 60))
def test_no_second_sees_more_requests_than_allowed(
    per_second: int, late: float, count: int
) -> None:
    clock = FakeClock(late=late)
    pace = Pace(per_second, clock)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pace.wait(), range(count)))
    assert len(clock.starts) == count
    assert clock.most_in_a_second() <= per_second


def test_gaps_follow_the_weight_and_time_gone_by_counts() -> None:
    clock = FakeClock()
    pace = Pace(10, clock)
    gap = RATE_MARGIN / 10
    for weight in (1.0, 5.0, 1.0):
        pace.wait(weight)
    assert clock.starts == pytest.approx([100, 100 + gap, 100 + 6 * gap])
    clock.now = 160
    pace.wait()
    pace.wait()
    assert clock.starts[3:] == pytest.approx([160, 160 + gap])


CONTENT = gzip.compress(b"#tax_id\n")
FILE = "gene_summary.gz"


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
        (Reply(b"", status=500), "HTTP status 500, 5 times", ATTEMPTS),
        (Reply(CONTENT, cut=True), "connection was cut", ATTEMPTS),
        (Reply(b"", status=503, headers={"Retry-After": "3600"}), "after 3,600 s", 1),
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
