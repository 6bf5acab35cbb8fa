"""``plot`` as its users type it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))

from figure_files import Case, write_cells, write_embeddings, write_predictions, write_reader

from screader_tools.figures.command_words import command_words
from screader_tools.figures.figure_options import Size
from screader_tools.plot import main

PICTURES = ("umap", "confusion", "metrics", "calibration", "markers", "training", "embeddings")
CASE = Case(cells=30)


def plot(*words: str | Path, stdin: Path | None = None) -> Result:
    text = [str(word) for word in words]
    return CliRunner().invoke(main, text, input=stdin.read_bytes() if stdin else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions, cells, a reader, and coordinates, so that no test waits for UMAP."""
    folder = tmp_path_factory.mktemp("plot")
    write_predictions(folder / "p.h5ad", CASE)
    write_predictions(folder / "q.h5ad", Case(cells=30, method="genept", accuracy=0.5))
    write_cells(folder / "c.h5ad", CASE)
    write_reader(folder / "r.h5")
    write_embeddings(folder / "g.h5ad", 9)
    lines = ["panel\tcell\tumap_1\tumap_2"]
    for panel in ("after scReader", "before reading (mean gene embedding)", "after GenePT"):
        lines += [f"{panel}\tcell-{number}\t{number}\t{number**2}" for number in range(CASE.cells)]
    (folder / "umap.tsv").write_text("\n".join(lines) + "\n")
    return folder


def inputs(picture: str, folder: Path) -> list[str | Path]:
    """The subcommand, its input, and coordinates that save time."""
    if picture == "training":
        return [picture, folder / "r.h5"]
    if picture == "embeddings":
        return [picture, folder / "g.h5ad", "--gene", "gene-3"]
    more: list[str | Path] = ["--coordinates", folder / "umap.tsv"] if picture == "umap" else []
    if picture == "markers":
        more = ["--cells", folder / "c.h5ad"]
    return [picture, folder / "p.h5ad", *more]


@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_from_a_file_and_through_pipes(
    picture: str, folder: Path, tmp_path: Path
) -> None:
    command, source, *more = inputs(picture, folder)
    output, data = tmp_path / "x.svg", tmp_path / "x.tsv"
    result = plot(command, source, *more, "-o", output, "--data", data, "--dpi", "40")
    assert result.exit_code == 0, result.stderr
    assert len(data.read_text().splitlines()) > 4
    piped = plot(command, *more, "--format", "svg", "--dpi", "40", stdin=Path(source))
    assert piped.exit_code == 0, piped.stderr
    assert piped.stdout_bytes == output.read_bytes() and output.read_bytes().startswith(b"<?xml")


def test_pipe_without_a_format_is_png(folder: Path) -> None:
    assert plot("metrics", folder / "p.h5ad").stdout_bytes.startswith(b"\x89PNG")


def test_files_are_compared_under_given_names(folder: Path, tmp_path: Path) -> None:
    both = [folder / "q.h5ad", folder / "p.h5ad", "--name", "old & <b>", "--name", "new"]
    text = (folder / "umap.tsv").read_text()
    text = text.replace("GenePT", "old & <b>").replace("scReader", "new")
    (tmp_path / "umap.tsv").write_text(text)
    more = ["--coordinates", tmp_path / "umap.tsv", "--cells", folder / "c.h5ad"]
    data = tmp_path / "x.tsv"
    for words in (["metrics", *both], ["umap", *both, *more]):
        result = plot(*words, "-o", tmp_path / "x.svg", "--data", data)
        assert result.exit_code == 0, result.stderr
        names = {line.split("\t")[0] for line in data.read_text().splitlines()}
        assert {"old & <b>", "new"} <= {name.removeprefix("after ") for name in names}


def test_saved_coordinates_give_the_same_picture(tmp_path: Path) -> None:
    few = write_predictions(tmp_path / "few.h5ad", Case(cells=9))
    saved, one, two = tmp_path / "k.npz", tmp_path / "1.png", tmp_path / "2.png"
    result = plot("umap", few, "--save-coordinates", saved, "-o", one)
    assert result.exit_code == 0, result.stderr
    assert plot("umap", few, "--coordinates", saved, "-o", two).exit_code == 0
    assert one.read_bytes() == two.read_bytes()


def test_options_change_the_picture(folder: Path) -> None:
    base = ["calibration", folder / "p.h5ad"]
    plain = plot(*base, "--format", "svg").stdout_bytes
    for more in (["--size", "5x3"], ["--title", "A title"], ["--palette", "Set2"]):
        result = plot(*base, "--format", "svg", *more)
        assert result.exit_code == 0, result.stderr
        assert result.stdout_bytes != plain
    small, large = (plot(*base, "--dpi", dpi).stdout_bytes for dpi in ("50", "100"))
    width = [int.from_bytes(png[16:20], "big") for png in (small, large)]
    assert width[1] == 2 * width[0]


@pytest.mark.parametrize(
    ("text", "inches"),
    [("7x5", (7, 5)), ("25.4x50.8mm", (1, 2)), ("2.54×5.08 cm", (1, 2)), ("3X4in", (3, 4))],
)
def test_sizes(text: str, inches: tuple[float, float]) -> None:
    assert Size().convert(text, None, None) == pytest.approx(inches)


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("millimetres", [85, 180])
def test_figures_are_as_wide_as_a_column(picture: str, millimetres: int, folder: Path) -> None:
    words = [*inputs(picture, folder), "--width", f"{millimetres}mm", "--dpi", "127"]
    result = plot(*words)
    assert result.exit_code == 0, result.stderr
    width, height = (int.from_bytes(result.stdout_bytes[at : at + 4], "big") for at in (16, 20))
    assert abs(width - 5 * millimetres) <= 1 and 100 < height <= 9 * 127


def test_markers_are_of_the_named_genes_and_types(folder: Path, tmp_path: Path) -> None:
    base = ["markers", folder / "p.h5ad", "--cells", folder / "c.h5ad", "-o", tmp_path / "x.svg"]
    named = ["--gene", "GENE7", "--gene", "GENE3", "--by", "true_label"]
    assert plot(*base, *named, "--data", tmp_path / "x.tsv").exit_code == 0
    rows = [line.split("\t") for line in (tmp_path / "x.tsv").read_text().splitlines()[1:]]
    assert [row[2] for row in rows[:2]] == ["GENE7", "GENE3"] and len(rows) == 2 * len(CASE.types)
    for wrong, words in (("no gene 'x'", ["--gene", "x"]), ("numbers", ["--by", "confidence"])):
        result = plot(*base, *words)
        assert result.exit_code == 1 and wrong in result.stderr


USAGE = {
    "wide": ["--width", "7x5"],
    "two sizes": ["--width", "85mm", "--size", "5x5"],
    "size": ["--size", "large"],
    "huge": ["--size", "9000x1"],
    "format": ["-o", "x.jpeg"],
    "same": ["-o", "x.png", "--data", "./x.png"],
    "names": ["--name", "a", "--name", "b", "-o", "x.png"],
    "input": ["-o", "p.h5ad", "--format", "png"],
    "both": ["-o", "-", "--data", "-"],
}


@pytest.mark.parametrize("wrong", USAGE.values(), ids=USAGE.keys())
def test_wrong_usage_is_exit_2(
    wrong: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = plot("metrics", "p.h5ad", *wrong)
    assert result.exit_code == 2, result.output
    assert sorted(folder.iterdir()) == before


FAILURES = {
    "kind": (["metrics", "c.h5ad"], "is a cells file, expected predictions"),
    "missing": (["metrics", "nothing.h5ad"], "no such file"),
    "folder": (["metrics", "p.h5ad", "-o", "no/where/x.png"], "no such folder"),
    "column": (["umap", "p.h5ad", "--color", "x"], "no column 'x'"),
    "no_coordinates": (["umap", "p.h5ad", "--coordinates", "no.tsv"], "no.tsv: "),
    "pixels": (["metrics", "p.h5ad", "--size", "100x100", "--dpi", "2400"], "pixels"),
    "report": (["report", "p.h5ad", "--metrics", "umap.tsv"], "is not JSON"),
}


@pytest.mark.parametrize(("given", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_failures_are_one_line_and_leave_nothing(
    given: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    output = [] if "-o" in given else ["-o", "x.png"]
    result = plot(*given, *output, *([] if given[0] == "report" else ["--data", "x.tsv"]))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"plot {given[0]}: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_report_from_all_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from screader_lib.figures.plots import umap_plot

    monkeypatch.setattr(
        umap_plot, "project", lambda vectors, *_: np.zeros((vectors.rows, 2), np.float32)
    )
    files = ["--reader", folder / "r.h5", "--cells", folder / "c.h5ad"]
    files += ["--compare-with", folder / "q.h5ad", "--multiqc", tmp_path / "x_mqc.json"]
    result = plot(
        "report", folder / "p.h5ad", *files, "--title", "<Mine>", "-o", tmp_path / "x.html"
    )
    assert result.exit_code == 0, result.stderr
    assert list(json.loads((tmp_path / "x_mqc.json").read_text("utf-8"))["data"]) == ["p"]
    text = (tmp_path / "x.html").read_text("utf-8")
    assert "<h1>&lt;Mine&gt;</h1>" in text
    assert "build-cells --genes-per-cell 20 -o cells.h5ad" in text


def test_command_of_a_recorded_step_has_the_options_of_the_tool() -> None:
    parameters = {"label": "cell_type", "genes_per_cell": 64, "variable_genes": 3000}
    inputs = {"expression": "counts.h5ad", "embeddings": "genes.h5ad"}
    words = "counts.h5ad --embeddings genes.h5ad --label cell_type --genes-per-cell 64"
    assert command_words("build-cells", parameters, inputs) == words.split()
    inputs = {
        "expression": "counts.h5ad",
        "types_2": "types.csv",
        "markers_1": "a",
        "markers_2": "b",
    }
    parameters = {"types": ["cl:B cell", "own.csv", "cl:T cell"], "consensus": "auto"}
    words = "counts.h5ad|--types|types.csv|--types|cl:B cell|--types|cl:T cell"
    words += "|--markers|a|--markers|b"
    assert command_words("annotate", parameters, inputs) == words.split("|")
    assert command_words("someones-own", {"depth": 3}, {"in": "x"}) == ["x", "--depth", "3"]
