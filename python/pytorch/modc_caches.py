"""What generation keeps of the tokens before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


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
        self._longest = 0  # no sequence has more tokens, as far as the host knows
        self._all: list[_Cache] = []
        self._next = 0

    @property
    def counts(self) -> list[list[int]]:
        """How many tokens of each sequence each attention keeps."""
        return [cache.count.tolist() for cache in self._all]

    def begin(self, new: Tensor, tokens: int, most: int | None) -> Tensor:
        """Begins a call with so many new tokens of each sequence, at most `tokens`: how many were before.

        No sequence may have more than `most`; only where that cannot be told from `tokens` is the device asked.
        """
        before = torch.zeros_like(new) if self.lengths is None else self.lengths
        if before.shape != new.shape:
            raise ValueError(f"the caches have {before.shape[0]} sequences, the call {new.shape[0]}")
        longest = self._longest + tokens
        if most is not None and longest > most:
            longest = int((before + new).max())
            if longest > most:
                raise ValueError(f"with what the caches have seen, {longest} tokens: a sequence has at most {most}")
        self.lengths, self._next, self._longest = before + new, 0, longest
        return before

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the sequences, i64[B]: the first rows of later calls follow the first of them."""
        if self.lengths is None:
            return
        self.lengths = self.lengths[rows]
        for cache in self._all:
            cache.keys, cache.values = cache.keys[rows], cache.values[rows]
            cache.positions, cache.count = cache.positions[rows], cache.count[rows]

    @torch.compiler.disable
    def extended(
        self, k: Tensor, v: Tensor, positions: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next attention's keys and values behind those before: k, v[B, G, T, d] of tokens at positions[B, T].

        Beside them the positions of all, and which exist.
        """
        if self._next == len(self._all):
            batch, heads = k.shape[:2]
            empty = (k.new_empty(batch, 0, heads, k.shape[-1]), v.new_empty(batch, 0, heads, v.shape[-1]))
            none = positions.new_zeros(batch, 0)
            self._all.append(_Cache(*empty, none, none.sum(1)))
        cache = self._all[self._next]
        self._next += 1
        exists = torch.ones_like(positions, dtype=torch.bool) if valid is None else valid
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
        cache.positions[sequence, at] = positions[exists]
        kept = torch.arange(most, device=k.device)[None] < cache.count[:, None]
        keys, values = (x[:, :most].transpose(1, 2) for x in (cache.keys, cache.values))
        return keys, values, cache.positions[:, :most], kept
