"""The stages of training: first without the LLM, then with it.

All that is random in a step follows from the seed and the step's number, so a training that was
killed goes on from a checkpoint as if it had not been.

Gradients of a batch, added up over the micro-batches that it is split into.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.errors import ScReaderError
from screader_lib.reader.evaluation import ValidationScores, validation_scores
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.processes import Processes
from screader_lib.reader.model.batches import read_batch, without
from screader_lib.reader.model.embedding_scaling import fit_scaling
from screader_lib.reader.model.gene_scores import fit_gene_scores
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.reader_model import ReaderModel
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint, TrainingState
from screader_lib.reader.model.training_schedule import Stage, rate_factor, stages_of
from screader_lib.reader.task import Epoch, Task, class_weights

MIXES = (0.0, 0.125, 0.25)  # what the head's logits count beside the genes' own
USUAL_MIX = 0.125
MEASURED_CELLS = 256  # read once to measure the scale of the LLM's outputs
SPLIT, SAMPLE, ORDER, DROPOUT = 1, 2, 3, 4  # streams of random numbers; SPLIT is task's


def train_neural(
    task: Task, llm: FrozenLLM | None, checkpoint: TrainingCheckpoint | None = None
) -> NeuralReader:
    """Train projector, cls and head on ``task``; the LLM stays as it is.

    With a ``checkpoint``, the training's state is kept there now and then, and a state that is
    found there is taken up.
    """
    settings = task.settings
    torch.manual_seed(settings.seed)
    scaling = fit_scaling(task.cells.embedding, settings.scaling)
    vocabulary = GeneMatcher(task.cells.genes.index, task.cells.embedding)
    genes, features = len(vocabulary.ids), scaling["map"].shape[1]
    model = ReaderModel(settings, genes, features, len(task.labels.names), llm)
    reader = NeuralReader(model, scaling, vocabulary, task.device)
    reader.plan_memory(task.cells, task.machine, backward=True, reporter=task.reporter)
    trainer = _Trainer(reader, task, checkpoint)
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        trainer.measure_weights()
    for stage in stages_of(settings):
        if saved is None or stage.number > saved.stage:
            trainer.prepare(stage)
            trainer.run(stage, TrainingState(stage.number))
        elif stage.number == saved.stage:
            task.reporter.info(f"taking up {stage.name} after step {saved.step:,}.")
            trainer.run(stage, saved)
    if settings.gene_scores:
        trainer.add_gene_scores()
    if llm is not None and not model.uses_llm:
        task.reporter.info(
            "what the LLM says has no weight in the calls of this reader: --method pooled trains "
            "one like it without an LLM, and sooner."
        )
    return reader


class _Trainer:
    def __init__(
        self, reader: NeuralReader, task: Task, checkpoint: TrainingCheckpoint | None
    ) -> None:
        self.reader = reader
        self.checkpoint = checkpoint
        self.model = reader.model
        self.task = task
        self.settings = task.settings
        self.truth = np.full(len(task.cells), -1, np.int64)
        self.truth[task.rows] = task.truth
        self.class_weights = torch.from_numpy(class_weights(task)).to(task.device)

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

    @torch.no_grad()
    def scale_tokens(self) -> None:
        """Give projected genes the mean length of the LLM's own token embeddings."""
        if not self.model.llm or self.settings.init == "paper":
            return
        rows, sums = self._sample(), np.zeros(2)

        def work(places: np.ndarray) -> Callable[[], None]:
            batch = self.reader.on_device(read_batch(self.task.cells, rows[places]))
            read = self.model.first_genes(batch)
            tokens = self.model.gene_tokens(self.reader.table, read)
            lengths = tokens.norm(dim=2)[read.genes >= 0]
            found = float(lengths.double().sum()), len(lengths)

            def store() -> None:
                sums[:] += found

            return store

        self.reader.in_groups(self.task.cells, rows, work)
        self.reader.processes.add_up(sums)
        length = float(sums[0] / max(1, sums[1]))
        self.model.token_scale.fill_(self.model.llm[0].token_norm / max(length, 1e-9))

    @torch.no_grad()
    def measure(self, parts: tuple[str, ...]) -> None:
        """Measure mean and spread of read-outs on some training cells, once."""
        if self.settings.scaling == "none":
            return  # the paper standardises nothing
        self.model.eval()
        rows = self._sample()
        found = {part: torch.zeros(len(rows), len(self.model.cls)) for part in parts}

        def work(places: np.ndarray) -> Callable[[], None]:
            batch = self.reader.on_device(read_batch(self.task.cells, rows[places]))
            read = self.model.parts(self.reader.table, batch, parts)

            def store() -> None:
                for part, values in found.items():
                    values[torch.from_numpy(places)] = read[part].cpu()

            return store

        self.reader.in_groups(self.task.cells, rows, work)
        self.reader.processes.add_up(*(values.numpy() for values in found.values()))
        for part, values in found.items():
            self.model.standardise[part].fit(values.to(self.task.device))  # type: ignore[operator]

    def add_gene_scores(self) -> None:
        """Fit what each gene says by itself, and what the head counts beside it."""
        self.task.reporter.detail("fitting the genes' own scores.")
        learnt, scale = self.reader.learnt.cpu().numpy(), float(self.model.weight_scale)
        weights = self.class_weights.cpu().numpy()
        found = fit_gene_scores(self.task, learnt, scale, weights)
        self.model.scores.copy_(torch.from_numpy(found.scores))
        self.model.score_biases.copy_(torch.from_numpy(found.biases))
        self.model.mix.fill_(self._best_mix())

    def _best_mix(self) -> float:
        """The mix of least calibrated loss on the kept cells; a usual one without such cells."""
        task, rows = self.task, self.task.validation_rows
        if not len(rows):
            return USUAL_MIX
        head = self.reader.head_outputs(task.cells, rows)
        scores = self.reader.score_outputs(task.cells, rows)
        mixes = {mix: validation_scores(scores + np.float32(mix) * head, task) for mix in MIXES}
        best = min(MIXES, key=lambda mix: mixes[mix].loss)
        alone = validation_scores(head, task).accuracy
        task.reporter.info(
            f"accuracy on the validation cells: head alone {alone:.3f}, genes' own "
            f"scores {mixes[0.0].accuracy:.3f}, mixed at {best:g} {mixes[best].accuracy:.3f}."
        )
        return best

    def run(self, stage: Stage, state: TrainingState) -> None:
        """Train one stage, from the step that ``state`` has reached; the best state stays."""
        size, rows = self.settings.batch_size, self.task.rows
        per_epoch = math.ceil(len(rows) / size)
        steps = per_epoch * stage.epochs
        optimiser = torch.optim.AdamW(
            self.model.parameters(), weight_decay=self.settings.weight_decay
        )
        state.restore(self.model, optimiser, self.reader.history)
        self.reader.wanted = stage.wanted
        if state.step == 0 and stage.number > 0:
            state.best.offer(self._check(), self.model, 0)
        order = np.empty(0)
        with self.task.reporter.progress(f"Training: {stage.name}", steps, "steps") as advance:
            advance(state.step)
            while state.step < steps and not state.best.given_up(self.settings.patience):
                epoch, number = divmod(state.step, per_epoch)
                if number == 0 or not len(order):
                    order = self._random(ORDER, stage.number, epoch).permutation(rows)
                for group in optimiser.param_groups:
                    group["lr"] = stage.learning_rate * rate_factor(
                        state.step, steps, self.settings
                    )
                batch = order[number * size : (number + 1) * size]
                state.losses.append(self._step(optimiser, batch, stage, state.step) * len(batch))
                state.step += 1
                advance(1)
                if number + 1 == per_epoch:
                    self._finish_epoch(stage, epoch + 1, state)
                if self.checkpoint:
                    self.checkpoint.save(
                        state, self.model, optimiser, self.reader.history, last=state.step == steps
                    )
        kept = state.best.put_back(self.model)
        if kept is not None and kept < stage.epochs:
            self.task.reporter.info(
                f"{stage.name}: epoch {kept} was best on kept cells, and stays."
            )

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *stream])

    def _step(
        self, optimiser: torch.optim.Optimizer, rows: np.ndarray, stage: Stage, step: int
    ) -> float:
        """One step of the optimiser; returns the batch's mean loss."""
        self.random = self._random(DROPOUT, stage.number, step)
        optimiser.zero_grad()
        loss = self._gradients(rows, stage.wanted)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimiser.step()
        return loss

    def _gradients(self, rows: np.ndarray, wanted: tuple[str, ...]) -> float:
        """Add up gradients of the batch's mean loss over its micro-batches; returns the loss.

        What is left out at random is drawn for the whole batch, so that it does not depend on
        how the batch is split.
        """
        self.model.train()
        rows = np.sort(rows)
        genes, factors = self._drawn_genes(len(rows)), self._drawn_factors(len(rows))
        found = Gradients(tuple(self.model.parameters()))

        def work(places: np.ndarray) -> Callable[[], None]:
            batch = read_batch(self.task.cells, rows[places])
            if genes is not None:
                batch = without(batch, genes[places])
            kept = None if factors is None else factors[torch.from_numpy(places)]
            logits, _ = self.model(self.reader.table, self.reader.on_device(batch), wanted, kept)
            truth = torch.from_numpy(self.truth[rows[places]]).to(self.task.device)
            losses = nn.functional.cross_entropy(
                logits, truth, weight=self.class_weights, reduction="sum"
            )
            return found.of(losses / len(rows))

        processes = self.reader.processes
        if set(wanted) != {"pool"}:
            self.reader.in_groups(self.task.cells, rows, work)
        elif processes.number == 0:
            work(np.arange(len(rows)))()
        return found.store(processes)

    def _drawn_genes(self, cells: int) -> np.ndarray | None:
        """Which ranks of each cell are read, boolean (cells, width); None: all."""
        share = self.settings.gene_dropout
        if not share:
            return None
        width = int(self.task.cells.lengths.max())
        return self.random.random((cells, max(1, width)), np.float32) >= share

    def _drawn_factors(self, cells: int) -> Tensor | None:
        """Factors of the vector that the head reads, float32 (cells, hidden); None: all 1."""
        share = self.settings.dropout
        if not share:
            return None
        drawn = self.random.random((cells, self.model.head.in_features), np.float32) >= share
        return torch.from_numpy(drawn / np.float32(1 - share)).to(self.task.device)

    def _check(self) -> ValidationScores | None:
        rows = self.task.validation_rows
        if not len(rows):
            return None
        found = validation_scores(self.reader.head_outputs(self.task.cells, rows), self.task)
        return ValidationScores(
            *self.reader.processes.of_first([found.loss, found.accuracy, found.macro_f1])
        )

    def _finish_epoch(self, stage: Stage, number: int, state: TrainingState) -> None:
        entry = Epoch(stage.name, sum(state.losses) / len(self.task.rows))
        state.losses.clear()
        found = self._check() if self._worth_checking(stage, number) else None
        if found is not None:
            entry.accuracy, entry.macro_f1 = found.accuracy, found.macro_f1
            state.best.offer(found, self.model, number)
        self.reader.history.append(entry)
        text = f"{stage.name} {number}/{stage.epochs}: loss {entry.loss:.3f}"
        if found is not None:
            text += f", on kept cells accuracy {entry.accuracy:.3f}, macro F1 {entry.macro_f1:.3f}"
        last = number == stage.epochs or stage.name == "reading"
        (self.task.reporter.info if last else self.task.reporter.detail)(text)

    @staticmethod
    def _worth_checking(stage: Stage, number: int) -> bool:
        return stage.name == "reading" or number == stage.epochs or number % 5 == 0


class Gradients:
    """Sums of gradients of losses; what fails half way leaves nothing behind."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.parameters = parameters
        self.sums: list[Tensor | None] = [None] * len(parameters)
        self.loss = 0.0

    def of(self, loss: Tensor) -> Callable[[], None]:
        """Work out the gradients of a loss; returns what adds them.

        ScReaderError where the loss is not finite.
        """
        if not torch.isfinite(loss):
            raise ScReaderError(
                "the loss is not finite: training went astray.",
                remedy="Use a lower --learning-rate.",
            )
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        return partial(self._add, found, float(loss.detach()))

    def _add(self, found: tuple[Tensor | None, ...], loss: float) -> None:
        for number, gradient in enumerate(found):
            before = self.sums[number]
            if gradient is not None:
                self.sums[number] = gradient if before is None else before + gradient
        self.loss += loss

    def store(self, processes: Processes) -> float:
        """Hand the sums over all processes to the parameters; returns the sum of the losses."""
        loss = np.array([self.loss])
        processes.add_up(loss)
        if processes.count > 1:
            self._add_up(processes)
        for parameter, gradient in zip(self.parameters, self.sums, strict=True):
            parameter.grad = gradient
        return float(loss[0])

    def _add_up(self, processes: Processes) -> None:
        """A process may have had no cell; a parameter that none has a gradient of stays without."""
        known = np.array([float(gradient is not None) for gradient in self.sums])
        processes.add_up(known)
        for number, parameter in enumerate(self.parameters):
            if known[number]:
                own = self.sums[number]
                total = torch.zeros_like(parameter) if own is None else own.contiguous()
                processes.add_up_tensors([total])
                self.sums[number] = total
