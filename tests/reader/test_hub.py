"""Weights from the Hugging Face hub, through the command line, on a hub of the tests' own."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from fake_hub import NAME, QUICK, TOKEN, FakeHub, Hub, commit_of, recorded, refused, wants_weights
from loopback import Reply, Request, serving
from running import leaks, run_process
from small_files import fail, succeed

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm import weights as fetching
from screader_lib.reader.llm.frozen_llm import load_llm
from screader_lib.reader.llm.weights import find_weights
from screader_lib.reader.methods.methods import _load_llm

NETWORK = {"SCREADER_OFFLINE": "0", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}


def set_constant(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Of the Hugging Face library."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, name, value)


def test_a_process_of_its_own_and_a_prediction_without_a_network(
    models: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with what the environment says, then predicted while the hub's main branch moves."""
    fake = FakeHub({"main": models / "first"}, access="gated")
    reader, calls = tmp_path / "r.h5", tmp_path / "p.h5ad"
    with serving(fake) as server:
        fake.port = int(server.url.rsplit(":", 1)[1])
        more = {**NETWORK, "HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN}
        words = ("train-reader", cells, "--llm", NAME, *QUICK, "-o", reader, "-v")
        trained = run_process(*words, home=tmp_path, **more)
        assert trained.returncode == 0, trained.stderr
        assert recorded(reader)["revision"] == commit_of("first")
        fake.commits = {"main": models / "second", "old": models / "first"}
        asked = len(server.requests)
        set_constant(monkeypatch, "ENDPOINT", server.url)
        set_constant(monkeypatch, "HF_HUB_CACHE", str(tmp_path / "cache" / "huggingface" / "hub"))
        monkeypatch.setenv(offline.VARIABLE, "1")
        _load_llm.cache_clear()
        called = succeed("predict", cells, "-r", reader, "-o", calls)
        assert len(server.requests) == asked
    assert b"Fetching" not in trained.stderr and b"%|" not in trained.stderr  # no progress bars
    assert not leaks(TOKEN, tmp_path, trained.stdout, trained.stderr, called.stderr.encode())


def test_the_reader_records_the_commit_and_reads_as_from_a_folder(hub: Hub, models: Path) -> None:
    identity = recorded(hub.train())
    folder = load_llm(str(models / "first"), instruction="").identity
    assert identity["name"] == NAME and identity["kind"] == "hub"
    assert identity["revision"] == commit_of("first")
    assert identity["weights"] == folder.weights and identity["layers"] == folder.layers
    assert all("Authorization" not in request.headers for request in hub.server.requests)
    fetched = sum(map(wants_weights, hub.server.requests))
    hub.train("again.h5")
    assert fetched and sum(map(wants_weights, hub.server.requests)) == fetched


@pytest.mark.parametrize("revision", ["v2", commit_of("second")], ids=["tag", "commit"])
def test_a_revision_is_pinned(hub: Hub, revision: str) -> None:
    reader = hub.train("pinned.h5", "--llm-revision", revision)
    assert recorded(reader)["revision"] == commit_of("second")
    assert recorded(reader)["weights"] != find_weights(NAME).digest()


@pytest.mark.parametrize("named", [(), ("--llm", NAME)], ids=["as in training", "named again"])
def test_predict_uses_the_commit_of_the_training(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    reader, calls = hub.train(), hub.folder / "p.h5ad"
    hub.fake.commits = {"main": models / "second", "old": models / "first"}
    _load_llm.cache_clear()
    succeed("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert find_weights(NAME).revision == commit_of("second")
    calls.unlink()
    shutil.rmtree(hub.cache)
    hub.fake.commits = {"main": models / "second"}
    _load_llm.cache_clear()
    line = fail("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert f"LLM {NAME}: has no revision {commit_of('first')}" in line
    set_constant(monkeypatch, "HF_HUB_OFFLINE", True)
    line = fail("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert f"LLM {NAME}: is not in the cache at revision {commit_of('first')}" in line
    assert not calls.exists()


@pytest.mark.parametrize("status", [500, 0], ids=["error", "unreachable"])
def test_the_cache_serves_where_the_hub_fails(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    first = recorded(hub.train())
    hub.fake.fault = lambda request: refused(status, "")
    if not status:
        set_constant(monkeypatch, "ENDPOINT", "http://127.0.0.1:9")
    assert recorded(hub.train("again.h5")) == first


def test_pickled_weights_are_not_fetched(hub: Hub, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "first", tmp_path / "hub" / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub.fake.commits["main"] = folder
    line = hub.refuse()
    assert "no safetensors" in line and "--llm-revision" in line
    assert not any(".bin" in path or "/cdn/" in path for path in hub.requests)
    assert not list(hub.cache.rglob("*.bin"))


def test_a_cut_download_leaves_no_half_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(request: Request) -> Reply | None:
        """Half of the weights, though their length is told."""
        if not wants_weights(request):
            return None
        return replace(replace(hub.fake, fault=lambda _: None)(request), cut=True)

    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its trials
    hub.fake.fault = cut
    assert "its download was interrupted. Run it again" in hub.refuse()
    assert not [path for path in hub.cache.rglob("*") if path.stat().st_size > 20_000]
    with monkeypatch.context() as without:
        set_constant(without, "HF_HUB_OFFLINE", True)
        assert "is incomplete in the cache" in hub.refuse()
    tries = iter([True])
    hub.fake.fault = lambda request: next(tries, None) and cut(request)
    weights = find_weights(NAME)
    assert recorded(hub.train())["weights"] == weights.digest()
    file = weights.files[0].resolve()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    line = fail_again(hub)
    assert "its SHA-256 differs from the hub's. Delete it" in line and file.name in line


def fail_again(hub: Hub) -> str:
    _load_llm.cache_clear()
    words = ("--llm", NAME, *QUICK, "-o", hub.folder / "again.h5")
    return fail("train-reader", hub.cells, *words)


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


def test_the_files_that_are_wanted() -> None:
    from huggingface_hub.utils import filter_repo_objects

    names = [
        "config.json", "model-00001-of-00003.safetensors", "model.safetensors.index.json",
        "tokenizer.json", "tokenizer.model", "merges.txt", "vocab.json", "chat_template.jinja",
        "original/consolidated.00.pth", "original/params.json", "consolidated.safetensors",
        "pytorch_model.bin", "onnx/model.onnx", "adapter_model.safetensors", "model.gguf",
    ]  # fmt: skip
    patterns = {"allow_patterns": fetching.WANTED, "ignore_patterns": fetching.UNWANTED}
    assert list(filter_repo_objects(names, **patterns)) == names[:7]


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("gated", "is gated. Accept its licence at http://127"),
        ("private", "private there. Check the name, or set HF_TOKEN"),
    ],
)
def test_a_model_that_takes_a_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, access: str, message: str
) -> None:
    hub.fake.access = access
    assert message in hub.refuse()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.server.requests.clear()
    assert recorded(hub.train())["revision"] == commit_of("first")
    sent = [(wants_weights(one), "Authorization" in one.headers) for one in hub.server.requests]
    assert set(sent) == {(False, True), (True, False)}  # not to where the weights are stored
    assert not leaks(TOKEN, hub.folder)


@pytest.mark.parametrize(
    ("access", "message"),
    [
        ("open", "the hub rejects the token. Set HF_TOKEN"),
        ("gated", "your token's account has no access. Request access at http://127"),
        ("private", "nor a model that your token may read. Check the name and HF_TOKEN"),
    ],
)
def test_a_token_that_the_hub_does_not_take(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, access: str, message: str
) -> None:
    hub.fake.access, hub.fake.accepted = access, "hf_another"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert message in hub.refuse()


@pytest.mark.parametrize("token", [TOKEN + "\N{LATIN SMALL LETTER U WITH DIAERESIS}", f"a {TOKEN}"])
def test_a_token_that_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert "a character that no token can have" in hub.refuse()
    assert not hub.requests


def test_what_is_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "neither a folder nor on the hub" in hub.refuse(llm="someone/else")
    line = hub.refuse("--llm-revision", "v3")
    assert "has no revision v3. --llm-revision takes a branch" in line
    assert "neither a folder nor an id" in hub.refuse(llm="one/of/them")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "nor a model that your token may read" in hub.refuse(llm="someone/else")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(refused(503, ""), "answered with status 503. Try again later", id="503"),
        pytest.param(refused(429, ""), "rate-limiting requests (status 429). Try", id="429"),
        pytest.param(
            refused(403, "", "Access to this resource is disabled."), "is disabled", id="disabled"
        ),
        pytest.param(
            Reply(b"<html>log in to our network</html>", kind="text/html"), "cannot be", id="HTML"
        ),
        pytest.param(Reply(b"{}", delay=1.5), "does not answer in time", id="timeout"),
        pytest.param(Reply(b"{", headers={"Location": "/x"}, cut=True), "interrupted", id="cut"),
    ],
)
def test_a_hub_that_fails(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fault: Reply, message: str
) -> None:
    set_constant(monkeypatch, "HF_HUB_ETAG_TIMEOUT", 0.5 if fault.delay else 20)
    hub.fake.fault = lambda request: fault
    assert message in hub.refuse()


def test_a_hub_that_cannot_be_reached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_constant(monkeypatch, "ENDPOINT", "http://127.0.0.1:9")
    line = hub.refuse("--llm-revision", "v2")
    assert "is not in the cache at revision v2, and the hub cannot be reached" in line
    assert "HF_HOME" in line and "folder" in line


def test_the_offline_switch_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    set_constant(monkeypatch, "HF_HUB_OFFLINE", True)
    assert "is not in the cache, and HF_HUB_OFFLINE is set" in hub.refuse()
    monkeypatch.setenv(offline.VARIABLE, "1")
    line = hub.refuse("--llm-revision", "v2")
    assert f"not in the cache at revision v2, and {offline.VARIABLE} is set. Fetch it" in line
    assert not hub.requests


def test_a_cache_that_cannot_be_written(hub: Hub) -> None:
    hub.cache.write_text("no folder")
    line = hub.refuse()
    assert "cannot be stored" in line and "HF_HOME" in line


def test_nothing_of_the_server_is_repeated(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that echoes the token: in its headers, its body and its warnings."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    echo = {"X-Error-Message": TOKEN, "X-HF-Warning": f"token; {TOKEN}", "X-Request-Id": TOKEN}
    hub.fake.fault = lambda request: Reply(TOKEN.encode(), 500, headers=echo)
    with caplog.at_level(logging.INFO):
        line = hub.refuse()
    assert "status 500" in line and TOKEN not in caplog.text
