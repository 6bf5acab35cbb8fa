"""Which stages a training has, and which read-outs a reader uses after them."""

from __future__ import annotations

import pytest

from screader_lib.errors import ScReaderError
from screader_lib.reader.settings import settings_for, stages_of

ALL, POOL = ("cls", "mean", "pool"), ("pool",)


@pytest.mark.parametrize(
    ("method", "given", "wanted"),
    [
        pytest.param("screader", {}, [POOL, ALL], id="default"),
        pytest.param("screader", {"epochs": 0}, [POOL], id="warm start alone"),
        pytest.param("screader", {"warm_start_epochs": 0}, [ALL], id="no warm start"),
        pytest.param("screader", {"pooling": ("cls",)}, [("cls",)], id="cls alone"),
        pytest.param("screader", {"pooling": POOL}, [POOL], id="pool alone"),
        pytest.param("pooled", {}, [POOL], id="no LLM"),
        pytest.param(
            "pooled", {"pooling": ("mean",), "epochs": 1}, [("mean",)], id="mean without LLM"
        ),
        pytest.param("genept", {}, [POOL], id="GenePT"),
    ],
)
def test_stages(method: str, given: dict, wanted: list[tuple[str, ...]]) -> None:
    stages = stages_of(settings_for(method, "default", given))
    assert [stage.poolings for stage in stages] == wanted


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        pytest.param("pooled", {"pooling": ALL}, "has no LLM", id="cls without LLM"),
        pytest.param("pooled", {"pooling": ("mean",)}, "nothing to train", id="mean, no epochs"),
        pytest.param(
            "screader",
            {"epochs": 0, "warm_start_epochs": 0},
            "nothing to train",
            id="no epochs at all",
        ),
        pytest.param(
            "screader", {"epochs": 0, "pooling": ("cls",)}, "nothing to train", id="cls, no epochs"
        ),
    ],
)
def test_refused(method: str, given: dict, told: str) -> None:
    with pytest.raises(ScReaderError, match=told):
        stages_of(settings_for(method, "default", given))
