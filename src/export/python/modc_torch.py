"""Rows of sequences, choices of tokens, rotation, attention, and losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Callable, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from modc_caches import Caches


class Axis(NamedTuple):
    """The tokens of sequences: their positions in the model's input, and which exist."""

    positions: Tensor  # i64[B, T]
    valid: Tensor | None  # bool[B, T]; None: all
    caches: Caches | None = None  # in generation, what attention has seen before


class Route(NamedTuple):
    """Chosen tokens of each sequence, in their order."""

    index: Tensor  # i64[B, K], where they are on the axis from which they were chosen
    axis: Axis  # of the chosen tokens


@dataclass
class Run:
    """What one call of a model is for."""

    causal: bool
    training: bool
    objective: bool
    observed: dict[str, object] | None = None
    live: dict[str, Fraction] | None = None

    def observe(self, block: nn.Module, name: str, value: object) -> None:
        """Keeps what a block observes. A compiled block reads its path only where somebody asks for that."""
        if self.observed is not None:
            self.observed[f"{block.path}.{name}" if block.path else name] = value


def name_paths(model: nn.Module) -> None:
    """Tells each block its path, under which it observes."""
    for path, module in model.named_modules():
        module.path = path


def lively(defaults: dict[str, Fraction], given: dict[str, Fraction | float | str] | None) -> dict[str, Fraction]:
    """The live parameters of one call."""
    given = given or {}
    if unknown := set(given) - set(defaults):
        raise ValueError(f"the model has no live parameter {', '.join(sorted(unknown))}")
    return defaults | {name: ratio(value) for name, value in given.items()}


def ratio(value: Fraction | float | str) -> Fraction:
    """A share, exact: 0.1 is a tenth, not the float beside it."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def below(path: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of an inner block by their names in the outer one."""
    return {f"{path}.{name}": loss for name, loss in losses.items()}


def rows(x: Tensor, lengths: Tensor | None, caches: Caches | None = None, most: int | None = None) -> Axis:
    """The axis of an input [B, T, ...], behind what caches have seen, of at most so many tokens."""
    if lengths is not None and (not isinstance(lengths, Tensor) or lengths.shape != x.shape[:1]):
        raise ValueError(f"lengths are a tensor of one number for each of the {x.shape[0]} sequences")
    if most is not None and x.shape[1] > most:
        raise ValueError(f"the input has {x.shape[1]} tokens: a sequence of the model has at most {most}")
    positions = torch.arange(x.shape[1], device=x.device)[None].expand(x.shape[0], -1)
    valid = None if lengths is None else positions < lengths[:, None]
    if caches is not None:
        if not isinstance(caches, Caches):
            raise ValueError("caches are what modc_torch.Caches() makes, and calls fill")
        new = positions.new_full(x.shape[:1], x.shape[1]) if lengths is None else lengths.to(positions)
        positions = positions + caches.begin(new, x.shape[1], most)[:, None]
    return Axis(positions, valid, caches)


def ceil_of(share: Fraction | int, n: int | Tensor) -> int | Tensor:
    """The share of n, rounded up; exact."""
    return -((-share.numerator * n) // share.denominator)


def floor_of(share: Fraction | int, n: int | Tensor) -> int | Tensor:
    """The share of n, rounded down; exact."""
    return (share.numerator * n) // share.denominator


def top(score: Tensor, axis: Axis, k: Callable[[int | Tensor], int | Tensor]) -> Route:
    """The k(n) best of the n tokens of each sequence; of equal ones the earlier, NaN last.

    k does not fall as n grows, so k of all tokens bounds how many rows there are without asking the device.
    """
    score = score.detach()
    tokens = score.shape[1]
    order = torch.argsort(torch.where(torch.isnan(score), float("nan"), -score), dim=1, stable=True)  # NaN last
    most = smaller(larger(k(tokens), 0), tokens)
    if axis.valid is None:
        index = order[:, :most].sort(dim=1).values
        return Route(index, Axis(axis.positions.gather(1, index), None))
    exists = axis.valid.gather(1, order)  # those stand before the others, even at NaN
    order = order.gather(1, torch.argsort((~exists).to(torch.uint8), dim=1, stable=True))
    lengths = axis.valid.sum(1)
    counts = (torch.zeros_like(lengths) + k(lengths)).clamp(min=0).minimum(lengths)
    kept = torch.arange(most, device=score.device)[None] < counts[:, None]
    index = torch.where(kept, order[:, :most], tokens).sort(dim=1).values
    valid = index < tokens
    index = index.clamp(max=tokens - 1)
    return Route(index, Axis(axis.positions.gather(1, index), valid))


def above(score: Tensor, threshold: Tensor | float, axis: Axis) -> Route:
    """Every token whose score exceeds the threshold."""
    return those(score.detach() > threshold, axis)


def those(chosen: Tensor, axis: Axis) -> Route:
    """Every token for which it holds."""
    if axis.valid is not None:
        chosen = chosen & axis.valid
    width = int(chosen.sum(1).max())  # the device says: where no sequence takes the route, nothing is computed
    index = torch.argsort((~chosen).to(torch.uint8), dim=1, stable=True)[:, :width]
    return Route(index, Axis(axis.positions.gather(1, index), chosen.gather(1, index), axis.caches))


def _spread(index: Tensor, x: Tensor) -> Tensor:
    """The index of tokens, as long as x in all further dimensions."""
    return index.reshape(index.shape + (1,) * (x.dim() - 2)).expand(index.shape + x.shape[2:])


def take(x: Tensor, route: Route) -> Tensor:
    """The chosen tokens of x[B, T, ...]: [B, K, ...]."""
    return x.gather(1, _spread(route.index, x))


def put(x: Tensor, route: Route, y: Tensor) -> Tensor:
    """x[B, T, ...] with y[B, K, ...] added to the chosen tokens."""
    if route.axis.valid is not None:
        y = torch.where(_spread(route.axis.valid, y), y, 0.0)
    return x.scatter_add(1, _spread(route.index, y), y.to(x.dtype))  # autocast may have made it narrower


def mask(route: Route, axis: Axis) -> Tensor:
    """Which tokens of the axis were chosen: bool[B, T]."""
    chosen = torch.ones_like(route.index) if route.axis.valid is None else route.axis.valid.to(torch.int64)
    return torch.zeros_like(axis.positions).scatter_add(1, route.index, chosen) > 0


def rope(
    x: Tensor, positions: Tensor, theta: float, frequencies: tuple[float, ...] | None = None, scale: float = 1.0
) -> Tensor:
    """Rotates halves of the last dimension of x[B, ..., T, d] by the tokens' positions [B, T]."""
    d = x.shape[-1]
    dtype = torch.promote_types(x.dtype, torch.float32)  # not every device has 64 bits
    if frequencies is None:
        inverse = theta ** (-torch.arange(0, d, 2, dtype=dtype, device=x.device) / d)
    else:
        inverse = torch.tensor(frequencies, dtype=dtype, device=x.device)
    angle = positions.reshape(positions.shape[:1] + (1,) * (x.dim() - 3) + positions.shape[1:] + (1,)) * inverse
    cos, sin = (angle.cos() * scale).to(x.dtype), (angle.sin() * scale).to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, axis: Axis, keys: Axis | None = None,
    causal: bool = False, window: int = 0, scale: float | None = None, grouped: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """q[B, H, T, d] on k, v[B, G, S, d], by the tokens' positions; a query that sees no key yields zeros.

    grouped: whether there are fewer heads of keys than of queries. weights[B, S]: what the shares of the keys are
    multiplied by, before they are made to add up to 1; a key of weight 0 or below is not seen.
    """
    if q.dim() == 3:
        q, k, v = q[:, None], k[:, None], v[:, None]
        return attention(q, k, v, axis, keys, causal, window, scale, weights=weights)[:, 0]
    if axis.caches is not None:
        if weights is not None:  # they are kept beside the values
            v = torch.cat((v, weights[:, None, :, None].expand(v.shape[:-1] + (1,))), -1)
        keys = axis if keys is None else keys
        k, v, *kept_tokens = axis.caches.extended(k, v, keys.positions, keys.valid)
        keys = Axis(*kept_tokens)
        if weights is not None:
            v, weights = v[..., :-1], v[:, 0, :, -1]
    if q.shape[2] == 0 or k.shape[2] == 0:
        return v.new_zeros(q.shape[:-1] + v.shape[-1:])
    # Tokens ascend, so their order is that of positions.
    if keys is None and window == 0 and axis.valid is None and weights is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=grouped)
    keys = axis if keys is None else keys
    distance = axis.positions[:, :, None] - keys.positions[:, None, :]
    seen = distance >= 0 if causal else torch.ones_like(distance, dtype=torch.bool)
    if window:
        seen = seen & (distance.abs() < window)
    if keys.valid is not None:
        seen = seen & keys.valid[:, None, :]
    if weights is not None:
        return _weighted(q, k, v, seen, weights, scale)
    some = seen.any(-1, keepdim=True)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=(seen | ~some)[:, None], scale=scale, enable_gqa=grouped)
    return torch.where(some[:, None], y, 0.0)


def _weighted(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, weights: Tensor, scale: float | None) -> Tensor:
    """Attention whose shares are multiplied by weights[B, S]; one of 0 has a gradient."""
    heads = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(heads, 1), v.repeat_interleave(heads, 1)
    score = (q @ k.transpose(2, 3)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    weighs = (seen & (weights > 0)[:, None, :])[:, None]
    top = score.detach().masked_fill(~weighs, float("-inf")).amax(-1, keepdim=True)
    some = weighs.any(-1, keepdim=True)
    share = (score - torch.where(some, top, 0.0)).clamp(max=80.0).exp().masked_fill(~(seen[:, None] & some), 0.0)
    share = share * weights.clamp(min=0)[:, None, None, :]
    return (share @ v) / torch.where(some, share.sum(-1, keepdim=True), 1.0)


def kept(x: Tensor, axis: Axis, dim: int = 1, fill: float = 0.0) -> Tensor:
    """x, whose dimension `dim` is along the axis, with something else for tokens that do not exist."""
    if axis.valid is None:
        return x
    shape = [1] * x.dim()
    shape[0], shape[dim] = axis.valid.shape
    return x.masked_fill(~axis.valid.reshape(shape), fill)


def _lengths(axis: Axis) -> Tensor:
    """How many tokens each sequence has."""
    if axis.valid is None:
        return axis.positions.new_full(axis.positions.shape[:1], axis.positions.shape[1])
    return axis.valid.sum(1)


def _reduced(total: Tensor, dims: int | tuple[int, ...], keepdim: bool) -> Tensor:
    return total if keepdim else total.squeeze(dims)


def _count(x: Tensor, axis: Axis, dims: int | tuple[int, ...]) -> Tensor:
    """How many elements are reduced into each result, dimensions kept: [B, 1, ...]."""
    dims = (dims,) if isinstance(dims, int) else dims
    others = math.prod(x.shape[dim] for dim in dims if dim != 1)
    return (_lengths(axis) * others).reshape((-1,) + (1,) * (x.dim() - 1))


def sum(x: Tensor, axis: Axis, keepdim: bool = False, dims: int | tuple[int, ...] = 1) -> Tensor:
    """The sum of x[B, T, ...] over the tokens that exist, and over other dimensions."""
    return kept(x, axis).sum(dims, keepdim=keepdim)


def mean(x: Tensor, axis: Axis, keepdim: bool = False, dims: int | tuple[int, ...] = 1) -> Tensor:
    """The mean, likewise; 0 of none."""
    total = sum(x, axis, True, dims)
    return _reduced(total / _count(x, axis, dims).clamp(min=1), dims, keepdim)


def var(x: Tensor, axis: Axis, keepdim: bool = False, dims: int | tuple[int, ...] = 1) -> Tensor:
    """The mean square of what x is apart from its mean, likewise."""
    return mean((x - mean(x, axis, True, dims)) ** 2, axis, keepdim, dims)


def max(x: Tensor, axis: Axis, keepdim: bool = False, dims: int | tuple[int, ...] = 1) -> Tensor:
    """The largest, likewise; 0 of none."""
    if x.shape[1] == 0:
        return sum(x, axis, keepdim, dims)
    most = kept(x, axis, fill=float("-inf")).amax(dims, keepdim=True)
    return _reduced(torch.where(_count(x, axis, dims) > 0, most, 0.0), dims, keepdim)


def min(x: Tensor, axis: Axis, keepdim: bool = False, dims: int | tuple[int, ...] = 1) -> Tensor:
    """The smallest, likewise; 0 of none."""
    return -max(-x, axis, keepdim, dims)


def softmax(x: Tensor, axis: Axis, dim: int) -> Tensor:
    """Along a sequence: of the tokens that exist; 0 for others."""
    if axis.valid is None:
        return x.softmax(dim)
    return kept(kept(x, axis, dim, torch.finfo(x.dtype).min).softmax(dim), axis, dim)


def token(x: Tensor, axis: Axis, index: int) -> Tensor:
    """One token of each sequence, from its end where the index is negative; zeros where there is none: [B, ...]."""
    if x.shape[1] == 0:
        return x.sum(1)
    lengths = _lengths(axis)
    at = lengths + index if index < 0 else torch.full_like(lengths, index)
    there = ((at >= 0) & (at < lengths)).reshape((-1,) + (1,) * (x.dim() - 2))
    own = at.clamp(0, x.shape[1] - 1).reshape((-1,) + (1,) * (x.dim() - 1)).expand((-1, 1) + x.shape[2:])
    return torch.where(there, x.gather(1, own).squeeze(1), 0.0)


def span(x: Tensor, axis: Axis, start: int, stop: int | None) -> tuple[Tensor, Axis]:
    """The tokens start ... stop - 1 of each sequence, as Python slices, and the axis that they are."""
    if axis.valid is None:
        x = x[:, start:stop]
        return x, rows(x, None)
    lengths, tokens = axis.valid.sum(1), x.shape[1]
    stop = tokens if stop is None else stop
    first, end = (torch.where(at < 0, lengths + at, at) for at in torch.tensor([start, stop], device=x.device)[:, None])
    first, end = first.clamp(min=0).minimum(lengths), end.clamp(min=0).minimum(lengths)
    own = rows(x, (end - first).clamp(min=0))
    at = (first[:, None] + own.positions).clamp(max=tokens - 1)
    return x.gather(1, _spread(at, x)), own


def join(parts: tuple[Tensor, ...], axes: tuple[Axis, ...]) -> tuple[Tensor, Axis]:
    """The tokens of each part behind those of the one before, and the axis that they are."""
    whole = torch.cat(parts, 1)
    if all(axis.valid is None for axis in axes):
        return whole, rows(whole, None)
    tokens = whole.shape[1]
    y = whole.new_zeros((whole.shape[0], tokens + 1) + whole.shape[2:])
    before = axes[0].positions.new_zeros(whole.shape[0])
    for part, axis in zip(parts, axes):
        own = torch.arange(part.shape[1], device=part.device)[None]
        exists = torch.ones_like(axis.positions, dtype=torch.bool) if axis.valid is None else axis.valid
        at = torch.where(exists, before[:, None] + own, tokens)  # a row behind all takes what does not exist
        y = y.scatter(1, _spread(at, part), part.to(y.dtype))
        before = before + exists.sum(1)
    return y[:, :tokens], rows(whole, before)


def count(route: Route) -> Tensor:
    """How many tokens of each sequence were chosen."""
    return _lengths(route.axis)


def length(axis: Axis, size: Callable[[Tensor], Tensor | int], dims: int, dtype: torch.dtype) -> Tensor:
    """A size as a value of each sequence, [B, 1, ...] with so many dimensions."""
    lengths = _lengths(axis)
    value = torch.zeros_like(lengths) + size(lengths)
    return value.to(dtype).reshape((-1,) + (1,) * (dims - 1))


def larger(a: int | Tensor, b: int | Tensor) -> int | Tensor:
    """The larger of two sizes."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return torch.maximum(torch.as_tensor(a), torch.as_tensor(b))
    return a if a > b else b


def smaller(a: int | Tensor, b: int | Tensor) -> int | Tensor:
    """The smaller of two sizes."""
    return -larger(-a, -b)


def straight(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of the first, the gradient of the second."""
    return hard.to(soft.dtype) + (soft - soft.detach())


def zeros(axis: Axis, shape: tuple[int, ...]) -> Tensor:
    """[B, T, ...] of zeros."""
    return torch.zeros(axis.positions.shape + shape, device=axis.positions.device)


def _global_mean(each: Tensor, counted: Tensor) -> Tensor:
    """The mean over what counts, on all ranks together.

    Ranks may hold different counts. Data parallelism takes the mean of gradients over ranks, so each rank divides its
    own sum by the mean count: the mean over ranks is then the sum of all by the count of all.
    """
    count = counted.sum().to(each.dtype)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    return torch.where(counted, each, 0.0).sum() / count.masked_fill(count == 0, 1.0)


def _counted(each: Tensor, axis: Axis | None) -> Tensor:
    if axis is None or axis.valid is None:
        return torch.ones_like(each, dtype=torch.bool)
    return _spread(axis.valid, each).clone()


def mean_of_all(x: Tensor, axis: Axis | None) -> Tensor:
    """The mean over the tokens of all sequences, and over other dimensions."""
    return _global_mean(x, _counted(x, axis))


def cross_entropy(logits: Tensor, targets: Tensor, axis: Axis | None) -> Tensor:
    """The mean over tokens with a target; negative targets are none, those beyond the classes are the last class."""
    held = targets.clamp(min=0, max=logits.shape[-1] - 1)
    logits = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    each = F.cross_entropy(logits, held.flatten(), reduction="none").view(targets.shape)
    return _global_mean(each, _counted(each, axis) & (targets >= 0))


def binary_cross_entropy(logit: Tensor, target: Tensor, axis: Axis | None) -> Tensor:
    """The mean over tokens of -log sigmoid of the logit where the target is 1, of its negative where it is 0."""
    logit = logit.to(torch.promote_types(logit.dtype, torch.float32))
    each = F.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="none")
    return _global_mean(each, _counted(each, axis))
