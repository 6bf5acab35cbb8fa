"""What the outputs of a frozen LLM know of a cell that its genes' weights do not.

    python benchmarks/frozen_llm.py demo-output/cells-train.h5ad [--layers 8]

Nothing is trained but a logistic regression. Each cell's first 64 genes become tokens in one of
several ways; the LLM, as trained or randomly initialised, reads them after the instruction; the
mean of its outputs over the genes goes into the regression, alone or joined with the weights of
all genes. Accuracy, macro F1 and cross-entropy on held-out cells of five folds by cell, and with
each donor left out; training cells of the demonstration only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from screader_lib import label_metrics
from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.folds import assign_folds
from screader_lib.cells.sequences import weight_matrix
from screader_lib.exchange.opening import open_exchange
from screader_lib.reader.confidence.calibration import softmax
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm
from screader_lib.reader.llm.weights import packaged_gguf
from screader_lib.reader.model.logistic_regression import fit_logistic
from screader_lib.reader.model.scaling import fit_scaling, scaled
from screader_lib.reader.settings import INSTRUCTION
from screader_lib.reader.task import labels_of

GENES_PER_CELL = 64
SHOWN_LAYERS = (2, 8, 30)
SINGLE_PROCESS, JOINED = 0.1, 0.2  # scale of the standardised outputs against the genes' weights
RIDGE = 100.0


def word_tokens(llm: FrozenLLM, texts: list[str]) -> Tensor:
    """Mean of the LLM's token embeddings of each text, float32 (texts, hidden)."""
    from transformers import AutoTokenizer

    file = packaged_gguf()
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    table = llm.model.get_input_embeddings().get_parameter("weight").float()
    numbers = [tokenizer(text or ".", add_special_tokens=False)["input_ids"] for text in texts]
    return torch.stack([table[one].mean(0) for one in numbers])


def aligned(features: Tensor, wanted: Tensor) -> Tensor:
    """Ridge regression of the LLM's own tokens on text features, its predictions."""
    center = wanted.mean(0)
    matrix = features.T @ features + RIDGE * torch.eye(features.shape[1])
    return features @ torch.linalg.solve(matrix, features.T @ (wanted - center)) + center


def ways(cells: CellSequences, llm: FrozenLLM) -> Iterator[tuple[str, Tensor]]:
    """Names and gene tokens float32 (genes, hidden), at the mean length of the LLM's own."""
    features = torch.from_numpy(scaled(cells.embedding, fit_scaling(cells.embedding, "whiten")))
    symbols = word_tokens(llm, [f" {name}" for name in cells.genes.strings("symbol")])
    texts = word_tokens(llm, list(cells.genes.strings("text")))
    torch.manual_seed(0)
    drawn = torch.randn(features.shape[1], symbols.shape[1])
    for name, tokens in (
        ("random projection of the text embedding", features @ drawn),
        ("text embedding aligned to the LLM's tokens", aligned(features, texts)),
        ("the LLM's own tokens of the description", texts),
        ("the LLM's own tokens of the symbol", symbols),
    ):
        yield name, tokens * (llm.token_norm / tokens.norm(dim=1).mean())


@torch.inference_mode()
def mean_outputs(
    llm: FrozenLLM, tokens: Tensor, genes: np.ndarray, weights: np.ndarray
) -> dict[int, np.ndarray]:
    """Mean output over the genes after each shown layer, float32 (cells, hidden)."""
    found: dict[int, list[Tensor]] = {}
    before = len(llm.instruction)
    for start in range(0, len(genes), 64):
        place = torch.from_numpy(np.maximum(genes[start : start + 64], 0).astype(np.int64))
        weight = torch.from_numpy(weights[start : start + 64])[..., None]
        there = (weight > 0).float()
        words = llm.instruction.expand(len(place), -1, -1)
        embedded = torch.cat([words, tokens[place] * weight], 1).to(llm.model.dtype)
        states = llm.model(
            inputs_embeds=embedded, use_cache=False, output_hidden_states=True
        ).hidden_states
        for layer in SHOWN_LAYERS:
            if layer < len(states):
                output = states[layer][:, before:].float() * there
                found.setdefault(layer, []).append(output.sum(1) / there.sum(1))
    return {layer: torch.cat(parts).numpy() for layer, parts in found.items()}


def held_out_scores(values: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> str:
    """Accuracy, macro F1 and cross-entropy of a regression on cells of other folds."""
    labels = int(truth.max()) + 1
    probability = np.zeros((len(truth), labels), np.float32)
    for number in np.unique(fold):
        train = fold != number

        def blocks(train: np.ndarray = train) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield values[train], truth[train]

        weights, biases = fit_logistic(blocks, labels)
        probability[~train] = softmax(values[~train] @ weights + biases)
    scores = label_metrics.scores(truth.astype(str), probability.argmax(1).astype(str))
    loss = -np.log(np.maximum(probability[np.arange(len(truth)), truth], 1e-6)).mean()
    return f"{scores['accuracy']:.3f} / {scores['macro_f1']:.3f} / {loss:.3f}"


def main() -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--layers", type=int, default=8)
    given = parser.parse_args()
    with open_exchange(given.cells, "cells") as opened:
        cells = CellSequences(opened)
        _, rows, truth = labels_of(cells)
        genes, weights = cells.rows(rows)
        weights = weights / weights[genes >= 0].mean()
        table = weight_matrix(genes, weights, len(cells.embedding)).toarray()
        donors = len(set(cells.obs.strings("donor")))
        folds = (
            assign_folds(cells.obs, rows, truth, 5, "", 0, opened.name),
            assign_folds(cells.obs, rows, truth, donors, "donor", 0, opened.name),
        )

        def line(name: str, make: Callable[[], np.ndarray]) -> None:
            values = make()
            shown = " | ".join(held_out_scores(values, truth, fold) for fold in folds)
            print(f"| {name} | {shown} |", flush=True)

        print("| regression on | random folds | leave one donor out |")
        print("|---|---|---|")
        line("the genes' weights", lambda: table)
        llms = {
            "SmolLM2": load_llm("packaged", instruction=INSTRUCTION, layers=given.layers),
            "random LLM": load_llm(
                "packaged", instruction=INSTRUCTION, layers=given.layers, random_seed=0
            ),
        }
        first, first_weights = genes[:, :GENES_PER_CELL], weights[:, :GENES_PER_CELL]
        for name, tokens in ways(cells, llms["SmolLM2"]):
            for llm_name, llm in llms.items():
                outputs = mean_outputs(llm, tokens, first, first_weights)
                for layer, found in outputs.items():
                    values = (found - found.mean(0)) / np.maximum(found.std(0), 1e-6)
                    shown = f"{name}; {llm_name}, layer {layer}"
                    line(shown, lambda values=values: SINGLE_PROCESS * values)
                    line(
                        f"{shown}, and the genes' weights",
                        lambda values=values: np.concatenate([table, JOINED * values], 1),
                    )


if __name__ == "__main__":
    main()
