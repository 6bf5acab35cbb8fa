"""A frozen decoder of Llama's kind, called layer by layer.

Beside the library's own call: no mask, so the causal kernels apply; keys and values of tokens
that all cells share are computed once; the last layer goes on only for the tokens that are read.

Steps of a frozen layer that keep for the backward pass only what it needs.

The library's own steps keep more: RMSNorm a float32 copy of what comes in, the gated unit the
activated gate beside gate and input. Values and gradients are the same. A frozen linear layer
keeps nothing but its weights in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

KNOWN = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
Shared = list[tuple[Tensor, Tensor]]


def is_known(model: Any) -> bool:
    """Whether the model's layers are those that this module computes.

    Not where they lie on several devices: the library moves values between them.
    """
    config = model.config
    windowed = getattr(config, "sliding_window", None) and (
        type(model).__name__ == "MistralModel" or getattr(config, "use_sliding_window", False)
    )
    scaling = getattr(config, "rope_scaling", None) or {}
    changing = scaling.get("rope_type", scaling.get("type")) in ("dynamic", "longrope")
    spread = len(set(getattr(model, "hf_device_map", {}).values())) > 1
    return type(model).__name__ in KNOWN and not windowed and not changing and not spread


class LayerStep(nn.Module):
    """What this module computes of a layer, as a module of its own; see sharding."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """See _layer."""
        return _layer(self.layer, *inputs)


def compile_layers(model: Any, backend: str = "inductor") -> None:
    """Let torch compile what is computed of each layer, when it is first asked for."""
    model.layers = nn.ModuleList(
        layer if isinstance(layer, LayerStep) else LayerStep(layer) for layer in model.layers
    )
    for step in model.layers:
        step.compile(dynamic=True, backend=backend)


class Decoder:
    """Calls the layers of ``model``.

    The first ``checkpointed`` layers keep only what comes into them for the backward pass, and
    are computed again there.
    """

    def __init__(self, model: Any, checkpointed: int = 0) -> None:
        self.model = model
        self.checkpointed = checkpointed

    @torch.no_grad()
    def shared(self, tokens: Tensor) -> Shared:
        """Keys and values (1, heads, tokens, width) per layer of first ``tokens`` (n, hidden)."""
        found: Shared = []
        values = tokens[None].to(self.model.dtype)
        angles = self._angles(values, 0)
        for layer in self.model.layers:
            values, kept = _run(layer, values, angles, None)
            found.append(kept)
        return found

    def __call__(self, values: Tensor, shared: Shared, read: Tensor | None = None) -> Tensor:
        """Outputs of ``values`` (cells, tokens, hidden), which come after the ``shared`` tokens.

        With ``read`` int64 (cells,): the outputs at these places only, (cells, 1, hidden).
        """
        values = values.to(self.model.dtype)
        angles = self._angles(values, shared[0][0].shape[2] if shared else 0)
        last = len(self.model.layers) - 1
        for number, layer in enumerate(self.model.layers):
            before = shared[number] if shared else None
            wanted = read if number == last else None
            if number < self.checkpointed and values.requires_grad:
                values, _ = checkpoint(
                    _run, layer, values, angles, before, wanted,
                    use_reentrant=False, preserve_rng_state=False,
                )  # fmt: skip
            else:
                values, _ = _run(layer, values, angles, before, wanted)
        norm = self.model.norm  # none where the LLM was shortened
        return norm(values) if isinstance(norm, nn.Identity) else normed(norm, values)

    def _angles(self, values: Tensor, start: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(start, start + values.shape[1], device=values.device)[None]
        cosine, sine = self.model.rotary_emb(values, places)
        return cosine[:, None], sine[:, None]


def _run(layer: nn.Module, *inputs: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    found: tuple[Tensor, tuple[Tensor, Tensor]]
    found = layer(*inputs) if isinstance(layer, LayerStep) else _layer(layer, *inputs)
    return found


def _layer(
    layer: Any,
    values: Tensor,
    angles: tuple[Tensor, Tensor],
    before: tuple[Tensor, Tensor] | None,
    read: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One layer's output, and the keys and values of its own tokens."""
    attention = layer.self_attn
    inner = normed(layer.input_layernorm, values)
    keys = _turned(_heads(attention, "k", inner), angles)
    contents = _heads(attention, "v", inner)
    if read is not None:
        rows = torch.arange(len(values), device=values.device)
        values, inner = values[rows, read][:, None], inner[rows, read][:, None]
        angles = (angles[0][0, 0, read][:, None, None], angles[1][0, 0, read][:, None, None])
    queries = _turned(_heads(attention, "q", inner), angles)
    own = (keys, contents)
    first = before[0].shape[2] if before else 0
    if before:
        cells = len(values)
        keys = torch.cat([before[0].expand(cells, -1, -1, -1), keys], 2)
        contents = torch.cat([before[1].expand(cells, -1, -1, -1), contents], 2)
    repeats = queries.shape[1] // keys.shape[1]
    if repeats > 1:
        keys = keys.repeat_interleave(repeats, 1)
        contents = contents.repeat_interleave(repeats, 1)
    found = _attend(queries, keys, contents, first, read, attention.scaling)
    values = values + attention.o_proj(found.transpose(1, 2).flatten(2))
    return values + gated(layer.mlp, normed(layer.post_attention_layernorm, values)), own


def _attend(
    queries: Tensor, keys: Tensor, contents: Tensor, first: int, read: Tensor | None, scale: float
) -> Tensor:
    if read is not None:
        places = torch.arange(keys.shape[2], device=keys.device)
        seen = (places <= first + read[:, None])[:, None, None]
        return scaled_dot_product_attention(queries, keys, contents, seen, scale=scale)
    # Empty queries for the shared tokens make it square: is_causal needs no mask then.
    found = scaled_dot_product_attention(
        pad(queries, (0, 0, first, 0)), keys, contents, is_causal=True, scale=scale
    )
    return found[:, :, first:]


def _heads(attention: Any, which: str, values: Tensor) -> Tensor:
    """Queries, keys or values (cells, heads, tokens, width)."""
    found = getattr(attention, f"{which}_proj")(values)
    found = found.view(*values.shape[:2], -1, attention.head_dim)
    norm: nn.Module | None = getattr(attention, f"{which}_norm", None)
    return (found if norm is None else norm(found)).transpose(1, 2)


def _turned(values: Tensor, angles: Sequence[Tensor]) -> Tensor:
    """Rotary position encoding (Su et al. 2021), halves as in Llama's weights."""
    one, other = values.chunk(2, -1)
    return values * angles[0] + torch.cat([-other, one], -1) * angles[1]


class _Norm(Function):
    """RMSNorm (Zhang, Sennrich 2019) with a frozen weight."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.epsilon = epsilon
        wide = values.float()
        return weight * (wide * _rate(wide, epsilon)).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        values, weight = ctx.saved_tensors
        wide = values.float()
        rate = _rate(wide, ctx.epsilon)
        gradient = (gradients[0] * weight).float()
        mean = (gradient * wide).mean(-1, keepdim=True)
        return (rate * (gradient - wide * (rate * rate * mean))).to(values.dtype), None, None


def _rate(wide: Tensor, epsilon: float) -> Tensor:
    return torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)


class _Gated(Function):
    """silu(gate) × up (Shazeer 2020)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate) * up

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        of_gate = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return of_gate, gradients[0] * silu(gate)


def normed(norm: Any, values: Tensor) -> Tensor:
    """What an RMSNorm of transformers gives."""
    return _Norm.apply(values, norm.weight, norm.variance_epsilon)


def gated(mlp: Any, values: Tensor) -> Tensor:
    """What a gated unit of transformers gives; its own way where the activation is another."""
    if not isinstance(mlp.act_fn, nn.SiLU) and type(mlp.act_fn).__name__ != "SiLUActivation":
        return mlp(values)
    product = _Gated.apply(mlp.gate_proj(values), mlp.up_proj(values))
    return mlp.down_proj(product)
