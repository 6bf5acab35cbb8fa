"""A frozen decoder of Llama's kind: the token sequence of cells, and its layers one by one.

In the sequence, cls comes right after the last real token and padding on the right of it; attention
is causal, so no mask is needed and the fast kernels apply. An instruction that comes first is the
same for all cells: its keys and values are computed once.

Differences to the library's own call: no mask, so the causal kernels apply; keys and values of a
prefix that all cells share are computed once; the last layer goes on only for the positions that
are read; and steps keep for the backward pass only what a frozen layer needs. The library's keep
more: RMSNorm a float32 copy of its input, the gated unit the activated gate beside gate and up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.frozen_llm import FrozenLLM
from screader_lib.reader.llm.machine import Processes

SUPPORTED = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
KeysValues = tuple[Tensor, Tensor]
INSTRUCTION_FIRST = "instruction-cell-cls"


def read(
    llm: FrozenLLM,
    tokens: Tensor,
    lengths: Tensor,
    cls: Tensor,
    order: str,
    poolings: tuple[str, ...] = ("cls", "mean"),
) -> dict[str, Tensor]:
    """Let the LLM read cells.

    ``tokens`` float32 (cells, width, hidden), ``lengths`` int64 (cells,), ``cls`` (hidden,).
    Returns, float32 (cells, hidden), the output at ``cls`` and, where ``poolings`` ask for it,
    the ``mean`` output over the genes (zero for a cell without genes).
    """
    cells, width, hidden = tokens.shape
    instruction, dtype = llm.instruction.to(tokens), llm.model.dtype
    supported = is_supported(llm.model)
    prefix: list[KeysValues] = []
    if supported and order == INSTRUCTION_FIRST and len(instruction):
        if llm.prefix is None:
            llm.prefix = Decoder(llm.model).prefix(instruction)
        prefix, instruction = llm.prefix, instruction[:0]
    source, first_gene = layout(lengths, width, len(instruction), order)
    parts = [
        tokens.to(dtype),
        instruction.expand(cells, -1, -1).to(dtype),
        cls.expand(cells, 1, hidden).to(dtype),
        tokens.new_zeros(cells, 1, hidden, dtype=dtype),
    ]
    embedded = torch.cat(parts, 1).gather(1, source[..., None].expand(-1, -1, hidden))
    last = lengths + len(instruction)
    decoder = Decoder(llm.model, llm.checkpointed)
    if supported and "mean" not in poolings:
        return {"cls": decoder(embedded, prefix, last)[:, 0].float()}
    if supported:
        outputs = decoder(embedded, prefix)
    else:
        outputs = llm.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    genes = outputs[:, first_gene : first_gene + width].float()
    is_gene = torch.arange(width, device=lengths.device)[None] < lengths[:, None]
    return {
        "cls": outputs[torch.arange(cells, device=outputs.device), last].float(),
        "mean": (genes * is_gene[..., None]).sum(1) / lengths.clamp(min=1)[:, None],
    }


def layout(lengths: Tensor, width: int, instruction: int, order: str) -> tuple[Tensor, int]:
    """Where each token comes from, and where genes begin.

    The source is [genes 0…width−1 | instruction | cls | nothing]. Returns source indices int64
    (cells, tokens) and the position of the first gene (0 or ``instruction``).
    """
    position = torch.arange(width + instruction + 1, device=lengths.device)[None]
    length = lengths[:, None]
    cls, nothing = width + instruction, width + instruction + 1
    if order == INSTRUCTION_FIRST:
        first_gene = instruction
        is_instruction, instruction_index = position < instruction, position
        gene_index = position - instruction
    else:
        first_gene = 0
        is_instruction = (position >= length) & (position < length + instruction)
        instruction_index, gene_index = position - length, position.expand(len(lengths), -1)
    is_gene = (gene_index >= 0) & (gene_index < length) & ~is_instruction
    source = torch.full((len(lengths), position.shape[1]), nothing, device=lengths.device)
    source = torch.where(is_gene, gene_index, source)
    source = torch.where(is_instruction, width + instruction_index, source)
    return torch.where(position == length + instruction, cls, source), first_gene


def is_supported(model: Any) -> bool:
    """Whether this module computes the model's layers.

    Not those with a sliding window or a rotary encoding that changes with the length, nor layers
    on several devices: the library moves values between them.
    """
    config, kind = model.config, type(model).__name__
    is_windowed = getattr(config, "sliding_window", None) and (
        kind == "MistralModel" or getattr(config, "use_sliding_window", False)
    )
    scaling = getattr(config, "rope_scaling", None) or {}
    is_dynamic = scaling.get("rope_type", scaling.get("type")) in ("dynamic", "longrope")
    is_spread = len(set(getattr(model, "hf_device_map", {}).values())) > 1
    return kind in SUPPORTED and not is_windowed and not is_dynamic and not is_spread


class Decoder:
    """Calls the layers of ``model``.

    The first ``checkpointed`` layers keep only their input for the backward pass, and are
    computed again there.
    """

    def __init__(self, model: Any, checkpointed: int = 0) -> None:
        self.model = model
        self.checkpointed = checkpointed

    @torch.no_grad()
    def prefix(self, tokens: Tensor) -> list[KeysValues]:
        """Keys and values (1, heads, n, width) per layer of the first ``tokens`` (n, hidden)."""
        hidden = tokens[None].to(self.model.dtype)
        rotation = self._rotation(hidden, 0)
        prefix = []
        for layer in self.model.layers:
            hidden, keys_values = _run(layer, hidden, rotation, None, None)
            prefix.append(keys_values)
        return prefix

    def __call__(
        self, hidden: Tensor, prefix: list[KeysValues], positions: Tensor | None = None
    ) -> Tensor:
        """Outputs of the tokens ``hidden`` (cells, tokens, hidden), which come after the prefix.

        With ``positions`` int64 (cells,): the outputs of these tokens only, (cells, 1, hidden).
        """
        hidden = hidden.to(self.model.dtype)
        rotation = self._rotation(hidden, prefix[0][0].shape[2] if prefix else 0)
        last = len(self.model.layers) - 1
        for number, layer in enumerate(self.model.layers):
            inputs = (
                hidden,
                rotation,
                prefix[number] if prefix else None,
                positions if number == last else None,
            )
            if number < self.checkpointed and hidden.requires_grad:
                hidden, _ = checkpoint(
                    _run, layer, *inputs, use_reentrant=False, preserve_rng_state=False
                )
            else:
                hidden, _ = _run(layer, *inputs)
        norm = self.model.norm  # none where the LLM was shortened
        return norm(hidden) if isinstance(norm, nn.Identity) else rms_norm(norm, hidden)

    def _rotation(self, hidden: Tensor, start: int) -> tuple[Tensor, Tensor]:
        positions = torch.arange(start, start + hidden.shape[1], device=hidden.device)[None]
        cosine, sine = self.model.rotary_emb(hidden, positions)
        return cosine[:, None], sine[:, None]


class LayerStep(nn.Module):
    """A layer as this module computes it, for torch's compiler or FSDP to wrap."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Any) -> tuple[Tensor, KeysValues]:
        """See _run_layer."""
        return _run_layer(self.layer, *inputs)


def compile_layers(model: Any, backend: str = "inductor") -> None:
    """Let torch compile each layer when it is first called."""
    model.layers = nn.ModuleList(
        layer if isinstance(layer, LayerStep) else LayerStep(layer) for layer in model.layers
    )
    for step in model.layers:
        step.compile(dynamic=True, backend=backend)


def shard_layers(model: Any, processes: Processes) -> None:
    """Distribute each layer over the processes' devices (fully sharded data parallel).

    Before a layer runs, forward or backward, its shards are brought together, and freed after it,
    so all processes must run their layers in step. ScReaderError where the layers are not
    supported.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not is_supported(model):
        raise ScReaderError(
            f"a {type(model).__name__} cannot be distributed over several processes.",
            remedy="Use one process with --device spread.",
        )
    mesh = init_device_mesh(torch.device(processes.device).type, (processes.count,))
    steps = [LayerStep(layer) for layer in model.layers]
    for step in steps:
        fully_shard(step, mesh=mesh, reshard_after_forward=True)
    model.layers = nn.ModuleList(steps)
    for name, part in model.named_children():
        if name != "layers":
            part.to(processes.device)


def _run(layer: nn.Module, *inputs: Any) -> tuple[Tensor, KeysValues]:
    return layer(*inputs) if isinstance(layer, LayerStep) else _run_layer(layer, *inputs)


def _run_layer(
    layer: Any,
    hidden: Tensor,
    rotation: tuple[Tensor, Tensor],
    prefix: KeysValues | None,
    positions: Tensor | None,
) -> tuple[Tensor, KeysValues]:
    """One layer's output, and the keys and values of its own tokens."""
    attention = layer.self_attn
    inner = rms_norm(layer.input_layernorm, hidden)
    keys = _rotate(_heads(attention, "k", inner), rotation)
    values = _heads(attention, "v", inner)
    if positions is not None:
        cells = torch.arange(len(hidden), device=hidden.device)
        hidden, inner = hidden[cells, positions][:, None], inner[cells, positions][:, None]
        cosine, sine = rotation
        rotation = cosine[0, 0, positions][:, None, None], sine[0, 0, positions][:, None, None]
    queries = _rotate(_heads(attention, "q", inner), rotation)
    own = (keys, values)
    prefix_length = prefix[0].shape[2] if prefix else 0
    if prefix:
        keys = torch.cat([prefix[0].expand(len(hidden), -1, -1, -1), keys], 2)
        values = torch.cat([prefix[1].expand(len(hidden), -1, -1, -1), values], 2)
    repeats = queries.shape[1] // keys.shape[1]
    if repeats > 1:  # grouped-query attention
        keys, values = keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)
    if positions is not None:
        ranks = torch.arange(keys.shape[2], device=keys.device)
        mask = (ranks <= prefix_length + positions[:, None])[:, None, None]
        attended = scaled_dot_product_attention(
            queries, keys, values, mask, scale=attention.scaling
        )
    else:
        # Empty queries for the prefix make it square: is_causal needs no mask then.
        queries = pad(queries, (0, 0, prefix_length, 0))
        attended = scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=attention.scaling
        )[:, :, prefix_length:]
    hidden = hidden + attention.o_proj(attended.transpose(1, 2).flatten(2))
    return hidden + gated_unit(layer.mlp, rms_norm(layer.post_attention_layernorm, hidden)), own


def _heads(attention: Any, name: str, inner: Tensor) -> Tensor:
    """Queries, keys or values (cells, heads, tokens, width)."""
    heads = getattr(attention, f"{name}_proj")(inner)
    heads = heads.view(*inner.shape[:2], -1, attention.head_dim)
    norm: nn.Module | None = getattr(attention, f"{name}_norm", None)
    return (heads if norm is None else norm(heads)).transpose(1, 2)


def _rotate(heads: Tensor, rotation: Sequence[Tensor]) -> Tensor:
    """Rotary position encoding (Su et al. 2021), halves as in Llama's weights."""
    first, second = heads.chunk(2, -1)
    return heads * rotation[0] + torch.cat([-second, first], -1) * rotation[1]


def rms_norm(norm: Any, hidden: Tensor) -> Tensor:
    """The output of an RMSNorm of transformers."""
    return _RMSNorm.apply(hidden, norm.weight, norm.variance_epsilon)


class _RMSNorm(Function):
    """RMSNorm (Zhang, Sennrich 2019) with a frozen weight."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.epsilon = epsilon
        wide = hidden.float()
        return weight * (wide * _inverse_rms(wide, epsilon)).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        hidden, weight = ctx.saved_tensors
        wide = hidden.float()
        factor = _inverse_rms(wide, ctx.epsilon)
        gradient = (gradients[0] * weight).float()
        mean = (gradient * wide).mean(-1, keepdim=True)
        return (factor * (gradient - wide * (factor * factor * mean))).to(hidden.dtype), None, None


def _inverse_rms(wide: Tensor, epsilon: float) -> Tensor:
    return torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)


def gated_unit(mlp: Any, hidden: Tensor) -> Tensor:
    """The output of a gated unit of transformers; its own code where it is not of SiLU."""
    if not isinstance(mlp.act_fn, nn.SiLU) and type(mlp.act_fn).__name__ != "SiLUActivation":
        return mlp(hidden)
    return mlp.down_proj(_GatedSiLU.apply(mlp.gate_proj(hidden), mlp.up_proj(hidden)))


class _GatedSiLU(Function):
    """silu(gate) × up (Shazeer 2020)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate) * up

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        gate_gradient = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return gate_gradient, gradients[0] * silu(gate)
