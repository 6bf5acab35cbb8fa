"""A running fake hub, its cache and the trainings that ask it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
from fake_hub import NAME, TOKEN, FakeHub
from loopback import Loopback
from running import leaks
from small_files import fail, succeed

from screader_lib.reader.methods.methods import _load_llm

QUICK = ("--pooling", "cls", "--epochs", 1, "--batch-size", 81)


@dataclass
class Place:
    """A running hub, its cache and where readers go."""

    hub: FakeHub
    server: Loopback
    folder: Path
    cells: Path

    @property
    def asked(self) -> list[str]:
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
        """The one line of a training that fails; nothing is written, no token told."""
        _load_llm.cache_clear()
        output = self.folder / "refused.h5"
        line = fail("train-reader", self.cells, "--llm", llm, *QUICK, *words, "-o", output)
        assert f"LLM {llm}: " in line and len(line) < 400
        assert not list(self.folder.glob("*refused*"))
        assert not leaks(TOKEN, self.folder, line.encode())
        return line


def recorded(reader: Path) -> dict:
    """What a reader says of its LLM."""
    with h5py.File(reader) as file:
        found: dict = json.loads(file["llm"][()])
    return found
