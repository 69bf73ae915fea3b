"""Attention whose scores have a cap, a mask or a bias of pairs of tokens, and the mass of scores."""

from __future__ import annotations

import torch
from torch import Tensor

from modc_axes import Axis, keys_so_far, seen_by

_NO_MASS = -1e30


def pair_attention(
    q: Tensor, k: Tensor, v: Tensor, axis: Axis, keys: Axis | None = None, causal: bool = False, window: int = 0,
    scale: float | None = None, cap: float | None = None, weights: Tensor | None = None, mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """q[B, H, T, d] on k, v[B, G, S, d], with mask and bias [B, T, S] or [B, H, T, S]; cap: c * tanh(score / c).

    weights[B, S]: factors on the shares of the keys; a key of weight 0 or below is not seen. A query that sees no key
    yields zeros.
    """
    if q.dim() == 3:
        q, k, v = q[:, None], k[:, None], v[:, None]
        return pair_attention(q, k, v, axis, keys, causal, window, scale, cap, weights, mask, bias)[:, 0]
    k, v, keys, weights = keys_so_far(k, v, axis if keys is None else keys, weights)
    share, some, _ = _shares(q, k, axis, keys, causal, window, scale, cap, weights, mask, bias)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], 1)
    return (share @ v) / torch.where(some, share.sum(-1, keepdim=True), 1.0)


def mass(
    q: Tensor, k: Tensor, axis: Axis, keys: Axis | None = None, causal: bool = False, window: int = 0,
    scale: float | None = None, cap: float | None = None, weights: Tensor | None = None, mask: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """The logarithm of the sum of weight * exp(score) of each query, [B, H, T]; -1e30 if it sees no key."""
    if q.dim() == 3:
        return mass(q[:, None], k[:, None], axis, keys, causal, window, scale, cap, weights, mask, bias)[:, 0]
    k, _, keys, weights = keys_so_far(k, k[..., :0], axis if keys is None else keys, weights)
    share, some, top = _shares(q, k, axis, keys, causal, window, scale, cap, weights, mask, bias)
    total = torch.where(some, share.sum(-1, keepdim=True), 1.0)
    return torch.where(some, total.log() + top, _NO_MASS)[..., 0]


def _shares(
    q: Tensor, k: Tensor, axis: Axis, keys: Axis, causal: bool, window: int, scale: float | None,
    cap: float | None, weights: Tensor | None, mask: Tensor | None, bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """weight * exp(score - top), 0 for keys that are not seen; whether a query sees a key; and top, [B, H, T, 1]."""
    seen = seen_by(axis, keys, causal, window)[:, None]
    if mask is not None:
        seen = seen & (mask if mask.dim() == 4 else mask[:, None])
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    score = (q @ k.transpose(2, 3)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if cap is not None:
        score = cap * (score / cap).tanh()
    if bias is not None:
        score = score + (bias if bias.dim() == 4 else bias[:, None])
    weighs = seen if weights is None else seen & (weights > 0)[:, None, None, :]
    weighs = weighs.expand(score.shape)
    some = weighs.any(-1, keepdim=True)
    if score.shape[-1] == 0:
        return score, some, torch.zeros_like(some, dtype=score.dtype)
    top = torch.where(some, score.detach().masked_fill(~weighs, float("-inf")).amax(-1, keepdim=True), 0.0)
    share = (score - top).clamp(max=80.0).exp().masked_fill(~(seen & some), 0.0)
    if weights is not None:
        share = share * weights.clamp(min=0)[:, None, None, :]
    return share, some, top
