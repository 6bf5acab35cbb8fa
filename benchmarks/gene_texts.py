"""Gene texts and their embeddings: seconds, memory, how many genes, how many texts a second.

    python benchmarks/gene_texts.py fetch FOLDER     (bulk files and h5ad of FOLDER, see below)
    python benchmarks/gene_texts.py embed DESCRIPTIONS [--texts 2000] [--rounds 3]

FOLDER holds baron_human.h5ad, baron_mouse.h5ad, {Homo_sapiens,Mus_musculus}.gene_info.gz,
gene_summary.{human,mouse}.gz and gene_matches_1v1_human2mouse.csv.gz. ``embed`` needs the package
sentence-transformers, to compare with; both are handed the same texts in the same order, in turns,
in one process. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np

SPECIES = {"human": ("Homo_sapiens", "human"), "mouse": ("Mus_musculus", "mouse")}


def fetch(folder: Path) -> None:
    """Descriptions of all genes of two data sets from local bulk files."""
    print("| data | names | matched | with a summary | seconds | MB of memory |")
    print("|---|---|---|---|---|---|")
    for species, fill in (("human", False), ("mouse", False), ("mouse", True)):
        with tempfile.TemporaryDirectory() as temporary:
            output = Path(temporary) / "d.h5ad"
            seconds, memory = _measure(_command(folder, species, fill, output))
            with h5py.File(output) as file:
                names = file["obs/id"].shape[0]
                matched = int((file["obs/symbol"].asstr()[()] != "").sum())
                known = file["obs/gene_id"].asstr()[()] != ""
                summaries = int((file["obs/summary"].asstr()[()] != "").sum())
        title = f"Baron {species}" + (", --fill ortholog" if fill else "")
        assert matched == names
        share = f"{int(known.sum()):,} ({known.mean():.1%})"
        print(
            f"| {title} | {names:,} | {share} | {summaries:,} ({summaries / names:.1%}) "
            f"| {seconds:.1f} | {memory:.0f} |",
            flush=True,
        )


def _command(folder: Path, species: str, fill: bool, output: Path) -> list[str]:
    words = [str(Path(sys.executable).with_name("fetch-descriptions")), "--quiet"]
    words += ["--genes", str(folder / f"baron_{species}.h5ad"), "--organism", species]
    for needed in ("mouse", "human") if fill else (species,):
        info, summary = SPECIES[needed]
        words += ["--gene-info", str(folder / f"{info}.gene_info.gz")]
        words += ["--gene-summary", str(folder / f"gene_summary.{summary}.gz")]
    if fill:
        table = folder / "gene_matches_1v1_human2mouse.csv.gz"
        words += ["--fill", "ortholog", "--orthologs", str(table)]
    return [*words, "-o", str(output)]


def _measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and the largest resident set in MB of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - begin, usage.ru_maxrss * 1024 / 1e6


def embed(descriptions: Path, texts: int, rounds: int) -> None:
    """Texts a second of embed-genes' packaged model and of sentence-transformers, in turns."""
    import torch
    from sentence_transformers import SentenceTransformer

    from screader_lib.genes.providers.local_models import (
        Encoder,
        EncoderSettings,
        packaged_model_folder,
        read_settings,
    )
    from screader_lib.reporting import SILENT

    with h5py.File(descriptions) as file:
        found = [text for text in file["obs/text"].asstr()[()] if text]
    chosen = np.random.default_rng(0).permutation(sorted(set(found)))[:texts].tolist()
    length = np.mean([len(text) for text in chosen])
    print(f"{len(chosen):,} texts, {length:.0f} characters on average; {torch.get_num_threads()} "
          f"threads, torch {torch.__version__}.\n")  # fmt: skip
    model = str(packaged_model_folder())
    print("| precision | embed-genes, texts/s | SentenceTransformer.encode, texts/s | ratio |"
          " smallest cosine similarity |")  # fmt: skip
    print("|---|---|---|---|---|")
    for precision in ("bfloat16", "float32"):
        ours = Encoder(
            model, read_settings(model, EncoderSettings(precision=precision, device="cpu"))
        )
        theirs = SentenceTransformer(
            model, device="cpu", model_kwargs={"dtype": getattr(torch, precision)}
        )
        ways: dict[str, Callable[[], np.ndarray]] = {
            "ours": lambda ours=ours: ours.encode(chosen, SILENT),
            "theirs": lambda theirs=theirs: theirs.encode(chosen),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        vectors = {}
        for _ in range(rounds):
            for name, way in ways.items():
                begin = time.perf_counter()
                vectors[name] = np.asarray(way(), np.float32)
                rates[name].append(len(chosen) / (time.perf_counter() - begin))
        units = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in vectors.values()]
        agreement = float((units[0] * units[1]).sum(1).min())
        shown = [f"{median(rate):.1f} ({min(rate):.1f} to {max(rate):.1f})"
                 for rate in rates.values()]  # fmt: skip
        ratio = median(a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True))
        print(f"| {precision} | {' | '.join(shown)} | {ratio:.2f} | {agreement:.4f} |", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["fetch", "embed"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.what == "fetch":
        fetch(options.path)
    else:
        embed(options.path, options.texts, options.rounds)


if __name__ == "__main__":
    main()
