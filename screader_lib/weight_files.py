"""The weight files of a model's folder: safetensors inside it, and nothing that runs code.

Small models also come inside packages, of the Python index or of Conda.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SUFFIX = ".safetensors"
OF_CONDA = "screader-models"  # one package with all models


def packaged_files(distribution: str) -> list[Path]:
    """The files of an installed ``distribution``, and of Conda's package of models.

    Empty where neither is installed. Nothing of them is imported.
    """
    from importlib.metadata import PackageNotFoundError, files

    found: list[Path] = []
    for name in (distribution, OF_CONDA):
        with suppress(PackageNotFoundError):
            found += [Path(str(file.locate())) for file in files(name) or []]
    return found


def safetensors_in(folder: Path, name: str) -> list[Path]:
    """The weight files that transformers reads from ``folder``, which messages call ``name``.

    None where it holds none. ScReaderError where its index cannot be read, or names files that
    are missing, elsewhere or of another kind.
    """
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        return sorted(folder.glob(f"*{SUFFIX}"))
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ScReaderError(f"its {INDEX} cannot be read.", file=name) from error
    files = [folder / file for file in names_in(index, name)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ScReaderError(
            f"lacks {len(missing)} of {len(files)} weight files, such as {missing[0]}.",
            file=name,
            remedy="Copy or fetch it again.",
        )
    return files


def names_in(index: Any, name: str) -> list[str]:
    """The files that the index of the model ``name`` names, sorted.

    ScReaderError where it is no index, or names a file elsewhere or of another kind.
    """
    try:
        names = sorted({str(file) for file in index["weight_map"].values()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ScReaderError(f"its {INDEX} cannot be read.", file=name) from error
    for file in names:
        if Path(file).name != file or not file.endswith(SUFFIX):
            raise ScReaderError(
                f"its {INDEX} names {file}, which is no {SUFFIX} file of the folder.",
                file=name,
                remedy="Refused as unsafe: only safetensors are read.",
            )
    return names
