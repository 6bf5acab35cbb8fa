"""Frozen linear layers in eight-bit floats, which GPUs since Ada and Hopper multiply twice as fast.

Weights are kept as e4m3 (Micikevicius et al. 2022) with one scale a matrix; what is multiplied with
them is scaled token by token, so that a cell's result does not depend on the cells beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from screader_lib.errors import ScReaderError

TYPE = torch.float8_e4m3fn
LARGEST = torch.finfo(TYPE).max
MULTIPLE = 16  # of the sizes, for the GPU's kernels
LEAST_CAPABILITY = (8, 9)


class Float8Linear(nn.Module):
    """Replaces a frozen ``nn.Linear``; its gradient goes to what comes in alone."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        values = linear.weight.detach()
        scale = values.abs().max().float().clamp(min=1e-12) / LARGEST
        self.register_buffer("weight", (values.float() / scale).to(TYPE), persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        bias = None if linear.bias is None else linear.bias.detach()
        self.register_buffer("bias", bias, persistent=False)
        self._turned: Tensor | None = None

    @property
    def turned(self) -> Tensor:
        """The weight laid out for the backward pass, made when it is first asked for."""
        if self._turned is None:
            self._turned = self.weight.t().contiguous()
        return self._turned

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = _Product.apply(values, self)
        return found if self.bias is None else found + self.bias


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, linear: Float8Linear) -> Tensor:
        ctx.linear = linear
        return _multiply(values, linear.weight, linear.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        linear = ctx.linear
        return _multiply(gradients[0], linear.turned, linear.scale), None


def _multiply(values: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """``values`` (…, in) times ``weight`` float8 (out, in), in the type of the values."""
    rows = values.reshape(-1, values.shape[-1])
    scales = rows.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
    found = torch._scaled_mm(
        (rows.float() / scales).to(TYPE),
        weight.t(),
        scale_a=scales,
        scale_b=scale.expand(1, len(weight)).contiguous(),
        out_dtype=torch.bfloat16,
    )
    return found.to(values.dtype).view(*values.shape[:-1], len(weight))


def to_float8(model: Any) -> None:
    """Turn the linear layers of the decoder's layers; ScReaderError where this cannot be."""
    check_device(next(model.parameters()).device)
    for layer in model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear):
                    _check_size(name, linear)
                    setattr(part, name, Float8Linear(linear))


def check_device(device: torch.device) -> None:
    """ScReaderError where the GPU has no such arithmetic; a CPU has it, slowly."""
    if device.type != "cuda":
        return
    if torch.cuda.get_device_capability(device) < LEAST_CAPABILITY:
        raise ScReaderError(
            f"the {torch.cuda.get_device_name(device)} has no 8-bit floats.",
            remedy="Leave --quantize out, or use 8bit.",
        )


def _check_size(name: str, linear: nn.Linear) -> None:
    if linear.in_features % MULTIPLE or linear.out_features % MULTIPLE:
        raise ScReaderError(
            f"the LLM's {name} is {linear.out_features} × {linear.in_features}; 8-bit floats "
            f"need multiples of {MULTIPLE}.",
            remedy="Leave --quantize fp8 out.",
        )
