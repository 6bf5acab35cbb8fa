"""Pickles: what GenePT's layout needs, and nothing else."""

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
from screader_lib.genes.plain_pickle import _PlainUnpickler
from screader_lib.genes.precomputed import read_precomputed

TOUCHED = Path("/tmp/never-made-by-a-pickle")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (TOUCHED,))


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("value", [Evil(), np.zeros(4), 1 + 2j], ids=["reduce", "numpy", "builtin"])
def test_pickles_that_name_anything_are_refused(tmp_path: Path, value: Any, protocol: int) -> None:
    path = tmp_path / "p"
    path.write_bytes(pickle.dumps({"INS": value}, protocol=protocol))
    with pytest.raises(ScReaderError, match="might run code") as caught:
        read_precomputed(path)
    assert "\n" not in str(caught.value)
    with path.open("rb") as stream, pytest.raises(pickle.UnpicklingError, match="names "):
        _PlainUnpickler(stream).load()  # even without the check before
    assert not TOUCHED.exists()


def assembled(*parts: bytes) -> bytes:
    """A pickle by its opcodes."""
    return b"".join((b"\x80\x04", *parts, b"."))


NAME = b"\x8c\x03INS\x94"
LIST = b"]\x94(" + b"G" + b"\0" * 8 + b"e"
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
    ],
)
def test_hostile_pickles_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p").write_bytes(assembled(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ScReaderError, match="p: ") as caught:
        read_precomputed(tmp_path / "p")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 5), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
)
def test_damaged_pickles_are_one_line(protocol: int, changes: list[tuple[int, int]]) -> None:
    content = bytearray(pickle.dumps({"INS": [0.5, 1, 70_000], "GCG": [-1.0, 2, 3]}, protocol))
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
    with pytest.raises(ScReaderError, match="one list for many genes"):
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
