"""A Hugging Face hub of one model, and the trainings that ask it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py
from loopback import Loopback, Reply, Request, json_reply
from running import leaks
from small_files import fail, succeed

from screader_lib.reader.methods.methods import _load_llm

NAME = "someone/tiny-llama"
TOKEN = "hf_" + "fakeTokenOfTheTests"
QUICK = ("--pooling", "cls", "--epochs", 1, "--batch-size", 81)
LARGE = (".safetensors", ".bin")  # kept by the hub as large files, on another host


def commit_of(word: str) -> str:
    """A commit's hash, as the hub's are."""
    return hashlib.sha1(word.encode()).hexdigest()


def refused(status: int, code: str, message: str = "") -> Reply:
    """How the hub refuses: the reason is in the headers."""
    headers = {"X-Error-Code": code} if code else {}
    return Reply(b"", status, headers={**headers, "X-Error-Message": message or code})


def wants_weights(request: Request) -> bool:
    """Whether a request is for the bytes of a weight file."""
    return request.path.startswith("/cdn/")


@dataclass
class FakeHub:
    """The answers. ``commits`` maps a branch, tag or commit to a folder with the model's files.

    ``access``: open; gated, where files need an accepted token; private, where all does.
    ``fault`` may answer in its place.
    """

    commits: dict[str, Path]
    access: str = "open"
    accepted: str = TOKEN
    fault: Callable[[Request], Reply | None] = lambda request: None
    port: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        reply = self.fault(request)
        if reply:
            return reply
        path = unquote(urlsplit(request.path).path).strip("/")
        if path.startswith("cdn/"):
            return Reply(Path(self.names[path.removeprefix("cdn/")]).read_bytes())
        asks_model = path.startswith(f"api/models/{NAME}")
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not asks_model and not path.startswith(f"{NAME}/resolve/"):
            return refused(404 if token else 401, "RepoNotFound")
        if token != self.accepted and (self.access == "private" or token):
            return self._refuse_token(token)
        if asks_model:
            return self._describe(path.removeprefix(f"api/models/{NAME}").strip("/"))
        if self.access == "gated" and token != self.accepted:
            return refused(401, "GatedRepo", "Access to this model is restricted.")
        return self._file(path.removeprefix(f"{NAME}/resolve/"))

    def _refuse_token(self, token: str) -> Reply:
        if self.access == "private":
            return refused(404 if token else 401, "RepoNotFound")
        if self.access == "gated":
            return refused(403, "GatedRepo", "You are not in the authorized list.")
        return refused(401, "", "Invalid credentials in Authorization header")

    def _describe(self, asked: str) -> Reply:
        kind, _, revision = asked.partition("/")
        folder = self._folder(revision or "main")
        if folder is None:
            return refused(404, "RevisionNotFound")
        if kind == "tree":
            return json_reply([_entry(file) for file in sorted(folder.iterdir())])
        return json_reply({"id": NAME, "sha": commit_of(folder.name), "siblings": []})

    def _folder(self, revision: str) -> Path | None:
        by_commit = {commit_of(folder.name): folder for folder in self.commits.values()}
        return self.commits.get(revision) or by_commit.get(revision)

    def _file(self, asked: str) -> Reply:
        revision, _, name = asked.partition("/")
        folder = self._folder(revision)
        if folder is None or not (folder / name).is_file():
            return refused(404, "EntryNotFound" if folder else "RevisionNotFound")
        body = (folder / name).read_bytes()
        headers = {"X-Repo-Commit": commit_of(folder.name), "ETag": f'"{_blob(body)}"'}
        if not name.endswith(LARGE):
            return Reply(body, headers=headers)
        sha256 = hashlib.sha256(body).hexdigest()
        self.names[sha256] = str(folder / name)
        url = f"http://localhost:{self.port}/cdn/{sha256}"
        large = {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{sha256}"'}
        return Reply(b"", 302, headers={**headers, **large, "Location": url})


def _blob(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def _entry(file: Path) -> dict:
    body = file.read_bytes()
    entry = {"type": "file", "path": file.name, "size": len(body), "oid": _blob(body)}
    if file.name.endswith(LARGE):
        sha256 = hashlib.sha256(body).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(body), "pointerSize": 134}
    return entry


@dataclass
class Hub:
    """A running hub, its cache and where readers go."""

    fake: FakeHub
    server: Loopback
    folder: Path
    cells: Path

    @property
    def requests(self) -> list[str]:
        return [request.path for request in self.server.requests]

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
        assert f"LLM {llm}: " in line and len(line) < 400
        assert not list(self.folder.glob("*refused*"))
        assert not leaks(TOKEN, self.folder, line.encode())
        return line


def recorded(reader: Path) -> dict:
    """What a reader's file says of its LLM."""
    with h5py.File(reader) as file:
        identity: dict = json.loads(file["llm"][()])
    return identity
