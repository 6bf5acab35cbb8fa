"""Load a frozen LLM of Llama's kind and say which one it is.

Where its weights come from: weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from screader_lib.errors import ScReaderError
from screader_lib.gguf_files import read_once
from screader_lib.reader.llm.weights import LLMSource, find_weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LLMIdentity:
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
    layers are computed again for the backward pass; see decoder. ``pieces``: processes that its
    layers are cut over; see sharding.
    """

    model: PreTrainedModel
    identity: LLMIdentity
    instruction: torch.Tensor
    token_norm: float
    prefix: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    checkpointed: int = 0
    pieces: int = 1


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
    LLM goes without its final norm, which belongs to the last layer. With the ``device`` spread,
    its layers lie on all GPUs, and on the CPU what does not fit there. ScReaderError where it
    cannot be had.
    """
    import torch

    from screader_lib.reader.llm.float8 import to_float8

    _quiet_transformers()
    source = find_weights(name, revision)
    dtype = _dtype(precision, device)
    options = _quantization(source, quantize, random_seed, device)
    if device == "spread":
        options["device_map"] = "auto"
    with read_once():
        model = _model(source, dtype, random_seed, options)
        tokens = _tokens(source, instruction)
    total = model.config.num_hidden_layers
    layers = min(layers or total, total)
    if layers < total:
        model.layers = model.layers[:layers]  # type: ignore[index]
        model.norm = torch.nn.Identity()
        model.config.num_hidden_layers = layers
    model.eval().requires_grad_(False)
    if quantize in ("none", "fp8") and not hasattr(model, "hf_device_map"):
        model.to(_place(device))  # type: ignore[arg-type]
    if quantize == "fp8":
        to_float8(model)
    table: Any = model.get_input_embeddings().weight
    tokens = tokens.to(table.device)
    weights = f"random, seed {random_seed}" if random_seed is not None else source.digest()
    identity = LLMIdentity(
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


def _place(device: str) -> str:
    import torch

    if device != "spread":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _fast_bfloat16(device: str) -> bool:
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capability())


def _quantization(
    source: LLMSource, quantize: str, random_seed: int | None, device: str
) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for bitsandbytes; ScReaderError where it cannot be."""
    if quantize in ("none", "fp8"):
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
    source: LLMSource, dtype: torch.dtype, random_seed: int | None, quantization: dict[str, Any]
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


def _check_complete(found: dict[str, Any], source: LLMSource) -> None:
    """transformers draws weights that a file lacks at random: refused instead."""
    missing = sorted(found["missing_keys"])
    if missing:
        raise ScReaderError(
            f"its files lack {len(missing):,} of its weights, such as {missing[0]}.",
            file=f"LLM {source.name}",
        )


def _tokens(source: LLMSource, instruction: str) -> torch.Tensor:
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
