"""The architecture: imports point one way, starts are lean, nothing forbidden is written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from running import command, invoke

from screader_lib import __version__
from screader_tools.plot import SUBCOMMANDS as PLOT
from screader_tools.readers import SUBCOMMANDS as READERS
from screader_tools.screader import SUBCOMMANDS as SCREADER

ROOT = Path(__file__).parents[1]
LIBRARY, TOOLS, PYTHON = ROOT / "screader_lib", ROOT / "tools", ROOT / "screader"
MODULES = sorted(LIBRARY.rglob("*.py"))

TOP_LEVEL = {
    "compiled", "errors", "gguf_files", "label_metrics", "launch", "offline", "option_values",
    "threads", "weight_files",
}  # fmt: skip
BASE = TOP_LEVEL | {"largest", "reporting", "schemas"}
MAY_IMPORT = {
    **dict.fromkeys(BASE, frozenset()),
    "label_metrics": {"errors"},
    "weight_files": {"errors"},
    "exchange": BASE,
    "command_line": BASE | {"exchange"},
    "genes": BASE | {"exchange"},
    "cells": BASE | {"exchange", "genes"},
    "preparation": BASE | {"exchange", "genes", "cells"},
    "reader": BASE | {"exchange", "genes", "cells"},
    "annotation": BASE | {"exchange", "genes", "cells", "preparation", "reader"},
    "readers": BASE | {"exchange", "genes", "cells", "reader"},
    "figures": BASE | {"exchange", "genes", "cells"},
    "demo": BASE | {"exchange"},
}
ORDER = {  # folders of a package; each imports those before it only
    "genes": ["services", "sources", "providers"],
    "reader": ["llm", "confidence", "model", "methods", "prediction"],
    "figures": ["drawing", "data", "plots", "report"],
}
EXECUTABLES = [
    "annotate",
    "fetch-descriptions", "embed-genes", "build-cells", "prepare-cells", "train-reader", "predict",
    "plot", "screader",
]  # fmt: skip
SUBCOMMANDS = [
    *(f"screader {name}" for name in SCREADER),
    *(f"plot {name}" for name in PLOT),
    *(f"screader readers {name}" for name in READERS),
]
HEAVY = [
    "anndata", "h5py", "matplotlib", "numpy", "openai", "pandas", "rich", "scanpy", "scipy",
    "sklearn", "torch", "transformers", "umap", "urllib3", "yaml",
]  # fmt: skip
MAX_LINES, MAX_MODULES = 500, 15  # of a file, of a folder
BINARY = (
    ".RData", ".gz", ".h5", ".h5ad", ".loom", ".npz", ".png", ".rds", ".safetensors", ".xz", ".zip"
)  # fmt: skip


def tracked() -> list[Path]:
    """The files that git knows and that are there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if (path := ROOT / name).is_file()]


def top_level(path: Path) -> str:
    """The package or top-level module that a file of the library belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            yield from (f"{dots}{node.module or ''}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def first(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def test_imports_point_one_way() -> None:
    wrong = []
    for path in MODULES:
        own = top_level(path)
        for name in imports(path):
            start, *inner = name.split(".")
            up = start == "screader_lib" and inner[0] not in {own, *MAY_IMPORT.get(own, ())}
            relative = not start
            if (
                relative
                or start in {"screader_tools", "screader"}
                or (up and inner[0] != "__version__")
            ):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_the_python_package_imports_the_library_only() -> None:
    used = {first(name) for path in PYTHON.rglob("*.py") for name in imports(path)}
    assert "screader_lib" in used and "screader_tools" not in used
    assert not [path for path in TOOLS.rglob("*.py") if "screader" in map(first, imports(path))]


@pytest.mark.parametrize("package", ORDER)
def test_folders_of_a_package_import_one_way(package: str) -> None:
    order = ORDER[package]
    assert {path.parent.name for path in (LIBRARY / package).glob("*/__init__.py")} == set(order)
    wrong = set()
    for path in LIBRARY.glob(f"{package}/*/*.py"):
        later = order[order.index(path.parent.name) + 1 :]
        inner = (name.split(".") for name in imports(path))
        own = (name for name in inner if name[:2] == ["screader_lib", package])
        parts = (name for name in own if name[2] in later)
        wrong |= {f"{path.name} imports {'.'.join(name[:4])}" for name in parts}
    assert not wrong


def test_every_package_is_known() -> None:
    assert {top_level(path) for path in MODULES} - {"__init__"} == set(MAY_IMPORT)


def test_public_things_are_documented() -> None:
    missing = []
    for path in [*MODULES, *TOOLS.rglob("*.py"), *PYTHON.rglob("*.py")]:
        tree = ast.parse(path.read_text("utf-8"))
        public = (
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        )
        nodes = [tree, *public]
        missing += [f"{path}: {ast.unparse(n)[:60]}" for n in nodes if not ast.get_docstring(n)]
    assert not missing


def test_files_and_packages_are_short() -> None:
    python = [path for path in tracked() if path.suffix == ".py"]
    assert not [path for path in python if path.read_text("utf-8").count("\n") > MAX_LINES]
    packages = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert not [package for package, modules in packages.items() if modules > MAX_MODULES]


HELP = f"""
import sys
from importlib import import_module
for line in sys.argv[1:]:
    tool, *words = line.split()
    main = import_module("screader_tools." + tool.replace("-", "_")).main
    try:
        main([*words, "--help"], prog_name=tool)
    except SystemExit as end:
        assert not end.code, line
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    assert not heavy, (line, heavy)
"""


def test_help_imports_nothing_heavy_and_has_examples() -> None:
    lines = [*EXECUTABLES, *SUBCOMMANDS]
    words = [sys.executable, "-c", HELP, *lines]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = done.stdout.split("Usage: ")[1:]
    for line, page in zip(lines, pages, strict=True):
        example = line.removeprefix("screader ") if line.endswith(tuple(EXECUTABLES)) else line
        assert f"$ {example}" in page, line


def test_importing_the_python_package_imports_nothing_heavy() -> None:
    code = f"import sys, screader; sys.exit(str([n for n in {HEAVY!r} if n in sys.modules] or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.stderr.strip()


def test_every_package_and_executable_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    names = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES}
    tools = {f"screader_tools{folder}" for folder in ("", ".figures")}
    assert set(project["tool"]["setuptools"]["packages"]) == names | tools | {"screader"}
    assert (PYTHON / "py.typed").is_file()
    own = {f"screader-{name}" for name in EXECUTABLES if name != "screader"}
    assert set(project["project"]["scripts"]) == {*EXECUTABLES, *own}
    assert own < entry_points(group="console_scripts").names


def test_version() -> None:
    for tool in EXECUTABLES:
        assert invoke(tool, "--version").stdout == f"{tool} {__version__}\n"
    done = subprocess.run(command("predict", "--version"), capture_output=True, check=True)
    assert done.stdout.decode() == f"predict {__version__}\n"


WITHOUT = """
import sys
from importlib.machinery import PathFinder
missing = ("anndata", "matplotlib", "openai", "pandas", "scanpy", "umap", "urllib3")
def find_spec(name, *more):
    return None if name.partition(".")[0] in missing else usual(name, *more)
usual, PathFinder.find_spec = PathFinder.find_spec, find_spec
from screader_tools.train_reader import main as train
from screader_tools.predict import main as predict
quick = ["--method", "pooled", "--warm-start-epochs", "1"]
train([sys.argv[1], *quick, "-o", sys.argv[2]], standalone_mode=False)
predict([sys.argv[1], "-r", sys.argv[2], "-o", sys.argv[3]], standalone_mode=False)
"""


def test_a_gpu_image_needs_no_anndata(cells: Path, tmp_path: Path) -> None:
    """train-reader and predict run where only their own packages are installed."""
    words = [sys.executable, "-c", WITHOUT, cells, tmp_path / "r.h5", tmp_path / "p.h5ad"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_of_one_machine_is_written_down() -> None:
    forbidden = re.compile(r"/work/(main|shared)|/root/|index-url|pypi\.org|" + "shared" + "/tools")
    texts = [path for path in tracked() if path != Path(__file__) and path.suffix not in BINARY]
    assert not [path for path in texts if forbidden.search(path.read_text("utf-8"))]


def test_nothing_runs_code_from_files() -> None:
    unpickling = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|trust_remote_code\s*=\s*True"
        r"|^\s*(import|from) (pickle|joblib|dill|shelve|marshal)\b|\byaml\.(unsafe_|full_)?load\b"
        r"|shell\s*=\s*True|(?<![\w.])(eval|exec)\(",
        re.MULTILINE,
    )
    for path in [*MODULES, *TOOLS.rglob("*.py"), *PYTHON.rglob("*.py")]:
        matches = {match[0].strip() for match in unpickling.finditer(path.read_text("utf-8"))}
        assert not matches, f"{path}: {matches}"


def test_hdf5_is_written_where_full_disks_are_known_of() -> None:
    writes = re.compile(r"h5py\.File\((?![^)]*\"r\")[^)]*\)")
    for path in [*MODULES, *TOOLS.rglob("*.py"), *PYTHON.rglob("*.py")]:
        if path.name != "writing.py":
            assert not writes.search(path.read_text("utf-8")), path


def test_the_architecture_page_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    names = {name for name in re.findall(r"`([\w./-]+)`", text) if "/" in name or ".py" in name}
    missing = [name for name in names if not any((at / name).exists() for at in (ROOT, LIBRARY))]
    assert len(names) > 20 and not missing


def test_generated_pages_are_fresh() -> None:
    words = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run 'make docs'"
