"""OCI images: as another user, without network, on a read-only root."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from containers_running import OTHER_USER, PIPELINE, ROOT, TOOLS, in_image, kind_of, locked

from screader_lib import __version__

MOST_BYTES = 1_550_000_000  # of the CPU image, unpacked
MADE = ["descriptions.h5ad", "gene-embeddings.h5ad", "cells.h5ad", "prepared.h5ad", "umap.png"]
READ = ["reader.h5", "predictions.h5ad", "information.txt"]
DRAWN = ["confusion.png", "report.html"]


def inspected(image: str) -> dict[str, Any]:
    done = subprocess.run(["podman", "inspect", image], capture_output=True, check=True)
    return json.loads(done.stdout)[0]


def test_every_executable_tells_its_version(image: str) -> None:
    tools = TOOLS[kind_of(image)]
    told = in_image(image, "sh", "-ec", "".join(f"{tool} --version\n" for tool in tools))
    assert told.splitlines() == [f"{tool} {__version__}" for tool in tools]


def test_only_executables_that_work_are_there(image: str) -> None:
    every = " ".join(TOOLS["screader"])
    found = in_image(image, "sh", "-c", f"for tool in {every}; do command -v $tool; done; true")
    assert [Path(line).name for line in found.split()] == TOOLS[kind_of(image)]


def test_command_without_an_entrypoint(image: str) -> None:
    settings = inspected(image)["Config"]
    assert not settings.get("Entrypoint")
    assert settings["Cmd"] == ["screader", "--help"]
    assert "Usage: screader" in in_image(image)


def test_labels(image: str) -> None:
    labels = inspected(image)["Config"]["Labels"]
    label = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    assert label["title"] == kind_of(image)
    assert label["version"] == __version__
    assert label["licenses"] == "MIT"
    assert re.fullmatch(r"[0-9a-f]{40}", label["revision"])
    assert re.match(r"(https://|pkg:)[^@]+", label["source"])
    assert datetime.fromisoformat(label["created"]).year > 2020


def test_no_tag_is_called_latest(image: str) -> None:
    assert image.rsplit(":", 1)[1] == __version__
    assert not [name for name in inspected(image)["RepoTags"] if name.endswith(":latest")]


def test_size(image: str) -> None:
    size = inspected(image)["Size"]
    print(f"{image}: {size / 1e9:.2f} GB")
    assert kind_of(image) != "screader" or size < MOST_BYTES


def test_nothing_builds_or_installs_in_it(image: str) -> None:
    tools = "pip pip3 gcc cc make git curl uv strip"
    found = in_image(image, "sh", "-c", f"for tool in {tools}; do command -v $tool; done; true")
    assert found == ""
    for python in ("python", "/usr/local/bin/python3"):
        installer = in_image(image, python, "-c", FIND_INSTALLERS)
        assert installer == "[]\n", python


FIND_INSTALLERS = (
    "import importlib.util as u; "
    "print([n for n in ('pip', 'setuptools', 'wheel') if u.find_spec(n)])"
)


def test_ps_shows_processes(image: str) -> None:
    assert re.search(r"^ *1 ", in_image(image, "ps", "-e"), re.MULTILINE)


FOLDERS = """
import os, matplotlib
from huggingface_hub.constants import HF_HOME
for name in (matplotlib.get_configdir(), HF_HOME, os.environ["NUMBA_CACHE_DIR"]):
    os.makedirs(name, exist_ok=True)
    open(os.path.join(name, "written"), "w").close()
    print(os.stat(os.path.dirname(name)).st_mode & 0o777)
"""


def test_caches_are_writable_and_private(image: str) -> None:
    if kind_of(image) == "screader-gpu":
        program = FOLDERS.replace(", matplotlib", "").replace(
            "matplotlib.get_configdir()", "HF_HOME"
        )
    else:
        program = FOLDERS
    assert in_image(image, "python", "-c", program).split() == [str(0o700)] * 3


def test_bill_of_materials_is_what_is_installed(image: str) -> None:
    kind = kind_of(image)
    bill = json.loads(in_image(image, "cat", "/opt/screader/share/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == __version__
    found = {unquote(one["purl"].split("?")[0]) for one in bill["components"]}
    python = {f"pkg:pypi/{name}@{version}" for name, version in locked(kind).items()}
    assert {name for name in found if name.startswith("pkg:pypi/")} == python
    assert any(name.startswith("pkg:deb/debian/procps@") for name in found)


def test_revision_is_one_of_this_checkout(image: str) -> None:
    revision = inspected(image)["Config"]["Labels"]["org.opencontainers.image.revision"]
    subprocess.run(["git", "cat-file", "-e", f"{revision}^{{commit}}"], cwd=ROOT, check=True)


def test_pipeline_writes_the_bytes_of_outside(image: str, outside: Path, shared: Path) -> None:
    whole = kind_of(image) == "screader"
    for name in ("counts.h5ad", "markers.tsv") if whole else ("cells.h5ad",):
        shutil.copy(outside / name, shared)
    shutil.copy(PIPELINE, shared)
    in_image(image, "sh", "pipeline.sh", "all" if whole else "reader", folder=shared)
    written = shared / "predictions.h5ad"
    assert os.getuid() or written.stat().st_uid == OTHER_USER
    if whole:  # the other build of torch may round differently
        for name in [*MADE, *READ, *DRAWN]:
            assert content(shared / name) == content(outside / name), name


def content(path: Path) -> bytes:
    """A file's bytes; of the report, without the version of Python, which may be another."""
    found = path.read_bytes()
    if path.name == "report.html":
        found = re.sub(rb"(Python</th><td>)[^<]*", rb"\1", found)
    return found
