"""The cases of the suite in PyTorch: what an implementation is given, and the block that the chosen tokens go through."""

import json
import math
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

VECTORS = Path(__file__).parent / "vectors"
DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


class Case:
    """What an implementation is given.

    x[B, T, D]                the stream, a function of weights whose gradients are looked at
    router[D]                 a token's score is router · x
    inner                     the block for the chosen tokens, which gives their update: see Inner
    predictor(x) -> [B, T]    logits by which a token is chosen while generating; gradients reach its input
    capacity                  the share that is chosen, as a Fraction
    gate                      "raw": the score; "sigmoid" of it; "identity": 1 + 0.2 tanh of it
    lengths                   tokens of each sequence, or None where all have T
    """

    def __init__(self, said: dict, dtype: torch.dtype):
        tensors = read(VECTORS / f"{said['name']}.safetensors")
        results = ("y", "chosen", "loss", "predictor_loss")
        self.name: str = said["name"]
        self.laws: tuple[int, ...] = tuple(said["laws"])
        self.functions = ("train",) if said["kind"] == "train" else ("generate", "decode")
        self.capacity = Fraction(*said["capacity"])
        self.gate: str = said["gate"]
        self.lengths = None if said["lengths"] is None else torch.tensor(said["lengths"])
        self.expected = {k: t for k, t in tensors.items() if k in results or k.startswith("gradients.")}
        self.probe = tensors["probe"].to(dtype)
        self.weights = {
            k: t.to(dtype).requires_grad_()
            for k, t in tensors.items()
            if k not in self.expected and k not in ("x", "probe")
        }
        self.given = tensors["x"].to(dtype)
        self.said = said
        if "gradients.router" in self.expected:
            self.expected["gradients.router"] = self.expected["gradients.router"].reshape(-1)
        if self.functions != ("train",):
            self.expected["cached"] = (self.expected["chosen"] >= 0).sum(1)
        self.weights["router"] = self.weights["router"].detach().reshape(-1).requires_grad_()
        self.router: Tensor = self.weights["router"]
        self.inner = Inner(self.weights, said["heads"], said["theta"], said["eps"])
        self.expected["y"] = self.existing(self.expected["y"])

    @property
    def x(self) -> Tensor:
        return self.given + self.weights["shift"]

    def predictor(self, x: Tensor) -> Tensor:
        w = self.weights
        hidden = F.silu(x @ w["predictor.up.weight"].T + w["predictor.up.bias"])
        return (hidden @ w["predictor.down.weight"].T + w["predictor.down.bias"])[..., 0]

    def existing(self, y: Tensor) -> Tensor:
        """y[B, T, ...] with zeros behind the ends of sequences."""
        return y if self.lengths is None else torch.where(self.valid[..., None], y, torch.zeros_like(y))

    @property
    def valid(self) -> Tensor:
        """Which tokens exist, [B, T]."""
        batch, tokens = self.given.shape[:2]
        lengths = torch.full((batch,), tokens) if self.lengths is None else self.lengths
        return torch.arange(tokens) < lengths[:, None]

    def mean(self, x: Tensor) -> Tensor:
        """The mean of x[B, T, ...] over the tokens that exist."""
        return x[self.valid].mean()

    def indices(self, chosen: Tensor) -> Tensor:
        """A mask[B, T] or indices[B, k] as the vectors have them: ascending, and -1 where there are fewer."""
        batch, tokens = self.given.shape[:2]
        if chosen.dtype == torch.bool:
            rows = [mask.nonzero()[:, 0].tolist() for mask in chosen & self.valid]
        else:
            rows = [[i for i in row if 0 <= i < tokens] for row in chosen.tolist()]
        width = max(self.expected["chosen"].shape[1], *(len(r) for r in rows))
        return torch.tensor([r + [-1] * (width - len(r)) for r in rows]).reshape(batch, width)


class Inner:
    """A pre-norm transformer layer without a residual of its own: a + mlp(norm(x + a)) with a = attention(norm(x))."""

    def __init__(self, weights: dict[str, Tensor], heads: int, theta: float, eps: float):
        self.w = {k.removeprefix("inner."): t for k, t in weights.items() if k.startswith("inner.")}
        self.heads, self.theta, self.eps = heads, theta, eps

    def __call__(self, x: Tensor, positions: Tensor, valid: Tensor | None = None) -> Tensor:
        """The update of x[B, K, D], rows whose positions[B, K] turn queries and keys. A row attends to itself and the
        rows before it, to those alone that valid[B, K] says are there."""
        q, k, v = self.projected(x, positions)
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        seen = seen.expand(x.shape[0], 1, -1, -1) if valid is None else seen & valid[:, None, None, :]
        return self.finished(x, attended(q, k, v, seen))

    def cache(self) -> list[tuple[Tensor, Tensor]]:
        """An empty cache of one sequence: a pair of key and value for each row that `step` has added."""
        return []

    def step(self, x: Tensor, position: int, cache: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The update of one row x[D], which is added to the cache and attends to what lies there."""
        row = x[None, None]
        q, k, v = self.projected(row, torch.tensor([[position]]))
        cache.append((k, v))
        keys, values = (torch.cat(parts, 2) for parts in zip(*cache))
        seen = torch.ones(1, 1, 1, len(cache), dtype=torch.bool)
        return self.finished(row, attended(q, keys, values, seen))[0, 0]

    def projected(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed = norm(x, self.w["attn_norm.weight"], self.eps)
        q, k, v = ((normed @ self.w[f"attn.{n}.weight"].T).unflatten(-1, (self.heads, -1)).transpose(1, 2) for n in "qkv")
        return turned(q, positions, self.theta), turned(k, positions, self.theta), v

    def finished(self, x: Tensor, heads: Tensor) -> Tensor:
        a = heads.transpose(1, 2).flatten(2) @ self.w["attn.o.weight"].T
        normed = norm(x + a, self.w["mlp_norm.weight"], self.eps)
        gate, up = normed @ self.w["mlp.gate.weight"].T, normed @ self.w["mlp.up.weight"].T
        return a + (F.silu(gate) * up) @ self.w["mlp.down.weight"].T


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def turned(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Rotary positions [B, K] on x[B, heads, K, d]: the halves of d are turned against each other."""
    d = x.shape[-1]
    frequencies = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = positions[:, None, :, None].double() * frequencies
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~seen, -math.inf)
    # A row that sees nothing gets zeros.
    return torch.where(seen.any(-1, keepdim=True), scores.softmax(-1), torch.zeros_like(scores)) @ v


def cases(dtype: torch.dtype = torch.float64) -> list[Case]:
    return [Case(said, dtype) for said in json.loads((VECTORS / "cases.json").read_text())]


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[begin + first : begin + last]) or bytearray(8), dtype=DTYPES[entry["dtype"]])
        found[name] = flat[: math.prod(entry["shape"])].reshape(entry["shape"])
    return found
