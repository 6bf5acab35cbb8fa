"""The site's own pages: their commands run and print what is on them, their figures are measured.

Blocks of ``bash`` and ``python`` run in the order of the page, in one folder; the ``text`` after
one is what it prints. Blocks of ``sh`` install, and are not run.
"""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
from running import environment, invoke, restored
from small_files import ONE_READER, succeed

from screader_lib.demo import SPECIES, extract_cells
from screader_lib.errors import ScReaderError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
TOLERANCE = 0.03  # of printed numbers: other versions and processors find other neighbours
OFFLINE = {"SCREADER_OFFLINE": "1"}
PAGES = ["index.md", *sorted(f"how-to/{page.name}" for page in DOCS.glob("how-to/*.md"))]
TYPES = ("alpha", "beta", "ductal", "endothelial")
MARKERS = {  # of PanglaoDB, by its names of the types
    "alpha": ("Alpha cells", "GCG TTR IRX2 CHGB"),
    "beta": ("Beta cells", "INS IAPP ADCYAP1 PCSK1"),
    "ductal": ("Ductal cells", "KRT19 KRT7 CFTR MUC1"),
    "endothelial": ("Endothelial cells", "PECAM1 VWF CDH5 PLVAP"),
}
GENES, PANEL = 600, 200
METHODS = (DOCS / "methods.md").read_text("utf-8").split("\n## ")
SECTIONS = [section for section in METHODS if "\n|---|" in section]
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
DECIMAL = re.compile(r"\b[01]\.\d{3}\b")

pytestmark = pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")


def run_page(page: Path, folder: Path) -> None:
    """Run the blocks of a page; AssertionError where one fails or prints something else."""
    said, names = "", {"__name__": "page"}
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        if language == "text":
            assert_printed(text, said)
        elif language == "python":
            printed = StringIO()
            with restored(folder, environment(folder, **OFFLINE)), redirect_stdout(printed):
                exec(compile(text, str(page), "exec"), names)
            said = printed.getvalue()
        else:
            said = "".join(run_line(line, folder) for line in lines_of(text))


def lines_of(block: str) -> Iterator[str]:
    """The commands of a block, each on one line."""
    yield from filter(None, block.replace("\\\n", " ").splitlines())


def run_line(line: str, folder: Path) -> str:
    """What a command of the suite prints to the user."""
    tool, *words = shlex.split(line)
    assert tool == "screader", line
    for place, word in reversed([*enumerate(words)]):
        if "*" in word:
            words[place : place + 1] = sorted(str(path) for path in folder.glob(word))
    done = invoke(tool, *words, cwd=folder, environ=environment(folder, **OFFLINE))
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.output


def assert_printed(told: str, said: str) -> None:
    """Each told line was said; numbers may differ a little."""
    for line in filter(None, told.splitlines()):
        words, numbers = parts(line)
        near = (one for one in map(parts, said.splitlines()) if one[0] == words)
        assert any(np.allclose(numbers, one, rtol=TOLERANCE, atol=2) for _, one in near), said


def parts(line: str) -> tuple[str, list[float]]:
    """A line without its numbers and its spaces, and the numbers."""
    numbers = [float(number.replace(",", "")) for number in NUMBER.findall(line)]
    return NUMBER.sub("#", "".join(line.split())), numbers


def test_every_page_is_in_the_site() -> None:
    """Where one is not, ``make site`` ends."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert there <= set(re.findall(r"[\w/-]+\.md$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def baron(tmp_path_factory: pytest.TempPathFactory) -> dict[str, anndata.AnnData]:
    """The demonstration's cells, by species."""
    folder = tmp_path_factory.mktemp("baron")
    found = {}
    for species in SPECIES:
        try:
            extract_cells(folder / f"{species}.h5ad", species)
        except ScReaderError as missing:
            pytest.skip(str(missing))
        found[species] = anndata.read_h5ad(folder / f"{species}.h5ad")
    return found


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(baron: dict[str, anndata.AnnData], tmp_path: Path) -> None:
    shutil.copy(DOCS / "tutorial" / "named_cells.tsv", tmp_path)
    run_page(DOCS / "tutorial" / "index.md", tmp_path)
    assert {"report.html", "annotated.h5ad", "corrected.h5ad", "corrected.html"} <= {
        path.name for path in tmp_path.iterdir()
    }


def plain(adata: anndata.AnnData) -> anndata.AnnData:
    """Counts, labels, donors and clusters, by the names that the pages use."""
    obs = adata.obs[["cell_type1", "donor"]].astype(str).rename(columns={"cell_type1": "cell_type"})
    obs["leiden"] = pandas.factorize(obs["cell_type"])[0].astype(str)
    return anndata.AnnData(adata.X, obs=obs, var=adata.var[[]])


def small(adata: anndata.AnnData, genes: int, start: int = 0) -> anndata.AnnData:
    """Some cells of the common types, and the genes with most counts."""
    labels = adata.obs["cell_type1"].astype(str)
    rows = [np.flatnonzero(labels == kind)[start : start + 30] for kind in TYPES]
    columns = np.sort(np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel(), kind="stable")[:genes])
    return plain(adata[np.sort(np.concatenate(rows)), columns])


@pytest.fixture(scope="module")
def made(
    baron: dict[str, anndata.AnnData], cells: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A folder with what a reader of the how-to pages has: files of the names that they use."""
    folder = tmp_path_factory.mktemp("made")
    human, mouse = small(baron["human"], GENES), plain(baron["mouse"][::8])
    human.write_h5ad(folder / "counts.h5ad")
    human[::3].write_h5ad(folder / "more.h5ad")
    for name in ("samples", "annotated"):
        (folder / name).mkdir()
    for name, part in {"one": human[::2], "two": human[1::2]}.items():
        part.write_h5ad(folder / "samples" / f"{name}.h5ad")
    small(baron["human"], PANEL).write_h5ad(folder / "panel.h5ad")
    small(baron["human"], GENES, 30).write_h5ad(folder / "atlas.h5ad")
    mouse.write_h5ad(folder / "mouse.h5ad")
    orthologs = pandas.DataFrame({"human": mouse.var_names.str.upper(), "mouse": mouse.var_names})
    orthologs.to_csv(folder / "orthologs.csv", index=False)
    named = human.obs.groupby("cell_type").head(3)["cell_type"].rename("label")
    named.rename_axis("cell").to_csv(folder / "named.csv")
    terms = {"alpha": "CL:0000171", "beta": "CL:0000169", "ductal": "CL:0002079"}
    types = pandas.DataFrame({"type": TYPES, "ontology_id": [terms.get(k, "") for k in TYPES]})
    types.to_csv(folder / "types.csv", index=False)
    rows = [
        f"Hs\t{gene}\t{kind}\tPancreas"
        for kind, genes in MARKERS.values()
        for gene in genes.split()
    ]
    with gzip.open(folder / "PanglaoDB_markers.tsv.gz", "wt") as sink:
        sink.write("\n".join(["species\tofficial gene symbol\tcell type\torgan", *rows]) + "\n")
    clusters = human.obs[["leiden", "cell_type"]].drop_duplicates()
    clusters.set_axis(["cluster", "label"], axis=1).to_csv(folder / "clusters.csv", index=False)
    shutil.copy(cells, folder / "cells.h5ad")
    learn = ("--method", "pooled", "--warm-start-epochs", 2, *ONE_READER)
    succeed("train-reader", cells, *learn, "-o", folder / "reader.h5")
    words = ("--reader", folder / "reader.h5", "-o", folder / "predictions.h5ad")
    succeed("predict", cells, *words)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_commands_of_a_page_run_and_label_the_cells(made: Path, name: str, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    run_page(DOCS / name, tmp_path)
    for path in (*tmp_path.glob("*annotated.h5ad"), *tmp_path.glob("annotated/*.h5ad")):
        obs = anndata.read_h5ad(path).obs
        column = obs.filter(regex="^screader_(consensus_)?label$").columns[-1]
        assert (obs[column].astype(str) == obs["cell_type"].astype(str)).mean() > 0.85, path.name


@pytest.mark.slow
def test_the_first_screen_of_the_readme_runs(made: Path, tmp_path: Path) -> None:
    """Each of its commands labels the cells; what is installed before has these extras."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^ {4}\$ (screader annotate .+)$", readme, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        run_line(command, tmp_path)
        obs = anndata.read_h5ad(tmp_path / "annotated.h5ad").obs
        right = obs["screader_label"].astype(str) == obs["cell_type"].astype(str)
        assert right.mean() > 0.85, command
    [extras] = re.findall(r"^ {4}pip install '\.\[(.+)\]'$", readme, re.MULTILINE)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras.split(",")) <= set(known["optional-dependencies"])


def rows_of(text: str) -> list[list[str]]:
    """The cells of all tables, without what makes them bold."""
    return [[cell.strip(" *`") for cell in row.split("|")] for row in ROW.findall(text)]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.partition("\n")[0])
def test_figures_of_methods_are_those_of_the_benchmarks(section: str) -> None:
    """Each row's figures are in one row of the linked page, of the same method or cells."""
    [linked] = set(re.findall(r"\]\(\.\./(benchmarks/\w+\.md)\)", section))
    measured = rows_of((ROOT / linked).read_text("utf-8"))
    quoted = [row for row in rows_of(section) if DECIMAL.search(" ".join(row[1:]))]
    assert len(quoted) > 3
    for name, *figures in quoted:
        found = [row for row in measured if name in row[:2]]
        numbers = set(DECIMAL.findall(" ".join(figures)))
        assert any(numbers <= set(DECIMAL.findall(" ".join(row))) for row in found), name
