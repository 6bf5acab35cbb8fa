"""Where to compute, and how to get the same numbers every time."""

from __future__ import annotations

import os

from screader_lib.errors import ScReaderError


def prepare(device: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``; sets torch to repeat its results.

    ScReaderError where a GPU is asked for and there is none.
    """
    # Threads that wait must not burn the cores of other processes (libgomp's default).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that transformers draws while loading
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ScReaderError("no GPU that torch can use.", remedy="Use --device cpu.")
    return device
