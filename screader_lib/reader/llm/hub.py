"""Fetch an LLM from the Hugging Face hub into its cache, and say in one line why it cannot be had.

The token comes from HF_TOKEN or ``hf auth login`` and is in no message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from screader_lib import offline
from screader_lib.errors import ScReaderError

WANTED = ["*.json", "*.safetensors", "tokenizer*", "*.model", "*.txt"]
UNWANTED = ["*/*", "consolidated*", "adapter_*"]  # other forms of the same weights
ELSEWHERE = "or give a folder with the LLM."
FROM_CACHE = f"Fetch it where there is a network and set HF_HOME to that cache, {ELSEWHERE}"
BROKEN = ("RemoteProtocolError", "ReadError", "IncompleteRead", "ChunkedEncodingError")
LATER = f"Try again later, {ELSEWHERE}"


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of the model ``name`` in the cache, fetched where it is not there yet.

    The folder is called as the commit that ``revision`` names (a branch, tag or commit; the main
    branch where None). ScReaderError where it cannot be had or has no safetensors.
    """
    from huggingface_hub import get_token, snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    shown = f"LLM {name}"
    token = get_token() or ""
    if not all("!" <= letter <= "~" for letter in token):
        raise ScReaderError("the hub's token holds a letter that no token has.", file=shown)
    unreached = _unreached(name, revision)
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                local_files_only=unreached is not None,
            )
        )
    except Exception as error:  # of many libraries
        trouble = [*_chain(unreached), *_chain(error)]
        message, remedy = _told(trouble, name, revision, has_token=bool(token))
        raise ScReaderError(message, file=shown, remedy=remedy) from trouble[0]
    if not any(folder.glob("*.safetensors")):
        raise ScReaderError(
            "has no safetensors weights on the hub, and pickled ones are not read.",
            file=shown,
            remedy="Name a revision that has them (--llm-revision refs/pr/1, say) "
            "or a folder where they are converted.",
        )
    return folder


def _unreached(name: str, revision: str | None) -> Exception | None:
    """Why the hub cannot be reached; asked first, as ``snapshot_download`` would wait for ever."""
    from huggingface_hub import HfApi, constants

    try:
        HfApi().model_info(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # of many libraries
        return None if _status([error]) else error
    return None


def _told(
    trouble: list[BaseException], name: str, revision: str | None, *, has_token: bool
) -> tuple[str, str]:
    """What is wrong and what to do about it; nothing of the server's words, nor of the token."""
    kinds = {kind.__name__ for error in trouble for kind in type(error).__mro__}
    status = _status(trouble)
    if kinds & {"GatedRepoError", "DisabledRepoError", "RepositoryNotFoundError"} or status == 401:
        return _no_access(kinds, name, has_token=has_token)
    at = f" at revision {revision}" if revision else ""
    if "RevisionNotFoundError" in kinds:
        return f"has no revision {revision}.", "--llm-revision takes a branch, a tag or a commit."
    if "HFValidationError" in kinds:
        return "is neither a folder nor an id of the hub (OWNER/NAME).", ""
    if "OfflineModeIsEnabled" in kinds:
        variable = offline.VARIABLE if offline.is_offline() else "HF_HUB_OFFLINE"
        wholly = "wholly " if "IncompleteSnapshotError" in kinds else ""
        return f"is not {wholly}in the cache{at}, and {variable} is set.", FROM_CACHE
    return _failed(trouble, kinds, status, at)


def _no_access(kinds: set[str], name: str, *, has_token: bool) -> tuple[str, str]:
    from huggingface_hub.constants import ENDPOINT

    page = f"{ENDPOINT}/{name}"
    if "GatedRepoError" in kinds and has_token:
        return "is gated, and the account of your token has no access.", f"Ask for it at {page}."
    if "GatedRepoError" in kinds:
        return "is gated.", f"Accept its licence at {page} and set HF_TOKEN to a token of yours."
    if "DisabledRepoError" in kinds:
        return "is disabled on the hub.", f"See {page}."
    if "RepositoryNotFoundError" not in kinds:
        return "the hub refuses the token.", "Set HF_TOKEN to a valid one, or unset it."
    if has_token:
        return "is no folder, nor a model that your token may read.", "Check the name and HF_TOKEN."
    return (
        "is no folder, and not on the hub (or private there).",
        "Check the name, or set HF_TOKEN.",
    )


def _failed(trouble: list[BaseException], kinds: set[str], status: int, at: str) -> tuple[str, str]:
    error = trouble[0]
    if status:
        why = "asks to wait (status 429)" if status == 429 else f"answered with status {status}"
        return f"the hub {why}.", LATER
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"cannot be stored: {error.filename}: {error.strerror}.", "HF_HOME moves the cache."
    if kinds & set(BROKEN) or "Consistency check" in str(error):
        return "its download broke off.", "Run it again: files that arrived whole are kept."
    if "TimeoutException" in kinds:
        return f"is not in the cache{at}, and the hub does not answer in time.", LATER
    if kinds & {"ConnectError", "ConnectionError", "ProxyError", "LocalEntryNotFoundError"}:
        return f"is not in the cache{at}, and the hub cannot be reached.", FROM_CACHE
    return f"cannot be fetched ({type(error).__name__}).", FROM_CACHE


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _status(trouble: Sequence[BaseException]) -> int:
    """The HTTP status that the hub answered with; 0 where it gave none."""
    for error in trouble:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if status:
            return int(status)
    return 0
