"""Temperature, familiarity with the training cells, and thresholds that assure a precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_reporter import RecordingReporter

from screader_lib.errors import ScReaderError
from screader_lib.reader.confidence.calibration import (
    MIN_CALIBRATION_CELLS,
    CalibrationSet,
    fit_temperature,
    log_sum_exp,
)
from screader_lib.reader.prediction.write_predictions import warn_of_unfamiliar


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


def test_evidence_known_answers() -> None:
    logits = np.array([[0, 0], [3, -np.inf], [np.log(2), np.log(6)], [1000, 1000]], np.float32)
    wanted = [np.log(2), 3, np.log(8), 1000 + np.log(2)]
    assert log_sum_exp(logits) == pytest.approx(wanted, rel=1e-6)
    assert log_sum_exp(logits).dtype == np.float32


def calibration_set(
    confidence: object, evidence: object = None, correct: object = None
) -> CalibrationSet:
    values = np.asarray(confidence, np.float32)
    right = np.ones(len(values), bool) if correct is None else np.asarray(correct, bool)
    return CalibrationSet(
        values, right, values if evidence is None else np.asarray(evidence, np.float32)
    )


def familiarity(known: CalibrationSet, confidence: object, evidence: object) -> np.ndarray:
    return known.familiarity(np.asarray(confidence, np.float32), np.asarray(evidence, np.float32))


def test_known_answer_of_calibration_cells_in_a_row() -> None:
    """Of 20 cells, as sure as high in evidence, n are not above a cell like the n-th."""
    known = calibration_set(np.arange(1, 21) / 20)
    values = np.array([0.05, 0.5, 1.0])
    found = familiarity(known, values, values)
    assert found == pytest.approx([1 / 21, 10 / 21, 20 / 21])
    assert familiarity(known, [0.525], [0.525]) == pytest.approx([10.5 / 21], abs=1e-3)
    [beyond, further] = familiarity(known, [0.04, 0.01], [0.04, 0.01])
    assert 0 < further < beyond < 1 / 21
    assert found.dtype == np.float32


def test_both_signs_join_and_evidence_counts_more() -> None:
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
    confidence, evidence = map(np.array, zip(*cells, strict=True))
    found = familiarity(some, confidence, evidence)
    assert ((found > 0) & (found <= 1)).all()
    assert (familiarity(some, np.minimum(confidence + 0.1, 1), evidence + 1) >= found).all()
    alone = [familiarity(some, [one], [other])[0] for one, other in cells]
    assert found.tolist() == alone  # not of the cells beside
    turned = calibration_set(*zip(*known[::-1], strict=True))
    assert (familiarity(turned, confidence, evidence) == found).all()


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_about_that_share_of_cells_like_the_calibration_cells_falls_below(share: float) -> None:
    random, below = np.random.default_rng(0), []
    for _ in range(40):
        confidence = random.beta(5, 1, 700)
        evidence = 4 * confidence + random.normal(0, 1, 700)  # they go together, as in life
        known = calibration_set(confidence[:200], evidence[:200])
        below.append((familiarity(known, confidence[200:], evidence[200:]) < share).mean())
    assert np.mean(below) == pytest.approx(share, rel=0.15, abs=0.005)


@pytest.mark.parametrize("count", [0, 1, MIN_CALIBRATION_CELLS - 1])
def test_too_few_calibration_cells_tell_nothing(count: int) -> None:
    assert familiarity(calibration_set(np.ones(count)), [0.1, 0.9], [-99, 0]).tolist() == [1, 1]
    assert familiarity(calibration_set(np.ones(MIN_CALIBRATION_CELLS)), [0.1], [-99])[0] < 1


@pytest.mark.parametrize(
    ("unlike", "named"),
    [
        ((2, 2, 30), ["30 of the 100 cells called c"]),  # a type that the reader does not know
        ((0, 0, 24), []),  # less than a quarter of the label
        ((30, 2, 30), []),  # 16 % of all others too: it is the sample that differs
        ((12, 12, 30), ["30 of the 100 cells called c"]),
    ],
)
def test_a_label_whose_cells_are_unlike_the_training_is_named(
    unlike: tuple[int, ...], named: list[str]
) -> None:
    best = np.repeat([0, 1, 2], 100)
    familiarity = np.full(300, 0.5)
    for label, count in enumerate(unlike):
        familiarity[100 * label : 100 * label + count] = 0.01
    reporter = RecordingReporter()
    warn_of_unfamiliar(familiarity, best, ("a", "b", "c"), reporter)
    assert [told.partition(" are ")[0] for told in reporter.warnings] == named
    not_judged = np.where(familiarity < 0.05, -1, best)  # as --min-familiarity leaves them out
    warn_of_unfamiliar(familiarity, not_judged, ("a", "b", "c"), reporter)
    assert len(reporter.warnings) == len(named)


def test_distance_takes_the_place_of_confidence() -> None:
    values = (np.arange(100) + 0.5) / 100
    known = replace(calibration_set(values), distance=(10 * (1 - values)).astype(np.float32))
    sure, evidence = np.full(3, 0.99, np.float32), np.full(3, 0.5, np.float32)
    distance = np.array([0.1, 5, 9.9], np.float32)
    near, middle, far = known.familiarity(sure, evidence, distance)
    assert far < middle < near
    unsure = np.full(3, 0.01, np.float32)
    assert known.familiarity(unsure, evidence, distance).tolist() == [near, middle, far]
    missing = known.familiarity(sure, evidence, np.full(3, np.nan, np.float32))
    assert missing.tolist() == calibration_set(values).familiarity(sure, evidence).tolist()


RIGHT, WRONG = True, False


@pytest.mark.parametrize(
    ("cells", "precision", "threshold"),
    [
        # precision ** cells is at most 0.05
        pytest.param([(0.9, RIGHT)] * 29, 0.9, 0.9, id="just enough cells"),
        pytest.param([(0.9, RIGHT)] * 28, 0.9, None, id="one cell too few"),
        pytest.param([(0.7, RIGHT)] * 299, 0.99, 0.7, id="299 for 99 %"),
        pytest.param([(0.9, RIGHT)] * 14 + [(0.5, RIGHT)] * 2, 0.8, 0.5, id="as low as it goes"),
        pytest.param([(0.9, RIGHT)] * 14 + [(0.5, WRONG)], 0.8, 0.9, id="above the error"),
        pytest.param([(0.9, RIGHT)] * 14 + [(0.9, WRONG)], 0.8, None, id="error among ties"),
        pytest.param([(0.9, WRONG)] + [(0.8, RIGHT)] * 40, 0.8, 0.8, id="surest is wrong"),
        pytest.param(
            [(0.9, RIGHT)] * 14 + [(0.8, WRONG)] * 8 + [(0.7, RIGHT)] * 200,
            0.8,
            0.9,
            id="no further test after one that failed",
        ),
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


def of_donors(confidence: np.ndarray, correct: np.ndarray, donor: np.ndarray) -> CalibrationSet:
    return CalibrationSet(confidence, correct, confidence, donor.astype(str), "donor")


def test_every_donor_has_to_reach_the_precision() -> None:
    """A donor of a seventh of the cells, whose less confident labels are wrong, counts alone."""
    donor = np.repeat(np.arange(4), [150, 300, 300, 300])
    confidence = np.random.default_rng(0).permutation(np.linspace(0.5, 1, 1050, dtype=np.float32))
    correct = np.ones(1050, bool)
    assert of_donors(confidence, correct, donor).threshold(0.95) == 0.5
    correct[(donor == 0) & (confidence < 0.6)] = False
    assert calibration_set(confidence, correct=correct).threshold(0.95) == 0.5
    assert of_donors(confidence, correct, donor).threshold(0.95) == pytest.approx(0.6, abs=0.02)
    correct[donor == 0] = False
    with pytest.raises(ScReaderError, match="each of 4 groups of whole donors would be needed"):
        of_donors(confidence, correct, donor).threshold(0.95)


@pytest.mark.parametrize("sizes", [[500, 500], [500, 500, 60], [500]])
def test_few_donors_say_nothing_of_new_ones(sizes: list[int]) -> None:
    """59 cells are needed, and half as many again; what is too few joins another donor."""
    donor = np.repeat(np.arange(len(sizes)), sizes)
    ones = np.ones(len(donor), np.float32)
    known = of_donors(ones, ones > 0, donor)
    with pytest.raises(ScReaderError, match=f"from {len(sizes)} donors; for new ones, at least 3"):
        known.threshold(0.95)
    assert of_donors(ones, ones > 0, np.arange(len(ones)) // 30).threshold(0.95) == 1


SHAPES = {
    "calibrated": lambda confidence: confidence,
    "overconfident": lambda confidence: confidence**2,
    "surest are wrong": lambda confidence: np.where(confidence > 0.999, 0.5, 0.999),
}


def tried(
    shape: str, precision: float, cells: int, donors: int, spread: float
) -> tuple[int, int, int]:
    """Of 300 readers: thresholds given, and those with a lower precision than wanted.

    The latter of the same donors, all together, and of a new one. Donors' log-odds of being right
    have a standard deviation of ``spread``.
    """
    random, counts = np.random.default_rng(0), [0, 0, 0]

    def odds(confidence: np.ndarray) -> np.ndarray:
        chance = np.clip(SHAPES[shape](confidence.astype(np.float64)), 1e-9, 1 - 1e-9)
        return np.log(chance) - np.log1p(-chance)

    new = np.sort(random.beta(6, 0.4, 100_000))[25::50]  # quantiles: what new cells are on average
    new_odds = odds(new)
    for _ in range(300):
        confidence = random.beta(6, 0.4, cells).astype(np.float32)
        effects, donor = random.normal(0, spread, donors + 1), np.arange(cells) % donors
        correct = random.random(cells) < 1 / (1 + np.exp(-odds(confidence) - effects[donor]))
        known = of_donors(confidence, correct, donor)
        if donors == 1:
            known = calibration_set(confidence, correct=correct)
        try:
            least = known.threshold(precision)
        except ScReaderError:
            continue
        above = new_odds[new >= least]
        reached = (1 / (1 + np.exp(-above - effects[:, None]))).mean(1)
        counts[0] += 1
        counts[1] += not reached[:-1].mean() >= precision
        counts[2] += not reached[-1] >= precision
    return counts[0], counts[1], counts[2]


@pytest.mark.parametrize(
    ("shape", "precision", "cells"),
    [
        ("calibrated", 0.9, 200),
        ("calibrated", 0.95, 300),
        ("calibrated", 0.99, 1000),
        ("overconfident", 0.95, 300),
    ],
)
def test_thresholds_that_are_given_hold(shape: str, precision: float, cells: int) -> None:
    """None given counts neither way; at most 5 % of those given miss the precision.

    This is so where right thresholds are easily found. Where they are not, only the share of all
    readers is bounded: see the next test.
    """
    given, wrong, _ = tried(shape, precision, cells, 1, 0.0)
    assert given >= 100
    assert wrong <= 0.05 * given + 2 * np.sqrt(0.05 * given)


def test_where_hardly_any_threshold_is_right_hardly_any_is_given() -> None:
    assert tried("surest are wrong", 0.95, 300, 1, 0.0)[0] <= 0.05 * 300
    assert tried("calibrated", 0.99, 170, 1, 0.0)[0] == 0


@pytest.mark.parametrize(("donors", "cells"), [(4, 1200), (30, 3000)])
def test_thresholds_hold_for_new_donors(donors: int, cells: int) -> None:
    """A new donor misses the precision no more often than it is the worst of all."""
    given, wrong, new = tried("calibrated", 0.95, cells, donors, 0.6)
    assert given >= 100 and wrong <= 0.05 * given
    assert new <= given / (min(donors, 8) + 1)
