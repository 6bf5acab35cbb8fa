"""From options to sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.organisms import Organism
from screader_lib.genes.services import downloads
from screader_lib.genes.services.addresses import Unreachable
from screader_lib.genes.services.cache import DiskCache, default_folder
from screader_lib.genes.sources import datasets, eutils
from screader_lib.genes.sources.bulk import BulkFiles, FindHistory
from screader_lib.genes.sources.gene_source import GeneSource
from screader_lib.genes.sources.packaged import PackagedFacts, has_facts
from screader_lib.genes.sources.table import UserTable
from screader_lib.reporting import SILENT, Reporter

ANSWERS = "ncbi-answers.sqlite"


@dataclass(frozen=True)
class Places:
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

    def fetched(self, path: str, reporter: Reporter) -> Path:
        """The local copy of one of NCBI's bulk files."""
        return downloads.fetched(path, self.cache_folder, self.files_url, self.refresh, reporter)


def given(places: Places) -> tuple[str, ...]:
    """The sources whose files are given."""
    files = (("table", places.table), ("ncbi-files", places.gene_info or places.gene_summary))
    return tuple(name for name, file in files if file)


def make_sources(
    names: Sequence[str], organism: Organism, places: Places, reporter: Reporter = SILENT
) -> list[GeneSource]:
    """The sources of these names, in this order.

    Where none is named: those whose files are given, else NCBI's bulk files; without a way to
    these, the packaged facts of a species that has some stand in, with a warning. ScReaderError
    where a source lacks its file.
    """
    chosen = dict.fromkeys(names or given(places) or (BulkFiles.name,))
    if not organism.name and BulkFiles.name in chosen and "eutils" not in chosen:
        reporter.info(
            f"the bulk files do not tell what species {organism.tax_id} is called; "
            "--source eutils, named after them, does."
        )
    try:
        return [_make(name, organism, places, reporter) for name in chosen]
    except Unreachable as error:
        if names or given(places) or not has_facts(organism):
            raise
        reporter.warning(
            f"{error} The packaged facts stand in: names and types, no summaries. "
            "Choose with --source."
        )
        return [PackagedFacts(organism)]


def _make(name: str, organism: Organism, places: Places, reporter: Reporter) -> GeneSource:
    if name == "packaged":
        return PackagedFacts(organism)
    if name == "table":
        if places.table is None:
            raise ScReaderError("--source table needs a table.", remedy="Give --table FILE.")
        return UserTable(organism, Path(places.table))
    if name == "ncbi-files":
        return _bulk(organism, places, reporter)
    cache = DiskCache(places.cache_folder / ANSWERS)
    if name == "eutils":
        return eutils.Eutils(organism, cache, places.eutils_url, places.refresh, reporter)
    return datasets.Datasets(organism, cache, places.datasets_url, places.refresh, reporter)


def _bulk(organism: Organism, places: Places, reporter: Reporter) -> GeneSource:
    """Local copies where gene_info is given; otherwise everything is downloaded."""
    if places.gene_info:
        infos = [Path(path) for path in places.gene_info]
    else:
        infos = [places.fetched(downloads.info_path(organism), reporter)]
    summaries = [Path(path) for path in places.gene_summary]
    if not places.gene_info and not summaries:
        summaries = [places.fetched("gene_summary.gz", reporter)]
    history = [Path(path) for path in places.gene_history]
    return BulkFiles(organism, infos, summaries, history, _history_finder(places, reporter))


def _history_finder(places: Places, reporter: Reporter) -> FindHistory:
    """gene_history is a large file of all species, so it is fetched only where it is needed."""

    def find(unknown: Sequence[str]) -> Sequence[Path]:
        many = f"{len(unknown):,} GeneIDs such as" if len(unknown) > 1 else "GeneID"
        told = f"{many} {unknown[0]} not in gene_info"
        if places.gene_info:
            reporter.info(f"{told}; --gene-history would tell which were withdrawn.")
            return ()
        try:
            reporter.info(f"{told}; gene_history tells which were withdrawn.")
            return [places.fetched("gene_history.gz", reporter)]
        except Unreachable as error:
            reporter.info(f"{error} These GeneIDs stay unknown.")
            return ()

    return find
