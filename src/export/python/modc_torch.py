"""Rows of sequences, choices of tokens, rotation, attention, and losses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Callable, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


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
class _Cache:
    """Keys and values of one attention, those of tokens that came to it: sequence b has count[b]."""

    keys: Tensor  # [B, C, G, d]
    values: Tensor  # [B, C, G, e]
    positions: Tensor  # i64[B, C]
    count: Tensor  # i64[B]


class Caches:
    """What generation keeps of the tokens before: for each attention, in the order of their calls, the keys and values
    of tokens that took its route. Calls of the model that get the same caches go on with the same sequences."""

    def __init__(self) -> None:
        self.lengths: Tensor | None = None  # i64[B], tokens so far
        self._all: list[_Cache] = []
        self._next = 0

    @property
    def counts(self) -> list[list[int]]:
        """How many tokens of each sequence each attention keeps."""
        return [cache.count.tolist() for cache in self._all]

    def begin(self, new: Tensor) -> Tensor:
        """Begins a call with so many new tokens of each sequence: how many were before."""
        before = torch.zeros_like(new) if self.lengths is None else self.lengths
        if before.shape != new.shape:
            raise ValueError(f"the caches have {before.shape[0]} sequences, the call {new.shape[0]}")
        self.lengths, self._next = before + new, 0
        return before

    @torch.compiler.disable
    def extended(self, k: Tensor, v: Tensor, axis: Axis) -> tuple[Tensor, Tensor, Axis]:
        """The next attention's keys and values behind those before: k, v[B, G, T, d] of the tokens of an axis."""
        if self._next == len(self._all):
            batch, heads = k.shape[:2]
            empty = (k.new_empty(batch, 0, heads, k.shape[-1]), v.new_empty(batch, 0, heads, v.shape[-1]))
            none = axis.positions.new_zeros(batch, 0)
            self._all.append(_Cache(*empty, none, none.sum(1)))
        cache = self._all[self._next]
        self._next += 1
        exists = torch.ones_like(axis.positions, dtype=torch.bool) if axis.valid is None else axis.valid
        at = (cache.count[:, None] + exists.cumsum(1) - 1)[exists]
        sequence = exists.nonzero()[:, 0]
        cache.count = cache.count + exists.sum(1)
        most = int(cache.count.max())
        if most > cache.positions.shape[1]:
            more = 2 * most - cache.positions.shape[1]
            cache.keys, cache.values = (F.pad(x, (0, 0, 0, 0, 0, more)) for x in (cache.keys, cache.values))
            cache.positions = F.pad(cache.positions, (0, more))
        cache.keys[sequence, at] = k.transpose(1, 2)[exists]
        cache.values[sequence, at] = v.transpose(1, 2)[exists]
        cache.positions[sequence, at] = axis.positions[exists]
        kept = torch.arange(most, device=k.device)[None] < cache.count[:, None]
        keys, values = (x[:, :most].transpose(1, 2) for x in (cache.keys, cache.values))
        return keys, values, Axis(cache.positions[:, :most], kept)


@dataclass
class Run:
    """What one call of a model is for."""

    causal: bool
    training: bool
    objective: bool
    observed: dict[str, object] | None = None

    def observe(self, block: nn.Module, name: str, value: object) -> None:
        """Keeps what a block observes. A compiled block reads its path only where somebody asks for that."""
        if self.observed is not None:
            self.observed[f"{block.path}.{name}" if block.path else name] = value


def name_paths(model: nn.Module) -> None:
    """Tells each block its path, under which it observes."""
    for path, module in model.named_modules():
        module.path = path


def below(path: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The losses of an inner block by their names in the outer one."""
    return {f"{path}.{name}": loss for name, loss in losses.items()}


_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "U32": torch.int32,
}  # fmt: skip


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by key: a header in JSON behind its length, then the values.

    The file is mapped: what nobody reads takes no memory.
    """
    data = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    size = int.from_bytes(bytes(data[:8].tolist()), "little")
    header = json.loads(bytes(data[8 : 8 + size].tolist()))
    header.pop("__metadata__", None)
    tensors = {}
    for key, entry in header.items():
        start, end = (8 + size + at for at in entry["data_offsets"])
        dtype = _DTYPES[entry["dtype"]]
        values = data[start:end] if start % dtype.itemsize == 0 else data[start:end].clone()
        tensors[key] = values.view(dtype).reshape(entry["shape"])
    return tensors


def keys_of(folder: str | Path) -> dict[str, str]:
    """The keys of parameters in checkpoints, where these are not their names."""
    path = Path(folder) / "keys.json"
    return json.loads(path.read_text()) if path.exists() else {}


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The weights of a folder's `model.safetensors` by the names of parameters."""
    names = {key: name for name, key in keys_of(folder).items()}
    stored = read_safetensors(Path(folder) / "model.safetensors")
    return {names.get(key, key): values.float() for key, values in stored.items()}


def rows(x: Tensor, lengths: Tensor | None, caches: Caches | None = None) -> Axis:
    """The axis of an input [B, T, ...], behind what caches have seen."""
    positions = torch.arange(x.shape[1], device=x.device)[None].expand(x.shape[0], -1)
    valid = None if lengths is None else positions < lengths[:, None]
    if caches is not None:
        new = torch.full_like(positions[:, 0], x.shape[1]) if lengths is None else lengths.to(positions)
        positions = positions + caches.begin(new)[:, None]
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
    score = torch.where(torch.isnan(score), float("-inf"), score)
    tokens = score.shape[1]
    if axis.valid is not None:
        score = score.masked_fill(~axis.valid, float("-inf"))
    order = torch.argsort(score, dim=1, descending=True, stable=True)
    most = min(max(k(tokens), 0), tokens)
    if axis.valid is None:
        index = order[:, :most].sort(dim=1).values
        return Route(index, Axis(axis.positions.gather(1, index), None))
    exists = axis.valid.gather(1, order)  # those stand before the others, even at -inf
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
    chosen = score.detach() > threshold
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
    return x.scatter_add(1, _spread(route.index, y), y)


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
) -> Tensor:
    """q[B, H, T, d] on k, v[B, G, S, d], by the tokens' positions; a query that sees no key yields zeros.

    grouped: whether there are fewer heads of keys than of queries.
    """
    if q.dim() == 3:
        return attention(q[:, None], k[:, None], v[:, None], axis, keys, causal, window, scale)[:, 0]
    if axis.caches is not None:
        k, v, keys = axis.caches.extended(k, v, axis if keys is None else keys)
    if q.shape[2] == 0:
        return v.new_empty(q.shape[:-1] + v.shape[-1:])
    if keys is None and window == 0 and axis.valid is None:  # tokens ascend, so their order is that of positions
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=grouped)
    keys = axis if keys is None else keys
    distance = axis.positions[:, :, None] - keys.positions[:, None, :]
    seen = distance >= 0 if causal else torch.ones_like(distance, dtype=torch.bool)
    if window:
        seen = seen & (distance.abs() < window)
    if keys.valid is not None:
        seen = seen & keys.valid[:, None, :]
    some = seen.any(-1, keepdim=True)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=(seen | ~some)[:, None], scale=scale, enable_gqa=grouped)
    return torch.where(some[:, None], y, 0.0)


def sum(x: Tensor, axis: Axis, keepdim: bool = False) -> Tensor:
    """The sum of x[B, T, ...] over the tokens that exist."""
    if axis.valid is not None:
        x = torch.where(_spread(axis.valid, x), x, 0.0)
    return x.sum(1, keepdim=keepdim)


def mean(x: Tensor, axis: Axis, keepdim: bool = False) -> Tensor:
    """The mean of x[B, T, ...] over the tokens that exist; 0 of none."""
    total = sum(x, axis, keepdim)
    if axis.valid is None:
        return total / x.shape[1]
    counts = axis.valid.sum(1).clamp(min=1)
    return total / counts.reshape(counts.shape + (1,) * (total.dim() - 1))


def _global_mean(each: Tensor, counted: Tensor) -> Tensor:
    """The mean over what counts, on all ranks together.

    Ranks may hold different counts. Data parallelism takes the mean of gradients over ranks, so each rank divides its
    own sum by the mean count: the mean over ranks is then the sum of all by the count of all.
    """
    count = counted.sum().to(each.dtype)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    return torch.where(counted, each, 0.0).sum() / torch.where(count > 0, count, 1.0)


def _counted(each: Tensor, axis: Axis | None) -> Tensor:
    if axis is None or axis.valid is None:
        return torch.ones_like(each, dtype=torch.bool)
    return _spread(axis.valid, each).clone()


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
