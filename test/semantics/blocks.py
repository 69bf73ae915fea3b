"""The published modules of blocks.test.ts in PyTorch, 64-bit floats: results, and gradients of every weight.

PyTorch's own modules where it has one (MultiheadAttention, TransformerDecoderLayer, Conv2d), else the modules as their
papers print them.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def linear(x, weights, path):
    y = x @ weights[f"{path}.weight"].T
    return y + weights[f"{path}.bias"] if f"{path}.bias" in weights else y


def multihead_by_name(weights, path, width, heads, memory_width):
    """The arguments of F.multi_head_attention_forward, as nn.MultiheadAttention(kdim=…, vdim=…) has them."""
    zeros = torch.zeros(width)
    biases = [weights.get(f"{path}.{name}.bias", zeros) for name in "qkv"]

    def attend(x, memory):
        y, _ = F.multi_head_attention_forward(
            x.transpose(0, 1),
            memory.transpose(0, 1),
            memory.transpose(0, 1),
            width,
            heads,
            None,
            torch.cat(biases),
            None,
            None,
            False,
            0.0,
            weights[f"{path}.o.weight"],
            weights.get(f"{path}.o.bias", zeros),
            use_separate_proj_weight=True,
            q_proj_weight=weights[f"{path}.q.weight"],
            k_proj_weight=weights[f"{path}.k.weight"],
            v_proj_weight=weights[f"{path}.v.weight"],
            need_weights=False,
        )
        return y.transpose(0, 1)

    return attend


def multihead(job, inputs, weights):
    return multihead_by_name(weights, "m", 16, 4, 12)(inputs["x"], inputs["memory"])


def rms_norm(x, weight, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def grouped(job, inputs, weights):
    def heads(value, name, count):
        return linear(value, weights, f"m.{name}").unflatten(-1, (count, 6)).transpose(1, 2)

    q = rms_norm(heads(inputs["x"], "q", 4), weights["m.q_norm.weight"])
    k = rms_norm(heads(inputs["memory"], "k", 2), weights["m.k_norm.weight"]).repeat_interleave(2, 1)
    v = heads(inputs["memory"], "v", 2).repeat_interleave(2, 1)
    y = F.scaled_dot_product_attention(q, k, v)
    return linear(y.transpose(1, 2).flatten(2), weights, "m.o")


def decoder(job, inputs, weights):
    """nn.TransformerDecoderLayer(norm_first=True), with RMS norms and without biases of attention."""
    layer = nn.TransformerDecoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=True)
    for index, name in enumerate(["layer.attn_norm", "cross_norm", "layer.mlp_norm"]):
        gain = weights[f"m.{name}.weight"]
        setattr(layer, f"norm{index + 1}", Norm(gain))
    own = multihead_by_name(weights, "m.layer.attn", 16, 4, 16)
    cross = multihead_by_name(weights, "m.attention", 16, 4, 12)
    tokens = inputs["x"].shape[1]
    causal = torch.full((tokens, tokens), -math.inf).triu(1)
    layer._sa_block = lambda x, *_, **__: masked(own, weights, x, causal)
    layer._mha_block = lambda x, memory, *_, **__: cross(x, memory)
    layer._ff_block = lambda x: linear(F.gelu(linear(x, weights, "m.layer.mlp.up")), weights, "m.layer.mlp.down")
    return layer.train()(inputs["x"], inputs["memory"])


class Norm(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return rms_norm(x, self.gain)


def masked(own, weights, x, mask):
    q, k, v = (linear(x, weights, f"m.layer.attn.{n}").unflatten(-1, (4, 4)).transpose(1, 2) for n in "qkv")
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return linear(y.transpose(1, 2).flatten(2), weights, "m.layer.attn.o")


def patches(job, inputs, weights):
    y = F.conv2d(inputs["image"], weights["m.weight"], weights.get("m.bias"), stride=2)
    return y.flatten(2).transpose(1, 2)


def adaln(job, inputs, weights):
    """Half a DiTBlock, with the modulation that it has of one of its two parts."""
    x, c = inputs["x"], inputs["condition"]
    shift, scale, gate = F.linear(F.silu(c), weights["m.weight"], weights["m.bias"]).chunk(3, dim=1)
    norm = F.layer_norm(x, (16,), eps=1e-6)
    modulated = norm * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)
    inner = linear(F.gelu(linear(modulated, weights, "m.inner.up")), weights, "m.inner.down")
    return x + gate.unsqueeze(1) * inner


def sinusoids(job, inputs, weights):
    x = 10 * inputs["x"]
    sines = torch.stack([torch.sin(x / 100 ** (2 * i / 12)) for i in range(6)], -1)
    cosines = torch.stack([torch.cos(x / 100 ** (2 * i / 12)) for i in range(6)], -1)
    if job["order"] == "pairs":
        pairs = torch.empty(*x.shape, 12)
        pairs[..., 0::2], pairs[..., 1::2] = sines, cosines
        return pairs
    return torch.cat([sines, cosines] if job["order"] == "sin" else [cosines, sines], -1)


def routed(job, inputs, weights):
    """Equation 1 of Mixture-of-Depths, a token at a time."""
    x, beside = inputs["x"], inputs["beside"]
    count = math.ceil(0.4 * x.shape[1])
    texts = []
    for text, side in zip(x, beside):
        scores = linear(text, weights, "m.router")[:, 0]
        chosen = set(scores.detach().topk(count).indices.tolist())
        tokens = []
        for t, token in enumerate(text):
            if t not in chosen:
                tokens.append(token)
                continue
            hidden = torch.tanh(linear(token, weights, "m.inner.up")) * linear(side[t], weights, "m.inner.side")
            update = linear(hidden, weights, "m.inner.down")
            r = scores[t]
            gates = {"raw": r, "sigmoid": torch.sigmoid(r), "identity": 1 + 0.2 * torch.tanh(r)}
            tokens.append(token + update * gates[job["gate"]])
        texts.append(torch.stack(tokens))
    return torch.stack(texts)


MODULES = {f.__name__: f for f in (multihead, grouped, decoder, patches, adaln, sinusoids, routed)}


def tensor(value):
    return torch.tensor(value["data"]).view(value["shape"])


def answer(job):
    weights = {path: tensor(w).requires_grad_() for path, w in job["weights"].items()}
    inputs = {name: tensor(value) for name, value in job["inputs"].items()}
    y = MODULES[job["module"]](job, inputs, weights) * weights["factor"]
    (y * inputs["direction"]).sum().backward()
    gradients = {f"grad.{p}": w.grad.flatten().tolist() for p, w in weights.items() if w.grad is not None}
    return {"output": y.detach().flatten().tolist(), "gradients": gradients}
