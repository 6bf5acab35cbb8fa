"""What a maintainer is handed: addresses and version in one place, links, workflows, bounds."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner

from screader_lib import __version__

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MODULE = "nextflow/modules/screader-suite/screader/plot/environment.yml"
REPOSITORY = PYPROJECT["project"]["urls"]["Repository"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/release.py at work on a small copy of the project."""
    module = load(ROOT / "scripts" / "release.py")
    for name in (
        "pyproject.toml", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "screader_lib/__init__.py",
        "galaxy_wrappers/macros.xml", "nextflow/nextflow.config", "requirements/embedded.txt",
        MODULE, "containers/locks/base.txt",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def run(module: ModuleType, *words: str) -> str:
    done = CliRunner().invoke(module.main, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_addresses_and_version_are_set_everywhere(release: ModuleType, tmp_path: Path) -> None:
    run(release, "addresses", "https://git.example/lab/cells", "us@lab.example")
    assert release.addresses() == ("https://git.example/lab/cells", "us@lab.example")
    assert "https://git.example/lab/cells/security" in (tmp_path / "SECURITY.md").read_text("utf-8")
    embedded = (tmp_path / "requirements/embedded.txt").read_text("utf-8")
    run(release, "version", "7.8.9")
    assert set(release.versions()) == {
        "CITATION.cff", "screader_lib/__init__.py", "galaxy_wrappers/macros.xml",
        "nextflow/nextflow.config", MODULE,
    }  # fmt: skip
    assert {one for said in release.versions().values() for one in said} == {"7.8.9"}
    changelog = (tmp_path / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"## \[Unreleased\]\n\n## \[7\.8\.9\] - \d{4}-", changelog)
    assert (tmp_path / "requirements/embedded.txt").read_text("utf-8") == embedded


def test_what_is_not_ready_is_told(release: ModuleType, tmp_path: Path) -> None:
    run(release, "addresses", "https://git.example/OWNER/cells", "us@example.org")
    release_of = [
        "pyproject.toml: https://git.example/OWNER/cells is a placeholder",
        "pyproject.toml: us@example.org is a placeholder",
        f"CHANGELOG.md: no section of {__version__} with a date",
        "containers/locks/base.txt: no digest",
        "the tag is v9.9.9",
    ]
    (tmp_path / "containers/locks/base.txt").write_text("python:3.11\n")
    told = release.faults("v9.9.9")
    assert [[one for one in told if one.startswith(start)] for start in release_of] == [
        [one] for one in told
    ]
    run(release, "addresses", "https://git.example/lab/cells", "us@lab.example")
    run(release, "version", __version__)
    (tmp_path / "containers/locks/base.txt").write_text(f"python:3.11@sha256:{'0' * 64}\n")
    assert release.faults(f"v{__version__}") == []


def test_one_address_and_one_version_in_all_files() -> None:
    release = load(ROOT / "scripts" / "release.py")
    try:
        texts = release.files()
    except subprocess.CalledProcessError:
        pytest.skip("not a git checkout")
    own = Path(__file__)
    name = re.escape(REPOSITORY.rpartition("/")[2])
    other = {
        (str(path), found)
        for path, text in texts.items()
        for found in re.findall(rf"https://[\w.-]+/[\w-]+/{name}(?![\w-])", text)
        if path not in (own, ROOT / "scripts" / "release.py") and found != REPOSITORY
    }
    assert not other
    assert {one for said in release.versions().values() for one in said} == {__version__}


def test_links_of_the_readme_lead_somewhere_on_the_package_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    text = load(ROOT / "setup.py").readme()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 20
    start = f"{REPOSITORY}/blob/v{__version__}/"
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(start):
            assert (ROOT / link.removeprefix(start).partition("#")[0]).exists(), link


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_and_scripts_that_are_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        assert "${{" not in command  # text of others never becomes a part of a command
        program, *words = shlex.split(command)
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, command
        elif "/" in program:
            assert (ROOT / program).is_file(), command


@pytest.mark.parametrize("package", ["transformers", "gguf"])
def test_packages_whose_inside_is_used_have_a_bound(package: str) -> None:
    """A new major version is let in only after test_decoder and test_gguf_files pass with it."""
    (asked,) = [one for one in PYPROJECT["project"]["dependencies"] if one.startswith(package)]
    bound = re.search(r",<(\d+)$", asked)
    tested = re.search(
        rf"^{package}==(\d+)\.", (ROOT / "requirements/constraints.txt").read_text(), re.MULTILINE
    )
    assert bound and tested
    assert int(bound[1]) == int(tested[1]) + 1


def test_archives_that_lack_a_file_are_found(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "compare_archives.py"
    compare = load(script)
    wanted = {"a.py": "1", "b.py": "2"}
    assert compare.differences({"b.py": "3", "c.py": "4"}, wanted) == [
        "a.py is missing", "c.py is not git's", "b.py differs",
    ]  # fmt: skip
    packages = {"tools/plot.py": "1", "docs/r.md": "2", "screader/py.typed": "3"}
    assert compare.expected_packages(packages) == {
        "screader_tools/plot.py": "1",
        "screader/py.typed": "3",
    }
    assert subprocess.run([sys.executable, str(script)], check=False).returncode == 1
