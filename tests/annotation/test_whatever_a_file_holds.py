"""Whatever groups, arrays, filters and attributes a file holds, they are in the annotated one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as arrays
from kinds_of_h5ad import CELLS, KINDS, stored
from test_annotated_file import annotate, calls, order

from screader_lib.exchange.safety import open_checked

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = TEXT.filter(lambda name: name.strip("./ ") != "" and "/" not in name)
NUMBERS = st.sampled_from(["<i1", ">i2", "<u4", "<i8", "<f2", ">f4", "<f8", "?", "<c8"])
ARRAYS = NUMBERS.flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, max_side=7))
)
TEXTS = st.lists(TEXT, min_size=1, max_size=5).map(lambda texts: np.array(texts, object))
RECORDS = st.just(np.array([(1, 2.5, b"a")], [("a", "i4"), ("b", "f8"), ("c", "S3")]))
FILTERS = st.sampled_from([
    {}, {"chunks": True}, {"compression": "gzip", "compression_opts": 9}, {"compression": "lzf"},
    {"shuffle": True, "fletcher32": True}, {"compression": "gzip", "shuffle": True},
    {"maxshape": "any"},
])  # fmt: skip
ATTRIBUTES = st.dictionaries(
    NAMES, st.one_of(TEXT, st.integers(-9, 9), st.floats(), TEXTS), max_size=3
)
PLACES = st.sampled_from(["uns", "layers", "obsm", "varm", "obsp", "raw/varm", "", "unknown"])
ELEMENTS = st.lists(
    st.tuples(PLACES, st.lists(NAMES, min_size=1, max_size=3), st.one_of(ARRAYS, TEXTS, RECORDS),
              FILTERS, ATTRIBUTES), max_size=6,
)  # fmt: skip


def add(file: h5py.File, element: tuple[Any, ...]) -> None:
    """Put an element into the file, unless something is in its place."""
    place, names, values, filters, attributes = element
    path = "/".join([*filter(None, [place]), *names])
    if filters.get("maxshape"):
        filters = {"maxshape": (None, *values.shape[1:])}
    kind = h5py.string_dtype() if values.dtype.kind == "O" else values.dtype
    if path in file:
        return
    try:
        dataset = file.create_dataset(path, data=values, dtype=kind, **filters)
    except ValueError:  # a dataset lies where a group would have to be
        return
    for owner in (dataset, dataset.parent):
        if owner.name not in ("/", "/obs"):
            for name, value in attributes.items():
                text = isinstance(value, np.ndarray)
                owner.attrs.create(name, value, dtype=h5py.string_dtype() if text else None)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files to start from."""
    path, content = tmp_path_factory.mktemp("bases") / "base.h5ad", {}
    for kind in ("only_obs_and_var", "of_version_0_7", "newest_format"):
        KINDS[kind](path)
        content[kind] = path.read_bytes()
    return content


@given(
    kind=st.sampled_from(["only_obs_and_var", "of_version_0_7", "newest_format"]),
    elements=ELEMENTS,
    rows=st.sets(st.integers(0, CELLS - 1), min_size=2).filter(lambda rows: len(rows) % 2 == 0),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_all_is_found_again(
    bases: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory,
    kind: str, elements: list[Any], rows: set[int],
) -> None:  # fmt: skip
    source = tmp_path_factory.mktemp("any") / "in.h5ad"
    source.write_bytes(bases[kind])
    with h5py.File(source, "r+") as file:
        for element in elements:
            add(file, element)
    before = stored(source)
    output = annotate(source, source.with_name("out.h5ad"), calls(np.array(sorted(rows))))
    after = stored(output)
    assert order(after) == [*order(before), *calls().obs]
    for path, content in before.items():
        assert after[path] == content, path
    with open_checked(Path(output), strict=False) as file:
        assert len(file["obsm/X_screader"]) == CELLS
