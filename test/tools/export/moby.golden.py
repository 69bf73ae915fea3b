"""Moby, written by `modc export --to torch` from moby.mod.

Classes are the blocks of the source, whose lines stand above what became of them;
parameters have modc's names of weights, and shapes are those of whole sequences side by
side: [batch, tokens, ...].
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import modc_torch as mt
from modc_files import read_weights


@dataclass
class MobyArgs:
    """What the model is made with."""

    vocab: int = 256
    dim: int = 128
    heads: int = 4
    depth: int = 6
    context: int = 256  # the most tokens of a sequence
    capacity: Fraction = Fraction(1, 8)
    guess_hidden: int | None = None  # 8; follows from dim: give it with others

    def __post_init__(self) -> None:
        self.capacity = mt.ratio(self.capacity)
        self.guess_hidden = mt.followed("guess_hidden", self.guess_hidden, 8, dim=(self.dim, 128))

    @property
    def head_dim(self) -> int:
        return mt.quotient(self.dim, self.heads)

    @property
    def hidden(self) -> int:
        return 4 * self.dim


class Embedding(nn.Module):
    """A table of vectors: one row for each token of the vocabulary. For learned positions, an
    embedding of `position(x)`.

    Source: std/linear.mod:21.
    """

    def __init__(self, vocab: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(vocab, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.table, std=self.table.shape[-1] ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        # forward(tokens: u32[...]) -> f32[..., dim] { table[tokens] }
        return F.embedding(tokens, self.table)


class RMSNorm(nn.RMSNorm):
    """Root mean square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467): x / √(mean(x²) +
    eps) · weight.

    Source: std/norm.mod:2.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__(dim, eps)

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)


class Linear(nn.Linear):
    """A linear map of the last axis: x · weightᵀ + bias.

    Source: std/linear.mod:2.
    """

    def __init__(self, d_in: int, d_out: int, bias: bool = False) -> None:
        super().__init__(d_in, d_out, bias=bias)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.weight.shape[-1] ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Attention(nn.Module):
    """Self-attention with several heads, which may share keys and values in groups (Ainslie et al.
    2023, arXiv 2305.13245), and rotary positions (Su et al. 2021, arXiv 2104.09864). On routed
    tokens it attends among those, by their original positions.

    Source: std/attention.mod:6.
    """

    def __init__(self, dim: int, head_dim: int, theta: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta
        self.q = Linear(d_in=dim, d_out=dim)
        self.k = Linear(d_in=dim, d_out=dim)
        self.v = Linear(d_in=dim, d_out=dim)
        self.o = Linear(d_in=dim, d_out=dim)

    def forward(self, x: Tensor, axis: mt.Axis) -> Tensor:
        # queries = rearrange(q(x), "b t (h d) -> b h t d", h: heads) // f32[B, heads, K, head_dim]
        queries = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        # keys = rearrange(k(all), "b t (h d) -> b h t d", h: kv_heads)
        keys = self.k(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        # values = rearrange(v(all), "b t (h d) -> b h t d", h: kv_heads)
        values = self.v(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
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

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate = Linear(d_in=dim, d_out=hidden)
        self.up = Linear(d_in=dim, d_out=hidden)
        self.down = Linear(d_in=hidden, d_out=dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Layer(nn.Module):
    """A transformer layer. It returns its update only: a + mlp(mlp_norm(x + a)) with a =
    attn(attn_norm(x)), or as `norms`, `parallel` and `factor` say. `Residual` adds the stream;
    `MoD` adds the update to the chosen tokens.

    Source: std/layer.mod:7.
    """

    def __init__(self, dim: int, hidden: int, theta: float, head_dim: int) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(dim=dim, eps=1e-5)
        self.attn = Attention(dim=dim, head_dim=head_dim, theta=theta)
        self.mlp_norm = RMSNorm(dim=dim, eps=1e-5)
        self.mlp = SwiGLU(dim=dim, hidden=hidden)

    def forward(self, x: Tensor, axis: mt.Axis) -> Tensor:
        a = self.attn(self.attn_norm(x), axis)
        # a + m
        return a + self.mlp(self.mlp_norm(x + a))


class Residual(nn.Module):
    """Adds what a block computes to what it was given: x + inner(x).

    Source: std/layer.mod:67.
    """

    def __init__(self, dim: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.inner = Layer(dim=dim, hidden=hidden, theta=10000.0, head_dim=head_dim)

    def forward(self, x: Tensor, axis: mt.Axis, run: mt.Run) -> tuple[Tensor, dict[str, Tensor]]:
        # forward(x: f32[...]) -> f32[...] { x + inner(x) }
        return x + self.inner(x, axis), {}


class Predictor(nn.Module):
    """A small network that guesses, from a token alone, what needs the whole sequence to know. It
    runs for every token.

    Source: std/mod.mod:4.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.up = Linear(d_in=dim, d_out=hidden, bias=True)
        self.down = Linear(d_in=hidden, d_out=1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.up(x)))


class MoD(nn.Module):
    """Mixture-of-Depths (Raposo et al. 2024, arXiv 2404.02258), equation 1. The ceil(capacity·T)
    best-scoring tokens of each sequence go through `inner`; every other token skips it. `inner`
    returns its update only, without a residual of its own. Top-k looks at the whole sequence,
    so when generating, `guess` predicts its choice from the token alone.

    Source: std/mod.mod:20.
    """

    def __init__(
        self,
        dim: int,
        capacity: Fraction,
        head_dim: int,
        hidden: int,
        guess_hidden: int,
    ) -> None:
        super().__init__()
        self.capacity = capacity
        self.inner = Layer(dim=dim, hidden=hidden, theta=10000.0, head_dim=head_dim)
        self.router = Linear(d_in=dim, d_out=1)
        self.guess = Predictor(dim=dim, hidden=guess_hidden)

    def forward(self, x: Tensor, axis: mt.Axis, run: mt.Run) -> tuple[Tensor, dict[str, Tensor]]:
        losses: dict[str, Tensor] = {}
        # score = router(x)[..., 0] // f32[B, T]
        score = self.router(x).squeeze(-1)
        if run.causal:
            # chosen = if generate then above(likely, 0.0, expected: capacity) else
            chosen = mt.above(self.guess(x.detach()).squeeze(-1), 0, axis)
        else:
            # top(score, ceil(capacity * T))
            chosen = mt.top(score, axis, lambda n: mt.ceil_of(self.capacity, n))
        run.observe(self, "chosen", chosen)
        if run.training and not run.causal:
            # if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
            loss = mt.binary_cross_entropy(
                self.guess(x.detach()).squeeze(-1),
                mt.mask(chosen, axis),
                axis,
            )
            losses["predictor"] = 0.01 * loss
        # put(x, chosen, inner(take(x, chosen)) * w)
        h = self.inner(mt.take(x, chosen), chosen.axis) * mt.take(score, chosen).unsqueeze(-1)
        return mt.put(x, chosen, h), losses


class Moby(nn.Module):
    """A byte-level decoder in which every second layer is a Mixture-of-Depths layer.

    Exported with vocab = 256, dim = 128, heads = 4, depth = 6, context = 256, capacity = 12.5%.

    Source: moby.mod:4.
    """

    def __init__(self, args: MobyArgs | None = None) -> None:
        super().__init__()
        self.args = args = args or MobyArgs()
        self.embed = Embedding(vocab=args.vocab, dim=args.dim)
        self.layers = nn.ModuleList([
            MoD(
                dim=args.dim,
                capacity=args.capacity,
                head_dim=args.head_dim,
                hidden=args.hidden,
                guess_hidden=args.guess_hidden,
            ) if i % 2 == 1
            else Residual(dim=args.dim, head_dim=args.head_dim, hidden=args.hidden)
            for i in range(args.depth)
        ])
        self.norm = RMSNorm(dim=args.dim, eps=1e-5)
        mt.name_paths(self)

    def init_weights(self) -> None:
        """Draws all weights anew from the distributions of the source, also after `to_empty`."""
        for module in self.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        lengths: Tensor | None = None,
        causal: bool = False,
        caches: mt.Caches | None = None,
        observed: dict | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """The result, or with what only the objective takes the losses by name, whose sum training
        minimises.

        - lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are
        padding.
        - causal: whether each choice of tokens is made from the token alone, as when generating.
        - caches: of the tokens before these; by the causal rule.
        - observed: a dict that is filled with what the source observes, by path.
        """
        if caches is not None and not causal:
            raise ValueError("caches are of the causal rule")
        run = mt.Run(
            causal=causal,
            training=self.training and targets is not None,
            objective=targets is not None,
            observed=observed,
        )
        axis = mt.rows(tokens, lengths, caches, most=self.args.context)
        mt.expect_targets(targets, axis)
        losses: dict[str, Tensor] = {}
        x = self.embed(tokens)
        for i, layer in enumerate(self.layers):
            x, more = layer(x, axis, run)
            losses.update(mt.below(f"layers.{i}", more))
        if run.objective:
            # loss next_token = cross_entropy(forward(tokens), targets)
            losses["next_token"] = mt.cross_entropy(
                self.norm(x) @ self.embed.table.T,
                targets,
                axis,
            )
            return losses
        # norm(x) @ transpose(embed.table)
        return self.norm(x) @ self.embed.table.T

    def step(
        self,
        tokens: Tensor,
        caches: mt.Caches,
        lengths: Tensor | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """The result of tokens behind those that the caches have seen, by the causal rule."""
        if caches is None:
            raise ValueError("a step goes on with caches: mt.Caches() begins some")
        return self(tokens, lengths=lengths, causal=True, caches=caches)


def load(folder: str | Path, device: torch.device | str = "cpu") -> Moby:
    """The module with the weights of the folder's `model.safetensors`."""
    model = Moby()
    model.load_state_dict(read_weights(folder))
    return model.to(device)
