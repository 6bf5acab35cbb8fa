"""``fetch-descriptions`` as its users type it."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from fake_ncbi import FakeDatasets, FakeEutils, fetched_ids, many_genes
from loopback import Reply, Request, json_reply, serving
from real_data import real
from running import command, environment, leaks, run
from test_bulk import HEADER, INS, SUMMARY

TOOL = "fetch-descriptions"
KEY = "a-planted-key-0123456789"


def column(path: Path, name: str) -> list[str]:
    return anndata.read_h5ad(path).obs.reset_index()[name].astype(str).tolist()


def test_list_from_standard_input(tmp_path: Path) -> None:
    output, unmatched = tmp_path / "d.h5ad", tmp_path / "u.tsv"
    names = b"INS\nGCG\nINS\nAIM1\nnothing\nENSG00000254647.4\n"
    done = run(TOOL, "-o", output, "--unmatched", unmatched, home=tmp_path, stdin=names)
    assert (done.returncode, done.stdout) == (0, b"")
    assert column(output, "id") == ["INS", "GCG", "AIM1", "nothing", "ENSG00000254647.4"]
    assert column(output, "symbol") == ["INS", "GCG", "AIM1", "nothing", "INS"]
    assert column(output, "source") == ["ncbi", "ncbi", "none", "none", "ncbi"]
    assert column(output, "matched_by")[2:] == ["ambiguous", "none", "ensembl_id"]
    assert done.stderr.decode().splitlines()[1:] == [
        "fetch-descriptions: 3 of 5 names matched (symbol 2, ensembl id 1).",
        "fetch-descriptions: 1 ambiguous name left unmatched.",
        "fetch-descriptions: 3 of 5 have a summary (60.0%); 2 have no text.",
        "fetch-descriptions: 1 duplicate name dropped.",
        "fetch-descriptions: 1 gene listed under more than one name; all names kept.",
    ]
    rows = [line.split("\t") for line in unmatched.read_text().splitlines()]
    assert rows[0] == ["id", "reason", "candidates"]
    assert rows[1][:2] == ["AIM1", "ambiguous"] and "CRYBG1 (202)" in rows[1][2]
    assert rows[2] == ["nothing", "unknown", ""]
    assert len(anndata.read_h5ad(output)) == 5


def test_pipe_and_file_give_the_same_bytes(tmp_path: Path) -> None:
    cells, output = tmp_path / "c.h5ad", tmp_path / "d.h5ad"
    adata = anndata.AnnData(np.ones((2, 3), np.float32))
    adata.var_names = ["TTR", "HLA.A", "IAPP"]
    adata.write_h5ad(cells)
    done = run(TOOL, "--genes", cells, "-o", output, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run(TOOL, home=tmp_path, stdin=cells.read_bytes()).stdout == output.read_bytes()
    assert column(output, "symbol") == ["TTR", "HLA-A", "IAPP"]


def test_user_table_before_the_packaged_facts(tmp_path: Path) -> None:
    table, output = tmp_path / "t.tsv", tmp_path / "d.h5ad"
    words = ["--source", "table", "--source", "packaged", "--table", table, "-o", output]
    table.write_text("symbol\ttext\nINS\tMy insulin.\nMYGENE\tMade up.\n")
    done = run(TOOL, *words, home=tmp_path, stdin=b"INS\nMYGENE\nGCG\n")
    assert done.returncode == 0, done.stderr
    *own, packaged = column(output, "text")
    assert own == ["My insulin.", "Made up."]
    assert packaged.startswith("GCG. glucagon. protein-coding. The protein encoded by this gene")
    assert column(output, "source") == ["user", "user", "ncbi"]


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        pytest.param([], b"", "standard input: is empty", id="empty-input"),
        pytest.param([], b"\n\n", "standard input: contains no gene names", id="no-gene"),
        pytest.param(["--genes", "nowhere.txt"], b"", "nowhere.txt: no such file", id="missing"),
        pytest.param(
            ["--organism", "rat", "--source", "packaged"],
            b"Ins1\n",
            "no packaged facts for genes of Rattus norvegicus",
            id="organism",
        ),
        pytest.param(["--fields", "x"], b"INS\n", "'x' is not a field", id="field"),
        pytest.param(["--source", "table"], b"INS\n", "Give --table FILE", id="no-table"),
        pytest.param(["--gene-info", "nowhere"], b"INS\n", "nowhere: no such file", id="no-info"),
        pytest.param(
            ["--table", "ragged.csv"], b"INS\n", "row 2 has more columns than the", id="ragged"
        ),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, words: list[str], stdin: bytes, message: str
) -> None:
    output = tmp_path / "d.h5ad"
    ragged = "symbol,text\nGCG,Glucagon.\nINS,Insulin, a hormone.\n"
    (tmp_path / "ragged.csv").write_text(ragged)
    done = run(TOOL, *words, "-o", output, home=tmp_path, stdin=stdin, cwd=tmp_path)
    line = done.stderr.decode().strip()
    assert done.returncode == 1
    assert message in line and "\n" not in line
    assert not output.exists()


def test_bulk_files_are_downloaded_once(tmp_path: Path) -> None:
    contents = {
        "/GENE_INFO/Mammalia/Homo_sapiens.gene_info.gz": gzip.compress((HEADER + INS).encode()),
        "/gene_summary.gz": gzip.compress(SUMMARY.encode()),
    }
    with serving(lambda request: Reply(contents[request.path])) as server:
        words = ["--source", "ncbi-files", "--files-url", server.url, "--cache", tmp_path / "k"]
        for output in ("a", "b"):
            done = run(TOOL, *words, "-o", tmp_path / output, home=tmp_path, stdin=b"INS\n")
            assert done.returncode == 0, done.stderr
        assert len(server.requests) == 2
        server.faults = [Reply(b"<html>")]
        done = run(TOOL, *words, "--refresh", home=tmp_path, stdin=b"INS\n")
    assert b"not received as a complete gzip file" in done.stderr
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert column(tmp_path / "a", "summary") == ["Hormone."]


def test_killed_run_resumes_and_leaves_no_key(tmp_path: Path) -> None:
    genes = many_genes(70)
    fake = FakeEutils(genes)
    answered: list[Request] = []

    def answer(request: Request) -> Reply:
        if request.path.endswith("efetch.fcgi") and len(fetched_ids([*answered, request])) > 40:
            return Reply(b"", delay=30)
        answered.append(request)
        return fake(request)

    output, genes_file = tmp_path / "d.h5ad", tmp_path / "g.txt"
    genes_file.write_text("".join(f"{gene.symbol}\n" for gene in genes))
    with serving(answer) as server:
        words = ["--source", "eutils", "--eutils-url", server.url, "--genes", genes_file]
        words += ["-o", output, "--verbose"]
        with subprocess.Popen(
            command(TOOL, *words),
            env=environment(tmp_path, NCBI_API_KEY=KEY),
            stderr=subprocess.PIPE,
        ) as process:
            deadline = time.monotonic() + 60
            while len(fetched_ids(server.requests)) <= 40 and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
        assert not output.exists()
        server.requests.clear()
        server.answer = fake
        server.faults = [Reply(KEY.encode(), status=500)]
        done = run(TOOL, *words, home=tmp_path, NCBI_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert fetched_ids(server.requests)[-30:] == [gene.gene_id for gene in genes[40:]]
        assert len(set(fetched_ids(server.requests))) == 30
    assert column(output, "summary") == [gene.summary for gene in genes]
    assert leaks(KEY, tmp_path, done.stderr, done.stdout) == []
    assert not list(tmp_path.glob(".*partial"))


def test_datasets_are_sent_the_key_and_nobody_else(tmp_path: Path) -> None:
    with serving(FakeDatasets()) as server:
        words = ["--source", "datasets", "--datasets-url", server.url, "-o", tmp_path / "d"]
        done = run(TOOL, *words, home=tmp_path, stdin=b"INS\n", NCBI_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert server.requests[0].headers["api-key"] == KEY
    assert column(tmp_path / "d", "full_name") == ["insulin"]
    assert leaks(KEY, tmp_path, done.stderr) == []


def test_genes_of_several_files_come_once_in_order(tmp_path: Path) -> None:
    first, second, output = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "d.h5ad"
    first.write_text("INS\nGCG\n")
    second.write_text("GCG\nTTR\nTTR\n")
    done = run(TOOL, "--genes", first, "--genes", second, "-o", output, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert column(output, "id") == ["INS", "GCG", "TTR"]
    assert "1 duplicate name dropped" in done.stderr.decode()
    with h5py.File(output) as file:
        assert {"genes", "genes_1"} <= set(json.loads(file["uns/screader/inputs"][()]))


@pytest.mark.slow
def test_real_cells_offline(tmp_path: Path) -> None:
    cells = real("baron_human.h5ad")
    done = run(TOOL, "--genes", cells, home=tmp_path)
    assert done.returncode == 0, done.stderr
    with h5py.File(io.BytesIO(done.stdout)) as file:
        texts = file["obs/text"].asstr()[()]
    assert len(texts) == 20_125
    assert sum(bool(text) for text in texts) > 20_000


def test_chat_model_is_recorded_and_its_key_is_not(tmp_path: Path) -> None:
    answer = {"choices": [{"message": {"content": "A hormone."}}]}
    output, prompt = tmp_path / "d.h5ad", tmp_path / "prompt.txt"
    prompt.write_text("What is {symbol}?")
    with serving(lambda _: json_reply(answer)) as server:
        words = ["--fill", "llm", "--llm-model", "some-model", "--llm-url", server.url]
        words += ["--llm-prompt", prompt, "-o", output]
        done = run(TOOL, *words, home=tmp_path, stdin=b"CD22\n", OPENAI_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        assert server.requests[0].json["messages"][0]["content"] == "What is CD22?"
    assert column(output, "source") == ["llm"]
    assert column(output, "text") == ["CD22. CD22 molecule. protein-coding. A hormone."]
    with h5py.File(output) as file:
        record = file["uns/generation"].asstr()[()]
    assert "some-model" in record and "What is {symbol}?" in record
    assert run("screader", "validate", output, home=tmp_path).returncode == 0
    assert leaks(KEY, tmp_path, done.stderr) == []
