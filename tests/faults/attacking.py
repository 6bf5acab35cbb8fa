"""Runs of the tools on damaged and hostile files, in forks that may take neither memory nor time.

What a run may do: succeed, or say one line of error and leave no output, and what was there as it
was. Everything else is a finding.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SECONDS, BYTES = 60.0, 2 << 30
OLD = b"what was there before"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass
class Outcome:
    """How a run ended: its exit status, negative for a signal, what it took and what it said."""

    status: int
    seconds: float
    memory: int
    told: str
    findings: list[str]


def attacked(words: list[str], folder: Path, limit: float = SECONDS) -> Outcome:
    """Run a tool in ``folder``, which writes to ``output`` there, and see what is wrong with it."""
    output = folder / "output"
    output.write_bytes(OLD)
    before = names_in(folder)
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryFile() as told:
        start = time.monotonic()
        child = os.fork()
        if not child:
            _run(words, folder, scratch, told.fileno())
        memory, status, killed = _watch(child, start + limit)
        seconds = time.monotonic() - start
        told.seek(0)
        text = told.read().decode("utf-8", "replace")
    found = [killed] if killed else []
    if "Traceback" in text:
        found.append("traceback")
    if "unexpected" in text:
        found.append("unexpected error")
    if CONTROL.search(text):
        found.append("control characters")
    if not killed and status not in (0, 1, 2):
        found.append(f"status {status}")
    if status == 1 and sum(" error: " in line for line in text.splitlines()) != 1:
        found.append("not one line of error")
    if status and output.read_bytes() != OLD:
        found.append("output lost")
    left = names_in(folder) - before - {"tmp"}
    if status > 0 and left:
        found.append(f"left behind {sorted(left)[0]}")
    temporary = {name for name in names_in(scratch) if not name.startswith("torchinductor")}
    if temporary and not killed:
        found.append(f"temporary {min(temporary)} left behind")
    shutil.rmtree(scratch)
    for name in left:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)
    return Outcome(status, seconds, memory, text, found)


def names_in(folder: Path) -> set[str]:
    """The names of what a folder holds."""
    return {path.name for path in folder.iterdir()}


def _run(words: list[str], folder: Path, scratch: Path, told: int) -> None:
    """In the fork: a tool with its own folder and outputs, then the end of the process."""
    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.chdir(folder)
        os.environ.update(TMPDIR=str(scratch), SCREADER_CACHE=str(scratch / ".." / "cache"))
        tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main = import_module(f"screader_tools.{words[0].replace('-', '_')}").main
        main(words[1:], prog_name=words[0])
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _watch(child: int, deadline: float) -> tuple[int, int, str]:
    """Most bytes in memory, exit status, and why the run was killed, if it was."""
    most, killed = 0, ""
    while True:
        done, code, usage = os.wait4(child, os.WNOHANG)
        if done:
            most = max(most, usage.ru_maxrss * 1024)
            if most > BYTES and not killed:
                killed = "memory"
            return most, os.waitstatus_to_exitcode(code), killed
        with suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
            most = max(most, pages * 4096)
        if not killed and (most > BYTES or time.monotonic() > deadline):
            killed = "memory" if most > BYTES else "time"
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


# Damage to bytes ---------------------------------------------------------------------------------

HUGE = (2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)


def flip(content: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 32))):
        content[dice.randrange(len(content))] = dice.randrange(256)


def flip_head(content: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 2, 4))):
        content[dice.randrange(min(len(content), 2_000))] = dice.randrange(256)


def cut(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(len(content)) :]


def blank(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    size = min(dice.choice((4, 64, 4_096)), len(content) - start)
    content[start : start + size] = bytes([dice.choice((0, 255))]) * size


def number(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(max(1, len(content) - 8)) // 4 * 4
    content[start : start + 8] = dice.choice(HUGE).to_bytes(8, "little")[: len(content) - start]


def repeat(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    content[start:start] = content[start : start + dice.choice((1, 100, 5_000))]


def drop(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    del content[start : start + dice.choice((1, 7, 100, 5_000))]


BYTE_DAMAGE = (flip, flip, flip_head, cut, blank, number, repeat, drop)


def damaged_bytes(path: Path, dice: random.Random) -> str:
    """Damage a file in one way; gzipped text as often within as without."""
    content = bytearray(path.read_bytes())
    inside = content[:2] == b"\x1f\x8b" and dice.random() < 0.5
    if inside:
        content = bytearray(gzip.decompress(bytes(content)))
    damage = dice.choice(BYTE_DAMAGE)
    if content:
        damage(content, dice)
    path.write_bytes(gzip.compress(bytes(content)) if inside else bytes(content))
    return damage.__name__


# Damage to HDF5 ----------------------------------------------------------------------------------

WORDS = ("", "\x1b[31mred\x1b[0m", "a\nb", "é" * 300, "\u202e", "NA", "x" * 70_000, "../../x", "%s")


def _elements(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


def _values_like(dataset: h5py.Dataset, dice: random.Random) -> Any:
    seed = np.random.default_rng(dice.randrange(2**32))
    kinds = ("i4", "i8", "u1", "f4", "f8", "bool", "S3", "text", "f2", ">i4")
    shape = tuple(max(0, size + dice.choice((0, 0, 0, 1, -1, -size))) for size in dataset.shape)
    shape = dice.choice((shape, shape, shape, (), (1,), (3, 2)))
    kind = dice.choice(kinds)
    if kind == "text":
        size = int(np.prod(shape))
        return np.array([dice.choice(WORDS) for _ in range(size)], object).reshape(shape)
    if kind == "S3":
        return np.full(shape, b"\xff\xfeo")
    if kind in ("f4", "f8", "f2"):
        values = seed.normal(size=shape).astype(kind)
        bad = dice.choice((np.nan, np.inf, -1e30, 1e38, 0.0))
        is_bad = seed.random(shape) < dice.choice((0.0, 0.1, 1.0))
        with np.errstate(over="ignore"):
            return np.where(is_bad, bad, values).astype(kind)
    return seed.integers(-3 if kind[-2] == "i" else 0, 100, shape).astype(kind)


def replace(file: h5py.File, dice: random.Random) -> None:
    names = [name for name in _elements(file) if isinstance(file[name], h5py.Dataset)]
    name = dice.choice(names)
    old = file[name]
    attributes = dict(old.attrs)
    values = _values_like(old, dice)
    del file[name]
    is_text = values.dtype.kind == "O" if isinstance(values, np.ndarray) else False
    new = file.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
    for key, value in attributes.items():
        new.attrs[key] = value


def change_values(file: h5py.File, dice: random.Random) -> None:
    names = [
        name for name in _elements(file)
        if isinstance(file[name], h5py.Dataset) and file[name].size and file[name].ndim
    ]  # fmt: skip
    dataset = file[dice.choice(names)]
    position = tuple(dice.randrange(size) for size in dataset.shape)
    if dataset.dtype.kind == "O":
        dataset[position] = dice.choice(WORDS)
    elif dataset.dtype.kind in "iu":
        info = np.iinfo(dataset.dtype)
        dataset[position] = dice.choice((info.min, info.max, -1 if info.min else 1, 7))
    elif dataset.dtype.kind == "f":
        dataset[position] = dice.choice((np.nan, np.inf, -np.inf, -1.0, 3e38))


def remove(file: h5py.File, dice: random.Random) -> None:
    del file[dice.choice(_elements(file))]


def swap(file: h5py.File, dice: random.Random) -> None:
    one, other = dice.sample(_elements(file), 2)
    if not one.startswith(other) and not other.startswith(one):
        file.move(one, "swapped")
        file.move(other, one)
        file.move("swapped", other)


def change_attribute(file: h5py.File, dice: random.Random) -> None:
    holders = [file, *(file[name] for name in _elements(file))]
    holder = dice.choice([one for one in holders if len(one.attrs)] or holders)
    name = dice.choice([*holder.attrs, "encoding-type"])
    value: Any = dice.choice((*WORDS[:-3], 3, -1, 2.5, np.arange(4), np.array([], "f8"), True))
    if dice.random() < 0.3:
        holder.attrs.pop(name, None)
    else:
        holder.attrs[name] = value


HDF5_DAMAGE = (replace, replace, change_values, change_values, remove, swap, change_attribute)


def damaged_hdf5(path: Path, dice: random.Random) -> str:
    """Damage the content of an HDF5 file, which stays one."""
    damage = dice.choice(HDF5_DAMAGE)
    with suppress(Exception), h5py.File(path, "a") as file:
        damage(file, dice)
    return damage.__name__


def files_of(path: Path) -> list[Path]:
    """A file, or those of a folder."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def copied(source: Path, target: Path) -> Path:
    """A copy of a file or folder, in the place of an older one."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        return Path(shutil.copytree(source, target))
    return Path(shutil.copy(source, target))


def damaged(source: Path, target: Path, dice: random.Random) -> str:
    """A damaged copy of ``source``; what was done to it."""
    copy = copied(source, target)
    file = dice.choice(files_of(copy))
    if dice.random() < 0.05 and copy.is_dir():
        file.unlink()
        return f"{file.name} removed"
    if h5py.is_hdf5(file) and dice.random() < 0.6:
        return damaged_hdf5(file, dice)
    return damaged_bytes(file, dice) if file.stat().st_size else "nothing"


def attack(
    commands: dict[str, tuple[Path, list[str]]], folder: Path, seed: int, count: int
) -> Iterator[tuple[str, str, Outcome]]:
    """``count`` runs of the commands in turn, each on a damaged copy of its file (BAD)."""
    dice = random.Random(seed)
    names = list(commands)
    for turn in range(count):
        name = names[turn % len(names)]
        source, words = commands[name]
        what = damaged(source, folder / f"bad{source.suffix}", dice)
        given = [word.replace("BAD", f"bad{source.suffix}") for word in words]
        yield name, what, attacked(given, folder)
