"""Mixtures of experts: gpt-oss and GraniteMoE, whose experts lie stacked, and PhiMoE, from transformers'
modeling_gpt_oss.py, modeling_granitemoe.py and modeling_phimoe.py (its router when it does not train)."""

import math

import torch
import torch.nn.functional as F
from parts import angles, attend, heads, layer_norm, linear, rms_norm, rotate_halves


def attention_shapes(c, p, width):
    dim, bias = c["hidden_size"], c["attention_bias"]
    q, kv = c["num_attention_heads"] * width, c["num_key_value_heads"] * width
    found = {}
    for name, rows, columns in (("q", q, dim), ("k", kv, dim), ("v", kv, dim), ("o", dim, q)):
        found[f"{p}.self_attn.{name}_proj.weight"] = [rows, columns]
        if bias:
            found[f"{p}.self_attn.{name}_proj.bias"] = [rows]
    return found


def head_width(c):
    return c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]


def shapes(c):
    dim, hidden, count = c["hidden_size"], c["intermediate_size"], c["num_local_experts"]
    found = {"model.embed_tokens.weight": [c["vocab_size"], dim], "model.norm.weight": [dim]}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        found |= attention_shapes(c, p, head_width(c))
        found |= {f"{p}.input_layernorm.weight": [dim], f"{p}.post_attention_layernorm.weight": [dim]}
        if c["model_type"] == "gpt_oss":
            found |= {
                f"{p}.self_attn.sinks": [c["num_attention_heads"]],
                f"{p}.mlp.router.weight": [count, dim],
                f"{p}.mlp.router.bias": [count],
                f"{p}.mlp.experts.gate_up_proj": [count, dim, 2 * hidden],
                f"{p}.mlp.experts.gate_up_proj_bias": [count, 2 * hidden],
                f"{p}.mlp.experts.down_proj": [count, hidden, dim],
                f"{p}.mlp.experts.down_proj_bias": [count, dim],
            }
        elif c["model_type"] == "phimoe":
            found |= {f"{p}.input_layernorm.bias": [dim], f"{p}.post_attention_layernorm.bias": [dim]}
            found[f"{p}.block_sparse_moe.gate.weight"] = [count, dim]
            for e in range(count):
                own = f"{p}.block_sparse_moe.experts.{e}"
                found |= {f"{own}.w1.weight": [hidden, dim], f"{own}.w3.weight": [hidden, dim], f"{own}.w2.weight": [dim, hidden]}
        else:
            found |= {
                f"{p}.block_sparse_moe.router.layer.weight": [count, dim],
                f"{p}.block_sparse_moe.input_linear.weight": [count, 2 * hidden, dim],
                f"{p}.block_sparse_moe.output_linear.weight": [count, dim, hidden],
            }
    if not c.get("tie_word_embeddings", False):
        found["lm_head.weight"] = [c["vocab_size"], dim]
    if c["model_type"] == "phimoe":
        found |= {"model.norm.bias": [dim], "lm_head.bias": [c["vocab_size"]]}
    return found


def yarn(c, tokens, width):
    """The angles of gpt-oss, and the factor on sine and cosine (Peng et al. 2023, arXiv 2309.00071)."""
    s = c["rope_scaling"]
    theta, original = c["rope_theta"], s["original_max_position_embeddings"]
    at = lambda turns: width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(at(s["beta_fast"]), 0), min(at(s["beta_slow"]), width - 1)
    kept = 1 - ((torch.arange(width // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    plain = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    frequencies = plain / s["factor"] * (1 - kept) + plain * kept
    return torch.arange(tokens, dtype=torch.float64)[:, None] * frequencies, 0.1 * math.log(s["factor"]) + 1


def chosen_experts(y, scores, k, expert):
    """The sum of expert(e, y) by a softmax of the k best scores."""
    best = scores.topk(k, -1)
    gates = torch.zeros_like(scores).scatter(-1, best.indices, best.values.softmax(-1))
    return sum(gates[..., e : e + 1] * expert(e, y) for e in range(scores.shape[-1]))


def gpt_oss_network(c, w, p, y):
    limit = c["swiglu_limit"]

    def expert(e, x):
        z = x @ w[f"{p}.experts.gate_up_proj"][e] + w[f"{p}.experts.gate_up_proj_bias"][e]
        gate, up = z[..., 0::2].clamp(max=limit), z[..., 1::2].clamp(-limit, limit)
        return ((up + 1) * gate * torch.sigmoid(1.702 * gate)) @ w[f"{p}.experts.down_proj"][e] + w[f"{p}.experts.down_proj_bias"][e]

    return chosen_experts(y, linear(w, f"{p}.router", y), c["num_experts_per_tok"], expert)


def granite_network(c, w, p, y):
    def expert(e, x):
        gate, up = F.linear(x, w[f"{p}.input_linear.weight"][e]).chunk(2, -1)
        return F.linear(F.silu(gate) * up, w[f"{p}.output_linear.weight"][e])

    return chosen_experts(y, linear(w, f"{p}.router.layer", y), c["num_experts_per_tok"], expert)


def mixer_gate(scores, among, jitter):
    """The best of `among`, and its share in a softmax of those near it."""
    peak, at = among.max(-1, keepdim=True)
    with torch.no_grad():
        far = (peak - scores) / scores.abs().clamp(min=peak) > 2 * jitter
    return at, among.masked_fill(far, -math.inf).softmax(-1).gather(-1, at)


def phi_network(c, w, p, y):
    scores = linear(w, f"{p}.gate", y)
    first, one = mixer_gate(scores, scores, c["router_jitter_noise"])
    second, two = mixer_gate(scores, scores.scatter(-1, first, -math.inf), c["router_jitter_noise"])
    gates = torch.zeros_like(scores).scatter(-1, first, one).scatter(-1, second, two)

    def expert(e):
        own = f"{p}.experts.{e}"
        return linear(w, f"{own}.w2", F.silu(linear(w, f"{own}.w1", y)) * linear(w, f"{own}.w3", y))

    return sum(gates[..., e : e + 1] * expert(e) for e in range(scores.shape[-1]))


NETWORKS = {
    "gpt_oss": ("mlp", gpt_oss_network),
    "granitemoe": ("block_sparse_moe", granite_network),
    "phimoe": ("block_sparse_moe", phi_network),
}


def logits(c, w, tokens):
    part, network = NETWORKS[c["model_type"]]
    oss, width, length = c["model_type"] == "gpt_oss", head_width(c), tokens.shape[1]
    norm = lambda x, key: rms_norm(x, w[f"{key}.weight"], c["rms_norm_eps"])
    if c["model_type"] == "phimoe":
        norm = lambda x, key: layer_norm(x, w[f"{key}.weight"], w[f"{key}.bias"], c["rms_norm_eps"])
    update = c.get("residual_multiplier", 1.0)
    x = w["model.embed_tokens.weight"][tokens] * c.get("embedding_multiplier", 1.0)
    angle, factor = yarn(c, length, width) if oss else (angles(length, width, c["rope_theta"]), 1.0)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}"
        y = norm(x, f"{p}.input_layernorm")
        q, k, v = [heads(linear(w, f"{p}.self_attn.{n}_proj", y), c[f"num_{m}_heads"]) for n, m in (("q", "attention"), ("k", "key_value"), ("v", "key_value"))]
        q, k = rotate_halves(q, angle) * factor, rotate_halves(k, angle) * factor
        window = c.get("sliding_window") if c.get("layer_types", ["sliding_attention"] * (i + 1))[i] == "sliding_attention" else None
        a = attend(q, k, v, c.get("attention_multiplier"), window=window, sinks=w[f"{p}.self_attn.sinks"] if oss else None)
        x = x + linear(w, f"{p}.self_attn.o_proj", a) * update
        y = norm(x, f"{p}.post_attention_layernorm")
        x = x + network(c, w, f"{p}.{part}", y) * update
    table = w["lm_head.weight"] if "lm_head.weight" in w else w["model.embed_tokens.weight"]
    return F.linear(norm(x, "model.norm"), table, w.get("lm_head.bias")) / c.get("logits_scaling", 1.0)
