"""A trained reader model: its tensors, and its outputs on cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMapping, GeneMatcher, filter_genes
from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import log_sum_exp
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.memory import Costs, TokenBudget, Work, plan
from screader_lib.reader.llm.processes import ALONE
from screader_lib.reader.model.attribution import integrated_gradients
from screader_lib.reader.model.batches import Batch, read_batch, split_by_length
from screader_lib.reader.model.embedding_scaling import scaled
from screader_lib.reader.model.reader_model import Cells, GeneTable, ReaderModel
from screader_lib.reader.model.training_schedule import stages_of
from screader_lib.reader.settings import TrainingSettings
from screader_lib.reader.task import Epoch, TrainedMethod
from screader_lib.reporting import Reporter

LEAST_REACHED = 0.9  # of the learnt genes, for the head to be asked


class NeuralReader(TrainedMethod):
    """A reader model with the genes it has learnt and the scaling of their embeddings."""

    def __init__(
        self,
        model: ReaderModel,
        scaling: dict[str, np.ndarray],
        vocabulary: GeneMatcher,
        device: str = "cpu",
    ) -> None:
        self.model = model.to(device)
        self.scaling = scaling
        self.vocabulary = vocabulary
        self.device = device
        self.budget = TokenBudget(model.settings.micro_batch_tokens)
        self.processes = ALONE
        self.history: list[Epoch] = []
        self.llm = model.llm[0].identity.to_json() if model.llm else {}
        self.wanted = stages_of(model.settings)[-1].wanted
        self._matched: tuple[CellSequences, GeneMapping, GeneTable] | None = None
        self.learnt = torch.from_numpy(scaled(vocabulary.embedding, scaling)).to(device)

    @property
    def tensors(self) -> dict[str, np.ndarray]:  # type: ignore[override]
        """Trained tensors and buffers by name, and the scaling."""
        state = {name: value.cpu().numpy() for name, value in self.model.state_dict().items()}
        return state | {f"scaling.{name}": value for name, value in self.scaling.items()}

    @classmethod
    def restore(
        cls,
        tensors: dict[str, np.ndarray],
        settings: TrainingSettings,
        vocabulary: GeneMatcher,
        labels: int,
        llm: FrozenLLM | None,
        device: str,
    ) -> NeuralReader:
        """From a reader file's tensors; ScReaderError where they do not fit the settings."""
        scaling = {name: tensors[f"scaling.{name}"] for name in ("center", "map")}
        genes, features = len(vocabulary.ids), scaling["map"].shape[1]
        model = ReaderModel(settings, genes, features, labels, llm)
        state = {
            name: torch.from_numpy(np.asarray(value))
            for name, value in tensors.items()
            if not name.startswith("scaling.")
        }
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ScReaderError(
                "the reader's tensors do not fit its settings or this LLM.",
                remedy="Was it trained with another LLM?",
            ) from error
        return cls(model, scaling, vocabulary, device)

    @property
    def table(self) -> GeneTable:
        """The learnt genes; gradients go to their offsets."""
        return GeneTable(self.learnt, self.model.offsets, self._scores)

    @property
    def _scores(self) -> Tensor | None:
        return self.model.scores if self.model.settings.gene_scores else None

    def match(self, cells: CellSequences) -> GeneMapping:
        """How well the reader knows the genes of these cells."""
        return self._known(cells)[0]

    def check_genes(self, cells: CellSequences, reporter: Reporter) -> None:
        match = self.match(cells)
        if match.is_identity and match.coverage >= LEAST_REACHED:
            return
        genes = len(match.known)
        unknown = genes - match.by_name - match.by_text
        if unknown == genes:
            raise ScReaderError(
                "the reader knows none of its genes, neither by name nor by text.",
                file=cells.opened.name,
                remedy="Were the genes embedded from texts with the same fields?",
            )
        text = (
            f"of {genes:,} genes, the reader knows {match.by_name:,} by name and {match.by_text:,} "
            f"by their texts; {unknown:,} are left out."
        )
        if match.coverage < LEAST_REACHED and self.model.settings.gene_scores:
            text += (
                f" They stand for {match.coverage:.0%} of the genes it has learnt, so it goes by "
                "what each gene says by itself."
            )
        (reporter.warning if unknown > genes / 2 else reporter.info)(text)

    def genes(self, cells: CellSequences) -> GeneTable:
        """The genes of these cells as the reader knows them, on the device."""
        return self._known(cells)[1]

    def _known(self, cells: CellSequences) -> tuple[GeneMapping, GeneTable]:
        if self._matched is None or self._matched[0] is not cells:
            match = self.vocabulary.match(cells.genes.index, cells.embedding)
            self._matched = (cells, match, self.table if match.is_identity else self._mixed(match))
        return self._matched[1:]

    def _mixed(self, match: GeneMapping) -> GeneTable:
        def mixed(table: Tensor) -> Tensor:
            return torch.from_numpy(match.weighted_mean(table.detach().cpu().numpy())).to(
                self.device
            )

        offsets, scores = self.model.offsets, self._scores
        return GeneTable(
            mixed(self.learnt),
            None if offsets is None else mixed(offsets),
            None if scores is None else mixed(scores),
        )

    def on_device(self, batch: Batch) -> Cells:
        """A batch as tensors."""
        genes = torch.from_numpy(batch.genes.astype(np.int64)).to(self.device)
        return Cells(genes, torch.from_numpy(batch.weights).to(self.device))

    def read(self, cells: CellSequences, rows: np.ndarray) -> Cells:
        """Cells with the genes that the reader knows, each weighed by how well."""
        batch = read_batch(cells, rows)
        match = self.match(cells)
        if match.is_identity:
            return self.on_device(batch)
        genes, weights = filter_genes(
            batch.genes, batch.weights, lambda genes: match.known[genes] > 0
        )
        weights = weights * np.where(genes >= 0, match.known[genes], 0)
        return self.on_device(Batch(rows, genes, weights.astype(np.float32)))

    def plan_memory(
        self, cells: CellSequences, machine: Machine, backward: bool, reporter: Reporter
    ) -> None:
        self.processes = machine.processes or ALONE
        if not self.model.llm:
            return
        llm, settings = self.model.llm[0], self.model.settings
        trained = sum(each.numel() for each in self.model.parameters()) if backward else 0
        others = 4 * (self.learnt.numel() + sum(each.numel() for each in self.model.buffers()))
        longest = min(int(cells.lengths.max(initial=0)), settings.genes_per_cell) + self._extra
        costs = Costs.of(llm, trained, others, machine.place == "cuda")
        found = plan(costs, machine, settings.micro_batch_tokens, longest, backward)
        llm.checkpointed = found.checkpointed
        self.budget = TokenBudget(self.processes.least(found.tokens), reporter)
        reporter.info(found.spoken(costs.layers))

    @property
    def _extra(self) -> int:
        """Tokens of each cell beside its genes."""
        return len(self.model.llm[0].instruction) + 1 if self.model.llm else 0

    def _lengths(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        return np.minimum(cells.lengths[rows], self.model.settings.genes_per_cell)

    def places_by_length(self, cells: CellSequences, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Places in ``rows`` in groups of like length that stay within the token budget."""
        lengths, places = self._lengths(cells, rows), np.arange(len(rows))
        yield from split_by_length(places, lengths, self.budget.planned, self._extra)

    def in_groups(self, cells: CellSequences, rows: np.ndarray, work: Work) -> None:
        """Do ``work`` on places in ``rows``, group by group; on parts for want of memory.

        With several processes, this one does its share: what is stored is to be added up. Where
        they share the LLM's layers, all work as often, some for nothing.
        """
        lengths = self._lengths(cells, rows)
        in_step = bool(self.model.llm) and self.model.llm[0].pieces > 1
        for places, counts in self.processes.dealt(self.places_by_length(cells, rows), in_step):
            width = max(1, int(lengths[places].max()) + self._extra)
            if counts:
                self.budget.run(places, width, work)
            else:
                work(places[:1])

    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._outputs(cells, rows, self._call_of(cells))

    def _call_of(self, cells: CellSequences) -> Callable[..., tuple[Tensor, Tensor]]:
        """The model's call; without the head where too many learnt genes cannot be met.

        The head reads means over genes, which then are of other genes than those it has learnt
        from; the genes' own scores just add up.
        """
        reached = self.match(cells).coverage
        return partial(self.model.call, with_head=reached >= LEAST_REACHED)

    def has_known_genes(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        genes, _ = cells.rows(rows)
        return ((genes >= 0) & (self.match(cells).known[genes] > 0)).any(1)

    def energy(self, cells: CellSequences, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        if not self.model.settings.gene_scores:
            return super().energy(cells, rows, logits)
        return log_sum_exp(self.score_outputs(cells, rows))

    def explain(
        self, cells: CellSequences, rows: np.ndarray, calls: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        self.model.eval()
        width = max(1, int(cells.lengths[rows].max()))
        genes = np.zeros((len(rows), width), np.int64)  # plus 1, to be added up
        parts = np.zeros((len(rows), width), np.float32)
        table, call = self.genes(cells), self._call_of(cells)

        def work(places: np.ndarray) -> Callable[[], None]:
            batch = self.read(cells, rows[places])
            found = integrated_gradients(
                lambda some: call(table, some, self.wanted)[0],
                batch,
                torch.from_numpy(calls[places]).to(self.device),
            )

            def store() -> None:
                genes[places, : found.shape[1]] = batch.genes.cpu().numpy() + 1
                parts[places, : found.shape[1]] = found.cpu().numpy()

            return store

        self.in_groups(cells, rows, work)
        self.processes.add_up(genes, parts)
        return genes - 1, parts

    def head_outputs(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Logits of the head alone, without the genes' own scores, float32 (rows, labels)."""
        return self._outputs(cells, rows, self.model)[0]

    @torch.no_grad()
    def score_outputs(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Logits of the genes' own scores alone, float32 (rows, labels)."""
        logits = np.zeros((len(rows), self.model.head.out_features), np.float32)

        def work(places: np.ndarray) -> Callable[[], None]:
            found = self.model.score(self.genes(cells), self.read(cells, rows[places]))
            return partial(_put, logits, places, found)

        self.in_groups(cells, rows, work)
        self.processes.add_up(logits)
        return logits

    @torch.no_grad()
    def _outputs(
        self, cells: CellSequences, rows: np.ndarray, call: Callable[..., tuple[Tensor, Tensor]]
    ) -> tuple[np.ndarray, np.ndarray]:
        self.model.eval()
        genes = self.genes(cells)
        logits = np.zeros((len(rows), self.model.head.out_features), np.float32)
        vectors = np.zeros((len(rows), self.model.head.in_features), np.float32)

        def work(places: np.ndarray) -> Callable[[], None]:
            found, vector = call(genes, self.read(cells, rows[places]), self.wanted)

            def store() -> None:
                _put(logits, places, found)
                _put(vectors, places, vector)

            return store

        self.in_groups(cells, rows, work)
        self.processes.add_up(logits, vectors)
        return logits, vectors


def _put(array: np.ndarray, places: np.ndarray, found: Tensor) -> None:
    array[places] = found.float().cpu().numpy()
