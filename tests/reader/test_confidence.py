"""Temperature, familiarity with the cells learnt from, and thresholds that assure a precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import (
    MIN_CALIBRATION_CELLS,
    CalibrationSet,
    fit_temperature,
    log_sum_exp,
)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 4))
    truth = (logits + random.gumbel(size=logits.shape)).argmax(1)  # by their softmax
    found = fit_temperature(logits * temperature, truth)
    assert found["temperature"] == pytest.approx(temperature, rel=0.06)
    assert found["error_after"] < 0.02


def test_too_few_cells_or_errors_leave_the_temperature_alone() -> None:
    assert fit_temperature(np.zeros((3, 2)), np.zeros(3, int))["temperature"] == 1
    truth = np.arange(60) % 3
    assert fit_temperature(np.eye(3)[truth] * 2, truth)["temperature"] == 1


def test_energy_known_answers() -> None:
    logits = np.array([[0, 0], [3, -np.inf], [np.log(2), np.log(6)], [1000, 1000]], np.float32)
    wanted = [np.log(2), 3, np.log(8), 1000 + np.log(2)]
    assert log_sum_exp(logits) == pytest.approx(wanted, rel=1e-6)
    assert log_sum_exp(logits).dtype == np.float32


def calibration_set(
    confidence: object, energy: object = None, correct: object = None
) -> CalibrationSet:
    values = np.asarray(confidence, np.float32)
    right = np.ones(len(values), bool) if correct is None else np.asarray(correct, bool)
    return CalibrationSet(
        values, right, values if energy is None else np.asarray(energy, np.float32)
    )


def familiarity(known: CalibrationSet, confidence: object, energy: object) -> np.ndarray:
    return known.familiarity(np.asarray(confidence, np.float32), np.asarray(energy, np.float32))


def test_known_answer_of_calibration_cells_in_a_row() -> None:
    """Of 20 cells, as sure as high in energy, n are not above a cell like the n-th."""
    known = calibration_set(np.arange(1, 21) / 20)
    values = np.array([0.05, 0.5, 1.0])
    found = familiarity(known, values, values)
    assert found == pytest.approx([1 / 21, 10 / 21, 20 / 21])
    assert familiarity(known, [0.525], [0.525]) == pytest.approx([10.5 / 21], abs=1e-3)
    [beyond, further] = familiarity(known, [0.04, 0.01], [0.04, 0.01])
    assert 0 < further < beyond < 1 / 21
    assert found.dtype == np.float32


def test_both_signs_join_and_energy_counts_more() -> None:
    """A cell that is strange in both ways is stranger than in one."""
    values = (np.arange(100) + 0.5) / 100
    known = calibration_set(values, np.random.default_rng(0).permutation(values))
    usual, hesitant, lacking, both = familiarity(
        known, [0.6, 0.03, 0.6, 0.03], [0.6, 0.6, 0.03, 0.03]
    )
    assert both < lacking < hesitant < usual and both <= 2 / 101


SCORES = st.tuples(st.floats(0, 1, width=32), st.floats(-100, 100, width=32))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(SCORES, min_size=MIN_CALIBRATION_CELLS, max_size=40),
    st.lists(SCORES, min_size=1, max_size=20),
)
def test_familiarity_is_in_its_range_and_rises_with_both(
    known: list[tuple[float, float]], cells: list[tuple[float, float]]
) -> None:
    some = calibration_set(*zip(*known, strict=True))
    confidence, energy = map(np.array, zip(*cells, strict=True))
    found = familiarity(some, confidence, energy)
    assert ((found > 0) & (found <= 1)).all()
    assert (familiarity(some, np.minimum(confidence + 0.1, 1), energy + 1) >= found).all()
    alone = [familiarity(some, [one], [other])[0] for one, other in cells]
    assert found.tolist() == alone  # not of the cells beside
    turned = calibration_set(*zip(*known[::-1], strict=True))
    assert (familiarity(turned, confidence, energy) == found).all()


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_about_that_share_of_cells_like_the_calibration_cells_falls_below(share: float) -> None:
    random, below = np.random.default_rng(0), []
    for _ in range(40):
        confidence = random.beta(5, 1, 700)
        energy = 4 * confidence + random.normal(0, 1, 700)  # they go together, as in life
        known = calibration_set(confidence[:200], energy[:200])
        below.append((familiarity(known, confidence[200:], energy[200:]) < share).mean())
    assert np.mean(below) == pytest.approx(share, rel=0.15, abs=0.005)


@pytest.mark.parametrize("count", [0, 1, MIN_CALIBRATION_CELLS - 1])
def test_too_few_calibration_cells_tell_nothing(count: int) -> None:
    assert familiarity(calibration_set(np.ones(count)), [0.1, 0.9], [-99, 0]).tolist() == [1, 1]
    assert familiarity(calibration_set(np.ones(MIN_CALIBRATION_CELLS)), [0.1], [-99])[0] < 1


RIGHT, WRONG = True, False


@pytest.mark.parametrize(
    ("cells", "precision", "threshold"),
    [
        # (wrong + 1) / (cells + 1) is at most 1 − precision
        pytest.param([(0.9, RIGHT)] * 9, 0.9, 0.9, id="just enough cells"),
        pytest.param([(0.9, RIGHT)] * 8, 0.9, None, id="one cell too few"),
        pytest.param([(0.7, RIGHT)] * 99, 0.99, 0.7, id="99 for 99 %"),
        pytest.param([(0.9, RIGHT)] * 3 + [(0.5, RIGHT)] * 2, 0.8, 0.5, id="as low as it goes"),
        pytest.param([(0.9, RIGHT)] * 4 + [(0.5, WRONG)], 0.8, 0.9, id="above the error"),
        pytest.param([(0.9, RIGHT)] * 4 + [(0.9, WRONG)], 0.8, None, id="error among ties"),
        pytest.param([(0.9, WRONG)] + [(0.8, RIGHT)] * 9, 0.8, 0.8, id="surest is wrong"),
        pytest.param([(0.9, RIGHT)] * 4 + [(0.5, WRONG)] * 4, 0.5, 0.9, id="ties are not split"),
        pytest.param([], 0.5, None, id="no cells"),
    ],
)
def test_threshold(
    cells: list[tuple[float, bool]], precision: float, threshold: float | None
) -> None:
    values, correct = [one[0] for one in cells], [one[1] for one in cells]
    known = calibration_set(values, correct=correct)
    turned = calibration_set(values[::-1], correct=correct[::-1])
    if threshold is None:
        with pytest.raises(ScReaderError, match=f"{len(cells)} calibration cells cannot") as caught:
            known.threshold(precision)
        assert "\n" not in str(caught.value)
        return
    found = known.threshold(precision)
    assert found == turned.threshold(precision) == np.float32(threshold)
    assert (known.confidence >= found).sum() == sum(one[0] >= threshold for one in cells)


@pytest.mark.parametrize("kind", ["calibrated", "flat", "overconfident"])
@pytest.mark.parametrize(("precision", "count"), [(0.8, 30), (0.9, 200), (0.95, 200)])
def test_the_precision_holds_for_new_cells_on_average(
    kind: str, precision: float, count: int
) -> None:
    """Where no threshold is found nothing is called, so nothing is wrong."""
    random = np.random.default_rng(0)

    def right(confidence: np.ndarray) -> np.ndarray:
        flat = np.full_like(confidence, 0.85)
        return {"calibrated": confidence, "flat": flat, "overconfident": confidence**3}[kind]

    wrong = []
    for _ in range(600):
        confidence = random.uniform(0.3, 1, count)
        known = calibration_set(confidence, correct=random.random(count) < right(confidence))
        try:
            called = np.linspace(known.threshold(precision), 1, 500)
            wrong.append(1 - right(called).mean())
        except ScReaderError:
            wrong.append(0.0)
    assert np.mean(wrong) <= 1 - precision + 0.005
