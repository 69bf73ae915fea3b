"""The words by their definitions, in PyTorch: plain loops and whole matrices, without any code of modc."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NO_MASS = -1e30


def attention(q: Tensor, k: Tensor, v: Tensor, **more) -> Tensor:
    """q[B, H, T, d] on k[B, G, S, d], v[B, G, S, e], where G divides H: weighted means of v; zeros if nothing is seen."""
    share, _, some = shares(q, k, **more)
    total = torch.where(some, share.sum(-1, keepdim=True), 1.0)
    return share @ v.repeat_interleave(q.shape[1] // v.shape[1], 1) / total


def mass(q: Tensor, k: Tensor, **more) -> Tensor:
    """log of the sum of weight * exp(score) over the seen keys, [B, H, T]; -1e30 if there are none."""
    share, top, some = shares(q, k, **more)
    total = torch.where(some, share.sum(-1, keepdim=True), 1.0)
    return torch.where(some, total.log() + top, NO_MASS)[..., 0]


def shares(
    q, k, causal=False, window=0, scale=None, cap=None, mask=None, bias=None, weight=None, lengths=None, key_lengths=None
):
    """weight * exp(score - top) of each pair, 0 where it is not seen; top; and which queries see a key.

    The cap comes before the bias; `mask`, `causal` and `window` must all allow a pair, and its weight must be above 0.
    """
    batch, heads, queries, d = q.shape
    keys = k.shape[2]
    if lengths is not None and key_lengths is None and queries == keys:
        key_lengths = lengths
    score = q @ k.repeat_interleave(heads // k.shape[1], 1).transpose(2, 3) * (d**-0.5 if scale is None else scale)
    if cap is not None:
        score = cap * (score / cap).tanh()
    if bias is not None:
        score = score + (bias if bias.dim() == 4 else bias[:, None])
    i, j = torch.arange(queries)[:, None], torch.arange(keys)[None]
    seen = torch.ones(batch, 1, queries, keys, dtype=torch.bool)
    if causal:
        seen = seen & (j <= i)
    if window > 0:
        seen = seen & (i - j < window) & (causal | (j - i < window))
    if mask is not None:
        seen = seen & (mask if mask.dim() == 4 else mask[:, None])
    if key_lengths is not None:
        seen = seen & (j < key_lengths[:, None, None, None])
    if weight is not None:
        seen = seen & (weight > 0)[:, None, None]
    seen = seen.expand(score.shape)
    some = seen.any(-1, keepdim=True)
    top = torch.where(some, score.detach().masked_fill(~seen, -math.inf).amax(-1, keepdim=True), 0.0)
    share = torch.where(seen, (score - top).masked_fill(~seen, 0.0).exp(), 0.0)
    return (share if weight is None else share * weight[:, None, None]), top, some


def earlier(x: Tensor, n: int, lengths=None) -> Tensor:
    """The row n before, zeros before the first."""
    return F.pad(x, (0, 0, n, 0))[:, : x.shape[1]]


def later(x: Tensor, n: int, lengths=None) -> Tensor:
    """The row n behind, zeros behind the end of the sequence."""
    return F.pad(existing(x, lengths), (0, 0, 0, n))[:, n:]


def scan(x: Tensor, log_decay=None, fresh=None, reverse=False, lengths=None) -> Tensor:
    """y_t = exp(log_decay_t) * y_(t-1) + x_t, where fresh y_t = x_t; with `reverse` from the end of the sequence."""
    x = existing(x, lengths)
    state = torch.zeros_like(x[:, 0])
    rows = [state] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        if log_decay is not None:
            state = log_decay[:, t].exp() * state
        if fresh is not None:
            state = torch.where(fresh[:, t, None], 0.0, state)
        rows[t] = state = state + x[:, t]
    return torch.stack(rows, 1)


def routed_scan(x: Tensor, log_decay: Tensor, chosen: Tensor, lengths=None) -> Tensor:
    """The scan of the chosen rows as a sequence of their own; zeros at the others."""
    y = torch.zeros_like(x)
    for b in range(x.shape[0]):
        tokens = x.shape[1] if lengths is None else int(lengths[b])
        rows = chosen[b, :tokens].nonzero()[:, 0]
        if len(rows) > 0:
            own = scan(x[b, rows][None], log_decay[b, rows][None])[0]
            y = y.index_put((torch.tensor(b), rows), own)
    return y


def linear_attention(
    q, k, v, log_decay=None, forget=None, at=None, fresh=None, scale=1.0, lengths=None
) -> Tensor:
    """q, k, forget, at[B, G, T, K], v[B, H, T, V], log_decay[B, H, T] or [B, H, T, K]. The state S[B, H, K, V]:

    S_t = diag(exp(log_decay_t)) S_(t-1) - forget_t (at_t . S_(t-1)) + k_t v_t; y_t = scale * q_t . S_t; where fresh,
    S_(t-1) is 0.
    """
    groups = v.shape[1] // q.shape[1]
    q, k, forget, at = (None if x is None else x.repeat_interleave(groups, 1) for x in (q, k, forget, at))
    state = v.new_zeros(*v.shape[:2], q.shape[-1], v.shape[-1])
    rows = []
    for t in range(v.shape[2]):
        if fresh is not None:
            state = torch.where(fresh[:, t, None, None, None], 0.0, state)
        before = state
        if log_decay is not None:
            decay = log_decay[:, :, t].exp()
            state = state * (decay[..., None] if decay.dim() == 3 else decay[..., None, None])
        if forget is not None:
            state = state - forget[:, :, t, :, None] * (at[:, :, t, None] @ before)
        state = state + k[:, :, t, :, None] * v[:, :, t, None]
        rows.append(scale * (q[:, :, t, None] @ state)[:, :, 0])
    return torch.stack(rows, 2)


def rows(x: Tensor, index: Tensor) -> Tensor:
    """x[b, index[b, t]]; an index outside reads the nearest row."""
    at = index.clamp(0, x.shape[1] - 1)
    return x[torch.arange(len(x))[:, None], at]


def strides(x: Tensor, start: int, stop: int, step: int) -> Tensor:
    return x[:, start:stop:step]


def rope(x: Tensor, angles: Tensor) -> Tensor:
    """Turns the halves of x[B, H, T, d] against each other by angles[B, T, d/2]."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def floor(x: Tensor) -> Tensor:
    return x.floor()


def existing(x: Tensor, lengths) -> Tensor:
    """x[B, T, ...] with zeros behind the ends of sequences."""
    if lengths is None:
        return x
    valid = torch.arange(x.shape[1]) < lengths[:, None]
    return torch.where(valid.reshape(*valid.shape, *[1] * (x.dim() - 2)), x, 0.0)
