"""The architecture: imports point one way, starts are lean, nothing forbidden is written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY, TOOLS = ROOT / "screader_lib", ROOT / "tools"

BASE = {"errors", "reporting", "measures", "schemas"}
MAY_IMPORT = {
    "schemas": set(),
    "errors": set(),
    "reporting": set(),
    "measures": {"errors"},
    "exchange": BASE,
    "command_line": BASE | {"exchange"},
    "genes": BASE | {"exchange"},
    "cells": BASE | {"exchange", "genes"},
    "reader": BASE | {"exchange", "genes", "cells"},
    "figures": BASE | {"exchange", "genes", "cells"},
    "demo": BASE | {"exchange"},
}
EXECUTABLES = [
    "fetch-descriptions",
    "embed-genes",
    "build-cells",
    "train-reader",
    "predict",
    "plot",
    "screader",
]
HEAVY = [
    "torch",
    "transformers",
    "anndata",
    "h5py",
    "numpy",
    "scipy",
    "matplotlib",
    "openai",
    "rich",
]


def modules() -> Iterator[Path]:
    yield from sorted(LIBRARY.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "screader_lib" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for name in imported(path):
        assert not name.startswith("screader_tools"), name
        room = room_of(name)
        if room not in (None, own, "__version__"):
            assert room in MAY_IMPORT[own], f"{own} imports {name}"


def test_every_room_is_known() -> None:
    rooms = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in modules()}
    assert rooms - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "path", [*modules(), *sorted(TOOLS.glob("*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_public_things_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "no module docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("tool", EXECUTABLES)
def test_help_imports_nothing_heavy_and_has_examples(tool: str) -> None:
    module = f"screader_tools.{tool.replace('-', '_')}"
    code = (
        f"import sys; from {module} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert tool == "screader" or "Examples:" in done.stdout


@pytest.mark.parametrize("tool", EXECUTABLES)
def test_version(tool: str) -> None:
    from screader_lib import __version__

    executable = Path(sys.executable).with_name(tool)
    done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tool} {__version__}\n")


def test_a_gpu_image_needs_no_anndata(cells: Path, tmp_path: Path) -> None:
    """train-reader and predict run where only their own packages are installed."""
    blocked = ["anndata", "scipy", "pandas", "sklearn", "matplotlib", "umap", "urllib3"]
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from screader_tools.train_reader import main as train\n"
        "from screader_tools.predict import main as predict\n"
        "quick = ['--method', 'pooled', '--warm-start-epochs', '1']\n"
        "train([sys.argv[1], *quick, '-o', sys.argv[2]], standalone_mode=False)\n"
        "predict([sys.argv[1], '-r', sys.argv[2], '-o', sys.argv[3]], standalone_mode=False)"
    )
    words = [sys.executable, "-c", code, cells, tmp_path / "r.h5", tmp_path / "p.h5ad"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def tracked() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.decode().split("\0") if name]


def test_nothing_of_one_machine_is_written_down() -> None:
    forbidden = re.compile(r"/work/(main|shared)|/root/|index-url|pypi\.org|" + "shared" + "/tools")
    here = Path(__file__)
    for path in tracked():
        if path == here or path.suffix in (".gz", ".png") or not path.is_file():
            continue
        found = forbidden.search(path.read_text("utf-8"))
        assert not found, f"{path.name}: {found}"


def test_readme_names_every_executable() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{tool}`" in text for tool in EXECUTABLES)


def test_generated_pages_are_fresh() -> None:
    words = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run 'make docs'"
