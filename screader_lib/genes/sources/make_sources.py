"""From options to sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.records import Organism
from screader_lib.genes.services import downloads
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.genes.services.service import Unreachable
from screader_lib.genes.sources import datasets, eutils
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.sources.tables import BulkFiles, PackagedFacts, UserTable, has_facts
from screader_lib.reporting import SILENT, Reporter

ANSWERS = "ncbi-answers.sqlite"


@dataclass(frozen=True)
class SourceOptions:
    """Where sources read: local files, services, the cache; None where no option says so."""

    gene_info: tuple[str, ...] = ()
    gene_summary: tuple[str, ...] = ()
    gene_history: tuple[str, ...] = ()
    table: str | None = None
    cache: str | None = None
    files_url: str = downloads.URL
    eutils_url: str = eutils.URL
    datasets_url: str = datasets.URL
    refresh: bool = False

    @property
    def cache_folder(self) -> Path:
        """The folder that keeps answers and downloads."""
        return default_folder() if self.cache is None else Path(self.cache)

    def local_copy(self, path: str, reporter: Reporter) -> Path:
        """The local copy of one of NCBI's bulk files."""
        return downloads.local_copy(path, self.cache_folder, self.files_url, self.refresh, reporter)


def make_sources(
    names: Sequence[str], organism: Organism, options: SourceOptions, reporter: Reporter = SILENT
) -> list[GeneSource]:
    """The sources of these names, in this order.

    Where none is named: those whose files are given, else NCBI's bulk files; without a way to
    these, the packaged facts of a species that has some are used instead, with a warning.
    ScReaderError where a source lacks its file.
    """
    given = {"table": options.table, "ncbi-files": options.gene_info or options.gene_summary}
    named = tuple(names) or tuple(name for name, file in given.items() if file)
    listed = dict.fromkeys(named or ("ncbi-files",))
    if not organism.name and "ncbi-files" in listed and "eutils" not in listed:
        reporter.info(
            f"the bulk files do not name species {organism.tax_id}; --source eutils after them "
            "would add its name."
        )
    try:
        return [_make(name, organism, options, reporter) for name in listed]
    except Unreachable as error:
        if named or not has_facts(organism):
            raise
        reporter.warning(
            f"{error} Using the packaged gene annotations instead, which have names, types and "
            "summaries of common genes only. Choose other sources with --source."
        )
        return [PackagedFacts(organism)]


def _make(name: str, organism: Organism, options: SourceOptions, reporter: Reporter) -> GeneSource:
    if name == "packaged":
        return PackagedFacts(organism)
    if name == "table":
        if options.table is None:
            raise ScReaderError("--source table needs a table.", remedy="Give --table FILE.")
        return UserTable(organism, Path(options.table))
    if name == "ncbi-files":
        return _bulk_files(organism, options, reporter)
    cache = DiskCache(options.cache_folder / ANSWERS)
    if name == "eutils":
        return eutils.Eutils(organism, cache, options.eutils_url, options.refresh, reporter)
    return datasets.Datasets(organism, cache, options.datasets_url, options.refresh, reporter)


def _bulk_files(organism: Organism, options: SourceOptions, reporter: Reporter) -> GeneSource:
    """Local copies where gene_info is given; otherwise everything is downloaded.

    gene_history is a large file of all species, so it is downloaded only where it is needed.
    """

    def find_history(unknown: Sequence[str]) -> Sequence[Path]:
        ids = f"{len(unknown):,} GeneIDs such as" if len(unknown) > 1 else "GeneID"
        message = f"{ids} {unknown[0]} not in gene_info"
        if options.gene_info:
            reporter.info(f"{message}; give --gene-history to find out which were withdrawn.")
            return ()
        reporter.info(f"{message}; looking them up in gene_history.")
        try:
            return [options.local_copy("gene_history.gz", reporter)]
        except Unreachable as error:
            reporter.info(f"{error} These GeneIDs remain unknown.")
            return ()

    infos = [Path(path) for path in options.gene_info]
    summaries = [Path(path) for path in options.gene_summary]
    history = [Path(path) for path in options.gene_history]
    if not infos:
        infos = [options.local_copy(downloads.info_path(organism), reporter)]
        summaries = summaries or [options.local_copy("gene_summary.gz", reporter)]
    return BulkFiles(organism, infos, summaries, history, find_history)
