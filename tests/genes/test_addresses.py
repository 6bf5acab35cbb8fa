"""The way to services: proxies from the environment, and no way at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import urllib3
from loopback import HTML, serving

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.genes.organisms import organism_of
from screader_lib.genes.services.connections import (
    Unreachable,
    check_allowed,
    checked_url,
    is_this_machine,
    pool_for,
)
from screader_lib.genes.services.downloads import local_copy
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources
from screader_lib.reporting import Reporter

NCBI = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


class Warnings(Reporter):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        pytest.param({}, NCBI, None, id="none"),
        pytest.param({"HTTPS_PROXY": "http://p.example:3128"}, NCBI, "p.example", id="https"),
        pytest.param({"https_proxy": "p.example:3128"}, NCBI, "p.example", id="no-scheme"),
        pytest.param({"all_proxy": "http://p.example:3128"}, NCBI, "p.example", id="all"),
        pytest.param({"HTTP_PROXY": "http://p.example:3128"}, NCBI, None, id="other-scheme"),
        pytest.param(
            {"HTTPS_PROXY": "http://p.example:1", "NO_PROXY": "nih.gov"}, NCBI, None, id="bypass"
        ),
        pytest.param({"HTTP_PROXY": "http://p.example:1"}, NOBODY, None, id="this-machine"),
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


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_this_machine(host: str, here: bool) -> None:
    assert is_this_machine(host) is here


@pytest.mark.parametrize(
    ("value", "is_set"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_word_that_there_is_no_network(
    monkeypatch: pytest.MonkeyPatch, value: str, is_set: bool
) -> None:
    monkeypatch.setenv(offline.VARIABLE, value)
    assert offline.is_offline() is is_set
    check_allowed(NOBODY)
    if is_set:
        with pytest.raises(Unreachable, match="SCREADER_OFFLINE is set"):
            check_allowed(NCBI)
    else:
        check_allowed(NCBI)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "x", "http://a:b@c", "https://c?key=1"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ScReaderError):
        checked_url(url)


def test_no_connection_is_told_apart_from_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"cannot be reached\. Give local copies"):
        local_copy("gene_summary.gz", tmp_path, NOBODY)
    with pytest.raises(Unreachable, match="Give a local copy with --orthologs"):
        local_copy("gene_orthologs.gz", tmp_path, NOBODY)
    with (
        serving(lambda _: HTML) as server,
        pytest.raises(ScReaderError, match="complete gzip") as bad,
    ):
        local_copy("gene_summary.gz", tmp_path, server.url)
    assert not isinstance(bad.value, Unreachable)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_packaged_facts_stand_in_where_nothing_is_asked_for(tmp_path: Path) -> None:
    places, told = SourceOptions(cache=str(tmp_path), files_url=NOBODY), Warnings()
    human, mouse = organism_of("human"), organism_of("mouse")
    assert [source.name for source in make_sources((), human, places, told)] == ["packaged"]
    assert len(told.messages) == 1 and "no summaries" in told.messages[0]
    for names, organism in ((("ncbi-files",), human), ((), mouse)):
        with pytest.raises(Unreachable):
            make_sources(names, organism, places, told)
    missing = SourceOptions(cache=str(tmp_path), files_url=NOBODY, gene_summary=("s",))
    with pytest.raises(Unreachable):
        make_sources((), human, missing, told)
    assert len(told.messages) == 1
