"""Choices of entries, such as of a token's experts, and what experts compute for the tokens that chose them.

A choice is an index i64[..., K] of the last dimension of its score, ascending; a number beyond the entries is none.
Experts are called once for all tokens: a row for each entry, sorted by expert, so that the rows of one expert are one
product with its own weights. There are as many rows as entries, so shapes do not depend on the choice, and training
compiles as whole graphs; only the product itself asks the device how many rows each expert has.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import torch
from torch import Tensor

from modc_axes import Axis, Route, larger, lengths_of, ranked, smaller, spread


def top_entries(score: Tensor, k: int) -> Tensor:
    """The k best of the last dimension of score[..., E]: i64[..., k]; of equal ones the lower, NaN last."""
    return ranked(score, -1)[..., :k].sort(dim=-1).values


def those_entries(mask: Tensor) -> Tensor:
    """The entries for which a mask bool[..., E] holds: i64[..., E]."""
    entries = torch.arange(mask.shape[-1], device=mask.device).expand(mask.shape)
    return entries.masked_fill(~mask, mask.shape[-1]).sort(dim=-1).values


def top_tokens(
    score: Tensor, axis: Axis, k: Callable[[int | Tensor], int | Tensor], of: Axis | None = None
) -> Tensor:
    """Of each entry of score[B, T, E] the k(n) best tokens of each sequence: bool[B, T, E]."""
    tokens = score.shape[1]
    of = axis if of is None else of
    order = ranked(score, 1)
    if axis.valid is not None:  # those that exist stand before the others, even at NaN
        missing = (~axis.valid)[..., None].expand(score.shape).gather(1, order)
        order = order.gather(1, torch.argsort(missing.to(torch.uint8), dim=1, stable=True))
    if axis.valid is None and of.valid is None:
        counts = axis.positions.new_full((score.shape[0],), smaller(larger(k(of.positions.shape[1]), 0), tokens))
    else:
        lengths = lengths_of(of)
        counts = (torch.zeros_like(lengths) + k(lengths)).clamp(min=0).minimum(lengths_of(axis))
    best = (torch.arange(tokens, device=score.device)[None] < counts[:, None])[..., None].expand(score.shape)
    return torch.zeros_like(best).scatter(1, order, best)


def entry_index(chosen: Tensor, entries: int) -> Tensor:
    """A choice among so many entries as a tensor: 0 where there is none."""
    return chosen.masked_fill(chosen >= entries, 0)


def entry_mask(chosen: Tensor, entries: int) -> Tensor:
    """Which entries were chosen: bool[..., E]."""
    none = torch.zeros(chosen.shape[:-1] + (entries + 1,), dtype=torch.bool, device=chosen.device)
    return none.scatter(-1, chosen, True)[..., :entries]


def take_entries(x: Tensor, chosen: Tensor) -> Tensor:
    """The chosen entries of x[..., E]: [..., K]; 0 where there is none."""
    return torch.where(chosen < x.shape[-1], x.gather(-1, entry_index(chosen, x.shape[-1])), 0)


def put_entries(x: Tensor, chosen: Tensor, y: Tensor) -> Tensor:
    """x[..., E] with y[..., K] added to the chosen entries."""
    return x.scatter_add(-1, entry_index(chosen, x.shape[-1]), torch.where(chosen < x.shape[-1], y, 0).to(x.dtype))


def is_member(chosen: Tensor, members: tuple[tuple[int, int], ...]) -> Tensor:
    """Which entries of a choice lie in one of some stretches (first, count)."""
    found = torch.zeros_like(chosen, dtype=torch.bool)
    for first, count in members:
        found = found | ((chosen >= first) & (chosen < first + count))
    return found


def _is_entry(chosen: Tensor, route: Route, entry: int, like: Tensor) -> Tensor:
    """Which of the entries of a route's tokens is that one: [B, K, k, ...], with as many dimensions as `like`."""
    own = chosen.gather(1, spread(route.index, chosen)) == entry
    if route.axis.valid is not None:
        own = own & route.axis.valid[..., None]
    return own.reshape(own.shape + (1,) * (like.dim() - 3))


def take_entry(x: Tensor, chosen: Tensor, route: Route, entry: int) -> Tensor:
    """Of each token of a route what x[B, T, k, ...] holds for that entry of its choice: [B, K, ...]."""
    rows = x.gather(1, spread(route.index, x))
    taken = torch.where(_is_entry(chosen, route, entry, x), rows, 0).sum(2)
    return taken.to(x.dtype)


def join_entries(chosen: Tensor, *parts: tuple[Route, Tensor]) -> Tensor:
    """What the e-th part, of the tokens that chose entry e, holds for them, in that entry's place: [B, T, k, ...]."""
    first = parts[0][1]
    behind = first.shape[2:]
    joined = first.new_zeros(chosen.shape + behind, dtype=torch.uint8 if first.dtype == torch.bool else first.dtype)
    for entry, (route, y) in enumerate(parts):
        placed = y[:, :, None].expand(y.shape[:2] + chosen.shape[2:] + behind)
        own = torch.where(_is_entry(chosen, route, entry, placed), placed, 0).to(joined.dtype)
        joined = joined.scatter_add(1, spread(route.index, own), own)
    return joined.to(first.dtype)


def reduced(fn: str, x: Tensor, exists: Tensor, dims: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The sum, mean, var, max, min or argmax of what exists; 0 of none."""
    exists = exists.expand(x.shape)
    if fn == "argmax":
        lowest = torch.finfo(x.dtype).min if x.dtype.is_floating_point else torch.iinfo(x.dtype).min
        return torch.where(exists, x, lowest).argmax(dims[0], keepdim=keepdim)
    if fn in ("max", "min"):
        sign = 1 if fn == "max" else -1
        most = sign * torch.where(exists, sign * x, float("-inf")).amax(dims, keepdim=True)
        most = torch.where(exists.sum(dims, keepdim=True) > 0, most, 0.0)
        return most if keepdim else most.squeeze(dims)
    count = exists.sum(dims, keepdim=True).clamp(min=1)
    if fn == "var":
        x = (x - torch.where(exists, x, 0).sum(dims, keepdim=True) / count) ** 2
    total = torch.where(exists, x, 0).sum(dims, keepdim=True)
    total = total if fn == "sum" else total / count
    return total if keepdim else total.squeeze(dims)


def softmax_of(x: Tensor, exists: Tensor, dim: int) -> Tensor:
    """The softmax of what exists; 0 for the rest."""
    exists = exists.expand(x.shape)
    return torch.where(exists, torch.where(exists, x, torch.finfo(x.dtype).min).softmax(dim), 0.0)


class Entries(NamedTuple):
    """The entries of all tokens, sorted by expert, then by token; those that no expert has come last."""

    order: Tensor  # i64[N]: the entry of each row, counted over all tokens
    place: Tensor  # i64[N]: the row of each entry
    expert: Tensor  # i64[N]: the expert of each row, counted among those that are called; as many as there are: none
    ends: Tensor  # i64[E]: where the rows of each expert end
    shape: tuple[int, int, int]  # of the choice: B, T, k


def sort_entries(
    chosen: Tensor, axis: Axis, experts: int, members: tuple[tuple[int, int], ...] | None = None
) -> Entries:
    """The entries of a choice i64[B, T, k] among so many experts, of which stretches (first, count) are called."""
    called = experts if members is None else sum(count for _, count in members)
    expert = chosen
    if members is not None:
        table = torch.full((experts + 1,), called, device=chosen.device)
        at = 0
        for first, count in members:
            table[first : first + count] = torch.arange(at, at + count, device=chosen.device)
            at += count
        expert = table[chosen]
    if axis.valid is not None:
        expert = expert.masked_fill(~axis.valid[..., None], called)
    expert, order = torch.sort(expert.flatten(), stable=True)
    place = torch.empty_like(order).scatter(0, order, torch.arange(order.shape[0], device=order.device))
    counts = expert.new_zeros(called + 1).scatter_add(0, expert, torch.ones_like(expert))
    return Entries(order, place, expert, counts[:called].cumsum(0), tuple(chosen.shape))


def rows_of(x: Tensor, entries: Entries) -> Tensor:
    """A row of x[B, T, ...] for each entry of its tokens: [1, N, ...]."""
    return x.flatten(0, 1)[entries.order // entries.shape[2]][None]


def values_of(x: Tensor, entries: Entries) -> Tensor:
    """What x[B, T, k, ...] holds for each entry: [1, N, ...]."""
    return x.flatten(0, 2)[entries.order][None]


def unsorted(y: Tensor, entries: Entries) -> Tensor:
    """The rows y[1, N, ...] in the places of their entries: [B, T, k, ...]; 0 where no expert has the entry."""
    y = y[0]
    called = (entries.expert < entries.ends.shape[0]).reshape((-1,) + (1,) * (y.dim() - 1))
    return torch.where(called, y, 0)[entries.place].unflatten(0, entries.shape)


def _here(weight: Tensor) -> Tensor:
    """What this device has of a weight that several share out (a DTensor)."""
    return weight.to_local() if hasattr(weight, "to_local") else weight


def own_of(weight: Tensor, entries: Entries, dims: int) -> Tensor:
    """The weight[E, ...] of each row's own expert, to go with rows of so many dimensions [1, N, ...]."""
    weight = _here(weight)
    own = weight[entries.expert.clamp(max=weight.shape[0] - 1)]
    return own.reshape(own.shape[:1] + (1,) * (dims - 1 - own.dim()) + own.shape[1:])


def expert_linear(x: Tensor, weight: Tensor, entries: Entries) -> Tensor:
    """x[1, N, in] by the weight[E, out, in] of each row's own expert: [1, N, out]; 0 where it has none."""
    weight = _here(weight)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    return _grouped_linear(x[0], weight, entries.ends)[None]


def _groups(ends: Tensor) -> list[tuple[int, int, int]]:
    """Experts with rows, and which these are."""
    bounds = [0, *ends.tolist()]
    return [(e, a, b) for e, (a, b) in enumerate(zip(bounds, bounds[1:])) if b > a]


@torch.library.custom_op("modc::grouped_linear", mutates_args=())
def _grouped_linear(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """x[N, in] and weight[E, out, in], rows of expert e before ends[e]: [N, out]. To graphs it is one operation."""
    y = x.new_zeros(x.shape[0], weight.shape[1])
    for expert, start, end in _groups(ends):
        torch.mm(x[start:end], weight[expert].T, out=y[start:end])
    return y


@torch.library.custom_op("modc::grouped_outer", mutates_args=())
def _grouped_outer(y: Tensor, x: Tensor, ends: Tensor) -> Tensor:
    """Of each expert its rows of y[N, out], transposed, times those of x[N, in]: [E, out, in]."""
    weight = x.new_zeros(ends.shape[0], y.shape[1], x.shape[1])
    for expert, start, end in _groups(ends):
        torch.mm(y[start:end].T, x[start:end], out=weight[expert])
    return weight


@_grouped_linear.register_fake
def _(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[1])


@_grouped_outer.register_fake
def _(y: Tensor, x: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(ends.shape[0], y.shape[1], x.shape[1])


def _keep_operands(ctx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    x, weight, ends = ctx.saved_tensors
    gradient = gradient.contiguous()
    return _grouped_linear(gradient, weight.transpose(1, 2), ends), _grouped_outer(gradient, x, ends), None


_grouped_linear.register_autograd(_gradients, setup_context=_keep_operands)
