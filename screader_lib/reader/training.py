"""The stages of training: first without the LLM, then with it.

All that is random in a step follows from the seed and the step's number, so a training that was
killed goes on from a checkpoint as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.errors import ScReaderError
from screader_lib.reader.batches import Batch, read_batch
from screader_lib.reader.checkpoint import Checkpoint, State
from screader_lib.reader.embedding import fit_scaling
from screader_lib.reader.llm import FrozenLLM
from screader_lib.reader.model import ReaderModel
from screader_lib.reader.neural import NeuralReader
from screader_lib.reader.settings import Settings
from screader_lib.reader.stages import Stage, stages_of
from screader_lib.reader.task import Epoch, Task, validation_scores

MEASURED_CELLS = 256  # read once to measure the scale of the LLM's outputs
SPLIT, SAMPLE, ORDER, DROPOUT = 1, 2, 3, 4  # streams of random numbers; SPLIT is task's


def train_neural(
    task: Task, llm: FrozenLLM | None, checkpoint: Checkpoint | None = None
) -> NeuralReader:
    """Train projector, cls and head on ``task``; the LLM stays as it is.

    With a ``checkpoint``, the training's state is kept there now and then, and a state that is
    found there is taken up.
    """
    settings = task.settings
    torch.manual_seed(settings.seed)
    scaling = fit_scaling(task.cells.embedding, settings.scaling)
    model = ReaderModel(settings, scaling["map"].shape[1], len(task.labels.names), llm)
    reader = NeuralReader(model, scaling, task.device)
    trainer = _Trainer(reader, task, checkpoint)
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        trainer.measure_weights()
    for stage in stages_of(settings):
        if saved is None or stage.number > saved.stage:
            trainer.prepare(stage)
            trainer.run(stage, State(stage.number))
        elif stage.number == saved.stage:
            task.reporter.say(f"taking up {stage.name} after step {saved.step:,}.")
            trainer.run(stage, saved)
    return reader


class _Trainer:
    def __init__(self, reader: NeuralReader, task: Task, checkpoint: Checkpoint | None) -> None:
        self.reader = reader
        self.checkpoint = checkpoint
        self.model = reader.model
        self.task = task
        self.settings = task.settings
        self.features = reader.features(task.cells)
        self.truth = np.full(len(task.cells), -1, np.int64)
        self.truth[task.rows] = task.truth
        self.class_weights = _class_weights(task).to(task.device)

    def _sample(self) -> np.ndarray:
        random = np.random.default_rng([self.settings.seed, SAMPLE])
        return np.sort(random.permutation(self.task.rows)[:MEASURED_CELLS])

    def prepare(self, stage: Stage) -> None:
        """Measure what the stage's read-outs are scaled by."""
        if stage.name == "warm start":
            self.measure(("pool",))
        else:
            self.scale_tokens()
            self.measure(tuple(part for part in stage.wanted if part != "pool"))

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
        total = count = 0.0
        for rows in self.reader.micro_batches(self.task.cells, self._sample()):
            read = self.model.first_genes(self.reader.on_device(read_batch(self.task.cells, rows)))
            lengths = self.model.gene_tokens(self.features, read).norm(dim=2)[read.genes >= 0]
            total, count = total + float(lengths.sum()), count + len(lengths)
        length = total / max(1, count)
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

    def run(self, stage: Stage, state: State) -> None:
        """Train one stage, from the step that ``state`` has reached."""
        size, rows = self.settings.batch_size, self.task.rows
        per_epoch = math.ceil(len(rows) / size)
        steps = per_epoch * stage.epochs
        optimiser = torch.optim.AdamW(
            self.model.parameters(), weight_decay=self.settings.weight_decay
        )
        state.restore(self.model, optimiser, self.reader.history)
        self.reader.wanted = stage.wanted
        order = np.empty(0)
        with self.task.reporter.progress(f"Training: {stage.name}", steps, "steps") as advance:
            advance(state.step)
            while state.step < steps:
                epoch, number = divmod(state.step, per_epoch)
                if number == 0 or not len(order):
                    order = self._random(ORDER, stage.number, epoch).permutation(rows)
                for group in optimiser.param_groups:
                    group["lr"] = stage.learning_rate * _rate_factor(
                        state.step, steps, self.settings
                    )
                batch = order[number * size : (number + 1) * size]
                state.losses.append(self._step(optimiser, batch, stage, state.step) * len(batch))
                state.step += 1
                advance(1)
                if number + 1 == per_epoch:
                    self._finish_epoch(stage, epoch + 1, sum(state.losses) / len(rows))
                    state.losses.clear()
                if self.checkpoint:
                    self.checkpoint.save(
                        state, self.model, optimiser, self.reader.history, last=state.step == steps
                    )

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *stream])

    def _step(
        self, optimiser: torch.optim.Optimizer, rows: np.ndarray, stage: Stage, step: int
    ) -> float:
        """One step of the optimiser; returns the batch's mean loss."""
        self.random = self._random(DROPOUT, stage.number, step)
        torch.manual_seed(int(self.random.integers(2**62)))
        optimiser.zero_grad()
        loss = self._gradients(rows, stage.wanted)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimiser.step()
        return loss

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

    def _finish_epoch(self, stage: Stage, number: int, loss: float) -> None:
        entry = Epoch(stage.name, loss)
        if self._worth_checking(stage, number):
            entry.accuracy, entry.macro_f1 = validation_scores(self.reader, self.task)
        self.reader.history.append(entry)
        text = f"{stage.name} {number}/{stage.epochs}: loss {loss:.3f}"
        if not math.isnan(entry.accuracy):
            text += f", on kept cells accuracy {entry.accuracy:.3f}, macro F1 {entry.macro_f1:.3f}"
        last = number == stage.epochs or stage.name == "reading"
        (self.task.reporter.say if last else self.task.reporter.detail)(text)

    @staticmethod
    def _worth_checking(stage: Stage, number: int) -> bool:
        return stage.name == "reading" or number == stage.epochs or number % 5 == 0


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
