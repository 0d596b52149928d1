"""The export package's modules made trainable: parameters with storage, and layers with gradients."""

import math
import types

import torch
import torch.nn.functional as F
from export import layers
from torch import Tensor, nn


def trainable(module: nn.Module) -> nn.Module:
    """`module` with freshly drawn parameters that take gradients; buffers stay as they are."""
    _let_gradients_through()
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            setattr(owner, name, nn.Parameter(_initial(owner, name, tuple(parameter.shape))))
    return module


def _let_gradients_through() -> None:
    """The exporter's own autograd functions know how to be traced, not how to be differentiated."""
    layers._PaddedConv1d = types.SimpleNamespace(apply=_padded_conv1d)
    layers._CopyingReshape = types.SimpleNamespace(apply=_copying_reshape)


def _padded_conv1d(x, weight, bias, pads, stride, dilation, groups) -> Tensor:
    if pads[0] == pads[1]:
        return F.conv1d(x, weight, bias, stride, pads[0], dilation, groups)
    return F.conv1d(F.pad(x, pads), weight, bias, stride, 0, dilation, groups)


def _copying_reshape(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.reshape([x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(dims)])


def _initial(owner: nn.Module, name: str, shape: tuple[int, ...]) -> Tensor:
    if name == "alpha" or (name == "weight" and len(shape) == 1):
        return torch.ones(shape)
    if len(shape) == 1:
        return torch.zeros(shape)
    if isinstance(owner, layers.Embedding):
        return 0.5 * torch.randn(shape)
    if isinstance(owner, layers.ConvTranspose1d):
        fan_in = shape[0] * shape[2] / owner.stride
    else:
        fan_in = math.prod(shape[1:])
    return torch.randn(shape) / math.sqrt(fan_in)
