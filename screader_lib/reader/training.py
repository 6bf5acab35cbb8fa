"""The stages of training: first without the LLM, then with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.cells.reading import CellSequences
from screader_lib.errors import ScReaderError
from screader_lib.reader.batches import Batch, read_batch, shuffled, split_by_length
from screader_lib.reader.embedding import fit_scaling, scaled
from screader_lib.reader.llm import FrozenLLM
from screader_lib.reader.model import Cells, ReaderModel
from screader_lib.reader.settings import Settings
from screader_lib.reader.task import Epoch, Task, Trained, validation_scores

MEASURED_CELLS = 256  # read once to measure the scale of the LLM's outputs


class NeuralReader(Trained):
    """A reader model with the scaling of its embeddings."""

    def __init__(
        self, model: ReaderModel, scaling: dict[str, np.ndarray], device: str = "cpu"
    ) -> None:
        self.model = model.to(device)
        self.scaling = scaling
        self.device = device
        self.history: list[Epoch] = []
        self.llm = model.llm[0].identity.to_json() if model.llm else {}
        self.wanted: tuple[str, ...] = model.settings.read_out
        self._features: tuple[CellSequences, Tensor] | None = None

    @property
    def tensors(self) -> dict[str, np.ndarray]:  # type: ignore[override]
        """Trained tensors and buffers by name, and the scaling."""
        state = {name: value.cpu().numpy() for name, value in self.model.state_dict().items()}
        return state | {f"scaling.{name}": value for name, value in self.scaling.items()}

    @classmethod
    def restore(
        cls,
        tensors: dict[str, np.ndarray],
        settings: Settings,
        labels: int,
        llm: FrozenLLM | None,
        device: str,
    ) -> NeuralReader:
        """From a reader file's tensors; ScReaderError where they do not fit the settings."""
        scaling = {name: tensors[f"scaling.{name}"] for name in ("center", "map")}
        model = ReaderModel(settings, scaling["map"].shape[1], labels, llm)
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
        return cls(model, scaling, device)

    def features(self, cells: CellSequences) -> Tensor:
        """The cells' vocabulary as features on the device, float32 (genes, features)."""
        if self._features is None or self._features[0] is not cells:
            values = scaled(cells.embedding, self.scaling)
            self._features = (cells, torch.from_numpy(values).to(self.device))
        return self._features[1]

    def on_device(self, batch: Batch) -> Cells:
        """A batch as tensors."""
        genes = torch.from_numpy(batch.genes.astype(np.int64)).to(self.device)
        return Cells(genes, torch.from_numpy(batch.weights).to(self.device))

    def tokens_of(self, cells: CellSequences, rows: np.ndarray) -> np.ndarray:
        """Tokens that the LLM reads of each cell, for batches of like length."""
        return np.minimum(cells.lengths[rows], self.model.settings.genes_per_cell)

    def micro_batches(self, cells: CellSequences, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows in groups that stay within the token budget."""
        llm = self.model.llm
        extra = len(llm[0].instruction) + 1 if llm else 0
        budget = self.model.settings.micro_batch_tokens
        yield from split_by_length(rows, self.tokens_of(cells, rows), budget, extra)

    @torch.inference_mode()
    def outputs(self, cells: CellSequences, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.model.eval()
        features = self.features(cells)
        logits = np.zeros((len(rows), self.model.head.out_features), np.float32)
        vectors = np.zeros((len(rows), self.model.head.in_features), np.float32)
        for places in self.micro_batches_of_places(cells, rows):
            batch = self.on_device(read_batch(cells, rows[places]))
            some_logits, some_vectors = self.model(features, batch, self.wanted)
            logits[places] = some_logits.float().cpu().numpy()
            vectors[places] = some_vectors.float().cpu().numpy()
        return logits, vectors

    def micro_batches_of_places(
        self, cells: CellSequences, rows: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Like :meth:`micro_batches`, but places in ``rows`` rather than rows."""
        place = {int(row): number for number, row in enumerate(rows)}
        for group in self.micro_batches(cells, rows):
            yield np.array([place[int(row)] for row in group])


def train_neural(task: Task, llm: FrozenLLM | None) -> NeuralReader:
    """Train projector, cls and head on ``task``; the LLM stays as it is."""
    settings = task.settings
    torch.manual_seed(settings.seed)
    scaling = fit_scaling(task.cells.embedding, settings.scaling)
    model = ReaderModel(settings, scaling["map"].shape[1], len(task.labels.names), llm)
    reader = NeuralReader(model, scaling, task.device)
    trainer = _Trainer(reader, task)
    trainer.measure_weights()
    if "pool" in settings.read_out and settings.warm_start_epochs:
        trainer.measure(("pool",))
        trainer.run(
            "warm start", ("pool",), settings.warm_start_epochs, settings.warm_start_learning_rate
        )
    if settings.epochs and set(settings.read_out) != {"pool"}:
        trainer.scale_tokens()
        trainer.measure(tuple(part for part in settings.read_out if part != "pool"))
        trainer.run("reading", settings.read_out, settings.epochs, settings.learning_rate)
    return reader


class _Trainer:
    def __init__(self, reader: NeuralReader, task: Task) -> None:
        self.reader = reader
        self.model = reader.model
        self.task = task
        self.settings = task.settings
        self.random = np.random.default_rng([task.settings.seed, 2])
        self.features = reader.features(task.cells)
        self.truth = np.full(len(task.cells), -1, np.int64)
        self.truth[task.rows] = task.truth
        self.class_weights = _class_weights(task).to(task.device)

    def _sample(self) -> np.ndarray:
        return np.sort(self.random.permutation(self.task.rows)[:MEASURED_CELLS])

    def measure_weights(self) -> None:
        """Scale weights so that their mean over genes is 1."""
        genes, weights = self.task.cells.rows(self._sample())
        mean = float(weights[genes >= 0].mean())
        self.model.weight_scale.fill_(1 / mean if mean > 0 else 1.0)

    @torch.inference_mode()
    def scale_tokens(self) -> None:
        """Give projected genes the mean length of the LLM's own token embeddings."""
        if not self.model.llm or self.settings.initial == "paper":
            return
        batch = self.reader.on_device(read_batch(self.task.cells, self._sample()))
        tokens = self.model.gene_tokens(self.features, batch)
        length = float(tokens.norm(dim=2)[batch.genes >= 0].mean())
        self.model.token_scale.fill_(self.model.llm[0].token_norm / max(length, 1e-9))

    @torch.inference_mode()
    def measure(self, parts: tuple[str, ...]) -> None:
        """Measure mean and spread of read-outs on some training cells, once."""
        if self.settings.scaling == "none":
            return  # the paper standardises nothing
        self.model.eval()
        found: dict[str, list[Tensor]] = {part: [] for part in parts}
        for rows in self.reader.micro_batches(self.task.cells, self._sample()):
            batch = self.reader.on_device(read_batch(self.task.cells, rows))
            for part, values in self.model.parts(self.features, batch, parts).items():
                if part in found:
                    found[part].append(values)
        for part, blocks in found.items():
            self.model.standardise[part].fit(torch.cat(blocks))  # type: ignore[operator]

    def run(self, stage: str, wanted: tuple[str, ...], epochs: int, rate: float) -> None:
        """Train ``epochs`` epochs on the read-outs ``wanted``."""
        steps = math.ceil(len(self.task.rows) / self.settings.batch_size) * epochs
        optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=rate, weight_decay=self.settings.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: _rate_factor(step, steps, self.settings)
        )
        self.reader.wanted = wanted
        total = epochs * len(self.task.rows)
        with self.task.reporter.progress(f"Training: {stage}", total, "cells") as advance:
            for number in range(epochs):
                losses = []
                batches = shuffled(self.task.rows, self.settings.batch_size, self.random)
                for rows in batches:
                    optimiser.zero_grad()
                    losses.append(self._gradients(rows, wanted) * len(rows))
                    nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                    optimiser.step()
                    scheduler.step()
                    advance(len(rows))
                self._finish_epoch(stage, number + 1, epochs, sum(losses) / len(self.task.rows))

    def _gradients(self, rows: np.ndarray, wanted: tuple[str, ...]) -> float:
        """Add up gradients of the batch's mean loss over its micro-batches; returns the loss."""
        self.model.train()
        groups: Iterable[np.ndarray] = [np.sort(rows)]
        if set(wanted) != {"pool"}:
            groups = self.reader.micro_batches(self.task.cells, rows)
        total = 0.0
        for group in groups:
            batch = self.reader.on_device(self._dropped(read_batch(self.task.cells, group)))
            logits, _ = self.model(self.features, batch, wanted)
            truth = torch.from_numpy(self.truth[group]).to(self.task.device)
            loss = nn.functional.cross_entropy(
                logits, truth, weight=self.class_weights, reduction="sum"
            ) / len(rows)
            if not torch.isfinite(loss):
                raise ScReaderError(
                    "the loss is not finite: training went astray.",
                    remedy="Use a lower --learning-rate.",
                )
            loss.backward()
            total += float(loss.detach())
        return total

    def _dropped(self, batch: Batch) -> Batch:
        """The batch with some genes left out and the rest moved up, as augmentation."""
        share = self.settings.gene_dropout
        if not share:
            return batch
        kept = (self.random.random(batch.genes.shape) >= share) & (batch.genes >= 0)
        kept[:, 0] = batch.genes[:, 0] >= 0
        order = np.argsort(~kept, axis=1, kind="stable")
        genes = np.where(np.take_along_axis(kept, order, 1),
                         np.take_along_axis(batch.genes, order, 1), -1)  # fmt: skip
        weights = np.where(genes >= 0, np.take_along_axis(batch.weights, order, 1), 0)
        return Batch(batch.rows, genes, weights.astype(np.float32))

    def _finish_epoch(self, stage: str, number: int, epochs: int, loss: float) -> None:
        entry = Epoch(stage, loss)
        if self._worth_checking(stage, number, epochs):
            entry.accuracy, entry.macro_f1 = validation_scores(self.reader, self.task)
        self.reader.history.append(entry)
        text = f"{stage} {number}/{epochs}: loss {loss:.3f}"
        if not math.isnan(entry.accuracy):
            text += f", on kept cells accuracy {entry.accuracy:.3f}, macro F1 {entry.macro_f1:.3f}"
        last = number == epochs or stage == "reading"
        (self.task.reporter.say if last else self.task.reporter.detail)(text)

    @staticmethod
    def _worth_checking(stage: str, number: int, epochs: int) -> bool:
        return stage == "reading" or number == epochs or number % 5 == 0


def _rate_factor(step: int, steps: int, settings: Settings) -> float:
    rising = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    if settings.schedule == "constant":
        return rising
    return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def _class_weights(task: Task) -> Tensor:
    """Weight of each label in the loss: all alike, or by the inverse (root) of its cells."""
    counts = np.maximum(np.bincount(task.truth, minlength=len(task.labels.names)), 1)
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[task.settings.class_weights]
    weights = (counts.mean() / counts) ** power
    return torch.from_numpy(np.minimum(weights, 10.0).astype(np.float32))
