"""Weights from the Hugging Face hub, through the command line, on a hub of the tests' own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fake_hub import NAME, TOKEN, FakeHub, commit_of, refused, wants_weights
from hub_place import QUICK, Place, recorded
from loopback import Reply, Request, serving
from running import leaks, run_process
from small_files import fail, succeed

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm import hub as fetching
from screader_lib.reader.llm.frozen_llm import load_llm
from screader_lib.reader.llm.weights import find_weights
from screader_lib.reader.methods.methods import _load_llm

NETWORK = {"SCREADER_OFFLINE": "0", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}


def test_two_runs_and_a_third_without_a_network(models: Path, cells: Path, tmp_path: Path) -> None:
    """Processes of their own: trained from the hub, called while its main branch moves, offline."""
    hub = FakeHub({"main": models / "first"}, access="gated")
    reader, calls = tmp_path / "r.h5", tmp_path / "p.h5ad"
    with serving(hub) as server:
        hub.port = int(server.url.rsplit(":", 1)[1])
        more = {**NETWORK, "HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN}
        words = ("train-reader", cells, "--llm", NAME, *QUICK, "-o", reader, "-v")
        trained = run_process(*words, home=tmp_path, **more)
        assert trained.returncode == 0, trained.stderr
        assert recorded(reader)["revision"] == commit_of("first")
        hub.commits["main"] = models / "second"
        hub.commits["old"] = models / "first"
        asked = len(server.requests)
        without = {"HF_ENDPOINT": server.url, offline.VARIABLE: "1", "HF_HUB_OFFLINE": "0"}
        called = run_process("predict", cells, "-r", reader, "-o", calls, home=tmp_path, **without)
        assert called.returncode == 0, called.stderr
        assert len(server.requests) == asked
    assert b"Fetching" not in trained.stderr
    assert not leaks(TOKEN, tmp_path, trained.stdout, trained.stderr, called.stderr)


def test_the_reader_records_the_commit_and_reads_as_from_a_folder(
    place: Place, models: Path
) -> None:
    identity = recorded(place.train())
    folder = load_llm(str(models / "first"), instruction="").identity
    assert identity["name"] == NAME and identity["kind"] == "hub"
    assert identity["revision"] == commit_of("first")
    assert identity["weights"] == folder.weights and identity["layers"] == folder.layers
    assert all("Authorization" not in request.headers for request in place.server.requests)


@pytest.mark.parametrize("revision", ["v2", commit_of("second")], ids=["tag", "commit"])
def test_a_revision_is_pinned(place: Place, revision: str) -> None:
    reader = place.train("pinned.h5", "--llm-revision", revision)
    assert recorded(reader)["revision"] == commit_of("second")
    assert recorded(reader)["weights"] != find_weights(NAME).digest()


@pytest.mark.parametrize("named", [(), ("--llm", NAME)], ids=["as in training", "named again"])
def test_a_reader_is_called_with_the_commit_it_was_trained_with(
    place: Place, models: Path, named: tuple[str, ...]
) -> None:
    reader = place.train()
    place.hub.commits = {"main": models / "second", "old": models / "first"}
    _load_llm.cache_clear()
    succeed("predict", place.cells, "-r", reader, *named, "-o", place.folder / "p.h5ad")
    assert find_weights(NAME).revision == commit_of("second")


def test_a_second_time_nothing_is_fetched(place: Place) -> None:
    place.train()
    fetched = sum(map(wants_weights, place.server.requests))
    place.train("again.h5")
    assert fetched and sum(map(wants_weights, place.server.requests)) == fetched


@pytest.mark.parametrize("status", [500, 429, 0], ids=["error", "too many", "unreachable"])
def test_a_hub_that_fails_is_done_without_where_the_cache_has_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    from huggingface_hub import constants

    first = recorded(place.train())
    place.hub.fault = lambda request: refused(status, "")
    if not status:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert recorded(place.train("again.h5")) == first


@pytest.fixture
def pickled(models: Path, tmp_path: Path) -> Path:
    """A model whose weights are only in pickles."""
    folder = shutil.copytree(models / "first", tmp_path / "hub" / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_are_not_fetched(place: Place, pickled: Path) -> None:
    place.hub.commits["main"] = pickled
    line = place.refuse()
    assert "no safetensors" in line and "--llm-revision" in line
    assert not any(".bin" in path or "/cdn/" in path for path in place.asked)
    assert not list(place.cache.rglob("*.bin"))


def test_only_one_form_of_the_weights_is_fetched(
    place: Place, models: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(models / "first", tmp_path / "hub" / "several")
    for name in ("pytorch_model.bin", "consolidated.safetensors", "tf_model.h5"):
        (folder / name).write_bytes(b"0" * 100)
    place.hub.commits["main"] = folder
    place.train()
    assert {path.name for path in place.cache.rglob("*.*s*")} >= {"model.safetensors"}
    names = ("pytorch_model", "consolidated", "tf_model")
    assert not any(name in path for path in place.asked for name in names)


def cut(request: Request, hub: FakeHub) -> Reply | None:
    """Half of the weights, though their length is told."""
    if not wants_weights(request):
        return None
    return replace(replace(hub, fault=lambda _: None)(request), cut=True)


def test_a_cut_download_leaves_no_half_model(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its trials
    place.hub.fault = lambda request: cut(request, place.hub)
    assert "its download was interrupted. Run it again" in place.refuse()
    assert not [path for path in place.cache.rglob("*") if path.stat().st_size > 20_000]
    with monkeypatch.context() as without:
        from huggingface_hub import constants

        without.setattr(constants, "HF_HUB_OFFLINE", True)
        assert "is incomplete in the cache" in place.refuse()
    tries = iter([True])
    place.hub.fault = lambda request: next(tries, None) and cut(request, place.hub)
    assert recorded(place.train())["weights"] == find_weights(NAME).digest()


def test_a_damaged_file_of_the_cache_is_found(place: Place) -> None:
    place.train()
    weights = find_weights(NAME).files[0].resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    line = fail("train-reader", *_again(place))
    assert "its SHA-256 differs from the hub's. Delete it" in line and weights.name in line


def _again(place: Place) -> tuple[object, ...]:
    _load_llm.cache_clear()
    return place.cells, "--llm", NAME, *QUICK, "-o", place.folder / "again.h5"


def test_shards_that_the_index_names(models: Path, tmp_path: Path) -> None:
    """Only these count, and one that is missing is named."""
    folder = shutil.copytree(models / "first", tmp_path / "sharded")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ScReaderError, match=f"lacks 1 of 2 weight files, such as {names[1]}"):
        find_weights(str(folder))
    (folder / names[1]).write_bytes(b"")
    (folder / "consolidated.safetensors").write_bytes(b"")
    assert [file.name for file in find_weights(str(folder)).files] == names
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ScReaderError, match="cannot be read"):
        find_weights(str(folder))


def test_the_wanted_files_are_those_of_a_tokenizer_and_its_weights() -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = [
        "config.json", "model-00001-of-00003.safetensors", "model.safetensors.index.json",
        "tokenizer.json", "tokenizer.model", "merges.txt", "vocab.json", "chat_template.jinja",
        "original/consolidated.00.pth", "original/params.json", "consolidated.safetensors",
        "pytorch_model.bin", "onnx/model.onnx", "adapter_model.safetensors", "model.gguf",
    ]  # fmt: skip
    kept = list(
        filter_repo_objects(
            names, allow_patterns=fetching.WANTED, ignore_patterns=fetching.UNWANTED
        )
    )
    assert kept == names[:7]
