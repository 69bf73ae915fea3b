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


def scan(x: Tensor, axis: Axis, log_decay: Tensor | float | None = None, reverse: bool = False, dim: int = 1) -> Tensor:
    """y_t = exp(log_decay_t) · y_(t−1) + x_t along a dimension; without decays a sum. A decay of 0 begins anew."""
    _whole(axis)
    x = kept(x, axis, dim)
    decay = torch.ones_like(x) if log_decay is None else torch.exp(torch.as_tensor(log_decay).to(x).expand_as(x))
    rows, decays = x.movedim(dim, 0), decay.movedim(dim, 0)
    order = range(x.shape[dim] - 1, -1, -1) if reverse else range(x.shape[dim])
    made: list[Tensor] = []
    for t in order:
        last = torch.where(decays[t] == 0, 0.0, decays[t] * made[-1]) if made else 0.0
        made.append(rows[t] + last)
    if not made:
        return x
    return torch.stack(made[::-1] if reverse else made).movedim(0, dim)


def _shifted(x: Tensor, by: int, dim: int) -> Tensor:
    """The row `by` before each row; below 0, behind it."""
    length = x.shape[dim]
    n = min(abs(by), length)
    zeros = torch.zeros_like(x.narrow(dim, 0, n))
    if by > 0:
        return torch.cat((zeros, x.narrow(dim, 0, length - n)), dim)
    return torch.cat((x.narrow(dim, n, length - n), zeros), dim)
