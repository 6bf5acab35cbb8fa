"""Pickles: plain values and arrays are read, and nothing is run."""

from __future__ import annotations

import pickle  # noqa: TID251 (to write what must and must not be read)
import resource
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screader_lib.errors import ScReaderError
from screader_lib.genes import plain_pickle
from screader_lib.genes.plain_pickle import read_plain, vector_of
from screader_lib.genes.precomputed import read_precomputed

TOUCHED = Path("/tmp/never-made-by-a-pickle")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (TOUCHED,))


REFUSED = {
    "call": Evil(),
    "array of objects": np.array([Evil(), Evil()], object),
    "array of dates": np.zeros(4, "M8[s]"),
    "array of records": np.zeros(4, [("a", "f4")]),
    "complex": 1 + 2j,
    "set": {1.0},
}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_anything_but_plain_values_is_refused(tmp_path: Path, value: Any, protocol: int) -> None:
    path = tmp_path / "p"
    path.write_bytes(pickle.dumps({"INS": value}, protocol=protocol))
    with pytest.raises(ScReaderError, match=r"might run code|holds arrays of") as caught:
        read_precomputed(path)
    assert "\n" not in str(caught.value)
    assert not TOUCHED.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "i2", "?"])
def test_arrays_of_every_protocol(tmp_path: Path, dtype: str, protocol: int) -> None:
    """Arrays, one for several genes, a row, one in Fortran's order, and numbers of numpy."""
    values = np.array([0, 1, 1, 0, 1]).astype(dtype)
    content = {
        "first": values, "again": values, "row": values[None], "column": values[:, None],
        "fortran": np.asfortranarray(np.stack([values, values[::-1]])),
        "list": list(values), "tuple": tuple(values.tolist()), "number": values[1],
    }  # fmt: skip
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_plain(tmp_path / "p", "p")
    for name in ("first", "again", "row", "list", "tuple"):
        assert vector_of(read[name]).tolist() == [0, 1, 1, 0, 1]
    assert read["fortran"].tolist() == content["fortran"].tolist() and read["number"] == 1
    with pytest.raises(TypeError):
        vector_of(read["column"])


def test_arrays_of_older_numpy(tmp_path: Path) -> None:
    """Its module was called numpy.core before numpy 2."""
    content = pickle.dumps({"INS": np.arange(3.0)}, protocol=2).replace(b"._core", b".core")
    assert b"numpy.core.multiarray" in content
    (tmp_path / "p").write_bytes(content)
    assert read_precomputed(tmp_path / "p").vectors.tolist() == [[0, 1, 2]]


def assembled(*parts: bytes) -> bytes:
    """A pickle by its opcodes."""
    return b"".join((b"\x80\x04", *parts, b"."))


NAME = b"\x8c\x03INS\x94"
LIST = b"]\x94(" + b"G" + b"\0" * 8 + b"e"
SCALAR = b"cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\0\0\0f4tRC\x01\0tR"
DOUBLED = b"\x8c\x0200]q\x00" + b"".join(  # each list holds the one before twice
    b"\x8c\x02%02d]q%c(h%ch%ce" % (number, number, number - 1, number - 1)
    for number in range(1, 41)
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"(" * 100_000, id="marks"),
        pytest.param(b"}" + b")" + b"\x85" * 500_000 + b"Ns", id="nested-tuples-as-name"),
        pytest.param(b"]\x94" + b"]\x94a" * 100_000, id="nested-lists"),
        pytest.param(b"}(" + DOUBLED + b"u", id="doubled-lists"),
        pytest.param(b"}\x94" + NAME + b"]\x94h\x02as", id="list-in-itself"),
        pytest.param(b"}\x94" + NAME + b"}\x94s", id="dict-in-dict"),
        pytest.param(b"}r\xff\xff\xff\x7f" + NAME + b"h\x05s", id="a-reference-too-far"),
        pytest.param(b"}" + b"\x94" * 100_000, id="references"),
        pytest.param(b"\x8d" + b"\xff" * 7 + b"\x7fINS", id="a-text-of-exabytes"),
        pytest.param(b"\x8a\xff" + b"\xff" * 300, id="a-long-number"),
        pytest.param(b"}" + NAME + b"]I" + b"9" * 400 + b"\nas", id="a-number-too-large"),
        pytest.param(b"\x96" + b"\xff" * 8, id="bytes"),
        pytest.param(b"}\x94" + NAME + LIST, id="nothing-set"),
        pytest.param(NAME + b"e", id="no-mark"),
        pytest.param(b"\xfe", id="no-opcode"),
        pytest.param(b"}\x94G\0", id="half-a-number"),
        pytest.param(b"}" + NAME + b"cos\nsystem\n(X\x04\0\0\0trueR", id="a-call"),
        pytest.param(b"}" + NAME + b"(X\x04\0\0\0trueios\nsystem\n", id="an-instance"),
        pytest.param(b"}" + NAME + b"N)R", id="a-call-of-nothing"),
        pytest.param(b"}" + NAME + SCALAR + b"s", id="a-number-of-other-size"),
    ],
)
def test_hostile_pickles_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p").write_bytes(assembled(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ScReaderError, match="p: ") as caught:
        read_precomputed(tmp_path / "p")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_pickle_of_too_many_objects_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes many times the byte of its opcode."""
    monkeypatch.setattr(plain_pickle, "MAX_OBJECTS", 1_000)
    (tmp_path / "p").write_bytes(assembled(b"}" + b"]" * 1_000))
    with pytest.raises(ScReaderError, match="more than 1,000 lists"):
        read_precomputed(tmp_path / "p")


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
)
def test_damaged_pickles_are_one_line(protocol: int, changes: list[tuple[int, int]]) -> None:
    content = bytearray(
        pickle.dumps({"INS": [0.5, 1, 70_000], "GCG": np.array([-1.0, 2, 3])}, protocol)
    )
    for position, value in changes:
        content[position % len(content)] = value
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        with suppress(ScReaderError):
            assert len(read_precomputed(Path(file.name)).names) in (1, 2)


def test_a_list_that_many_genes_share_does_not_grow(tmp_path: Path) -> None:
    numbers = b"]\x94(" + (b"G" + b"\0" * 8) * 1_000 + b"e"
    names = [f"{number:05}".encode() for number in range(9_000)]
    more = b"".join(b"\x8c\x05" + name + b"\x94h\x02s" for name in names)
    (tmp_path / "p").write_bytes(assembled(b"}\x94", NAME, numbers, b"s", more))
    with pytest.raises(ScReaderError, match="one list of numbers for many"):
        read_precomputed(tmp_path / "p")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(("genes", "dim"), [(9, 2_502), (1_100, 3)])
def test_large_pickles_of_every_protocol(
    tmp_path: Path, protocol: int, genes: int, dim: int
) -> None:
    """Several batches of entries and numbers, and frames that end anywhere."""
    values = np.random.default_rng(1).normal(size=(genes, dim)).tolist()
    content = {f"G{number}é": vector for number, vector in enumerate(values)}
    content["whole numbers"] = [0, -1, 70_000] * (dim // 3)
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_precomputed(tmp_path / "p")
    assert found.names == tuple(content)
    assert np.array_equal(found.vectors, np.array(list(content.values()), np.float32))
