"""Readers by name: registries, fetching, cards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml
from genes.loopback import Loopback, Reply, serving
from running import invoke

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.genes.services import service
from screader_lib.readers.card import read_card
from screader_lib.readers.fetching import fetch, find_reader
from screader_lib.readers.registry import known_readers

CARD = {
    "name": "test-reader",
    "version": "1.0",
    "summary": "Three types for tests",
    "tissue": "pancreas",
    "species": "Homo sapiens",
    "studies": [{"title": "A study", "doi": "10.1016/j.cels.2016.08.011", "licence": "CC0"}],
    "figures": [
        {"cells": "blood", "laboratory": "another", "number": 1200, "accuracy": 0.9876},
    ],
    "limits": ["Anything but three types."],
}


@pytest.fixture(scope="module")
def reader(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader with a card, cross-validated by donor."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "card.yaml").write_text(yaml.safe_dump(CARD), "utf-8")
    words = ("--method", "majority", "--folds", 3, "--card", folder / "card.yaml")
    done = invoke("train-reader", cells, *words, "-o", folder / "reader.h5")
    assert done.exit_code == 0, done.stderr
    return folder / "reader.h5"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCREADER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCREADER_READERS", raising=False)
    monkeypatch.setattr(service.Service, "pause", lambda *_: None)
    return tmp_path / "cache" / "readers"


@contextmanager
def served(reader: Path, **settings: Any) -> Iterator[Loopback]:
    with serving(lambda _: Reply(reader.read_bytes(), **settings)) as server:
        yield server


def registry(folder: Path, **changes: Any) -> Path:
    entry = {"name": "test-reader", "location": "reader.h5", "sha256": "0" * 64, **changes}
    path = folder / "registry.json"
    path.write_text(json.dumps({"readers": [entry]}), "utf-8")
    return path


def screader(*words: object, **environ: str) -> Any:
    return invoke("screader", "readers", *words)


def test_a_folder_is_fetched_and_then_known_by_the_name_in_its_card(reader: Path) -> None:
    done = screader("fetch", reader.parent)
    assert done.stdout == f"test-reader\t{sha256_of(reader)}\n"
    assert find_reader("test-reader").read_bytes() == reader.read_bytes()
    assert "test-reader\t1.0\tfetched\tThree types for tests\n" in screader().stdout


def test_a_name_is_a_reader_for_the_commands(reader: Path, cells: Path, tmp_path: Path) -> None:
    fetch(str(reader))
    done = invoke("predict", cells, "-r", "test-reader", "-o", tmp_path / "calls.h5ad")
    assert done.exit_code == 0, done.stderr
    done = invoke("predict", cells, "-r", "test-raeder", "-o", tmp_path / "other.h5ad")
    assert done.exit_code == 1
    assert "test-raeder: no such file, and no reader of this name. Did you mean test-reader?" in (
        done.stderr
    )
    assert not (tmp_path / "other.h5ad").exists()


def test_a_folder_of_a_readers_name_does_not_hide_it(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(str(reader))
    monkeypatch.chdir(tmp_path)
    for name in ("test-reader", "other"):
        (tmp_path / name).mkdir()
    assert find_reader("test-reader").read_bytes() == reader.read_bytes()
    assert "other: is a folder" in screader("show", "other").stderr


def test_a_url_is_fetched_once(reader: Path, tmp_path: Path) -> None:
    with served(reader) as server:
        path = registry(tmp_path, location=f"{server.url}/r.h5", sha256=sha256_of(reader))
        for _ in range(2):
            assert find_reader("test-reader", path).read_bytes() == reader.read_bytes()
        assert [request.path for request in server.requests] == ["/r.h5"]


def test_the_hub_is_asked_for_the_revision_with_the_token(
    reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with served(reader) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert fetch("hf:lab/lung@v2", name="lung").name == "lung"
    (request,) = server.requests
    assert request.path == "/lab/lung/resolve/v2/reader.h5"
    assert request.headers["Authorization"] == "Bearer hf_secret"


@pytest.mark.parametrize("source", ["hf:lab/../x", "hf:lab", "hf:lab/lung/../../x", "hf:a b/c"])
def test_strange_names_of_the_hub_are_refused(source: str) -> None:
    with pytest.raises(ScReaderError, match="expected hf:ORG/REPO"):
        fetch(source)


def test_another_sha256_is_refused_and_nothing_kept(
    reader: Path, cache: Path, tmp_path: Path
) -> None:
    with served(reader) as server:
        path = registry(tmp_path, location=f"{server.url}/r.h5", sha256="0" * 64)
        with pytest.raises(ScReaderError, match=f"SHA-256 is {sha256_of(reader)}, expected 0000"):
            find_reader("test-reader", path)
        done = screader("fetch", f"{server.url}/r.h5", "--sha256", "f" * 64)
        assert done.exit_code == 1 and "not the reader that is meant" in done.stderr
    assert not list(cache.iterdir())


def test_a_cut_download_is_tried_again_and_never_kept(reader: Path, cache: Path) -> None:
    with served(reader) as server:
        server.faults = [Reply(reader.read_bytes(), cut=True)]
        fetch(f"{server.url}/r.h5")
        assert find_reader("test-reader").read_bytes() == reader.read_bytes()
    (cache / "test-reader.h5").unlink()
    with served(reader, cut=True) as server, pytest.raises(ScReaderError, match="was cut, 5 times"):
        fetch(f"{server.url}/r.h5")
    assert [path.name for path in cache.iterdir()] == ["test-reader.json"]


def test_a_changed_file_in_the_cache_is_not_used(reader: Path, cache: Path) -> None:
    fetch(str(reader))
    with h5py.File(cache / "test-reader.h5", "a") as file:
        file["labels/count"][0] += 1
    with pytest.raises(ScReaderError, match="not the reader that is meant"):
        find_reader("test-reader")


def test_without_a_network_nothing_but_files_is_fetched(reader: Path) -> None:
    with pytest.raises(ScReaderError, match=r"SCREADER_OFFLINE is set\. Fetch it on a machine"):
        fetch("https://example.org/reader.h5")
    with pytest.raises(ScReaderError, match="SCREADER_OFFLINE is set"):
        fetch("hf:lab/lung")
    assert fetch(str(reader)).name == "test-reader"


def test_what_is_no_reader_is_not_kept(cells: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "page.h5").write_text("<html>not found</html>", "utf-8")
    for path, told in ((cells, "is a cells file, expected reader"), (tmp_path / "page.h5", "HDF5")):
        with pytest.raises(ScReaderError, match=told):
            fetch(str(path), name="other")
    assert not list(cache.iterdir())


def test_a_reader_without_a_card_needs_a_name(cells: Path, tmp_path: Path) -> None:
    invoke("train-reader", cells, "--method", "majority", "-o", tmp_path / "r.h5")
    with pytest.raises(ScReaderError, match="no card with its name"):
        fetch(str(tmp_path))
    for name in ("../r", "a/b", "A", ""):
        with pytest.raises(ScReaderError, match=r"cannot be called|no card with its name"):
            fetch(str(tmp_path), name=name)
    fetch(str(tmp_path), name="plain")
    done = screader("show", "plain")
    assert "no card" in done.stdout and "Cells of a held-out donor\n" in done.stdout


def test_a_facilitys_registry_names_files_beside_it(
    reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reader.h5").write_bytes(reader.read_bytes())
    path = registry(tmp_path, name="ours", sha256=sha256_of(reader))
    assert find_reader("ours", path) == tmp_path / "reader.h5"
    monkeypatch.setenv("SCREADER_READERS", str(path))
    assert find_reader("ours") == tmp_path / "reader.h5"
    assert "ours\t-\tregistry\n" in screader("list").stdout


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "../../etc/x"}, r"readers\[1\]\.name: is '\.\./\.\./etc/x'"),
        ({"name": "a/b"}, r"\.name: is 'a/b'"),
        ({"name": ["x"]}, r"\.name: is \['x'\], expected a text"),
        ({"location": "../../../etc/passwd"}, "leads out of the registry's folder"),
        ({"location": "file:///etc/passwd"}, "neither http, https, hf: nor a file"),
        ({"location": 7}, r"\.location: is 7"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"version": 1.0}, r"\.version: is 1\.0, expected a text, in quotation marks"),
    ],
)
def test_a_hostile_registry_is_refused(changes: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(ScReaderError, match=told):
        known_readers(registry(tmp_path, **changes))


@pytest.mark.parametrize("text", ["[1]", "readers: 3", "readers: [x]", "a: [", "!!python/name:os"])
def test_a_registry_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ScReaderError, match=r"registry\.yaml: "):
        known_readers(path)


def test_the_card_is_printed_with_the_readers_own_figures(reader: Path) -> None:
    for told in (screader("show", reader).stdout, invoke("screader", "info", reader).stdout):
        for words in (
            "test-reader, version 1.0: Three types for tests",
            "A study; https://doi.org/10.1016/j.cels.2016.08.011; CC0",
            "CL:0000001         30  ",
            "Held-out cells of the same samples\n  accuracy 0.333, macro F1 0.167",
            "1,200 cells, blood (another)\n    accuracy 0.988",
            "Anything but three types.",
        ):
            assert words in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "Human Lung"}, "name: is 'Human Lung', expected one like human-pancreas"),
        ({"version": 1.0}, "version: is 1.0, expected a text, in quotation marks"),
        ({"tissue": None}, "tissue: missing, expected a text, such as pancreas"),
        ({"tisue": "x"}, "tisue: unknown; known are name, version"),
        ({"studies": []}, "studies: expected a list of one or more entries"),
        ({"studies": [{"title": "x"}]}, r"studies\[1\]\.licence: missing"),
        (
            {"studies": [{"title": "x", "licence": "y", "doi": "doi:10"}]},
            r"studies\[1\]\.doi: is 'doi:10', expected one like 10\.1016",
        ),
        (
            {"figures": [{"cells": "x", "laboratory": "y", "number": 3, "accuracy": 98}]},
            r"figures\[1\]\.accuracy: is 98, expected a number from 0 to 1",
        ),
        ({"limits": "none"}, "limits: expected a list"),
        ({"limits": [3]}, r"limits\[1\]: is 3, expected a text"),
    ],
)
def test_errors_in_a_card_name_the_field(change: dict, told: str, tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(CARD | change), "utf-8")
    with pytest.raises(ScReaderError, match=told):
        read_card(path)


def test_a_wrong_card_is_told_before_training(cells: Path, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: x", "utf-8")
    words = ("--method", "majority", "--card", tmp_path / "card.yaml")
    done = invoke("train-reader", cells, *words, "-o", tmp_path / "r.h5")
    assert done.exit_code == 1
    assert "card.yaml: version: missing" in done.stderr and "training" not in done.stderr
    assert not (tmp_path / "r.h5").exists()
