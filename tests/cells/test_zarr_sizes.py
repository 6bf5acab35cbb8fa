"""What a chunk of zarr unpacks to is known before it is unpacked."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numcodecs
import numpy as np
import pytest
import zarr
from small_files import counts, expression

from screader_lib.cells.formats import zarr_chunks
from screader_lib.cells.formats.open_expression import open_expression
from screader_lib.errors import ScReaderError

LIMIT = 1 << 20  # bytes, in these tests
CODECS = {
    "gzip": numcodecs.GZip(),
    "zlib": numcodecs.Zlib(),
    "bz2": numcodecs.BZ2(),
    "xz": numcodecs.LZMA(),
    "zstd": numcodecs.Zstd(),
    "blosc": numcodecs.Blosc(),
    "stored": numcodecs.Blosc(clevel=0),
}


@pytest.fixture(autouse=True)
def lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_chunks, "MAX_UNPACKED", LIMIT)
    monkeypatch.setattr(zarr_chunks, "SMALL", LIMIT // zarr_chunks.MAX_RATIO)


def zstd_of_unknown_size(blocks: int) -> bytes:
    """A frame of zeros without a size, as streaming writers leave them (RFC 8878, 3.1.1)."""
    block = (zarr_chunks.ZSTD_BLOCK << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (zarr_chunks.ZSTD_BLOCK << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return zarr_chunks.ZSTD + bytes([0, 7 << 3]) + block * (blocks - 1) + last


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("values", ["zeros", "noise"])
def test_only_what_is_beyond_the_limit_is_refused(codec: str, values: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, LIMIT + 1, dtype=np.uint8).tobytes()
    content = bytes(LIMIT + 1) if values == "zeros" else noise
    for size, refused in ((LIMIT, False), (LIMIT + 1, True)):
        packed = memoryview(bytes(CODECS[codec].encode(content[:size])))
        assert zarr_chunks.unpacks_to_much(packed) == refused
        assert not zarr_chunks.unpacks_to_much(memoryview(content[:size]))  # not packed at all


def test_members_of_gzip_add_up() -> None:
    part = numcodecs.GZip().encode(bytes(LIMIT // 2))
    assert not zarr_chunks.unpacks_to_much(memoryview(part * 2))
    assert zarr_chunks.unpacks_to_much(memoryview(part * 3))


def test_zstd_without_a_size_is_bounded_by_its_blocks() -> None:
    blocks = LIMIT // zarr_chunks.ZSTD_BLOCK
    frame = zstd_of_unknown_size(blocks)
    assert len(numcodecs.Zstd().decode(frame)) == LIMIT
    assert not zarr_chunks.unpacks_to_much(memoryview(frame))
    assert zarr_chunks.unpacks_to_much(memoryview(zstd_of_unknown_size(blocks + 1)))


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_with_such_a_chunk_is_refused_and_others_are_read(
    tmp_path: Path, version: int
) -> None:
    values, types = counts(cells=40)
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=version):
        warnings.simplefilter("ignore")
        data = expression(values, types)
        data.write_zarr(tmp_path / "x.zarr")
    group = zarr.open_group(tmp_path / "x.zarr", mode="a", use_consolidated=False)
    old = group["X"] if isinstance(group["X"], zarr.Array) else group["X/data"]
    place = tmp_path / "x.zarr" / old.path
    chunk = next(path for path in place.rglob("*") if path.name[:1].isdigit())
    with open_expression(tmp_path / "x.zarr", "x.zarr") as source:
        assert source.read(0, 40).sum() == values.sum()
    old_codec = chunk.read_bytes()[:4] == zarr_chunks.ZSTD
    codec = numcodecs.Zstd() if old_codec else numcodecs.Blosc()
    chunk.write_bytes(codec.encode(bytes(LIMIT + 1)))
    with (
        pytest.raises(ScReaderError, match=r"unpacks to more than 1,048,576 bytes.*unsafe"),
        open_expression(tmp_path / "x.zarr", "x.zarr") as source,
    ):
        source.read(0, 40)
