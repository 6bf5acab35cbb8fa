"""What the images are made from agrees with the project; needs no engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from containers_running import ROOT, TOOLS, locked

from screader_lib import __version__
from screader_lib.genes.providers.local_models import packaged_model_folder
from screader_lib.reader.llm.weights import packaged_gguf

FOLDER = ROOT / "containers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def name_of(requirement: str) -> str:
    """A requirement's package, in lower case."""
    return re.sub("[._]+", "-", re.split(r"[\s<>=!\[;~]", requirement)[0]).lower()


def pinned(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text("utf-8").splitlines()
    pairs = [line.split("#")[0].strip().split("==") for line in lines if "==" in line]
    return {name_of(name): version for name, version in pairs}


@pytest.mark.parametrize("kind", TOOLS)
def test_every_locked_package_has_hashes_and_no_address(kind: str) -> None:
    text = (FOLDER / "locks" / f"{kind}.txt").read_text("utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(locked(kind)) > 30
    assert not [block for block in blocks if "--hash=sha256:" not in block]
    assert not re.search(r"https?://|file:|@", text)


@pytest.mark.parametrize("kind", TOOLS)
def test_locked_versions_are_those_the_tests_passed_with(kind: str) -> None:
    tested = {**pinned("requirements/constraints.txt"), **pinned("requirements/embedded.txt")}
    for name, version in locked(kind).items():
        if name in tested:
            assert version.split("+")[0] == tested[name], name
    untested = set(locked(kind)) - set(tested)
    assert not [n for n in untested if not re.match("nvidia|cuda|triton|bitsandbytes", n)]


def test_lock_of_the_cpu_image_has_all_that_the_project_asks() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["plots"], *extras["prepare"]]
    missing = {name_of(one) for one in wanted} - set(locked("screader"))
    assert not missing, "containers/lock.sh writes the lock again"
    assert locked("screader")["torch"].endswith("+cpu")
    assert set(pinned("requirements/embedded.txt")) <= set(locked("screader"))


def test_lean_image_asks_what_the_project_asks() -> None:
    lines = (FOLDER / "locks" / "screader-gpu.in").read_text("utf-8").splitlines()
    wanted = {line.split("#")[0].strip() for line in lines} - {""}
    known = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["gpu"]}
    assert wanted <= known
    assert not {"anndata", "pandas", "matplotlib"} & set(locked("screader-gpu"))


@pytest.mark.parametrize("kind", TOOLS)
def test_definition_has_an_app_for_each_executable(kind: str) -> None:
    text = (FOLDER / "apptainer" / f"{kind}.def").read_text("utf-8")
    assert re.findall(r"^%apprun (\S+)$", text, re.MULTILINE) == TOOLS[kind]
    assert f"for tool in {' '.join(TOOLS[kind])}; do" in text
    for section in ("%labels", "%help", "%test", "%runscript", "%environment"):
        assert f"\n{section}\n" in text


def test_both_definitions_differ_in_words_alone() -> None:
    commands = []
    for kind in TOOLS:
        text = (FOLDER / "apptainer" / f"{kind}.def").read_text("utf-8")
        text = text[: text.index("%help")].replace("screader-gpu", "screader")
        commands.append([line for line in text.splitlines() if not line.startswith("#")])
    assert commands[0] == commands[1]


def test_definition_sets_what_the_dockerfile_sets() -> None:
    docker = (FOLDER / "Dockerfile").read_text("utf-8")
    apptainer = (FOLDER / "apptainer" / "screader.def").read_text("utf-8")
    block = re.search(r"^ENV (.*?[^\\])$", docker, re.MULTILINE | re.DOTALL)
    assert block
    for setting in block[1].replace("\\", "").split():
        if not setting.startswith("NVIDIA"):  # Apptainer's --nv
            assert setting in apptainer, setting
    labels = set(re.findall(r"org\.opencontainers\.image\.[a-z]+", docker))
    of_definition = set(re.findall(r"org\.opencontainers\.image\.[a-z]+", apptainer))
    assert labels - {"org.opencontainers.image.base"} == of_definition


def test_executables_are_those_of_the_project() -> None:
    own = [f"screader-{tool}" for tool in TOOLS["screader"] if tool != "screader"]
    assert sorted([*TOOLS["screader"], *own]) == sorted(PROJECT["scripts"])


def test_names_and_versions_in_the_pages() -> None:
    images = yaml.safe_load((FOLDER / "images.yaml").read_text("utf-8"))
    pages = [(ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("containers", "hpc")]
    names = [form for image in images["images"].values() for form in (image["oci"], image["sif"])]
    names.append(images["biocontainers"]["oci"])
    for name in names:
        assert name.replace("VERSION", __version__) in pages[0], name
    found = re.findall(r"screader(?:-gpu)?[:_-](\d+\.\d+\.\d+)", "".join(pages))
    assert set(found) == {__version__}
    assert not re.search(r"screader[a-z-]*:latest", "".join(pages))


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sound(path: Path) -> None:
    assert path.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(path)], check=True)


def recipe_of(name: str, folder: Path = FOLDER / "conda") -> dict:
    """A recipe as it is written, its ${{ }} unfilled."""
    return yaml.safe_load((folder / name / "recipe.yaml").read_text("utf-8"))


def test_recipe_asks_what_the_project_asks() -> None:
    recipe = recipe_of("screader-suite")
    scripts = [f"{name} = {where}" for name, where in PROJECT["scripts"].items()]
    assert sorted(recipe["build"]["python"]["entry_points"]) == sorted(scripts)
    renamed = {"pytorch": "torch", "python-igraph": "igraph", "matplotlib-base": "matplotlib"}
    renamed["python-isal"] = "isal"
    asked = dict(line.split() for line in recipe["requirements"]["run"])
    asked = {renamed.get(name, name): bound for name, bound in asked.items()}
    assert asked.pop("python") == PROJECT["requires-python"]
    assert asked.pop("screader-models") == ">=0.1"
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["plots"], *extras["prepare"]]
    bounds = {name_of(one): re.sub(r"^[^<>=]*|;.*$", "", one) for one in wanted}
    assert asked == bounds


def test_recipe_of_the_suite_is_of_this_version_and_starts_every_executable() -> None:
    recipe = recipe_of("screader-suite")
    assert recipe["context"]["version"] == __version__
    assert recipe["about"]["license"] == PROJECT["license"]
    commands = next(test["script"] for test in recipe["tests"] if "script" in test)
    assert all(f"{name} --version" in commands for name in PROJECT["scripts"])


def test_models_of_the_recipe_are_those_that_are_installed() -> None:
    """The recipe's addresses have the files that requirements/embedded.txt brings."""
    folder, gguf = packaged_model_folder(), packaged_gguf()
    compared = set()
    for source in recipe_of("screader-models")["source"]:
        if "url" in source:
            name = source["url"].partition("}}/")[2]
            file = gguf if name == gguf.name else folder / name
            assert hashlib.sha256(file.read_bytes()).hexdigest() == source["sha256"], name
            compared.add(file)
    read = {"modules.json", "config.json", "tokenizer.json", "model.safetensors", gguf.name}
    assert read <= {file.name for file in compared}


def test_recipes_of_a_release_have_address_and_hash(tmp_path: Path) -> None:
    archive = tmp_path / "screader_suite.tar.gz"
    archive.write_bytes(b"archive")
    address = "https://releases.example/screader_suite.tar.gz"
    words = [FOLDER / "conda" / "release.sh", archive, address, tmp_path / "recipes"]
    subprocess.run(words, check=True)
    source = recipe_of("screader-suite", tmp_path / "recipes")["source"]
    assert source == {"url": address, "sha256": hashlib.sha256(b"archive").hexdigest()}
    assert recipe_of("screader-models", tmp_path / "recipes")["source"][0]["path"] == "."


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module that images import at their start, with no home to write to."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    module = import_module("screader_caches")
    for name in module.FOLDERS:
        monkeypatch.delenv(name, raising=False)
    return module


def test_caches_go_to_a_folder_of_the_user(caches: ModuleType, tmp_path: Path) -> None:
    caches.place()
    own = tmp_path / f"screader-{os.getuid()}"
    assert os.environ["MPLCONFIGDIR"] == str(own / "matplotlib")
    assert own.stat().st_mode & 0o777 == 0o700


def test_caches_avoid_a_folder_that_others_may_write(caches: ModuleType, tmp_path: Path) -> None:
    laid = tmp_path / f"screader-{os.getuid()}"
    laid.mkdir(exist_ok=True)  # the import has made it, where it is the first
    laid.chmod(0o777)
    caches.place()
    assert not os.environ["NUMBA_CACHE_DIR"].startswith(f"{laid}/")
    assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))


def test_caches_leave_a_home_and_what_is_set(
    caches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    caches.place()
    assert os.environ["HF_HOME"] == "/models"
    monkeypatch.delenv("MPLCONFIGDIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    caches.place()
    assert "MPLCONFIGDIR" not in os.environ


def test_bill_of_materials_is_cyclonedx(tmp_path: Path) -> None:
    """Of what cyclonedx-py writes, here as little as it can be."""
    source, target = tmp_path / "python.json", tmp_path / "share/bill.json"
    packages = {PROJECT["name"]: __version__, "numpy": "2.0"}
    components = [
        {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
        for name, version in packages.items()
    ]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {}}
    source.write_text(json.dumps(bill | {"components": components}), "utf-8")
    words = [sys.executable, str(FOLDER / "sbom.py"), "screader", str(source), str(target)]
    subprocess.run(words, check=True)
    bill = json.loads(target.read_text("utf-8"))
    names = {one["name"] for one in bill["components"]}
    assert {"python", "numpy"} <= names and PROJECT["name"] not in names
    assert bill["metadata"]["component"]["version"] == __version__
    assert not shutil.which("dpkg-query") or "libc6" in names
    schema = pytest.importorskip("cyclonedx.schema")
    validator = import_module("cyclonedx.validation.json").JsonStrictValidator
    assert validator(schema.SchemaVersion.V1_6).validate_str(target.read_text("utf-8")) is None


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if not program:
        pytest.skip("hadolint is not installed: make test-containers installs it")
    words = [program, "--config", str(FOLDER / "hadolint.yaml"), str(FOLDER / "Dockerfile")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
