"""Decoders of the Llama family, and mixtures of experts, in plain PyTorch, 64-bit floats, from their configuration and safetensors files.

Each job has a folder, and either tokens whose logits are wanted, or prompts and texts that may be their greedy
continuations. Written from the papers and from what Hugging Face documents of its configurations, not from modc: so
that both are right, or wrong in the same way twice.
"""

import json
import math
import struct
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

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
    if kind in ("mistral", "mixtral"):
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


# Of each kind: the router's key, the experts' folder and maps, how many there are and how many a token takes.
MIXTURES = {
    "mixtral": ("block_sparse_moe.gate.weight", "block_sparse_moe.experts", ("w1", "w3", "w2"), "num_local_experts", "num_experts_per_tok"),
    "olmoe": ("mlp.gate.weight", "mlp.experts", ("gate_proj", "up_proj", "down_proj"), "num_experts", "num_experts_per_tok"),
    "qwen2_moe": ("mlp.gate.weight", "mlp.experts", ("gate_proj", "up_proj", "down_proj"), "num_experts", "num_experts_per_tok"),
    "qwen3_moe": ("mlp.gate.weight", "mlp.experts", ("gate_proj", "up_proj", "down_proj"), "num_experts", "num_experts_per_tok"),
    "deepseek_v3": ("mlp.gate.weight", "mlp.experts", ("gate_proj", "up_proj", "down_proj"), "n_routed_experts", "num_experts_per_tok"),
    "longcat_flash": ("mlp.router.classifier.weight", "mlp.experts", ("gate_proj", "up_proj", "down_proj"), "n_routed_experts", "moe_topk"),
}


def choose(config, logits, bias):
    """The experts of one token, and their gates: from the logits of its router and what lifts scores for the choice."""
    kind = config["model_type"]
    k = config[MIXTURES[kind][4]]
    if kind == "deepseek_v3":
        scores = torch.sigmoid(logits)
        lifted = (scores + bias).view(config["n_group"], -1)
        worth = lifted.topk(2, -1).values.sum(-1)
        closed = torch.ones(config["n_group"], dtype=torch.bool)
        closed[worth.topk(config["topk_group"]).indices] = False
        order = lifted.masked_fill(closed[:, None], -math.inf).flatten()
    else:
        scores = logits.softmax(-1)
        order = scores + bias
    chosen = order.topk(k).indices
    gates = scores[chosen]
    if kind == "mixtral" or config.get("norm_topk_prob"):
        gates = gates / gates.sum()
    return chosen.tolist(), (gates * config.get("routed_scaling_factor", 1.0)).tolist()


def has_mixture(config, layer):
    if config["model_type"] == "deepseek_v3":
        return layer >= config["first_k_dense_replace"]
    if layer in config.get("mlp_only_layers", []):
        return False
    return (layer + 1) % config.get("decoder_sparse_step", 1) == 0


class Decoder:
    def __init__(self, folder):
        self.config = json.loads(Path(folder, "config.json").read_text())
        self.weights = read_weights(folder)
        c = self.config
        self.kind = c["model_type"]
        self.heads, self.eps = c["num_attention_heads"], c["rms_norm_eps"]
        self.kv_heads = c.get("num_key_value_heads") or self.heads
        self.latent = "kv_lora_rank" in c
        self.width = c["qk_rope_head_dim"] if self.latent else c.get("head_dim") or c["hidden_size"] // self.heads
        self.angles, self.scale = rotary(c, self.width)
        self.act = ACTIVATIONS[c.get("hidden_act", "silu")]

    def linear(self, x, name):
        bias = self.weights.get(f"{name}.bias")
        y = x @ self.weights[f"{name}.weight"].T
        return y if bias is None else y + bias

    def norm(self, x, name, eps=None):
        return rms_norm(x, self.weights[f"{name}.weight"], self.eps if eps is None else eps)

    def attend(self, q, k, v, scale, layer):
        # q, k [B, H, T, d], v [B, H, T, e]
        tokens = q.shape[2]
        distance = torch.arange(tokens)[:, None] - torch.arange(tokens)
        hidden = distance < 0
        window = window_of(self.config, layer)
        if window is not None:
            hidden |= distance >= window
        scores = (q @ k.transpose(-1, -2) * scale).masked_fill(hidden, -math.inf)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def turns(self, tokens):
        angle = torch.arange(tokens)[:, None] * torch.tensor(self.angles)
        return [torch.cat([f(angle)] * 2, -1) * self.scale for f in (torch.cos, torch.sin)]

    def attention(self, x, prefix, layer):
        if self.latent:
            return self.latent_attention(x, prefix, layer)
        batch, tokens, _ = x.shape

        def heads(name, n):
            y = self.linear(x, f"{prefix}.{name}_proj")
            norm = self.weights.get(f"{prefix}.{name}_norm.weight")
            if norm is not None and len(norm) > self.width:
                y, norm = rms_norm(y, norm, self.eps), None
            y = y.view(batch, tokens, n, self.width)
            return (y if norm is None else rms_norm(y, norm, self.eps)).transpose(1, 2)

        cos, sin = self.turns(tokens)
        q, k, v = turn(heads("q", self.heads), cos, sin), turn(heads("k", self.kv_heads), cos, sin), heads("v", self.kv_heads)
        k, v = [y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v)]
        return self.linear(self.attend(q, k, v, 1 / math.sqrt(self.width), layer), f"{prefix}.o_proj")

    def latent_attention(self, x, prefix, layer):
        """DeepSeek-V2, section 2.1: equations 9 to 19, without absorbing a product into another."""
        c = self.config
        batch, tokens, dim = x.shape
        still, value, rank = c["qk_nope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
        longcat = self.kind == "longcat_flash"
        if c["q_lora_rank"] is None:
            q = self.linear(x, f"{prefix}.q_proj")
        else:
            q = self.linear(self.norm(self.linear(x, f"{prefix}.q_a_proj"), f"{prefix}.q_a_layernorm", 1e-6), f"{prefix}.q_b_proj")
        q = q.view(batch, tokens, self.heads, -1).transpose(1, 2)
        if longcat:
            q = q * math.sqrt(dim / c["q_lora_rank"])
        low = self.linear(x, f"{prefix}.kv_a_proj_with_mqa")
        row, shared = self.norm(low[..., :rank], f"{prefix}.kv_a_layernorm", 1e-6), low[..., None, :, rank:].view(batch, 1, tokens, -1)
        if longcat:
            row = row * math.sqrt(dim / rank)
        kv = self.linear(row, f"{prefix}.kv_b_proj").view(batch, tokens, self.heads, -1).transpose(1, 2)
        cos, sin = self.turns(tokens)

        def rotated(y):
            if longcat or c.get("rope_interleave", True):
                # complex numbers whose parts are neighbours
                half = self.width // 2
                z = torch.complex(y[..., 0::2], y[..., 1::2]) * torch.complex(cos[:, :half], sin[:, :half])
                return torch.stack([z.real, z.imag], -1).flatten(-2)
            return turn(y, cos, sin)

        q = torch.cat([q[..., :still], rotated(q[..., still:])], -1)
        k = torch.cat([kv[..., :still], rotated(shared).expand(-1, self.heads, -1, -1)], -1)
        scale = 1 / math.sqrt(still + self.width)
        scaling = c.get("rope_scaling") or {}
        if scaling.get("mscale_all_dim"):
            scale *= (0.1 * scaling["mscale_all_dim"] * math.log(scaling["factor"]) + 1) ** 2
        return self.linear(self.attend(q, k, kv[..., still : still + value], scale, layer), f"{prefix}.o_proj")

    def gated(self, x, prefix, maps=("gate_proj", "up_proj", "down_proj")):
        gate, up, down = [f"{prefix}.{m}" for m in maps]
        return self.linear(self.act(self.linear(x, gate)) * self.linear(x, up), down)

    def mixture(self, x, prefix):
        """Token by token, expert by expert."""
        c = self.config
        router, experts, maps, count, _ = MIXTURES[self.kind]
        bias = next((w for key, w in self.weights.items() if key.startswith(f"{prefix}.") and key.endswith("e_score_correction_bias")), 0.0)
        logits = x @ self.weights[f"{prefix}.{router}"].T
        y = torch.zeros_like(x)
        for b in range(x.shape[0]):
            for t in range(x.shape[1]):
                for e, gate in zip(*choose(c, logits[b, t], bias)):
                    token = x[b, t]
                    y[b, t] += gate * (self.gated(token, f"{prefix}.{experts}.{e}", maps) if e < c[count] else token)
        if self.kind == "qwen2_moe":
            y = y + torch.sigmoid(self.linear(x, f"{prefix}.mlp.shared_expert_gate")) * self.gated(x, f"{prefix}.mlp.shared_expert")
        if self.kind == "deepseek_v3":
            y = y + self.gated(x, f"{prefix}.mlp.shared_experts")
        return y

    def layer(self, x, i):
        p = f"model.layers.{i}"
        if self.kind == "longcat_flash":
            x = x + self.attention(self.norm(x, f"{p}.input_layernorm.0"), f"{p}.self_attn.0", i)
            y = self.norm(x, f"{p}.post_attention_layernorm.0")
            beside = self.mixture(y, p)
            x = x + self.gated(y, f"{p}.mlps.0")
            x = x + self.attention(self.norm(x, f"{p}.input_layernorm.1"), f"{p}.self_attn.1", i)
            return x + self.gated(self.norm(x, f"{p}.post_attention_layernorm.1"), f"{p}.mlps.1") + beside
        x = x + self.attention(self.norm(x, f"{p}.input_layernorm"), f"{p}.self_attn", i)
        y = self.norm(x, f"{p}.post_attention_layernorm")
        return x + (self.mixture(y, p) if self.kind in MIXTURES and has_mixture(self.config, i) else self.gated(y, f"{p}.mlp"))

    def looped(self, x):
        """Ouro, one sequence x[T, D]: all layers again and again, until a token's gate has let it go. The keys of a loop
        are those of the tokens that run it, or where `keys` says so of all, as they left."""
        c, tokens = self.config, x.shape[0]
        every = self.set.get("keys") == '"all"'
        cos, sin = self.turns(tokens)
        going = torch.arange(tokens)
        ended, left = torch.zeros(tokens).double(), torch.ones(tokens).double()
        x = x.clone()
        for loop in range(c["total_ut_steps"]):
            for i in range(c["num_hidden_layers"]):
                p = f"model.layers.{i}"
                attn = f"{p}.self_attn"
                shown = torch.arange(tokens) if every else going
                heads = lambda name, at, n: self.linear(self.norm(x[at], f"{p}.input_layernorm"), f"{attn}.{name}_proj").view(-1, n, self.width).transpose(0, 1)
                q = turn(heads("q", going, self.heads), cos[going], sin[going])
                k = turn(heads("k", shown, self.kv_heads), cos[shown], sin[shown])
                k, v = [y.repeat_interleave(self.heads // self.kv_heads, 0) for y in (k, heads("v", shown, self.kv_heads))]
                scores = (q @ k.transpose(-1, -2) / math.sqrt(self.width)).masked_fill(going[:, None] < shown, -math.inf)
                a = self.linear((scores.softmax(-1) @ v).transpose(0, 1).flatten(1), f"{attn}.o_proj")
                rows = x[going] + self.norm(a, f"{p}.input_layernorm_2")
                y = self.gated(self.norm(rows, f"{p}.post_attention_layernorm"), f"{p}.mlp")
                x[going] = rows + self.norm(y, f"{p}.post_attention_layernorm_2")
            x[going] = self.norm(x[going], "model.norm")
            if loop == c["total_ut_steps"] - 1:
                break
            chance = torch.sigmoid(self.linear(x[going], "model.early_exit_gate")[:, 0])
            ended[going] += chance * left[going]
            left[going] *= 1 - chance
            going = going[ended[going] < c["early_exit_threshold"]]
        return x

    def last_caches(self, x, prompt):
        """Ouro, one sequence x[T, D], whose caches keep what each token's last loop has left. Token by token: keys[i][t]
        has what token t has made in layer i, loop by loop. A token of the prompt sees others of it as they are in its
        loop, or as they left; a later token sees all before as they ended, and itself as it is."""
        c, tokens, layers = self.config, x.shape[0], range(self.config["num_hidden_layers"])
        loops, every = c["total_ut_steps"], self.set.get("keys") == '"all"'
        cos, sin = self.turns(tokens)
        keys = [[[] for _ in range(tokens)] for _ in layers]
        x = x.clone()

        def heads(t, i, name, n):
            p = f"model.layers.{i}"
            return self.linear(self.norm(x[t], f"{p}.input_layernorm"), f"{p}.self_attn.{name}_proj").view(n, self.width)

        def made(t, i):
            shared = self.heads // self.kv_heads
            k, v = turn(heads(t, i, "k", self.kv_heads), cos[t], sin[t]), heads(t, i, "v", self.kv_heads)
            return k.repeat_interleave(shared, 0), v.repeat_interleave(shared, 0)

        for together in [range(prompt), *([t] for t in range(prompt, tokens))]:
            going, ended, left = list(together), torch.zeros(tokens).double(), torch.ones(tokens).double()
            for loop in range(loops):
                for i in layers:
                    p = f"model.layers.{i}"
                    for t in together if every else going:
                        keys[i][t].append(made(t, i))
                    rows = {}
                    for t in going:
                        q = turn(heads(t, i, "q", self.heads), cos[t], sin[t])
                        seen = [keys[i][s][min(loop, len(keys[i][s]) - 1) if s in together else -1] for s in range(t + 1)]
                        k, v = [torch.stack(each, 1) for each in zip(*seen)]
                        shares = (torch.einsum("hd,hsd->hs", q, k) / math.sqrt(self.width)).softmax(-1)
                        a = self.linear(torch.einsum("hs,hsd->hd", shares, v).flatten(), f"{p}.self_attn.o_proj")
                        row = x[t] + self.norm(a, f"{p}.input_layernorm_2")
                        y = self.gated(self.norm(row, f"{p}.post_attention_layernorm"), f"{p}.mlp")
                        rows[t] = row + self.norm(y, f"{p}.post_attention_layernorm_2")
                    for t, row in rows.items():
                        x[t] = row
                for t in going:
                    x[t] = self.norm(x[t], "model.norm")
                    chance = torch.sigmoid(self.linear(x[t], "model.early_exit_gate")[0])
                    ended[t] += chance * left[t]
                    left[t] *= 1 - chance
                going = [t for t in going if ended[t] < c["early_exit_threshold"]]
        return x

    def last_logits(self, prompt, text):
        """The logits behind the prompt and each start of the text, with caches of the last loop alone."""
        x = self.weights["model.embed_tokens.weight"][torch.tensor(prompt + text)]
        return self.last_caches(x, len(prompt))[len(prompt) - 1 :] @ self.weights["lm_head.weight"].T

    def logits(self, tokens):
        embed = self.weights["model.embed_tokens.weight"]
        x = embed[torch.tensor(tokens)]
        if self.kind == "ouro":
            return torch.stack([self.looped(one) for one in x]) @ self.weights["lm_head.weight"].T
        for i in range(self.config.get("num_layers") or self.config["num_hidden_layers"]):
            x = self.layer(x, i)
        x = self.norm(x, "model.norm")
        return x @ (embed if self.config.get("tie_word_embeddings") else self.weights["lm_head.weight"]).T

    def greedy(self, prompt, text):
        """The best token after the prompt and each start of the text, and by how much it is ahead of the next."""
        best = self.logits([prompt + text])[0, len(prompt) - 1 : -1].topk(2)
        return {"tokens": best.indices[:, 0].tolist(), "ahead": (best.values[:, 0] - best.values[:, 1]).tolist()}


decoder = cache(Decoder)


@torch.no_grad()
def answer(job):
    own = decoder(job["folder"])
    own.set = job["set"]
    if "last" in job:
        return [own.last_logits(prompt, text).tolist() for prompt, text in zip(job["prompts"], job["texts"])]
    if "tokens" in job:
        return own.logits(job["tokens"]).flatten().tolist()
    return [own.greedy(prompt, text) for prompt, text in zip(job["prompts"], job["texts"])]
