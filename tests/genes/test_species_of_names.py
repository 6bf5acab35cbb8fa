"""Genes of another species than the one asked for are told, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_files import SYMBOLS, fail, succeed

from screader_lib.genes.spelling import other_species

HUMAN = SYMBOLS[:12]
MOUSE = [name.capitalize() for name in HUMAN]


def listed(folder: Path, names: list[str]) -> Path:
    (folder / "genes.txt").write_text("\n".join(names) + "\n")
    return folder / "genes.txt"


def described(folder: Path, names: list[str]) -> str:
    words = ("--genes", listed(folder, names), "--source", "packaged", "-o", folder / "d.h5ad")
    return succeed("fetch-descriptions", *words).stderr


def test_genes_of_another_species(tmp_path: Path) -> None:
    assert "warning" not in described(tmp_path, HUMAN)
    said = described(tmp_path, MOUSE)
    assert "warning: most names match only if upper and lower case are ignored. These look" in said
    assert "--organism mouse." in said


def test_fewer_than_half(tmp_path: Path) -> None:
    made_up = [f"ENSG{number:011}" for number in range(20)]
    said = described(tmp_path, [*HUMAN, *made_up])
    assert "of 32 names are genes of human. Are --organism and --column right?" in said


def test_none(tmp_path: Path) -> None:
    names = [f"ENSMUSG{number:011}" for number in range(99, 120)]
    words = ("--genes", listed(tmp_path, names), "--source", "packaged", "-o", tmp_path / "d.h5ad")
    message = fail("fetch-descriptions", *words)
    assert "none of the 21 names is a gene of human. These look like mouse genes: --org" in message
    assert not (tmp_path / "d.h5ad").exists()


@pytest.mark.parametrize(
    ("names", "species", "other"),
    [
        (HUMAN, "human", ""),
        (HUMAN, "pig", ""),
        (HUMAN, "mouse", "human"),
        (MOUSE, "rat", ""),
        (MOUSE, "human", "mouse"),
        ([f"ENSG{number:011}" for number in range(9)], "pig", "human"),
        ([f"ENSRNOG{number:011}" for number in range(9)], "mouse", "rat"),
        (HUMAN[:6] + MOUSE[6:], "human", ""),
    ],
)
def test_other_species(names: list[str], species: str, other: str) -> None:
    assert other_species(names, species) == other
