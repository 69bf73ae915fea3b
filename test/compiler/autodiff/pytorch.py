"""The models of pytorch.test.ts in plain PyTorch, 64-bit floats: loss and gradients, then steps of AdamW.

`answer` has the results of a case. Written from the papers and the language's
documentation, not from modc: so that both are right, or wrong in the same way twice.
"""

import math

import torch
import torch.nn.functional as F


def rms_norm(x, weight, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope(x, positions, theta=10000.0):
    # x[B, H, T, d]: pairs (i, i + d/2) turn by position · θ^(−2i/d)
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half) * 2.0 / x.shape[-1])
    angles = positions[:, None, :, None] * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def attention(x, positions, weights, prefix, heads):
    batch, tokens, width = x.shape

    def split(name):
        return (x @ weights[f"{prefix}.{name}.weight"].T).view(batch, tokens, heads, width // heads).transpose(1, 2)

    q, k, v = rope(split("q"), positions), rope(split("k"), positions), split("v")
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    scores = scores.masked_fill(positions[:, None, None, :] > positions[:, None, :, None], -math.inf)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)
    return mixed @ weights[f"{prefix}.o.weight"].T


def swiglu(x, weights, prefix):
    gate, up = x @ weights[f"{prefix}.gate.weight"].T, x @ weights[f"{prefix}.up.weight"].T
    return (F.silu(gate) * up) @ weights[f"{prefix}.down.weight"].T


def layer(x, positions, weights, prefix, heads):
    """The update of a pre-norm layer, without the stream."""
    a = attention(rms_norm(x, weights[f"{prefix}.attn_norm.weight"]), positions, weights, f"{prefix}.attn", heads)
    return a + swiglu(rms_norm(x + a, weights[f"{prefix}.mlp_norm.weight"]), weights, f"{prefix}.mlp")


def mixture_of_depths(x, positions, weights, prefix, heads, capacity):
    batch, tokens, width = x.shape
    score = (x @ weights[f"{prefix}.router.weight"].T)[..., 0]
    chosen = score.topk(math.ceil(capacity * tokens)).indices.sort(-1).values
    rows = chosen[..., None].expand(-1, -1, width)
    update = layer(x.gather(1, rows), positions.gather(1, chosen), weights, f"{prefix}.inner", heads)
    x_next = x.scatter_add(1, rows, update * score.gather(1, chosen)[..., None])
    hidden = F.silu(x.detach() @ weights[f"{prefix}.guess.up.weight"].T + weights[f"{prefix}.guess.up.bias"])
    likely = (hidden @ weights[f"{prefix}.guess.down.weight"].T + weights[f"{prefix}.guess.down.bias"])[..., 0]
    mask = torch.zeros_like(score).scatter(1, chosen, 1.0)
    return x_next, 0.01 * F.binary_cross_entropy_with_logits(likely, mask)


def loss_of(case, weights):
    tokens, targets = torch.tensor(case["tokens"]), torch.tensor(case["targets"])
    positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
    x = weights["embed.table"][tokens]
    extra = torch.zeros(())
    for i, kind in enumerate(case["layers"]):
        if kind == "mod":
            x, own = mixture_of_depths(x, positions, weights, f"layers.{i}", case["heads"], case["capacity"])
            extra = extra + own
        else:
            x = x + layer(x, positions, weights, f"layers.{i}.inner", case["heads"])
    logits = rms_norm(x, weights["norm.weight"]) @ weights["embed.table"].T
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + extra


def answer(case):
    weights = {path: torch.tensor(w["data"]).view(w["shape"]).requires_grad_() for path, w in case["weights"].items()}
    groups = [{"params": [weights[path]], "weight_decay": case["decay"] if path in case["decays"] else 0.0} for path in weights]
    optimizer = torch.optim.AdamW(groups, betas=tuple(case["betas"]), eps=case["eps"])
    losses, gradients = [], None
    for rate in case["rates"]:
        optimizer.zero_grad()
        loss = loss_of(case, weights)
        loss.backward()
        losses.append(loss.item())
        if gradients is None:
            gradients = {path: w.grad.flatten().tolist() for path, w in weights.items()}
        torch.nn.utils.clip_grad_norm_(weights.values(), case["clip"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return {"losses": losses, "gradients": gradients, "weights": {path: w.detach().flatten().tolist() for path, w in weights.items()}}
