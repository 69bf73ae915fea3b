"""Recurrences along the tokens of each sequence, in order."""

from __future__ import annotations

import torch
from torch import Tensor

from modc_axes import Axis, kept


def _whole(axis: Axis) -> None:
    if axis.caches is not None:
        raise NotImplementedError("recurrences keep no state between calls here: call the model without caches")


def earlier(x: Tensor, axis: Axis, n: int, dim: int = 1) -> Tensor:
    """The row n before each row; zeros before the first."""
    _whole(axis)
    return _shifted(x, n, dim)


def later(x: Tensor, axis: Axis, n: int, dim: int = 1) -> Tensor:
    """The row n behind each row; zeros behind the sequence's end."""
    _whole(axis)
    return _shifted(kept(x, axis, dim), -n, dim)


def _shifted(x: Tensor, by: int, dim: int) -> Tensor:
    """The row `by` before each row; below 0, behind it."""
    length = x.shape[dim]
    n = min(abs(by), length)
    zeros = torch.zeros_like(x.narrow(dim, 0, n))
    if by > 0:
        return torch.cat((zeros, x.narrow(dim, 0, length - n)), dim)
    return torch.cat((x.narrow(dim, n, length - n), zeros), dim)
