"""Batches of cells: every cell once, within the tokens, in parts when the memory runs out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.machine import Processes
from screader_lib.reader.model.batches import BatchRunner, drop_genes, split_by_length
from screader_lib.reader.model.scaling import fit_scaling, scaled

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
