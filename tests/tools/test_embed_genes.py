"""``embed-genes`` as its users type it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from running import command, environment, leaks, run
from small_files import call, fail, succeed

sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from fake_openai import embeddings_server, sent_texts, vector_of
from loopback import Reply, Request, serving

TOOL = "embed-genes"
KEY = "sk-planted-0123456789"


@pytest.fixture(scope="module")
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five genes, one of them unknown."""
    folder = tmp_path_factory.mktemp("descriptions")
    (folder / "genes").write_text("INS\nGCG\nnothing\nTTR\nIAPP\n")
    succeed("fetch-descriptions", "--genes", folder / "genes", "-o", folder / "d.h5ad")
    return folder / "d.h5ad"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SCREADER_CACHE", raising=False)
    return tmp_path


def server_options(url: str, *more: object) -> list[object]:
    return ["--base-url", url, "--requests-per-minute", 60_000, *more]


def test_server(tmp_path: Path, descriptions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    output = tmp_path / "e.h5ad"
    with serving(embeddings_server) as server:
        words = [descriptions, *server_options(server.url), "-o"]
        first = succeed(TOOL, *words, output)
        server.requests.clear()
        second = succeed(TOOL, *words, tmp_path / "again")
        assert not server.requests and "4 of 4 texts are cached" in second.stderr
    made = anndata.read_h5ad(output)
    assert made.uns["provider"] == "openai" and made.uns["model"] == "text-embedding-ada-002"
    assert np.array_equal(made.X[0], vector_of(made.obs["text"].iloc[0]))
    assert np.allclose(made.X[2], made.X[[0, 1, 3, 4]].mean(0), atol=1e-6)
    assert made.obs["source"].tolist() == ["ncbi", "ncbi", "none", "ncbi", "ncbi"]
    assert output.read_bytes() == (tmp_path / "again").read_bytes()
    assert leaks(KEY, tmp_path, first.stderr.encode(), second.stderr.encode()) == []


def test_dry_run_and_limit_send_nothing(tmp_path: Path, descriptions: Path) -> None:
    output = tmp_path / "e"
    with serving(embeddings_server) as server:
        words = [descriptions, *server_options(server.url)]
        report = succeed(TOOL, *words, "--dry-run").stderr
        assert "4 to embed: about" in report and "about $0.0001" in report
        assert "more than --max-cost" in fail(TOOL, *words, "--max-cost", "1e-9", "-o", output)
        assert not server.requests
    refused = call(TOOL, descriptions, "--dry-run", "--import", "x.csv", "-o", output)
    assert refused.exit_code == 2 and "--import sends nothing" in refused.stderr
    assert not output.exists()


def cached_vectors(cache: Path) -> int:
    """How many vectors are on disk."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(cache)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
    return 0


def test_killed_run_sends_only_the_rest(tmp_path: Path) -> None:
    """Nothing that was answered is requested again, and at most one request's texts are lost."""
    table = tmp_path / "t.tsv"
    texts = [f"gene text {number}" for number in range(2_100)]
    rows = [f"G{number}\t{text}" for number, text in enumerate(texts)]
    table.write_text("\n".join(["symbol\ttext", *rows]) + "\n")
    genes = tmp_path / "d.h5ad"
    succeed("fetch-descriptions", "--genes", table, "--table", table, "--column", "symbol",
            "-o", genes)  # fmt: skip
    lock = threading.Lock()
    requests: list[Request] = []
    received: list[str] = []
    hanging: list[str] = []

    def answer(request: Request) -> Reply:
        with lock:
            requests.append(request)
            answers = len(requests) <= 3
            (received if answers else hanging).extend(request.json["input"])
        return embeddings_server(request) if answers else Reply(b"", delay=30)

    output = tmp_path / "e.h5ad"
    cache = tmp_path / "cache/screader/embeddings.sqlite"
    with serving(answer) as server:
        words = [genes, *server_options(server.url, "--concurrent", 4), "-o", output]
        with subprocess.Popen(command(TOOL, *words), env=environment(tmp_path)) as process:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and (
                not hanging or cached_vectors(cache) < len(received)
            ):
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
        assert cached_vectors(cache) == len(received) and not output.exists()
        assert len(hanging) <= 2_048
        server.requests.clear()
        server.answer = embeddings_server
        succeed(TOOL, *words)
        assert sorted(sent_texts(server.requests)) == sorted(set(texts) - set(received))
    with h5py.File(output) as file:
        assert np.array_equal(file["X"][2_099], vector_of("gene text 2099"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--provider", "hidden-states"], "needs a model", id="no-model"),
        pytest.param(["--model", "/no/such/folder"], "not a folder with a model", id="no-folder"),
        pytest.param(
            ["--dimensions", "3"], "--dimensions does not go with --provider packaged", id="dims"
        ),
        pytest.param(["--provider", "openai"], "OPENAI_API_KEY is not set", id="no-key"),
        pytest.param(["--missing", "error"], "1 gene without a text", id="missing"),
        pytest.param(["--base-url", "http://a:b@c"], "contains credentials", id="credentials"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, descriptions: Path, words: list[str], message: str
) -> None:
    assert message in fail(TOOL, descriptions, *words, "-o", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_import_for_descriptions_and_on_its_own(tmp_path: Path, descriptions: Path) -> None:
    vectors = tmp_path / "theirs.csv"
    vectors.write_text("gene,a,b\nINS,1,2\nGCG,3,4\nOTHER,5,6\n")
    output = tmp_path / "e.h5ad"
    words = [descriptions, "--import", vectors, "--missing", "drop", "-o", output]
    assert "2 of 5 genes have a precomputed vector." in succeed(TOOL, *words).stderr
    made = anndata.read_h5ad(output)
    assert made.obs_names.tolist() == ["INS", "GCG"] and made.X.tolist() == [[1, 2], [3, 4]]
    assert (made.uns["provider"], made.uns["model"]) == ("import", "theirs")
    assert made.obs["text_sha256"].tolist() == ["", ""] and "text" not in made.obs
    assert made.obs["source"].tolist() == ["user", "user"]
    succeed(TOOL, "--import", vectors, "-o", output)
    assert anndata.read_h5ad(output).obs_names.tolist() == ["INS", "GCG", "OTHER"]
    succeed("validate", output)
    piped = run(TOOL, "--import", "-", home=tmp_path, stdin=b"\x80\x05cut")
    assert piped.returncode == 1 and b"error: standard input: is" in piped.stderr


def test_shuffled_vectors_are_those_of_other_genes(tmp_path: Path) -> None:
    vectors = tmp_path / "theirs.csv"
    rows = [f"G{number},{number},{-number}" for number in range(50)]
    vectors.write_text("gene,a,b\n" + "\n".join(rows) + "\n")
    for seed in (3, 3, 4):
        output = tmp_path / f"{seed}.h5ad"
        succeed(TOOL, "--import", vectors, "--shuffle", seed, "-o", output)
    made, other = (anndata.read_h5ad(tmp_path / f"{seed}.h5ad") for seed in (3, 4))
    assert made.obs_names.tolist() == [f"G{number}" for number in range(50)]
    assert sorted(made.X[:, 0]) == list(range(50)) and (made.X[:, 0] == -made.X[:, 1]).all()
    assert (made.X[:, 0] == np.arange(50)).mean() < 0.2
    assert made.uns["model"] == "theirs, shuffled"
    assert not np.array_equal(made.X, other.X)


def test_import_of_own_embeddings(tmp_path: Path, descriptions: Path) -> None:
    """Texts are those of the vectors, and filled-in vectors are not taken."""
    first, second = tmp_path / "e.h5ad", tmp_path / "f.h5ad"
    with serving(embeddings_server) as server:
        succeed(TOOL, descriptions, *server_options(server.url), "-o", first)
    done = succeed(TOOL, descriptions, "--import", first, "-o", second)
    assert "4 of 5 genes have a precomputed vector." in done.stderr
    one, other = anndata.read_h5ad(first), anndata.read_h5ad(second)
    for name in ("text", "text_sha256", "source"):
        assert one.obs[name].tolist() == other.obs[name].tolist()
    assert np.allclose(one.X, other.X)
    succeed("validate", second)
