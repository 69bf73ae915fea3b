"""Recurrences along the tokens of each sequence, in order."""

from __future__ import annotations

import torch
from torch import Tensor

from modc_axes import Axis, kept, lengths_of, spread


def earlier(x: Tensor, axis: Axis, n: int, dim: int = 1) -> Tensor:
    """The row n before each row; zeros before the first. With caches the rows of earlier calls are before these."""
    if axis.caches is not None:
        rows = x.movedim(dim, 1)
        number, past = axis.caches.state(rows.new_zeros((rows.shape[0], n) + rows.shape[2:]))
        both = torch.cat((past, rows), 1)
        last = lengths_of(axis)[:, None] + torch.arange(n, device=x.device)
        axis.caches.keep(number, both.gather(1, spread(last, both)))
        return both[:, : rows.shape[1]].movedim(1, dim)
    return _shifted(x, n, dim)


def later(x: Tensor, axis: Axis, n: int, dim: int = 1) -> Tensor:
    """The row n behind each row; zeros behind the sequence's end."""
    return _shifted(kept(x, axis, dim), -n, dim)


def scan(x: Tensor, axis: Axis, log_decay: Tensor | float | None = None, reverse: bool = False, dim: int = 1) -> Tensor:
    """y_t = exp(log_decay_t) · y_(t−1) + x_t along a dimension; without decays a sum. A decay of 0 begins anew."""
    x = kept(x, axis, dim)
    log = torch.zeros_like(x) if log_decay is None else torch.as_tensor(log_decay).to(x).expand_as(x)
    decay = torch.exp(kept(log, axis, dim))
    rows, decays = x.movedim(dim, 0), decay.movedim(dim, 0)
    order = range(x.shape[dim] - 1, -1, -1) if reverse else range(x.shape[dim])
    zeros = rows.new_zeros(rows.shape[1:])
    number, state = (0, zeros) if axis.caches is None else axis.caches.state(zeros)
    made: list[Tensor] = []
    for t in order:
        state = rows[t] + torch.where(decays[t] == 0, 0.0, decays[t] * state)
        made.append(state)
    if axis.caches is not None:
        axis.caches.keep(number, state)
    if not made:
        return x
    return torch.stack(made[::-1] if reverse else made).movedim(0, dim)


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    axis: Axis,
    log_decay: Tensor | float | None = None,
    forget: Tensor | None = None,
    at: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """S_t = diag(exp(log_decay_t))·S_(t−1) − forget_t·(at_tᵀ·S_(t−1)) + k_t·v_tᵀ and scale·q_tᵀ·S_t, token by token."""
    heads = v.shape[1]

    def rows(x: Tensor, dim: int = -2) -> Tensor:
        """x of all heads, the rows first; zeros for rows that do not exist."""
        return kept(x, axis, x.dim() + dim).repeat_interleave(heads // x.shape[1], 1).movedim(dim, 0)

    queries, keys, values = rows(q), rows(k), rows(v)
    decays = None
    if log_decay is not None:
        log_decay = torch.as_tensor(log_decay).to(v)
        if log_decay.dim() == 0:  # of all tokens
            log_decay = log_decay.expand((v.shape[0], 1, v.shape[2]))
        decays = torch.exp(rows(log_decay, -1)[..., None] if log_decay.dim() == 3 else rows(log_decay))[..., None]
    forgets, places = (None, None) if forget is None or at is None else (rows(forget), rows(at))
    zeros = torch.zeros(*keys.shape[1:], v.shape[-1], dtype=v.dtype, device=v.device)
    number, state = (0, zeros) if axis.caches is None else axis.caches.state(zeros)
    made: list[Tensor] = []
    for t in range(values.shape[0]):
        before = state
        if decays is not None:
            state = torch.where(decays[t] == 0, 0.0, decays[t] * state)
        if forgets is not None and places is not None:
            state = state - forgets[t][..., None] * (places[t][..., None, :] @ before)
        state = state + keys[t][..., None] * values[t][..., None, :]
        made.append(scale * (queries[t][..., None, :] @ state).squeeze(-2))
    if axis.caches is not None:
        axis.caches.keep(number, state)
    return torch.stack(made).movedim(0, -2) if made else v


def _shifted(x: Tensor, by: int, dim: int) -> Tensor:
    """The row `by` before each row; below 0, behind it."""
    length = x.shape[dim]
    n = min(abs(by), length)
    zeros = torch.zeros_like(x.narrow(dim, 0, n))
    if by > 0:
        return torch.cat((zeros, x.narrow(dim, 0, length - n)), dim)
    return torch.cat((x.narrow(dim, n, length - n), zeros), dim)
