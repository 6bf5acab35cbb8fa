"""``annotate`` of many files, each with outputs of its own, in one process."""

from __future__ import annotations

import gc
from pathlib import Path

import h5py
import numpy as np
import pytest
from running import invoke
from small_files import write_expression

from screader_lib.cells.cells_file import CellSequences
from screader_lib.reader.model.simulated_cells import SimulatedCells
from screader_tools.annotate_samples import sample_names


@pytest.fixture
def samples(tmp_path: Path) -> list[Path]:
    """Two samples and between them a file that is none."""
    (tmp_path / "out").mkdir()
    paths = [tmp_path / f"{name}.h5ad" for name in ("first", "broken", "second")]
    for number, path in enumerate(paths):
        write_expression(path, seed=number, cells=60)
    paths[1].write_bytes(b"no cells")
    return paths


def contents(path: Path) -> dict[str, bytes]:
    """All arrays of a file by name."""
    found = {}

    def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            values = np.asarray(item[()])
            found[name] = str(values.tolist()).encode()

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def test_each_is_as_if_it_were_annotated_alone(
    reader: Path, samples: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    fit = SimulatedCells.fit
    monkeypatch.setattr(SimulatedCells, "fit", lambda *given: fits.append(1) or fit(*given))
    out = tmp_path / "out"
    outputs = ["-o", out / "{name}.h5ad", "--calls", out / "{name}.csv"]
    done = invoke("annotate", *samples, "-r", reader, *outputs)
    assert done.exit_code == 1
    assert "[1 of 3] first: 60 cells: 60 assigned." in done.stderr
    assert "[2 of 3] broken:" in done.stderr
    assert "2 samples annotated, 1 not: broken." in done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "first.csv", "first.h5ad", "second.csv", "second.h5ad"
    ]  # fmt: skip
    assert len(fits) == 1  # as both have the same genes
    for name in ("first", "second"):
        arguments = [tmp_path / f"{name}.h5ad", "-r", reader, "-o", tmp_path / "alone.h5ad"]
        assert invoke("annotate", *arguments, "--calls", tmp_path / "a.csv").exit_code == 0
        assert contents(out / f"{name}.h5ad") == contents(tmp_path / "alone.h5ad")
        assert (out / f"{name}.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()


def test_samples_that_are_done_take_no_memory(reader: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    samples = [write_expression(tmp_path / f"{n}.h5ad", seed=n, cells=60) for n in range(4)]

    def number_of_sequences() -> int:
        return sum(type(thing) is CellSequences for thing in gc.get_objects())

    gc.collect()
    before = number_of_sequences()
    gc.disable()
    try:
        arguments = ["-r", reader, "-o", tmp_path / "out" / "{name}.h5ad"]
        assert invoke("annotate", *samples, *arguments).exit_code == 0
        assert number_of_sequences() <= before + 2
    finally:
        gc.enable()


def test_samples_with_other_genes_are_fitted_anew(reader: Path, tmp_path: Path) -> None:
    import anndata

    (tmp_path / "out").mkdir()
    whole = write_expression(tmp_path / "whole.h5ad", seed=1, cells=60)
    half = tmp_path / "half.h5ad"
    anndata.read_h5ad(whole)[:, ::2].copy().write_h5ad(half)
    arguments = ["-r", reader, "-o", tmp_path / "out" / "{name}.h5ad"]
    assert invoke("annotate", whole, half, *arguments).exit_code == 0
    assert invoke("annotate", half, "-r", reader, "-o", tmp_path / "alone.h5ad").exit_code == 0
    assert contents(tmp_path / "out" / "half.h5ad") == contents(tmp_path / "alone.h5ad")


def test_what_is_there_is_left_and_what_differs_is_made_again(
    reader: Path, samples: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "out" / "{name}.h5ad"
    arguments = ["annotate", samples[0], samples[2], "-r", reader, "-o", output]
    assert invoke(*arguments).exit_code == 0
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    again = invoke(*arguments)
    assert again.exit_code == 0
    assert "[2 of 2] second: there already." in again.stderr
    assert "0 samples annotated, 2 there already." in again.stderr
    write_expression(samples[2], seed=9, cells=50)
    changed = invoke(*arguments)
    assert "1 sample annotated, 1 there already." in changed.stderr
    assert "[2 of 2] second: 50 cells:" in changed.stderr
    after = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    assert before[0] == after[0] and before[1] < after[1]
    other = invoke(*arguments, "--min-confidence", 0.6)
    assert "2 samples annotated." in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--calls", "calls.csv"], "--calls needs {name} in its name as well"),
        (["--report", "{name}.html", "--cluster-table", "t.tsv"], "--cluster-table needs {name}"),
        (["--reference", "x.h5ad", "--label", "l"], "give one of"),
    ],
)
def test_usage(reader: Path, arguments: list[str], message: str, tmp_path: Path) -> None:
    made = ["annotate", "a.h5ad", "b.h5ad", "-r", reader, "-o", tmp_path / "{name}.h5ad"]
    done = invoke(*made, *arguments)
    assert done.exit_code == 2 and message in done.stderr


def test_files_of_the_same_name(reader: Path, tmp_path: Path) -> None:
    made = ["annotate", "a/x.h5ad", "a/../a/x.h5ad", "-r", reader, "-o", tmp_path / "{name}.h5ad"]
    done = invoke(*made)
    assert done.exit_code == 2 and "several inputs would be named 'x'" in done.stderr


def test_names() -> None:
    assert sample_names(["run/a.h5ad", "b.mtx.gz", "c.d.RDS", "folder/", ".h5ad"]) == [
        "a", "b", "c.d", "folder", ".h5ad"
    ]  # fmt: skip
    assert sample_names(["s1/f.h5", "s2/f.h5", "g.h5"]) == ["s1-f", "s2-f", "g"]
    assert sample_names(["s1/outs/f.h5", "s2/outs/f.h5"]) == ["s1-f", "s2-f"]
