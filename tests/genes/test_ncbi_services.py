"""E-utilities and Datasets on loopback: answers, faults, etiquette, resuming."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_ncbi import (
    GENES,
    INS,
    FakeDatasets,
    FakeEutils,
    fetched_ids,
    many_genes,
    records,
    to_report,
    to_summary,
)
from loopback import HTML, FakeClock, Loopback, Reply, Request, json_reply, serving
from real_data import real
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import compose, describe
from screader_lib.genes.records import organism_of
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.sources.datasets import Datasets, parse_page
from screader_lib.genes.sources.eutils import Eutils

HUMAN = organism_of("human")
KEY = "a-planted-key-0123456789"
NAMES = ["INS", "HLA.A", "3630", "AGPAT9", "ENSG00000115263.4", "GLP1", "nothing"]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCBI_API_KEY", "NCBI_EMAIL"):
        monkeypatch.delenv(name, raising=False)


def source(kind: type, server: Loopback, tmp_path: Path, **settings: Any) -> Any:
    settings = {"first_pause": 0.01, "timeout": 20.0, "attempts": 3} | settings
    made = kind(HUMAN, DiskCache(tmp_path / "answers.sqlite"), server.url, **settings)
    made.client.pace.gap = min(made.client.pace.gap, 0.01)
    return made


def test_eutils_brings_all_fields(tmp_path: Path) -> None:
    with serving(FakeEutils()) as server:
        found = describe(NAMES, [source(Eutils, server, tmp_path)])
    assert [one.gene.symbol for one in found] == [
        "INS", "HLA-A", "INS", "AGPAT9", "GCG", "GCG", "nothing",
    ]  # fmt: skip
    assert [one.match.how for one in found] == [
        "symbol", "punctuation", "gene_id", "ambiguous", "ensembl_id", "alias", "none",
    ]  # fmt: skip
    assert found[0].text == compose(INS) and found[0].gene.lineage == INS.lineage
    assert sorted(fetched_ids(server.requests)) == ["2641", "3105", "3630"]
    forms = [request.form for request in server.requests]
    assert all(form["db"] == "gene" and form["tool"] == "screader-suite" for form in forms)
    assert not any("?" in request.path for request in server.requests)


def test_datasets_brings_summaries_page_after_page(tmp_path: Path) -> None:
    with serving(FakeDatasets(page=3)) as server:
        found = describe([*NAMES[:4], *NAMES[5:]], [source(Datasets, server, tmp_path)])
    assert [one.gene.symbol for one in found] == [
        "INS", "HLA-A", "INS", "AGPAT9", "GCG", "nothing",
    ]  # fmt: skip
    assert found[0].text == "INS. insulin. protein-coding. This gene encodes insulin."
    assert "3" in [request.json.get("page_token") for request in server.requests]


def test_recorded_datasets_answers() -> None:
    _, *answers = ast.parse(real("ncbi_datasets_v2_gene_symbol_fixture.py").read_text("utf-8")).body
    human_answer, mouse_answer = (ast.literal_eval(answer.value) for answer in answers)
    human, token = parse_page(human_answer, {"brca1": ""}, HUMAN)
    mouse, _ = parse_page(mouse_answer, {"brca1": ""}, organism_of("mouse"))
    assert token == ""
    assert (human[0][0].gene_id, human[0][0].gene_type) == ("672", "protein-coding")
    assert "190 kD nuclear phosphoprotein" in human[0][0].summary
    assert "Alliance of Genome Resources" in mouse[0][0].summary


ASKED = [(Eutils, FakeEutils), (Datasets, FakeDatasets)]


@pytest.mark.parametrize(
    ("fault", "message", "asked"),
    [
        (Reply(b"", status=429, headers={"Retry-After": "0"}), "status 429", ASKED[:1]),
        (Reply(b"", status=500), "status 500", ASKED[:1]),
        (json_reply({}, delay=0.5), "no answer in time", ASKED[:1]),
        (Reply(b"x" * 999, cut=True), "cut", ASKED[:1]),
        (Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), "cut", ASKED[:1]),
        (json_reply({"reports": [1]}), "its schema", ASKED[1:]),
        (Reply(b'{"esearchresult": '), "instead of JSON", ASKED),
        (HTML, "HTML page", ASKED),
        (json_reply({"new": 1}), "schema has changed|a page|not asked", ASKED),
    ],
)
def test_faults_end_well_or_in_one_line(
    tmp_path: Path, fault: Reply, message: str, asked: list[tuple[type, Callable]]
) -> None:
    settings = {"timeout": 0.2 if fault.delay else 20.0}
    for kind, fake in asked:
        with serving(fake()) as server:
            server.faults = [fault, fault]
            (found,) = describe(["INS"], [source(kind, server, tmp_path, **settings)])
            assert found.gene.gene_id == "3630"
            server.faults = [fault] * 3
            with pytest.raises(ScReaderError, match=message) as caught:
                describe(["GCG"], [source(kind, server, tmp_path, **settings)])
        assert "\n" not in str(caught.value)


OTHER = {"uids": ["2641"], "2641": to_summary(GENES[1])}


@pytest.mark.parametrize(
    ("utility", "wrong", "message"),
    [
        ("efetch", records([GENES[1]]), "2641, which was not asked for"),
        ("esummary", json_reply({"result": OTHER}), "summaries that are not the 1 asked for"),
        ("esearch", json_reply({"esearchresult": {"count": "3", "idlist": ["3630"]}}), "1 ids of"),
    ],
)
def test_other_genes_than_asked_for_are_an_error(
    tmp_path: Path, utility: str, wrong: Reply, message: str
) -> None:
    fake = FakeEutils()

    def answer(request: Request) -> Reply:
        return wrong if utility in request.path else fake(request)

    with serving(answer) as server, pytest.raises(ScReaderError, match=message):
        describe(["INS"], [source(Eutils, server, tmp_path)])


def test_other_statuses_end_at_once_and_hide_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    with serving(lambda _: Reply(f"API key invalid: {KEY}".encode(), status=400)) as server:
        with pytest.raises(ScReaderError, match=r"status 400 \(API key invalid: \*\*\*\)"):
            describe(["INS"], [source(Eutils, server, tmp_path)])
        assert len(server.requests) == 1
        assert server.requests[0].form["api_key"] == KEY
    assert KEY not in server.requests[0].path


@pytest.mark.parametrize(("key", "limit"), [("", 3), (KEY, 10)])
def test_rate_stays_below_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, limit: int
) -> None:
    monkeypatch.setenv("NCBI_API_KEY", key)
    genes = many_genes(20 * limit)
    with serving(FakeEutils(genes)) as server:
        asked = Eutils(HUMAN, DiskCache(tmp_path / "a"), server.url, first_pause=0.01)
        asked.client.pace.clock = clock = FakeClock()
        server.faults = [Reply(b"", status=500)]
        describe([gene.symbol for gene in genes], [asked])
    assert len(clock.starts) == len(server.requests) > limit
    assert clock.most_in_a_second() <= limit


def test_second_run_asks_for_what_is_missing(tmp_path: Path) -> None:
    genes = many_genes(45)
    names = [gene.symbol for gene in genes]
    with serving(FakeEutils(genes)) as server:
        describe(names[:30], [source(Eutils, server, tmp_path)])
        server.requests.clear()
        found = describe(names, [source(Eutils, server, tmp_path)])
        assert fetched_ids(server.requests) == [gene.gene_id for gene in genes[30:]]
        terms = [r.form["term"] for r in server.requests if "term" in r.form]
        assert len(terms) == 1 and '"G30"' not in terms[0] and '"G31"' in terms[0]
        server.requests.clear()
        assert describe(names, [source(Eutils, server, tmp_path)]) == found
        assert not server.requests
        describe(names[:2], [source(Eutils, server, tmp_path, refresh=True)])
        assert fetched_ids(server.requests) == [gene.gene_id for gene in genes[:2]]


def test_damaged_cache_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not a database at all" * 100)
    with pytest.raises(ScReaderError, match="cannot be used as a cache"):
        DiskCache(tmp_path / "a")


def test_spellings_of_one_name_are_each_remembered(tmp_path: Path) -> None:
    with serving(FakeDatasets()) as server:
        describe(["INS", "ins"], [source(Datasets, server, tmp_path)])
        server.requests.clear()
        assert describe(["INS"], [source(Datasets, server, tmp_path)])[0].gene.gene_id == "3630"
        assert not server.requests


def test_a_record_that_was_lost_is_asked_for_again(tmp_path: Path) -> None:
    with serving(FakeEutils()) as server:
        answer = server.answer
        server.answer = lambda ask: records([]) if "efetch" in ask.path else answer(ask)
        describe(["INS"], [source(Eutils, server, tmp_path)])
        server.answer = answer
        (found,) = describe(["INS"], [source(Eutils, server, tmp_path)])
        assert found.gene.expression


def test_ensembl_ids_are_searched_many_at_a_time(tmp_path: Path) -> None:
    genes = [
        replace(gene, ensembl_id=f"ENSG{n:011}", other_ids=(f"ENSG{n + 500:011}", f"FBgn{n}"))
        for n, gene in enumerate(many_genes(150))
    ]
    names = [f"{gene.ensembl_id}.3" for gene in genes]
    with serving(FakeEutils(genes)) as server:
        found = describe(names, [source(Eutils, server, tmp_path)])
        assert [one.gene.symbol for one in found] == [gene.symbol for gene in genes]
        assert {one.match.how for one in found} == {"ensembl_id"}
        assert len([one for one in server.requests if "term" in one.form]) == 2
        assert sorted(fetched_ids(server.requests)) == sorted(gene.gene_id for gene in genes)
        server.requests.clear()
        assert describe(names, [source(Eutils, server, tmp_path)]) == found
        assert not server.requests
        others = describe(["ENSG00000000501.9", "FBgn1"], [source(Eutils, server, tmp_path)])
    assert [(one.gene.symbol, one.match.how) for one in others] == [
        ("G2", "ensembl_id"), ("G2", "database_id"),
    ]  # fmt: skip


def test_a_gene_that_only_mentions_an_id_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """All Fields finds records whose text has the id, too."""
    mentions = replace(INS, aliases=("ENSG00000115263",))
    with serving(FakeEutils([mentions, *GENES[1:]])) as server:
        (found,) = describe(["ENSG00000115263"], [source(Eutils, server, tmp_path)])
    assert found.gene.symbol == "GCG"


def test_withdrawn_gene_ids_are_followed(tmp_path: Path) -> None:
    fake = FakeEutils(moved={"11": "12", "12": "3630", "13": "", "14": "15", "15": "14"})
    names = ["11", "LOC12", "13", "14", "99", "2641"]
    with serving(fake) as server:
        found = describe(names, [source(Eutils, server, tmp_path)])
        assert [(one.match.how, one.gene.symbol) for one in found] == [
            ("withdrawn", "INS"), ("withdrawn", "INS"), ("discontinued", "13"),
            ("discontinued", "14"), ("none", "99"), ("gene_id", "GCG"),
        ]  # fmt: skip
        assert found[0].text.startswith("INS. insulin.")
        server.requests.clear()
        assert describe(names, [source(Eutils, server, tmp_path)]) == found
        assert fetched_ids(server.requests) == ["99"]


def test_datasets_warns_of_ids_that_no_source_before_it_knows(tmp_path: Path) -> None:
    genes = [replace(GENES[1], summary=""), *GENES[2:]]
    reporter = RecordingReporter()
    with serving(FakeEutils(genes)) as eutils, serving(FakeDatasets()) as server:
        datasets = source(Datasets, server, tmp_path, reporter=reporter)
        (found,) = describe(["ENSG00000115263"], [source(Eutils, eutils, tmp_path), datasets])
        assert (found.match.how, found.gene.summary) == ("ensembl_id", "Preproglucagon.")
        assert not reporter.warnings
        unknown = describe(["INS", "ENSG00000115263", "HGNC:4191"], [datasets])
        assert "ENSG" not in str([request.body for request in server.requests])
    assert [one.match.how for one in unknown] == ["symbol", "none", "none"]
    (line,) = reporter.warnings
    assert "cannot look up ids such as ENSG00000115263 (2 in all)" in line and "eutils" in line


REPLACED = {"requested": "77", "returned": "3630"}


@pytest.mark.parametrize(
    ("more", "gene"),
    [
        ({}, {}),
        ({"query": ["3630"]}, {"replaced_gene_id": "77"}),
        ({"query": ["3630"], "warnings": [{"replaced_id": REPLACED}]}, {}),
    ],
)
def test_datasets_follows_withdrawn_gene_ids(
    tmp_path: Path, more: dict[str, Any], gene: dict[str, Any]
) -> None:
    report = to_report(INS, "77") | more
    report["gene"] |= gene
    with serving(lambda _: json_reply({"reports": [report], "total_count": 1})) as server:
        (found,) = describe(["GeneID:77"], [source(Datasets, server, tmp_path)])
    assert (found.match.how, found.gene.symbol) == ("withdrawn", "INS")
