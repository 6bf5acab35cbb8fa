"""Run a local transformer over many texts: batches of like length, pooling, precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Keep
from screader_lib.gguf_files import read_once
from screader_lib.reporting import Reporter

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")
POOLINGS = ("mean", "cls", "max", "lasttoken")
TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 65_536}  # a CPU's batch should stay in its cache
LONGEST_BY_DEFAULT = 8_192
CPU_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class EncoderSettings:
    """How a model is run; ``layer`` is the hidden layer that is pooled, −1 the last."""

    pooling: str = "mean"
    normalize: bool = False
    longest: int | None = None
    lower: bool = False
    prefix: str = ""
    precision: str = "auto"
    device: str = "auto"
    layer: int = -1


class Encoder:
    """A transformer and its tokenizer, from a Hugging Face id, a folder or a GGUF file."""

    def __init__(self, model: str, settings: EncoderSettings) -> None:
        import torch

        self.settings = settings
        self.device = _device(settings.device)
        self.dtype = _dtype(settings.precision, self.device)
        self.tokenizer, self.model = load(model, self.dtype)
        self.model.to(self.device).eval().requires_grad_(False)
        self.longest = _longest(self.tokenizer, self.model.config, settings.longest)
        self.truncated = 0
        self._torch = torch

    def encode(
        self, texts: Sequence[str], reporter: Reporter, keep: Keep | None = None
    ) -> np.ndarray:
        """float32 (texts, dim); the number of texts cut to the model's length is reported."""
        tokens = self._tokens(texts)
        vectors: np.ndarray | None = None
        budget = TOKENS_PER_BATCH.get(self.device, TOKENS_PER_BATCH["cpu"])
        with (
            reporter.progress("Embedding", len(texts), "genes") as advance,
            self._torch.inference_mode(),
        ):
            for rows in batches([len(one) for one in tokens], budget):
                batch = self._batch([tokens[row] for row in rows])
                if vectors is None:
                    vectors = np.zeros((len(texts), batch.shape[1]), np.float32)
                vectors[rows] = batch
                if keep is not None:
                    keep([texts[row] for row in rows], batch)
                advance(len(rows))
        if self.truncated:
            reporter.info(f"{self.truncated:,} texts were cut to {self.longest:,} tokens.")
        if vectors is None or not np.isfinite(vectors).all():
            raise ScReaderError("the model gave no finite vectors.", remedy="Try float32.")
        return vectors

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        prepared = [self.settings.prefix + text for text in texts]
        if self.settings.lower:
            prepared = [text.lower() for text in prepared]
        tokens = self.tokenizer(prepared, verbose=False)["input_ids"]
        long = [row for row, one in enumerate(tokens) if len(one) > self.longest]
        self.truncated = len(long)
        if long:
            cut = self.tokenizer(
                [prepared[row] for row in long], truncation=True, max_length=self.longest
            )["input_ids"]
            for row, one in zip(long, cut, strict=True):
                tokens[row] = one
        return [list(one) or [0] for one in tokens]

    def _batch(self, tokens: list[list[int]]) -> np.ndarray:
        torch = self._torch
        width = max(len(one) for one in tokens)
        ids = np.full((len(tokens), width), self.tokenizer.pad_token_id or 0, np.int64)
        mask = np.zeros((len(tokens), width), np.int64)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = one
            mask[row, : len(one)] = 1
        inputs = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }
        if self.settings.layer == -1:
            hidden = self.model(**inputs).last_hidden_state
        else:
            hidden = self._layer(self.model(**inputs, output_hidden_states=True).hidden_states)
        pooled = pool(hidden.float(), inputs["attention_mask"], self.settings.pooling)
        if self.settings.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        vectors: np.ndarray = pooled.cpu().numpy()
        return vectors

    def _layer(self, layers: tuple[torch.Tensor, ...]) -> torch.Tensor:
        layer = self.settings.layer
        if not -len(layers) <= layer < len(layers):
            raise ScReaderError(
                f"the model has no hidden layer {layer}.",
                remedy=f"Layers are 0 (the token embeddings) to {len(layers) - 1}.",
            )
        return layers[layer]


def pool(hidden: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """(texts, dim) from hidden states (texts, tokens, dim) and a mask padded on the right."""
    if how == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if how == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    if how == "lasttoken":
        last = (mask.sum(1) - 1).clamp(min=0)
        return hidden[range(len(hidden)), last]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Rows in batches of like length, the longest first, whose padded size keeps to ``budget``.

    The longest come first so that memory is short at the beginning or never.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        width = max(1, lengths[order[start]])
        stop = min(len(order), start + max(1, budget // width))
        yield order[start:stop]
        start = stop


def load(model: str, dtype: Any) -> tuple[Any, Any]:
    """Tokenizer and model; ScReaderError in one line where they cannot be had."""
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_place(model)
    options: dict[str, Any] = {}
    path = Path(model)
    if path.suffix == ".gguf":
        model, options = str(path.parent), {"gguf_file": path.name}
    weights = {} if options else {"use_safetensors": True}  # never unpickle
    try:
        with read_once():
            tokenizer = AutoTokenizer.from_pretrained(model, **options)
            network = AutoModel.from_pretrained(model, dtype=dtype, **options, **weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ScReaderError(
            f"cannot be loaded as a model ({first}).",
            file=path if options else model,
            remedy="Give a Hugging Face id or a folder with config.json and model.safetensors.",
        ) from error
    return tokenizer, network


def check_place(model: str) -> None:
    """ScReaderError for a path at which there is no model; an id may be any other name."""
    path = Path(model)
    is_path = path.is_absolute() or model.startswith(".") or path.suffix == ".gguf"
    if not path.is_dir() and (is_path or path.exists()) and not path.is_file():
        raise ScReaderError("is no folder with a model.", file=model)
    if path.is_file() and path.suffix != ".gguf":
        raise ScReaderError("is a file, wanted a folder with a model, or a GGUF file.", file=model)


def fingerprint(model: str) -> tuple[str, ...]:
    """An id as it is; of a folder or file its place, and the sizes and times of its files."""
    path = Path(model)
    if not path.exists():
        return (model,)
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    states = ((file.name, file.stat()) for file in files if file.is_file())
    marks = (f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    return (str(path.resolve()), *marks)


def _longest(tokenizer: Any, config: Any, asked: int | None) -> int:
    limits = [asked, tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    return int(min([limit for limit in limits if limit] + [LONGEST_BY_DEFAULT]))


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise ScReaderError("--device cuda: PyTorch sees no GPU.", remedy="Use --device cpu.")
    return asked


def _dtype(precision: str, device: str) -> Any:
    import torch

    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device == "cuda" else _cpu_has_bf16()
        precision = "bfloat16" if fast else "float32"
    return getattr(torch, precision)


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False
    lines = (line for line in flags.splitlines() if line.startswith(("flags", "Features")))
    return bool(CPU_BF16 & set(next(lines, "").split()))
