"""Texts for genes without a summary: from orthologs and from a chat model."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_bulk
from fake_ncbi import INS
from loopback import HTML, Loopback, Reply, Request, json_reply, serving
from real_data import real

from screader_lib.cells.gene_lists import read_genes
from screader_lib.errors import ScReaderError
from screader_lib.genes.catalog import Catalog
from screader_lib.genes.describe import DEFAULT_FIELDS, describe, summary_lines, unmatched_tsv
from screader_lib.genes.missing_texts import (
    ChatModel,
    FillOptions,
    fill,
    fill_from_model,
    fill_from_orthologs,
    read_pairs,
)
from screader_lib.genes.records import Gene, organism_of
from screader_lib.genes.services.cache import DiskCache
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.sources.make_sources import SourceOptions, make_sources

MOUSE, HUMAN = organism_of("mouse"), organism_of("human")
KEY = "sk-planted-0123456789"


class ReferenceGenes(GeneSource):
    """A source of given genes."""

    name = "known"
    provides = ("summary",)

    def __init__(self, *genes: Gene) -> None:
        self.genes = genes

    def catalog(self, names: Sequence[str], gene_ids: Sequence[str]) -> Catalog:
        return Catalog(self.genes)


INS2 = Gene("Ins2", "16334", full_name="insulin II", organism="Mus musculus", tax_id=10090)
TTR = Gene("Ttr", "22139", summary="Own summary.", organism="Mus musculus", tax_id=10090)
MICE = describe(["Ins2", "Ttr", "Gm1"], [ReferenceGenes(INS2, TTR)])


@pytest.mark.parametrize(
    "table",
    [
        "human,mouse\nINS,Ins2\nTTR,Ttr\nA,B\nA,C\n",
        "mouse\thuman\tscore\nIns2\tINS\t1\nTtr\tTTR\t1\n",
        "#tax_id\tGeneID\trelationship\tOther_tax_id\tOther_GeneID\n"
        "9606\t3630\tOrtholog\t10090\t16334\n9606\t3630\tOrtholog\t10116\t9\n",
    ],
    ids=["human-first", "own-first", "ncbi"],
)
def test_ortholog_tables(tmp_path: Path, table: str) -> None:
    path = tmp_path / "t"
    path.write_text(table)
    pairs = read_pairs(path, MOUSE, ["Ins2", "Ttr"])
    assert (pairs.get("Ins2") or pairs.get("16334")) in ("INS", "3630")
    assert "B" not in pairs and "C" not in pairs
    done = fill_from_orthologs(MICE, pairs, [ReferenceGenes(INS)])
    assert done[0].text == "Ins2. insulin II. This gene encodes insulin."
    assert [one.source for one in done] == ["ortholog", "ncbi", "none"]
    assert done[1].gene.summary == "Own summary."
    own = describe(["Ins2"], [ReferenceGenes(replace(INS2, text="Mine.", source="user"))])
    (unchanged,) = fill_from_orthologs(own, pairs, [ReferenceGenes(INS)])
    assert (unchanged.text, unchanged.source) == ("Mine.", "user")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\nx,y\n", "name none of the genes"),
        ("a\nx,y\n", "fewer than"),
    ],
)
def test_useless_ortholog_tables(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t").write_text(content)
    with pytest.raises(ScReaderError, match=message):
        read_pairs(tmp_path / "t", MOUSE, ["Ins2"])


def test_real_mouse_genes(tmp_path: Path) -> None:
    """Every fiftieth gene of real cells, in the lines of NCBI's files that name one of them."""
    names = read_genes(real("baron_mouse.h5ad"), "mouse").names[::50]
    matches = gzip.decompress(real("gene_matches_1v1_human2mouse.csv.gz").read_bytes()).decode()
    named = {*names, *(row[0] for row in csv.reader(matches.splitlines()) if {*row} & {*names})}

    def excerpt(name: str, column: int, wanted: set[str]) -> tuple[str]:
        with gzip.open(real(name), "rt") as whole:
            lines = [line for line in whole if line[0] == "#" or line.split("\t")[column] in wanted]
        (tmp_path / name).write_text("".join(lines))
        wanted |= {line.split("\t")[1] for line in lines}
        return (str(tmp_path / name),)

    info = [excerpt(f"{name}.gene_info.gz", 2, named) for name in ("Mus_musculus", "Homo_sapiens")]
    summary = [excerpt(f"gene_summary.{name}.gz", 1, named) for name in ("mouse", "human")]
    options = SourceOptions(gene_info=info[0] + info[1], gene_summary=summary[0] + summary[1])
    described = describe(names, make_sources((), MOUSE, options))
    complete = ("symbol", "full_name", "gene_type")
    assert sum(not one.gene.lacks(complete) for one in described) >= 0.94 * len(names)
    orthologs = FillOptions(("ortholog",), str(real("gene_matches_1v1_human2mouse.csv.gz")))
    done = fill(described, orthologs, MOUSE, options, (), DEFAULT_FIELDS).descriptions
    assert sum(bool(one.gene.summary) for one in done) >= 159
    assert sum(one.source == "ortholog" for one in done) >= 142


def chat(request: Request) -> Reply:
    prompt = request.json["messages"][0]["content"]
    text = "UNKNOWN" if "Gm1" in prompt else f"Text of {prompt.split()[3]}. [1]"
    return json_reply({"choices": [{"message": {"role": "assistant", "content": text}}]})


def filled(server: Loopback, tmp_path: Path, **settings: Any) -> list[Any]:
    model = ChatModel("some-model", url=server.url, requests_per_minute=1e5)
    settings = {"attempts": 3, "first_pause": 0.01, "timeout": 20.0} | settings
    return fill_from_model(MICE, model, MOUSE, DiskCache(tmp_path / "c"), **settings)


def test_chat_model_fills_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(chat) as server:
        done = filled(server, tmp_path)
        assert [one.source for one in done] == ["llm", "ncbi", "none"]
        assert done[0].text == "Ins2. insulin II. Text of Ins2."
        assert summary_lines(done)[0].startswith("2 of 3 names matched")
        assert unmatched_tsv(done).splitlines()[1].startswith("Gm1\tunknown")
        assert len(server.requests) == 2
        request = server.requests[0]
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert "Mus musculus" in request.json["messages"][0]["content"]
        server.requests.clear()
        assert filled(server, tmp_path) == done
        assert not server.requests
    assert KEY.encode() not in (tmp_path / "c").read_bytes()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (HTML, "HTML page"),
        (json_reply({"choices": []}), "not a chat completion"),
        (json_reply({"choices": [{"message": {"content": " "}}]}), "empty text"),
        (Reply(b"", status=429), "429"),
    ],
)
def test_chat_faults(tmp_path: Path, fault: Reply, message: str) -> None:
    with serving(chat) as server:
        server.faults = [fault]
        assert filled(server, tmp_path)[0].source == "llm"
    with serving(lambda _: fault) as server, pytest.raises(ScReaderError, match=message):
        filled(server, tmp_path)


def test_refresh_asks_the_model_again(tmp_path: Path) -> None:
    with serving(chat) as server:
        done = filled(server, tmp_path)
        server.requests.clear()
        options = SourceOptions(cache=str(tmp_path), refresh=True)
        fill_options = FillOptions(("llm",), llm_model="m", llm_url=server.url)
        for _ in range(2):
            assert fill(MICE, fill_options, MOUSE, options, (), DEFAULT_FIELDS).descriptions == done
        assert len(server.requests) == 4


def test_texts_of_a_model_are_cached_although_another_answer_fails(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        if "Gm1" in request.json["messages"][0]["content"]:
            return Reply(b"no", status=400, delay=0.5)
        return chat(request)

    with serving(answer) as server:
        with pytest.raises(ScReaderError, match="status 400"):
            filled(server, tmp_path)
        server.requests.clear()
        server.answer = chat
        assert filled(server, tmp_path)[0].source == "llm"
        assert len(server.requests) == 1


def test_a_table_of_mice_is_no_source_of_human_texts(tmp_path: Path) -> None:
    """Neither where the table is the only source, nor where it is one by being given."""
    contents = {
        "mine": "symbol\tsummary\nIns2\t\nINS\tOf my mice.\n",
        "pairs": "mouse,human\nIns2,INS\n",
        "info": test_bulk.HEADER + test_bulk.INS,
        "summary": test_bulk.SUMMARY,
    }
    paths = {name: str(tmp_path / name) for name in contents}
    for name, content in contents.items():
        Path(paths[name]).write_text(content)
    files = (paths["info"],), (paths["summary"],)
    options = SourceOptions(table=paths["mine"], gene_info=files[0], gene_summary=files[1])
    own = describe(["Ins2"], make_sources(("table",), MOUSE, options))
    orthologs = FillOptions(("ortholog",), paths["pairs"])
    for names in ((), ("table",), ("table", "ncbi-files")):
        done = fill(own, orthologs, MOUSE, options, names, DEFAULT_FIELDS)
        assert done.descriptions[0].gene.summary == "Hormone."
        assert not [role for role in done.files if "table" in role]


def test_what_filling_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    options = SourceOptions(cache=str(tmp_path))
    for fill_options, organism, message in (
        (FillOptions(("ortholog",)), HUMAN, "to other species"),
        (FillOptions(("llm",)), MOUSE, "--llm-model"),
        (FillOptions(("llm",), llm_model="m"), MOUSE, "OPENAI_API_KEY is not set"),
    ):
        with pytest.raises(ScReaderError, match=message):
            fill(MICE, fill_options, organism, options, (), DEFAULT_FIELDS)
    with pytest.raises(ScReaderError, match="names no gene"):
        ChatModel("m", "Tell me something")
