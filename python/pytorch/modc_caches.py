"""What generation keeps of the tokens before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class _Rows:
    """Rows of tokens, such as the keys of one attention: sequence b has count[b] of each of these [B, C, ...]."""

    kept: list[Tensor]
    count: Tensor  # i64[B]

    @staticmethod
    def like(new: tuple[Tensor, ...]) -> _Rows:
        kept = [x.new_empty((x.shape[0], 0) + x.shape[2:]) for x in new]
        return _Rows(kept, torch.zeros(new[0].shape[0], dtype=torch.int64, device=new[0].device))

    def extend(self, new: tuple[Tensor, ...], exists: Tensor) -> tuple[list[Tensor], Tensor]:
        """All rows, those of `new` that exist behind those before; and which exist, bool[B, S]."""
        at = (self.count[:, None] + exists.cumsum(1) - 1)[exists]
        sequence = exists.nonzero()[:, 0]
        self.count = self.count + exists.sum(1)
        most = int(self.count.max())
        before = self.kept[0].shape[1]
        if most > before:
            more = 2 * most - before
            self.kept = [torch.cat((x, x.new_zeros((x.shape[0], more) + x.shape[2:])), 1) for x in self.kept]
        for kept, x in zip(self.kept, new):
            kept[sequence, at] = x[exists]
        return [x[:, :most] for x in self.kept], torch.arange(most, device=exists.device)[None] < self.count[:, None]

    def select(self, rows: Tensor) -> None:
        self.kept, self.count = [x[rows] for x in self.kept], self.count[rows]


class Caches:
    """What generation keeps of the tokens before: for each attention, in the order of their calls, the keys and values
    of tokens that took its route, for each recurrence its state. Calls of the model that get the same caches go on with
    the same sequences."""

    def __init__(self) -> None:
        self.lengths: Tensor | None = None  # i64[B], tokens so far
        self._longest = 0  # no sequence has more tokens, as far as the host knows
        self._all: list[_Rows] = []  # keys, values and positions of each attention
        self._pairs: list[_Rows] = []  # what masks and biases read of keys
        self._states: list[Tensor] = []
        self._next = self._next_pairs = self._next_state = 0

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
        self.lengths, self._longest = before + new, longest
        self._next = self._next_pairs = self._next_state = 0
        return before

    def select(self, rows: Tensor) -> None:
        """Goes on with these of the sequences, i64[B]: the first rows of later calls follow the first of them."""
        if self.lengths is None:
            return
        self.lengths = self.lengths[rows]
        for cache in (*self._all, *self._pairs):
            cache.select(rows)
        self._states = [state[rows] for state in self._states]

    @torch.compiler.disable
    def extended(
        self, k: Tensor, v: Tensor, positions: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next attention's keys and values behind those before: k, v[B, G, T, d] of tokens at positions[B, T].

        Beside them the positions of all, and which exist.
        """
        new = (k.transpose(1, 2), v.transpose(1, 2), positions)
        if self._next == len(self._all):
            self._all.append(_Rows.like(new))
        cache = self._all[self._next]
        self._next += 1
        exists = torch.ones_like(positions, dtype=torch.bool) if valid is None else valid
        (keys, values, known), kept = cache.extend(new, exists)
        return keys.transpose(1, 2), values.transpose(1, 2), known, kept

    @torch.compiler.disable
    def extended_rows(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """The next rows [B, T, ...] that a mask or bias reads of keys, behind those before."""
        if self._next_pairs == len(self._pairs):
            self._pairs.append(_Rows.like((x,)))
        cache = self._pairs[self._next_pairs]
        self._next_pairs += 1
        exists = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if valid is None else valid
        return cache.extend((x,), exists)[0][0]

    @torch.compiler.disable
    def state(self, zeros: Tensor) -> tuple[int, Tensor]:
        """The number of the next recurrence, and its state: zeros at the beginning."""
        if self._next_state == len(self._states):
            self._states.append(zeros)
        self._next_state += 1
        return self._next_state - 1, self._states[self._next_state - 1]

    @torch.compiler.disable
    def keep(self, number: int, state: Tensor) -> None:
        """The state of a recurrence behind the tokens of this call."""
        self._states[number] = state
