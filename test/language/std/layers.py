"""The library's Attention and Layer with their options in plain PyTorch, 64-bit floats, with the gradients of a loss.

Written from the published models: Gemma 2 (caps, norms before and behind), gpt-oss (a sink is one more column of the
softmax), GPT-NeoX (rotation of a part, the network beside attention), OLMo 2 (norms behind), Granite (a factor),
Qwen3-Next (a gate on what is attended to).
"""

import math

import torch
import torch.nn.functional as F


def rms_norm(x, weight):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


def turned(x, columns):
    half = columns // 2
    positions = torch.arange(x.shape[2], dtype=x.dtype)
    angles = positions[:, None] * 10000.0 ** (-torch.arange(half, dtype=x.dtype) * 2.0 / columns)
    a, b, rest = x[..., :half], x[..., half:columns], x[..., columns:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin(), rest], -1)


def attention(x, w, path, heads, options):
    batch, tokens, width = x.shape

    def split(name):
        return (x @ w[f"{path}.{name}.weight"].T).view(batch, tokens, heads, width // heads).transpose(1, 2)

    columns = options.get("rotate", width // heads)
    q, k, v = turned(split("q"), columns), turned(split("k"), columns), split("v")
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    if "cap" in options:
        scores = options["cap"] * torch.tanh(scores / options["cap"])
    scores = scores.masked_fill(torch.ones(tokens, tokens, dtype=torch.bool).triu(1), -math.inf)
    if options.get("sinks"):
        sink = w[f"{path}.sink"][None, :, None, None].expand(batch, heads, tokens, 1)
        share = torch.cat([scores, sink], -1).softmax(-1)[..., :-1]
    else:
        share = scores.softmax(-1)
    mixed = (share @ v).transpose(1, 2).reshape(batch, tokens, width)
    if options.get("out_gate"):
        mixed = mixed * torch.sigmoid(x @ w[f"{path}.gate.weight"].T)
    return mixed @ w[f"{path}.o.weight"].T


def layer(x, w, path, heads, options):
    norms, factor = options.get("norms", "before"), options.get("factor", 1.0)

    def normed(name, y):
        return rms_norm(y, w[f"{path}.{name}.weight"])

    def mlp(y):
        gate, up = y @ w[f"{path}.mlp.gate.weight"].T, y @ w[f"{path}.mlp.up.weight"].T
        return (F.silu(gate) * up) @ w[f"{path}.mlp.down.weight"].T

    def part(y, norm, behind, inner):
        if norms == "before":
            return factor * inner(normed(norm, y))
        if norms == "behind":
            return factor * normed(norm, inner(y))
        return factor * normed(behind, inner(normed(norm, y)))

    a = part(x, "attn_norm", "attn_out_norm", lambda y: attention(y, w, f"{path}.attn", heads, {}))
    return a + part(x if options.get("parallel") else x + a, "mlp_norm", "mlp_out_norm", mlp)


def answer(job):
    weights = {
        name: torch.tensor(data, dtype=torch.float64).reshape(shape).requires_grad_()
        for name, (shape, data) in job["weights"].items()
    }
    shape, data = job["x"]
    x = torch.tensor(data, dtype=torch.float64).reshape(shape)
    block = {"Attention": attention, "Layer": layer}[job["block"]]
    y = block(x, weights, "m", job["heads"], job["options"])
    (y * y + torch.sin(y)).mean().backward()
    gradients = {name: w.grad.flatten().tolist() for name, w in weights.items()}
    return {"output": y.flatten().tolist(), "gradients": gradients}
