"""A trained reader model: its tensors, and its logits and latents of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher, filter_genes
from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, plan
from screader_lib.reader.model.attribution import integrated_gradients, linear_parts
from screader_lib.reader.model.batches import BatchRunner, Result, read_sequences
from screader_lib.reader.model.linear_reader import (
    MIN_COVERAGE,
    few_genes_note,
    scores_of_genes,
)
from screader_lib.reader.model.reader_model import (
    WIDTH_WITHOUT_LLM,
    Batch,
    GeneTable,
    ReaderModel,
)
from screader_lib.reader.model.scaling import scaled
from screader_lib.reader.settings import TrainingSettings, stages_of
from screader_lib.reader.task import Epoch, TrainedMethod
from screader_lib.reporting import Reporter

NEWER = (  # which readers had not at first
    "component_scores", "component_biases", "component_mix", "gene_means", "alone",
)  # fmt: skip


class NeuralReader(TrainedMethod):
    """A reader model with the genes it has learnt and the scaling of their embeddings.

    ``poolings`` are those that its latents are made of: the settings' own after training.
    ``hidden`` is the width of the tokens where there is no LLM.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        scaling: dict[str, np.ndarray],
        vocabulary: GeneMatcher,
        labels: int,
        llm: FrozenLLM | None,
        device: str,
        poolings: tuple[str, ...] | None = None,
        hidden: int = WIDTH_WITHOUT_LLM,
    ) -> None:
        genes, features = len(vocabulary.ids), scaling["map"].shape[1]
        self.model = ReaderModel(settings, genes, features, labels, llm, hidden).to(device)
        self.scaling = scaling
        self.genes = vocabulary
        self.device = device
        self.runner = BatchRunner(settings.micro_batch_tokens, self._extra_tokens)
        self.history: list[Epoch] = []
        self.llm = llm.identity.to_json() if llm else {}
        self.poolings = poolings or stages_of(settings)[-1].poolings
        self.features = torch.from_numpy(scaled(vocabulary.embedding, scaling)).to(device)
        self._table: tuple[CellSequences, GeneTable] | None = None

    @property
    def tensors(self) -> dict[str, np.ndarray]:  # type: ignore[override]
        """Trained tensors and buffers by name, and the scaling."""
        state = {name: value.cpu().numpy() for name, value in self.model.state_dict().items()}
        return state | {f"scaling.{name}": value for name, value in self.scaling.items()}

    def load(self, tensors: dict[str, np.ndarray]) -> None:
        """Take a reader file's tensors; ScReaderError where they do not fit the settings or LLM."""
        state = {
            name: torch.from_numpy(np.asarray(value))
            for name, value in tensors.items()
            if not name.startswith("scaling.")
        }
        own = self.model.state_dict()
        state = {name: own[name] for name in NEWER if name in own} | state
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            raise ScReaderError(
                "the reader's tensors do not fit its settings or this LLM.",
                remedy="Was it trained with another LLM?",
            ) from error

    @property
    def latent_parts(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.model.settings.pooling

    @property
    def uses_llm(self) -> bool:
        """Whether the LLM's outputs have any weight in the logits."""
        model = self.model
        if not model.llm or (model.settings.gene_scores and not model.mix):
            return False
        return bool(set(model.weighted(self.poolings)) - {"pool"})

    def keep_pool_alone(self) -> None:
        """Leave out the LLM and all poolings but ``pool``, which have no weight in the logits.

        Logits stay the same; latents lose what the LLM gave. Where the settings have no ``pool``,
        it has no weight in the head and is not standardised.
        """
        old, labels = self.model, self.model.head.out_features
        tensors = {
            name: value
            for name, value in old.state_dict().items()
            if not name.startswith("standardise.") or name.startswith("standardise.pool.")
        }
        blocks = dict(
            zip(old.settings.pooling, old.head.weight.split(len(old.cls), 1), strict=True)
        )
        no_weight = torch.zeros(labels, len(old.cls), device=self.device)
        tensors["head.weight"] = blocks.get("pool", no_weight)
        settings = replace(old.settings, pooling=("pool",))
        genes, features = self.features.shape
        self.model = ReaderModel(settings, genes, features, labels, None, len(old.cls))
        self.model.to(self.device).load_state_dict(tensors, strict="pool" in blocks)
        self.poolings = ("pool",)
        self.forget_cells()

    @property
    def table(self) -> GeneTable:
        """The learnt genes, without their scores; gradients go to their offsets."""
        return GeneTable(self.features, self.model.offsets, None)

    def table_of(self, cells: CellSequences) -> GeneTable:
        """As what the reader knows the genes of these cells, on the device."""
        if self._table is None or self._table[0] is not cells:
            match, table = self.match(cells), self.table
            if self.model.settings.gene_scores:
                presence = match.presence(cells.genes_in_input)
                with_components = self.coverage(cells) >= MIN_COVERAGE
                table.scores, table.biases = (
                    torch.from_numpy(np.asarray(values, np.float32)).to(self.device)
                    for values in scores_of_genes(self.tensors, presence, with_components)
                )

            def mix(values: Tensor) -> Tensor:
                mixed = match.weighted_mean(values.detach().cpu().numpy())
                return torch.from_numpy(mixed).to(self.device)

            self._table = (cells, table if match.is_identity else table.map(mix))
        return self._table[1]

    def forget_cells(self) -> None:
        """Look up the genes of cells anew: the tensors have changed."""
        self._table = None

    def gene_note(self, cells: CellSequences) -> str:
        return few_genes_note(self.coverage(cells)) if self.model.settings.gene_scores else ""

    def plan_memory(
        self, cells: CellSequences, machine: Machine, backward: bool, reporter: Reporter
    ) -> None:
        settings, in_step = self.model.settings, False
        max_tokens, extra = settings.micro_batch_tokens, self._extra_tokens
        if self.model.llm:
            llm = self.model.llm[0]
            trained = sum(each.numel() for each in self.model.parameters()) if backward else 0
            others = sum(each.numel() for each in (self.features, *self.model.buffers()))
            costs = Costs.of(llm, trained, 4 * others, machine.torch_device == "cuda")
            longest = min(int(cells.lengths.max(initial=0)), settings.genes_per_cell) + extra
            memory = plan(costs, machine, max_tokens, longest, backward)
            reporter.info(memory.summary(costs.layers))
            llm.checkpointed = memory.checkpointed
            max_tokens, in_step = machine.processes.min(memory.tokens), llm.shards > 1
        self.runner = BatchRunner(max_tokens, extra, machine.processes, in_step, reporter)

    @property
    def _extra_tokens(self) -> int:
        """Tokens of each cell beside its genes: the instruction and cls."""
        return len(self.model.llm[0].instruction) + 1 if self.model.llm else 0

    def map_batches(
        self, cells: CellSequences, rows: np.ndarray, compute: Callable[[np.ndarray], Result]
    ) -> Iterator[tuple[np.ndarray, Result]]:
        """Yield indices of ``rows`` and ``compute(indices)``, batch by batch; see BatchRunner."""
        lengths = np.minimum(cells.lengths[rows], self.model.settings.genes_per_cell)
        return self.runner.map(lengths, compute)

    def to_device(self, genes: np.ndarray, weights: np.ndarray) -> Batch:
        """Sequences as tensors."""
        indices = torch.from_numpy(genes.astype(np.int64)).to(self.device)
        return Batch(indices, torch.from_numpy(weights).to(self.device))

    def read(self, cells: CellSequences, rows: np.ndarray) -> Batch:
        """Cells with the genes that the reader knows, each weighted by how well."""
        genes, weights = read_sequences(cells, rows)
        match = self.match(cells)
        if not match.is_identity:
            genes, weights = filter_genes(genes, weights, lambda some: match.known[some] > 0)
            weights = weights * np.where(genes >= 0, match.known[genes], 0).astype(np.float32)
        return self.to_device(genes, weights)

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predict, head = self._predict(cells), self.model.head
        widths = [head.out_features, head.in_features]
        logits, latents = self.compute(cells, rows, widths, lambda *inputs: predict(*inputs[:2]))
        return logits, latents

    def logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Without the cell vectors, which are wide."""
        predict, width = self._predict(cells), [self.model.head.out_features]
        return self.compute(cells, rows, width, lambda *inputs: predict(*inputs[:2])[:1])[0]

    def _predict(self, cells: CellSequences) -> Callable[[GeneTable, Batch], tuple[Tensor, Tensor]]:
        """The model's prediction; without the head where too few learnt genes are there.

        The head reads means over genes, which then are of other genes than those it has learnt
        from; the genes' own scores just add up.
        """
        with_head = self.coverage(cells) >= MIN_COVERAGE
        return partial(self.model.predict, poolings=self.poolings, with_head=with_head)

    def head_logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Logits of the head alone, without the genes' own scores, float32 (rows, labels)."""
        poolings = self.model.weighted(self.poolings)  # the LLM is not run for no weight

        def forward(table: GeneTable, batch: Batch, _: np.ndarray) -> Sequence[Tensor]:
            return self.model(table, batch, poolings)[:1]

        return self.compute(cells, rows, [self.model.head.out_features], forward)[0]

    def gene_logits(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Logits of the genes' own scores alone, float32 (rows, labels)."""

        def forward(table: GeneTable, batch: Batch, _: np.ndarray) -> Sequence[Tensor]:
            return [self.model.gene_logits(table, batch)]

        return self.compute(cells, rows, [self.model.head.out_features], forward)[0]

    @torch.no_grad()
    def compute(
        self,
        cells: CellSequences,
        rows: np.ndarray,
        widths: Sequence[int],
        forward: Callable[[GeneTable, Batch, np.ndarray], Sequence[Tensor]],
    ) -> list[np.ndarray]:
        """What ``forward`` gives of all rows, float32 (rows, width) for each of the ``widths``.

        It gets the cells' genes, a batch of cells and their indices among ``rows``, and may give
        less than the whole width: the rest is zero.
        """
        table = self.table_of(cells)
        outputs = [np.zeros((len(rows), width), np.float32) for width in widths]

        def compute(indices: np.ndarray) -> Sequence[Tensor]:
            return forward(table, self.read(cells, rows[indices]), indices)

        for indices, results in self.map_batches(cells, rows, compute):
            for output, result in zip(outputs, results, strict=True):
                output[indices, : result.shape[1]] = result.float().cpu().numpy()
        self.runner.processes.sum_arrays(*outputs)
        return outputs

    def evidence(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        if self.model.settings.gene_scores:
            logits = self.gene_logits(cells, rows)
        return super().evidence(cells, rows, logits)

    def _logits(self, cells: CellSequences) -> tuple[Callable[[GeneTable, Batch], Tensor], bool]:
        """The logits of predictions, and whether they are linear in the genes' weights.

        What has no weight in them is not computed.
        """
        model = self.model
        settings, poolings = model.settings, model.weighted(self.poolings)
        with_head = self.coverage(cells) >= MIN_COVERAGE
        if settings.gene_scores and not (with_head and model.mix and poolings):
            return model.gene_logits, True
        passes_llm = bool(model.llm) and bool(set(poolings) - {"pool"})

        def logits(table: GeneTable, batch: Batch) -> Tensor:
            return model.predict(table, batch, poolings)[0]

        return logits, not passes_llm and settings.projector_layers == 1

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        width = max(1, int(cells.lengths[rows].max()))
        logits, is_linear = self._logits(cells)

        def goes_on(wanted: bool) -> bool:
            """In all processes if in any of those that share an LLM."""
            runner = self.runner
            return not runner.processes.min(not wanted) if runner.in_step else wanted

        def forward(table: GeneTable, batch: Batch, indices: np.ndarray) -> Sequence[Tensor]:
            called = torch.from_numpy(calls[indices]).to(self.device)
            logits_of = partial(logits, table)
            if is_linear:
                parts, gap = linear_parts(logits_of, batch, called)
            else:
                parts, gap = integrated_gradients(logits_of, batch, called, goes_on)
            return batch.genes + 1, parts, gap[:, None]  # 0 for none

        genes, parts, gap = self.compute(cells, rows, [width, width, 1], forward)
        return genes.astype(np.int64) - 1, parts, gap[:, 0]
