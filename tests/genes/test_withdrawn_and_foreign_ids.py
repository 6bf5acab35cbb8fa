"""Services asked for withdrawn GeneIDs, and for ids of other databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_ncbi import GENES, INS, FakeDatasets, FakeEutils, fetched_ids, many_genes, to_report
from loopback import Loopback, Reply, Request, json_reply, serving

from screader_lib.errors import ScReaderError
from screader_lib.genes.describe import describe
from screader_lib.genes.organisms import organism_of
from screader_lib.genes.records import Gene
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.sources.datasets import Datasets
from screader_lib.genes.sources.eutils import Eutils
from screader_lib.reporting import Reporter

HUMAN = organism_of("human")


class Warned(Reporter):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, message: str) -> None:
        self.messages.append(message)


def source(kind: type, server: Loopback, tmp_path: Path, **settings: Any) -> Any:
    settings = {"first_pause": 0.01, "timeout": 5.0, "attempts": 2} | settings
    made = kind(HUMAN, DiskCache(tmp_path / "answers.sqlite"), server.url, **settings)
    made.client.pace.gap = 0.001
    return made


def searches(requests: Sequence[Request]) -> list[str]:
    return [request.form["term"] for request in requests if "term" in request.form]


def with_ids(number: int) -> list[Gene]:
    """Genes with two Ensembl ids and one of FlyBase each."""
    return [
        replace(
            gene,
            ensembl_id=f"ENSG{place:011}",
            other_ids=(f"ENSG{place + 500_000:011}", f"FBgn{place:07}"),
        )
        for place, gene in enumerate(many_genes(number))
    ]


def test_ensembl_ids_are_searched_many_at_a_time(tmp_path: Path) -> None:
    genes = with_ids(150)
    names = [f"{gene.ensembl_id}.3" for gene in genes]
    with serving(FakeEutils(genes)) as server:
        found = describe(names, [source(Eutils, server, tmp_path)])
        assert [one.gene.symbol for one in found] == [gene.symbol for gene in genes]
        assert {one.match.how for one in found} == {"ensembl_id"}
        assert len(searches(server.requests)) == 2
        assert sorted(fetched_ids(server.requests)) == sorted(gene.gene_id for gene in genes)
        server.requests.clear()
        assert describe(names, [source(Eutils, server, tmp_path)]) == found
        assert not server.requests


@pytest.mark.parametrize(
    ("name", "how"),
    [("ENSG00000500001.9", "ensembl_id"), ("FBgn0000001", "database_id")],
)
def test_further_ids_lead_to_the_gene(tmp_path: Path, name: str, how: str) -> None:
    with serving(FakeEutils(with_ids(3))) as server:
        (found,) = describe([name], [source(Eutils, server, tmp_path)])
    assert (found.gene.symbol, found.match.how) == ("G2", how)


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


def test_lists_of_ids_that_are_cut_are_no_answer(tmp_path: Path) -> None:
    fake = FakeEutils()

    def answer(request: Request) -> Reply:
        if "term" in request.form:
            result = {"count": "3", "webenv": "x", "querykey": "1", "idlist": ["3630"]}
            return json_reply({"esearchresult": result})
        return fake(request)

    with serving(answer) as server, pytest.raises(ScReaderError, match="1 ids of 3"):
        describe(["ENSG00000115263"], [source(Eutils, server, tmp_path)])


def test_datasets_says_that_it_takes_no_ensembl_ids(tmp_path: Path) -> None:
    told = Warned()
    with serving(FakeDatasets()) as server:
        asked = source(Datasets, server, tmp_path, reporter=told)
        found = describe(["INS", "ENSG00000115263", "HGNC:4191"], [asked])
        assert "ENSG" not in str([request.body for request in server.requests])
    assert [one.match.how for one in found] == ["symbol", "none", "none"]
    (line,) = told.messages
    assert "cannot look up ids such as ENSG00000115263 (2 in all)" in line and "eutils" in line


def test_datasets_after_a_source_that_knows_the_ids(tmp_path: Path) -> None:
    told = Warned()
    genes = [replace(GENES[1], summary=""), *GENES[2:]]
    with serving(FakeEutils(genes)) as one, serving(FakeDatasets()) as other:
        sources = [
            source(Eutils, one, tmp_path),
            source(Datasets, other, tmp_path, reporter=told),
        ]
        (found,) = describe(["ENSG00000115263"], sources)
    assert (found.match.how, found.gene.summary) == ("ensembl_id", "Preproglucagon.")
    assert not told.messages


@pytest.mark.parametrize(
    ("more", "gene"),
    [
        pytest.param({}, {}, id="by-the-question"),
        pytest.param({"query": ["3630"]}, {"replaced_gene_id": "77"}, id="by-the-gene"),
        pytest.param(
            {
                "query": ["3630"],
                "warnings": [{"replaced_id": {"requested": "77", "returned": "3630"}}],
            },
            {},
            id="by-a-warning",
        ),
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
