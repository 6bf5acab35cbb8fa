"""Whether a trained reader gives the same labels when its LLM is kept in eight-bit floats.

    python benchmarks/float8_labels.py reader.h5 cells.h5ad [--most 500]

Calls cells with the LLM in bfloat16 and in fp8, on a GPU where there is one. Prints a line in
Markdown: share of equal labels, largest difference of a probability, accuracy and seconds of each.
Needs numpy, h5py, torch and transformers alone (and gguf for the packaged LLM).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from screader_lib.cells.cells_file import CellSequences
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.methods import methods
from screader_lib.reader.reader_file import read_reader


def probabilities(reader: Path, cells: Path, quantize: str, most: int) -> tuple[np.ndarray, float]:
    """Of the first ``most`` cells, float32 (cells, labels), and the seconds it took."""
    machine = Machine("cuda" if torch.cuda.is_available() else "cpu")
    with open_exchange(reader, "reader") as known, open_exchange(cells, "cells") as opened:
        restored, sequences = read_reader(known), CellSequences(opened)
        changes = {"quantize": quantize, "precision": "bfloat16"}
        restored.settings = restored.settings.changed(changes)
        trained = methods.restore(restored, machine)
        begin = time.perf_counter()
        logits, _ = trained.outputs(sequences, np.arange(min(most, len(sequences))))
        return softmax(logits, restored.temperature), time.perf_counter() - begin


def truth_of(reader: Path, cells: Path, most: int) -> np.ndarray:
    """Label numbers of the reader, −1 where unknown, (cells,)."""
    with open_exchange(reader, "reader") as known, open_exchange(cells, "cells") as opened:
        place = {name: number for number, name in enumerate(read_reader(known).labels.names)}
        labels = CellSequences(opened).labels
        if labels is None:
            return np.zeros(0)
        return np.array([place.get(name, -1) for name in labels.strings()[:most]])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", type=Path)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--most", type=int, default=10**9)
    options = parser.parse_args()
    files = options.reader, options.cells
    usual, usual_seconds = probabilities(*files, "none", options.most)
    eight, eight_seconds = probabilities(*files, "fp8", options.most)
    truth = truth_of(*files, options.most)
    known = truth >= 0
    right = [
        f"{(each.argmax(1)[known] == truth[known]).mean():.3f}" if known.any() else "–"
        for each in (usual, eight)
    ]
    print("| cells | labels the same | largest difference of a probability | accuracy bf16 | fp8 "
          "| s bf16 | s fp8 |\n" + "|---" * 7 + "|")  # fmt: skip
    print(
        f"| {len(usual):,} | {(usual.argmax(1) == eight.argmax(1)).mean():.2%} | "
        f"{np.abs(usual - eight).max():.3f} | {right[0]} | {right[1]} | {usual_seconds:.1f} | "
        f"{eight_seconds:.1f} |"
    )


if __name__ == "__main__":
    main()
