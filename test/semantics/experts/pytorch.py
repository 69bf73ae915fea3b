"""Mixtures of experts in plain PyTorch, 64-bit floats: results, losses, gradients, and states after a step.

`answer` has the results of a case. Written from the papers and the language's
documentation, not from modc. Every expert computes every token here, and what was not chosen is masked away: slow, and
as far as can be from how modc computes it. `wrong` names a mistake to make on purpose.
"""

import math

import torch
import torch.nn.functional as F


def linear(x, weights, path):
    y = x @ weights[f"{path}.weight"].T
    return y + weights[f"{path}.bias"] if f"{path}.bias" in weights else y


def rms_norm(x, weight, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def best(score, k, axis=-1):
    """True at the k best along an axis: of equal ones the first."""
    order = torch.sort(score.detach(), dim=axis, descending=True, stable=True).indices.narrow(axis, 0, k)
    return torch.zeros_like(score, dtype=torch.bool).scatter(axis, order, True)


def expert(kind, x, weights, path):
    if kind == "nothing":
        return torch.zeros_like(x)
    if kind == "same":
        return x
    if kind == "gelu":
        return linear(F.gelu(linear(x, weights, f"{path}.up")), weights, f"{path}.down")
    if kind == "attention":
        raise ValueError("attends: see attend")
    hidden = F.silu(linear(x, weights, f"{path}.gate")) * linear(x, weights, f"{path}.up")
    return linear(hidden, weights, f"{path}.down")


def rope(x, positions, theta=10000.0):
    # x[H, T, d]: pairs (i, i + d/2) turn by position · θ^(−2i/d)
    half = x.shape[-1] // 2
    angles = positions[None, :, None] * theta ** (-torch.arange(half) * 2.0 / x.shape[-1])
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def attend(x, positions, weights, path, heads):
    """Causal attention among these tokens of one sequence, at their positions in it."""
    tokens, width = x.shape

    def split(name):
        return linear(x, weights, f"{path}.{name}").view(tokens, heads, width // heads).transpose(0, 1)

    q, k, v = rope(split("q"), positions), rope(split("k"), positions), split("v")
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    scores = scores.masked_fill(positions[None, None, :] > positions[None, :, None], -math.inf)
    return linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, width), weights, f"{path}.o")


def every_expert(case, x, positions, chosen, gate, weights, path):
    """Σ over the chosen e of gate[e] · expert e, from the lowest index up."""
    y = torch.zeros_like(x)
    for e, kind in enumerate(case["experts"]):
        if case["wrong"] == "gates before the experts":
            out = expert(kind, x * gate[..., e, None], weights, f"{path}.experts.{e}")
            y = y + torch.where(chosen[..., e, None], out, torch.zeros(()))
            continue
        if kind != "attention":
            out = expert(kind, x, weights, f"{path}.experts.{e}")
        else:  # among the tokens that chose it
            out = torch.zeros_like(x)
            for b in range(x.shape[0]):
                rows = chosen[b, :, e].nonzero()[:, 0]
                if len(rows) > 0:
                    at = torch.arange(len(rows)) if case["wrong"] == "positions compacted" else positions[b, rows]
                    out[b, rows] = attend(x[b, rows], at, weights, f"{path}.experts.{e}", case["heads"])
        y = y + torch.where(chosen[..., e, None], out * gate[..., e, None], torch.zeros(()))
    return y


def mixture(case, x, positions, weights, path, states):
    """The update of `MoE`: its losses, and the next value of its bias in `states`."""
    o, wrong, n, k = case["options"], case["wrong"], len(case["experts"]), case["k"]
    logits = linear(x, weights, f"{path}.router")
    score = {"softmax": logits.softmax(-1), "chosen": logits, "sigmoid": logits.sigmoid()}[o["gate"]]
    order = score + weights[f"{path}.bias"].detach() if o["loss_free"] else score
    if o["open"] < o["groups"]:
        grouped = order.unflatten(-1, (o["groups"], -1))
        worth = torch.where(best(grouped, 2), grouped, torch.zeros(())).sum(-1)
        order = torch.where(best(worth, o["open"])[..., None], grouped, torch.tensor(-1e30)).flatten(-2)
    chosen = best(order, k)
    gate = order if wrong == "a bias reaches the gate" else score
    if o["gate"] == "chosen":
        gate = gate.masked_fill(~chosen, -math.inf).softmax(-1) if wrong != "softmax over all" else logits.softmax(-1)
    gate = torch.where(chosen, gate, torch.zeros(()))
    if o["renormalize"] and wrong != "gates not renormalised":
        gate = gate / (gate.sum(-1, keepdim=True) + 1e-20)
    f = chosen.double()
    loss = torch.zeros(())
    if o["balance"] > 0:
        loss = loss + o["balance"] * n * (f.mean((0, 1)) * logits.softmax(-1).mean((0, 1))).sum()
    if o["z"] > 0:
        loss = loss + o["z"] * (logits.logsumexp(-1) ** 2).mean()
    if o["loss_free"]:
        load = f.sum((0, 1))
        direction = (load < load.mean()).double() - (load > load.mean()).double()
        states[f"{path}.bias"] = weights[f"{path}.bias"].detach() + o["rate"] * direction
    return every_expert(case, x, positions, chosen, o["scale"] * gate, weights, path), loss


def capacity(case, x, positions, weights, path, states):
    """Top-k of the softmax; an expert drops what comes after its first `room` tokens of a sequence."""
    p = linear(x, weights, f"{path}.router").softmax(-1)
    wish = best(p, case["k"])
    room = min(case["room"], x.shape[1])
    kept = wish & (wish.long().cumsum(1) <= room)
    if case["wrong"] == "the first tokens dropped":
        kept = wish & (wish.long().flip(1).cumsum(1).flip(1) <= room)
    return every_expert(case, x, positions, kept, p, weights, path), torch.zeros(())


def expert_choice(case, x, positions, weights, path, states):
    p = linear(x, weights, f"{path}.router").softmax(-1)
    chosen = best(p, min(math.ceil(case["share"][0] * x.shape[1] / case["share"][1]), x.shape[1]), axis=1)
    return every_expert(case, x, positions, chosen, p, weights, path), torch.zeros(())


def above_zero(case, x, positions, weights, path, states):
    score = linear(x, weights, f"{path}.router")
    return every_expert(case, x, positions, score > 0, score, weights, path), torch.zeros(())


UPDATES = {"moe": mixture, "capacity": capacity, "expert choice": expert_choice, "above": above_zero}


def shared(case, x, positions, weights, path, states):
    """A mixture beside a network for every token."""
    if not case["shared"]:
        return UPDATES[case["kind"]](case, x, positions, weights, path, states)
    update, loss = UPDATES[case["kind"]](case, x, positions, weights, f"{path}.moe", states)
    every = expert("swiglu", x, weights, f"{path}.shared")
    gate = linear(x, weights, f"{path}.shared_gate").sigmoid() if case["gated"] else 1.0
    return update + gate * every, loss


def forward(case, x, weights, states):
    batch, tokens, width = x.shape
    positions = torch.arange(tokens).expand(batch, tokens)
    if not case["staged"]:
        update, loss = shared(case, x, positions, weights, "net", states)
        return x + update, loss
    # Staged: the best half of the tokens go through the mixture, gated by their score.
    score = linear(x, weights, "router")[..., 0]
    rows = best(score, math.ceil(tokens / 2))
    index = rows.nonzero()[:, 1].view(batch, -1)
    gather = index[..., None].expand(-1, -1, width)
    inner, loss = shared(case, x.gather(1, gather), positions.gather(1, index), weights, "net", states)
    return x.scatter_add(1, gather, inner * score.gather(1, index)[..., None]), loss


def answer(case):
    weights = {p: torch.tensor(w["data"]).view(w["shape"]).requires_grad_() for p, w in case["weights"].items()}
    x, target = (torch.tensor(case[name]["data"]).view(case[name]["shape"]) for name in ("x", "target"))
    states = {}
    y, extra = forward(case, x, weights, states)
    if case["wrong"] == "the last token dropped":
        y = torch.cat([y[:, :-1], x[:, -1:]], 1)
    fit = ((y - target) ** 2).mean()
    (fit + extra).backward()
    numbers = lambda t: t.detach().flatten().tolist()
    return {
        "output": numbers(y),
        "loss": (fit + extra).item(),
        "gradients": {p: numbers(w.grad if w.grad is not None else torch.zeros_like(w)) for p, w in weights.items()},
        "states": {p: numbers(s) for p, s in states.items()},
    }
