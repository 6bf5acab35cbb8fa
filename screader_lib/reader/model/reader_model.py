"""What is trained: projector, cls and head, around a frozen LLM or without one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from screader_lib.reader.llm import decoder
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.settings import TrainingSettings

POSITION_WIDTH = 64
WIDTH_WITHOUT_LLM = 576


@dataclass
class GeneTable:
    """What the model knows of each gene, float32 (genes, …); None where it has no such thing.

    ``features`` of its text, ``offsets`` (genes, hidden) added to its projected features, and
    ``scores`` (genes, labels): its own logits, with the ``biases`` (labels,) of their sum.
    """

    features: Tensor
    offsets: Tensor | None
    scores: Tensor | None
    biases: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> GeneTable:
        """The ``function`` of each tensor."""
        offsets = None if self.offsets is None else function(self.offsets)
        scores = None if self.scores is None else function(self.scores)
        return GeneTable(function(self.features), offsets, scores, self.biases)


@dataclass
class Batch:
    """Cells on the device: ``genes`` int64, −1 for padding, and ``weights`` float32 (cells, width).

    ``totals`` float32 (cells,): total weights to divide by; None: those of ``weights``.
    """

    genes: Tensor
    weights: Tensor
    totals: Tensor | None = None


class Standardise(nn.Module):
    """Subtracts a mean and divides by a spread that were measured once: no batch statistics."""

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def fit(self, values: Tensor) -> None:
        """Measure on ``values`` (cells, width)."""
        self.mean.copy_(values.mean(0))
        spread = values.std(0, correction=0)
        self.spread.copy_(spread.clamp(min=1e-3 * float(spread.max()) + 1e-6))

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.spread


class Projector(nn.Module):
    """Gene features to the LLM's width: one linear layer, or several with SiLU between."""

    def __init__(self, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [features, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(one, other) for one, other in pairwise(sizes))

    def forward(self, values: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            values = layer(nn.functional.silu(values) if number else values)
        return values


class ReaderModel(nn.Module):
    """Projects a cell's genes, lets the LLM read them and classifies what comes out.

    A gene's token is its projected features, plus a vector of its own (``offsets``), which tells
    apart genes of similar texts. Genes may also have ``scores``, logits of their own; ``mix`` is
    the weight of the head's logits beside them.
    """

    scores: Tensor
    score_biases: Tensor
    mix: Tensor
    component_scores: Tensor
    component_biases: Tensor
    component_mix: Tensor
    gene_means: Tensor
    alone: Tensor
    token_scale: Tensor
    weight_scale: Tensor

    def __init__(
        self,
        settings: TrainingSettings,
        genes: int,
        features: int,
        labels: int,
        llm: FrozenLLM | None,
        hidden: int = WIDTH_WITHOUT_LLM,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.llm = [llm] if llm else []  # in a list, so that it is no submodule and never saved
        hidden = llm.identity.hidden_size if llm else hidden
        rank_features = POSITION_WIDTH if settings.position == "rank" else 0
        self.projector = Projector(features + rank_features, hidden, settings.projector_layers)
        self.cls = nn.Parameter(torch.randn(hidden))
        self.offsets: nn.Parameter | None = None
        if settings.gene_offsets:
            self.offsets = nn.Parameter(settings.gene_offsets * torch.randn(genes, hidden))
        self.standardise = nn.ModuleDict({name: Standardise(hidden) for name in settings.pooling})
        self.head = nn.Linear(hidden * len(settings.pooling), labels)
        if settings.gene_scores:
            self.register_buffer("scores", torch.zeros(genes, labels))
            self.register_buffer("score_biases", torch.zeros(labels))
            self.register_buffer("mix", torch.ones(()))
            self.register_buffer("component_scores", torch.zeros(genes, labels))
            self.register_buffer("component_biases", torch.zeros(labels))
            self.register_buffer("component_mix", torch.zeros(()))
            self.register_buffer("gene_means", torch.zeros(genes))
            self.register_buffer("alone", torch.ones(()))
        self.register_buffer("token_scale", torch.ones(()))
        self.register_buffer("weight_scale", torch.ones(()))
        if settings.init == "paper":
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0.0, 0.02)
            return
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if llm:
            self.cls.data *= llm.token_norm / math.sqrt(hidden)

    def weighted(self, poolings: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the ``poolings`` that have any weight in the head's logits."""
        blocks = self.head.weight.split(len(self.cls), 1)
        by_pooling = zip(self.settings.pooling, blocks, strict=True)
        return tuple(name for name, block in by_pooling if name in poolings and block.any())

    def predict(
        self, table: GeneTable, batch: Batch, poolings: tuple[str, ...], with_head: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Logits (cells, labels), the genes' own scores included, and latents (cells, hidden).

        ``with_head`` False leaves out the head's logits where genes have scores of their own.
        """
        logits, latents = self(table, batch, poolings)
        if table.scores is None:
            return logits, latents
        scores = self.gene_logits(table, batch)
        return (scores + self.mix * logits if with_head else scores), latents

    def gene_logits(self, table: GeneTable, batch: Batch) -> Tensor:
        """Logits of the genes' own scores alone, float32 (cells, labels)."""
        assert table.scores is not None and table.biases is not None
        weights = by_gene(batch, len(table.features)) * self.weight_scale
        return weights @ table.scores + table.biases

    def forward(
        self,
        table: GeneTable,
        batch: Batch,
        poolings: tuple[str, ...],
        dropout: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits of the head (cells, labels), and the latents that it reads (cells, hidden).

        Parts of the latents whose pooling is not in ``poolings`` are zero. ``dropout`` float32
        (cells, hidden): factors of the latents in training.
        """
        pooled = self.pool(table, batch, poolings)
        zeros = batch.weights.new_zeros(len(batch.genes), len(self.cls))
        latents = torch.cat(
            [
                self.standardise[name](pooled[name]) if name in poolings else zeros
                for name in self.settings.pooling
            ],
            1,
        )
        return self.head(latents if dropout is None else latents * dropout), latents

    def pool(self, table: GeneTable, batch: Batch, poolings: tuple[str, ...]) -> dict[str, Tensor]:
        """The poolings before standardising, each float32 (cells, hidden)."""
        pooled = {}
        if "pool" in poolings:
            pooled["pool"] = self.project_mean(table, batch)
        if {"cls", "mean"} & set(poolings):
            first = self.first_genes(batch)
            lengths = (first.genes >= 0).sum(1)
            tokens = self.gene_tokens(table, first)
            if self.llm:
                pooled |= decoder.read(
                    self.llm[0], tokens, lengths, self.cls, self.settings.order, poolings
                )
            else:
                pooled["mean"] = tokens.sum(1) / lengths.clamp(min=1)[:, None]
        return pooled

    def project_mean(self, table: GeneTable, batch: Batch) -> Tensor:
        """The projected weighted mean of each cell's genes, float32 (cells, hidden)."""
        weights = by_gene(batch, len(table.features))
        totals = weights.sum(1) if batch.totals is None else batch.totals
        weights = weights / totals[:, None].clamp(min=1e-6)
        mean = weights @ table.features
        if self.settings.position == "rank":
            mean = nn.functional.pad(mean, (0, POSITION_WIDTH))
        mean = self.projector(mean)
        return mean if table.offsets is None else mean + weights @ table.offsets

    def first_genes(self, batch: Batch) -> Batch:
        """The genes that become tokens: each cell's first ``genes_per_cell``."""
        width = self.settings.genes_per_cell
        return Batch(batch.genes[:, :width], batch.weights[:, :width], batch.totals)

    def gene_tokens(self, table: GeneTable, batch: Batch) -> Tensor:
        """Tokens float32 (cells, width, hidden), zero where there is no gene."""
        is_gene = batch.genes >= 0
        genes = batch.genes.clamp(min=0)
        weights = (batch.weights * self.weight_scale * is_gene)[..., None]
        by_weight = self.settings.weight_on
        if self.settings.position == "none" and by_weight == "token":
            unique, index = torch.unique(genes, return_inverse=True)
            tokens = self.projector(table.features[unique])
            if table.offsets is not None:
                tokens = tokens + table.offsets[unique]
            return tokens[index] * weights * self.token_scale
        values = table.features[genes]
        if by_weight == "embedding":
            values = values * weights
        if self.settings.position == "rank":
            ranks = rank_encoding(genes.shape[1]).to(values)
            values = torch.cat([values, ranks.expand(len(genes), -1, -1)], 2)
        tokens = self.projector(values)
        if table.offsets is not None:
            tokens = tokens + table.offsets[genes] * (weights if by_weight == "embedding" else 1.0)
        if by_weight == "token":
            tokens = tokens * weights
        return tokens * is_gene[..., None] * self.token_scale


def by_gene(batch: Batch, genes: int) -> Tensor:
    """The weight of each gene in each cell, float32 (cells, ``genes``)."""
    weights = batch.weights.new_zeros(len(batch.genes), genes + 1)
    return weights.scatter(1, batch.genes + 1, batch.weights)[:, 1:]


def rank_encoding(width: int) -> Tensor:
    """Sinusoidal encoding of the ranks 0 … width−1, float32 (width, POSITION_WIDTH).

    Vaswani et al. 2017, section 3.5.
    """
    rank = torch.arange(width)[:, None]
    rates = torch.exp(torch.arange(0, POSITION_WIDTH, 2) * (-math.log(1e4) / POSITION_WIDTH))
    return torch.stack([torch.sin(rank * rates), torch.cos(rank * rates)], 2).flatten(1)
