"""Pickles of plain values, read without running anything.

Unpickling can run code and exhaust memory. So ``pickle`` is not used: a file's opcodes (Python
documentation, ``pickletools``) are followed here one by one, and only those that build dicts,
lists, tuples, texts, bytes, numbers and plain arrays are known. The names of functions and classes
that such pickles hold stand for what is done here in their place; any other name is refused. What
is made of a file takes a small multiple of its size.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from pickletools import genops
from typing import Any, BinaryIO

import numpy as np

from screader_lib.errors import ScReaderError

MAX_BYTES = 1 << 34
MAX_OBJECTS = 1 << 24  # lists, dicts, tuples, references; of arrays of all genes of ten species
TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
         "STRING", "BINSTRING", "SHORT_BINSTRING"}  # fmt: skip
BYTES = {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
NUMBERS = {"BINFLOAT", "FLOAT", "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
FLOAT_BYTES = 9  # of the opcode and a double
FLOATS_AT_ONCE = 2_048
FEW = 16  # floats in a row that are kept one by one
BUFFER_BYTES = 1 << 20  # seeking back within the buffer is cheap
DAMAGED = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
ARRAY_TYPE = re.compile(r"[<>=|]?[fiub][1248]$")
STORAGES = {
    "HalfStorage": "f2", "BFloat16Storage": "bfloat16", "FloatStorage": "f4", "DoubleStorage": "f8",
    "BoolStorage": "b1", "ByteStorage": "u1", "CharStorage": "i1", "ShortStorage": "i2",
    "IntStorage": "i4", "LongStorage": "i8",
}  # fmt: skip


class Refused(Exception):
    """A pickle holds what is not read; the message says what, as in "it holds a set"."""


@dataclass(frozen=True)
class Storage:
    """The numbers of a tensor's file in an archive of PyTorch, by its ``key`` there."""

    key: str
    dtype: str


@dataclass(frozen=True)
class Tensor:
    """Where a tensor's numbers lie in its storage: from ``offset``, in steps of ``strides``."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names, which is never looked up."""

    module: str
    name: str


class _Floats(np.ndarray):
    """float32 (numbers,): many floats in a row, as one entry of the stack or of a list."""


@dataclass
class _Array:
    """A numpy array, whose numbers a pickle gives after it has referred to it."""

    values: np.ndarray | None = None


@dataclass
class _Type:
    """The type of an array's numbers, whose byte order follows in the same way."""

    dtype: np.dtype[Any]


def read_plain(path: Path, display_name: str) -> dict[Any, Any]:
    """The dict in a pickle; ScReaderError, naming ``display_name``, for any other content.

    Values are texts, numbers, numpy arrays, and lists, tuples and dicts of these. In a list of
    numbers, many in a row are one float32 array.
    """
    try:
        size = path.stat().st_size
        with path.open("rb", buffering=BUFFER_BYTES) as stream:
            content = load(stream, size)
        if not isinstance(content, dict):
            raise Refused(f"it holds a {type(content).__name__} instead of a dict")
    except Refused as error:
        raise ScReaderError(
            f"is a pickle that cannot be read ({error}).",
            file=display_name,
            remedy="Only a dict from gene to numbers is accepted.",
        ) from None
    except DAMAGED as error:
        raise ScReaderError(
            f"is a damaged pickle ({type(error).__name__}).", file=display_name
        ) from None
    return content


def load(stream: BinaryIO, size: int) -> Any:
    """What a pickle of ``size`` bytes holds, whatever it is.

    Refused where it names or holds anything but plain values; one of DAMAGED where it is damaged.
    """
    if size > MAX_BYTES:
        raise Refused(f"it has {size:,} bytes, too many")
    machine = _Machine(stream)
    for opcode, argument, _ in genops(stream):
        machine.run(opcode.name, argument)
    return _single(machine.pop())


class _Machine:
    """The stack of values, its marks, and the values that a pickle refers to again."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.objects = 0
        self.steps: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self.marks.append(len(self.stack)),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "DICT": lambda _: self.stack.append(_filled({}, self.pop_to_mark())),
            "LIST": lambda _: self.stack.append(self.pop_to_mark()),
            "TUPLE": lambda _: self.stack.append(_expanded(self.pop_to_mark())),
            "TUPLE1": lambda _: self.stack.append(self.pop_last(1)),
            "TUPLE2": lambda _: self.stack.append(self.pop_last(2)),
            "TUPLE3": lambda _: self.stack.append(self.pop_last(3)),
            "APPEND": lambda _: self._extend([self.pop()]),
            "APPENDS": lambda _: self._extend(self.pop_to_mark()),
            "SETITEM": lambda _: self._set(self.pop_last(2)),
            "SETITEMS": lambda _: self._set(self.pop_to_mark()),
            "MEMOIZE": lambda _: self._remember(len(self.memo)),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(
                ("GET", "BINGET", "LONG_BINGET"), lambda key: self.stack.append(self.memo[key])
            ),
            "GLOBAL": lambda names: self._name(*names.split(" ", 1)),
            "STACK_GLOBAL": lambda _: self._name(*self.pop_last(2)),
            "REDUCE": lambda _: self.stack.append(_called(*self.pop_last(2))),
            "BUILD": lambda _: _build(self.stack[-2], self.pop()),
            "BINPERSID": lambda _: self.stack.append(_storage(self.pop())),
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
        }

    def run(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in NUMBERS or name in TEXTS or name in BYTES:
            self.stack.append(argument)
            if name == "BINFLOAT":
                self._floats_ahead()
            return
        if name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
            return
        if name not in self.steps:
            raise Refused(f"it holds opcode {name}, and might run code")
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise Refused(f"it holds more than {MAX_OBJECTS:,} lists or other objects")
        self.steps[name](argument)

    def pop(self) -> Any:
        """The last value; IndexError where there is none since the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError("nothing on the stack")
        return self.stack.pop()

    def pop_last(self, number: int) -> tuple[Any, ...]:
        """The last ``number`` values."""
        return tuple(_single(self.pop()) for _ in range(number))[::-1]

    def pop_to_mark(self) -> list[Any]:
        """All values since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("values for a list that is none")
        self.stack[-1].extend(_built(value) for value in values)

    def _set(self, items: Sequence[Any]) -> None:
        _filled(self.stack[-1], items)

    def _remember(self, key: Any) -> None:
        if isinstance(self.stack[-1], _Floats):
            raise Refused("it refers to a number again")
        self.memo[int(key)] = self.stack[-1]

    def _name(self, module: Any, name: Any) -> None:
        """Put a name on the stack; Refused for all but those of plain arrays."""
        module = str(module).replace("numpy.core", "numpy._core")
        known = f"{module}.{name}" in CALLED or f"{module}.{name}" == "numpy.ndarray"
        if not known and not (module == "torch" and name in STORAGES):
            raise Refused(f"it names {f'{module}.{name}'[:60]}, and might run code")
        self.stack.append(_Name(module, str(name)))

    def _floats_ahead(self) -> None:
        """Take the floats that follow at once: a large file has a hundred million of them."""
        start = self.stream.tell()
        ahead = np.frombuffer(self.stream.read(FLOAT_BYTES * FLOATS_AT_ONCE), np.uint8)
        ahead = ahead[: len(ahead) // FLOAT_BYTES * FLOAT_BYTES].reshape(-1, FLOAT_BYTES)
        others = np.flatnonzero(ahead[:, 0] != ord("G"))
        count = int(others[0]) if len(others) else len(ahead)
        self.stream.seek(start + FLOAT_BYTES * count)
        values = np.frombuffer(ahead[:count, 1:].tobytes(), ">f8")
        if count < FEW:
            self.stack.extend(values.tolist())
        else:
            with np.errstate(over="ignore"):
                self.stack.append(values.astype(np.float32).view(_Floats))


def _built(value: Any) -> Any:
    """A value as it is, of an array its numbers."""
    if not isinstance(value, _Array):
        return value
    if value.values is None:
        raise ValueError("an array without numbers")
    return value.values


def _single(value: Any) -> Any:
    if isinstance(value, _Floats):
        raise Refused("it holds many numbers where one is expected")
    return _built(value)


def _expanded(values: list[Any]) -> tuple[Any, ...]:
    """A tuple of ``values``, many floats in a row one by one."""
    inner = (value.tolist() if isinstance(value, _Floats) else [value] for value in values)
    return tuple(one for part in inner for one in part)


def _filled(to: Any, items: Sequence[Any]) -> Any:
    """The dict ``to`` with further keys and values, which alternate in ``items``."""
    if not isinstance(to, dict) or len(items) % 2:
        raise TypeError("values for a dict that is none")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | float | bytes):
            raise Refused(f"it holds a {type(key).__name__} as a key")
        to[key] = _single(value)
    return to


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of the numbers in ``raw``; ValueError where they are more or fewer."""
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # of Python 2
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, _Type):
        raise Refused("it holds arrays of something other than numbers")
    sizes = _sizes(shape)
    if math.prod(sizes) * dtype.dtype.itemsize != len(raw):
        raise ValueError("an array of another size")
    values = np.frombuffer(bytes(raw), dtype.dtype)
    return values.reshape(sizes, order="F" if order in (True, "F") else "C")


def _sizes(values: Any) -> tuple[int, ...]:
    """Sizes or strides of an array; ValueError where they are none."""
    if not isinstance(values, tuple) or len(values) > 32:
        raise ValueError("no sizes")
    if not all(type(one) is int and one >= 0 for one in values):
        raise ValueError("no sizes")
    return values


def _type(text: Any, *_: Any) -> _Type:
    if not isinstance(text, str) or not ARRAY_TYPE.match(text):
        raise Refused(f"it holds arrays of type {str(text)[:20]!r}")
    return _Type(np.dtype(text))


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, (), "C").item()


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise ValueError("a tensor without its numbers")
    if len(_sizes(shape)) != len(_sizes(strides)):
        raise ValueError("a tensor of unknown shape")
    return Tensor(storage, offset, shape, strides)


def _storage(identity: Any) -> Storage:
    kind, storage, key = identity[:3]
    if kind != "storage" or not isinstance(storage, _Name) or storage.name not in STORAGES:
        raise Refused("it refers to something other than a tensor")
    return Storage(str(key), STORAGES[storage.name])


# What is done where a pickle calls a function of this name.
CALLED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda: {},
    "_codecs.encode": lambda text, coding: text.encode("latin1"),
    "numpy.dtype": _type,
    "numpy._core.multiarray._reconstruct": lambda *_: _Array(),
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _array,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}


def _called(name: Any, arguments: Any) -> Any:
    if not isinstance(name, _Name) or f"{name.module}.{name.name}" not in CALLED:
        raise Refused("it calls what it holds, and might run code")
    return CALLED[f"{name.module}.{name.name}"](*arguments)


def _build(value: Any, state: Any) -> None:
    """Give a value its state: an array its numbers, a type its byte order."""
    if isinstance(value, _Array):
        _, shape, dtype, is_fortran, raw = state
        value.values = _array(raw, dtype, shape, is_fortran)
    elif isinstance(value, _Type):
        value.dtype = value.dtype.newbyteorder(state[1])
    elif not isinstance(value, dict):  # such as a state dict of PyTorch, with the layers' versions
        raise Refused("it sets attributes, and might run code")


def numbers_in(value: Any) -> int:
    """How many numbers a list, a tuple or an array holds; 0 for anything else."""
    if isinstance(value, np.ndarray):
        return value.size
    if not isinstance(value, list | tuple):
        return 0
    return sum(one.size if isinstance(one, _Floats) else 1 for one in value)


def vector_of(value: Any) -> np.ndarray:
    """float32 (numbers,) of a list or tuple of numbers, or of an array, which may be one row.

    TypeError for anything else.
    """
    if isinstance(value, np.ndarray):
        row = value[0] if value.ndim == 2 and len(value) == 1 else value
        if row.ndim != 1 or row.dtype.kind not in "biuf":
            raise TypeError("no row of numbers")
        with np.errstate(over="ignore"):
            return row.astype(np.float32)
    if not isinstance(value, list | tuple):
        raise TypeError("no list of numbers")
    runs = groupby(value, lambda one: isinstance(one, _Floats))  # array() looks into no lists
    parts = [np.concatenate([*run]) if many else np.array(array("f", run)) for many, run in runs]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
