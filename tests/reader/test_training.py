"""Training: stages, batches, what changes and what stays, the best weights; it repeats itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recording_reporter import RecordingReporter

from screader_lib.cells.cells_file import CellSequences
from screader_lib.cells.gene_matcher import GeneMatcher
from screader_lib.errors import ScReaderError
from screader_lib.reader.evaluation import ValidationScores
from screader_lib.reader.llm import decoder
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Processes
from screader_lib.reader.model import training
from screader_lib.reader.model.batches import BatchRunner, drop_genes, split_by_length
from screader_lib.reader.model.neural_reader import NeuralReader
from screader_lib.reader.model.reader_model import ReaderModel
from screader_lib.reader.model.scaling import fit_scaling, scaled
from screader_lib.reader.model.training_checkpoint import BestState, TrainingCheckpoint
from screader_lib.reader.settings import TrainingSettings, settings_for
from screader_lib.reader.task import Task, make_task, split_validation

QUICK = {"precision": "float32", "warm_start_epochs": 2, "epochs": 1, "batch_size": 16,
         "genes_per_cell": 12, "instruction": "Genes of one cell"}  # fmt: skip
ALL, POOL, NAN = ("cls", "mean", "pool"), ("pool",), float("nan")


def task_of(sequences: CellSequences, **given: object) -> Task:
    return make_task(sequences, settings_for("screader", "default", {**QUICK, **given}))


def test_validation_is_stratified_and_spares_rare_labels() -> None:
    truth = np.array([0] * 100 + [1] * 40 + [2] * 5)
    training_cells, validation = split_validation(np.arange(145), truth, 0.1, seed=3)
    assert (training_cells ^ validation).all()
    assert np.bincount(truth[validation], minlength=3).tolist() == [10, 4, 0]
    assert not np.array_equal(validation, split_validation(np.arange(145), truth, 0.1, 4)[1])


LENGTHS = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(LENGTHS, st.integers(1, 100))
def test_batches_hold_every_cell_once_within_the_tokens(lengths: list[int], tokens: int) -> None:
    batches = list(split_by_length(np.array(lengths), tokens, 2))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * (max(lengths[index] for index in batch) + 2)
        assert padded <= tokens or len(batch) == 1


@given(LENGTHS, st.integers(1, 3), st.integers(60, 500), st.integers(53, 500))
def test_cells_are_computed_once_however_little_memory_there_is(
    lengths: list[int], count: int, planned: int, memory: int
) -> None:
    """Shared among processes, each of which runs out of memory at times."""
    computed = []
    for index in range(count):
        reporter, failures = RecordingReporter(), []

        def compute(indices: np.ndarray, failures: list = failures) -> int:
            if len(indices) * (max(lengths[index] for index in indices) + 3) > memory:
                failures.append(indices)
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return int(indices.sum())

        runner = BatchRunner(planned, 3, Processes(index, count), reporter=reporter)
        results = list(runner.map(np.array(lengths), compute))
        assert all(result == indices.sum() for indices, result in results)
        assert len(reporter.warnings) == len(failures)
        assert runner.planned_tokens == planned >= runner.max_tokens
        computed += [int(each) for indices, _ in results for each in indices]
    assert sorted(computed) == list(range(len(lengths)))


def test_only_a_lack_of_memory_is_tried_again() -> None:
    def compute(indices: np.ndarray) -> list[int]:
        if len(indices) > 1:
            raise error
        return indices.tolist()

    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …")
    results = [result for _, result in BatchRunner(64).map(np.full(5, 10), compute)]
    assert results == [[0], [1], [2], [3], [4]]
    error = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes"):
        list(BatchRunner(64).map(np.full(5, 10), compute))

    def exhaust(indices: np.ndarray) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(ScReaderError, match="out of memory with a single cell"):
        list(BatchRunner(64).map(np.full(5, 10), exhaust))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 5, 6])
def test_sharing(count: int, items: int) -> None:
    """In step, all processes have as many, some of them for nothing."""
    names = list(range(items))
    shares = [list(Processes(index, count).share(names)) for index in range(count)]
    assert sorted(item for share in shares for item, counts in share if counts) == names
    in_step = [list(Processes(index, count).share(names, True)) for index in range(count)]
    assert len({len(share) for share in in_step}) == 1
    assert [[item for item, counts in share if counts] for share in in_step] == [
        [item for item, _ in share] for share in shares
    ]


def test_the_first_gene_is_never_dropped() -> None:
    genes, weights = np.array([[4, 5, 6], [7, 8, -1]]), np.ones((2, 3), np.float32)
    is_read = np.array([[False, False, True, True], [False, False, True, True]])
    left, _ = drop_genes(genes, weights, is_read)
    assert left.tolist() == [[4, 6, -1], [7, -1, -1]]


@pytest.mark.parametrize("genes", [3000, 400, 384, 300, 50])
def test_partial_whitening_keeps_what_texts_say(genes: int) -> None:
    """Cosines before and after correlate, whatever the number of genes; whitened ones do not.

    They are compared on a sample of genes.
    """
    random = np.random.default_rng(0)
    spectrum = np.arange(1, 385) ** -0.5  # like that of sentence embeddings
    rotation = np.linalg.qr(random.standard_normal((384, 384)))[0]
    vectors = (random.standard_normal((genes, 384)) * spectrum) @ rotation + 3

    def cosines(values: np.ndarray) -> np.ndarray:
        units = values / np.linalg.norm(values, axis=1, keepdims=True)
        return (units @ units.T)[np.triu_indices(genes, 1)]

    before = cosines(vectors - vectors.mean(0))
    kept = {
        kind: np.corrcoef(before, cosines(scaled(vectors, fit_scaling(vectors, kind))))[0, 1]
        for kind in ("partial-whiten", "whiten")
    }
    assert kept["partial-whiten"] > 0.88 and kept["whiten"] < kept["partial-whiten"]
    assert genes > 384 or abs(kept["whiten"]) < 0.1
    features = scaled(vectors, fit_scaling(vectors, "partial-whiten"))
    assert features.var(0).mean() == pytest.approx(1, rel=0.01)


def test_whitening_gives_unit_covariance_and_drops_dead_directions() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((500, 6)) @ random.standard_normal((6, 6)) + 30
    vectors = np.hstack([vectors, np.full((500, 2), 7.0)]).astype(np.float32)
    features = scaled(vectors, fit_scaling(vectors, "whiten"))
    assert features.shape == (500, 6)
    assert np.allclose(np.cov(features.T, bias=True), np.eye(6), atol=1e-2)
    assert np.allclose(features.mean(0), 0, atol=1e-3)


def test_standardising_keeps_dead_dimensions_at_zero() -> None:
    vectors = np.random.default_rng(0).normal(5, 3, (100, 3)).astype(np.float32)
    vectors[:, 1] = 4
    features = scaled(vectors, fit_scaling(vectors, "standardise"))
    assert features.std(0) == pytest.approx([1, 0, 1], abs=1e-4)
    assert np.array_equal(scaled(vectors, fit_scaling(vectors, "none")), vectors)


def fingerprint(tensors: dict[str, np.ndarray]) -> str:
    parts = [hashlib.sha256(tensors[name].tobytes()).hexdigest() for name in sorted(tensors)]
    return " ".join(parts)


def llm_state(llm: FrozenLLM) -> str:
    return fingerprint({name: value.numpy() for name, value in llm.model.state_dict().items()})


def test_only_projector_cls_head_and_offsets_change(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    before = llm_state(llm)
    reader = training.train_neural(task_of(sequences, gene_offsets=1.0, validation=0.0), llm)
    assert llm_state(llm) == before
    torch.manual_seed(0)
    fresh = ReaderModel(reader.model.settings, len(reader.genes.ids), 24, 3, llm)
    names = {name for name, _ in reader.model.named_parameters()}
    assert names == {
        "cls", "head.bias", "head.weight", "offsets",
        "projector.layers.0.bias", "projector.layers.0.weight",
    }  # fmt: skip
    for name, value in reader.model.named_parameters():
        assert not torch.equal(value, dict(fresh.named_parameters())[name]), name
    assert sum(value.size for value in reader.tensors.values()) < 15_000
    assert fresh.weighted(ALL) == ()  # the head begins with nothing
    fresh.head.weight.data[:, 32:64] = 1.0
    assert fresh.weighted(ALL) == ("mean",) and fresh.weighted(POOL) == ()


def test_same_seed_same_reader(sequences: CellSequences, llm: FrozenLLM) -> None:
    one, same, other = (
        fingerprint(training.train_neural(task_of(sequences, seed=seed), llm).tensors)
        for seed in (0, 0, 1)
    )
    assert one == same != other


def test_a_loss_that_is_not_finite_ends_the_training(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    task = task_of(sequences, warm_start_learning_rate=1e38)
    with pytest.raises(ScReaderError, match="the training diverged"):
        training.train_neural(task, llm)


def untrained(sequences: CellSequences, task: Task, llm: FrozenLLM) -> NeuralReader:
    torch.manual_seed(0)
    vocabulary = GeneMatcher(sequences.genes.index, sequences.embedding)
    scaling = training.fit_scaling(sequences.embedding, "whiten")
    return NeuralReader(task.settings, scaling, vocabulary, 3, llm, "cpu")


def gradients(sequences: CellSequences, llm: FrozenLLM, max_tokens: int) -> torch.Tensor:
    task = task_of(sequences, gene_dropout=0.3, dropout=0.3, micro_batch_tokens=max_tokens)
    reader = untrained(sequences, task, llm)
    model = reader.model
    torch.nn.init.normal_(model.head.weight)
    trainer = training.Trainer(reader, task)
    trainer.compute_gradients(task.rows[:16], task.settings.pooling, np.random.default_rng(0))
    assert model.cls.grad is not None and model.cls.grad.norm() > 0
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_batches_give_the_gradient_of_all_cells(sequences: CellSequences, llm: FrozenLLM) -> None:
    whole, parts = gradients(sequences, llm, 100_000), gradients(sequences, llm, 40)
    assert torch.allclose(whole, parts, atol=1e-5, rtol=1e-3)


def test_genes_have_the_length_of_the_llms_own_tokens(
    sequences: CellSequences, llm: FrozenLLM
) -> None:
    task = task_of(sequences, micro_batch_tokens=60)
    reader = untrained(sequences, task, llm)
    trainer = training.Trainer(reader, task)
    trainer.sample = task.rows
    trainer.scale_tokens()
    genes, weights = sequences.rows(task.rows)
    batch = reader.to_device(genes[:, :12], weights[:, :12])
    with torch.inference_mode():
        lengths = reader.model.gene_tokens(reader.table, batch).norm(dim=2)[batch.genes >= 0]
    assert float(lengths.mean()) == pytest.approx(llm.token_norm, rel=1e-4)


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("after", "most"), [(1, 0), (5, 0), (10, 0), (13, 0), (5, 6), (6, 6), (7, 6)]
)
def test_a_killed_training_goes_on_as_if_it_had_not_been(
    sequences: CellSequences,
    llm: FrozenLLM,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    most: int,
) -> None:
    """Also where the warm start ends within its second epoch."""
    task = task_of(sequences, warm_start_steps=most)
    expected = training.train_neural(task, llm)
    checkpoint = TrainingCheckpoint(tmp_path / "state", "same", minutes=0)
    steps = iter(range(after))
    original = training.Trainer.compute_gradients

    def limited(self: training.Trainer, *arguments: object) -> float:
        if next(steps, None) is None:
            raise Killed
        return original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Trainer, "compute_gradients", limited)
        training.train_neural(task, llm, checkpoint)
    resumed = training.train_neural(task, llm, checkpoint)
    assert fingerprint(resumed.tensors) == fingerprint(expected.tensors)
    assert str(resumed.history) == str(expected.history)
    reporter = RecordingReporter()
    other = TrainingCheckpoint(tmp_path / "state", "other", reporter=reporter)
    assert other.load() is None and "belongs to another training" in reporter.warnings[0]


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        pytest.param([3.0, 1.0, 2.0], 1, id="in the middle"),
        pytest.param([1.0, 2.0, 3.0], 0, id="before training"),
        pytest.param([2.0, 1.0, 1.0], 1, id="the first of equals"),
        pytest.param([None, 2.0, None, None], 1, id="not all validated"),
        pytest.param([NAN, 2.0, NAN], 1, id="no number"),
        pytest.param([None, NAN], None, id="nothing but no number"),
    ],
)
def test_the_best_weights_are_restored(losses: list[float | None], epoch: int | None) -> None:
    """Validation losses after epochs 0, 1, …; the model's parameter and buffer are the epoch."""
    best, model = BestState(), torch.nn.BatchNorm1d(1, affine=False)
    model.weight = torch.nn.Parameter(torch.zeros(1))

    def set_to(number: int) -> None:
        model.weight.data.fill_(number)
        model.running_mean.fill_(number)  # type: ignore[union-attr, operator]

    for number, loss in enumerate(losses):
        set_to(number)
        best.update(None if loss is None else ValidationScores(loss, 0, 0), model, number)
    assert not best.is_out_of_patience(0)  # never
    if None in losses:
        assert not best.is_out_of_patience(2)  # epochs without validation do not count
    set_to(9)
    assert best.restore(model) == epoch
    wanted = 9 if epoch is None else epoch
    assert model.weight.item() == model.running_mean.item() == wanted  # type: ignore[union-attr, operator]


def validations(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float]) -> list[np.ndarray]:
    """Let a training's validations give these losses; fills in the head at each of them."""
    heads: list[np.ndarray] = []

    def validate(trainer: training.Trainer) -> ValidationScores:
        heads.append(trainer.model.head.weight.detach().numpy().copy())
        return ValidationScores(losses[len(heads) - 1], 0.5, 0.5)

    monkeypatch.setattr(training.Trainer, "validate", validate)
    return heads


@pytest.mark.parametrize(
    ("losses", "patience", "count", "best"),
    [
        pytest.param([5, 4, 3], 0, 3, 2, id="getting better"),
        pytest.param([5, 1, 3, 4], 0, 4, 1, id="to the end"),
        pytest.param([5, 1, 3, 4, 0], 2, 4, 1, id="given up before a better one"),
        pytest.param([5, 1, 3, 0, 4], 2, 5, 3, id="just in time"),
    ],
)
def test_training_ends_with_the_best_head(
    sequences: CellSequences,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
    patience: int,
    count: int,
    best: int,
) -> None:
    """The warm start is validated every fifth epoch."""
    heads, reporter = validations(monkeypatch, losses), RecordingReporter()
    given = {"warm_start_epochs": 5 * len(losses), "patience": patience, "gene_scores": False}
    task = make_task(sequences, settings_for("pooled", "default", given), reporter=reporter)
    reader = training.train_neural(task, None)
    assert len(heads) == count and len(reader.history) == 5 * count
    head = reader.model.head.weight.detach().numpy()
    assert [np.array_equal(head, other) for other in heads] == [n == best for n in range(count)]
    message = f"the weights from epoch {5 * (best + 1)} scored best"
    assert any(message in line for line in reporter.messages) == (best + 1 < len(losses))


def test_a_warm_start_of_many_cells_ends_early(
    sequences: CellSequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many steps, within an epoch or not; the learning rate falls to 0 until then."""
    rates: list[float] = []
    losses: list[tuple[float, int]] = []  # of each step, and how many cells it has
    original = training.learning_rate_factor

    def factor(step: int, steps: int, settings: TrainingSettings) -> float:
        rates.append(original(step, steps, settings))
        return rates[-1]

    settings = TrainingSettings(warm_up_steps=0)

    def trained(most: int) -> tuple[NeuralReader, list[str]]:
        reporter = RecordingReporter()
        given = {"warm_start_epochs": 3, "warm_start_steps": most, "batch_size": 16}
        asked = settings_for("pooled", "default", {**given, "warm_up_steps": 0})
        rates.clear()
        task = make_task(sequences, asked, reporter=reporter)
        return training.train_neural(task, None), reporter.messages

    def gradients(trainer: training.Trainer, rows: np.ndarray, *others: object) -> float:
        losses.append((of_step(trainer, rows, *others), len(rows)))  # type: ignore[arg-type]
        return losses[-1][0]

    of_step = training.Trainer.compute_gradients
    monkeypatch.setattr(training.Trainer, "compute_gradients", gradients)
    monkeypatch.setattr(training, "learning_rate_factor", factor)
    whole, _ = trained(0)
    count = len(rates)
    epoch = count // 3
    assert epoch > 2 and len(whole.history) == 3
    for most in (count, count + 5):
        same, messages = trained(most)
        assert fingerprint(same.tensors) == fingerprint(whole.tensors)
        assert str(same.history) == str(whole.history)
        assert not any("--warm-start-steps" in line for line in messages)
    for most, epochs in ((1, 1), (epoch, 1), (epoch + 2, 2)):
        reader, messages = trained(most)
        assert len(rates) == most and len(reader.history) == epochs
        assert rates == [original(step, most, settings) for step in range(most)]
        ended = losses[-1 - (most - 1) % epoch :]
        values, cells = zip(*ended, strict=True)
        assert reader.history[-1].loss == pytest.approx(np.average(values, weights=cells))
        said = f"takes {most:,} steps, {most / epoch:.1f} of 3 epochs (--warm-start-steps)"
        assert any(said in line for line in messages)


@pytest.mark.parametrize("losses", [[1, 2], [2, 1]], ids=["the LLM is worse", "better"])
def test_an_llm_without_weight_is_reported(
    sequences: CellSequences,
    llm: FrozenLLM,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
) -> None:
    given = {"warm_start_epochs": 1, "epochs": 1, "gene_scores": False, "genes_per_cell": 8}
    reporter = RecordingReporter()
    task = make_task(sequences, settings_for("screader", "default", given), reporter=reporter)
    validations(monkeypatch, [0.0, *losses])
    is_better = losses[1] < losses[0]
    assert training.train_neural(task, llm).uses_llm == is_better
    for message in ("the weights from before this stage scored best", "have no weight"):
        assert any(message in line for line in reporter.messages) != is_better


@pytest.mark.parametrize("poolings", [ALL, ("cls", "mean")], ids=["with pool", "without pool"])
def test_a_reader_without_the_llm_gives_the_same_logits(
    sequences: CellSequences,
    llm: FrozenLLM,
    monkeypatch: pytest.MonkeyPatch,
    poolings: tuple[str, ...],
) -> None:
    """Where the head has no weight beside the gene scores."""
    monkeypatch.setattr(training, "MIXES", (0.0,))
    task, rows = task_of(sequences, pooling=poolings), np.arange(30)
    with monkeypatch.context() as patch:
        patch.setattr(NeuralReader, "keep_pool_alone", lambda reader: None)
        reader = training.train_neural(task, llm)
    logits, latents = reader.outputs(sequences, rows)
    assert latents.shape == (30, 32 * len(poolings)) and not reader.llm["needed"]
    monkeypatch.setattr(decoder, "read", None)
    reader.keep_pool_alone()
    same, pool = reader.outputs(sequences, rows)
    assert np.array_equal(same, logits) and reader.latent_parts == POOL
    assert pool.shape == (30, 32) and pool.std() > 0
    if "pool" in poolings:
        assert np.array_equal(pool, latents[:, 64:])


@pytest.mark.parametrize("losses", [[1, 2], [2, 1]], ids=["the LLM is worse", "better"])
def test_the_llm_is_not_run_for_nothing(
    sequences: CellSequences,
    llm: FrozenLLM,
    monkeypatch: pytest.MonkeyPatch,
    losses: list[float],
) -> None:
    """Neither before its stage has given it weight, nor after its weights were put back."""
    read, calls, stage_ended = decoder.read, [], []
    monkeypatch.setattr(
        decoder, "read", lambda *given: calls.append(torch.is_grad_enabled()) or read(*given)
    )
    original = training.Trainer.validate

    def validate(trainer: training.Trainer) -> ValidationScores:
        before = len(calls)
        original(trainer)
        stage_ended.append(len(calls) - before)
        return ValidationScores([0.0, *losses][len(stage_ended) - 1], 0.5, 0.5)

    monkeypatch.setattr(training.Trainer, "validate", validate)
    reader = training.train_neural(task_of(sequences), llm)
    warm_start, before, after = stage_ended
    assert warm_start == before == 0 < after
    steps = sum(calls)
    assert (len(calls) == steps + 1 + after) == (losses[0] < losses[1])  # 1: the poolings' scale
    assert reader.llm["needed"] == (losses[0] > losses[1] and bool(reader.model.mix))
