"""Weights from the Hugging Face hub, through the command line, on a hub of the tests' own."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py
import pytest
import torch
from huggingface_hub import constants, file_download, utils
from huggingface_hub.utils import filter_repo_objects
from loopback import HTML, Loopback, Reply, Request, json_reply, serving
from running import leaks, run_process
from small_files import fail, succeed, write_llama

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.local_models import load_encoder
from screader_lib.reader.llm import weights as fetching
from screader_lib.reader.llm.frozen_llm import load_llm
from screader_lib.reader.llm.weights import find_weights
from screader_lib.reader.methods.methods import _load_llm

NAME = "someone/tiny-llama"
TOKEN = "hf_" + "fakeTokenOfTheTests"
QUICK = ("--validation", 0, "--pooling", "cls", "--epochs", 1, "--batch-size", 81)
NETWORK = {"SCREADER_OFFLINE": "0", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
LARGE = (".safetensors", ".bin")  # kept by the hub as large files, on another host


def commit_of(word: str) -> str:
    """A commit's hash, as the hub's are."""
    return hashlib.sha1(word.encode()).hexdigest()


def refused(status: int, code: str = "", message: str = "") -> Reply:
    """How the hub refuses: the reason is in the headers."""
    headers = {"X-Error-Code": code} if code else {}
    return Reply(b"", status, headers={**headers, "X-Error-Message": message or code})


def wants_weights(request: Request) -> bool:
    """Whether a request is for the bytes of a weight file."""
    return request.path.startswith("/cdn/")


@dataclass
class Hub:
    """A hub of one model, and the trainings that ask it.

    ``commits`` maps a branch, tag or commit to a folder with the model's files. ``access``: open;
    gated, where files need an accepted token; private, where all does. ``fault`` may answer in
    its place.
    """

    commits: dict[str, Path]
    folder: Path
    cells: Path
    access: str = "open"
    accepted: str = TOKEN
    fault: Callable[[Request], Reply | None] = lambda request: None
    server: Loopback = field(init=False)

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        if reply := self.fault(request):
            return reply
        path = unquote(urlsplit(request.path).path)
        if wants_weights(request):
            return Reply(Path(path.removeprefix("/cdn")).read_bytes())
        asked = path.strip("/").removeprefix("api/models/")
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        is_hidden = self.access == "private" and token != self.accepted
        if is_hidden or not f"{asked}/".startswith(f"{NAME}/"):
            return refused(404 if token else 401, "RepoNotFound")
        if token not in ("", self.accepted):
            if self.access == "gated":
                return refused(403, "GatedRepo", "You are not in the authorized list.")
            return refused(401, "", "Invalid credentials in Authorization header")
        kind, _, rest = asked.removeprefix(NAME).strip("/").partition("/")
        revision, name = rest.split("/", 1) if kind == "resolve" else (rest, "")
        if name and self.access == "gated" and not token:
            return refused(401, "GatedRepo", "Access to this model is restricted.")
        by_commit = {commit_of(folder.name): folder for folder in self.commits.values()}
        folder = self.commits.get(revision or "main") or by_commit.get(revision)
        if folder is None:
            return refused(404, "RevisionNotFound")
        if kind == "tree":
            return json_reply([self._entry(file) for file in sorted(folder.iterdir())])
        if not name:
            return json_reply({"id": NAME, "sha": commit_of(folder.name), "siblings": []})
        return self._file(folder / name)

    def _file(self, path: Path) -> Reply:
        if not path.is_file():
            return refused(404, "EntryNotFound")
        entry = self._entry(path)
        headers = {"X-Repo-Commit": commit_of(path.parent.name), "ETag": f'"{entry["oid"]}"'}
        if "lfs" not in entry:
            return Reply(path.read_bytes(), headers=headers)
        headers |= {"X-Linked-Size": str(entry["size"])}
        headers |= {"X-Linked-Etag": f'"{entry["lfs"]["oid"]}"'}
        port = self.server.url.rsplit(":", 1)[1]
        headers["Location"] = f"http://localhost:{port}/cdn{path}"
        return Reply(b"", 302, headers=headers)

    def _entry(self, file: Path) -> dict:
        body = file.read_bytes()
        oid, size = hashlib.sha1(body).hexdigest(), len(body)
        entry = {"type": "file", "path": file.name, "size": size, "oid": oid}
        if file.name.endswith(LARGE):
            sha256 = hashlib.sha256(body).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        return entry

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def train(self, name: str = "r.h5", *words: object) -> Path:
        _load_llm.cache_clear()
        output = self.folder / name
        succeed("train-reader", self.cells, "--llm", NAME, *QUICK, *words, "-o", output)
        return output

    def refuse(self, *words: object, llm: str = NAME) -> str:
        """The one line of a training that fails; nothing is written, no token shown."""
        _load_llm.cache_clear()
        output = self.folder / "refused.h5"
        line = fail("train-reader", self.cells, "--llm", llm, *QUICK, *words, "-o", output)
        assert (f"LLM {llm}: " in line or f"{self.cache}/" in line) and len(line) < 400
        assert not list(self.folder.glob("*refused*"))
        assert not leaks(TOKEN, self.folder, line.encode())
        return line


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a tiny model."""
    folder = tmp_path_factory.mktemp("models")
    write_llama(folder / "first", layers=2)
    write_llama(folder / "second", layers=2, seed=1)
    return folder


def forget_sessions() -> None:
    """Before version 1.0 of the library, a session stays as offline as it began."""
    getattr(utils, "reset_sessions", list)()


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget_sessions()


@pytest.fixture
def hub(
    models: Path, cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub that this process's Hugging Face library asks, with a network and an empty cache."""
    made = Hub({"main": models / "first", "v2": models / "second"}, tmp_path, cells)
    with serving(made) as made.server:
        url = made.server.url
        settings = {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(made.cache),
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
            monkeypatch.setattr(file_download, name, value, raising=False)  # as before 1.0
        monkeypatch.setenv(offline.VARIABLE, "0")
        forget_sessions()
        yield made


def recorded(reader: Path) -> dict:
    """What a reader's file says of its LLM."""
    with h5py.File(reader) as file:
        identity: dict = json.loads(file["llm"][()])
    return identity


def test_a_process_of_its_own_and_a_prediction_without_a_network(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained with what the environment says, then predicted while the hub's main branch moves."""
    hub.access = "gated"
    reader, home = hub.folder / "r.h5", hub.folder / "home"
    more = {**NETWORK, "HF_ENDPOINT": hub.server.url, "HF_TOKEN": TOKEN}
    words = ("train-reader", hub.cells, "--llm", NAME, *QUICK, "-o", reader, "-v")
    trained = run_process(*words, home=home, **more)
    assert trained.returncode == 0, trained.stderr
    assert recorded(reader)["revision"] == commit_of("first")
    hub.commits = {"main": models / "second", "old": models / "first"}
    hub.server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "cache" / "huggingface" / "hub"))
    go_offline(monkeypatch)
    monkeypatch.setenv(offline.VARIABLE, "1")
    called = succeed("predict", hub.cells, "-r", reader, "-o", hub.folder / "p.h5ad")
    assert not hub.server.requests
    assert b"Fetching" not in trained.stderr and b"%|" not in trained.stderr  # no progress bars
    assert not leaks(TOKEN, hub.folder, trained.stdout, trained.stderr, called.stderr.encode())


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
    for revision in ("v2", commit_of("second")):
        pinned = recorded(hub.train("pinned.h5", "--llm-revision", revision))
        assert pinned["revision"] == commit_of("second")
        assert pinned["weights"] != folder.weights


@pytest.mark.parametrize("named", [(), ("--llm", NAME)], ids=["as in training", "named again"])
def test_predict_uses_the_commit_of_the_training(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    reader, calls = hub.train(), hub.folder / "p.h5ad"
    hub.commits = {"main": models / "second", "old": models / "first"}
    _load_llm.cache_clear()
    succeed("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert find_weights(NAME).revision == commit_of("second")
    calls.unlink()
    shutil.rmtree(hub.cache)
    hub.commits = {"main": models / "second"}
    _load_llm.cache_clear()
    line = fail("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert f"LLM {NAME}: has no revision {commit_of('first')}" in line
    go_offline(monkeypatch)
    line = fail("predict", hub.cells, "-r", reader, *named, "-o", calls)
    assert f"LLM {NAME}: is not in the cache at revision {commit_of('first')}" in line
    assert not calls.exists()


def test_the_cache_serves_where_the_hub_fails(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = recorded(hub.train())
    hub.fault = lambda request: refused(500)
    assert recorded(hub.train("again.h5")) == first
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert recorded(hub.train("again.h5")) == first
    line = hub.refuse("--llm-revision", "v2")
    assert "is not in the cache at revision v2, and the hub cannot be reached" in line
    assert "HF_HOME" in line and "folder" in line


def test_pickled_weights_are_not_fetched(hub: Hub, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "first", tmp_path / "hub" / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub.commits["main"] = folder
    line = hub.refuse()
    assert "no safetensors" in line and "--llm-revision" in line
    assert not any(".bin" in one.path or wants_weights(one) for one in hub.server.requests)
    assert not list(hub.cache.rglob("*.bin"))


def test_a_cut_download_leaves_no_half_model(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(request: Request) -> Reply | None:
        """Half of the weights, though their length is told."""
        if not wants_weights(request):
            return None
        return replace(replace(hub, fault=lambda _: None)(request), cut=True)

    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its trials
    hub.fault = cut
    assert "its download was interrupted. Run it again" in hub.refuse()
    assert not [path for path in hub.cache.rglob("*") if path.stat().st_size > 20_000]
    with monkeypatch.context() as without:
        go_offline(without)
        assert "or not complete" in hub.refuse()
    forget_sessions()
    tries = iter([True])
    hub.fault = lambda request: next(tries, None) and cut(request)
    weights = find_weights(NAME)
    assert recorded(hub.train())["weights"] == weights.digest()
    file = weights.files[0].resolve()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    line = hub.refuse()
    assert "its SHA-256 differs from the hub's. Delete it" in line and file.name in line


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


@pytest.mark.parametrize(
    "file", ["pytorch_model.bin", "../stray.safetensors", "/stray.safetensors"]
)
def test_an_index_that_names_other_files(models: Path, tmp_path: Path, file: str) -> None:
    """A pickle, or a file outside the folder, is refused wherever a model is loaded."""
    folder = shutil.copytree(models / "first", tmp_path / "other")
    shutil.copy(folder / "model.safetensors", tmp_path / "stray.safetensors")
    shutil.move(folder / "model.safetensors", folder / "pytorch_model.bin")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    for load in (find_weights, lambda name: load_encoder(name, torch.float32)):
        with pytest.raises(ScReaderError, match=r"no \.safetensors file of the folder"):
            load(str(folder))


def test_the_files_that_are_wanted() -> None:
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
    [("gated", "is gated. Accept its licence at http://127"), ("private", "it is private there")],
)
def test_a_model_that_takes_a_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, access: str, message: str
) -> None:
    hub.access = access
    assert message in hub.refuse()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.server.requests.clear()
    assert recorded(hub.train())["revision"] == commit_of("first")
    sent = [(wants_weights(one), "Authorization" in one.headers) for one in hub.server.requests]
    assert set(sent) == {(False, True), (True, False)}  # not to where the weights are stored
    assert not leaks(TOKEN, hub.folder)


@pytest.mark.parametrize(
    ("access", "token", "message"),
    [
        ("open", "hf_another", "the hub rejects the token. Set HF_TOKEN"),
        ("private", "hf_another", "unless it is private there. Check the name and HF_TOKEN"),
        ("open", TOKEN + "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "that tokens cannot have"),
        ("open", f"a {TOKEN}", "a character that tokens cannot have"),
    ],
)
def test_a_token_that_is_not_accepted(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, access: str, token: str, message: str
) -> None:
    hub.access = access
    monkeypatch.setenv("HF_TOKEN", token)
    assert message in hub.refuse()
    assert not hub.server.requests or token == "hf_another"


def test_what_is_not_there(hub: Hub) -> None:
    assert "neither a folder nor on the hub" in hub.refuse(llm="someone/else")
    line = hub.refuse("--llm-revision", "v3")
    assert "has no revision v3. --llm-revision takes a branch" in line
    assert "neither a folder nor an id" in hub.refuse(llm="one/of/them")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refused(503), "answered with status 503. Try again later"),
        (HTML, "cannot be"),
        (Reply(b"{}", delay=1.5), "cannot be reached"),
        (Reply(b"{", headers={"Location": "/x"}, cut=True), "interrupted"),
    ],
    ids=["503", "HTML", "timeout", "cut"],
)
def test_a_hub_that_fails(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fault: Reply, message: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5 if fault.delay else 20)
    hub.fault = lambda request: fault
    assert message in hub.refuse()


def test_the_offline_switch_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    go_offline(monkeypatch)
    assert "or not complete, and HF_HUB_OFFLINE is set" in hub.refuse()
    monkeypatch.setenv(offline.VARIABLE, "1")
    line = hub.refuse("--llm-revision", "v2")
    assert f"at revision v2, or not complete, and {offline.VARIABLE} is set. Fetch it" in line
    assert not hub.server.requests


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
    hub.fault = lambda request: Reply(TOKEN.encode(), 500, headers=echo)
    with caplog.at_level(logging.INFO):
        line = hub.refuse()
    assert "status 500" in line and TOKEN not in caplog.text
