"""Choices of tokens, rotation and attention; and by the name of this module all that exported models share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modc_axes import *  # noqa: F403
from modc_axes import Axis, Route, keys_so_far, larger, lengths_of, ranked, ratio, seen_by, smaller, spread
from modc_caches import Caches  # noqa: F401
from modc_entries import *  # noqa: F403
from modc_losses import *  # noqa: F403
from modc_pairs import *  # noqa: F403
from modc_recurrences import *  # noqa: F403


@dataclass
class Run:
    """What one call of a model is for."""

    causal: bool
    training: bool
    objective: bool
    observed: dict[str, object] | None = None
    live: dict[str, Fraction] | None = None
    calls: dict[str, int] = field(default_factory=dict)  # numbers of the calls that this one is part of, by path

    def call(self, block: nn.Module, number: int) -> Run:
        """The run of one of several calls of a block: paths of observed values have its number, `layers.1#0.chosen`."""
        return self if self.observed is None else replace(self, calls={**self.calls, block.path: number})

    def observe(self, block: nn.Module, name: str, value: object) -> None:
        """Keeps what a block observes. A compiled block reads its path only where somebody asks for that."""
        if self.observed is not None:
            path = block.path
            for outer, number in reversed(self.calls.items()):  # inner blocks first: outer paths are their beginnings
                if path == outer or path.startswith(f"{outer}."):
                    path = f"{outer}#{number}{path[len(outer):]}"
            self.observed[f"{path}.{name}" if path else name] = value


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


def top(
    score: Tensor, axis: Axis, k: Callable[[int | Tensor], int | Tensor], of: Axis | None = None, falls: bool = False
) -> Route:
    """The k(n) best of the tokens of each sequence; of equal ones the earlier, NaN last.

    n is the number of its tokens, or of those of another axis. As many rows as k of all tokens are enough, known
    without asking the device; if k falls for longer sequences, as many as there are tokens.
    """
    of = axis if of is None else of
    tokens = score.shape[1]
    order = ranked(score, 1)
    most = smaller(larger(k(of.positions.shape[1]), 0), tokens)
    if axis.valid is None and of.valid is None:
        index = order[:, :most].sort(dim=1).values
        return Route(index, Axis(axis.positions.gather(1, index), None))
    if axis.valid is not None:  # those that exist stand before the others, even at NaN
        missing = (~axis.valid).gather(1, order)
        order = order.gather(1, torch.argsort(missing.to(torch.uint8), dim=1, stable=True))
    most = tokens if falls else most
    lengths = lengths_of(of)
    counts = (torch.zeros_like(lengths) + k(lengths)).clamp(min=0).minimum(lengths_of(axis))
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


def take(x: Tensor, route: Route) -> Tensor:
    """The chosen tokens of x[B, T, ...]: [B, K, ...]."""
    return x.gather(1, spread(route.index, x))


def put(x: Tensor, route: Route, y: Tensor) -> Tensor:
    """x[B, T, ...] with y[B, K, ...] added to the chosen tokens."""
    if route.axis.valid is not None:
        y = torch.where(spread(route.axis.valid, y), y, 0.0)
    return x.scatter_add(1, spread(route.index, y), y.to(x.dtype))  # autocast may have made it narrower


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
    if (axis if keys is None else keys).caches is not None:
        k, v, keys, weights = keys_so_far(k, v, axis if keys is None else keys, weights)
    if q.shape[2] == 0 or k.shape[2] == 0:
        return v.new_zeros(q.shape[:-1] + v.shape[-1:])
    # Tokens ascend, so their order is that of positions.
    if keys is None and window == 0 and axis.valid is None and weights is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=grouped)
    keys = axis if keys is None else keys
    seen = seen_by(axis, keys, causal, window)
    if weights is not None:
        return _weighted(q, k, v, seen, weights, scale)
    some = seen.any(-1, keepdim=True)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=(seen | ~some)[:, None], scale=scale, enable_gqa=grouped)
    return torch.where(some[:, None], y, 0.0)


@torch.no_grad()
def received(
    q: Tensor, k: Tensor, axis: Axis, keys: Axis | None = None, causal: bool = False, window: int = 0,
    scale: float | None = None,
) -> Tensor:
    """How much attention each key of k[B, G, S, d] gets: of all queries q[B, H, T, d] the sum of shares, [B, H, S]."""
    if q.dim() == 3:
        return received(q[:, None], k[:, None], axis, keys, causal, window, scale)[:, 0]
    keys = axis if keys is None else keys
    seen = seen_by(axis, keys, causal, window)
    if axis.valid is not None:
        seen = seen & axis.valid[:, :, None]
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    score = (q @ k.transpose(2, 3)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    share = score.masked_fill(~seen[:, None], torch.finfo(score.dtype).min).softmax(-1)
    return share.masked_fill(~seen[:, None], 0.0).sum(2)


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


def straight(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of the first, the gradient of the second."""
    return hard.to(soft.dtype) + (soft - soft.detach())
