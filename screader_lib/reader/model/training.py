"""The training of a reader, in stages: first without the LLM, then with it.

All that is random in a step follows from the seed and the step's number, so a training that was
killed goes on from a checkpoint as if it had not been.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from screader_lib.errors import ScReaderError
from screader_lib.reader.evaluation import ValidationScores, validation_scores
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.model.batches import drop_genes, read_sequences
from screader_lib.reader.model.gene_scores import fit_gene_scores
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.reader_model import Batch, GeneTable
from screader_lib.reader.model.scaling import fit_scaling
from screader_lib.reader.model.training_checkpoint import TrainingCheckpoint, TrainingState
from screader_lib.reader.settings import Stage, learning_rate_factor, stages_of, warm_up_problem
from screader_lib.reader.task import Epoch, Task, class_weights

MIXES = (0.0, 0.125, 0.25)  # weights of the head's logits beside the gene scores
DEFAULT_MIX = 0.125  # without validation cells
MEASURED_CELLS = 256  # read once to measure the scale of the LLM's outputs
VALIDATE_EVERY = 5  # epochs of the warm start
SAMPLE, ORDER, DROPOUT = 2, 3, 4  # streams of random numbers; 1 is task's

Gradient = Tensor | None


def train_neural(
    task: Task, llm: FrozenLLM | None, checkpoint: TrainingCheckpoint | None = None
) -> NeuralReader:
    """Train projector, cls and head on ``task``; the LLM stays as it is.

    With a ``checkpoint``, the training's state is saved there now and then, and a state saved by
    the same training is resumed.
    """
    settings, reporter = task.settings, task.reporter
    if problem := warm_up_problem(settings, len(task.rows)):
        reporter.warning(problem)
    torch.manual_seed(settings.seed)
    scaling = fit_scaling(task.cells.embedding, settings.scaling)
    vocabulary = task.genes
    labels = len(task.labels.names)
    reader = NeuralReader(settings, scaling, vocabulary, labels, llm, task.device)
    reader.plan_memory(task.cells, task.machine, backward=True, reporter=reporter)
    trainer = Trainer(reader, task, checkpoint)
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        genes, weights = task.cells.rows(trainer.sample)
        mean = float(weights[genes >= 0].mean())
        reader.model.weight_scale.fill_(1 / mean if mean > 0 else 1.0)
    for stage in stages_of(settings):
        if saved is None or stage.number > saved.stage:
            trainer.measure_scales(stage)
            trainer.train_stage(stage, TrainingState(stage.number, history=reader.history))
        elif stage.number == saved.stage:
            reporter.info(f"resuming {stage.name} after step {saved.step:,}.")
            reader.history = saved.history
            trainer.train_stage(stage, saved)
    if settings.gene_scores:
        trainer.add_gene_scores()
    if llm is not None:
        reader.llm["needed"] = reader.uses_llm
    if reader.llm.get("needed") is False or reader.poolings == ("pool",):
        reader.keep_pool_alone()
        reader.plan_memory(task.cells, task.machine, backward=False, reporter=reporter)
    if reader.llm.get("needed") is False:
        reporter.info(
            "the LLM's outputs have no weight in this reader's predictions: predict neither needs "
            "nor loads it. --method pooled trains an equivalent reader without an LLM, in less "
            "time."
        )
    return reader


class Trainer:
    """Trains a reader's model; ``sample`` int64, rising: training cells to measure scales on."""

    def __init__(
        self, reader: NeuralReader, task: Task, checkpoint: TrainingCheckpoint | None = None
    ) -> None:
        self.reader = reader
        self.model = reader.model
        self.task = task
        self.settings = task.settings
        self.checkpoint = checkpoint
        self.truth = np.full(len(task.cells), -1, np.int64)
        self.truth[task.rows] = task.truth
        self.class_weights = torch.from_numpy(class_weights(task)).to(task.device)
        self.sample = np.sort(self._random(SAMPLE).permutation(task.rows)[:MEASURED_CELLS])

    def _random(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *stream])

    def scale_tokens(self) -> None:
        """Give the genes' tokens in the sample the mean length of the LLM's own embeddings."""
        model, cells, width = self.model, self.task.cells, self.settings.genes_per_cell

        def token_lengths(table: GeneTable, batch: Batch, _: np.ndarray) -> list[Tensor]:
            return [model.gene_tokens(table, model.first_genes(batch)).norm(dim=2)]

        [lengths] = self.reader.compute(cells, self.sample, [width], token_lengths)
        count = np.minimum(cells.lengths[self.sample], width).sum()
        mean = lengths.sum(dtype=np.float64) / max(1, count)
        model.token_scale.fill_(model.llm[0].token_norm / max(mean, 1e-9))

    def measure_scales(self, stage: Stage) -> None:
        """Measure, once, what the stage's tokens and poolings are scaled by."""
        model, poolings = self.model, stage.poolings
        if stage.number > 0:
            poolings = tuple(name for name in poolings if name != "pool")
            if model.llm and self.settings.init != "paper":
                self.scale_tokens()
        if self.settings.scaling == "none":  # the paper standardises nothing
            return

        def pool(table: GeneTable, batch: Batch, _: np.ndarray) -> list[Tensor]:
            pooled = model.pool(table, batch, poolings)
            return [pooled[name] for name in poolings]

        widths = [len(model.cls)] * len(poolings)
        values = self.reader.compute(self.task.cells, self.sample, widths, pool)
        for name, measured in zip(poolings, values, strict=True):
            on_device = torch.from_numpy(measured).to(self.task.device)
            model.standardise[name].fit(on_device)  # type: ignore[operator]

    def train_stage(self, stage: Stage, state: TrainingState) -> None:
        """Train one stage from the step that ``state`` has reached; the best weights are kept."""
        size, reporter = self.settings.batch_size, self.task.reporter
        steps_per_epoch = math.ceil(len(self.task.rows) / size)
        steps = stage.steps(len(self.task.rows), size)
        epochs = math.ceil(steps / steps_per_epoch)
        if steps < steps_per_epoch * stage.epochs:
            reporter.info(
                f"the {stage.name} takes {steps:,} steps, {steps / steps_per_epoch:.1f} of "
                f"{stage.epochs} epochs (--warm-start-steps)."
            )
        optimiser = torch.optim.AdamW(
            self.model.parameters(), weight_decay=self.settings.weight_decay
        )
        if state.tensors:
            self.model.load_state_dict(state.tensors)
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": state.moments, "param_groups": groups})
        self.reader.poolings = stage.poolings
        if state.step == 0 and stage.number > 0:
            state.best.update(self.validate(), self.model, 0)
        with reporter.progress(f"Training: {stage.name}", steps, "steps") as advance:
            advance(state.step)
            for epoch in range(state.step // steps_per_epoch, epochs):
                if state.best.is_out_of_patience(self.settings.patience):
                    break
                order = self._random(ORDER, stage.number, epoch).permutation(self.task.rows)
                last = min(steps_per_epoch, steps - epoch * steps_per_epoch)
                for number in range(state.step % steps_per_epoch, last):
                    rows = np.sort(order[number * size : (number + 1) * size])
                    rate = learning_rate_factor(state.step, steps, self.settings)
                    for group in optimiser.param_groups:
                        group["lr"] = stage.learning_rate * rate
                    random = self._random(DROPOUT, stage.number, state.step)
                    loss = self.compute_gradients(rows, stage.poolings, random)
                    nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                    optimiser.step()
                    state.losses.append(loss * len(rows))
                    state.step += 1
                    advance(1)
                    if number + 1 == last:
                        self.finish_epoch(stage, epoch + 1, epochs, state)
                    if self.checkpoint:
                        self.checkpoint.save(state, self.model, optimiser, state.step == steps)
        best = state.best.restore(self.model)
        if best is not None and best < epochs:
            source = f"epoch {best}" if best else "before this stage"
            reporter.info(
                f"{stage.name}: the weights from {source} scored best on the validation cells and "
                "were kept."
            )

    def compute_gradients(
        self, rows: np.ndarray, poolings: tuple[str, ...], random: np.random.Generator
    ) -> float:
        """Give the parameters the gradients of the mean loss over ``rows``; returns the loss.

        What drops out at random is drawn for all rows at once, so that it does not depend on how
        they are split into batches.
        """
        parameters = tuple(self.model.parameters())
        gene_dropout, share = self.settings.gene_dropout, self.settings.dropout
        is_read, dropout = None, None
        if gene_dropout:
            shape = (len(rows), self.task.longest)
            is_read = random.random(shape, np.float32) >= gene_dropout
        if share:
            stays = random.random((len(rows), self.model.head.in_features), np.float32) >= share
            dropout = torch.from_numpy(stays / np.float32(1 - share)).to(self.task.device)

        def compute(indices: np.ndarray) -> tuple[tuple[Gradient, ...], float]:
            genes, weights = read_sequences(self.task.cells, rows[indices])
            if is_read is not None:
                genes, weights = drop_genes(genes, weights, is_read[indices])
            factors = None if dropout is None else dropout[torch.from_numpy(indices)]
            batch = self.reader.to_device(genes, weights)
            logits, _ = self.model(self.reader.table, batch, poolings, factors)
            truth = torch.from_numpy(self.truth[rows[indices]]).to(self.task.device)
            losses = nn.functional.cross_entropy(
                logits, truth, weight=self.class_weights, reduction="sum"
            )
            return gradients_of(losses / len(rows), parameters)

        total = 0.0
        self.model.zero_grad()
        if set(poolings) != {"pool"}:
            batches = self.reader.map_batches(self.task.cells, rows, compute)
            for _, (gradients, loss) in batches:
                add_gradients(parameters, gradients)
                total += loss
        elif self.reader.runner.processes.index == 0:  # too quick to be shared among the processes
            gradients, total = compute(np.arange(len(rows)))
            add_gradients(parameters, gradients)
        # Some processes may have had no cell; what has no gradient in any of them gets none.
        processes, losses = self.reader.runner.processes, np.array([total])
        has_gradient = np.array([float(each.grad is not None) for each in parameters])
        processes.sum_arrays(losses, has_gradient)
        for parameter, anywhere in zip(parameters, has_gradient, strict=True):
            if anywhere:
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = processes.sum_tensor(own)
        return float(losses[0])

    def finish_epoch(self, stage: Stage, number: int, epochs: int, state: TrainingState) -> None:
        """Validate where it is time to, and report on epoch ``number``, from 1, of ``epochs``.

        The last may have ended early.
        """
        cells = min(len(state.losses) * self.settings.batch_size, len(self.task.rows))
        entry = Epoch(stage.name, sum(state.losses) / cells)
        state.losses.clear()
        message = f"{stage.name} {number}/{epochs}: loss {entry.loss:.3f}"
        last = stage.number > 0 or number == epochs
        if (last or number % VALIDATE_EVERY == 0) and (scores := self.validate()):
            entry.accuracy, entry.macro_f1 = scores.accuracy, scores.macro_f1
            state.best.update(scores, self.model, number)
            message += f"; validation accuracy {entry.accuracy:.3f}, macro F1 {entry.macro_f1:.3f}"
        state.history.append(entry)
        (self.task.reporter.info if last else self.task.reporter.detail)(message)

    def validate(self) -> ValidationScores | None:
        """The head's scores on the validation cells; None where there are none."""
        rows = self.task.validation_rows
        if not len(rows):
            return None
        scores = validation_scores(self.reader.head_logits(self.task.cells, rows), self.task)
        values = [scores.loss, scores.accuracy, scores.macro_f1]
        return ValidationScores(*self.reader.runner.processes.broadcast(values))

    def add_gene_scores(self) -> None:
        """Fit the genes' own scores, and the mix of least validation loss."""
        task, reader = self.task, self.reader
        task.reporter.detail("fitting the gene scores.")
        fitted = fit_gene_scores(
            task, float(self.model.weight_scale), self.class_weights.cpu().numpy()
        )
        values = {
            "scores": fitted.genes[0], "score_biases": fitted.genes[1],
            "component_scores": fitted.components[0], "component_biases": fitted.components[1],
            "component_mix": np.float32(fitted.mix),
            "gene_means": fitted.means,
            "alone": np.float32(fitted.alone),
        }  # fmt: skip
        for name, value in values.items():
            getattr(self.model, name).copy_(torch.from_numpy(np.asarray(value)))
        reader.forget_cells()
        self.model.mix.fill_(DEFAULT_MIX)
        if not len(task.validation_rows):
            return
        head = reader.head_logits(task.cells, task.validation_rows)
        genes = reader.gene_logits(task.cells, task.validation_rows)
        by_mix = {mix: validation_scores(genes + np.float32(mix) * head, task) for mix in MIXES}
        best = min(MIXES, key=lambda mix: by_mix[mix].loss)
        self.model.mix.fill_(best)
        head_alone = validation_scores(head, task).accuracy
        task.reporter.info(
            f"validation accuracy: head alone {head_alone:.3f}, gene scores alone "
            f"{by_mix[0.0].accuracy:.3f}, gene scores + {best:g} × head "
            f"{by_mix[best].accuracy:.3f}."
        )


def gradients_of(
    loss: Tensor, parameters: tuple[nn.Parameter, ...]
) -> tuple[tuple[Gradient, ...], float]:
    """The gradient of a loss for each parameter, None where there is none, and the loss.

    ScReaderError where the loss is not finite.
    """
    if not torch.isfinite(loss):
        raise ScReaderError(
            "the loss is not finite: the training diverged.", remedy="Use a lower --learning-rate."
        )
    return torch.autograd.grad(loss, parameters, allow_unused=True), float(loss.detach())


def add_gradients(parameters: tuple[nn.Parameter, ...], gradients: tuple[Gradient, ...]) -> None:
    """Add the gradients of a batch, see :func:`gradients_of`, to those that parameters have."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
