"""Dynamic chunks, Mixture-of-Memories and latent attention as plain PyTorch, 64-bit floats, with the gradients of a loss.

Written after hnet's RoutingModule and DeChunkLayer, flash-linear-attention's MomAttention and transformers'
DeepseekV3Attention. Each function gets the rows that a block reads and their positions in the text, and returns the
block's update; with a loss of its own, if it has one.
"""

import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(__file__))
from recurrent import answered, by_heads, convolved, delta, linear, rms, unit


def chunks(x, at, w, o):
    cosine = F.cosine_similarity(x[:, :-1] @ w["q"].T, x[:, 1:] @ w["k"].T, dim=-1)
    p = F.pad(((1 - cosine) / 2).clamp(0, 1), (1, 0), value=1.0)
    begins = p > 0.5
    held = []
    for row, likely, begun in zip(x, p, begins):
        inside = convolved(row[begun][None], w, "inner")[0]
        share = likely[begun].clamp(1e-4, 1 - 1e-4)
        state, smooth = torch.zeros_like(row[0]), []
        for i in range(len(inside)):
            state = share[i] * inside[i] + (1 - share[i]) * state
            smooth.append(state)
        held.append(torch.stack(smooth)[begun.cumsum(0) - 1])
    sure = torch.where(begins, p, 1 - p)
    one = 1 + sure - sure.detach()
    n = 1 / o["share"]
    f, g = begins.double().mean(), p.mean()
    loss = o["rate"] * n / (n - 1) * ((1 - 1 / n) * f * g + (1 - f) * (1 - g) / n)
    return torch.stack(held) * one[..., None] + x @ w["residual"].T + w["residual_bias"], loss


def memories(x, at, w, o):
    heads, active = o["heads"], o["active"]
    share, index = (x @ w["router.weight"].T).softmax(-1).topk(active, -1)
    share = share / share.sum(-1, keepdim=True)

    def memory(rows, name):
        rows = rows[None]
        q, k, v = linear(rows, w, "parts.q"), linear(rows, w, f"{name}.k"), linear(rows, w, f"{name}.v")
        q, k, v = (
            by_heads(F.silu(convolved(y, w, f"parts.{n}_conv")), heads) for n, y in (("q", q), ("k", k), ("v", v))
        )
        rate = -torch.exp(w["parts.a_log"]) * F.softplus(linear(rows, w, f"{name}.a") + w["parts.dt_bias"])
        beta = torch.sigmoid(linear(rows, w, f"{name}.b"))
        return delta(unit(q), unit(k), v, beta, rate[..., None], q.shape[-1] ** -0.5)[0].flatten(1)

    out = []
    for b in range(x.shape[0]):
        total = memory(x[b], "all") if o["shared"] else 0
        for e in range(o["count"]):
            hit = index[b] == e
            rows = hit.any(-1).nonzero()[:, 0]
            if len(rows) > 0:
                weight = (share[b] * hit).sum(-1)[rows]
                y = memory(x[b][rows], f"memories.{e}") * weight[:, None]
                total = total + torch.zeros(x.shape[1], y.shape[1], dtype=x.dtype).index_add(0, rows, y)
        out.append(total)
    y = rms(by_heads(torch.stack(out), heads), w["norm.weight"], 1e-5)
    return linear(y.flatten(2) * F.silu(linear(x, w, "gate")), w, "out")


def mla(x, at, w, o):
    heads, plain, rotated, latent = o["heads"], o["plain"], o["rotated"], o["latent"]
    if "q.weight" in w:
        q = linear(x, w, "q")
    else:
        q = linear(rms(linear(x, w, "q_down"), w["q_norm.weight"], 1e-6), w, "q_up")
    q_plain, q_turned = by_heads(q, heads).split([plain, rotated], -1)
    c, k_turned = linear(x, w, "kv_down").split([latent, rotated], -1)
    k_plain, v = by_heads(linear(rms(c, w["kv_norm.weight"], 1e-6), w, "kv_up"), heads).split([plain, o["value_dim"]], -1)
    frequencies = 10000.0 ** (-torch.arange(0, rotated, 2, dtype=x.dtype) / rotated)
    turn = torch.polar(torch.ones((), dtype=x.dtype), at.double()[..., None] * frequencies)[:, :, None]

    def turned(y):
        return torch.view_as_real(torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous()) * turn).flatten(-2)

    q = torch.cat([q_plain, turned(q_turned)], -1)
    k = torch.cat([k_plain, turned(k_turned[:, :, None]).expand(-1, -1, heads, -1)], -1)
    q, k, v = (y.transpose(1, 2) for y in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=(plain + rotated) ** -0.5)
    return linear(y.transpose(1, 2).flatten(2), w, "o")


def answer(job):
    return answered(job, globals()[job["account"]])
