"""The architecture: imports point one way, starts are lean, nothing forbidden is written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from screader_tools.plot import SUBCOMMANDS as PLOT
from screader_tools.screader import SUBCOMMANDS as SCREADER

ROOT = Path(__file__).parents[1]
LIBRARY, TOOLS = ROOT / "screader_lib", ROOT / "tools"

BASE = {
    "errors",
    "gguf_files",
    "label_metrics",
    "launch",
    "offline",
    "option_values",
    "reporting",
    "schemas",
}
MAY_IMPORT = {
    "schemas": set(),
    "errors": set(),
    "gguf_files": set(),
    "launch": set(),
    "option_values": set(),
    "offline": set(),
    "reporting": set(),
    "label_metrics": {"errors"},
    "exchange": BASE,
    "command_line": BASE | {"exchange"},
    "genes": BASE | {"exchange"},
    "cells": BASE | {"exchange", "genes"},
    "preparation": BASE | {"exchange", "genes", "cells"},
    "reader": BASE | {"exchange", "genes", "cells"},
    "figures": BASE | {"exchange", "genes", "cells"},
    "demo": BASE | {"exchange"},
}
EXECUTABLES = [
    "fetch-descriptions",
    "embed-genes",
    "build-cells",
    "prepare-cells",
    "train-reader",
    "predict",
    "plot",
    "screader",
]
HEAVY = [
    "scanpy",
    "torch",
    "transformers",
    "anndata",
    "h5py",
    "numpy",
    "scipy",
    "matplotlib",
    "openai",
    "pandas",
    "rich",
    "sklearn",
    "umap",
    "urllib3",
    "yaml",
]
SUBCOMMANDS = [
    *(f"screader {name}" for name in SCREADER),
    *(f"plot {name}" for name in PLOT),
]
LONGEST = 500  # lines of a file
BINARY = (".gz", ".h5", ".h5ad", ".loom", ".npz", ".png", ".safetensors")
ALLOWED = {"plain_pickle.py": {"import pickle"}}  # it checks opcodes first, and resolves no globals


def tracked() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.decode().split("\0") if name]


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


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_name_the_whole_path(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]


def test_every_room_is_known() -> None:
    rooms = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in modules()}
    assert rooms - {"__init__"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "path", [*modules(), *sorted(TOOLS.rglob("*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_public_things_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "no module docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


HELP = f"""
import sys
from importlib import import_module
tool, *words = sys.argv[1].split()
main = import_module("screader_tools." + tool.replace("-", "_")).main
try:
    main([*words, "--help"], prog_name=tool)
except SystemExit as end:
    assert not end.code
found = [name for name in {HEAVY!r} if name in sys.modules]
assert not found, found
"""


@pytest.mark.parametrize("tool", [*EXECUTABLES, *SUBCOMMANDS])
def test_help_imports_nothing_heavy_and_has_examples(tool: str) -> None:
    words = [sys.executable, "-c", HELP, tool]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    example = tool.removeprefix("screader ") if tool.rsplit(maxsplit=1)[-1] in EXECUTABLES else tool
    assert f"$ {example}" in done.stdout


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


def test_nothing_of_one_machine_is_written_down() -> None:
    forbidden = re.compile(r"/work/(main|shared)|/root/|index-url|pypi\.org|" + "shared" + "/tools")
    here = Path(__file__)
    for path in tracked():
        if path == here or path.suffix in BINARY or not path.is_file():
            continue
        found = forbidden.search(path.read_text("utf-8"))
        assert not found, f"{path.name}: {found}"


def test_nothing_runs_code_from_files() -> None:
    unpickling = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|trust_remote_code\s*=\s*True"
        r"|^\s*(import|from) (pickle|joblib|dill|shelve|marshal)\b|\byaml\.(unsafe_|full_)?load\b"
        r"|shell\s*=\s*True|(?<![\w.])(eval|exec)\(",
        re.MULTILINE,
    )
    for path in [*modules(), *TOOLS.rglob("*.py")]:
        found = {match[0].strip() for match in unpickling.finditer(path.read_text("utf-8"))}
        assert found <= ALLOWED.get(path.name, set()), f"{path.name}: {found}"


def test_files_are_short() -> None:
    long = [path.name for path in tracked() if path.suffix == ".py" and lines(path) > LONGEST]
    assert not long


def lines(path: Path) -> int:
    return path.read_text("utf-8").count("\n") if path.exists() else 0


def test_every_package_and_executable_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {path.parent for path in LIBRARY.rglob("*.py")}
    names = {".".join(path.relative_to(ROOT).parts) for path in packages}
    assert set(project["tool"]["setuptools"]["packages"]) == names | {
        "screader_tools",
        "screader_tools.pictures",
    }
    assert set(project["project"]["scripts"]) == {
        *EXECUTABLES,
        *(f"screader-{name}" for name in EXECUTABLES if name != "screader"),
    }


def test_readme_names_every_executable() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{tool}`" in text for tool in EXECUTABLES)


def test_generated_pages_are_fresh() -> None:
    words = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run 'make docs'"
