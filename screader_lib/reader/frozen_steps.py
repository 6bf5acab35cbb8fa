"""Steps of a frozen layer that keep for the backward pass only what it needs.

The library's own steps keep more: RMSNorm a float32 copy of what comes in, the gated unit the
activated gate beside gate and input. Values and gradients are the same. A frozen linear layer
keeps nothing but its weights in any case.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import silu


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
