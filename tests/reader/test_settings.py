"""The settings of a training: recipes, stages, and a warm-up that is too long."""

from __future__ import annotations

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.reader.settings import TrainingSettings, settings_for, stages_of, warm_up_problem

ALL, POOL = ("cls", "mean", "pool"), ("pool",)


def test_recipe_given_options_and_the_file() -> None:
    paper = settings_for("screader", "paper", {"epochs": 3, "learning_rate": None})
    assert (paper.learning_rate, paper.warm_up_steps, paper.batch_size) == (5e-5, 1000, 64)
    assert (paper.epochs, paper.projector_layers, paper.pooling) == (3, 5, ("cls",))
    assert settings_for("pooled", "default", {}).pooling == POOL
    assert TrainingSettings.from_json(paper.to_json()) == paper


def test_genept_by_each_recipe() -> None:
    """The paper standardises nothing and warms up; the default recipe does neither."""
    own, paper = (settings_for("genept", recipe, {}) for recipe in ("default", "paper"))
    reader = settings_for("screader", "paper", {})
    assert (own.scaling, own.warm_up_steps) == ("standardise", 0)
    assert (paper.scaling, paper.warm_up_steps) == ("none", 1000)
    [stage] = stages_of(paper)
    assert (stage.poolings, stage.epochs, stage.learning_rate) == (POOL, 10, 5e-5)
    different = {"method", "pooling", "epochs", "warm_start_epochs", "warm_start_learning_rate"}
    for key, value in reader.to_json().items():
        assert key in different or paper.to_json()[key] == value, key
    with pytest.raises(ValueError, match="no settings for method pooled"):
        settings_for("pooled", "paper", {})


def test_a_warm_up_longer_than_the_stage() -> None:
    """1,928 of Baron's 2,142 cells, a tenth being for validation, are 31 steps an epoch."""
    for method, option in (("screader", "--epochs"), ("genept", "--warm-start-epochs")):
        problem = warm_up_problem(settings_for(method, "paper", {}), 1928)
        assert problem is not None
        for text in ("310 steps", "1,000 warm-up steps", "31% of 5e-05", "--warm-up-steps"):
            assert text in problem
        assert f"{option} above 33" in problem
    assert warm_up_problem(settings_for("screader", "paper", {"warm_up_steps": 100}), 1928) is None
    assert warm_up_problem(settings_for("screader", "paper", {"epochs": 34}), 1928) is None
    assert warm_up_problem(settings_for("screader", "default", {}), 1928) is None
    short = settings_for("pooled", "default", {"warm_start_steps": 50, "warm_up_steps": 80})
    problem = warm_up_problem(short, 1928)
    assert problem is not None and "--warm-start-steps above 80" in problem


@pytest.mark.parametrize(
    ("method", "given", "poolings"),
    [
        pytest.param("screader", {}, [POOL, ALL], id="default"),
        pytest.param("screader", {"epochs": 0}, [POOL], id="warm start alone"),
        pytest.param("screader", {"warm_start_epochs": 0}, [ALL], id="no warm start"),
        pytest.param("screader", {"pooling": ("cls",)}, [("cls",)], id="cls alone"),
        pytest.param("screader", {"pooling": POOL}, [POOL], id="pool alone"),
        pytest.param("pooled", {"pooling": ("mean",), "epochs": 1}, [("mean",)], id="no LLM"),
        pytest.param("genept", {}, [POOL], id="GenePT"),
        pytest.param("pooled", {"pooling": ALL}, "has no LLM", id="cls without LLM"),
        pytest.param("pooled", {"pooling": ("mean",)}, "nothing to train", id="mean, no epochs"),
    ],
)
def test_stages(method: str, given: dict, poolings: list[tuple[str, ...]] | str) -> None:
    """Or the message about settings that leave nothing to train."""
    settings = settings_for(method, "default", given)
    if isinstance(poolings, str):
        with pytest.raises(ScReaderError, match=poolings):
            stages_of(settings)
    else:
        assert [stage.poolings for stage in stages_of(settings)] == poolings
