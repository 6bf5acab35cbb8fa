"""sentence-transformers models, read without that package.

Layout: ``modules.json`` lists the steps; ``1_Pooling/config.json`` the pooling;
``sentence_bert_config.json`` the greatest length (sentence-transformers documentation,
"Creating Custom Models").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, Keep
from screader_lib.genes.providers.local_encoder import (
    POOLINGS,
    Encoder,
    EncoderSettings,
    check_place,
    fingerprint,
)
from screader_lib.reporting import Reporter

KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")


class SentenceTransformer(Embedder):
    """A sentence-transformers model by folder or Hugging Face id.

    ScReaderError for a model with steps other than transformer, pooling and normalisation.
    """

    provider = "sentence-transformers"

    def __init__(self, model: str, settings: EncoderSettings, name: str = "") -> None:
        self.model = name or model_name(model)
        self.place = model
        self.settings = read_settings(model, settings)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.provider, *fingerprint(self.place), repr(self.settings))

    def embed(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        reporter.detail(f"model {self.model}, {self.settings.pooling} pooling.")
        return Encoder(self.place, self.settings).encode(texts, reporter, keep)


def model_name(model: str) -> str:
    """A folder's own name, so that no machine's paths reach an output; an id as it is."""
    return Path(model).resolve().name if Path(model).exists() else model


def read_settings(model: str, settings: EncoderSettings) -> EncoderSettings:
    """``settings`` with pooling, normalisation, length, case and prompt as the model says."""
    modules = _config(model, "modules.json")
    if modules is None:
        return settings
    steps = [str(step["type"]).rpartition(".")[2] for step in modules]
    unknown = [step for step in steps if step not in KNOWN_STEPS]
    if unknown or steps[:1] != ["Transformer"]:
        raise ScReaderError(
            f"has a step {(unknown or steps or ['none'])[0]!r}, wanted {', '.join(KNOWN_STEPS)}.",
            file=model,
            remedy="Choose another model.",
        )
    text = _config(model, "sentence_bert_config.json") or {}
    prompts = _config(model, "config_sentence_transformers.json") or {}
    prompt = (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name") or "", "")
    limits = [limit for limit in (text.get("max_seq_length"), settings.longest) if limit]
    pooling_folder = next(
        (step["path"] for step in modules if str(step["type"]).endswith("Pooling")), None
    )
    return replace(
        settings,
        pooling="mean" if pooling_folder is None else _pooling(model, pooling_folder),
        normalize="Normalize" in steps,
        longest=min(limits) if limits else None,
        lower=bool(text.get("do_lower_case")),
        prefix=prompt,
    )


def _pooling(model: str, folder: str) -> str:
    config = _config(model, f"{folder}/config.json") or {}
    modes = config.get("pooling_mode") or [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, chosen in config.items()
        if key.startswith("pooling_mode_") and chosen is True
    ]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ScReaderError(
            f"pools by {' and '.join(modes) or 'nothing'}, wanted one of {', '.join(POOLINGS)}.",
            file=model,
            remedy="Choose another model.",
        )
    return str(modes[0])


def _config(model: str, file: str) -> Any:
    """A JSON file of the model; None where it has none."""
    check_place(model)
    if Path(model).exists():
        path = Path(model) / file
        found = str(path) if path.is_file() else None
    else:
        from transformers.utils import cached_file

        try:
            found = cached_file(model, file, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise ScReaderError(
                f"cannot be had ({first}).",
                file=model,
                remedy="Give a folder, or a Hugging Face id that this machine can reach.",
            ) from error
    if found is None:
        return None
    try:
        return json.loads(Path(found).read_text("utf-8"))
    except ValueError as error:
        raise ScReaderError("is not JSON.", file=found) from error
