"""Rows of sequences: which there are, and what is computed along them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Callable, NamedTuple

import torch
from torch import Tensor

from modc_caches import Caches


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class Axis(NamedTuple):
    """The tokens of sequences: their positions in the model's input, and which exist."""

    positions: Tensor  # i64[B, T]
    valid: Tensor | None  # bool[B, T]; None: all
    caches: Caches | None = None  # in generation, what attention has seen before


class Route(NamedTuple):
    """Chosen tokens of each sequence, in their order."""

    index: Tensor  # i64[B, K], where they are on the axis from which they were chosen
    axis: Axis  # of the chosen tokens


def ratio(value: Fraction | float | str) -> Fraction:
    """A share, exact: 0.1 is a tenth, not the float beside it."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def quotient(a: int, b: int) -> int:
    """A size that the source has as a / b."""
    if a % b != 0:
        raise ValueError(f"{a} is not a multiple of {b}: the source has their quotient as a size")
    return a // b


def followed(name: str, given: float | None, value: float, **others: tuple[object, object]) -> float:
    """An argument that follows from others in the source: each as it is, and as it was exported."""
    if given is not None:
        return given
    if changed := [other for other, (own, exported) in others.items() if own != exported]:
        listed = ", ".join(changed)
        raise ValueError(f"{name} follows from {listed} in the source: give it too, or export the model anew")
    return value


def ranked(score: Tensor, dim: int) -> Tensor:
    """Indices along a dimension, best score first; of equal ones the lower first, NaN last. No gradient passes."""
    score = score.detach()
    return torch.argsort(torch.where(torch.isnan(score), float("nan"), -score), dim=dim, stable=True)


def rows(x: Tensor, lengths: Tensor | None, caches: Caches | None = None, most: int | None = None) -> Axis:
    """The axis of an input [B, T, ...], behind what caches have seen, of at most so many tokens."""
    if lengths is not None and (not isinstance(lengths, Tensor) or lengths.shape != x.shape[:1]):
        raise ValueError(f"lengths are a tensor of one number for each of the {x.shape[0]} sequences")
    if lengths is not None and lengths.dtype not in INTEGERS:
        raise ValueError(f"lengths are integers, not {lengths.dtype}")
    if lengths is not None and not torch.compiler.is_compiling():
        within = ((lengths >= 0) & (lengths <= x.shape[1])).all()
        torch._assert_async(within, f"lengths are from 0 to {x.shape[1]}, the tokens of a row")  # waits for no GPU
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


def lengths_by(lengths: Tensor | dict[str, Tensor] | None, axes: tuple[str, ...]) -> dict[str, Tensor]:
    """Lengths by axis. A tensor alone is of the only axis of a call."""
    if lengths is None:
        return {}
    along = " and ".join(axes)
    if not isinstance(lengths, dict):
        if len(axes) > 1:
            example = f"lengths={{{axes[0]!r}: ...}}"
            raise ValueError(f"lengths name no axis, but the inputs have sequences along {along}: give {example}")
        return {axes[0]: lengths}
    for name in lengths:
        if name not in axes:
            raise ValueError(f"the inputs have no sequences along {name}: they have {along}")
    return lengths


def u32(x: int | Tensor) -> int | Tensor:
    """Whole numbers as ones from 0 to 2 ** 32 - 1, as they wrap."""
    return x % 2**32


def i32(x: int | Tensor) -> int | Tensor:
    """Whole numbers as ones from -2 ** 31 to 2 ** 31 - 1, as they wrap."""
    return (x + 2**31) % 2**32 - 2**31


def _cut(x: Tensor, low: int, high: int) -> Tensor:
    """Floats without what is behind the point, in a range; NaN is 0."""
    far = 2.0**33
    return x.detach().nan_to_num(0.0, far, -far).clamp(-far, far).to(torch.int64).clamp(low, high)


def u32_of(x: Tensor) -> Tensor:
    """Floats cut to whole numbers, the nearest from 0 to 2 ** 32 - 1."""
    return _cut(x, 0, 2**32 - 1)


def i32_of(x: Tensor) -> Tensor:
    """Floats cut to whole numbers, the nearest from -2 ** 31 to 2 ** 31 - 1."""
    return _cut(x, -(2**31), 2**31 - 1)


def number(x: float | Tensor) -> Tensor:
    """A number as a tensor, of which functions have results where those of Python have none."""
    return torch.as_tensor(x, dtype=torch.float64)


def _parts(share: Fraction | int, n: int | Tensor, plus: Fraction | int) -> tuple[int | Tensor, int]:
    """The share of n and a constant as a numerator and a denominator."""
    a, b, c, d = share.numerator, share.denominator, plus.numerator, plus.denominator
    return a * d * n + c * b, b * d


def floor_of(share: Fraction | int, n: int | Tensor, plus: Fraction | int = 0) -> int | Tensor:
    """The share of n and a constant, rounded down; exact."""
    num, den = _parts(share, n, plus)
    return num // den


def ceil_of(share: Fraction | int, n: int | Tensor, plus: Fraction | int = 0) -> int | Tensor:
    """Likewise, rounded up."""
    num, den = _parts(share, n, plus)
    return -(-num // den)


def round_of(share: Fraction | int, n: int | Tensor, plus: Fraction | int = 0) -> int | Tensor:
    """Likewise, rounded to the nearest; of two that are as near the one further from 0."""
    num, den = _parts(share, n, plus)
    return larger((2 * num + den) // (2 * den), 0) - larger((den - 2 * num) // (2 * den), 0)


def modulo(a: int | Tensor, b: int | Tensor) -> int | Tensor:
    """The remainder of a / b, with the sign of b; 0 for b = 0."""
    if isinstance(b, Tensor):
        return torch.where(b == 0, 0, a % torch.where(b == 0, 1, b))
    return a % b if b != 0 else 0 * a


def spread(index: Tensor, x: Tensor) -> Tensor:
    """The index of tokens, as long as x in all further dimensions."""
    return index.reshape(index.shape + (1,) * (x.dim() - 2)).expand(index.shape + x.shape[2:])


def kept(x: Tensor, axis: Axis, dim: int = 1, fill: float = 0.0) -> Tensor:
    """x, whose dimension `dim` is along the axis, with something else for tokens that do not exist."""
    if axis.valid is None:
        return x
    shape = [1] * x.dim()
    shape[0], shape[dim] = axis.valid.shape
    return x.masked_fill(~axis.valid.reshape(shape), fill)


def lengths_of(axis: Axis) -> Tensor:
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
    return (lengths_of(axis) * others).reshape((-1,) + (1,) * (x.dim() - 1))


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
    lengths = lengths_of(axis)
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
    return x.gather(1, spread(at, x)), own


def stride(x: Tensor, axis: Axis, step: int) -> tuple[Tensor, Axis]:
    """Every so many tokens of each sequence one, from the first on, and the axis that they are."""
    x = x[:, ::step]
    return x, rows(x, None if axis.valid is None else (lengths_of(axis) + step - 1) // step)


def sequence(x: Tensor) -> tuple[Tensor, Axis]:
    """x[B, n, ...] as n tokens of each sequence, and the axis that they are."""
    return x, rows(x, None)


def rows_at(x: Tensor, axis: Axis, index: Tensor) -> Tensor:
    """Rows of the same sequence, the nearest of places outside; from the end where negative, zeros of no rows."""
    if x.shape[1] == 0:
        return x.new_zeros(index.shape + x.shape[2:])
    count = lengths_of(axis).reshape((-1,) + (1,) * (index.dim() - 1))
    at = torch.where(index < 0, (index + count).clamp(min=0), index).minimum(count - 1).clamp(min=0)
    flat = at.reshape(at.shape[0], -1)
    y = x.gather(1, spread(flat, x)).reshape(index.shape + x.shape[2:])
    exists = (count > 0).reshape(count.shape + (1,) * (x.dim() - 2))
    return torch.where(exists, y, torch.zeros((), dtype=x.dtype, device=x.device))


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
        y = y.scatter(1, spread(at, part), part.to(y.dtype))
        before = before + exists.sum(1)
    return y[:, :tokens], rows(whole, before)


def count(route: Route) -> Tensor:
    """How many tokens of each sequence were chosen."""
    return lengths_of(route.axis)


def length(axis: Axis, size: Callable[[Tensor], Tensor | int], dims: int, dtype: torch.dtype) -> Tensor:
    """A size as a value of each sequence, [B, 1, ...] with so many dimensions."""
    lengths = lengths_of(axis)
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


def zeros(axis: Axis, shape: tuple[int, ...], along: bool = True, dtype: torch.dtype | None = None) -> Tensor:
    """[B, T, ...] of zeros; [B, ...], if it is not along the tokens of the axis."""
    lead = axis.positions.shape if along else axis.positions.shape[:1]
    return torch.zeros(lead + shape, dtype=dtype, device=axis.positions.device)


def keys_of(x: Tensor, axis: Axis, dim: int) -> Tensor:
    """What a mask or bias reads of keys, along a dimension: behind the rows of earlier calls, if there are caches."""
    if axis.caches is None:
        return x
    rows_first = x.movedim(dim, 1)
    whole = rows_first.expand((axis.positions.shape[0],) + rows_first.shape[1:])
    return axis.caches.extended_rows(whole, axis.valid).movedim(1, dim)


def keys_so_far(
    k: Tensor, v: Tensor, keys: Axis, weights: Tensor | None
) -> tuple[Tensor, Tensor, Axis, Tensor | None]:
    """k, v[B, G, S, d], their axis and weights[B, S], behind the keys of earlier calls, if there are caches."""
    if keys.caches is None:
        return k, v, keys, weights
    if weights is not None:  # they are kept beside the values
        v = torch.cat((v, weights[:, None, :, None].expand(v.shape[:-1] + (1,))), -1)
    k, v, *kept_tokens = keys.caches.extended(k, v, keys.positions, keys.valid)
    if weights is not None:
        v, weights = v[..., :-1], v[:, 0, :, -1]
    return k, v, Axis(*kept_tokens), weights


def seen_by(axis: Axis, keys: Axis, causal: bool, window: int) -> Tensor:
    """Which keys each query sees: bool[B, T, S]."""
    distance = axis.positions[:, :, None] - keys.positions[:, None, :]
    seen = distance >= 0 if causal else torch.ones_like(distance, dtype=torch.bool)
    if window:
        seen = seen & (distance.abs() < window)
    if keys.valid is not None:
        seen = seen & keys.valid[:, None, :]
    return seen
