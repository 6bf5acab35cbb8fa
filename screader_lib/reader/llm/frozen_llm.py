"""Loads a frozen LLM of Llama's kind and identifies it by its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers.local_models import torch_dtype
from screader_lib.gguf_files import read_once
from screader_lib.reader.llm.machine import Machine
from screader_lib.reader.llm.weights import LLMSource, find_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
    ``token_norm``: mean Euclidean length of the LLM's own token embeddings. ``prefix``: keys and
    values of the instruction per layer, once they were computed. ``checkpointed`` layers are
    recomputed in the backward pass. ``shards``: processes that its layers are distributed over.
    """

    model: PreTrainedModel
    identity: LLMIdentity
    instruction: torch.Tensor
    token_norm: float
    prefix: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    checkpointed: int = 0
    shards: int = 1


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
    cannot be loaded.
    """
    import transformers

    from screader_lib.reader.llm.float8 import to_float8

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = find_weights(name, revision)
    options: dict[str, Any] = {"dtype": torch_dtype(precision, device)}
    options |= _quantization(source, quantize, random_seed, device)
    if device == "spread":
        options["device_map"] = "auto"
    with read_once():
        model = _load_model(source, options, random_seed)
        tokens = _tokenize(source, instruction)
    if layers and layers < model.config.num_hidden_layers:
        model.layers = model.layers[:layers]  # type: ignore[index]
        model.norm = torch.nn.Identity()
        model.config.num_hidden_layers = layers
    model.eval().requires_grad_(False)
    if quantize in ("none", "fp8") and not hasattr(model, "hf_device_map"):
        model.to(Machine(device).torch_device)  # type: ignore[arg-type]
    if quantize == "fp8":
        to_float8(model)
    identity = LLMIdentity(
        source.name,
        source.kind,
        source.revision,
        model.config.num_hidden_layers,
        model.config.hidden_size,
        source.digest() if random_seed is None else f"random, seed {random_seed}",
    )
    table: Any = model.get_input_embeddings().weight
    instruction_embeddings = table[tokens.to(table.device)].float()
    token_norm = float(table.float().norm(dim=1).mean())
    return FrozenLLM(model, identity, instruction_embeddings, token_norm)


def _quantization(
    source: LLMSource, quantize: str, random_seed: int | None, device: str
) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for bitsandbytes; ScReaderError where it cannot be used."""
    if quantize in ("none", "fp8"):
        return {}
    if source.kind == "packaged" or random_seed is not None:
        raise ScReaderError(
            f"--quantize {quantize} works neither with the packaged LLM nor with a random one."
        )
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ScReaderError(
            f"--quantize {quantize} needs bitsandbytes.", remedy="pip install 'screader-suite[gpu]'"
        )
    config = BitsAndBytesConfig(
        load_in_8bit=quantize == "8bit",
        load_in_4bit=quantize == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def _load_model(
    source: LLMSource, options: dict[str, Any], random_seed: int | None
) -> PreTrainedModel:
    from transformers import AutoConfig, AutoModel

    try:
        if random_seed is not None:
            config = AutoConfig.from_pretrained(source.path, **source.options)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(random_seed)
                return AutoModel.from_config(config).to(options["dtype"])
        if source.kind != "packaged":
            options["use_safetensors"] = True  # pickled weights are not read
        model, report = AutoModel.from_pretrained(
            source.path, output_loading_info=True, **source.options, **options
        )
    except Exception as error:  # transformers and safetensors raise kinds of their own
        raise ScReaderError(f"cannot be loaded ({error}).", file=f"LLM {source.name}") from error
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would draw them at random
        raise ScReaderError(
            f"its files lack {len(missing):,} of its weights, such as {missing[0]}.",
            file=f"LLM {source.name}",
        )
    return model


def _tokenize(source: LLMSource, instruction: str) -> torch.Tensor:
    """Token ids int64 of the instruction."""
    from transformers import AutoTokenizer

    if not instruction:
        return torch.zeros(0, dtype=torch.long)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.path, **source.options)
    except Exception as error:  # transformers and tokenizers raise kinds of their own
        raise ScReaderError(
            "has no readable tokenizer.",
            file=f"LLM {source.name}",
            remedy="Put it beside the weights, or give an empty --instruction.",
        ) from error
    ids = tokenizer(instruction, add_special_tokens=True)["input_ids"]
    return torch.tensor(ids, dtype=torch.long)
