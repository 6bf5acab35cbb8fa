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

sys.path.insert(0, str(Path(__file__).parents[1] / "genes"))

from fake_openai import embeddings_server, sent_texts, vector_of
from loopback import Reply, Request, serving
from running import command, environment, leaks, run

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.packaged import model_folder

TOOL = "embed-genes"
KEY = "sk-planted-0123456789"


@pytest.fixture(scope="module")
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five genes, one of them unknown."""
    folder = tmp_path_factory.mktemp("descriptions")
    path = folder / "d.h5ad"
    names = b"INS\nGCG\nnothing\nTTR\nIAPP\n"
    done = run("fetch-descriptions", "-o", path, home=folder, stdin=names)
    assert done.returncode == 0, done.stderr
    return path


def server_words(url: str, *more: object) -> list[object]:
    return ["--base-url", url, "--requests-per-minute", 60_000, *more]


def test_server(tmp_path: Path, descriptions: Path) -> None:
    output = tmp_path / "e.h5ad"
    with serving(embeddings_server) as server:
        words = [descriptions, *server_words(server.url), "-o", output]
        done = run(TOOL, *words, home=tmp_path, OPENAI_API_KEY=KEY)
        assert done.returncode == 0, done.stderr
        server.requests.clear()
        again = run(TOOL, *words[:-1], tmp_path / "again", home=tmp_path, OPENAI_API_KEY=KEY)
        assert not server.requests and b"4 of 4 texts are known" in again.stderr
    made = anndata.read_h5ad(output)
    assert made.uns["provider"] == "openai" and made.uns["model"] == "text-embedding-ada-002"
    assert np.array_equal(made.X[0], vector_of(made.obs["text"].iloc[0]))
    assert np.allclose(made.X[2], made.X[[0, 1, 3, 4]].mean(0), atol=1e-6)
    assert made.obs["source"].tolist() == ["ncbi", "ncbi", "none", "ncbi", "ncbi"]
    assert output.read_bytes() == (tmp_path / "again").read_bytes()
    assert leaks(KEY, tmp_path, done.stderr, again.stderr) == []


def test_dry_run_and_limit_send_nothing(tmp_path: Path, descriptions: Path) -> None:
    with serving(embeddings_server) as server:
        words = [descriptions, *server_words(server.url)]
        told = run(TOOL, *words, "--dry-run", home=tmp_path)
        assert told.returncode == 0
        assert b"4 to embed: about" in told.stderr and b"$0.0000" in told.stderr
        refused = run(TOOL, *words, "--max-cost", "1e-9", "-o", tmp_path / "e", home=tmp_path)
        assert refused.returncode == 1 and b"more than --max-cost" in refused.stderr
        assert not server.requests and not (tmp_path / "e").exists()


def kept(cache: Path) -> int:
    """How many vectors are on disk."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(cache)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
    return 0


@pytest.mark.parametrize(
    ("concurrent", "answered"),
    [pytest.param(1, 1, id="one-at-a-time"), pytest.param(4, 3, id="four-at-a-time")],
)
def test_killed_run_sends_only_the_rest(tmp_path: Path, concurrent: int, answered: int) -> None:
    """Nothing that was answered is asked for again, nor was more under way than one request."""
    table = tmp_path / "t.tsv"
    texts = [f"gene text {number}" for number in range(2_100)]
    rows = [f"G{number}\t{text}" for number, text in enumerate(texts)]
    table.write_text("\n".join(["symbol\ttext", *rows]) + "\n")
    genes = tmp_path / "d.h5ad"
    words: list[object] = ["--genes", table, "--table", table, "--column", "symbol", "-o", genes]
    assert run("fetch-descriptions", *words, home=tmp_path).returncode == 0
    turns: list[Request] = []
    came: list[str] = []
    hanging: list[str] = []
    lock = threading.Lock()

    def answer(request: Request) -> Reply:
        with lock:
            turns.append(request)
            answers = len(turns) <= answered
            (came if answers else hanging).extend(request.json["input"])
        return embeddings_server(request) if answers else Reply(b"", delay=30)

    output = tmp_path / "e.h5ad"
    with serving(answer) as server:
        words = [genes, *server_words(server.url, "--concurrent", concurrent), "-o", output]
        cache = tmp_path / "cache/screader/embeddings.sqlite"
        with subprocess.Popen(command(TOOL, *words), env=environment(tmp_path)) as process:
            deadline = time.monotonic() + 60
            while (not hanging or kept(cache) < len(came)) and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
        assert kept(cache) == len(came) and not output.exists()
        assert len(hanging) <= 2_048
        server.requests.clear()
        server.answer = embeddings_server
        assert run(TOOL, *words, home=tmp_path).returncode == 0
        assert sorted(sent_texts(server.requests)) == sorted(set(texts) - set(came))
    with h5py.File(output) as file:
        assert np.array_equal(file["X"][2_099], vector_of("gene text 2099"))


def test_packaged_model_repeats_and_pipes(tmp_path: Path, descriptions: Path) -> None:
    try:
        model_folder()
    except ScReaderError as error:
        pytest.skip(str(error))
    first = run(TOOL, descriptions, "-o", tmp_path / "e.h5ad", home=tmp_path)
    assert first.returncode == 0, first.stderr
    piped = run(TOOL, home=tmp_path, stdin=descriptions.read_bytes())
    assert piped.stdout == (tmp_path / "e.h5ad").read_bytes()
    assert b"1 genes have no vector of their own and get the mean vector." in piped.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--provider", "hidden-states"], "needs a model", id="no-model"),
        pytest.param(["--model", "/no/such/folder"], "no folder with a model", id="no-folder"),
        pytest.param(["--dimensions", "3"], "--dimensions is for --provider openai", id="dims"),
        pytest.param(["--provider", "openai"], "OPENAI_API_KEY is not set", id="no-key"),
        pytest.param(["--missing", "error"], "1 genes have no text", id="missing"),
        pytest.param(["--base-url", "http://a:b@c"], "holds credentials", id="credentials"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, descriptions: Path, words: list[str], message: str
) -> None:
    done = run(TOOL, descriptions, *words, "-o", tmp_path / "e", home=tmp_path)
    told = done.stderr.decode().strip()
    assert done.returncode == 1
    assert message in told and "\n" not in told
    assert not (tmp_path / "e").exists()


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("INS\n")
    for stdin, name, message in (
        (b"", tmp_path / "text", "is not an HDF5 file"),
        (b"", tmp_path / "nothing", "no such file"),
        (b"", tmp_path, "is a folder"),
        (b"INS", "-", "standard input: is not an HDF5 file"),
    ):
        done = run(TOOL, name, "-o", tmp_path / "e", home=tmp_path, stdin=stdin)
        assert done.returncode == 1 and message in done.stderr.decode()


def test_import_for_descriptions_and_on_its_own(tmp_path: Path, descriptions: Path) -> None:
    vectors = tmp_path / "theirs.csv"
    vectors.write_text("gene,a,b\nINS,1,2\nGCG,3,4\nOTHER,5,6\n")
    output = tmp_path / "e.h5ad"
    words = [descriptions, "--import", vectors, "--missing", "drop", "-o", output]
    done = run(TOOL, *words, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"2 of 5 genes have a precomputed vector." in done.stderr
    made = anndata.read_h5ad(output)
    assert made.obs_names.tolist() == ["INS", "GCG"] and made.X.tolist() == [[1, 2], [3, 4]]
    assert (made.uns["provider"], made.uns["model"]) == ("import", "theirs")
    assert made.obs["text_sha256"].tolist() == ["", ""] and "text" not in made.obs
    assert made.obs["source"].tolist() == ["user", "user"]
    assert run(TOOL, "--import", vectors, "-o", output, home=tmp_path).returncode == 0
    assert anndata.read_h5ad(output).obs_names.tolist() == ["INS", "GCG", "OTHER"]
    assert run("screader", "validate", output, home=tmp_path).returncode == 0
    piped = run(TOOL, "--import", "-", home=tmp_path, stdin=b"\x80\x05cut")
    assert piped.returncode == 1 and b"error: standard input: is" in piped.stderr


def test_import_of_own_embeddings(tmp_path: Path, descriptions: Path) -> None:
    """The texts are those of the vectors, and vectors that were filled in are no one's."""
    first, second = tmp_path / "e.h5ad", tmp_path / "f.h5ad"
    with serving(embeddings_server) as server:
        words = [descriptions, *server_words(server.url), "-o", first]
        assert run(TOOL, *words, home=tmp_path).returncode == 0
    done = run(TOOL, descriptions, "--import", first, "-o", second, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"4 of 5 genes have a precomputed vector." in done.stderr
    one, other = anndata.read_h5ad(first), anndata.read_h5ad(second)
    for name in ("text", "text_sha256", "source"):
        assert one.obs[name].tolist() == other.obs[name].tolist()
    assert np.allclose(one.X, other.X)
    assert run("screader", "validate", second, home=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--provider", "openai"], 0, "4 to embed"),
        (["--provider", "openai", "--max-cost", "0"], 1, "more than --max-cost"),
        (["--import", "x.csv"], 2, "--import sends nothing"),
    ],
)
def test_dry_runs(
    tmp_path: Path, descriptions: Path, words: list[str], status: int, told: str
) -> None:
    done = run(TOOL, descriptions, "--dry-run", *words, "-o", tmp_path / "e", home=tmp_path)
    assert (done.returncode, (tmp_path / "e").exists()) == (status, False)
    assert told in done.stderr.decode()
