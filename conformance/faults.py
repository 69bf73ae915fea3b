"""A plain Mixture-of-Depths layer, and the same with each of the faults that public code has."""

import json
import math
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from suite import Case

FAULTS: dict[str, str] = json.loads((Path(__file__).parent / "faults.json").read_text())


class Layer:
    """A layer with these of FAULTS; without any, as the laws have it."""

    def __init__(self, *faults: str):
        self.faults = frozenset(faults)

    def function(self, name: str):
        return {"train": self.train, "generate": self.generate, "decode": self.decode}[name]

    def train(self, case: Case) -> dict:
        x, scores = case.x, case.x @ case.router
        lengths = self.lengths(case)
        chosen = self.chosen(scores, lengths, case)
        seen = x if "predictor-disturbs" in self.faults else x.detach()
        membership = torch.zeros(x.shape[:2], dtype=x.dtype)
        for b, index in enumerate(chosen):
            membership[b, index] = 1
        valid = torch.arange(x.shape[1]) < lengths[:, None]
        loss = F.binary_cross_entropy_with_logits(case.predictor(seen)[valid], membership[valid])
        return {**self.put(case, scores, chosen), "predictor_loss": loss}

    def generate(self, case: Case) -> dict:
        scores = case.x @ case.router
        if "leaking-validation" in self.faults:
            chosen = self.chosen(scores, self.lengths(case), case)
        elif "dense-decoding" in self.faults:
            chosen = [torch.arange(case.x.shape[1]) for _ in case.x]
        else:
            chosen = [(logits > 0).nonzero()[:, 0] for logits in case.predictor(case.x)]
        return self.put(case, scores, chosen)

    def decode(self, case: Case) -> dict:
        x = case.x
        scores, logits = x @ case.router, case.predictor(x)
        y, cached = x.clone(), []
        top = self.chosen(scores, self.lengths(case), case) if "leaking-validation" in self.faults else None
        for b in range(x.shape[0]):
            cache = case.inner.cache()
            for t in range(x.shape[1]):
                passes = logits[b, t] > 0 if top is None else t in top[b].tolist()
                if "dense-decoding" in self.faults:
                    passes = True
                if not passes and not self.faults & {"keys-of-all", "attends-to-skipped"}:
                    continue
                position = len(cache) if self.faults & {"cached-positions", "compacted-positions"} else t
                update = case.inner.step(x[b, t], position, cache)
                if passes:
                    y[b, t] = self.added(x[b, t], update, self.gate(scores[b, t : t + 1], case)[0])
                elif "skipped-gated" in self.faults:
                    y[b, t] = x[b, t] * self.gate(scores[b, t : t + 1], case)[0]
            cached.append(len(cache))
        return {"y": y, "cached": torch.tensor(cached)}

    def lengths(self, case: Case) -> Tensor:
        batch, tokens = case.x.shape[:2]
        whole = torch.full((batch,), tokens)
        return whole if case.lengths is None or "padding-chosen" in self.faults else case.lengths

    def chosen(self, scores: Tensor, lengths: Tensor, case: Case) -> list[Tensor]:
        """The indices of the best k of each sequence."""
        worst = math.inf if "nan-first" in self.faults else -math.inf
        scores = torch.where(scores.isnan(), torch.full_like(scores, worst), scores)
        counts = [self.count(int(n), case) for n in lengths]
        if "batch-wide" in self.faults:
            valid = torch.arange(scores.shape[1]) < lengths[:, None]
            order = scores.masked_fill(~valid, -math.inf).flatten().argsort(descending=True, stable=True)
            best = order[: sum(counts)]
            return [best[best // scores.shape[1] == b].sort()[0] % scores.shape[1] for b in range(len(counts))]
        return [self.best(row[:n], k) for row, n, k in zip(scores, lengths, counts)]

    def count(self, tokens: int, case: Case) -> int:
        if "rounded-down" in self.faults:
            return max(1, math.floor(case.capacity * tokens)) if tokens else 0
        if "floored" in self.faults:
            return math.floor(case.capacity * tokens)
        if "rounded" in self.faults:
            return max(1, math.floor(case.capacity * tokens + Fraction(1, 2))) if tokens else 0
        return math.ceil(case.capacity * tokens)

    def best(self, scores: Tensor, k: int) -> Tensor:
        if "later-tie" in self.faults:
            index = len(scores) - 1 - scores.flip(0).argsort(descending=True, stable=True)[:k]
        else:
            index = scores.argsort(descending=True, stable=True)[:k]
        if "dropped-kth-token" in self.faults and k > 0:
            index = index[scores[index] > scores[index[-1]]]
        return index if "score-order" in self.faults else index.sort()[0]

    def gate(self, scores: Tensor, case: Case) -> Tensor:
        if "no-gate" in self.faults:
            return torch.ones_like(scores)
        if "softmax-gate" in self.faults:
            return scores.softmax(0)
        if "detached-gate" in self.faults:
            scores = scores.detach()
        return {"raw": scores, "sigmoid": scores.sigmoid(), "identity": 1 + 0.2 * scores.tanh()}[case.gate]

    def added(self, x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
        return x + (x + update) * gate if "doubled-residual" in self.faults else x + update * gate

    def put(self, case: Case, scores: Tensor, chosen: list[Tensor]) -> dict:
        """Sends the chosen tokens of each sequence through the inner block."""
        x = case.x
        y = x * self.gate(scores, case)[..., None] if "skipped-gated" in self.faults else x
        rows = []
        for b, index in enumerate(chosen):
            if "attends-to-skipped" in self.faults:
                update = case.inner(x[b : b + 1], torch.arange(x.shape[1])[None])[0, index]
            else:
                positions = torch.arange(len(index)) if "compacted-positions" in self.faults else index
                update = case.inner(x[b, index][None], positions[None])[0]
            gate = self.gate(scores[b, index], case)[:, None]
            rows.append(y[b].index_copy(0, index, self.added(x[b, index], update, gate)))
        width = max((len(index) for index in chosen), default=0)
        padded = torch.stack([F.pad(index, (0, width - len(index)), value=-1) for index in chosen])
        return {"y": torch.stack(rows), "chosen": padded}
