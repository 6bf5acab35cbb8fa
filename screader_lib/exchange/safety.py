"""Refuse damaged or hostile HDF5 before its content is read or memory allocated for it.

There are two levels: exchange files may hold only what scReader writes. A user's own h5ad or loom
may hold more (compound types, references), but must not refer to other files or declare more
values than it can hold.

Variable-length strings lie in the collections of a file's global heap; a dataset holds the length
and the address of each. Many entries may point to one long string, and HDF5 never returns from
some damaged collections, so both are checked in the raw bytes. Source: HDF5 File Format
Specification 3.0, "Global Heap" and "Variable-Length Datatypes".
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

import h5py
import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.exchange.chunks import inflates_beyond

SIGNATURE = b"\x89HDF\r\n\x1a\n"
USER_BLOCKS = (512, 1024, 2048)  # sizes of what may come before, as in h5mu
MAX_OBJECTS = 100_000
MAX_DEPTH = 16
MAX_ATTRIBUTES = 1_000  # of one object
MAX_COMPRESSION = 1_100  # deflate reaches 1,032 : 1
MAX_CHUNK = 128 << 20  # bytes
MAX_FOREIGN_CHUNK = 512 << 20  # of a user's own file
MAX_STRING = 10_000  # bytes of a string of fixed length in an array
HARMLESS = 1 << 18  # bytes of a chunk that is small even where it inflates a thousandfold
MAX_UNPACKED = 100  # times the size of a user's own file, which matrices of counts do not reach
SMALL_UNPACKED = 2 << 30  # bytes that any file may unpack to
SLACK = 1 << 20
EXCHANGE_FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
}
TEXT = h5py.h5t.STRING
PLAIN_CLASSES = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, TEXT}
HEAP_SIZES = (8, 8)  # bytes of an address and of a length: the default of HDF5
HEAP_ENTRY = np.dtype([("length", "<u4"), ("collection", "<u8"), ("index", "<u4")])
HEAP_HEADER = struct.Struct("<4sB3xQ")
HEAP_OBJECT = struct.Struct("<HHIQ")
HEAP_BEGINNING = b"GCOL\1\0\0\0"
HEAPS_WITHIN = 16 << 20  # bytes from the beginning of a file
UNDEFINED_ADDRESS = 2**64 - 1


def open_checked(
    path: Path,
    *,
    name: str | None = None,
    strict: bool = True,
    first: Callable[[h5py.File], object] | None = None,
) -> h5py.File:
    """Open ``path`` for reading after checking that it is valid HDF5.

    Messages call the file ``name``. Raises ScReaderError for a file that is missing, empty, not
    HDF5, truncated or unsafe; ``strict`` also refuses what exchange files never hold. ``first`` is
    called, before all else, with the open file whose root's own attributes are sound.
    """
    name = name or str(path)
    _check_is_hdf5(path, name, strict)
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ScReaderError(
            "is damaged or truncated: HDF5 cannot open it.", file=name, remedy="Make it again."
        ) from error
    try:
        _Walk(file, path, name, strict).run(first)
    except BaseException:
        file.close()
        raise
    return file


def _check_is_hdf5(path: Path, name: str, strict: bool) -> None:
    if not path.exists():
        raise ScReaderError("no such file.", file=name, remedy="Check the name and the folder.")
    if path.is_dir():
        raise ScReaderError("is a folder, expected an HDF5 file.", file=name)
    places = (0,) if strict else (0, *USER_BLOCKS)
    try:
        with path.open("rb") as stream:
            head = stream.read(max(places) + len(SIGNATURE))
    except PermissionError:
        raise ScReaderError("cannot be read: permission denied.", file=name) from None
    if not head:
        raise ScReaderError(
            "is empty, expected an HDF5 file.",
            file=name,
            remedy="Did the previous step fail?",
        )
    if not any(head[place:].startswith(SIGNATURE) for place in places):
        raise ScReaderError("is not an HDF5 file.", file=name)


@contextmanager
def checking(name: str) -> Iterator[None]:
    """Turn whatever h5py raises while a file is inspected into ScReaderError: it is damaged."""
    try:
        yield
    except ScReaderError:
        raise
    except Exception as error:
        raise _damaged(name) from error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn a failed read into ScReaderError; other errors, such as failed writes, pass."""
    try:
        yield
    except OSError as error:
        if error.strerror or "read data" not in str(error):
            raise
        raise _damaged(name) from error


def _damaged(name: str) -> ScReaderError:
    return ScReaderError(
        "is damaged: part of it cannot be read.", file=name, remedy="Make it again."
    )


class _Walk:
    """One pass over all objects of a file, which follows no links but hard ones."""

    def __init__(self, file: h5py.File, path: Path, name: str, strict: bool) -> None:
        self.file = file
        self.path = path
        self.name = name
        self.file_bytes = path.stat().st_size
        self.strict = strict
        self.intact: set[int] = {0, UNDEFINED_ADDRESS}  # addresses of collections
        self.objects = 0
        self.declared = 0  # bytes of all arrays

    def run(self, first: Callable[[h5py.File], object] | None) -> None:
        with checking(self.name):
            self._first_heaps()
            self._header(self.file, "/")
            if first is not None:
                first(self.file)
            self._group(self.file, 0, set())
        if not self.strict and self.declared > MAX_UNPACKED * self.file_bytes + SMALL_UNPACKED:
            self._refuse("it", f"unpacks from {self.file_bytes:,} to {self.declared:,} bytes")

    def _first_heaps(self) -> None:
        """The collections near the beginning, where the strings of the first attributes lie."""
        with (
            self.path.open("rb") as stream,
            mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
        ):
            start = content.find(HEAP_BEGINNING, 0, HEAPS_WITHIN)
            while start >= 0:
                if not _is_complete(content, start):
                    self._refuse("/", "keeps its strings in a damaged heap")
                self.intact.add(start)
                start = content.find(HEAP_BEGINNING, start + 1, HEAPS_WITHIN)

    def _refuse(self, path: str, what: str) -> None:
        raise ScReaderError(f"{path} {what}.", file=self.name, remedy="Refused as unsafe.")

    def _group(self, group: h5py.Group, depth: int, above: set[bytes]) -> None:
        where = str(group.name)
        self._header(group, where)
        if depth > MAX_DEPTH:
            self._refuse(where, f"is nested more than {MAX_DEPTH} groups deep")
        token = group.id.__hash__()
        if token in above:
            self._refuse(where, "contains itself")
        self.objects += len(group)
        if self.objects > MAX_OBJECTS:
            self._refuse(where, f"brings the file to more than {MAX_OBJECTS:,} objects")
        for name in group:
            path = f"{where.rstrip('/')}/{name}"
            if not self._is_hard_link(group, name, path):
                continue
            element = group[name]
            if isinstance(element, h5py.Group):
                self._group(element, depth + 1, above | {token})
            elif isinstance(element, h5py.Dataset):
                self._dataset(element, path)
            elif self.strict:
                self._refuse(path, "is a named type, which scReader never writes")

    def _is_hard_link(self, group: h5py.Group, name: str, path: str) -> bool:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            self._refuse(path, f"is a link into another file ({link.filename})")
        if isinstance(link, h5py.SoftLink):
            if self.strict:
                self._refuse(path, "is a symbolic link, which scReader never writes")
            return False
        return True

    def _header(self, element: h5py.Group | h5py.Dataset, path: str) -> None:
        if self.strict and h5py.h5o.get_info(element.id).rc > 1:
            self._refuse(path, "has a second hard link, which scReader never writes")
        count = h5py.h5a.get_num_attrs(element.id)
        if count > MAX_ATTRIBUTES:  # each takes longer to reach than the one before
            self._refuse(path, f"has {count:,} attributes, more than {MAX_ATTRIBUTES:,}")
        for number in range(count):
            attribute = h5py.h5a.open(element.id, index=number)
            name = attribute.name.decode("utf-8", "replace")
            self._type(attribute.get_type(), f"{path}@{name}")

    def _type(self, kind: h5py.h5t.TypeID, path: str) -> None:
        """Some damaged types crash HDF5 when read; numbers, booleans and strings do not."""
        if self.strict and kind.get_class() not in PLAIN_CLASSES:
            self._refuse(path, "holds neither numbers, booleans nor strings")
        elif isinstance(kind, h5py.h5t.TypeVlenID) and kind.get_super().get_class() == TEXT:
            self._refuse(path, "has a damaged type")

    def _dataset(self, dataset: h5py.Dataset, path: str) -> None:
        self._header(dataset, path)
        self._type(dataset.id.get_type(), path)
        properties = dataset.id.get_create_plist()
        if properties.get_layout() == h5py.h5d.VIRTUAL:
            self._refuse(path, "is a virtual dataset, which reads other files")
        if properties.get_layout() != h5py.h5d.CHUNKED and properties.get_external_count():
            self._refuse(path, "keeps its data in another file")
        self._size(dataset, path)
        if properties.get_layout() == h5py.h5d.CHUNKED:
            self._chunks(dataset, properties, path)
        if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == "O":
            self._strings(dataset, properties, path)
        if self.strict:
            self._plain(dataset, properties, path)

    def _size(self, dataset: h5py.Dataset, path: str) -> None:
        if dataset.shape is None:
            return
        declared = math.prod(dataset.shape) * dataset.dtype.itemsize
        self.declared += declared
        stored = dataset.id.get_storage_size()
        if stored > self.file_bytes:
            self._refuse(path, f"claims {stored:,} bytes in a file of {self.file_bytes:,}")
        if declared > stored * MAX_COMPRESSION + SLACK:
            shape = " × ".join(f"{size:,}" for size in dataset.shape)
            self._refuse(path, f"declares {shape} values but stores only {stored:,} bytes")
        if dataset.dtype.kind == "S" and dataset.shape and dataset.dtype.itemsize > MAX_STRING:
            self._refuse(path, f"holds strings of {dataset.dtype.itemsize:,} bytes each")

    def _chunks(self, dataset: h5py.Dataset, properties: h5py.h5p.PropDCID, path: str) -> None:
        """A chunk is read as a whole, whatever it inflates to."""
        declared = math.prod(properties.get_chunk()) * dataset.dtype.itemsize
        if declared > (MAX_CHUNK if self.strict else MAX_FOREIGN_CHUNK):
            self._refuse(path, f"declares chunks of {declared:,} bytes")
        filters = [properties.get_filter(n)[0] for n in range(properties.get_nfilters())]
        deflates = filters.count(h5py.h5z.FILTER_DEFLATE)
        if deflates > 1:
            self._refuse(path, "is deflated more than once")
        if not filters or dataset.id.get_storage_size() <= HARMLESS:
            return
        large: list[h5py.h5d.StoreInfo] = []

        def remember(chunk: h5py.h5d.StoreInfo) -> None:
            if chunk.size > HARMLESS:
                large.append(chunk)

        dataset.id.chunk_iter(remember)
        with self.path.open("rb") as stream:
            for chunk in large:
                if chunk.size > declared + declared // 100 + SLACK:
                    self._refuse(path, f"has a chunk of {chunk.size:,} bytes for {declared:,}")
                if deflates and not chunk.filter_mask:
                    content = os.pread(stream.fileno(), chunk.size, chunk.byte_offset)
                    if inflates_beyond(content, declared + SLACK):
                        self._refuse(path, "has a chunk that inflates to more than it declares")

    def _plain(self, dataset: h5py.Dataset, properties: h5py.h5p.PropDCID, path: str) -> None:
        if dataset.dtype.kind not in "OSbiuf":
            self._refuse(path, f"has type {dataset.dtype}, expected numbers, booleans or strings")
        for number in range(properties.get_nfilters()):
            if properties.get_filter(number)[0] not in EXCHANGE_FILTERS:
                self._refuse(path, "is compressed with a filter that scReader never uses")

    def _strings(self, dataset: h5py.Dataset, properties: h5py.h5p.PropDCID, path: str) -> None:
        """Many entries may point to one long string: add up what they would take in memory."""
        if properties.get_layout() != h5py.h5d.CONTIGUOUS and self.strict:
            self._refuse(path, "holds strings in chunks, which scReader never writes")
        start = dataset.id.get_offset() if dataset.size else None
        if start is None:  # nothing is stored, or in chunks
            return
        if self.file.id.get_create_plist().get_sizes() != HEAP_SIZES:
            self._refuse(path, "holds strings in a file with unusual address sizes")
        entries = np.fromfile(self.path, HEAP_ENTRY, dataset.size, offset=start)
        if entries["length"].sum(dtype=np.int64) > self.file_bytes:
            self._refuse(path, "holds strings that add up to more bytes than the file has")
        collections = set(np.unique(entries["collection"]).tolist()) - self.intact
        if collections:
            with (
                self.path.open("rb") as stream,
                mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
            ):
                start = self.file.userblock_size  # from which addresses count
                if not all(_is_complete(content, start + one) for one in collections):
                    self._refuse(path, "keeps its strings in a damaged heap")
        self.intact |= collections


def _is_complete(content: mmap, start: int) -> bool:
    """Whether the objects of the collection at ``start`` fill it exactly."""
    if start + HEAP_HEADER.size > len(content):
        return False
    signature, version, size = HEAP_HEADER.unpack_from(content, start)
    end, position = start + size, start + HEAP_HEADER.size
    if (signature, version) != (b"GCOL", 1) or end > len(content):
        return False
    while end - position >= HEAP_OBJECT.size:
        index, _, _, length = HEAP_OBJECT.unpack_from(content, position)
        used = HEAP_OBJECT.size + -(-length // 8) * 8 if index else length  # index 0 is free space
        if used < HEAP_OBJECT.size or position + used > end:
            return False
        position += used
    return True
