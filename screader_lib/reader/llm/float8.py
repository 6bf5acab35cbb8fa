"""Frozen linear layers in eight-bit floats, which GPUs since Ada and Hopper multiply twice as fast.

Weights are kept as e4m3 (Micikevicius et al. 2022) with one scale a matrix; their inputs are
scaled token by token, so that a cell's result does not depend on the cells beside it.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from screader_lib.errors import ScReaderError

TYPE = torch.float8_e4m3fn
MAX_VALUE = torch.finfo(TYPE).max
MULTIPLE = 16  # of the sizes, for the GPU's kernels
MIN_CAPABILITY = (8, 9)


def to_float8(model: Any) -> None:
    """Replace the linear layers of the decoder's layers; ScReaderError where they do not fit."""
    check_device(next(model.parameters()).device)
    for layer in model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if not isinstance(linear, nn.Linear):
                    continue
                if linear.in_features % MULTIPLE or linear.out_features % MULTIPLE:
                    raise ScReaderError(
                        f"the LLM's {name} is {linear.out_features} × {linear.in_features}; "
                        f"8-bit floats need multiples of {MULTIPLE}.",
                        remedy="Leave --quantize fp8 out.",
                    )
                setattr(part, name, Float8Linear(linear))


def check_device(device: torch.device) -> None:
    """ScReaderError where the GPU has no such arithmetic, or PyTorch none for the CPU."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        raise ScReaderError(
            f"the {torch.cuda.get_device_name(device)} has no 8-bit floats.",
            remedy="Leave --quantize out, or use 8bit.",
        )
    if device.type == "cpu" and not runs_on_cpu():
        raise ScReaderError(
            f"PyTorch {torch.__version__} multiplies no 8-bit floats on the CPU.",
            remedy="Leave --quantize out, or install a newer PyTorch.",
        )


@cache
def runs_on_cpu() -> bool:
    """Whether this PyTorch multiplies such floats, scaled row by row, on the CPU."""
    try:
        Float8Linear(nn.Linear(MULTIPLE, MULTIPLE))(torch.zeros(1, MULTIPLE))
    except RuntimeError:
        return False
    return True


class Float8Linear(nn.Module):
    """Replaces a frozen ``nn.Linear``; its gradient goes to its input alone."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        values = linear.weight.detach()
        scale = values.abs().max().float().clamp(min=1e-12) / MAX_VALUE
        self.register_buffer("weight", (values.float() / scale).to(TYPE), persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        bias = None if linear.bias is None else linear.bias.detach()
        self.register_buffer("bias", bias, persistent=False)

    @cached_property
    def transposed(self) -> Tensor:
        """The weight laid out for the backward pass, made when it is first asked for."""
        return self.weight.t().contiguous()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = _Product.apply(inputs, self)
        return outputs if self.bias is None else outputs + self.bias


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, linear: Float8Linear) -> Tensor:
        ctx.linear = linear
        return _multiply(inputs, linear.weight, linear.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        linear = ctx.linear
        return _multiply(gradients[0], linear.transposed, linear.scale), None


def _multiply(inputs: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """``inputs`` (…, in) times ``weight`` float8 (out, in), in the type of the inputs."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    scales = rows.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / MAX_VALUE
    products = torch._scaled_mm(
        (rows.float() / scales).to(TYPE),
        weight.t(),
        scale_a=scales,
        scale_b=scale.expand(1, len(weight)).contiguous(),
        out_dtype=torch.bfloat16,
    )
    return products.to(inputs.dtype).view(*inputs.shape[:-1], len(weight))
