"""A small model in the form of those that `modc export` writes: an embedding, routed layers, a head."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor, nn

import modc_torch as mt


@dataclass
class ModelArgs:
    vocab: int = 64
    dim: int = 32
    depth: int = 3
    capacity: Fraction = Fraction(1, 2)


class Layer(nn.Module):
    """Half of the tokens go through a network; the others skip it."""

    def __init__(self, dim: int, capacity: Fraction) -> None:
        super().__init__()
        self.capacity = capacity
        self.router = nn.Linear(dim, 1, bias=False)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, axis: mt.Axis) -> Tensor:
        score = self.router(x).squeeze(-1)
        chosen = mt.top(score, axis, lambda n: mt.ceil_of(self.capacity, n))
        y = self.down(F.silu(self.up(mt.take(x, chosen))))
        return mt.put(x, chosen, y * mt.take(score, chosen).unsqueeze(-1))


class Model(nn.Module):
    live: dict = {}

    def __init__(self, args: ModelArgs | None = None) -> None:
        super().__init__()
        self.args = args = args or ModelArgs()
        self.embed = nn.Embedding(args.vocab, args.dim)
        self.layers = nn.ModuleList(Layer(args.dim, args.capacity) for _ in range(args.depth))
        self.head = nn.Linear(args.dim, args.vocab, bias=False)
        mt.name_paths(self)

    def forward(
        self, tokens: Tensor, targets: Tensor | None = None, lengths: Tensor | None = None, causal: bool = False
    ) -> Tensor | dict[str, Tensor]:
        axis = mt.rows(tokens, lengths)
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, axis)
        logits = self.head(x)
        return logits if targets is None else {"next_token": mt.cross_entropy(logits, targets, axis)}
