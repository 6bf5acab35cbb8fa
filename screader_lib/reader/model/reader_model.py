"""What is trained: projector, cls and head, around a frozen LLM or without one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from screader_lib.reader.llm import token_sequence
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.settings import TrainingSettings

POSITION_WIDTH = 64
WIDTH_WITHOUT_LLM = 576


@dataclass
class GeneTable:
    """What the model knows of each gene, float32 (genes, …), None where it has no such thing.

    ``features`` of its text, ``offsets`` (genes, hidden) added to its projected text, and
    ``scores`` (genes, labels): what it says for each label by itself.
    """

    features: Tensor
    offsets: Tensor | None
    scores: Tensor | None


@dataclass
class Cells:
    """A batch on the device: ``genes`` int64, ``weights`` float32 (cells, width), −1 = none.

    ``totals`` float32 (cells,): total weights to divide by; None: those of ``weights``.
    """

    genes: Tensor
    weights: Tensor
    totals: Tensor | None = None


class Standardise(nn.Module):
    """Takes off a mean and divides by a spread that were measured once: no batch statistics."""

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

    A gene's token is its projected text and a vector of its own, ``offsets``, which tells apart
    genes of like texts. ``forward`` gives logits (cells, labels) and the vector the head reads
    (cells, hidden). Beside that, genes may have ``scores``; ``mix`` is what the head's logits
    count against theirs.
    """

    scores: Tensor
    score_biases: Tensor
    mix: Tensor
    token_scale: Tensor
    weight_scale: Tensor

    def __init__(
        self,
        settings: TrainingSettings,
        genes: int,
        features: int,
        labels: int,
        llm: FrozenLLM | None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.llm = [llm] if llm else []  # in a list, so that it is no submodule and never saved
        hidden = llm.identity.hidden_size if llm else WIDTH_WITHOUT_LLM
        extra = POSITION_WIDTH if settings.position == "rank" else 0
        self.projector = Projector(features + extra, hidden, settings.projector_layers)
        self.cls = nn.Parameter(torch.randn(hidden))
        self.offsets: nn.Parameter | None = None
        if settings.gene_offsets:
            self.offsets = nn.Parameter(settings.gene_offsets * torch.randn(genes, hidden))
        self.standardise = nn.ModuleDict({part: Standardise(hidden) for part in settings.pooling})
        self.head = nn.Linear(hidden * len(settings.pooling), labels)
        if settings.gene_scores:
            self.register_buffer("scores", torch.zeros(genes, labels))
            self.register_buffer("score_biases", torch.zeros(labels))
            self.register_buffer("mix", torch.ones(()))
        self.register_buffer("token_scale", torch.ones(()))
        self.register_buffer("weight_scale", torch.ones(()))
        self._initialise()

    def _initialise(self) -> None:
        if self.settings.init == "paper":
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0.0, 0.02)
        else:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
            if self.llm:
                self.cls.data *= self.llm[0].token_norm / math.sqrt(len(self.cls))

    @property
    def uses_llm(self) -> bool:
        """Whether what the LLM says has any weight in the calls."""
        if not self.llm or (self.settings.gene_scores and not self.mix):
            return False
        parts = self.head.weight.split(len(self.cls), 1)
        read = zip(self.settings.pooling, parts, strict=True)
        return any(bool(part.any()) for name, part in read if name != "pool")

    def gene_tokens(self, table: GeneTable, cells: Cells) -> Tensor:
        """Tokens float32 (cells, width, hidden), zero where there is no gene."""
        present = cells.genes >= 0
        genes = cells.genes.clamp(min=0)
        weights = (cells.weights * self.weight_scale * present)[..., None]
        if self.settings.position == "none" and self.settings.weight_on == "token":
            used, place = torch.unique(genes, return_inverse=True)
            tokens = self.projector(table.features[used])
            if table.offsets is not None:
                tokens = tokens + table.offsets[used]
            return tokens[place] * weights * self.token_scale
        values = table.features[genes]
        if self.settings.weight_on == "embedding":
            values = values * weights
        if self.settings.position == "rank":
            ranks = rank_encoding(genes.shape[1]).to(values)
            values = torch.cat([values, ranks.expand(len(genes), -1, -1)], 2)
        tokens = self.projector(values)
        if table.offsets is not None:
            by_weight = self.settings.weight_on == "embedding"
            tokens = tokens + table.offsets[genes] * (weights if by_weight else 1.0)
        if self.settings.weight_on == "token":
            tokens = tokens * weights
        return tokens * present[..., None] * self.token_scale

    def pooled(self, table: GeneTable, cells: Cells) -> Tensor:
        """The projector's view of the weighted mean gene, float32 (cells, hidden)."""
        weights = by_gene(cells, len(table.features))
        totals = weights.sum(1) if cells.totals is None else cells.totals
        weights = weights / totals[:, None].clamp(min=1e-6)
        mean = weights @ table.features
        if self.settings.position == "rank":
            mean = nn.functional.pad(mean, (0, POSITION_WIDTH))
        mean = self.projector(mean)
        return mean if table.offsets is None else mean + weights @ table.offsets

    def first_genes(self, cells: Cells) -> Cells:
        """The genes that are read one by one: each cell's first ``genes_per_cell``."""
        width = self.settings.genes_per_cell
        return Cells(cells.genes[:, :width], cells.weights[:, :width], cells.totals)

    def parts(self, table: GeneTable, cells: Cells, wanted: tuple[str, ...]) -> dict[str, Tensor]:
        """The read-outs before standardising, each float32 (cells, hidden)."""
        found = {}
        if "pool" in wanted:
            found["pool"] = self.pooled(table, cells)
        if {"cls", "mean"} & set(wanted):
            first = self.first_genes(cells)
            lengths = (first.genes >= 0).sum(1)
            tokens = self.gene_tokens(table, first)
            if self.llm:
                order = self.settings.order
                found |= token_sequence.read(self.llm[0], tokens, lengths, self.cls, order, wanted)
            else:
                found["mean"] = tokens.sum(1) / lengths.clamp(min=1)[:, None]
        return found

    def vector(self, table: GeneTable, cells: Cells, wanted: tuple[str, ...]) -> Tensor:
        """What the head reads; read-outs not in ``wanted`` are zero."""
        found = self.parts(table, cells, wanted)
        width = len(self.cls)
        return torch.cat(
            [
                self.standardise[part](found[part])
                if part in wanted
                else cells.weights.new_zeros(len(cells.genes), width)
                for part in self.settings.pooling
            ],
            1,
        )

    def forward(
        self,
        table: GeneTable,
        cells: Cells,
        wanted: tuple[str, ...] | None = None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``kept`` float32 (cells, hidden): factors of the vector, for dropout in training."""
        vector = self.vector(table, cells, wanted or self.settings.pooling)
        return self.head(vector if kept is None else vector * kept), vector

    def score(self, table: GeneTable, cells: Cells) -> Tensor:
        """Logits of the genes' own scores, float32 (cells, labels)."""
        assert table.scores is not None
        weights = by_gene(cells, len(table.features)) * self.weight_scale
        return weights @ table.scores + self.score_biases

    def call(
        self, table: GeneTable, cells: Cells, wanted: tuple[str, ...], with_head: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Logits of all that the reader knows (cells, labels), and the vector (cells, hidden).

        ``with_head`` False leaves out what the head says, where genes have scores of their own.
        """
        logits, vector = self(table, cells, wanted)
        if table.scores is None:
            return logits, vector
        scores = self.score(table, cells)
        return (scores + self.mix * logits if with_head else scores), vector


def by_gene(cells: Cells, genes: int) -> Tensor:
    """The weight of each gene in each cell, float32 (cells, ``genes``)."""
    weights = cells.weights.new_zeros(len(cells.genes), genes + 1)
    return weights.scatter(1, cells.genes + 1, cells.weights)[:, 1:]


def rank_encoding(width: int) -> Tensor:
    """Sinusoidal encoding of the ranks 0 … width−1, float32 (width, POSITION_WIDTH).

    Vaswani et al. 2017, section 3.5.
    """
    rank = torch.arange(width)[:, None]
    rates = torch.exp(torch.arange(0, POSITION_WIDTH, 2) * (-math.log(1e4) / POSITION_WIDTH))
    return torch.stack([torch.sin(rank * rates), torch.cos(rank * rates)], 2).flatten(1)
