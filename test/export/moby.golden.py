"""Moby, written by `modc export --to torch` from moby.mod.

Classes are the blocks of the source, whose lines stand above what became of them;
parameters have modc's names of weights, and shapes are those of whole sequences side by
side: [batch, tokens, ...].
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import modc_torch as mt


class Embedding(nn.Module):
    """A table of vectors: one row for each token of the vocabulary. For learned positions, an
    embedding of `position(x)`.

    Source: std/linear.mod:21.
    """

    def __init__(self, vocab, dim) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(vocab, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.table, std=self.table.shape[-1] ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        # forward(tokens: u32[...]) -> f32[..., dim] { table[tokens] }
        return F.embedding(tokens, self.table)


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467): x / √(mean(x²) +
    eps) · weight.

    Source: std/norm.mod:2.
    """

    def __init__(self, dim, eps) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        # x * rsqrt(mean(x ^ 2, axis: -1, keep: true) + eps) * weight
        return (x * torch.rsqrt((x ** 2).mean(-1, keepdim=True) + self.eps)) * self.weight


class Linear(nn.Module):
    """A linear map of the last axis: x · weightᵀ + bias.

    Source: std/linear.mod:2.
    """

    def __init__(self, d_in, d_out) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.weight.shape[-1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        # forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(weight) }
        return x @ self.weight.T


class Attention(nn.Module):
    """Self-attention with several heads, which may share keys and values in groups (Ainslie et al.
    2023, arXiv 2305.13245), and rotary positions (Su et al. 2021, arXiv 2104.09864). On routed
    tokens it attends among those, by their original positions.

    Source: std/attention.mod:6.
    """

    def __init__(self, dim, heads, head_dim, theta) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.theta = theta
        self.q = Linear(d_in=dim, d_out=dim)
        self.k = Linear(d_in=dim, d_out=dim)
        self.v = Linear(d_in=dim, d_out=dim)
        self.o = Linear(d_in=dim, d_out=dim)

    def forward(self, x: Tensor, axis: mt.Axis) -> Tensor:
        # queries = rearrange(q(x), "b t (h d) -> b h t d", h: heads) // f32[B, heads, K, head_dim]
        queries = self.q(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
        # keys = rearrange(k(all), "b t (h d) -> b h t d", h: kv_heads)
        keys = self.k(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
        # values = rearrange(v(all), "b t (h d) -> b h t d", h: kv_heads)
        values = self.v(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
        # seen = attention(queries, keys, values, causal: causal, window: window)
        seen = mt.attention(
            mt.rope(queries, axis.positions, self.theta),
            mt.rope(keys, axis.positions, self.theta),
            values,
            axis,
            causal=True,
        )
        return self.o(seen.transpose(1, 2).flatten(2, 3))


class SwiGLU(nn.Module):
    """A gated network on each token (Shazeer 2020, arXiv 2002.05202): down(silu(gate(x)) · up(x)).

    Source: std/mlp.mod:4.
    """

    def __init__(self, dim, hidden) -> None:
        super().__init__()
        self.gate = Linear(d_in=dim, d_out=hidden)
        self.up = Linear(d_in=dim, d_out=hidden)
        self.down = Linear(d_in=hidden, d_out=dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Layer(nn.Module):
    """A pre-norm transformer layer. It returns its update only: a + mlp(mlp_norm(x + a)) with a =
    attn(attn_norm(x)). `Residual` adds the stream; `MoD` adds the update to the chosen tokens.

    Source: std/layer.mod:7.
    """

    def __init__(self, dim, heads, hidden, theta) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(dim=dim, eps=0.00001)
        self.attn = Attention(dim=dim, heads=heads, head_dim=32, theta=theta)
        self.mlp_norm = RMSNorm(dim=dim, eps=0.00001)
        self.mlp = SwiGLU(dim=dim, hidden=hidden)

    def forward(self, x: Tensor, axis: mt.Axis) -> Tensor:
        a = self.attn(self.attn_norm(x), axis)
        # a + mlp(mlp_norm(x + a))
        return a + self.mlp(self.mlp_norm(x + a))


class Residual(nn.Module):
    """Adds what a block computes to what it was given: x + inner(x).

    Source: std/layer.mod:41.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inner = Layer(dim=128, heads=4, hidden=512, theta=10000)

    def forward(self, x: Tensor, axis: mt.Axis, run: mt.Run) -> Tensor:
        # forward(x: f32[...]) -> f32[...] { x + inner(x) }
        return x + self.inner(x, axis)


class Linear2(nn.Module):
    """A linear map of the last axis: x · weightᵀ + bias.

    Source: std/linear.mod:2.
    """

    def __init__(self, d_in, d_out) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.bias = nn.Parameter(torch.empty(d_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.weight.shape[-1] ** -0.5)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        # forward(x: f32[..., d_in]) -> f32[..., d_out] { x @ transpose(weight) + bias }
        return (x @ self.weight.T) + self.bias


class Predictor(nn.Module):
    """A small network that guesses, from a token alone, what needs the whole sequence to know. It
    runs for every token.

    Source: std/mod.mod:4.
    """

    def __init__(self, dim, hidden) -> None:
        super().__init__()
        self.up = Linear2(d_in=dim, d_out=hidden)
        self.down = Linear2(d_in=hidden, d_out=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.up(x)))


class MoD(nn.Module):
    """Mixture-of-Depths (Raposo et al. 2024, arXiv 2404.02258), equation 1. The ceil(capacity·T)
    best-scoring tokens of each sequence go through `inner`; every other token skips it. `inner`
    returns its update only, without a residual of its own. Top-k looks at the whole sequence,
    so when generating, `guess` predicts its choice from the token alone.

    Source: std/mod.mod:20.
    """

    def __init__(self, dim, capacity) -> None:
        super().__init__()
        self.capacity = capacity
        self.inner = Layer(dim=dim, heads=4, hidden=512, theta=10000)
        self.router = Linear(d_in=dim, d_out=1)
        self.guess = Predictor(dim=dim, hidden=8)

    def forward(self, x: Tensor, axis: mt.Axis, run: mt.Run) -> Tensor:
        if run.causal:
            # chosen = if generate then above(likely, 0.0, expected: capacity) else
            chosen = mt.above(self.guess(x.detach()).squeeze(-1), 0, axis)
            # r = take(score, chosen)[..., None]
            r = mt.take(self.router(x).squeeze(-1), chosen).unsqueeze(-1)
            run.observe(f"{self.path}.chosen", chosen)
            # put(x, chosen, inner(take(x, chosen)) * w)
            return mt.put(x, chosen, self.inner(mt.take(x, chosen), chosen.axis) * r)
        # score = router(x)[..., 0] // f32[B, T]
        score = self.router(x).squeeze(-1)
        # top(score, ceil(capacity * T))
        chosen = mt.top(score, axis, lambda n: mt.ceil_of(self.capacity, n))
        if run.training:
            # if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
            loss = mt.binary_cross_entropy(
                self.guess(x.detach()).squeeze(-1),
                mt.mask(chosen, axis),
                axis,
            )
            # put(x, chosen, inner(take(x, chosen)) * w)
            h = self.inner(mt.take(x, chosen), chosen.axis) * mt.take(score, chosen).unsqueeze(-1)
            run.losses[f"{self.path}.predictor"] = 0.01 * loss
        else:
            # put(x, chosen, inner(take(x, chosen)) * w)
            h = self.inner(mt.take(x, chosen), chosen.axis) * mt.take(score, chosen).unsqueeze(-1)
        run.observe(f"{self.path}.chosen", chosen)
        return mt.put(x, chosen, h)


class Moby(nn.Module):
    """A byte-level decoder in which every second layer is a Mixture-of-Depths layer.

    Exported with vocab = 256, dim = 128, heads = 4, depth = 6, context = 256, capacity = 12.5%.

    Source: moby.mod:4.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = Embedding(vocab=256, dim=128)
        self.layers = nn.ModuleList([
            MoD(dim=128, capacity=Fraction(1, 8)) if i % 2 == 1
            else Residual()
            for i in range(6)
        ])
        self.norm = RMSNorm(dim=128, eps=0.00001)
        mt.name_paths(self)

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        lengths: Tensor | None = None,
        causal: bool = False,
        observed: dict | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """The result, or with what only the objective takes the losses by name, whose sum training
        minimises.

        - lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are
        padding.
        - causal: whether each choice of tokens is made from the token alone, as when generating.
        - observed: a dict that is filled with what the source observes, by path.
        """
        run = mt.Run(
            causal=causal,
            training=self.training and targets is not None,
            objective=targets is not None,
            observed=observed,
        )
        axis = mt.rows(tokens, lengths)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, axis, run)
        if run.objective:
            run.losses["next_token"] = mt.cross_entropy(
                self.norm(x) @ self.embed.table.T,
                targets,
                axis,
            )
            return run.losses
        # norm(x) @ transpose(embed.table)
        return self.norm(x) @ self.embed.table.T


def load(folder: str | Path, device: torch.device | str = "cpu") -> Moby:
    """The module with the weights of the folder's `model.safetensors`."""
    folder = Path(folder)
    names = folder / "keys.json"
    keys = json.loads(names.read_text()) if names.exists() else {}
    stored = mt.read_safetensors(folder / "model.safetensors")
    model = Moby()
    model.load_state_dict({key: stored[keys.get(key, key)].float() for key in model.state_dict()})
    return model.to(device)
