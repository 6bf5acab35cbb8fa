"""The script that makes readers: it stores what was trained, and its recipes are complete."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from small_files import succeed

from screader_lib.errors import ScReaderError
from screader_lib.exchange import validation
from screader_lib.exchange.opening import open_exchange
from screader_lib.readers.card import card_of, checked, read_mapping

FOLDER = Path(__file__).parents[2] / "readers"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reader", FOLDER / "make_reader.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return read_mapping(FOLDER / "human-pancreas.yaml")["card"]


def test_only_the_embedding_is_rounded(
    script: ModuleType, card: dict[str, Any], cells: Path, tmp_path: Path
) -> None:
    trained, target = tmp_path / "trained.h5", tmp_path / "reader.h5"
    succeed("train-reader", cells, "--method", "majority", "-o", trained)
    script.compact(trained, target, card)
    with h5py.File(trained) as old, open_exchange(target, "reader") as opened:
        assert not validation.problems(opened.file, opened.schema, values_up_to=None)
        assert card_of(opened) == card
        names: list[str] = []
        old.visit(names.append)
        for name in names:
            before, after = old[name], opened.file[name]
            assert dict(before.attrs) == dict(after.attrs)
            if isinstance(before, h5py.Dataset) and name != script.EMBEDDING:
                np.testing.assert_array_equal(before[()], after[()])
        vectors = old[script.EMBEDDING][()]
        rounded = opened.file[script.EMBEDDING][()]
        assert (np.abs(rounded - vectors) <= np.abs(vectors) * 2.0**-script.BITS).all()
        assert (rounded != vectors).any()
    first = target.read_bytes()
    script.compact(trained, target, card)
    assert target.read_bytes() == first


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_have_a_valid_card(recipe: Path) -> None:
    content = read_mapping(recipe)
    assert checked(content["card"], recipe.name)["name"] == recipe.stem
    assert {"cells", "label"} <= set(content)


def test_an_id_that_the_ontology_lacks_is_refused(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ScReaderError, match=r"T: CL:9999999 is not a term"):
        script.with_terms(tmp_path, tmp_path, "label", {"T": "CL:9999999"})


def test_a_reader_that_is_too_large_is_not_packaged(
    script: ModuleType, card: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "large.h5").write_bytes(b"\0" * (script.MAX_BYTES + 1))
    with pytest.raises(ScReaderError, match=r"has 5,000,001 bytes; .* at most 5,000,000"):
        script.package(tmp_path / "large.h5", card)
