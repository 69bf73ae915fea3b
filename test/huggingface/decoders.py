"""Decoders of the Llama family in plain PyTorch, 64-bit floats, from their configuration and safetensors files.

Reads a list of jobs as JSON from standard input: a folder, tokens whose logits are wanted, and prompts that are continued greedily. Written from
the papers and from what Hugging Face documents of its configurations, not from modc: so that both are right, or wrong in the same way twice.
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


def read_weights(folder):
    weights = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        for key, entry in json.loads(data[8 : 8 + size]).items():
            if key == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            values = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=DTYPES[entry["dtype"]])
            weights[key] = values.reshape(entry["shape"]).double()
    return weights


def yarn_dimension(turns, width, theta, original):
    return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))


def rotary(config, width):
    """Angles a position of each pair, and what sine and cosine are multiplied by."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = scaling.get("rope_theta") or config.get("rope_theta") or 10000.0
    angles = [theta ** (-2 * i / width) for i in range(width // 2)]
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return angles, 1.0
    factor = scaling["factor"]
    if kind == "linear":
        return [a / factor for a in angles], 1.0
    if kind == "llama3":
        original, low, high = scaling["original_max_position_embeddings"], scaling["low_freq_factor"], scaling["high_freq_factor"]
        scaled = []
        for a in angles:
            wave = 2 * math.pi / a
            if wave > original / low:
                scaled.append(a / factor)
            elif wave < original / high:
                scaled.append(a)
            else:
                smooth = (original / wave - low) / (high - low)
                scaled.append((1 - smooth) * a / factor + smooth * a)
        return scaled, 1.0
    assert kind == "yarn", kind
    original = scaling.get("original_max_position_embeddings") or config["max_position_embeddings"]
    low = max(math.floor(yarn_dimension(scaling.get("beta_fast", 32), width, theta, original)), 0)
    high = min(math.ceil(yarn_dimension(scaling.get("beta_slow", 1), width, theta, original)), width - 1)
    if low == high:
        high += 0.001
    ramp = [min(max((i - low) / (high - low), 0), 1) for i in range(width // 2)]
    mscale = lambda m: 1.0 if factor <= 1 else 0.1 * m * math.log(factor) + 1.0
    if "attention_factor" in scaling:
        scale = scaling["attention_factor"]
    elif scaling.get("mscale") and scaling.get("mscale_all_dim"):
        scale = mscale(scaling["mscale"]) / mscale(scaling["mscale_all_dim"])
    else:
        scale = mscale(1)
    return [a / factor * r + a * (1 - r) for a, r in zip(angles, ramp)], scale


def window_of(config, layer):
    kind = config["model_type"]
    if kind == "mistral":
        return config.get("sliding_window")
    if not kind.startswith("qwen") or not config.get("use_sliding_window"):
        return None
    if config.get("layer_types"):
        return config["sliding_window"] if config["layer_types"][layer] == "sliding_attention" else None
    return config["sliding_window"] if layer >= config["max_window_layers"] else None


def rms_norm(x, weight, eps):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def turn(x, cos, sin):
    # x[B, H, T, d]: Hugging Face's rotate_half
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Decoder:
    def __init__(self, folder):
        self.config = json.loads(Path(folder, "config.json").read_text())
        self.weights = read_weights(folder)
        c = self.config
        self.heads, self.eps = c["num_attention_heads"], c["rms_norm_eps"]
        self.kv_heads = c.get("num_key_value_heads") or self.heads
        self.width = c.get("head_dim") or c["hidden_size"] // self.heads
        self.angles, self.scale = rotary(c, self.width)

    def linear(self, x, name):
        bias = self.weights.get(f"{name}.bias")
        y = x @ self.weights[f"{name}.weight"].T
        return y if bias is None else y + bias

    def attention(self, x, prefix, layer):
        batch, tokens, _ = x.shape

        def heads(name, n):
            y = self.linear(x, f"{prefix}.{name}_proj").view(batch, tokens, n, self.width)
            norm = self.weights.get(f"{prefix}.{name}_norm.weight")
            return (y if norm is None else rms_norm(y, norm, self.eps)).transpose(1, 2)

        angle = torch.arange(tokens)[:, None] * torch.tensor(self.angles)
        cos, sin = [torch.cat([f(angle)] * 2, -1) * self.scale for f in (torch.cos, torch.sin)]
        q, k, v = turn(heads("q", self.heads), cos, sin), turn(heads("k", self.kv_heads), cos, sin), heads("v", self.kv_heads)
        k, v = [y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v)]
        distance = torch.arange(tokens)[:, None] - torch.arange(tokens)
        hidden = distance < 0
        window = window_of(self.config, layer)
        if window is not None:
            hidden |= distance >= window
        scores = (q @ k.transpose(-1, -2) / math.sqrt(self.width)).masked_fill(hidden, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, -1)
        return self.linear(mixed, f"{prefix}.o_proj")

    def logits(self, tokens):
        act = ACTIVATIONS[self.config.get("hidden_act", "silu")]
        embed = self.weights["model.embed_tokens.weight"]
        x = embed[torch.tensor(tokens)]
        for i in range(self.config["num_hidden_layers"]):
            p = f"model.layers.{i}"
            x = x + self.attention(rms_norm(x, self.weights[f"{p}.input_layernorm.weight"], self.eps), f"{p}.self_attn", i)
            y = rms_norm(x, self.weights[f"{p}.post_attention_layernorm.weight"], self.eps)
            x = x + self.linear(act(self.linear(y, f"{p}.mlp.gate_proj")) * self.linear(y, f"{p}.mlp.up_proj"), f"{p}.mlp.down_proj")
        x = rms_norm(x, self.weights["model.norm.weight"], self.eps)
        return x @ (embed if self.config.get("tie_word_embeddings") else self.weights["lm_head.weight"]).T

    def greedy(self, prompt, steps):
        """Tokens that follow, and by how much the best of the closest step was ahead."""
        tokens, margin = list(prompt), math.inf
        for _ in range(steps):
            best = self.logits([tokens])[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
        return {"tokens": tokens[len(prompt) :], "margin": margin}


def answer(job):
    decoder = Decoder(job["folder"])
    logits = decoder.logits(job["tokens"])
    return {"logits": logits.flatten().tolist(), "greedy": [decoder.greedy(p, job["steps"]) for p in job["prompts"]]}


with torch.no_grad():
    json.dump([answer(job) for job in json.load(sys.stdin)], sys.stdout)
