"""Whether cells, marker tables and ``--species`` speak of the same species.

Genes are compared whatever their case, so that nothing else would tell: HGNC writes human symbols
in capitals (INS, C1orf112), MGI those of the mouse with small letters (Ins1, 0610007P14Rik).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from screader_lib.cells.across_species import organisms_of
from screader_lib.cells.formats.expression import Expression
from screader_lib.genes.records import ENSEMBL
from screader_lib.reporting import Reporter

TAXA = {"human": "NCBITaxon:9606", "mouse": "NCBITaxon:10090"}
FEWEST_NAMES = 10
CLEARLY = 0.8  # of the names


def spelled_as(names: Iterable[str]) -> str:
    """``human`` or ``mouse`` as most symbols are written, empty where they do not say."""
    symbols = [name for name in names if name.upper() != name.lower() and not ENSEMBL.match(name)]
    if len(symbols) < FEWEST_NAMES:
        return ""
    small = float(np.mean([name.upper() != name for name in symbols]))
    return "mouse" if small > CLEARLY else "human" if small < 1 - CLEARLY else ""


def check_cells(source: Expression, names: Iterable[str], species: str, reporter: Reporter) -> None:
    """Warn where the cells, or their genes ``names``, are of another species than the markers."""
    everyone = np.ones(len(source.obs), bool)
    declared = sorted(organisms_of(source, everyone) - {TAXA[species]})
    spelled = spelled_as(names)
    if declared:
        why = f"its cells are of {' and '.join(declared)}"
    elif spelled not in ("", species):
        why = f"its genes are written as those of {spelled} are"
    else:
        return
    reporter.warning(
        f"{source.name}: {why}, but the markers wanted are of {species}: check --species. "
        "Genes are compared whatever their case."
    )


def tell_of_table(name: str, genes: Iterable[str], species: str, reporter: Reporter) -> None:
    """Say that a marker table has no column of species; warn where its ``genes`` look foreign."""
    spelled = spelled_as(genes)
    told = f"{name} has no column of species, so all its rows are used"
    if spelled in ("", species):
        reporter.info(f"{told}.")
    else:
        reporter.warning(f"{told}; its genes are written as those of {spelled} are, not {species}.")
