"""Compare what is published with what git holds, file by file and by content.

python scripts/compare_archives.py dist/*.tar.gz dist/*.whl [PACKAGE.conda]

The source archive has to hold every tracked file but those whose names start with a dot; the wheel,
and a conda package, every file of the three Python packages, and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"screader": "screader", "screader_lib": "screader_lib", "tools": "screader_tools"}
OF_THE_BUILD = ("PKG-INFO", "setup.cfg", "screader_suite.egg-info/")
Contents = dict[str, str]  # names, and the SHA-256 of what they hold


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tracked() -> Contents:
    """What git knows, as it lies in the checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")[:-1]
    return {name: _digest((ROOT / name).read_bytes()) for name in names}


def _tar(file: io.IOBase) -> Contents:
    with tarfile.open(fileobj=file) as archive:  # type: ignore[call-overload]
        return {
            member.name: _digest(archive.extractfile(member).read())
            for member in archive
            if member.isfile()
        }


def of_source(path: Path) -> Contents:
    """A source archive's files, without the folder that holds them all."""
    with path.open("rb") as file:
        return {name.partition("/")[2]: digest for name, digest in _tar(file).items()}


def of_wheel(path: Path) -> Contents:
    """A wheel's files."""
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        return {name: _digest(archive.read(name)) for name in names}


def of_conda(path: Path) -> Contents:
    """What a conda package puts into Python's site-packages."""
    import zstandard

    with zipfile.ZipFile(path) as archive:
        (inner,) = [name for name in archive.namelist() if name.startswith("pkg-")]
        packed = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive.read(inner)))
        with packed:
            files = _tar(io.BytesIO(packed.read()))
    start = "site-packages/"
    return {name.removeprefix(start): one for name, one in files.items() if name.startswith(start)}


def expected_source(all_files: Contents) -> Contents:
    """Of git's files, those of a source archive."""
    hidden = {name for name in all_files if name.startswith(".")}
    return {name: digest for name, digest in all_files.items() if name not in hidden}


def expected_packages(all_files: Contents) -> Contents:
    """Of git's files, those of an installation, under their names there."""
    wanted = {}
    for name, digest in all_files.items():
        folder, _, inner = name.partition("/")
        if folder in PACKAGES:
            wanted[f"{PACKAGES[folder]}/{inner}"] = digest
    return wanted


def differences(found: Contents, wanted: Contents) -> list[str]:
    """What is missing, more, or not the same, one line each."""
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(f"{name} is not git's" for name in sorted(found.keys() - wanted.keys())),
        *(
            f"{name} differs"
            for name in sorted(found)
            if wanted.get(name, found[name]) != found[name]
        ),
    ]


def compare(path: Path, all_files: Contents) -> tuple[int, list[str]]:
    """The number of files compared in an archive, and what is wrong with it."""
    if path.name.endswith(".tar.gz"):
        found, wanted = of_source(path), expected_source(all_files)
        found = {name: one for name, one in found.items() if not name.startswith(OF_THE_BUILD)}
    else:
        found = of_wheel(path) if path.suffix == ".whl" else of_conda(path)
        wanted = expected_packages(all_files)
        found = {name: one for name, one in found.items() if ".dist-info/" not in name}
    return len(found), differences(found, wanted)


def main() -> int:
    """Compare the archives named on the command line; 1 where one is not what it should be."""
    all_files, wrong = tracked(), 0
    for path in map(Path, sys.argv[1:]):
        count, lines = compare(path, all_files)
        print(f"{path.name}: {count} files, {len(lines)} differences")
        print(*lines[:50], sep="\n", end="\n" if lines else "")
        wrong += len(lines)
    return 1 if wrong or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    sys.exit(main())
