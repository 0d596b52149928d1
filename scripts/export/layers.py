"""Layers that declare their parameters without memory and export to single ONNX operators."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Solver time runs from 0 to 1.
TIME_SCALE = 1000
# Added to scores that are masked: they vanish under the softmax, and the sum stays finite in FP16.
MASKED_SCORE = -3e4


def declared(*shape: int) -> nn.Parameter:
    """A parameter with a shape and no storage; the checkpoint's tensor takes its place."""
    return nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)


class Linear(nn.Module):
    """`[…, inputs]` → `[…, outputs]`."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        self.weight = declared(outputs, inputs)
        self.bias = declared(outputs) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = declared(width)
        self.bias = declared(width)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RmsNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = declared(width)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.weight


class Embedding(nn.Module):
    def __init__(self, rows: int, width: int):
        super().__init__()
        self.weight = declared(rows, width)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight)


class Conv1d(nn.Module):
    """Convolution over time with zero padding `(left, right)`, which may differ."""

    def __init__(self, inputs: int, outputs: int, kernel: int, pads: tuple[int, int] = (0, 0), stride: int = 1,
                 dilation: int = 1, groups: int = 1):
        super().__init__()
        self.weight = declared(outputs, inputs // groups, kernel)
        self.bias = declared(outputs)
        self.pads, self.stride, self.dilation, self.groups = pads, stride, dilation, groups

    def forward(self, x: Tensor, inputs: Tensor | None = None, outputs: Tensor | None = None) -> Tensor:
        """Of `x` times `inputs`, and the result times `outputs`: factors per channel, folded into the weights."""
        weight, bias = self.weight, self.bias
        if inputs is not None:
            weight = weight * inputs[:, None]
        if outputs is not None:
            weight, bias = weight * outputs[:, None, None], bias * outputs
        return _PaddedConv1d.apply(x, weight, bias, self.pads, self.stride, self.dilation, self.groups)


class ConvTranspose1d(nn.Module):
    """Upsampling by `stride`: output length is exactly `stride` times the input's."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.weight = declared(inputs, outputs, kernel)
        self.bias = declared(outputs)
        self.stride, self.padding = stride, (kernel - stride) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose1d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class Sinusoids(nn.Module):
    """Solver time `[B]` → its sines and cosines `[B, width]`, frequencies falling from 1 to 1/10000."""

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        frequency = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half, dtype=torch.float32))
        self.register_buffer("frequency", frequency)

    def forward(self, t: Tensor) -> Tensor:
        angles = (TIME_SCALE * t)[:, None] * self.frequency
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def mish(x: Tensor) -> Tensor:
    """`x tanh(softplus x)`, with a softplus that cannot overflow in FP16."""
    softplus = torch.relu(x) + torch.log(1 + torch.exp(-x.abs()))
    return x * torch.tanh(softplus)


def reshaped(x: Tensor, *dims: int) -> Tensor:
    """Reshape in which 0 copies the input's dimension at that place and -1 is inferred, as in ONNX.

    One dimension has to be -1: the exporter's shape inference does not take zeros alone.
    """
    return _CopyingReshape.apply(x, dims)


def score_bias(visible: Tensor) -> Tensor:
    """What to add to attention scores to push those not `visible` (bool) out of the softmax.

    One sum per layer: choosing between score and constant instead costs ONNX Runtime four times as much.
    """
    return torch.where(visible, 0.0, MASKED_SCORE)


class _PaddedConv1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, pads, stride, dilation, groups):
        return F.conv1d(F.pad(x, pads), weight, bias, stride=stride, dilation=dilation, groups=groups)

    @staticmethod
    def symbolic(g, x, weight, bias, pads, stride, dilation, groups):
        return g.op("Conv", x, weight, bias, pads_i=list(pads), strides_i=[stride], dilations_i=[dilation],
                    group_i=groups)


class _CopyingReshape(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dims):
        return x.reshape([x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(dims)])

    @staticmethod
    def symbolic(g, x, dims):
        return g.op("Reshape", x, g.op("Constant", value_t=torch.tensor(dims, dtype=torch.int64)))
