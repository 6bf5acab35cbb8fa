"""NCBI's bulk files, downloaded once into the cache folder, dated, with their SHA-256."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.exchange.writing import replacing
from screader_lib.genes.records import Organism
from screader_lib.genes.services.file_download import download
from screader_lib.genes.services.service import check_allowed, checked_url
from screader_lib.reporting import SILENT, Reporter

URL = "https://ftp.ncbi.nlm.nih.gov/gene/DATA"
ALL_SPECIES = "All_Data"
HEADER = b"#tax_id"
BLOCK = 1 << 20  # bytes
MOST_COMPRESSED = 50  # NCBI's tables reach 10 : 1
SLACK = 64 << 20  # bytes
OPTIONS = {"gene_orthologs.gz": "--orthologs", "gene_history.gz": "--gene-history"}


def info_path(organism: Organism) -> str:
    """Where gene_info of a species lies; that of all species where it has none of its own."""
    return f"GENE_INFO/{organism.gene_info or ALL_SPECIES}.gene_info.gz"


def local_copy(
    path: str, folder: Path, url: str = URL, refresh: bool = False, reporter: Reporter = SILENT
) -> Path:
    """The local copy of the file at ``path`` below ``url``, downloaded where it is missing.

    A note beside it, with ``.json`` added, holds URL, date and SHA-256; a copy that no longer
    agrees with its note is downloaded again, and so is any with ``refresh``. ScReaderError where
    the download fails, Unreachable where there is no way to the server.
    """
    local = folder / "ncbi-files" / Path(path).name
    note = local.with_name(f"{local.name}.json")
    known = None if refresh else _valid_note(local, note)
    if known is not None:
        reporter.detail(f"{local.name}: copy of {known['downloaded'][:10]}.")
        return local
    source = checked_url(f"{url.rstrip('/')}/{path}")
    check_allowed(source, _remedy(source))
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScReaderError(
            f"cannot be created ({error.strerror}).",
            file=local.parent,
            remedy="Name another folder with --cache.",
        ) from error
    with replacing(local) as temporary:
        modified = download(source, temporary, _remedy(source), reporter)
        _check(temporary, source)
        content = {
            "url": source,
            "downloaded": datetime.now(UTC).isoformat(timespec="seconds"),
            "last_modified": modified,
            "sha256": sha256_of(temporary),
        }
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
    return local


def _valid_note(local: Path, note: Path) -> dict[str, Any] | None:
    """The note of a copy that agrees with it, None where there is no such copy."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(note.read_text("utf-8"))
        if content["sha256"] == sha256_of(local) and content["downloaded"]:
            return dict(content)
    return None


def _remedy(source: str) -> str:
    option = OPTIONS.get(source.rpartition("/")[2])
    if option:
        return f"Give a local copy with {option}."
    return "Give local copies with --gene-info and --gene-summary."


def _check(path: Path, source: str) -> None:
    """ScReaderError unless this is a whole gzip file of one of NCBI's tables of genes."""
    most = path.stat().st_size * MOST_COMPRESSED + SLACK
    unpacked = 0
    try:
        with gzip.open(path) as stream:
            if stream.read(len(HEADER)) != HEADER:
                raise ScReaderError("is no file of genes.", file=source, remedy=_remedy(source))
            while block := stream.read(BLOCK):
                unpacked += len(block)
                if unpacked > most:
                    raise ScReaderError(
                        "unpacks to more than any file of genes.",
                        file=source,
                        remedy=_remedy(source),
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise ScReaderError(
            "was not received as a complete gzip file.", file=source, remedy="Try again."
        ) from error
